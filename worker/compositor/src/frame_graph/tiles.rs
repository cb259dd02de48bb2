//! Which tiles a draw touches, and which of them later draws hide.
//!
//! A tile list is conservative: it may hold a tile that the draw does not change, never the other way round.

use std::ops::Range;

use crate::canvas::{CanvasLayout, TILE_HEIGHT, TILE_WIDTH};
use crate::frame_graph::uniforms::Uniforms;

/// A tile of the canvas under a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Tiles from the left.
    pub x: u32,
    /// Tiles from the top.
    pub y: u32,
    /// Every pixel lies wholly inside the draw's four sides.
    pub is_inside: bool,
    /// It is inside, and no sample there must be kept from what lies outside the rectangle shown.
    pub is_plain: bool,
}

impl Tile {
    /// How kernels read it.
    #[must_use]
    pub fn word(self) -> u32 {
        self.x | self.y << 16
    }
}

/// The tiles already hidden by draws further in front.
#[derive(Debug)]
pub(crate) struct Hidden {
    columns: u32,
    rows: u32,
    hidden: Vec<bool>,
}

impl Hidden {
    pub(crate) fn none(layout: &CanvasLayout) -> Hidden {
        let (columns, rows) = layout.tiles();
        Hidden { columns, rows, hidden: vec![false; columns as usize * rows as usize] }
    }

    /// The visible tiles of a draw, plain ones first, row by row. An opaque draw hides what it covers from those asked for after it.
    pub(crate) fn take(&mut self, draw: &Uniforms, opaque: bool) -> Vec<Tile> {
        let (mut tiles, mut edge) = (Vec::new(), Vec::new());
        for y in 0..self.rows {
            for x in 0..self.columns {
                let (left, top) = (f64::from(x * TILE_WIDTH), f64::from(y * TILE_HEIGHT));
                // One column more on the left: chroma sited left is filtered over it.
                let first = if x == 0 { 0.5 } else { left - 0.5 };
                let (right, bottom) =
                    (left + f64::from(TILE_WIDTH) - 0.5, top + f64::from(TILE_HEIGHT) - 0.5);
                let (least, greatest) = draw.reach(first, top + 0.5, right, bottom);
                let hidden = &mut self.hidden[(y * self.columns + x) as usize];
                // Rounding of the uniforms to f32 is far below a thousandth of a pixel, and so is its effect.
                if *hidden || greatest <= -0.5 + 1e-3 {
                    continue;
                }
                let is_inside = least >= 0.5 - 1e-3;
                let is_plain = is_inside && draw.samples_freely(first, top + 0.5, right, bottom);
                if is_plain { &mut tiles } else { &mut edge }.push(Tile { x, y, is_inside, is_plain });
                *hidden |= is_inside && opaque;
            }
        }
        tiles.append(&mut edge);
        tiles
    }

    /// Hides what an opaque draw covers of its own tiles.
    pub(crate) fn mark(&mut self, tiles: &[Tile], opaque: bool) {
        for tile in tiles.iter().filter(|tile| tile.is_inside && opaque) {
            self.hidden[(tile.y * self.columns + tile.x) as usize] = true;
        }
    }

    /// Whether opaque draws hide every tile of these rows of tiles.
    pub(crate) fn hides(&self, rows: &Range<u32>) -> bool {
        let columns = self.columns as usize;
        self.hidden[rows.start as usize * columns..rows.end as usize * columns].iter().all(|hidden| *hidden)
    }
}

/// The rows of tiles that any of the lists touches, joined where they meet.
pub(crate) fn touched_rows<'a>(lists: impl Iterator<Item = &'a [Tile]>, rows: u32) -> Vec<Range<u32>> {
    let mut touched = vec![false; rows as usize];
    for tile in lists.flatten() {
        touched[tile.y as usize] = true;
    }
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for row in (0..rows).filter(|row| touched[*row as usize]) {
        match ranges.last_mut() {
            Some(last) if last.end == row => last.end = row + 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}
