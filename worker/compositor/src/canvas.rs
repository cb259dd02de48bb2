//! The canvas: how its bytes lie in memory, and a finished frame as the encoders read it.
//!
//! Both kinds are padded to whole tiles, so that no kernel asks whether it is still inside.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use composition::Size;
use thiserror::Error;

use crate::color::ColorSpace;

/// Pixels in a row of a tile: four invocations of sixteen.
pub const TILE_WIDTH: u32 = 64;
/// Rows of a tile: eight invocations of two.
pub const TILE_HEIGHT: u32 = 16;

/// What a canvas stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CanvasKind {
    /// Opaque Y′CbCr 4:2:0, BT.709, limited range, chroma sited left: what video encoders take.
    I420,
    /// Full-range R′G′B′ with alpha: unassociated in the finished frame, or flattened on black where `opaque`.
    Rgba {
        /// Without alpha: every pixel of the finished frame has 255.
        opaque: bool,
    },
}

impl CanvasKind {
    pub(crate) fn space(self) -> ColorSpace {
        match self {
            CanvasKind::I420 => ColorSpace::Yuva,
            CanvasKind::Rgba { .. } => ColorSpace::Rgba,
        }
    }
}

impl fmt::Display for CanvasKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CanvasKind::I420 => "i420",
            CanvasKind::Rgba { opaque: false } => "rgba",
            CanvasKind::Rgba { opaque: true } => "opaque rgba",
        })
    }
}

/// Why there is no canvas of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CanvasError {
    /// 4:2:0 stores chroma for pairs of pixels.
    #[error("make a {width}x{height} canvas: 4:2:0 needs even sides, the next are {}x{}", width.next_multiple_of(2), height.next_multiple_of(2))]
    OddSides {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A side of 0.
    #[error("make a {width}x{height} canvas: it has no pixels")]
    Empty {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// More than the adapter binds or dispatches at once.
    #[error(
        "make a {width}x{height} canvas: this adapter holds at most {limit} bytes in one plane set of {tiles} tiles"
    )]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes.
        limit: u64,
        /// Tiles one dispatch covers.
        tiles: u32,
    },
}

/// Where the planes of a canvas lie in one buffer. Strides and offsets in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CanvasLayout {
    pub(crate) size: Size,
    pub(crate) kind: CanvasKind,
    /// From row to row of the first plane (Y, or all four channels).
    pub(crate) stride: u32,
    /// Rows of the first plane, padding included.
    rows: u32,
}

impl CanvasLayout {
    pub(crate) fn new(size: Size, kind: CanvasKind) -> Result<CanvasLayout, CanvasError> {
        let Size { width, height } = size;
        if width == 0 || height == 0 {
            return Err(CanvasError::Empty { width, height });
        }
        let bytes_per_pixel = match kind {
            CanvasKind::I420 if width % 2 == 1 || height % 2 == 1 => {
                return Err(CanvasError::OddSides { width, height });
            }
            CanvasKind::I420 => 1,
            CanvasKind::Rgba { .. } => 4,
        };
        let stride = width.next_multiple_of(TILE_WIDTH) * bytes_per_pixel;
        Ok(CanvasLayout { size, kind, stride, rows: height.next_multiple_of(TILE_HEIGHT) })
    }

    /// Bytes of the first plane. A multiple of 1024, so that the next plane may be bound by itself.
    pub(crate) fn first_plane(&self) -> u64 {
        u64::from(self.stride) * u64::from(self.rows)
    }

    /// Bytes of each chroma plane, a multiple of 256; 0 where there is none.
    pub(crate) fn chroma_plane(&self) -> u64 {
        match self.kind {
            CanvasKind::I420 => self.first_plane() / 4,
            CanvasKind::Rgba { .. } => 0,
        }
    }

    /// Bytes of all planes.
    pub(crate) fn total(&self) -> u64 {
        self.first_plane() + 2 * self.chroma_plane()
    }

    /// Tiles in a row of tiles, and rows of tiles.
    pub(crate) fn tiles(&self) -> (u32, u32) {
        (self.size.width.div_ceil(TILE_WIDTH), self.size.height.div_ceil(TILE_HEIGHT))
    }

