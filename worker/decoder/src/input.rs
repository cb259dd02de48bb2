//! A container opened on a descriptor: FFmpeg never opens anything by name.
#![expect(unsafe_code, reason = "custom input and details that the safe bindings leave out")]

use std::ffi::{CStr, c_int, c_void};
use std::os::fd::BorrowedFd;
use std::ptr;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi;
use rustix::fs::fstat;

use crate::fault::Faulted;
use crate::worker::read_at;

/// Demuxers whose formats we take, by any of their names. Everything that refers to other files (playlists,
/// concatenation scripts, image sequences), reads devices or makes pictures of text stays out.
const FORMATS: [&str; 20] = [
    "mov", "matroska", "mpegts", "mpeg", "avi", "flv", "asf", "gif", "mxf", "ogg", "wav", "w64", "mp3",
    "aac", "flac", "aiff", "caf", "au", "amr", "ivf",
];

/// Formats whose demuxer seeks to an exact packet by a table of all of them.
const WELL_INDEXED: [&str; 2] = ["mov", "matroska"];

/// A score that FFmpeg gives for a lucky guess from few bytes; noise reaches it.
const DOUBTFUL: c_int = ffi::AVPROBE_SCORE_MAX / 4;
/// Bytes looked at to tell the format.
const PROBE_BYTES: u32 = 1 << 20;
/// Bytes read from the file at a time; packets larger than this are read in one piece.
const BUFFER: usize = 64 * 1024;

/// An open container.
pub(crate) struct Input {
    // Declared first, so dropped first: closing still refers to the input below.
    context: ffmpeg::format::context::Input,
    format: String,
    _io: Io,
}

/// FFmpeg's view of a descriptor.
struct Io {
    context: *mut ffi::AVIOContext,
    source: *mut Source,
}

struct Source {
    file: BorrowedFd<'static>,
    position: u64,
    size: u64,
}

