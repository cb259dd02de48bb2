//! Layers on a 4:2:0 canvas.

use composition::Color;
use compositor::{Alpha, CanvasKind, ColorMatrix, ColorRange, Compositor, Planes};
use scene::{Affine, Rect};

use crate::pictures::{Gallery, layer, still, strokes, turned, upright, video};
use crate::{CANVAS, GPU, assert_i420, assert_rgba, paint, scene};

const ONE_LAYER: (f64, f64) = (2.0, 0.5);
/// Its code values are whole numbers, so that it brings no rounding of its own.
const GREY: Color = Color { r: 85, g: 85, b: 85, a: 255 };

fn canvas_video(seed: u32) -> crate::pictures::Stored {
    video((CANVAS.width, CANVAS.height), seed, ColorMatrix::Bt709, ColorRange::Limited)
}

fn whole() -> Affine {
    upright(0.0, 0.0, f64::from(CANVAS.width), f64::from(CANVAS.height))
}

#[test]
fn an_unscaled_video_arrives_sample_by_sample() {
    let gallery = Gallery(vec![canvas_video(1)]);
    assert_i420(&scene(GREY, vec![layer(&gallery, 0, whole(), 1.0)]), &gallery, (1e-9, 1e-9));
}

#[test]
fn translucent_pixmaps_are_blended_where_their_pixels_are_canvas_pixels() {
    let gallery = Gallery(vec![
        canvas_video(1),
        still((101, 67), 5, Alpha::Unassociated),
        strokes((90, 31), [250, 20, 40]),
    ]);
    for (x, y) in [(3.0, 5.0), (64.0, 16.0), (-20.0, -7.0), (301.0, 170.0)] {
        let layers = vec![
            layer(&gallery, 0, whole(), 1.0),
            layer(&gallery, 1, upright(x, y, 101.0, 67.0), 0.7),
            layer(&gallery, 2, upright(x + 10.0, y + 3.0, 90.0, 31.0), 1.0),
        ];
        assert_i420(&scene(GREY, layers), &gallery, (4.0, 0.5));
    }
}

#[test]
fn a_single_pixmap_over_a_plain_colour_is_exact_to_rounding() {
    let gallery = Gallery(vec![strokes((90, 31), [250, 20, 40])]);
    // The second ends where a tile does: a quarter of its last column belongs to the next tile's first chroma sample.
    for x in [17.0, 38.0] {
        let layers = vec![layer(&gallery, 0, upright(x, 23.0, 90.0, 31.0), 1.0)];
        assert_i420(&scene(GREY, layers), &gallery, (1.0, 0.5));
    }
}

#[test]
fn a_still_is_scaled_and_turned_with_antialiased_sides() {
    let gallery =
        Gallery(vec![still((120, 90), 9, Alpha::Unassociated), still((120, 90), 12, Alpha::Opaque)]);
    for element in [0, 1] {
        for transform in [
            upright(10.3, 20.7, 150.4, 100.9),
            turned(60.0, 30.0, 170.0, 100.0, 20.0),
            turned(100.0, 20.0, 120.0, 90.0, 90.0),
            Affine::scaling(-200.0, 130.0).then(Affine::translation(250.0, 11.0)),
        ] {
            assert_i420(&scene(GREY, vec![layer(&gallery, element, transform, 0.8)]), &gallery, ONE_LAYER);
            assert_rgba(&scene(GREY, vec![layer(&gallery, element, transform, 0.8)]), &gallery, ONE_LAYER);
        }
    }
}

#[test]
fn a_reduced_still_is_halved_before_it_is_sampled() {
    let gallery =
        Gallery(vec![still((400, 300), 9, Alpha::Opaque), still((401, 299), 14, Alpha::Unassociated)]);
    for element in [0, 1] {
        for (width, height) in [(110.0, 160.0), (61.0, 41.5), (200.0, 30.0)] {
            let layers = vec![layer(&gallery, element, upright(20.5, 10.25, width, height), 1.0)];
            assert_i420(&scene(GREY, layers), &gallery, ONE_LAYER);
        }
    }
}

#[test]
fn a_video_is_scaled_cropped_and_turned_in_its_own_planes() {
    // Odd sides end in half a chroma sample, powers of two are stored in larger textures.
    for size in [(250, 140), (251, 141), (256, 128)] {
        let gallery = Gallery(vec![video(size, 3, ColorMatrix::Bt709, ColorRange::Limited)]);
        let mut cropped = layer(&gallery, 0, whole(), 1.0);
        cropped.source_rect = Rect { x: 31.0, y: 10.5, width: 180.0, height: 101.25 };
        let layers = [
            cropped,
            layer(&gallery, 0, whole(), 1.0),
            layer(&gallery, 0, turned(40.0, 30.0, 200.0, 112.0, -33.0), 1.0),
            layer(&gallery, 0, upright(20.0, 20.0, 90.0, 50.0), 0.5),
            layer(&gallery, 0, upright(11.0, 7.0, f64::from(size.0), f64::from(size.1)), 1.0),
        ];
        for layer in layers {
            assert_i420(&scene(GREY, vec![layer]), &gallery, ONE_LAYER);
        }
    }
}

