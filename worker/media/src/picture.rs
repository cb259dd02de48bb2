//! The finished canvas as a video encoder reads it.
//!
//! Promises: a view that could be made covers its planes, so the encoder may hand their addresses to foreign code. Must
//! not know: what made the pixels.

use thiserror::Error;

/// A borrowed 8-bit 4:2:0 picture with even sides: BT.709, limited range, chroma sited left.
#[derive(Debug, Clone, Copy)]
pub struct I420<'a> {
    width: u32,
    height: u32,
    planes: [Plane<'a>; 3],
}

/// One plane of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// Samples, row after row.
    pub bytes: &'a [u8],
    /// Bytes from the start of a row to the start of the next.
    pub stride: usize,
}

/// Why planes make no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PictureError {
    /// 4:2:0 stores chroma for pairs of pixels.
    #[error("use a {width}x{height} picture: 4:2:0 needs even sides above 0")]
    OddSides {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Rows that overlap or are missing.
    #[error("use plane {plane}: {width}x{height} samples at stride {stride} do not lie in {length} bytes")]
    ShortPlane {
        /// 0 is luma, 1 and 2 are chroma.
        plane: usize,
        /// Samples in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes from row to row.
        stride: usize,
        /// Bytes there are.
        length: usize,
    },
}

impl<'a> I420<'a> {
    /// A picture of `width` × `height` pixels from its Y, Cb and Cr planes; the chroma planes are half as wide and high.
    ///
    /// # Errors
    /// Where a side is odd or 0, a stride is shorter than its row, or a plane shorter than its rows.
    pub fn new(width: u32, height: u32, planes: [Plane<'a>; 3]) -> Result<I420<'a>, PictureError> {
        if width == 0 || height == 0 || !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(PictureError::OddSides { width, height });
        }
        for (plane, Plane { bytes, stride }) in planes.iter().enumerate() {
            let (width, height) = if plane == 0 { (width, height) } else { (width / 2, height / 2) };
            let needed = stride.checked_mul(height as usize - 1).and_then(|n| n.checked_add(width as usize));
            if *stride < width as usize || needed.is_none_or(|needed| bytes.len() < needed) {
                let (stride, length) = (*stride, bytes.len());
                return Err(PictureError::ShortPlane { plane, width, height, stride, length });
            }
        }
        Ok(I420 { width, height, planes })
    }

    /// Pixels in a row.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Y, Cb and Cr.
    #[must_use]
    pub fn planes(&self) -> &[Plane<'a>; 3] {
        &self.planes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_that_lacks_its_last_sample_is_refused() {
        let (luma, chroma) = ([0_u8; 20], [0_u8; 6]);
        let make = |luma, chroma| {
            let chroma = Plane { bytes: chroma, stride: 4 };
            I420::new(4, 4, [Plane { bytes: luma, stride: 5 }, chroma, chroma])
        };
        assert!(make(&luma[..19], &chroma[..]).is_ok(), "padding after the last row is not needed");
        let short = PictureError::ShortPlane { plane: 0, width: 4, height: 4, stride: 5, length: 18 };
        assert_eq!(make(&luma[..18], &chroma[..]).err(), Some(short), "the last row must be whole");
        let short = PictureError::ShortPlane { plane: 1, width: 2, height: 2, stride: 4, length: 5 };
        assert_eq!(make(&luma[..], &chroma[..5]).err(), Some(short), "in the chroma planes too");
    }

    #[test]
    fn odd_sides_are_refused() {
        let plane = Plane { bytes: &[0; 100], stride: 10 };
        let refused = PictureError::OddSides { width: 5, height: 4 };
        assert_eq!(I420::new(5, 4, [plane; 3]).err(), Some(refused), "there is no half chroma sample");
    }
}
