//! Pictures made ready for upload, on the CPU: converted to a canvas' colour space, halved, bordered.

use crate::color::{self, ColorSpace};
use crate::frame_graph::{Level, texture_side};
use crate::picture::{Alpha, RgbaImage};

/// How texels lie in their texture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Form {
    /// The picture alone; what a texture has too much repeats its last column and row.
    Bare,
    /// One transparent texel around the picture, for gathering.
    Bordered,
    /// One texel around the picture with the means of its outermost pixels alone: where a halved picture is repeated
    /// beyond its sides, those must be repeated, not the means of the outermost blocks.
    Framed,
}

impl Form {
    /// Texels added on every side.
    pub(crate) fn margin(self) -> u32 {
        match self {
            Form::Bare => 0,
            Form::Bordered | Form::Framed => 1,
        }
    }

    /// The size in texels of a picture of `size` pixels at `level`, margin included.
    pub(crate) fn size(self, size: (u32, u32), level: Level) -> (u32, u32) {
        let (width, height) = level.size(size);
        (width + 2 * self.margin(), height + 2 * self.margin())
    }

    /// The size of its texture.
    pub(crate) fn texture_size(self, size: (u32, u32), level: Level) -> (u32, u32) {
        let (width, height) = self.size(size, level);
        (texture_side(width), texture_side(height))
    }
}

/// The texels of `image` in `space`, halved to `level`, four bytes each, filling their texture.
pub(crate) fn pack(image: &RgbaImage<'_>, space: ColorSpace, level: Level, form: Form) -> Vec<u8> {
    let size = (image.width, image.height);
    let map = color::from_rgb(space).map(|row| row.map(|term| term as f32));
    let part = |(x, y): (u32, u32), size: (u32, u32), level: Level| {
        let stride = 4 * image.width as usize;
        let pixels = &image.pixels[y as usize * stride + 4 * x as usize..];
        averages(pixels, stride, size, (image.alpha, &map), level)
    };
    let texels = match form {
        Form::Bare => part((0, 0), size, level),
        Form::Bordered => bordered(&part((0, 0), size, level), level.size(size)),
        Form::Framed => framed::<4>(size, level, part),
    };
    fill::<4>(texels, form.size(size, level), form.texture_size(size, level))
}

/// Samples of a plane, halved to `level`, filling their texture.
pub(crate) fn plane(plane: &[u8], stride: usize, size: (u32, u32), level: Level, form: Form) -> Vec<u8> {
    let part = |(x, y): (u32, u32), size: (u32, u32), level: Level| {
        halved(&plane[y as usize * stride + x as usize..], stride, size, level)
    };
    match form {
        Form::Bare | Form::Bordered => part((0, 0), size, level),
        Form::Framed => framed::<1>(size, level, part),
    }
}

/// The means of blocks of pixels, converted exactly and with alpha multiplied in, rounded once.
fn averages(
    pixels: &[u8],
    stride: usize,
    (width, height): (u32, u32),
    (alpha, map): (Alpha, &[[f32; 4]; 3]),
    level: Level,
) -> Vec<u8> {
    let (out_width, out_height) = level.size((width, height));
    let (block_columns, block_rows) = (1_usize << level.x, 1_usize << level.y);
    let mut texels = vec![0; 4 * out_width as usize * out_height as usize];
    let mut sums = vec![[0.0_f32; 4]; width as usize];
    for (y, row) in texels.chunks_exact_mut(4 * out_width as usize).enumerate() {
        let block = y * block_rows..((y + 1) * block_rows).min(height as usize);
        sums.fill([0.0; 4]);
        for y in block.clone() {
            add_premultiplied(&pixels[y * stride..][..4 * width as usize], alpha, map, &mut sums);
        }
        for (texel, columns) in row.chunks_exact_mut(4).zip(sums.chunks(block_columns)) {
            let share = 1.0 / (block.len() * columns.len()) as f32;
            for (channel, value) in texel.iter_mut().enumerate() {
                // Float to integer casts saturate: no picture, however wrong, reaches beyond a byte.
                *value = (columns.iter().map(|sum| sum[channel]).sum::<f32>() * share + 0.5) as u8;
            }
        }
    }
    texels
}

/// Texels with a transparent one on every side.
fn bordered(texels: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let row_bytes = 4 * width as usize;
    let mut bordered = vec![0; (row_bytes + 8) * (height as usize + 2)];
    let rows = bordered.chunks_exact_mut(row_bytes + 8).skip(1);
    for (row, from) in rows.zip(texels.chunks_exact(row_bytes)) {
        row[4..4 + row_bytes].copy_from_slice(from);
    }
    bordered
}

