//! Pictures made of smooth noise with a little grain, like photographs: in gamut, never flat, never white noise.

use composition::Ticks;
use compositor::{Alpha, ColorMatrix, ColorRange, Picture, PictureKey, Pictures, PlanarImage, RgbaImage};
use scene::{Affine, Layer, LayerSource, Rect};

/// The pictures of a test; layers name them by index.
#[derive(Debug, Default)]
pub(crate) struct Gallery(pub(crate) Vec<Stored>);

/// A picture that owns its samples.
#[derive(Debug)]
pub(crate) enum Stored {
    Planar { size: (u32, u32), planes: [Vec<u8>; 3], matrix: ColorMatrix, range: ColorRange },
    Rgba { key: u128, size: (u32, u32), pixels: Vec<u8>, alpha: Alpha },
}

impl Stored {
    pub(crate) fn size(&self) -> (u32, u32) {
        match self {
            Stored::Planar { size, .. } | Stored::Rgba { size, .. } => *size,
        }
    }
}

pub(crate) fn index(source: &LayerSource) -> usize {
    match *source {
        LayerSource::Video { element, .. }
        | LayerSource::Image { element }
        | LayerSource::Text { element, .. } => element,
        _ => 0,
    }
}

impl Pictures for Gallery {
    fn picture(&self, source: &LayerSource) -> Option<Picture<'_>> {
        Some(match self.0.get(index(source))? {
            Stored::Planar { size, planes: [y, u, v], matrix, range } => {
                let strides = (size.0 as usize, size.0.div_ceil(2) as usize);
                Picture::Planar(
                    PlanarImage::new(*size, [y, u, v], strides, *matrix, *range).expect("whole planes"),
                )
            }
            Stored::Rgba { key, size, pixels, alpha } => {
                Picture::Rgba(RgbaImage::new(PictureKey(*key), *size, pixels, *alpha).expect("whole rows"))
            }
        })
    }
}

/// A number in 0–1 that looks random, of three integers.
pub(crate) fn hash(x: u32, y: u32, seed: u32) -> f64 {
    let mut state =
        x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77) ^ seed.wrapping_mul(0xc2b2_ae3d);
    for _ in 0..3 {
        state ^= state >> 15;
        state = state.wrapping_mul(0x2c1b_3c6d);
    }
    f64::from(state >> 8) / f64::from(1_u32 << 24)
}

/// Smooth noise with a period of `cell` pixels and `grain` of white noise, in 0–1.
fn noise(x: u32, y: u32, seed: u32, cell: u32, grain: f64) -> f64 {
    let (cx, cy) = (x / cell, y / cell);
    let smooth = |part: u32| {
        let t = f64::from(part % cell) / f64::from(cell);
        t * t * (3.0 - 2.0 * t)
    };
    let (tx, ty) = (smooth(x), smooth(y));
    let row = |cy| hash(cx, cy, seed) * (1.0 - tx) + hash(cx + 1, cy, seed) * tx;
    let value = row(cy) * (1.0 - ty) + row(cy + 1) * ty + grain * (hash(x, y, seed + 100) - 0.5);
    value.clamp(0.0, 1.0)
}

/// A video frame.
pub(crate) fn video(size: (u32, u32), seed: u32, matrix: ColorMatrix, range: ColorRange) -> Stored {
    let plane = |(width, height): (u32, u32), seed: u32, cell: u32, low: f64, high: f64| -> Vec<u8> {
        let value = |x, y| (low + noise(x, y, seed, cell, 0.04) * (high - low)).round() as u8;
        (0..height).flat_map(|y| (0..width).map(move |x| value(x, y))).collect()
    };
    let chroma = (size.0.div_ceil(2), size.1.div_ceil(2));
    // Chroma near grey: far from the edges of the gamut, which no reference without clamping may meet.
    let planes = [
        plane(size, seed, 24, 70.0, 180.0),
        plane(chroma, seed + 1, 20, 110.0, 146.0),
        plane(chroma, seed + 2, 20, 110.0, 146.0),
    ];
    Stored::Planar { size, planes, matrix, range }
}

/// A still, with varying alpha unless it is opaque.
pub(crate) fn still(size: (u32, u32), seed: u32, alpha: Alpha) -> Stored {
    let pixel = |x: u32, y: u32| {
        let a = if alpha == Alpha::Opaque { 1.0 } else { noise(x, y, seed + 3, 30, 0.0) };
        let associate = if alpha == Alpha::Premultiplied { a } else { 1.0 };
        let channel = |c: u32| ((30.0 + 190.0 * noise(x, y, seed + c, 24, 0.04)) * associate).round() as u8;
        [channel(0), channel(1), channel(2), (a * 255.0).round() as u8]
    };
    let pixels = (0..size.1).flat_map(|y| (0..size.0).flat_map(move |x| pixel(x, y))).collect();
    let key = u128::from(seed) << 64 | u128::from(size.0) << 40 | u128::from(size.1) << 8 | alpha as u128;
    Stored::Rgba { key, size, pixels, alpha }
}

/// A text-like pixmap: hard edges and thin strokes of one colour.
pub(crate) fn strokes(size: (u32, u32), color: [u8; 3]) -> Stored {
    let inked = |x: u32, y: u32| (x / 3 + y / 5).is_multiple_of(4) || x.is_multiple_of(11);
    let pixel = |x, y| {
        let a = if inked(x, y) { 255 } else { 0 };
        [color[0].min(a), color[1].min(a), color[2].min(a), a]
    };
    let pixels = (0..size.1).flat_map(|y| (0..size.0).flat_map(move |x| pixel(x, y))).collect();
    Stored::Rgba {
        key: 7 << 100
            | u128::from(size.0) << 32
            | u128::from(u32::from_be_bytes([0, color[0], color[1], color[2]])),
        size,
        pixels,
        alpha: Alpha::Premultiplied,
    }
}

/// All of picture `element` under `transform`.
pub(crate) fn layer(gallery: &Gallery, element: usize, transform: Affine, opacity: f64) -> Layer {
    let stored = &gallery.0[element];
    let source = match stored {
        Stored::Planar { .. } => LayerSource::Video { element, time: Ticks::ZERO },
        Stored::Rgba { .. } => LayerSource::Image { element },
    };
    let (width, height) = stored.size();
    let source_rect = Rect::of_size(f64::from(width), f64::from(height));
    Layer { source, source_rect, transform, opacity, blur: None }
}

/// A box of this size, upright at (x, y).
pub(crate) fn upright(x: f64, y: f64, width: f64, height: f64) -> Affine {
    Affine::scaling(width, height).then(Affine::translation(x, y))
}

/// The same box turned about its middle.
pub(crate) fn turned(x: f64, y: f64, width: f64, height: f64, degrees: f64) -> Affine {
    Affine::translation(-0.5, -0.5)
        .then(Affine::scaling(width, height))
        .then(Affine::rotation(degrees))
        .then(Affine::translation(x + width / 2.0, y + height / 2.0))
}
