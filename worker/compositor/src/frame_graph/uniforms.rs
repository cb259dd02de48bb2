//! The uniform block that all blending and fetching kernels share, and the geometry that fills it.
//!
//! Everything a kernel needs per pixel is affine in the pixel's position, so a block is mostly rows of affine maps.
//! Twin of `Params` in `passes/blend/params.wgsl`; a test compares sizes and offsets.

use bytemuck::{Pod, Zeroable};
use scene::{Affine, Rect, Sides};

use crate::color::ColorMap;
use crate::pack::Form;

/// Distance added where a side does not cut, larger than any canvas.
const FAR: f32 = 1.0e6;

/// A picture is reduced 256 times at most: blocks of so many rows of bytes sum up in 16 bits.
const MOST_HALVINGS: f64 = 8.0;

/// One draw's constants. Rows of an affine map are `[per x, per y, at (0, 0), _]` of canvas positions, pixel (0, 0)
/// being 0…1, so that its centre is (0.5, 0.5).
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Uniforms {
    /// Signed distance in canvas pixels from the side u = 0, positive inside; the last is the distance between the
    /// sides u = 0 and u = 1.
    pub edge_u: [f32; 4],
    /// The same along v.
    pub edge_v: [f32; 4],
    /// Added to the distances from the left, top, right and bottom side.
    pub slack: [f32; 4],
    /// The texture's x, 0–1; the last is unused. Identity: only the first, the width of a texel.
    pub texel_x: [f32; 4],
    /// The texture's y, 0–1; the last is unused. Identity: only the first, the height of a texel.
    pub texel_y: [f32; 4],
    /// Smallest x and y, largest x and y that may be sampled without touching what lies outside the rectangle.
    pub texel_clamp: [f32; 4],
    /// From luma to chroma texture positions: scale of x and y, offset of x and y.
    pub chroma_map: [f32; 4],
    /// Rows to canvas code values from samples in 0–1.
    pub color: [[f32; 4]; 3],
    /// The canvas pixel (identity) or grid cell (magnified) at the picture's first texel.
    pub origin: [i32; 2],
    /// 0–1.
    pub opacity: f32,
    /// Canvas pixels to one texel of the grid (magnified).
    pub step: u32,
    /// Where the draw's tiles begin in the frame's tile list.
    pub first_tile: u32,
    /// From row to row of the first plane, in 16-byte words.
    pub row_words: u32,
    /// From row to row of the chroma planes, in 8-byte words.
    pub chroma_row_words: u32,
    /// From the first to the second chroma plane, in 8-byte words.
    pub chroma_plane_words: u32,
    /// From row to row of a blur's grid, in texels (magnified and fetch).
    pub grid_row: u32,
    /// Keeps the block's size a multiple of 16.
    pub unused: [u32; 3],
}

/// A texture's side: no power of two, which lavapipe would compile every pipeline anew for. What is added repeats the
/// picture's last column or row.
pub(crate) fn texture_side(side: u32) -> u32 {
    let mut side = side;
    while side.is_power_of_two() {
        side += 1;
    }
    side
}

/// How often a picture was halved along each axis before it was uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Level {
    /// Columns were halved this often.
    pub x: u8,
    /// Rows were halved this often.
    pub y: u8,
}

impl Level {
    /// The level at which one output pixel is 1 to 2 texels wide: what remains to the sampler is a factor in (0.5, 1].
    /// `per_pixel` is the number of stored pixels to one output pixel along each axis.
    pub(crate) fn for_scale(per_pixel: (f64, f64)) -> Level {
        // A thousandth of a level: 2 + rounding is still a factor of two.
        let halvings = |ratio: f64| (libm::log2(ratio.max(1.0)) + 1e-3).floor().min(MOST_HALVINGS) as u8;
        Level { x: halvings(per_pixel.0), y: halvings(per_pixel.1) }
    }

    /// The side lengths of a picture at this level; an odd end is a texel of its own.
    pub(crate) fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        let halve = |side: u32, times: u8| side.div_ceil(1 << times);
        (halve(width, self.x), halve(height, self.y))
    }
}