/// A halved picture with its outermost pixels around it, halved along the side. `part` halves a part of the picture,
/// given its origin, its size and how often.
fn framed<const CHANNELS: usize>(
    (width, height): (u32, u32),
    level: Level,
    part: impl Fn((u32, u32), (u32, u32), Level) -> Vec<u8>,
) -> Vec<u8> {
    let inner = part((0, 0), (width, height), level);
    let inner_bytes = CHANNELS * level.size((width, height)).0 as usize;
    let across = Level { y: 0, ..level };
    let down = Level { x: 0, ..level };
    let corner = |x, y| part((x, y), (1, 1), Level::default());
    let row = |y| [corner(0, y), part((0, y), (width, 1), across), corner(width - 1, y)].concat();
    let (left, right) = (part((0, 0), (1, height), down), part((width - 1, 0), (1, height), down));
    let mut framed = row(0);
    let sides = left.chunks_exact(CHANNELS).zip(right.chunks_exact(CHANNELS));
    for (texels, (left, right)) in inner.chunks_exact(inner_bytes).zip(sides) {
        framed.extend([left, texels, right].concat());
    }
    framed.extend(row(height - 1));
    framed
}

/// Texels of a picture of `size`, made to fill a texture by repeating the last column and row.
pub(crate) fn fill<const CHANNELS: usize>(texels: Vec<u8>, size: (u32, u32), texture: (u32, u32)) -> Vec<u8> {
    if size == texture {
        texels
    } else {
        filled::<CHANNELS>(&texels, CHANNELS * size.0 as usize, size, texture)
    }
}

/// Repeats the last column and row of a picture of `size` in the rest of its texture.
fn repeat_ends<const CHANNELS: usize>(texels: &mut [u8], size: (u32, u32), texture: (u32, u32)) {
    let row_bytes = CHANNELS * texture.0 as usize;
    let used = CHANNELS * size.0 as usize;
    for row in texels.chunks_exact_mut(row_bytes).take(size.1 as usize) {
        let (picture, rest) = row.split_at_mut(used);
        rest.chunks_exact_mut(CHANNELS).for_each(|texel| texel.copy_from_slice(&picture[used - CHANNELS..]));
    }
    let last = (size.1 as usize - 1) * row_bytes;
    for row in size.1 as usize..texture.1 as usize {
        texels.copy_within(last..last + row_bytes, row * row_bytes);
    }
}

/// Samples of `CHANNELS` bytes in rows `stride` bytes apart, their last column and row repeated to fill a texture.
pub(crate) fn filled<const CHANNELS: usize>(
    samples: &[u8],
    stride: usize,
    size: (u32, u32),
    texture: (u32, u32),
) -> Vec<u8> {
    let (row_bytes, used) = (CHANNELS * texture.0 as usize, CHANNELS * size.0 as usize);
    let mut texels = vec![0; row_bytes * texture.1 as usize];
    for (row, from) in texels.chunks_exact_mut(row_bytes).zip(samples.chunks(stride)).take(size.1 as usize) {
        row[..used].copy_from_slice(&from[..used]);
    }
    repeat_ends::<CHANNELS>(&mut texels, size, texture);
    texels
}

/// Adds a row of pixels, converted by `map` and with alpha multiplied in.
fn add_premultiplied(pixels: &[u8], alpha: Alpha, map: &[[f32; 4]; 3], sums: &mut [[f32; 4]]) {
    for (sum, pixel) in sums.iter_mut().zip(pixels.chunks_exact(4)) {
        let (r, g, b) = (f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2]));
        let full = if alpha == Alpha::Opaque { 255.0 } else { f32::from(pixel[3]) };
        let opacity = full / 255.0;
        let associate = if alpha == Alpha::Unassociated { opacity } else { 1.0 };
        for (sum, row) in sum.iter_mut().zip(map) {
            *sum += (row[0] * r + row[1] * g + row[2] * b) * associate + row[3] * opacity;
        }
        sum[3] += full;
    }
}

/// A plane of rows `stride` bytes apart, halved along each axis as often as `level` says: the mean of each block, of
/// what there is of it at an odd end, rounded once.
fn halved(plane: &[u8], stride: usize, (width, height): (u32, u32), level: Level) -> Vec<u8> {
    let (out_width, out_height) = level.size((width, height));
    let mut halved = vec![0; out_width as usize * out_height as usize];
    let mut sums = vec![0_u16; width as usize];
    let block_rows = 1_usize << level.y;
    for (y, out) in halved.chunks_exact_mut(out_width as usize).enumerate() {
        let rows = y * block_rows..((y + 1) * block_rows).min(height as usize);
        // At most 256 rows of bytes: the sums fit.
        sums.clear();
        sums.resize(width as usize, 0);
        for row in rows.clone() {
            for (sum, sample) in sums.iter_mut().zip(&plane[row * stride..][..width as usize]) {
                *sum += u16::from(*sample);
            }
        }
        average_columns(&mut sums, rows.len(), 1 << level.x, out);
    }
    halved
}

