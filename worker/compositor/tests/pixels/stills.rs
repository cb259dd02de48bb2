//! Stills with alpha, and colours that must survive.

use composition::Color;
use compositor::{Alpha, CanvasKind, Planes};

use crate::pictures::{Gallery, Stored, layer, upright};
use crate::{paint, scene};

#[test]
fn a_transparent_canvas_keeps_a_stills_own_pixels() {
    let pixels: Vec<u8> = (0..64_u32 * 64)
        .flat_map(|i| [(i % 251) as u8, (i / 7 % 256) as u8, (i / 64 * 4) as u8, 255 - (i % 64) as u8])
        .collect();
    let gallery = Gallery(vec![Stored::Rgba {
        key: 99,
        size: (64, 64),
        pixels: pixels.clone(),
        alpha: Alpha::Unassociated,
    }]);
    let scene = scene(Color::TRANSPARENT, vec![layer(&gallery, 0, upright(16.0, 32.0, 64.0, 64.0), 1.0)]);
    let frame = paint(&scene, CanvasKind::Rgba { opaque: false }, &gallery);
    let Planes::Rgba(plane) = frame.planes() else { panic!("one plane") };
    for (i, expected) in pixels.chunks_exact(4).enumerate() {
        let at = (32 + i / 64) * plane.stride + 4 * (16 + i % 64);
        for (found, expected) in plane.bytes[at..at + 4].iter().zip(expected) {
            assert!(
                found.abs_diff(*expected) <= 1,
                "pixel {i}: {:?} for {expected:?}",
                &plane.bytes[at..at + 4]
            );
        }
    }
    assert_eq!(plane.bytes[..4], [0, 0, 0, 0], "nothing elsewhere");
}

#[test]
fn what_is_opaque_stays_opaque_under_any_opacity() {
    let (size, alpha) = ((64, 16), Alpha::Opaque);
    let pixels: Vec<u8> = [255, 0, 0, 255].into_iter().cycle().take(64 * 16 * 4).collect();
    let gallery = Gallery(vec![Stored::Rgba { key: 97, size, pixels, alpha }]);
    for opacity in [0.125, 0.25, 0.5, 0.75, 0.875] {
        let layers = vec![layer(&gallery, 0, upright(0.0, 0.0, 64.0, 16.0), opacity)];
        let frame = paint(&scene(Color::WHITE, layers), CanvasKind::Rgba { opaque: false }, &gallery);
        let Planes::Rgba(plane) = frame.planes() else { panic!("one plane") };
        let [r, g, b, a] = [0, 1, 2, 3].map(|channel| f64::from(plane.bytes[channel]));
        let rest = 255.0 * (1.0 - opacity);
        assert_eq!((r, a), (255.0, 255.0), "red over white, opacity {opacity}");
        assert!((g - rest).abs() <= 1.0 && (b - rest).abs() <= 1.0, "{g} and {b} for {rest}");
    }
}

#[test]
fn colour_bars_have_their_bt709_code_values() {
    let bars = [
        [255, 255, 255],
        [255, 255, 0],
        [0, 255, 255],
        [0, 255, 0],
        [255, 0, 255],
        [255, 0, 0],
        [0, 0, 255],
        [0, 0, 0],
    ];
    let pixels: Vec<u8> = (0..64 * 16)
        .flat_map(|i| {
            let [r, g, b] = bars[i % 64 / 8];
            [r, g, b, 255]
        })
        .collect();
    let gallery = Gallery(vec![Stored::Rgba { key: 98, size: (64, 16), pixels, alpha: Alpha::Opaque }]);
    let scene = scene(Color::BLACK, vec![layer(&gallery, 0, upright(0.0, 0.0, 64.0, 16.0), 1.0)]);
    let frame = paint(&scene, CanvasKind::I420, &gallery);
    let Planes::I420 { y, u, v } = frame.planes() else { panic!("three planes") };
    // ITU-R BT.1729 table 2, 100 % bars in 8 bits.
    let expected = [
        [235, 128, 128],
        [219, 16, 138],
        [188, 154, 16],
        [173, 42, 26],
        [78, 214, 230],
        [63, 102, 240],
        [32, 240, 118],
        [16, 128, 128],
    ];
    for (bar, expected) in expected.iter().enumerate() {
        let found = [y.bytes[bar * 8 + 4], u.bytes[bar * 4 + 2], v.bytes[bar * 4 + 2]];
        assert_eq!(found, *expected, "bar {bar}");
    }
}