impl Uniforms {
    /// Coverage: the unit square of `back` (canvas to unit square) with antialiased sides, except for `open` ones.
    pub(crate) fn new(back: Affine, open: Sides, opacity: f64) -> Uniforms {
        let slack = |open: bool| if open { FAR } else { 0.0 };
        Uniforms {
            edge_u: edge(back.a, back.c, back.e),
            edge_v: edge(back.b, back.d, back.f),
            slack: [slack(open.left), slack(open.top), slack(open.right), slack(open.bottom)],
            opacity: opacity as f32,
            ..Uniforms::zeroed()
        }
    }

    /// Sampling: `rect` of a picture of `size` stored pixels, at a level and in a form, shown in the unit square of
    /// `back`; nothing outside `limits` is sampled.
    pub(crate) fn sample(
        &mut self,
        back: Affine,
        (rect, limits): (Rect, Rect),
        size: (u32, u32),
        (level, form): (Level, Form),
    ) {
        let sides = form.texture_size(size, level);
        let lengths = level.size(size);
        let axis = |slope: (f64, f64, f64),
                    rect: (f64, f64),
                    limits: (f64, f64),
                    lengths: (u32, u32),
                    halvings: u8| {
            let (length, side) = (f64::from(lengths.0), f64::from(lengths.1));
            let texel = 1.0 / f64::from(1_u32 << halvings);
            let place = |pixel: f64| (pixel * texel + f64::from(form.margin())) / side;
            let scale = rect.1 * texel / side;
            let (first, last) = inner(limits.0 * texel, limits.1 * texel, length);
            let row = [slope.0 * scale, slope.1 * scale, place(rect.0) + slope.2 * scale, 0.0];
            let clamp = [first, last].map(|texels| (texels + f64::from(form.margin())) / side);
            (row.map(|v| v as f32), clamp.map(|v| v as f32))
        };
        let (columns, rows) = ((lengths.0, sides.0), (lengths.1, sides.1));
        let x_limits = (limits.x, limits.right());
        let y_limits = (limits.y, limits.bottom());
        let (texel_x, [left, right]) =
            axis((back.a, back.c, back.e), (rect.x, rect.width), x_limits, columns, level.x);
        let (texel_y, [top, bottom]) =
            axis((back.b, back.d, back.f), (rect.y, rect.height), y_limits, rows, level.y);
        (self.texel_x, self.texel_y, self.texel_clamp) = (texel_x, texel_y, [left, top, right, bottom]);
    }

    /// Gathering: one texel to a pixel, from a texture with one transparent texel around a picture of `size`.
    pub(crate) fn gather(&mut self, size: (u32, u32)) {
        let share = |side: u32| (1.0 / f64::from(texture_side(side + 2))) as f32;
        self.texel_x = [share(size.0), 0.0, 0.0, 0.0];
        self.texel_y = [share(size.1), 0.0, 0.0, 0.0];
        self.texel_clamp = [-FAR, -FAR, FAR, FAR];
    }

    /// Planes: where the chroma of the same picture lies, and how its samples become canvas code values.
    ///
    /// With chroma sited left (H.273 `Chroma420SampleLocType` 0), chroma texel i lies over luma column 2i and between
    /// rows 2i and 2i + 1: luma position x is chroma position x/2 + 1/4, and y is y/2.
    pub(crate) fn planes(&mut self, size: (u32, u32), (level, form): (Level, Form), map: &ColorMap) {
        let luma = form.texture_size(size, level);
        let chroma = form.texture_size((size.0.div_ceil(2), size.1.div_ceil(2)), level);
        let quarter = 0.25 / f64::from(1_u32 << level.x);
        // A margin m lies before both: luma texel m + x is chroma texel m + x/2.
        let half_margin = f64::from(form.margin()) / 2.0;
        let ratio = |luma: u32, chroma: u32| (f64::from(luma) / 2.0 / f64::from(chroma)) as f32;
        self.chroma_map = [
            ratio(luma.0, chroma.0),
            ratio(luma.1, chroma.1),
            ((quarter + half_margin) / f64::from(chroma.0)) as f32,
            (half_margin / f64::from(chroma.1)) as f32,
        ];
        self.color = map.map(|[a, b, c, offset]| [a * 255.0, b * 255.0, c * 255.0, offset].map(|v| v as f32));
    }

