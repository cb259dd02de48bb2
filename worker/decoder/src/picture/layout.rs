//! How the samples of a decoded frame lie in memory, and reading them out as I420.
#![expect(unsafe_code, reason = "planes behind FFmpeg's pointers")]

use std::ffi::c_int;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

use super::{description, has, kind_of, name};

/// A format of whole bytes in native order.
pub(super) struct Layout {
    components: [ffi::AVComponentDescriptor; 3],
    /// Whether chroma is already halved across and down.
    is_halved: (bool, bool),
    depth: u32,
    has_chroma: bool,
    is_rgb: bool,
    is_full_range: bool,
}

/// Scratch rows: samples at their coded depth, and weighted sums of them.
#[derive(Default)]
pub(super) struct Rows {
    samples: Vec<u16>,
    sums: [Vec<u32>; 3],
}

impl Layout {
    /// Of this frame, if its format is one that we read ourselves.
    pub(super) fn of(frame: &ffmpeg::frame::Video) -> Option<Layout> {
        // SAFETY: plain fields of a decoded frame; the range is read as the number that it is.
        let (format, range) = unsafe {
            let frame = frame.as_ptr();
            ((*frame).format, (&raw const (*frame).color_range).cast::<c_int>().read())
        };
        let description = description(format)?;
        let unusual = ffi::AV_PIX_FMT_FLAG_BE
            | ffi::AV_PIX_FMT_FLAG_BITSTREAM
            | ffi::AV_PIX_FMT_FLAG_PAL
            | ffi::AV_PIX_FMT_FLAG_HWACCEL
            | ffi::AV_PIX_FMT_FLAG_BAYER
            | ffi::AV_PIX_FMT_FLAG_FLOAT;
        let depth = u32::try_from(description.comp[0].depth).unwrap_or(0);
        let has_chroma = description.nb_components >= 3;
        let components = [description.comp[0], description.comp[1], description.comp[2]];
        let is_even =
            !has_chroma || components.iter().all(|component| component.depth == components[0].depth);
        let is_plain = !has(description.flags, unusual)
            && is_even
            && (8..=16).contains(&depth)
            && description.log2_chroma_w <= 1
            && description.log2_chroma_h <= 1
            && !name(description).starts_with(b"xyz");
        is_plain.then(|| Layout {
            components,
            is_halved: (description.log2_chroma_w == 1, description.log2_chroma_h == 1),
            depth,
            has_chroma,
            is_rgb: has(description.flags, ffi::AV_PIX_FMT_FLAG_RGB),
            is_full_range: range == 2 || kind_of(format).implies_full_range,
        })
    }

    /// Writes Y, U, V into exactly as many bytes as they take.
    pub(super) fn write(&self, frame: &ffmpeg::frame::Video, rows: &mut Rows, into: &mut [u8]) {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let (y, chroma) = into.split_at_mut(width * height);
        let (u, v) = chroma.split_at_mut(width.div_ceil(2) * height.div_ceil(2));
        if self.is_rgb {
            return self.write_rgb(frame, rows, y, u, v);
        }
        self.write_luma(frame, rows, y);
        for (component, plane) in [(1, u), (2, v)] {
            if self.has_chroma { self.write_chroma(frame, component, rows, plane) } else { plane.fill(128) }
        }
    }

    fn write_luma(&self, frame: &ffmpeg::frame::Video, rows: &mut Rows, plane: &mut [u8]) {
        let width = frame.width() as usize;
        let scale = Scale { depth: self.depth, weight: 0, middle: 0, is_full_range: self.is_full_range };
        for (at, out) in plane.chunks_exact_mut(width).enumerate() {
            if let Some(row) = self.bytes(frame, 0, at, width) {
                out.copy_from_slice(row);
                continue;
            }
            self.read(frame, 0, at, width, &mut rows.samples);
            for (out, sample) in out.iter_mut().zip(&rows.samples) {
                *out = scale.apply(u32::from(*sample));
            }
        }
    }

    fn write_chroma(
        &self,
        frame: &ffmpeg::frame::Video,
        component: usize,
        rows: &mut Rows,
        plane: &mut [u8],
    ) {
        let out_width = (frame.width() as usize).div_ceil(2);
        let middle = 1 << (self.depth - 1);
        let scale =
            Scale { depth: self.depth, weight: self.weight(), middle, is_full_range: self.is_full_range };
        for (at, out) in plane.chunks_exact_mut(out_width).enumerate() {
            if self.is_halved == (true, true)
                && let Some(row) = self.bytes(frame, component, at, out_width)
            {
                out.copy_from_slice(row);
                continue;
            }
            self.sum(frame, component, at, rows, 0);
            for (out, sum) in out.iter_mut().zip(&rows.sums[0]) {
                *out = scale.apply(*sum);
            }
        }
    }

