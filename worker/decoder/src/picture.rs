//! Whatever picture a codec gives, as 8-bit I420.
//!
//! 8-bit 4:2:0 is copied. Other depths and samplings are brought down by integer arithmetic with one rounding, the
//! same on every machine: depth by the ratio of the ranges, chroma by [1 2 1]/4 across (it ends up sited left) and
//! by the mean of two rows down. Colour is not converted, except that R′G′B′ becomes BT.709 limited. Layouts that no
//! camera writes, and sizes that change on the way, go through libswscale first.
#![expect(unsafe_code, reason = "planes behind FFmpeg's pointers")]

mod layout;

use std::ffi::{CStr, c_int};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling;

use self::layout::{Layout, Rows};
use crate::fault::Faulted;

/// Bytes of an I420 picture, planes packed, chroma rounded up.
pub(crate) fn byte_len(width: u32, height: u32) -> usize {
    let chroma = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
    width as usize * height as usize + 2 * chroma
}

/// What a pixel format says about colour.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    pub(crate) is_rgb: bool,
    /// JPEG's variants of 8-bit Y′CbCr, and grey.
    pub(crate) implies_full_range: bool,
}

/// Of this AVPixelFormat.
pub(crate) fn kind_of(format: c_int) -> Kind {
    let Some(description) = description(format) else { return Kind::default() };
    let flags = description.flags;
    let is_rgb = has(flags, ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_BAYER);
    let name = name(description);
    let is_grey = description.nb_components < 3 && !is_rgb;
    Kind { is_rgb, implies_full_range: !is_rgb && (is_grey || name.starts_with(b"yuvj")) }
}

fn description(format: c_int) -> Option<&'static ffi::AVPixFmtDescriptor> {
    // SAFETY: the number is FFmpeg's own; for numbers out of its range FFmpeg answers null. The table is static.
    unsafe { ffi::av_pix_fmt_desc_get(std::mem::transmute::<c_int, ffi::AVPixelFormat>(format)).as_ref() }
}

fn name(description: &ffi::AVPixFmtDescriptor) -> &'static [u8] {
    // SAFETY: names in FFmpeg's table are static C strings.
    unsafe { CStr::from_ptr(description.name) }.to_bytes()
}

fn has(flags: u64, any_of: c_int) -> bool {
    flags & any_of as u64 != 0
}

/// Converts pictures of one stream; keeps its scratch rows and scaler between them.
#[derive(Default)]
pub(crate) struct Converter {
    scaler: Option<Scaler>,
    rows: Rows,
}

struct Scaler {
    context: scaling::Context,
    from: scaling::context::Definition,
    to: scaling::context::Definition,
    picture: ffmpeg::frame::Video,
}

impl Converter {
    /// Writes the picture in the given size: Y, U, V, packed.
    pub(crate) fn write_i420(
        &mut self,
        frame: &ffmpeg::frame::Video,
        size: (u32, u32),
        into: &mut [u8],
    ) -> Result<(), Faulted> {
        let into = into
            .get_mut(..byte_len(size.0, size.1))
            .ok_or_else(|| Faulted::internal("the slot is too small for the picture"))?;
        let has_size = (frame.width(), frame.height()) == size;
        if has_size && let Some(layout) = Layout::of(frame) {
            layout.write(frame, &mut self.rows, into);
            return Ok(());
        }
        let scaled = Scaler::run(&mut self.scaler, frame, size)?;
        let layout =
            Layout::of(scaled).ok_or_else(|| Faulted::internal("the scaler gave what was not asked for"))?;
        layout.write(scaled, &mut self.rows, into);
        Ok(())
    }
}

impl Scaler {
    /// The picture in this size and in a format that [`Layout`] takes.
    fn run<'a>(
        scaler: &'a mut Option<Scaler>,
        frame: &ffmpeg::frame::Video,
        (width, height): (u32, u32),
    ) -> Result<&'a ffmpeg::frame::Video, Faulted> {
        use scaling::Flags;
        // SAFETY: the format field of a decoded frame.
        let format = unsafe { (*frame.as_ptr()).format };
        let kind = kind_of(format);
        let target = match kind {
            Kind { is_rgb: true, .. } => Pixel::RGB24,
            // The same range on both sides, or libswscale would convert it.
            Kind { implies_full_range: true, .. } => Pixel::YUVJ444P,
            Kind { .. } => Pixel::YUV444P,
        };
        let from = definition(frame.format(), frame.width(), frame.height());
        let to = definition(target, width, height);
        if scaler.as_ref().is_none_or(|scaler| scaler.from != from || scaler.to != to) {
            let flags = Flags::BICUBIC | Flags::ACCURATE_RND | Flags::BITEXACT | Flags::FULL_CHR_H_INT;
            let context =
                scaling::Context::get(from.format, from.width, from.height, target, width, height, flags)
                    .map_err(|error| Faulted::ffmpeg(error, "converting its pictures"))?;
            let picture = ffmpeg::frame::Video::new(target, width, height);
            *scaler = Some(Scaler { context, from, to, picture });
        }
        let Some(Scaler { context, picture, .. }) = scaler else {
            return Err(Faulted::internal("no scaler"));
        };
        context.run(frame, picture).map_err(|error| Faulted::ffmpeg(error, "converting its pictures"))?;
        Ok(picture)
    }
}

fn definition(format: Pixel, width: u32, height: u32) -> scaling::context::Definition {
    scaling::context::Definition { format, width, height }
}