/// The means of blocks of `columns` (a power of two) samples of a row that is the sum of `rows` rows.
fn average_columns(sums: &mut Vec<u16>, rows: usize, columns: usize, out: &mut [u8]) {
    let whole = sums.len() / columns;
    let remainder: u32 = sums[whole * columns..].iter().map(|sum| u32::from(*sum)).sum();
    let remaining = rows * (sums.len() % columns);
    if rows * columns <= 256 {
        // Sixteen bits hold the sum of a whole block, and the compiler makes vectors of pairs.
        let mut width = columns;
        while width > 1 {
            *sums = sums.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
            width /= 2;
        }
        let (half, shift) = ((rows * columns / 2) as u16, (rows * columns).trailing_zeros());
        let by_shift = (rows * columns).is_power_of_two();
        for (out, sum) in out.iter_mut().zip(&sums[..whole]) {
            let total = *sum + half;
            *out = if by_shift { total >> shift } else { total / (rows * columns) as u16 } as u8;
        }
    } else {
        for (out, block) in out.iter_mut().zip(sums.chunks_exact(columns)) {
            let sum: u32 = block.iter().map(|sum| u32::from(*sum)).sum();
            *out = ((sum as usize + rows * columns / 2) / (rows * columns)) as u8;
        }
    }
    if let (true, Some(last)) = (remaining > 0, out.last_mut()) {
        *last = ((remainder as usize + remaining / 2) / remaining) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::PictureKey;

    fn image(pixels: &[u8], size: (u32, u32), alpha: Alpha) -> RgbaImage<'_> {
        RgbaImage::new(PictureKey(0), size, pixels, alpha).expect("a whole picture")
    }

    #[test]
    fn unassociated_and_premultiplied_pixels_of_one_colour_give_one_texel() {
        let straight = image(&[255, 255, 255, 51], (1, 1), Alpha::Unassociated);
        let premultiplied = image(&[51, 51, 51, 51], (1, 1), Alpha::Premultiplied);
        let texel = |image| pack(image, ColorSpace::Yuva, Level::default(), Form::Bare)[..4].to_vec();
        assert_eq!(texel(&straight), [47, 26, 26, 51], "a fifth of white's 235, 128, 128");
        assert_eq!(texel(&straight), texel(&premultiplied), "however it was stored");
    }

    #[test]
    fn halving_averages_and_keeps_an_odd_end() {
        let level = Level { x: 1, y: 1 };
        assert_eq!(halved(&[0, 10, 20, 30, 40, 50], 3, (3, 2), level), [20, 35], "2x2, then 1x2");
        let across = Level { x: 1, y: 0 };
        assert_eq!(halved(&[0, 10, 20, 30], 2, (2, 2), across), [5, 25], "columns only");
        let quarter = Level { x: 2, y: 0 };
        assert_eq!(halved(&[0, 1, 2, 3, 8, 9, 10], 7, (7, 1), quarter), [2, 9], "four, and the last three");
    }

    #[test]
    fn what_a_texture_has_too_much_repeats_the_picture() {
        assert_eq!(
            filled::<1>(&[1, 2, 9, 3, 4], 3, (2, 2), (3, 3)),
            [1, 2, 2, 3, 4, 4, 3, 4, 4],
            "column and row"
        );
    }

    #[test]
    fn a_border_is_transparent_and_no_side_a_power_of_two() {
        let pixels = [255; 4 * 2 * 3];
        let level = Level::default();
        assert_eq!(
            Form::Bordered.texture_size((2, 3), level),
            (5, 5),
            "2 + 2 is a power of two, 3 + 2 is not"
        );
        let texels = pack(&image(&pixels, (2, 3), Alpha::Opaque), ColorSpace::Rgba, level, Form::Bordered);
        let alphas: Vec<u8> = texels.chunks_exact(4).map(|texel| texel[3] / 255).collect();
        let expected = [[0; 5], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0; 5]];
        assert_eq!(alphas, expected.concat(), "the picture inside its border");
    }

    #[test]
    fn a_frame_holds_the_outermost_pixels_and_not_the_outermost_blocks() {
        let samples = [10, 20, 30, 40, 50, 60, 70, 80];
        let framed = plane(&samples, 4, (4, 2), Level { x: 1, y: 1 }, Form::Framed);
        let expected = [[10, 15, 35, 40], [30, 35, 55, 60], [50, 55, 75, 80]];
        assert_eq!(framed, expected.concat(), "corners, sides and the means of blocks");
    }
}