    /// BT.709 3.2 and 3.3 with limited range (4.6), the products kept whole until the one division.
    fn write_rgb(
        &self,
        frame: &ffmpeg::frame::Video,
        rows: &mut Rows,
        y: &mut [u8],
        u: &mut [u8],
        v: &mut [u8],
    ) {
        let width = frame.width() as usize;
        let most = (1i64 << self.depth) - 1;
        let luma = |r: u32, g: u32, b: u32| 2126 * i64::from(r) + 7152 * i64::from(g) + 722 * i64::from(b);
        for (at, out) in y.chunks_exact_mut(width).enumerate() {
            for component in 0..3 {
                self.read(frame, component, at, width, &mut rows.samples);
                rows.sums[component].clear();
                rows.sums[component].extend(rows.samples.iter().map(|sample| u32::from(*sample)));
            }
            let [r, g, b] = &rows.sums;
            for (out, ((r, g), b)) in out.iter_mut().zip(r.iter().zip(g).zip(b)) {
                *out = clamp(16 + round_div(219 * luma(*r, *g, *b), 10_000 * most));
            }
        }
        let whole = most << self.weight();
        let out_width = width.div_ceil(2);
        for (at, (u, v)) in u.chunks_exact_mut(out_width).zip(v.chunks_exact_mut(out_width)).enumerate() {
            for component in 0..3 {
                self.sum(frame, component, at, rows, component);
            }
            let [r, g, b] = &rows.sums;
            for ((u, v), ((r, g), b)) in u.iter_mut().zip(v).zip(r.iter().zip(g).zip(b)) {
                let luma = luma(*r, *g, *b);
                *u = clamp(128 + round_div(224 * (10_000 * i64::from(*b) - luma), 18_556 * whole));
                *v = clamp(128 + round_div(224 * (10_000 * i64::from(*r) - luma), 15_748 * whole));
            }
        }
    }

    /// log2 of how many samples, by weight, go into one of the output's chroma samples.
    fn weight(&self) -> u32 {
        (if self.is_halved.0 { 0 } else { 2 }) + (if self.is_halved.1 { 0 } else { 1 })
    }

    /// One output row of halved samples, as sums of the weight above: [1 2 1] across, two rows down; the picture's
    /// edge samples stand for those beyond it.
    fn sum(&self, frame: &ffmpeg::frame::Video, component: usize, row: usize, rows: &mut Rows, into: usize) {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let coded_width = if self.is_halved.0 { width.div_ceil(2) } else { width };
        let Rows { samples, sums } = rows;
        let sums = &mut sums[into];
        let first = if self.is_halved.1 { row } else { 2 * row };
        self.read(frame, component, first, coded_width, samples);
        sums.clear();
        sums.extend(samples.iter().map(|sample| u32::from(*sample)));
        if !self.is_halved.1 {
            self.read(frame, component, (first + 1).min(height - 1), coded_width, samples);
            for (sum, sample) in sums.iter_mut().zip(samples.iter()) {
                *sum += u32::from(*sample);
            }
        }
        if !self.is_halved.0 {
            // In place: what is written lies at or before what is still to be read, but for the left neighbour.
            let mut left = sums[0];
            for at in 0..width.div_ceil(2) {
                let middle = sums[2 * at];
                let right = sums.get(2 * at + 1).copied().unwrap_or(middle);
                sums[at] = left + 2 * middle + right;
                left = right;
            }
            sums.truncate(width.div_ceil(2));
        }
    }

    /// A row that needs no arithmetic.
    fn bytes<'a>(
        &self,
        frame: &'a ffmpeg::frame::Video,
        component: usize,
        row: usize,
        width: usize,
    ) -> Option<&'a [u8]> {
        let it = &self.components[component];
        (it.depth == 8 && it.step == 1 && it.shift == 0).then(|| row_of(frame, it, row, width))
    }

    /// A row's samples at their coded depth.
    fn read(
        &self,
        frame: &ffmpeg::frame::Video,
        component: usize,
        row: usize,
        width: usize,
        into: &mut Vec<u16>,
    ) {
        let it = &self.components[component];
        let bytes = row_of(frame, it, row, width);
        let (step, shift, mask) = (it.step as usize, it.shift as u32, ((1u32 << it.depth) - 1) as u16);
        into.clear();
        match (sample_bytes(it), step) {
            (1, _) => into.extend(bytes.iter().step_by(step).map(|byte| u16::from(*byte >> shift) & mask)),
            // The usual case apart, because only it becomes vector code.
            (_, 2) => into.extend(
                bytes.chunks_exact(2).map(|pair| (u16::from_ne_bytes([pair[0], pair[1]]) >> shift) & mask),
            ),
            _ => into.extend(
                bytes.chunks(step).map(|pair| (u16::from_ne_bytes([pair[0], pair[1]]) >> shift) & mask),
            ),
        }
    }
}

fn sample_bytes(component: &ffi::AVComponentDescriptor) -> usize {
    if component.depth + component.shift > 8 { 2 } else { 1 }
}