    /// The byte ranges that hold these pixel rows (both ends even in 4:2:0), one per plane.
    pub(crate) fn bytes_of_rows(&self, rows: &Range<u32>) -> Vec<Range<usize>> {
        let span = |start: u64, stride: u32, rows: Range<u32>| {
            let at = |row: u32| (start + u64::from(stride) * u64::from(row)) as usize;
            at(rows.start)..at(rows.end)
        };
        let mut spans = vec![span(0, self.stride, rows.clone())];
        if self.kind == CanvasKind::I420 {
            let half = rows.start / 2..rows.end.div_ceil(2);
            spans.push(span(self.first_plane(), self.stride / 2, half.clone()));
            spans.push(span(self.first_plane() + self.chroma_plane(), self.stride / 2, half));
        }
        spans
    }
}

/// Bytes of finished frames, kept for the next ones. Bounded by [`Bytes::KEPT`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Bytes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Bytes {
    /// Frames that lie between compositor and encoder at once: three in flight, a few queued.
    const KEPT: usize = 8;

    /// `length` bytes of any content, zero where they are new.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = kept.unwrap_or_default();
        bytes.resize(length, 0);
        bytes
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < Bytes::KEPT {
            kept.push(bytes);
        }
    }
}

/// A finished frame. Its bytes go back to its compositor's pool when it is dropped.
#[derive(Debug)]
pub struct CanvasFrame {
    pub(crate) layout: CanvasLayout,
    pub(crate) bytes: Vec<u8>,
    pub(crate) pool: Bytes,
}

/// One plane of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The samples, from the first of the first row to the last of the last, padding included.
    pub bytes: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
}

/// The planes of a frame.
#[derive(Debug, Clone, Copy)]
pub enum Planes<'a> {
    /// Limited-range BT.709 4:2:0.
    I420 {
        /// Luma, one sample a pixel.
        y: Plane<'a>,
        /// Blue difference, one sample for 2x2 pixels.
        u: Plane<'a>,
        /// Red difference, one sample for 2x2 pixels.
        v: Plane<'a>,
    },
    /// R, G, B and A, 8 bits each, alpha as [`CanvasKind::Rgba`] says.
    Rgba(Plane<'a>),
}

impl CanvasFrame {
    /// In pixels.
    #[must_use]
    pub fn size(&self) -> Size {
        self.layout.size
    }

    /// What an encoder reads.
    #[must_use]
    pub fn planes(&self) -> Planes<'_> {
        let layout = &self.layout;
        let (first, chroma) = (layout.first_plane() as usize, layout.chroma_plane() as usize);
        let stride = layout.stride as usize;
        let plane =
            |start: usize, end: usize, stride: usize| Plane { bytes: &self.bytes[start..end], stride };
        match layout.kind {
            CanvasKind::I420 => Planes::I420 {
                y: plane(0, first, stride),
                u: plane(first, first + chroma, stride / 2),
                v: plane(first + chroma, first + 2 * chroma, stride / 2),
            },
            CanvasKind::Rgba { .. } => Planes::Rgba(plane(0, first, stride)),
        }
    }

    /// Samples of a row of a plane of a 4:2:0 canvas: 0 is luma, 1 and 2 are chroma.
    pub(crate) fn row_mut(&mut self, plane: usize, row: usize, columns: Range<usize>) -> &mut [u8] {
        let layout = &self.layout;
        let (first, chroma) = (layout.first_plane() as usize, layout.chroma_plane() as usize);
        let (start, stride) = match plane {
            0 => (0, layout.stride as usize),
            _ => (first + (plane - 1) * chroma, layout.stride as usize / 2),
        };
        &mut self.bytes[start + row * stride..][columns]
    }
}

impl Drop for CanvasFrame {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_whole_tiles_and_start_where_they_can_be_bound() {
        let layout =
            CanvasLayout::new(Size { width: 854, height: 480 }, CanvasKind::I420).expect("even sides");
        assert_eq!((layout.stride, layout.rows), (896, 480), "854 pixels are fourteen tiles");
        assert_eq!(
            layout.first_plane() % 256 + layout.chroma_plane() % 256,
            0,
            "storage offsets are 256 apart"
        );
        assert_eq!(
            layout.bytes_of_rows(&(16..32))[1],
            896 * 480 + 448 * 8..896 * 480 + 448 * 16,
            "half the rows"
        );
    }

    #[test]
    fn odd_sides_are_refused_with_the_next_even_ones() {
        let refusal = CanvasLayout::new(Size { width: 853, height: 480 }, CanvasKind::I420).expect_err("odd");
        assert!(refusal.to_string().ends_with("the next are 854x480"), "{refusal}");
    }
}
