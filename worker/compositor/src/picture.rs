//! The pictures that layers show: decoded video frames as planes, stills and text pixmaps as RGBA.
//!
//! Promises: a picture that could be made has planes long enough for its size, so nothing behind this file checks
//! again. Must not know: where pictures come from, nor what a GPU is.

use scene::LayerSource;
use thiserror::Error;

/// The coefficients that made Y′CbCr of R′G′B′ (ITU-T H.273 table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorMatrix {
    /// Kr = 0.299, Kb = 0.114.
    Bt601,
    /// Kr = 0.2126, Kb = 0.0722.
    Bt709,
    /// Kr = 0.2627, Kb = 0.0593, non-constant luminance.
    Bt2020,
}

/// Which code values stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// Luma 16–235, chroma 16–240.
    Limited,
    /// 0–255.
    Full,
}

/// A borrowed 8-bit 4:2:0 picture, chroma sited left.
#[derive(Debug, Clone, Copy)]
pub struct PlanarImage<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) y: &'a [u8],
    pub(crate) y_stride: usize,
    pub(crate) u: &'a [u8],
    pub(crate) v: &'a [u8],
    pub(crate) c_stride: usize,
    pub(crate) matrix: ColorMatrix,
    pub(crate) range: ColorRange,
}

impl<'a> PlanarImage<'a> {
    /// A picture of `width` × `height` luma samples; the chroma planes have half as many, rounded up.
    /// `[y, u, v]` with their strides in bytes, the last of which serves both chroma planes.
    ///
    /// # Errors
    /// Where a side is 0, a stride is shorter than its row or a plane shorter than its rows.
    pub fn new(
        (width, height): (u32, u32),
        [y, u, v]: [&'a [u8]; 3],
        (y_stride, c_stride): (usize, usize),
        matrix: ColorMatrix,
        range: ColorRange,
    ) -> Result<PlanarImage<'a>, PictureError> {
        let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
        check_plane("luma", (width, height), y.len(), y_stride)?;
        check_plane("first chroma", (chroma_width, chroma_height), u.len(), c_stride)?;
        check_plane("second chroma", (chroma_width, chroma_height), v.len(), c_stride)?;
        Ok(PlanarImage { width, height, y, y_stride, u, v, c_stride, matrix, range })
    }
}

/// Names the pixels of a still for the texture cache: equal keys promise equal pixels, in every composition and
/// for as long as the process lives. Digests of the contents make good keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PictureKey(pub u128);

/// What the fourth byte of a pixel means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpha {
    /// Nothing: the picture is opaque and the byte is ignored.
    Opaque,
    /// Opacity, not multiplied into the colour: how files store it.
    Unassociated,
    /// Opacity, multiplied into the colour: how rasterised text comes.
    Premultiplied,
}

/// A borrowed RGBA picture, 8 bits each, rows without gaps, sRGB code values.
#[derive(Debug, Clone, Copy)]
pub struct RgbaImage<'a> {
    pub(crate) key: PictureKey,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: &'a [u8],
    pub(crate) alpha: Alpha,
}

impl<'a> RgbaImage<'a> {
    /// A picture of `width` × `height` pixels.
    ///
    /// # Errors
    /// Where a side is 0 or there are fewer than `4 · width · height` bytes.
    pub fn new(
        key: PictureKey,
        (width, height): (u32, u32),
        pixels: &'a [u8],
        alpha: Alpha,
    ) -> Result<RgbaImage<'a>, PictureError> {
        check_plane("RGBA", (width, height), pixels.len() / 4, width as usize)?;
        Ok(RgbaImage { key, width, height, pixels, alpha })
    }
}

/// The pixels of a layer.
#[derive(Debug, Clone, Copy)]
pub enum Picture<'a> {
    /// A video frame. Uploaded for every frame that samples it.
    Planar(PlanarImage<'a>),
    /// A still or a text pixmap. Converted and uploaded once, then found by its key.
    Rgba(RgbaImage<'a>),
}

impl Picture<'_> {
    /// What the frame graph needs to know of it.
    #[must_use]
    pub fn facts(&self) -> PictureFacts {
        match *self {
            Picture::Planar(PlanarImage { width, height, matrix, range, .. }) => {
                PictureFacts { width, height, content: PictureContent::Planar { matrix, range } }
            }
            Picture::Rgba(RgbaImage { width, height, alpha, .. }) => PictureFacts {
                width,
                height,
                content: PictureContent::Rgba { opaque: alpha == Alpha::Opaque },
            },
        }
    }
}

/// A picture without its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFacts {
    /// Stored pixels in a row.
    pub width: u32,
    /// Stored rows.
    pub height: u32,
    /// How colour is stored.
    pub content: PictureContent,
}

/// How a picture stores colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureContent {
    /// [`PlanarImage`].
    Planar {
        /// Which Y′CbCr.
        matrix: ColorMatrix,
        /// Which code values.
        range: ColorRange,
    },
    /// [`RgbaImage`].
    Rgba {
        /// Whether every pixel is.
        opaque: bool,
    },
}

/// Where the compositor finds the pixels that a scene names.
pub trait Pictures {
    /// The picture of `source`; `None` where there is none, which fails the frame.
    fn picture(&self, source: &LayerSource) -> Option<Picture<'_>>;
}

/// Why bytes make no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PictureError {
    /// A side of 0.
    #[error("use a {width}x{height} picture: it has no pixels")]
    Empty {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Rows that overlap or are missing.
    #[error("use the {plane} plane: {width}x{height} samples at stride {stride} do not lie in {length}")]
    TooShort {
        /// Which plane.
        plane: &'static str,
        /// Samples in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Samples from row to row.
        stride: usize,
        /// Samples there are.
        length: usize,
    },
}

fn check_plane(
    plane: &'static str,
    (width, height): (u32, u32),
    length: usize,
    stride: usize,
) -> Result<(), PictureError> {
    if width == 0 || height == 0 {
        return Err(PictureError::Empty { width, height });
    }
    let last_row = stride.checked_mul(height as usize - 1);
    let needed = last_row.and_then(|start| start.checked_add(width as usize));
    match needed {
        Some(needed) if stride >= width as usize && length >= needed => Ok(()),
        _ => Err(PictureError::TooShort { plane, width, height, stride, length }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shorter_than_its_size_is_refused() {
        let (luma, chroma) = ([0_u8; 12], [0_u8; 3]);
        let make = |y_stride, y: &[u8]| {
            let planes = [y, &chroma[..], &chroma[..]];
            PlanarImage::new((3, 3), planes, (y_stride, 2), ColorMatrix::Bt709, ColorRange::Limited).err()
        };
        let short =
            PictureError::TooShort { plane: "first chroma", width: 2, height: 2, stride: 2, length: 3 };
        assert_eq!(make(4, &luma), Some(short), "three chroma samples are one too few for 2x2");
        assert!(make(2, &luma).is_some(), "rows may not overlap");
        assert!(make(4, &luma[..10]).is_some(), "the last row must be whole");
    }
}
