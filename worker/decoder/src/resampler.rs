//! Sound of any layout, format and rate to interleaved 32-bit float stereo at 48 kHz, by libswresample.
#![expect(unsafe_code, reason = "libswresample with its own downmix matrix")]

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;

use crate::fault::Faulted;
use crate::protocol::{CHANNELS, SAMPLE_RATE};

/// What a resampler takes; a frame of another kind needs another resampler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) rate: u32,
    format: c_int,
    channels: c_int,
    layout: u64,
}

/// One stretch of contiguous sound.
pub(crate) struct Resampler {
    context: *mut ffi::SwrContext,
    kind: Kind,
}

impl Kind {
    /// Of this decoded frame.
    pub(crate) fn of(frame: &ffmpeg::frame::Audio) -> Kind {
        // SAFETY: a decoded frame; for a layout that is only a number of channels the mask is not looked at.
        unsafe {
            let frame = frame.as_ptr();
            let layout = &(*frame).ch_layout;
            let is_mask = layout.order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE;
            Kind {
                rate: u32::try_from((*frame).sample_rate).unwrap_or(0),
                format: (*frame).format,
                channels: layout.nb_channels,
                layout: if is_mask { layout.u.mask } else { 0 },
            }
        }
    }
}

impl Resampler {
    /// For sound like this frame's. Mono goes to both sides at full level; surround is mixed down by
    /// libswresample's ITU-R BS.775 coefficients, unscaled: the mixer limits.
    pub(crate) fn new(like: &ffmpeg::frame::Audio) -> Result<Resampler, Faulted> {
        let kind = Kind::of(like);
        if kind.rate == 0 || kind.channels <= 0 {
            return Err(Faulted::corrupt("its sound has no rate or no channels"));
        }
        let mut resampler = Resampler { context: ptr::null_mut(), kind };
        // SAFETY: both layouts are initialised before use and live through the call, which copies them; the frame's
        // format is one that FFmpeg itself gave.
        let code = unsafe {
            let mut from = std::mem::zeroed::<ffi::AVChannelLayout>();
            let mut to = std::mem::zeroed::<ffi::AVChannelLayout>();
            if kind.layout == 0 {
                ffi::av_channel_layout_default(&raw mut from, kind.channels);
            } else {
                ffi::av_channel_layout_from_mask(&raw mut from, kind.layout);
            }
            ffi::av_channel_layout_default(&raw mut to, CHANNELS as c_int);
            let mut code = ffi::swr_alloc_set_opts2(
                &raw mut resampler.context,
                &raw mut to,
                ffi::AVSampleFormat::AV_SAMPLE_FMT_FLT,
                SAMPLE_RATE as c_int,
                &raw mut from,
                std::mem::transmute::<c_int, ffi::AVSampleFormat>(kind.format),
                kind.rate as c_int,
                0,
                ptr::null_mut(),
            );
            if code >= 0 && kind.channels == 1 {
                code = ffi::swr_set_matrix(resampler.context, [1.0f64, 1.0].as_ptr(), 1);
            }
            if code >= 0 { ffi::swr_init(resampler.context) } else { code }
        };
        if code < 0 {
            return Err(Faulted::ffmpeg(ffmpeg::Error::from(code), "mixing its channels"));
        }
        Ok(resampler)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Appends what this frame gives so far; the filter keeps some back.
    pub(crate) fn convert(
        &mut self,
        frame: &ffmpeg::frame::Audio,
        into: &mut Vec<f32>,
    ) -> Result<(), Faulted> {
        // SAFETY: extended_data and nb_samples of a decoded frame of this resampler's kind.
        let (data, count) = unsafe { ((*frame.as_ptr()).extended_data, (*frame.as_ptr()).nb_samples) };
        self.run(data.cast_const().cast(), count, into)
    }

    /// Appends what the filter has kept back.
    pub(crate) fn finish(&mut self, into: &mut Vec<f32>) -> Result<(), Faulted> {
        self.run(ptr::null(), 0, into)
    }

    fn run(&mut self, data: *const *const u8, count: c_int, into: &mut Vec<f32>) -> Result<(), Faulted> {
        // SAFETY: `into` has room for `room` stereo samples behind its end, which is what the call may write.
        let code = unsafe {
            let room = ffi::swr_get_out_samples(self.context, count).max(0);
            into.reserve(room as usize * CHANNELS);
            let mut out = into.as_mut_ptr().add(into.len()).cast::<u8>();
            let code =
                ffi::swr_convert(self.context, (&raw mut out).cast(), room, data.cast_mut().cast(), count);
            if code > 0 {
                into.set_len(into.len() + code as usize * CHANNELS);
            }
            code
        };
        if code < 0 {
            return Err(Faulted::ffmpeg(ffmpeg::Error::from(code), "resampling its sound"));
        }
        Ok(())
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, or null, which is allowed.
        unsafe { ffi::swr_free(&raw mut self.context) };
    }
}
