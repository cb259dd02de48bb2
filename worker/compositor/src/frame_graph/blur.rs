//! The plan of a blur: a low-resolution grid over the layer, two passes of weights, and the way back to the canvas.
//!
//! A Gaussian removes detail, so it is computed where that detail is already gone: on texels of 1, 2, 4, … pixels, the
//! largest of which the deviation is still two or three. What fetching and magnifying blur by themselves is taken off
//! the deviation, so that the whole matches the Gaussian asked for to fourth order.

use composition::Size;
use scene::{Affine, Blur, Layer, Rect, Sides};

use crate::color;
use crate::color::ColorSpace;
use crate::frame_graph::uniforms::{Level, Uniforms};
use crate::frame_graph::{Kernel, texel_source};
use crate::pack::Form;
use crate::picture::{PictureContent, PictureFacts};

/// Words of weights that the shaders' uniform block holds: twice the largest radius and four.
pub(crate) const WEIGHTS: usize = 64;
/// The largest radius in texels: 3 σ of the largest deviation that the choice of factor leaves, with room.
const LARGEST_RADIUS: u32 = (WEIGHTS as u32 - 4) / 2;
/// A grid coarser than this would be the blur of a canvas hundreds of thousands of pixels high.
const LARGEST_FACTOR: u32 = 1 << 12;

/// The low-resolution picture a blur is computed on.
#[derive(Debug, Clone, PartialEq)]
pub struct BlurPlan {
    /// Pixels to a texel, about: the grid divides the layer's box into whole texels.
    pub factor: u32,
    /// Texels of the result, margins that the blur spreads into included.
    pub width: u32,
    /// See `width`.
    pub height: u32,
    /// Which kernel fetches the layer into the grid, and at which level.
    pub fetch: Kernel,
    /// See `fetch`.
    pub level: Level,
    /// Whether the halved picture needs its outermost pixels around it, because a side repeats them.
    pub is_framed: bool,
    /// Samples for one texel: 1, or 4 where a texel is larger than those of the halved picture.
    pub taps: u32,
    /// Of the fetch; its "canvas" is the grid with guards of `radius` on every side.
    pub uniforms: Uniforms,
    /// Texels on either side that a texel depends on, along u and v; the first is a multiple of 4.
    pub radius: (u32, u32),
    /// Weights at distance 0, 1, …, radius along u.
    pub along_u: Vec<f32>,
    /// The same along v.
    pub along_v: Vec<f32>,
}

/// A plan, and what the draw of its result needs.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) plan: BlurPlan,
    /// The unit square stretched over the margins of open sides.
    pub(crate) back: Affine,
    /// The same square in texels of the result.
    pub(crate) rect: Rect,
    /// The result's texel (1, 1) is the canvas corner, texels are whole pixels and the canvas is filled.
    pub(crate) is_aligned: bool,
}

/// One axis of the grid.
struct Axis {
    /// Texels that tile the box exactly.
    cells: u32,
    /// First texel kept, may lie in the margin before the box, and the one after the last.
    first: i64,
    end: i64,
    weights: Vec<f32>,
    radius: u32,
}

