//! Upright layers at random: every size, place, crop, mirror and opacity that the row kernels may meet.

use composition::Color;
use compositor::{Alpha, ColorMatrix, ColorRange};
use scene::{Affine, Layer, Rect, Scene};

use crate::pictures::{Gallery, hash, layer, still, strokes, video};
use crate::{CANVAS, GPU, assert_i420_on, reference, scene};

const BACKGROUND: Color = Color { r: 85, g: 85, b: 85, a: 255 };

fn gallery() -> Gallery {
    let (bt709, limited) = (ColorMatrix::Bt709, ColorRange::Limited);
    Gallery(vec![
        still((411, 233), 9, Alpha::Opaque),
        still((160, 120), 12, Alpha::Unassociated),
        strokes((90, 31), [250, 20, 40]),
        video((250, 140), 3, bt709, limited),
        video((641, 361), 5, bt709, limited),
        video((2, 2), 6, bt709, limited),
    ])
}

/// The `n`th layer of a case, made of numbers that look random.
fn random_layer(gallery: &Gallery, case: u32, n: u32) -> Layer {
    let number = |which: u32| hash(8 * n + which, case, 77);
    let element = (number(0) * gallery.0.len() as f64) as usize;
    let (columns, rows) = gallery.0[element].size();
    let (columns, rows) = (f64::from(columns), f64::from(rows));
    // From a quarter of the picture's size to four times that, but no more than twice the canvas'.
    let scale = |number: f64| (4.0_f64).powf(2.0 * number - 1.0);
    let width = (columns * scale(number(1))).min(2.0 * f64::from(CANVAS.width));
    let height = (rows * scale(number(2))).min(2.0 * f64::from(CANVAS.height));
    let x = number(3) * (f64::from(CANVAS.width) + width) - width;
    let y = number(4) * (f64::from(CANVAS.height) + height) - height;
    let mut random = layer(gallery, element, Affine::scaling(width, height), 1.0);
    random.transform = match case % 4 {
        0 => Affine::scaling(-width, height).then(Affine::translation(x + width, y)),
        1 => Affine::scaling(width, -height).then(Affine::translation(x, y + height)),
        _ => Affine::scaling(width, height).then(Affine::translation(x, y)),
    };
    if case.is_multiple_of(2) {
        random.opacity = number(5);
    }
    if case.is_multiple_of(3) && columns > 8.0 {
        let (left, top) = (columns * number(6) / 2.0, rows * number(7) / 2.0);
        random.source_rect = Rect { x: left, y: top, width: columns / 2.0, height: rows / 2.0 };
    }
    random
}

/// Holds what the row kernels paint against the reference.
fn assert_rows(scene: &Scene, gallery: &Gallery, allowed: (f64, f64)) {
    assert_i420_on(&GPU, scene, gallery, &reference::i420(scene, gallery), allowed);
}

#[test]
fn one_layer_stays_within_its_steps() {
    let gallery = gallery();
    for case in 0..60 {
        let layers = vec![random_layer(&gallery, case, 0)];
        assert_rows(&scene(BACKGROUND, layers), &gallery, (2.0, 0.5));
    }
}

#[test]
fn four_layers_stay_within_theirs() {
    let gallery = gallery();
    for case in 0..30 {
        let layers = (1..=4).map(|n| random_layer(&gallery, 100 + case, n)).collect();
        assert_rows(&scene(BACKGROUND, layers), &gallery, (8.0, 0.5));
    }
}