impl Input {
    /// Recognises the container by its content and reads its header.
    pub(crate) fn open(file: BorrowedFd<'static>) -> Result<Input, Faulted> {
        let io = Io::new(file)?;
        let format = io.recognise()?;
        // SAFETY: the iformat is FFmpeg's own and static.
        let name = unsafe { CStr::from_ptr((*format).name) }.to_string_lossy().into_owned();
        if !name.split(',').any(|name| FORMATS.contains(&name)) {
            return Err(Faulted::unsupported(format!("its format ({name}) is not one that is accepted")));
        }
        // SAFETY: the context is new and owned here; avformat_open_input frees it when it fails. Custom input is
        // never closed by it.
        let context = unsafe {
            let mut context = ffi::avformat_alloc_context();
            if context.is_null() {
                return Err(Faulted::ffmpeg(ffmpeg::Error::Other { errno: libc::ENOMEM }, "opening"));
            }
            (*context).pb = io.context;
            (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
            match ffi::avformat_open_input(&raw mut context, ptr::null(), format.cast_mut(), ptr::null_mut())
            {
                0.. => ffmpeg::format::context::Input::wrap(context),
                code => {
                    return Err(Faulted::ffmpeg(ffmpeg::Error::from(code), &format!("its {name} header")));
                }
            }
        };
        Ok(Input { context, format: name, _io: io })
    }

    /// Reads ahead as far as it takes to know all streams' parameters.
    pub(crate) fn find_parameters(&mut self) -> Result<(), Faulted> {
        // SAFETY: the context is open; no options are passed.
        match unsafe { ffi::avformat_find_stream_info(self.context.as_mut_ptr(), ptr::null_mut()) } {
            0.. => Ok(()),
            code => Err(Faulted::ffmpeg(ffmpeg::Error::from(code), "its streams")),
        }
    }

    /// As [`Input::find_parameters`], where the header has not told them already: codecs with a configuration
    /// record, and those that need none.
    pub(crate) fn find_parameters_of(&mut self, stream: usize) -> Result<(), Faulted> {
        use ffmpeg::codec::Id;
        let is_known = self.is_well_indexed()
            && self.context.stream(stream).is_some_and(|stream| {
                let parameters = stream.parameters();
                // SAFETY: the stream's parameters live as long as the context.
                let has_record = unsafe { (*parameters.as_ptr()).extradata_size > 0 };
                has_record || matches!(parameters.id(), Id::VP8 | Id::VP9 | Id::PRORES)
            });
        if is_known { Ok(()) } else { self.find_parameters() }
    }

    pub(crate) fn context(&self) -> &ffmpeg::format::context::Input {
        &self.context
    }

    /// Seconds per unit of this stream's timestamps.
    pub(crate) fn time_base(&self, stream: usize) -> Result<(u32, u32), Faulted> {
        let time_base = self.context.stream(stream).map(|stream| stream.time_base());
        time_base
            .and_then(|ratio| {
                Some((u32::try_from(ratio.numerator()).ok()?, u32::try_from(ratio.denominator()).ok()?))
            })
            .filter(|(numerator, denominator)| *numerator > 0 && *denominator > 0)
            .ok_or_else(|| Faulted::corrupt("it has a stream without a timebase"))
    }

    /// Whether the demuxer can go to any packet by a table.
    pub(crate) fn is_well_indexed(&self) -> bool {
        self.is_one_of(&WELL_INDEXED)
    }

    /// Whether the format goes by one of these names.
    pub(crate) fn is_one_of(&self, names: &[&str]) -> bool {
        self.format.split(',').any(|name| names.contains(&name))
    }

    /// Has the demuxer skip all streams but these.
    pub(crate) fn keep_only(&mut self, streams: &[usize]) {
        for index in 0..self.context.streams().len() {
            if !streams.contains(&index)
                && let Some(mut stream) = self.context.stream_mut(index)
            {
                // SAFETY: the stream belongs to this context, which is borrowed mutably.
                unsafe { (*stream.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
    }

    /// The next packet of any stream; `None` at the end.
    pub(crate) fn read(&mut self, packet: &mut ffmpeg::Packet) -> Result<Option<()>, ffmpeg::Error> {
        match packet.read(&mut self.context) {
            Ok(()) => Ok(Some(())),
            Err(ffmpeg::Error::Eof) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Goes to the last key packet of this stream at or before the timestamp, as far as the demuxer can tell.
    pub(crate) fn seek(&mut self, stream: usize, timestamp: i64) -> bool {
        let Ok(stream) = c_int::try_from(stream) else { return false };
        // SAFETY: the context is open, and av_seek_frame checks the stream number.
        unsafe {
            ffi::av_seek_frame(self.context.as_mut_ptr(), stream, timestamp, ffi::AVSEEK_FLAG_BACKWARD) >= 0
        }
    }

    /// Whether the demuxer's table for this stream names bytes that the file does not have.
    pub(crate) fn is_cut(&self, stream: usize) -> bool {
        let Some(stream) = self.context.stream(stream) else { return false };
        // SAFETY: the entries belong to the stream and are read before anything else touches it. The pointer is
        // only mutable in C's declaration.
        unsafe {
            let stream = stream.as_ptr().cast_mut();
            let size = (*self._io.source).size;
            (0..ffi::avformat_index_get_entries_count(stream)).any(|at| {
                let entry = ffi::avformat_index_get_entry(stream, at);
                !entry.is_null() && {
                    let end = (*entry).pos.saturating_add(i64::from((*entry).size()));
                    u64::try_from(end).is_ok_and(|end| end > size)
                }
            })
        }
    }
}

impl Io {
    fn new(file: BorrowedFd<'static>) -> Result<Io, Faulted> {
        let stat = fstat(file).map_err(|errno| Faulted::internal(format!("its size: {errno}")))?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0 {
            return Err(Faulted::unsupported("it is empty"));
        }
        let source = Box::into_raw(Box::new(Source { file, position: 0, size }));
        // SAFETY: the buffer is FFmpeg's from here on; the source outlives the context (see `Drop`).
        let context = unsafe {
            let buffer = ffi::av_malloc(BUFFER).cast();
            ffi::avio_alloc_context(buffer, BUFFER as c_int, 0, source.cast(), Some(read), None, Some(seek))
        };
        let io = Io { context, source };
        if context.is_null() {
            return Err(Faulted::ffmpeg(ffmpeg::Error::Other { errno: libc::ENOMEM }, "opening"));
        }
        Ok(io)
    }

    /// The demuxer for this content.
    fn recognise(&self) -> Result<*const ffi::AVInputFormat, Faulted> {
        let mut format = ptr::null();
        // SAFETY: the context is ours and valid; a missing name and log context are allowed.
        let score = unsafe {
            ffi::av_probe_input_buffer2(
                self.context,
                &raw mut format,
                ptr::null(),
                ptr::null_mut(),
                0,
                PROBE_BYTES,
            )
        };
        if format.is_null() || score <= DOUBTFUL {
            return Err(Faulted::unsupported("its content is of no known format"));
        }
        Ok(format)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // SAFETY: both were made in `new`; whatever read through them has been dropped before.
        unsafe {
            if !self.context.is_null() {
                ffi::av_freep((&raw mut (*self.context).buffer).cast());
                ffi::avio_context_free(&raw mut self.context);
            }
            drop(Box::from_raw(self.source));
        }
    }
}

/// AVIO's read callback.
unsafe extern "C" fn read(opaque: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    // SAFETY: FFmpeg passes what was given to avio_alloc_context, and a buffer of `size` bytes.
    let (source, into) = unsafe {
        (
            &mut *opaque.cast::<Source>(),
            std::slice::from_raw_parts_mut(buffer, usize::try_from(size).unwrap_or(0)),
        )
    };
    match read_at(source.file, into, source.position) {
        Ok(0) => ffi::AVERROR_EOF,
        Ok(count) => {
            source.position += count as u64;
            count as c_int
        }
        Err(_) => ffi::AVERROR(libc::EIO),
    }
}

/// AVIO's seek callback; positions past the end are allowed, reading there finds the end.
unsafe extern "C" fn seek(opaque: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: FFmpeg passes what was given to avio_alloc_context.
    let source = unsafe { &mut *opaque.cast::<Source>() };
    let base = match whence & !ffi::AVSEEK_FORCE {
        ffi::AVSEEK_SIZE => return source.size as i64,
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => source.position,
        libc::SEEK_END => source.size,
        _ => return i64::from(ffi::AVERROR(libc::EINVAL)),
    };
    match base.checked_add_signed(offset).filter(|position| i64::try_from(*position).is_ok()) {
        Some(position) => {
            source.position = position;
            position as i64
        }
        None => i64::from(ffi::AVERROR(libc::EINVAL)),
    }
}
