//! JPEG stills: lossy, opaque.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::still::{Pixels, Still, StillError};

/// The quality where the caller names none.
pub const DEFAULT_QUALITY: u8 = 90;

/// The file of a still at `quality` 1–100, with a chroma sample for every pixel. Alpha is flattened on black.
///
/// # Errors
/// Where a side is longer than JPEG can say.
pub fn encode(still: Still<'_>, quality: u8) -> Result<Vec<u8>, StillError> {
    let Still { width, height, .. } = still;
    let (Ok(short_width), Ok(short_height)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(StillError::TooLargeForJpeg { width, height });
    };
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    match still.pixels {
        Pixels::Rgb => encoder.encode(still.bytes, short_width, short_height, ColorType::Rgb)?,
        Pixels::Rgba => {
            let flat = flattened_on_black(still.bytes);
            encoder.encode(&flat, short_width, short_height, ColorType::Rgb)?;
        }
    }
    Ok(file)
}

fn flattened_on_black(rgba: &[u8]) -> Vec<u8> {
    let (pixels, _) = rgba.as_chunks::<4>();
    // Rounded to nearest, and exact for alpha 255; at most 255, so the cast loses nothing.
    let flatten = |channel: u8, alpha: u8| ((u32::from(channel) * u32::from(alpha) + 127) / 255) as u8;
    pixels.iter().flat_map(|&[r, g, b, a]| [r, g, b].map(|channel| flatten(channel, a))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpha_is_flattened_on_black() {
        let flat = flattened_on_black(&[255, 128, 3, 255, 255, 128, 3, 128, 9, 9, 9, 0]);
        assert_eq!(flat, [255, 128, 3, 128, 64, 2, 0, 0, 0], "opaque, half and not at all");
    }

    #[test]
    fn every_pixel_has_its_own_chroma() {
        let pixels: Vec<u8> =
            (0..32 * 32).flat_map(|i| if i % 2 == 0 { [255, 0, 0] } else { [0, 0, 255] }).collect();
        let file = encode(Still::new(32, 32, Pixels::Rgb, &pixels).expect("a still"), DEFAULT_QUALITY);
        let file = file.expect("a file");
        // SOF0 (ITU-T T.81 B.2.2): marker, length 17, precision 8, sides, 3 components of (id, factors, table).
        let frame = file.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame header");
        assert_eq!(file[frame + 4..frame + 10], [8, 0, 32, 0, 32, 3], "8 bits, 32 by 32, 3 components");
        let factors = [11, 14, 17].map(|at| file[frame + at]);
        assert_eq!(factors, [0x11; 3], "4:4:4");
    }

    #[test]
    fn a_side_that_jpeg_cannot_say_is_refused() {
        let row = vec![0; 65_536 * 3];
        let still = Still::new(65_536, 1, Pixels::Rgb, &row).expect("a still");
        assert!(encode(still, DEFAULT_QUALITY).is_err(), "65 535 is the longest side");
    }
}