/// Plans the blur of `layer`, which `map` takes to the canvas.
pub(crate) fn plan(
    layer: &Layer,
    blur: Blur,
    facts: PictureFacts,
    (canvas, space): (Size, ColorSpace),
    back: Affine,
) -> Planned {
    let map = layer.transform;
    let scale = (libm::hypot(map.a, map.b) / blur.along_u, libm::hypot(map.c, map.d) / blur.along_v);
    let factor = factor_for(blur.sigma, scale.0.max(scale.1));
    let rect = layer.source_rect;
    let cells = |along: f64| (libm::ceil(along / f64::from(factor) - 1e-6)).max(1.0) as u32;
    let (columns, rows) = (cells(blur.along_u), cells(blur.along_v));
    let footprint = (rect.width / f64::from(columns), rect.height / f64::from(rows));
    let level = Level::for_scale(footprint);
    let texels = (footprint.0 / f64::from(1_u32 << level.x), footprint.1 / f64::from(1_u32 << level.y));
    let taps = if texels.0.max(texels.1) > 1.001 { 4 } else { 1 };

    let visible = visible_part(canvas, back);
    let lost = |texels: f64, halvings: u8| lost_variance(texels, halvings, taps, factor);
    let u = axis(
        columns,
        blur.sigma / blur.along_u,
        lost(texels.0, level.x),
        visible.0,
        (blur.repeat.left, blur.repeat.right),
    );
    let v = axis(
        rows,
        blur.sigma / blur.along_v,
        lost(texels.1, level.y),
        visible.1,
        (blur.repeat.top, blur.repeat.bottom),
    );
    let u = Axis { radius: u.radius.next_multiple_of(4), ..u };

    let (width, height) = ((u.end - u.first) as u32, (v.end - v.first) as u32);
    let cell_size = (1.0 / f64::from(columns), 1.0 / f64::from(rows));
    let from_grid =
        Affine::translation(u.first as f64 - f64::from(u.radius), v.first as f64 - f64::from(v.radius))
            .then(Affine::scaling(cell_size.0, cell_size.1));
    let mut uniforms = Uniforms::new(from_grid, blur.repeat, 1.0);
    let is_framed = level != Level::default() && blur.repeat != Sides::default();
    let form = if is_framed { Form::Framed } else { Form::Bare };
    uniforms.sample(from_grid, (rect, rect), (facts.width, facts.height), (level, form));
    if let PictureContent::Planar { matrix, range } = facts.content {
        let to_canvas = color::from_ycbcr(space, matrix, range);
        uniforms.planes((facts.width, facts.height), (level, form), &to_canvas);
    }

    let is_aligned = (4..=16).contains(&factor)
        && blur.repeat == (Sides { left: true, top: true, right: true, bottom: true })
        && (u.first, v.first, u.end, v.end) == (-1, -1, i64::from(columns) + 1, i64::from(rows) + 1)
        && (map.b, map.c, map.e, map.f) == (0.0, 0.0, 0.0, 0.0)
        && map.a == f64::from(columns * factor)
        && map.d == f64::from(rows * factor)
        && map.a == f64::from(canvas.width)
        && map.d == f64::from(canvas.height);
    let (stretched, shown) = stretch(&u, &v, blur.repeat, (columns, rows));
    Planned {
        plan: BlurPlan {
            factor,
            width,
            height,
            fetch: texel_source(facts.content),
            level,
            is_framed,
            taps,
            uniforms,
            radius: (u.radius, v.radius),
            along_u: u.weights,
            along_v: v.weights,
        },
        back: back.then(stretched),
        rect: shown,
        is_aligned,
    }
}

/// The largest power of two that leaves the deviation enough texels, or that the layer's own scale makes smaller than a
/// canvas pixel. Beside a repeating side, half a coarse cell is interpolated with the repeated pixel, which is why coarse
/// cells must be small against the deviation.
fn factor_for(sigma: f64, scale: f64) -> u32 {
    let mut factor = 1;
    while factor < LARGEST_FACTOR {
        let next = factor * 2;
        let texels = if next <= 4 { 2.0 } else { 3.0 };
        if f64::from(next) > (sigma / texels).max(1.0 / scale) {
            break;
        }
        factor = next;
    }
    factor
}

/// The variance, in texels of the grid, that fetching and magnifying add: halving averages `2^halvings` pixels
/// (variance (n² − 1)/12), bilinear samples at any phase add 1/6 of a source texel, four taps at ±1/4, and the magnified
/// result is bilinear again. `texels` of the halved picture make one texel of the grid.
fn lost_variance(texels: f64, halvings: u8, taps: u32, factor: u32) -> f64 {
    let texel = (1.0 / texels).min(1.0);
    let averaged = texel * texel * (1.0 - libm::exp2(-2.0 * f64::from(halvings))) / 12.0;
    let sampled = if taps == 4 { texel * texel / 6.0 + 1.0 / 16.0 } else { 0.0 };
    let magnified = if factor > 1 { 1.0 / 6.0 } else { 0.0 };
    averaged + sampled + magnified
}

