//! Blurs against the sum that defines them.

use composition::Color;
use compositor::{Alpha, ColorMatrix, ColorRange};
use scene::{Blur, Sides};

use crate::pictures::{Gallery, layer, still, upright, video};
use crate::{CANVAS, assert_i420, assert_rgba, scene};

const BLURRED: (f64, f64) = (6.0, 1.0);
const EVERY_SIDE: Sides = Sides { left: true, top: true, right: true, bottom: true };

#[test]
fn a_blurred_video_that_fills_the_canvas_repeats_its_edges() {
    let size = (CANVAS.width, CANVAS.height);
    let gallery = Gallery(vec![video(size, 1, ColorMatrix::Bt709, ColorRange::Limited)]);
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    for sigma in [0.8, 3.0, 5.0, 8.0, 12.0, 17.0, 36.0] {
        let mut blurred = layer(&gallery, 0, upright(0.0, 0.0, width, height), 1.0);
        blurred.blur = Some(Blur { sigma, along_u: width, along_v: height, repeat: EVERY_SIDE });
        let scene = scene(Color::BLACK, vec![blurred]);
        assert_i420(&scene, &gallery, BLURRED);
        assert_rgba(&scene, &gallery, BLURRED);
    }
}

#[test]
fn a_blurred_still_fades_beyond_its_open_sides() {
    let gallery = Gallery(vec![still((120, 80), 4, Alpha::Opaque), still((121, 81), 8, Alpha::Unassociated)]);
    let right = Sides { right: true, ..Sides::default() };
    for (element, size, x, repeat) in
        [(0, (120.0, 80.0), 100.0, Sides::default()), (1, (121.0, 81.0), 207.0, right)]
    {
        for sigma in [1.5, 6.0, 10.0, 20.0] {
            let mut blurred = layer(&gallery, element, upright(x, 50.0, size.0, size.1), 0.9);
            blurred.blur = Some(Blur { sigma, along_u: size.0, along_v: size.1, repeat });
            let scene = scene(Color { r: 20, g: 200, b: 90, a: 255 }, vec![blurred]);
            assert_i420(&scene, &gallery, BLURRED);
        }
    }
}