/// The bytes of a component's row, from its first sample to its last.
fn row_of<'a>(
    frame: &'a ffmpeg::frame::Video,
    component: &ffi::AVComponentDescriptor,
    row: usize,
    width: usize,
) -> &'a [u8] {
    let len = (width - 1) * component.step as usize + sample_bytes(component);
    // SAFETY: FFmpeg's frames have `height` rows (chroma: rounded up) at `linesize` apart, negative for pictures
    // stored upwards, each with all samples of the format's width; `row` and `width` stay within these.
    unsafe {
        let plane = component.plane as usize;
        let start = (*frame.as_ptr()).data[plane];
        let stride = (*frame.as_ptr()).linesize[plane] as isize;
        std::slice::from_raw_parts(start.offset(row as isize * stride).add(component.offset as usize), len)
    }
}

/// Brings sums of coded samples to 8 bits with one rounding, halves up.
struct Scale {
    depth: u32,
    /// log2 of the samples in a sum.
    weight: u32,
    /// What stays the middle: 0 for luma, half of the range for chroma.
    middle: u32,
    is_full_range: bool,
}

impl Scale {
    #[inline]
    fn apply(&self, sum: u32) -> u8 {
        if self.is_full_range && self.depth > 8 {
            // Full range ends at 2^n − 1, so the ratio is not a power of two.
            let centred = i64::from(sum) - (i64::from(self.middle) << self.weight);
            let most = ((1i64 << self.depth) - 1) << self.weight;
            let middle = if self.middle == 0 { 0 } else { 128 };
            return clamp(middle + round_div(255 * centred, most));
        }
        let shift = self.depth - 8 + self.weight;
        let half = (1u32 << shift) >> 1;
        ((sum + half) >> shift).min(255) as u8
    }
}

fn round_div(numerator: i64, denominator: i64) -> i64 {
    (2 * numerator + denominator).div_euclid(2 * denominator)
}

fn clamp(value: i64) -> u8 {
    value.clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg_next::format::Pixel;

    /// A frame in this format whose bytes `fill` gives by plane, row and byte.
    fn frame(
        format: Pixel,
        (width, height): (u32, u32),
        fill: impl Fn(usize, usize, usize) -> u8,
    ) -> ffmpeg::frame::Video {
        let mut frame = ffmpeg::frame::Video::new(format, width, height);
        for plane in 0..frame.planes() {
            let stride = frame.stride(plane);
            for (at, byte) in frame.data_mut(plane).iter_mut().enumerate() {
                *byte = fill(plane, at / stride, at % stride);
            }
        }
        frame
    }

    fn i420(frame: &ffmpeg::frame::Video) -> Vec<u8> {
        let mut out = vec![0; super::super::byte_len(frame.width(), frame.height())];
        Layout::of(frame).expect("a plain format").write(frame, &mut Rows::default(), &mut out);
        out
    }

    #[test]
    fn ten_bits_are_rounded_not_cut() {
        // 0x01FE = 510: 127.5 rounds up; 0x0201 = 513: 128.25 rounds down; 1023 stays 255.
        let values = [[0xFE, 0x01], [0x01, 0x02], [0xFF, 0x03], [0x40, 0x00]];
        let picture = frame(Pixel::YUV420P10LE, (4, 2), |_, _, byte| values[(byte / 2) % 4][byte % 2]);
        let out = i420(&picture);
        assert_eq!(out[..4], [128, 128, 255, 16], "luma");
        assert_eq!(out[8..10], [128, 128], "chroma");
    }

    #[test]
    fn chroma_is_averaged_down_and_sited_left() {
        // 4:4:4, U = 0 8 16 24 in the first row and 4 more in the second.
        let picture = frame(Pixel::YUV444P, (4, 2), |plane, row, byte| match plane {
            1 => (8 * byte.min(3) + 4 * row) as u8,
            _ => 128,
        });
        let out = i420(&picture);
        // (0 + 0 + 8 + …)/4: left edge (0·3 + 8)/4 = 2, then (8 + 32 + 24)/4 = 16; plus the mean of 0 and 4.
        assert_eq!(out[8..10], [4, 18], "from {:?}", &out[8..]);
    }

    #[test]
    fn interleaved_chroma_and_odd_sizes_are_read_right() {
        let picture = frame(Pixel::NV12, (3, 3), |plane, row, byte| (100 * plane + 10 * row + byte) as u8);
        let out = i420(&picture);
        assert_eq!(out[..9], [0, 1, 2, 10, 11, 12, 20, 21, 22], "luma");
        assert_eq!(out[9..], [100, 102, 110, 112, 101, 103, 111, 113], "U from even, V from odd bytes");
    }

    #[test]
    fn rgb_becomes_bt709_limited() {
        let white = frame(Pixel::RGB24, (2, 2), |_, _, _| 255);
        assert_eq!(i420(&white), [235, 235, 235, 235, 128, 128], "white");
        let red = frame(Pixel::RGB24, (2, 2), |_, _, byte| if byte % 3 == 0 { 255 } else { 0 });
        // BT.709: Y = 16 + 219 × 0.2126, Cb = 128 − 224 × 0.2126/1.8556, Cr = 240.
        assert_eq!(i420(&red), [63, 63, 63, 63, 102, 240], "red");
    }
}
