//! Pictures as planes of bytes, which rows are mixed from.

use std::borrow::Cow;
use std::ops::Range;

use crate::frame_graph::Level;
use crate::pack::{self, Form};

use super::lanes::Mix;
use super::taps::RowTap;

/// A plane of bytes; rows may be longer than they are wide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane<'a> {
    pub(super) samples: &'a [u8],
    pub(super) stride: usize,
    pub(super) width: usize,
}

impl<'a> Plane<'a> {
    /// Columns `reach` of an output row.
    pub(super) fn row(self, tap: RowTap, reach: &Range<usize>) -> Mix<'a, 2> {
        Mix { rows: tap.at.map(|row| self.part(row, reach)), weights: tap.weights }
    }

    /// Columns `reach` of the sum of two output rows.
    pub(super) fn sum(self, [top, bottom]: [RowTap; 2], reach: &Range<usize>) -> Mix<'a, 4> {
        let part = |row| self.part(row, reach);
        Mix {
            rows: [part(top.at[0]), part(top.at[1]), part(bottom.at[0]), part(bottom.at[1])],
            weights: [top.weights[0], top.weights[1], bottom.weights[0], bottom.weights[1]],
        }
    }

    fn part(self, row: usize, reach: &Range<usize>) -> &'a [u8] {
        &self.samples[row * self.stride..][..self.width][reach.clone()]
    }
}

/// A plane of a video, halved to a level.
#[derive(Debug)]
pub(super) struct Reduced<'a> {
    samples: Cow<'a, [u8]>,
    stride: usize,
    width: usize,
}

impl<'a> Reduced<'a> {
    /// Of a plane with a stride.
    pub(super) fn of((samples, stride): (&'a [u8], usize), size: (u32, u32), level: Level) -> Reduced<'a> {
        let width = level.size(size).0 as usize;
        if level == Level::default() {
            return Reduced { samples: Cow::Borrowed(samples), stride, width };
        }
        let halved = pack::plane(samples, stride, size, level, Form::Bare);
        Reduced { samples: Cow::Owned(halved), stride: width, width }
    }

    pub(super) fn plane(&self) -> Plane<'_> {
        Plane { samples: &self.samples, stride: self.stride, width: self.width }
    }
}

/// A still or text in the canvas' colour space, alpha multiplied in.
#[derive(Debug)]
pub(crate) struct StillPlanes {
    width: usize,
    /// Y, U, V and, unless every pixel is opaque, alpha.
    planes: Vec<Vec<u8>>,
}

impl StillPlanes {
    /// Of packed texels in rows of `width`, four bytes each.
    pub(crate) fn of(texels: &[u8], width: u32) -> StillPlanes {
        let is_opaque = texels.chunks_exact(4).all(|texel| texel[3] == 255);
        let plane = |channel: usize| texels.chunks_exact(4).map(|texel| texel[channel]).collect();
        StillPlanes { width: width as usize, planes: (0..if is_opaque { 3 } else { 4 }).map(plane).collect() }
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.planes.iter().map(|plane| plane.len() as u64).sum()
    }

    /// Samples in a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Y, U and V.
    pub(super) fn colors(&self) -> [Plane<'_>; 3] {
        [0, 1, 2].map(|plane| self.plane(plane))
    }

    /// Opacity, where it is not whole everywhere.
    pub(super) fn alpha(&self) -> Option<Plane<'_>> {
        (self.planes.len() == 4).then(|| self.plane(3))
    }

    fn plane(&self, plane: usize) -> Plane<'_> {
        Plane { samples: &self.planes[plane], stride: self.width, width: self.width }
    }
}
