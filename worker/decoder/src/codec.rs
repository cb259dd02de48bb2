//! Opening a stream's decoder: one thread, so that what comes out never depends on the machine.
#![expect(unsafe_code, reason = "fields of the codec context that the safe bindings leave out")]

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::ffi;

use crate::fault::Faulted;
use crate::input::Input;

/// The decoder for this stream; refuses pictures of more than `max_pixels` before it takes memory for them.
pub(crate) fn open(input: &Input, stream: usize, max_pixels: i64) -> Result<Opened, Faulted> {
    let stream = input.context().stream(stream).ok_or_else(|| Faulted::internal("no such stream"))?;
    let parameters = stream.parameters();
    let codec = ffmpeg::decoder::find(parameters.id())
        .ok_or_else(|| Faulted::unsupported(format!("there is no decoder for {}", parameters.id().name())))?;
    let time_base = stream.time_base();
    let mut context = ffmpeg::codec::Context::from_parameters(parameters)
        .map_err(|error| Faulted::ffmpeg(error, "its codec parameters"))?;
    // SAFETY: the context is ours and not open yet. Without the timebase, removing priming would not move times.
    unsafe {
        let context = context.as_mut_ptr();
        (*context).pkt_timebase = time_base.into();
        (*context).thread_count = 1;
        (*context).max_pixels = max_pixels;
        (*context).get_buffer2 = Some(get_buffer);
    }
    context.decoder().open_as(codec).map_err(|error| Faulted::ffmpeg(error, "its codec"))
}

/// Whether a picture or sound found no memory since the process began.
static HAS_RUN_OUT: AtomicBool = AtomicBool::new(false);

/// Fails once memory has run out: some decoders take that for a damaged picture and go on without it, and what they
/// give would then depend on the machine.
pub(crate) fn check_memory() -> Result<(), Faulted> {
    if HAS_RUN_OUT.load(Ordering::Relaxed) {
        return Err(Faulted::ffmpeg(ffmpeg::Error::Other { errno: libc::ENOMEM }, "decoding"));
    }
    Ok(())
}

/// FFmpeg's own allocator, watched.
unsafe extern "C" fn get_buffer(
    context: *mut ffi::AVCodecContext,
    frame: *mut ffi::AVFrame,
    flags: c_int,
) -> c_int {
    // SAFETY: called by FFmpeg with what its default expects.
    let code = unsafe { ffi::avcodec_default_get_buffer2(context, frame, flags) };
    if code == ffi::AVERROR(libc::ENOMEM) {
        HAS_RUN_OUT.store(true, Ordering::Relaxed);
    }
    code
}
