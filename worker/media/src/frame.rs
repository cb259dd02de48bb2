//! Uncompressed pictures as they leave the decoder: planar video frames and stills.
//!
//! A video frame is 8-bit 4:2:0 with tightly packed planes, tagged with the colour it was coded in; nothing here
//! converts colour, that is the compositor's work. A still is RGBA with unassociated alpha.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::{Deserialize, Serialize};

/// One 8-bit Y′CbCr 4:2:0 picture (I420), chroma sited left, its planes tightly packed one after another.
pub struct PlanarFrame {
    width: u32,
    height: u32,
    color: ColorInfo,
    data: Vec<u8>,
    home: Weak<Shelf>,
}

/// One plane of a picture; its rows follow each other without padding, so its stride is its width.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// Samples, row by row from the top: `width × height` bytes.
    pub data: &'a [u8],
    /// In samples; also the stride in bytes.
    pub width: u32,
    /// In samples.
    pub height: u32,
}

/// How the numbers of a Y′CbCr picture mean colour (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColorInfo {
    /// Luma coefficients.
    pub matrix: Matrix,
    /// Where black and white lie.
    pub range: Range,
    /// Whether the numbers are display-referred SDR or one of the HDR curves.
    pub transfer: Transfer,
}

/// Luma coefficients (ITU-T H.273 table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matrix {
    /// Kr 0.299, Kb 0.114.
    Bt601,
    /// Kr 0.2126, Kb 0.0722.
    Bt709,
    /// Kr 0.2627, Kb 0.0593, non-constant luminance; the primaries are BT.2020's as well.
    Bt2020,
}

/// Quantisation range of 8-bit samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// Y 16–235, C 16–240.
    Limited,
    /// 0–255.
    Full,
}

/// The curve between code values and light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transfer {
    /// BT.709, BT.601, sRGB and their kin: shown as they are.
    Sdr,
    /// SMPTE ST 2084.
    Pq,
    /// ARIB STD-B67.
    Hlg,
}

/// A still picture in RGBA order, 8 bits a sample, alpha unassociated, sRGB; rows are packed and start at the top.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbaImage {
    /// In pixels, after the file's orientation was applied.
    pub width: u32,
    /// In pixels, after the file's orientation was applied.
    pub height: u32,
    /// `width × height × 4` bytes.
    pub data: Vec<u8>,
}

impl ColorInfo {
    /// BT.709, limited range, SDR: what we encode, and what untagged HD video is taken for.
    pub const BT709: ColorInfo =
        ColorInfo { matrix: Matrix::Bt709, range: Range::Limited, transfer: Transfer::Sdr };
    /// BT.601, limited range, SDR: what untagged SD video is taken for.
    pub const BT601: ColorInfo =
        ColorInfo { matrix: Matrix::Bt601, range: Range::Limited, transfer: Transfer::Sdr };
}

impl PlanarFrame {
    /// A frame around `data`: Y, then U, then V, tightly packed. `None` where the length is not
    /// [`PlanarFrame::byte_len`].
    #[must_use]
    pub fn new(width: u32, height: u32, color: ColorInfo, data: Vec<u8>) -> Option<PlanarFrame> {
        let fits = data.len() == PlanarFrame::byte_len(width, height);
        fits.then(|| PlanarFrame { width, height, color, data, home: Weak::new() })
    }

    /// Bytes of a whole picture of this size; chroma planes are ⌈w/2⌉ × ⌈h/2⌉.
    #[must_use]
    pub const fn byte_len(width: u32, height: u32) -> usize {
        let chroma = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
        width as usize * height as usize + 2 * chroma
    }

    /// In luma samples.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// In luma samples.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How its numbers mean colour.
    #[must_use]
    pub fn color(&self) -> ColorInfo {
        self.color
    }

    /// The luma plane.
    #[must_use]
    pub fn y(&self) -> Plane<'_> {
        let (y, _) = self.data.split_at(self.luma_len());
        Plane { data: y, width: self.width, height: self.height }
    }

    /// The blue-difference plane.
    #[must_use]
    pub fn u(&self) -> Plane<'_> {
        self.chroma(0)
    }

    /// The red-difference plane.
    #[must_use]
    pub fn v(&self) -> Plane<'_> {
        self.chroma(1)
    }

    /// All three planes as they lie in memory: Y, U, V.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    fn luma_len(&self) -> usize {
        self.width as usize * self.height as usize
    }

    fn chroma(&self, which: usize) -> Plane<'_> {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let len = width as usize * height as usize;
        let start = self.luma_len() + which * len;
        Plane { data: &self.data[start..start + len], width, height }
    }
}

impl Drop for PlanarFrame {
    fn drop(&mut self) {
        if let Some(shelf) = self.home.upgrade() {
            shelf.put_back(std::mem::take(&mut self.data));
        }
    }
}

impl fmt::Debug for PlanarFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanarFrame({}x{}, {:?})", self.width, self.height, self.color)
    }
}

impl fmt::Debug for RgbaImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbaImage({}x{})", self.width, self.height)
    }
}

/// Buffers of frames that were dropped, kept for the next frames of the same size: a fresh allocation of this size
/// would be mapped, faulted in and unmapped again for every picture.
#[derive(Debug, Clone, Default)]
pub struct FramePool {
    shelf: Arc<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// Buffers kept at most; more than a decoder has frames in flight are of no use.
const SHELF_SIZE: usize = 8;

impl FramePool {
    /// A frame of this size whose bytes `fill` writes; `fill` sees whatever an earlier frame left there.
    ///
    /// # Errors
    /// What `fill` returns.
    pub fn frame<E>(
        &self,
        (width, height): (u32, u32),
        color: ColorInfo,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<PlanarFrame, E> {
        let mut data = self.shelf.take();
        data.resize(PlanarFrame::byte_len(width, height), 0);
        fill(&mut data)?;
        Ok(PlanarFrame { width, height, color, data, home: Arc::downgrade(&self.shelf) })
    }
}

impl Shelf {
    // A panic elsewhere cannot leave a Vec of buffers half-changed, so a poisoned lock is as good as any.
    fn take(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put_back(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < SHELF_SIZE {
            buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_their_chroma_planes_up() {
        let frame = PlanarFrame::new(5, 3, ColorInfo::BT709, (0..27).collect()).expect("15 + 6 + 6 bytes");
        assert_eq!(frame.y().data.len(), 15, "luma is whole");
        assert_eq!((frame.u().width, frame.u().height), (3, 2), "chroma covers the odd column and row");
        assert_eq!(frame.v().data, [21, 22, 23, 24, 25, 26], "V follows U");
        assert!(PlanarFrame::new(5, 3, ColorInfo::BT709, vec![0; 26]).is_none(), "one byte short is refused");
    }

    #[test]
    fn a_dropped_frame_lends_its_buffer_to_the_next() {
        let pool = FramePool::default();
        let fill = |bytes: &mut [u8]| {
            bytes.fill(7);
            Ok::<(), ()>(())
        };
        let first = pool.frame((64, 64), ColorInfo::BT709, fill).expect("filling cannot fail");
        let address = first.data().as_ptr();
        drop(first);
        let second = pool.frame((64, 64), ColorInfo::BT709, |_| Ok::<(), ()>(())).expect("nothing to fail");
        assert_eq!(second.data().as_ptr(), address, "the buffer came back");
    }
}