fn axis(cells: u32, share: f64, lost: f64, visible: (f64, f64), repeats: (bool, bool)) -> Axis {
    let sigma = share * f64::from(cells);
    let sigma = libm::sqrt((sigma * sigma - lost).max(0.0));
    let weights = gaussian(sigma);
    let radius = weights.len() as u32 - 1;
    // Beyond a repeating side one texel is needed, for interpolation; beyond an open one all that the blur reaches.
    let margin = |repeats: bool| if repeats { 1 } else { i64::from(radius) + 1 };
    let whole = (-margin(repeats.0), i64::from(cells) + margin(repeats.1));
    let texel = |share: f64| (share * f64::from(cells)).clamp(-1e9, 1e9);
    let first = (libm::floor(texel(visible.0)) as i64 - 1).clamp(whole.0, whole.1 - 1);
    let end = (libm::ceil(texel(visible.1)) as i64 + 1).clamp(first + 1, whole.1);
    Axis { cells, first, end, weights, radius }
}

/// Weights at 0, 1, … of a Gaussian cut at 3 σ, both sides summing to 1.
fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (libm::ceil(3.0 * sigma) as u32).min(LARGEST_RADIUS);
    let weight = |at: u32| if at == 0 { 1.0 } else { libm::exp(-f64::from(at * at) / (2.0 * sigma * sigma)) };
    let total: f64 = 1.0 + 2.0 * (1..=radius).map(weight).sum::<f64>();
    (0..=radius).map(|at| (weight(at) / total) as f32).collect()
}

/// The part of the unit square, and of the plane around it, that lies on the canvas.
fn visible_part(canvas: Size, back: Affine) -> ((f64, f64), (f64, f64)) {
    let bounds = back.bounds_of(Rect::of_size(f64::from(canvas.width), f64::from(canvas.height)));
    ((bounds.x, bounds.right()), (bounds.y, bounds.bottom()))
}

/// From the layer's unit square to one that includes the kept margins of open sides, and that square in result texels.
fn stretch(u: &Axis, v: &Axis, repeat: Sides, (columns, rows): (u32, u32)) -> (Affine, Rect) {
    let span = |axis: &Axis, (near, far): (bool, bool)| {
        let start = if near { 0 } else { axis.first.min(0) };
        let end = if far { i64::from(axis.cells) } else { axis.end.max(i64::from(axis.cells)) };
        (start as f64, (end - start) as f64)
    };
    let (left, width) = span(u, (repeat.left, repeat.right));
    let (top, height) = span(v, (repeat.top, repeat.bottom));
    let stretched = Affine::scaling(f64::from(columns), f64::from(rows))
        .then(Affine::translation(-left, -top))
        .then(Affine::scaling(1.0 / width, 1.0 / height));
    (stretched, Rect { x: left - u.first as f64, y: top - v.first as f64, width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_sum_to_one() {
        for sigma in [0.0, 0.4, 2.0, 4.0, 9.0] {
            let weights = gaussian(sigma);
            let sum: f32 = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
            assert!((sum - 1.0).abs() < 1e-6, "σ {sigma}: {sum}");
        }
    }

    #[test]
    fn the_grid_is_as_coarse_as_the_deviation_allows() {
        let factors = [1.0, 3.9, 4.0, 12.0, 36.0].map(|sigma| factor_for(sigma, 1.0));
        assert_eq!(
            factors,
            [1, 1, 2, 4, 8],
            "at least two texels to the deviation, three of the coarse ones"
        );
        assert_eq!(factor_for(1.0, 0.25), 4, "a layer shown at a quarter needs no finer grid");
    }
}
