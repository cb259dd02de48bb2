//! Where a draw's output samples lie in a picture along one axis: the two samples each is mixed of, and how much of it
//! is covered.

use std::ops::Range;

use crate::frame_graph::Uniforms;

/// What the two shares of a whole column make together. Products with sixteen bits fit in sixteen bits again.
const WHOLE_COLUMN: f64 = 65_535.0;
/// What the weights of a whole row make together. Products with a byte fit in sixteen bits.
const WHOLE_ROW: f64 = 256.0;

/// How one output column is mixed of the sample at `at` and the one behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColumnTap {
    pub(super) at: u32,
    /// In 65535ths.
    pub(super) shares: [u16; 2],
}

/// How one output row is mixed of two rows of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowTap {
    pub(super) at: [usize; 2],
    /// In 256ths.
    pub(super) weights: [u16; 2],
}

impl RowTap {
    /// How much of the row shows, in 65535ths.
    pub(super) fn strength(self) -> u16 {
        (self.weights[0] + self.weights[1]).saturating_mul(256)
    }
}

/// One axis of an upright draw. Positions are the canvas' own: pixel 0 is 0…1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Samples to a canvas pixel, and the sample at position 0; sample 0 lies at 0.
    place: (f64, f64),
    /// The first and last place that may be sampled, perhaps beyond the picture.
    limits: (f64, f64),
    /// The last sample, which repeats beyond, as the first does.
    last: usize,
    /// Distance inside the near side per pixel and at position 0, and from side to side.
    edge: (f64, f64, f64),
    /// Added to the distances from the near and the far side.
    slack: (f64, f64),
}

impl Axis {
    /// The columns of a picture that has `length` of them in a texture of `side`.
    pub(super) fn columns(block: &Uniforms, length: u32, side: u32) -> Axis {
        let [slope, _, at, _] = block.texel_x;
        let [low, _, high, _] = block.texel_clamp;
        let [per, _, start, across] = block.edge_u;
        Axis::of(
            (slope, at),
            (low, high),
            (per, start, across),
            (block.slack[0], block.slack[2]),
            (length, side),
        )
    }

    /// The rows of a picture that has `length` of them in a texture of `side`.
    pub(super) fn rows(block: &Uniforms, length: u32, side: u32) -> Axis {
        let [_, slope, at, _] = block.texel_y;
        let [_, low, _, high] = block.texel_clamp;
        let [_, per, start, across] = block.edge_v;
        Axis::of(
            (slope, at),
            (low, high),
            (per, start, across),
            (block.slack[1], block.slack[3]),
            (length, side),
        )
    }

    fn of(
        place: (f32, f32),
        limits: (f32, f32),
        edge: (f32, f32, f32),
        slack: (f32, f32),
        (length, side): (u32, u32),
    ) -> Axis {
        let side = f64::from(side);
        let limit = |at: f32| f64::from(at) * side - 0.5;
        Axis {
            place: (f64::from(place.0) * side, f64::from(place.1) * side - 0.5),
            limits: (limit(limits.0), limit(limits.1)),
            last: length as usize - 1,
            edge: (edge.0.into(), edge.1.into(), edge.2.into()),
            slack: (slack.0.into(), slack.1.into()),
        }
    }

    /// One sample to a pixel, the first of `length` at pixel `origin`.
    pub(super) fn exact(origin: i32, length: u32) -> Axis {
        let start = -f64::from(origin);
        Axis {
            place: (1.0, start - 0.5),
            limits: (0.0, f64::from(length)),
            last: length as usize - 1,
            edge: (1.0, start, f64::from(length)),
            slack: (0.0, 0.0),
        }
    }

    /// The same axis of planes with other sides: `map` leads from 0–1 in this picture's texture, whose side is
    /// `side`, to 0–1 in theirs, which have `length` samples in a texture of `other_side`.
    pub(super) fn mapped(&self, side: u32, map: (f32, f32), (length, other_side): (u32, u32)) -> Axis {
        let (scale, shift) = (f64::from(map.0), f64::from(map.1));
        let ratio = scale * f64::from(other_side) / f64::from(side);
        let mapped = |at: f64| (at + 0.5) * ratio + shift * f64::from(other_side) - 0.5;
        Axis {
            place: (self.place.0 * ratio, mapped(self.place.1)),
            limits: (mapped(self.limits.0), mapped(self.limits.1)),
            last: length as usize - 1,
            ..*self
        }
    }

    /// How much of a pixel around `position` lies between the sides.
    pub(super) fn coverage(&self, position: f64) -> f64 {
        let (per, start, across) = self.edge;
        let inside = per * position + start;
        let near = (inside + self.slack.0 + 0.5).clamp(0.0, 1.0);
        let far = (across - inside + self.slack.1 + 0.5).clamp(0.0, 1.0);
        (near + far - 1.0).max(0.0)
    }

    /// The output column at `position`, `strength` of it.
    pub(super) fn column(&self, position: f64, strength: f64) -> ColumnTap {
        let (at, behind) = self.sample(position);
        let whole = (strength * WHOLE_COLUMN).round();
        let second = (whole * behind).round();
        ColumnTap { at: at as u32, shares: [(whole - second) as u16, second as u16] }
    }

    /// The output row at `position`, `strength` of it.
    pub(super) fn row(&self, position: f64, strength: f64) -> RowTap {
        let (at, behind) = self.sample(position);
        let whole = (strength * WHOLE_ROW).round();
        let second = (whole * behind).round();
        RowTap { at: [at, (at + 1).min(self.last)], weights: [(whole - second) as u16, second as u16] }
    }

    /// The sample at or before a position, and the share of the one behind it.
    fn sample(&self, position: f64) -> (usize, f64) {
        let place = (self.place.0 * position + self.place.1).clamp(self.limits.0, self.limits.1);
        let place = place.clamp(0.0, self.last as f64);
        let first = place.floor();
        (first as usize, place - first)
    }
}

/// The samples, of `length`, that columns side by side are mixed of.
pub(super) fn reach(taps: &[ColumnTap], length: usize) -> Range<usize> {
    let at = |tap: Option<&ColumnTap>| tap.map_or(0, |tap| tap.at as usize);
    let (first, last) = (at(taps.first()), at(taps.last()));
    first.min(last)..(first.max(last) + 2).min(length)
}
