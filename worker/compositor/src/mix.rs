//! Finished frames added up in shares, and a finished frame as a picture of the next one.
//!
//! Compositing is affine in what a layer shows, so the sum of frames is the frame of the sum, up to the rounding of each.

use crate::canvas::{CanvasFrame, CanvasKind, Plane, Planes};
use crate::picture::{Alpha, ColorMatrix, ColorRange, Picture, PictureKey, PlanarImage, RgbaImage};

/// Shares in parts of this: products with bytes, and sums of them, fit 32 bits.
const WHOLE: u32 = 1 << 16;

/// Bytes added up at a time.
const BLOCK: usize = 4096;

/// Adds frames of one canvas up, in shares that sum to 1. `None` where there is no frame.
#[must_use]
pub fn mix(parts: Vec<(f64, CanvasFrame)>) -> Option<CanvasFrame> {
    let weights = weights(&parts);
    let mut frames: Vec<CanvasFrame> = parts.into_iter().map(|(_, frame)| frame).collect();
    let mut mixed = frames.pop()?;
    if frames.is_empty() {
        return Some(mixed);
    }
    let mut bytes = std::mem::take(&mut mixed.bytes);
    let others: Vec<&[u8]> = frames.iter().map(|frame| frame.bytes.as_slice()).collect();
    match mixed.layout.kind {
        CanvasKind::I420 | CanvasKind::Rgba { opaque: true } => add(&mut bytes, &others, &weights),
        CanvasKind::Rgba { opaque: false } => add_unassociated(&mut bytes, &others, &weights),
    }
    mixed.bytes = bytes;
    Some(mixed)
}

/// The shares as whole numbers that sum to [`WHOLE`] exactly, so that what is alike in all frames stays as it is.
fn weights(parts: &[(f64, CanvasFrame)]) -> Vec<u32> {
    let mut left = WHOLE;
    let mut weights = Vec::with_capacity(parts.len());
    for (share, _) in parts {
        let weight = ((share * f64::from(WHOLE)).round() as u32).min(left);
        left -= weight;
        weights.push(weight);
    }
    if let Some(last) = weights.last_mut() {
        *last += left;
    }
    weights
}

/// `bytes` becomes the sum of all; the last weight is its own.
fn add(bytes: &mut [u8], others: &[&[u8]], weights: &[u32]) {
    let own = weights[others.len()];
    for (block, bytes) in bytes.chunks_mut(BLOCK).enumerate() {
        let mut sums = [WHOLE / 2; BLOCK];
        for (sum, byte) in sums.iter_mut().zip(bytes.iter()) {
            *sum += own * u32::from(*byte);
        }
        for (other, weight) in others.iter().zip(weights) {
            for (sum, byte) in sums.iter_mut().zip(&other[block * BLOCK..]) {
                *sum += weight * u32::from(*byte);
            }
        }
        for (byte, sum) in bytes.iter_mut().zip(&sums) {
            *byte = (sum / WHOLE) as u8;
        }
    }
}

/// The same for pixels whose alpha is not multiplied in: colours count as much as they are opaque.
fn add_unassociated(bytes: &mut [u8], others: &[&[u8]], weights: &[u32]) {
    for at in (0..bytes.len()).step_by(4) {
        let (mut color, mut alpha) = ([0_u64; 3], 0_u64);
        for (source, weight) in others.iter().copied().chain([&*bytes]).zip(weights) {
            let opacity = u64::from(*weight) * u64::from(source[at + 3]);
            alpha += opacity;
            for (sum, value) in color.iter_mut().zip(&source[at..]) {
                *sum += opacity * u64::from(*value);
            }
        }
        for (value, sum) in bytes[at..].iter_mut().zip(color) {
            *value = (sum + alpha / 2).checked_div(alpha).unwrap_or(0) as u8;
        }
        bytes[at + 3] = ((alpha + u64::from(WHOLE) / 2) / u64::from(WHOLE)) as u8;
    }
}

/// A finished frame that further layers are painted on: the picture of [`scene::LayerSource::Backdrop`].
#[derive(Debug)]
pub struct Backdrop {
    frame: CanvasFrame,
    /// The pixels without the gaps between a canvas' rows, and their name, where they are RGBA.
    pixels: Option<(PictureKey, Vec<u8>)>,
}