#[test]
fn videos_of_other_matrices_and_ranges_become_bt709() {
    let kinds = [
        (ColorMatrix::Bt601, ColorRange::Limited),
        (ColorMatrix::Bt601, ColorRange::Full),
        (ColorMatrix::Bt709, ColorRange::Full),
        (ColorMatrix::Bt2020, ColorRange::Limited),
    ];
    for (matrix, range) in kinds {
        let gallery = Gallery(vec![video((CANVAS.width, CANVAS.height), 3, matrix, range)]);
        let layers = vec![layer(&gallery, 0, whole(), 1.0)];
        assert_i420(&scene(GREY, layers), &gallery, ONE_LAYER);
        let layers = vec![layer(&gallery, 0, upright(20.0, 11.0, 280.0, 150.0), 0.6)];
        assert_i420(&scene(GREY, layers.clone()), &gallery, ONE_LAYER);
        assert_rgba(&scene(GREY, layers), &gallery, ONE_LAYER);
    }
}

#[test]
fn four_layers_stay_within_their_steps() {
    let gallery = Gallery(vec![
        canvas_video(1),
        video((200, 112), 30, ColorMatrix::Bt709, ColorRange::Limited),
        still((160, 120), 9, Alpha::Unassociated),
        strokes((90, 31), [255, 255, 255]),
    ]);
    let layers = vec![
        layer(&gallery, 0, whole(), 1.0),
        layer(&gallery, 1, turned(30.0, 20.0, 160.0, 90.0, 12.0), 0.9),
        layer(&gallery, 2, upright(100.0, 40.0, 200.5, 130.0), 0.6),
        layer(&gallery, 3, upright(40.0, 120.0, 90.0, 31.0), 1.0),
    ];
    assert_i420(&scene(GREY, layers.clone()), &gallery, (8.0, 0.5));
    assert_rgba(&scene(GREY, layers), &gallery, (8.0, 0.5));
}

#[test]
fn what_an_opaque_layer_hides_changes_nothing() {
    let gallery = Gallery(vec![
        canvas_video(1),
        still((120, 90), 9, Alpha::Opaque),
        still((40, 40), 3, Alpha::Unassociated),
    ]);
    let cover = layer(&gallery, 1, turned(-40.0, -40.0, 500.0, 400.0, 5.0), 1.0);
    let behind = vec![layer(&gallery, 0, whole(), 1.0), layer(&gallery, 2, whole(), 1.0), cover.clone()];
    let bytes = |layers| {
        let frame = paint(&scene(GREY, layers), CanvasKind::I420, &gallery);
        let Planes::I420 { y, u, v } = frame.planes() else { panic!("three planes") };
        [y, u, v].map(|plane| plane.bytes.to_vec())
    };
    // Both paddings are what the pool gave; only the picture may be compared.
    let (with, without) = (bytes(behind), bytes(vec![cover]));
    for row in 0..CANVAS.height as usize {
        let span = row * 384..row * 384 + CANVAS.width as usize;
        assert_eq!(with[0][span.clone()], without[0][span], "row {row}");
    }
}

#[test]
fn frames_in_flight_do_not_mix() {
    let gallery = Gallery(vec![canvas_video(1), canvas_video(2), still((120, 90), 9, Alpha::Unassociated)]);
    let at = |n: usize| {
        let place = upright(5.0 + 13.0 * n as f64, 9.0 * n as f64, 120.0, 90.0);
        scene(GREY, vec![layer(&gallery, n % 2, whole(), 1.0), layer(&gallery, 2, place, 1.0)])
    };
    let mut compositor = Compositor::new(&GPU, CANVAS, CanvasKind::I420).expect("a possible canvas");
    let pending: Vec<_> = (0..6).map(|n| compositor.compose(&at(n), &gallery).expect("submitted")).collect();
    for (n, pending) in pending.into_iter().enumerate() {
        let together = pending.wait().expect("painted");
        let alone = paint(&at(n), CanvasKind::I420, &gallery);
        let (Planes::I420 { y: a, .. }, Planes::I420 { y: b, .. }) = (together.planes(), alone.planes())
        else {
            panic!("three planes")
        };
        for row in 0..CANVAS.height as usize {
            let span = row * a.stride..row * a.stride + CANVAS.width as usize;
            assert_eq!(a.bytes[span.clone()], b.bytes[span], "frame {n}, row {row}");
        }
    }
}

#[test]
fn parts_on_several_threads_share_a_device_and_paint_the_same_frames() {
    let gallery = Gallery(vec![canvas_video(1), still((120, 90), 9, Alpha::Unassociated)]);
    let bytes = |n: usize| {
        let place = turned(5.0 + 13.0 * n as f64, 40.0, 120.0, 90.0, 7.0 * n as f64);
        let layers = vec![layer(&gallery, 0, whole(), 1.0), layer(&gallery, 1, place, 1.0)];
        let frame = paint(&scene(GREY, layers), CanvasKind::I420, &gallery);
        let Planes::I420 { y, u, v } = frame.planes() else { panic!("three planes") };
        [y, u, v].map(|plane| plane.bytes.to_vec())
    };
    let alone: Vec<_> = (0..8).map(bytes).collect();
    let painters = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..8).map(bytes).collect::<Vec<_>>())).collect();
        threads.into_iter().map(|thread| thread.join().expect("no painter panics")).collect::<Vec<_>>()
    });
    for together in painters {
        assert_eq!(together, alone, "every thread's frames are the ones painted alone");
    }
}
