//! A worker: confined first, then request after request about one file until the service closes the socket.
#![expect(unsafe_code, reason = "descriptors by number")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use ffmpeg_next as ffmpeg;

use crate::audio::{AudioStream, BYTES_PER_SAMPLE};
use crate::channel::Channel;
use crate::fault::Faulted;
use crate::protocol::{Reply, Request, SandboxStatus, WorkerLimits};
use crate::ring::Ring;
use crate::video::VideoStream;
use crate::{picture, probe, sandbox, still};

/// Descriptor of the control socket.
pub(crate) const CONTROL: i32 = 3;
/// Descriptor of the shared memory.
pub(crate) const RING: i32 = 4;
/// Descriptor of the file.
pub(crate) const INPUT: i32 = 5;

/// Opens the usual decoders once, so that forked workers find their static tables built.
pub(crate) fn warm_up() {
    use ffmpeg::codec::Id;
    for id in [Id::H264, Id::HEVC, Id::VP9, Id::AAC, Id::MP3, Id::OPUS] {
        if let Some(codec) = ffmpeg::decoder::find(id) {
            // Some refuse to open without parameters, after having built their tables: that is all we want.
            drop(ffmpeg::codec::Context::new_with_codec(codec).decoder().open_as(codec));
        }
    }
}

/// Serves requests until the service is gone; never returns.
pub(crate) fn run(limits: WorkerLimits) -> ! {
    // SAFETY: the zygote has put the worker's own descriptors at these numbers, and they stay open for its life.
    let (control, ring, input) = unsafe {
        (OwnedFd::from_raw_fd(CONTROL), BorrowedFd::borrow_raw(RING), BorrowedFd::borrow_raw(INPUT))
    };
    let ring = Ring::map(ring);
    let sandbox = sandbox::enter(limits);
    let mut channel = Channel::new(control);
    let finished =
        ring.map(|ring| serve(&mut channel, &mut Desk { ring, input, open: Open::Nothing }, sandbox));
    std::process::exit(i32::from(finished.is_err()))
}

/// Whatever ends the conversation ends the worker; there is nobody to tell.
fn serve(channel: &mut Channel, desk: &mut Desk, sandbox: SandboxStatus) {
    if channel.send(&Reply::Ready { sandbox, libraries: libraries() }).is_err() {
        return;
    }
    while let Ok(request) = channel.receive::<Request>(None) {
        let reply = match desk.answer(request) {
            Ok(None) => continue,
            Ok(Some(reply)) => reply,
            Err(Faulted { fault, detail }) => Reply::Failed { fault, detail },
        };
        if channel.send(&reply).is_err() {
            return;
        }
    }
}

/// FFmpeg's release, which packages patch without telling the libraries, and the libraries' own versions.
fn libraries() -> String {
    // SAFETY: the library returns a static string.
    let release = unsafe { CStr::from_ptr(ffmpeg::ffi::av_version_info()) };
    let versions = [
        ("avutil", ffmpeg::util::version()),
        ("avcodec", ffmpeg::codec::version()),
        ("avformat", ffmpeg::format::version()),
        ("swscale", ffmpeg::software::scaling::version()),
        ("swresample", ffmpeg::software::resampling::version()),
    ];
    // AV_VERSION_INT: major, minor and micro in 16, 8 and 8 bits.
    let version = |(name, number): (&str, u32)| {
        format!("{name} {}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
    };
    format!("{}: {}", release.to_string_lossy(), versions.map(version).join(", "))
}

/// The file and what has been opened of it.
struct Desk {
    ring: Ring,
    input: BorrowedFd<'static>,
    open: Open,
}

enum Open {
    Nothing,
    Video(Box<VideoStream>),
    Audio(Box<AudioStream>),
    /// Opening failed; told in answer to the next request that expects an answer.
    Failed(Option<Faulted>),
}

impl Desk {
    fn answer(&mut self, request: Request) -> Result<Option<Reply>, Faulted> {
        match request {
            Request::Probe(limits) => {
                let still = still::probe(self.input, &limits)?;
                still
                    .map_or_else(|| probe::probe(self.input, &limits), |still| Ok(Reply::ProbedStill(still)))
                    .map(Some)
            }
            Request::OpenVideo { stream, width, height, is_counted } => {
                let opened = VideoStream::open(self.input, stream as usize, (width, height), is_counted);
                self.open =
                    opened.map_or_else(|fault| Open::Failed(Some(fault)), |it| Open::Video(Box::new(it)));
                Ok(None)
            }
            Request::Seek { anchors } => {
                if let Open::Video(video) = &mut self.open
                    && let Err(fault) = video.seek(anchors)
                {
                    self.open = Open::Failed(Some(fault));
                }
                Ok(None)
            }
            Request::Frame { slot, timestamp } => self.frame(slot, timestamp).map(Some),
            Request::OpenAudio { stream, origin, start } => {
                let opened = AudioStream::open(self.input, stream as usize, origin, start);
                self.open =
                    opened.map_or_else(|fault| Open::Failed(Some(fault)), |it| Open::Audio(Box::new(it)));
                Ok(None)
            }
            Request::Samples { slot, count } => self.samples(slot, count).map(Some),
            Request::Still(limits) => {
                let (width, height) = still::decode(self.input, &limits, &mut self.ring)?;
                Ok(Some(Reply::Still { width, height }))
            }
        }
    }

    fn frame(&mut self, slot: u32, timestamp: i64) -> Result<Reply, Faulted> {
        let Open::Video(video) = &mut self.open else { return Err(self.open.why_not()) };
        // As the service lays its slots out: each on pages of its own.
        let slot_len = picture::byte_len(video.width, video.height).next_multiple_of(4096);
        let bytes = self.ring.slot(slot, slot_len).ok_or_else(|| Faulted::internal("no such slot"))?;
        let timestamp = video.write_frame(timestamp, bytes)?;
        Ok(Reply::Frame { slot, timestamp })
    }

    fn samples(&mut self, slot: u32, count: u32) -> Result<Reply, Faulted> {
        let Open::Audio(audio) = &mut self.open else { return Err(self.open.why_not()) };
        let slot_len = count as usize * BYTES_PER_SAMPLE;
        let bytes = self.ring.slot(slot, slot_len).ok_or_else(|| Faulted::internal("no such slot"))?;
        let count = audio.write_samples(bytes)?;
        Ok(Reply::Samples { slot, count })
    }
}

impl Open {
    fn why_not(&mut self) -> Faulted {
        let why = if let Open::Failed(fault) = self { fault.take() } else { None };
        why.unwrap_or_else(|| Faulted::internal("nothing of that kind is open"))
    }
}

/// Reads at a position, over and over until `into` is full or the file ends.
pub(crate) fn read_at(input: BorrowedFd<'_>, into: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match rustix::io::pread(input, &mut into[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(filled)
}