impl Backdrop {
    /// A finished frame as a picture; `key` names the pixels of an RGBA frame.
    #[must_use]
    pub fn new(frame: CanvasFrame, key: impl FnOnce(&[u8]) -> PictureKey) -> Backdrop {
        let pixels = match frame.planes() {
            Planes::I420 { .. } => None,
            Planes::Rgba(Plane { bytes, stride }) => {
                let (width, height) = (frame.size().width as usize, frame.size().height as usize);
                let rows = bytes.chunks(stride).take(height).flat_map(|row| &row[..4 * width]);
                Some(rows.copied().collect::<Vec<u8>>())
            }
        };
        let pixels = pixels.map(|pixels| (key(&pixels), pixels));
        Backdrop { frame, pixels }
    }

    /// The picture; `None` never, for a frame is as long as its size says.
    #[must_use]
    pub fn picture(&self) -> Option<Picture<'_>> {
        let size = (self.frame.size().width, self.frame.size().height);
        match (self.frame.planes(), &self.pixels) {
            (Planes::I420 { y, u, v }, _) => {
                let planes = [y.bytes, u.bytes, v.bytes];
                let (matrix, range) = (ColorMatrix::Bt709, ColorRange::Limited);
                PlanarImage::new(size, planes, (y.stride, u.stride), matrix, range).ok().map(Picture::Planar)
            }
            (Planes::Rgba(_), Some((key, pixels))) => {
                let opaque = self.frame.layout.kind == CanvasKind::Rgba { opaque: true };
                let alpha = if opaque { Alpha::Opaque } else { Alpha::Unassociated };
                RgbaImage::new(*key, size, pixels, alpha).ok().map(Picture::Rgba)
            }
            (Planes::Rgba(_), None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use composition::Size;

    use super::*;
    use crate::canvas::{Bytes, CanvasLayout};

    fn frame(kind: CanvasKind, pixel: &[u8]) -> CanvasFrame {
        let layout = CanvasLayout::new(Size { width: 70, height: 18 }, kind).expect("a canvas");
        let bytes = pixel.iter().copied().cycle().take(layout.total() as usize).collect();
        CanvasFrame { layout, bytes, pool: Bytes::default() }
    }

    #[test]
    fn shares_of_frames_add_up_and_what_is_alike_stays() {
        let mixed = |parts: &[(f64, u8)]| {
            let parts = parts.iter().map(|(share, value)| (*share, frame(CanvasKind::I420, &[*value, 77])));
            let mixed = mix(parts.collect()).expect("frames");
            (mixed.bytes[0], mixed.bytes[1], *mixed.bytes.last().expect("bytes"))
        };
        assert_eq!(mixed(&[(1.0, 9)]), (9, 77, 77), "one as a whole");
        assert_eq!(mixed(&[(0.75, 100), (0.25, 200)]), (125, 77, 77));
        assert_eq!(mixed(&[(1.0 / 3.0, 0), (1.0 / 3.0, 90), (1.0 / 3.0, 255)]), (115, 77, 77));
    }

    #[test]
    fn a_transparent_share_thins_a_colour_and_does_not_darken_it() {
        let kind = CanvasKind::Rgba { opaque: false };
        let parts = vec![(0.25, frame(kind, &[200, 100, 50, 255])), (0.75, frame(kind, &[0, 0, 0, 0]))];
        assert_eq!(mix(parts).expect("frames").bytes[..4], [200, 100, 50, 64]);
    }

    #[test]
    fn a_frame_is_a_picture_of_its_own_size() {
        for kind in [CanvasKind::I420, CanvasKind::Rgba { opaque: true }, CanvasKind::Rgba { opaque: false }]
        {
            let backdrop = Backdrop::new(frame(kind, &[1, 2, 3, 4]), |_| PictureKey(7));
            let facts = backdrop.picture().expect("a picture").facts();
            assert_eq!((facts.width, facts.height), (70, 18), "{kind}");
        }
    }
}
