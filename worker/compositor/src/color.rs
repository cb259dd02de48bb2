//! Colour as affine maps of code values: R′G′B′ full range, Y′CbCr in its variants, and from one to another.
//!
//! Every space here is an affine image of encoded R′G′B′, so compositing in any of them is the same compositing.
//! Stills are sRGB; sRGB and BT.709 code values are identified, as browsers do. Primaries are never converted.

use composition::Color;

use crate::picture::{ColorMatrix, ColorRange};

/// Three rows; row · (a, b, c, 1) gives one output code value, all in 0–255.
pub(crate) type ColorMap = [[f64; 4]; 3];

/// What the four bytes of a pixel on a canvas or in a packed layer mean. Alpha is multiplied in, offsets included:
/// "black" at half opacity is Y = 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ColorSpace {
    /// Y′CbCr, BT.709, limited range, then alpha.
    Yuva,
    /// R′G′B′, full range, then alpha.
    Rgba,
}

/// Luma weights of red and blue (ITU-T H.273 table 4: BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4).
fn luma_weights(matrix: ColorMatrix) -> (f64, f64) {
    match matrix {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
        ColorMatrix::Bt2020 => (0.2627, 0.0593),
    }
}

/// Black level, luma span and chroma span in 8-bit code values (ITU-T H.273 8.3, equations 22 to 30).
fn code_span(range: ColorRange) -> (f64, f64, f64) {
    match range {
        ColorRange::Limited => (16.0, 219.0, 224.0),
        ColorRange::Full => (0.0, 255.0, 255.0),
    }
}

/// R′G′B′ from Y′CbCr.
pub(crate) fn rgb_from_ycbcr(matrix: ColorMatrix, range: ColorRange) -> ColorMap {
    let (red, blue) = luma_weights(matrix);
    let green = 1.0 - red - blue;
    let (black, luma_span, chroma_span) = code_span(range);
    let (luma, chroma) = (255.0 / luma_span, 255.0 / chroma_span);
    // E′R − E′Y = 2 (1 − Kr) E′PR and the like for blue; green follows from the definition of E′Y.
    let (from_v, from_u) = (2.0 * (1.0 - red) * chroma, 2.0 * (1.0 - blue) * chroma);
    let row = |u: f64, v: f64| [luma, u, v, -luma * black - 128.0 * (u + v)];
    [row(0.0, from_v), row(-from_u * blue / green, -from_v * red / green), row(from_u, 0.0)]
}

/// BT.709 limited-range Y′CbCr from R′G′B′.
pub(crate) fn yuv_from_rgb() -> ColorMap {
    let (red, blue) = luma_weights(ColorMatrix::Bt709);
    let (black, luma_span, chroma_span) = code_span(ColorRange::Limited);
    let y = [red, 1.0 - red - blue, blue];
    let difference = |of: usize, weight: f64| {
        let scale = chroma_span / 255.0 / (2.0 * (1.0 - weight));
        let term = |channel: usize| scale * (f64::from(u8::from(channel == of)) - y[channel]);
        [term(0), term(1), term(2), 128.0]
    };
    let luma = luma_span / 255.0;
    [[y[0] * luma, y[1] * luma, y[2] * luma, black], difference(2, blue), difference(0, red)]
}

/// To `space` from a video's Y′CbCr.
pub(crate) fn from_ycbcr(space: ColorSpace, matrix: ColorMatrix, range: ColorRange) -> ColorMap {
    let to_rgb = rgb_from_ycbcr(matrix, range);
    match space {
        ColorSpace::Rgba => to_rgb,
        // The product of a matrix and its inverse would be the identity only nearly.
        ColorSpace::Yuva if (matrix, range) == (ColorMatrix::Bt709, ColorRange::Limited) => {
            [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
        }
        ColorSpace::Yuva => compose(&yuv_from_rgb(), &to_rgb),
    }
}

/// To `space` from R′G′B′.
pub(crate) fn from_rgb(space: ColorSpace) -> ColorMap {
    match space {
        ColorSpace::Rgba => [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
        ColorSpace::Yuva => yuv_from_rgb(),
    }
}

/// Whether a map only stretches and shifts each channel, so that luma needs no chroma.
pub(crate) fn keeps_channels_apart(map: &ColorMap) -> bool {
    // Two decimal orders below what moves an 8-bit sample, far above the rounding of the products.
    map.iter()
        .enumerate()
        .all(|(row, terms)| (0..3).all(|column| row == column || terms[column].abs() < 1e-5))
}

/// A colour in `space`, alpha multiplied in, to the nearest code values.
pub(crate) fn premultiplied(color: Color, space: ColorSpace) -> [u8; 4] {
    let alpha = f64::from(color.a) / 255.0;
    let rgb = [f64::from(color.r), f64::from(color.g), f64::from(color.b), 1.0];
    let value = |row: [f64; 4]| libm::round(alpha * (0..4).map(|i| row[i] * rgb[i]).sum::<f64>()) as u8;
    let [first, second, third] = from_rgb(space);
    [value(first), value(second), value(third), color.a]
}

fn compose(outer: &ColorMap, inner: &ColorMap) -> ColorMap {
    outer.map(|row| {
        let mut sum = [0.0, 0.0, 0.0, row[3]];
        for (weight, terms) in row.iter().zip(inner) {
            for (total, term) in sum.iter_mut().zip(terms) {
                *total += weight * term;
            }
        }
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primaries_have_their_known_code_values() {
        let color = |r, g, b| premultiplied(Color { r, g, b, a: 255 }, ColorSpace::Yuva);
        // BT.709 colour bars at 100 %: the 8-bit values of ITU-R BT.1729 table 2.
        assert_eq!(color(255, 255, 255), [235, 128, 128, 255], "white");
        assert_eq!(color(255, 255, 0), [219, 16, 138, 255], "yellow");
        assert_eq!(color(0, 255, 0), [173, 42, 26, 255], "green");
        assert_eq!(color(255, 0, 0), [63, 102, 240, 255], "red");
        assert_eq!(color(0, 0, 255), [32, 240, 118, 255], "blue");
        assert_eq!(color(0, 0, 0), [16, 128, 128, 255], "black");
    }

    #[test]
    fn there_and_back_is_the_identity() {
        let round = compose(&yuv_from_rgb(), &rgb_from_ycbcr(ColorMatrix::Bt709, ColorRange::Limited));
        for (row, terms) in round.iter().enumerate() {
            for (column, term) in terms.iter().enumerate() {
                let expected = f64::from(u8::from(row == column));
                assert!((term - expected).abs() < 1e-9, "{row}, {column}: {term}");
            }
        }
    }

    #[test]
    fn full_range_of_the_same_matrix_keeps_channels_apart_and_another_matrix_does_not() {
        let map = |matrix, range| from_ycbcr(ColorSpace::Yuva, matrix, range);
        assert!(keeps_channels_apart(&map(ColorMatrix::Bt709, ColorRange::Full)), "a stretch and a shift");
        assert!(!keeps_channels_apart(&map(ColorMatrix::Bt601, ColorRange::Limited)), "luma needs chroma");
    }
}
