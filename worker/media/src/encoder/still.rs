//! A finished still as the image encoders read it.

use thiserror::Error;

/// Which bytes a pixel has; 8 bits each, sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels {
    /// Red, green, blue.
    Rgb,
    /// Red, green, blue, and an alpha that is not multiplied into them.
    Rgba,
}

impl Pixels {
    /// Bytes of one pixel.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Pixels::Rgb => 3,
            Pixels::Rgba => 4,
        }
    }
}

/// A borrowed still, rows without gaps.
#[derive(Debug, Clone, Copy)]
pub struct Still<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: Pixels,
    pub(super) bytes: &'a [u8],
}

impl<'a> Still<'a> {
    /// A still of `width` × `height` pixels.
    ///
    /// # Errors
    /// Where a side is 0 or `bytes` has not exactly that many pixels.
    pub fn new(width: u32, height: u32, pixels: Pixels, bytes: &'a [u8]) -> Result<Still<'a>, StillError> {
        let length =
            (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(pixels.bytes()));
        if width == 0 || height == 0 || length != Some(bytes.len()) {
            return Err(StillError::WrongSize { width, height, length: bytes.len() });
        }
        Ok(Still { width, height, pixels, bytes })
    }
}

/// Why a still was not encoded.
#[derive(Debug, Error)]
pub enum StillError {
    /// Bytes and size disagree.
    #[error("use a {width}x{height} still of {length} bytes")]
    WrongSize {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes there are.
        length: usize,
    },
    /// JPEG stores sides in 16 bits (ITU-T T.81 B.2.2).
    #[error("encode a {width}x{height} still as JPEG: no side may be longer than 65535")]
    TooLargeForJpeg {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The PNG encoder failed.
    #[error("encode a PNG")]
    Png(#[from] png::EncodingError),
    /// The JPEG encoder failed.
    #[error("encode a JPEG")]
    Jpeg(#[from] jpeg_encoder::EncodingError),
}