    /// Whether samples for an upright rectangle of pixel centres stay, unclamped, where a clamp would leave them.
    pub(crate) fn samples_freely(&self, left: f64, top: f64, right: f64, bottom: f64) -> bool {
        let [x_low, y_low, x_high, y_high] = self.texel_clamp.map(f64::from);
        [(self.texel_x, x_low, x_high), (self.texel_y, y_low, y_high)].into_iter().all(
            |([x, y, at, _], low, high)| {
                let (x, y, at) = (f64::from(x), f64::from(y), f64::from(at));
                let least = (x * left).min(x * right) + (y * top).min(y * bottom) + at;
                let greatest = (x * left).max(x * right) + (y * top).max(y * bottom) + at;
                low <= least && greatest <= high
            },
        )
    }

    /// The greatest and least coverage distance over an upright rectangle of pixel centres: at or below −0.5 nothing
    /// is covered, from 0.5 on everything is.
    pub(crate) fn reach(&self, left: f64, top: f64, right: f64, bottom: f64) -> (f64, f64) {
        let mut greatest = f64::INFINITY;
        let mut least = f64::INFINITY;
        let sides =
            [(self.edge_u, self.slack[0], self.slack[2]), (self.edge_v, self.slack[1], self.slack[3])];
        for (edge, near_slack, far_slack) in sides {
            let [x, y, at, length] = edge.map(f64::from);
            let (x_low, x_high) = ((x * left).min(x * right), (x * left).max(x * right));
            let (y_low, y_high) = ((y * top).min(y * bottom), (y * top).max(y * bottom));
            let (low, high) = (x_low + y_low + at, x_high + y_high + at);
            let (near, far) = (f64::from(near_slack), f64::from(far_slack));
            least = least.min(low + near).min(length - high + far);
            greatest = greatest.min(high + near).min(length - low + far);
        }
        (least, greatest)
    }
}

/// u as a function of position, made a distance in pixels: divided by the length of its gradient.
fn edge(per_x: f64, per_y: f64, at: f64) -> [f32; 4] {
    let length = 1.0 / libm::hypot(per_x, per_y);
    [per_x * length, per_y * length, at * length, length].map(|v| v as f32)
}

/// The texel centres inside an interval of texels, its middle where it is shorter than one; without a bound on a side
/// where the interval reaches the picture's own, which the sampler repeats.
fn inner(start: f64, end: f64, length: f64) -> (f64, f64) {
    let (first, last) = (start + 0.5, end - 0.5);
    let (first, last) =
        if first <= last { (first, last) } else { ((first + last) / 2.0, (first + last) / 2.0) };
    let whole = (start <= 0.0, end >= length);
    (if whole.0 { f64::from(-FAR) } else { first }, if whole.1 { f64::from(FAR) } else { last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_texture_side_is_a_power_of_two() {
        assert_eq!(
            [1, 2, 640, 1024].map(texture_side),
            [3, 3, 640, 1025],
            "one more column where it would be"
        );
    }

    #[test]
    fn a_level_leaves_the_sampler_at_most_a_factor_of_two() {
        let level = |ratio| Level::for_scale((ratio, 1.0)).x;
        assert_eq!(
            [0.2, 1.0, 1.99, 2.0, 3.99, 4.0].map(level),
            [0, 0, 0, 1, 1, 2],
            "halved at exact powers of two"
        );
    }

    #[test]
    fn coverage_of_a_pixel_exact_box_reaches_its_border_pixels() {
        let back =
            Affine { a: 8.0, b: 0.0, c: 0.0, d: 4.0, e: 16.0, f: 32.0 }.inverse().expect("not singular");
        let box_of_8x4 = Uniforms::new(back, Sides::default(), 1.0);
        assert_eq!(box_of_8x4.reach(16.5, 32.5, 23.5, 35.5).0, 0.5, "its own pixels are covered");
        assert_eq!(box_of_8x4.reach(0.5, 0.5, 15.5, 63.5).1, -0.5, "the column beside it is not");
    }
}
