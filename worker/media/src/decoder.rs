//! Reading users' media, in confined processes.
//!
//! Everything that parses bytes we did not make runs in `framelane-decoder`: C code, and Rust code on hostile input.
//! A worker process serves one file. It gets that file as a descriptor, writes pictures and sound into shared memory,
//! can open nothing, reach nothing and start nothing, and is killed when it takes too long. Whatever happens to it is
//! a [`DecodeError`] here; the next call starts afresh.
//!
//! ```text
//!   service ──── control ──── zygote (FFmpeg loaded, one thread, no untrusted data)
//!      │                        │ fork
//!      ├──── control, ring ── worker: probe, still, video or sound of one file
//!      └──── control, ring ── worker ...
//! ```
//!
//! All calls block. Frames are exact: number n is the same picture whether it is reached by decoding on or by
//! seeking, because both go by one table of packets made once per source. This module must not link FFmpeg.

mod audio;
#[expect(unreachable_pub, reason = "compiled into two crates")]
mod channel;
mod index;
mod probe;
#[expect(unreachable_pub, reason = "compiled into two crates")]
mod protocol;
mod ring;
mod session;
mod stopper;
mod video;
mod zygote;

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::audio::AudioReader;
pub use self::index::{IndexError, PacketIndex};
pub use self::probe::{AudioTrack, Orientation, Probe, VideoTrack};
pub use self::protocol::{Landlock, SandboxStatus, StillFormat};
pub use self::stopper::Stopper;
pub use self::video::VideoReader;

use self::protocol::{PictureLimits, Reply, Request, WorkerLimits};
use self::ring::Ring;
use self::session::Session;
use self::zygote::Zygote;
use crate::frame::RgbaImage;

/// Where the executable is and what its workers may use.
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    /// Path of `framelane-decoder`.
    pub executable: PathBuf,
    /// What decoding may cost.
    pub limits: DecoderLimits,
}

/// Everything that is limited about decoding, in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Width × height of a video: 36 Mpx, a little over 8K.
    pub video_pixels: u64,
    /// Width × height of a still: 64 Mpx, 256 MiB as RGBA.
    pub still_pixels: u64,
    /// Width or height of either: 16 384.
    pub side: u32,
    /// Address space of a worker for pictures up to 1920×1088: 1 GiB (a 1080p HEVC decoder peaks at 0.25).
    pub address_space: u64,
    /// Address space of a worker for larger or unknown pictures: 2 GiB.
    pub large_address_space: u64,
    /// Processor time of a worker: 30 min; the second net under the time limits below.
    pub cpu_seconds: u64,
    /// For one frame or one stretch of sound; a seek may have to decode some hundred frames first: 30 s.
    pub answer_within: Duration,
    /// For reading all packets of a file, or decoding a still: 2 min.
    pub probe_within: Duration,
}

impl Default for DecoderLimits {
    fn default() -> DecoderLimits {
        DecoderLimits {
            video_pixels: 36_000_000,
            still_pixels: 64 * 1024 * 1024,
            side: 16_384,
            address_space: 1 << 30,
            large_address_space: 2 << 30,
            cpu_seconds: 30 * 60,
            answer_within: Duration::from_secs(30),
            probe_within: Duration::from_secs(120),
        }
    }
}

impl DecoderConfig {
    /// The decoder installed beside the running executable, with the usual limits.
    ///
    /// # Errors
    /// When the operating system does not tell where the running executable is.
    pub fn beside_this_executable() -> io::Result<DecoderConfig> {
        let executable = std::env::current_exe()?.with_file_name("framelane-decoder");
        Ok(DecoderConfig { executable, limits: DecoderLimits::default() })
    }
}

/// Why decoding cannot begin at all.
#[derive(Debug, thiserror::Error)]
#[error("start the decoder {}", executable.display())]
pub struct StartError {
    /// What was to be run.
    pub executable: PathBuf,
    /// What came of it.
    #[source]
    pub source: DecodeError,
}

/// Why a file gave no picture or sound.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No format or codec that we know: empty, text, an exotic codec.
    #[error("decode the file: {0}")]
    UnsupportedMedia(String),
    /// A known format, but its index or samples that it promises are missing or cannot be decoded.
    #[error("decode the damaged file: {0}")]
    CorruptMedia(String),
    /// Over one of [`DecoderLimits`].
    #[error("decode so large a file: {0}")]
    TooLarge(String),
    /// The decoder process died.
    #[error("decode the file: its decoder died (signal {signal:?})")]
    Crashed {
        /// The signal that ended it; `None` when it ended by itself or nobody knows.
        signal: Option<i32>,
    },
    /// The decoder process did not answer in time and was killed.
    #[error("decode the file in time")]
    TimedOut,
    /// The decoder process ran into its memory limit.
    #[error("decode the file in the memory allowed")]
    OutOfMemory,
    /// The work was told to stop: see [`Stopper::stop`].
    #[error("go on: told to stop")]
    Stopped,
    /// The machinery on our side failed; the file is not to blame.
    #[error("run a decoder")]
    HostFailure(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts decoders. Clones share one zygote; it ends with the last of them and with this process.
#[derive(Debug, Clone)]
pub struct DecoderHost {
    zygote: Arc<Zygote>,
    limits: DecoderLimits,
    sandbox: SandboxStatus,
    libraries: Arc<str>,
    stopper: Stopper,
}

/// Bytes of a ring for workers that only talk.
const NO_PICTURES: usize = 4096;

impl DecoderHost {
    /// Starts the zygote and tries one worker, so that a missing executable or library shows now.
    ///
    /// # Errors
    /// When the executable cannot be run or its worker does not report for work.
    pub fn start(config: DecoderConfig) -> Result<DecoderHost, StartError> {
        let DecoderConfig { executable, limits } = config;
        let zygote = Arc::new(Zygote::new(executable.clone()));
        let stopper = Stopper::default();
        let try_one = || {
            let nothing =
                File::open("/dev/null").map_err(|error| DecodeError::HostFailure(Box::new(error)))?;
            let limits = limits.for_any_size();
            let session = start_session(&zygote, &nothing, (1, NO_PICTURES), limits, &stopper)?;
            Ok((session.sandbox().clone(), session.libraries().into()))
        };
        let (sandbox, libraries) = try_one().map_err(|source| StartError { executable, source })?;
        Ok(DecoderHost { zygote, limits, sandbox, libraries, stopper })
    }

    /// The same host, whose decoders from now on end when `stopper` says so.
    #[must_use]
    pub fn stopped_by(&self, stopper: &Stopper) -> DecoderHost {
        DecoderHost { stopper: stopper.clone(), ..self.clone() }
    }

    /// How well workers are confined here; for the service to log.
    #[must_use]
    pub fn sandbox(&self) -> &SandboxStatus {
        &self.sandbox
    }

    /// FFmpeg's release and the version of each library that decodes here: part of what decides every bit.
    #[must_use]
    pub fn libraries(&self) -> &str {
        &self.libraries
    }

    /// Finds out what a file is, by its content alone; for media this reads all packets once.
    ///
    /// # Errors
    /// All of [`DecodeError`]'s.
    pub fn probe(&self, file: &File) -> Result<Probe, DecodeError> {
        let mut session = self.session(file, (1, NO_PICTURES), self.limits.for_any_size())?;
        let limits = self.limits.pictures();
        session.send(&Request::Probe(limits))?;
        match session.receive(self.limits.probe_within)? {
            Reply::ProbedStill(still) => Probe::from_still(&still, &limits),
            Reply::Probed { video, audio } => Probe::from_media(video, audio, &limits),
            other => Err(session.unexpected(&other)),
        }
    }

    /// Opens a video for reading frames; nothing is decoded yet.
    ///
    /// # Errors
    /// [`DecodeError::HostFailure`]; what is wrong with the file shows with the first frame.
    pub fn open_video(&self, file: &File, track: &VideoTrack) -> Result<VideoReader, DecodeError> {
        let shape = video::ring_shape(track);
        let session = self.session(file, shape, self.limits.for_video(track))?;
        VideoReader::new(session, track, self.limits.answer_within)
    }

    /// Opens the sound of a file; nothing is decoded yet.
    ///
    /// # Errors
    /// [`DecodeError::HostFailure`]; what is wrong with the file shows with the first read.
    pub fn open_audio(&self, file: &File, track: &AudioTrack) -> Result<AudioReader, DecodeError> {
        let session = self.session(file, audio::RING_SHAPE, self.limits.for_sound())?;
        Ok(AudioReader::new(session, track, self.limits.answer_within))
    }

    /// Decodes a JPEG, PNG or WebP, its orientation applied; of an animation the first picture.
    ///
    /// # Errors
    /// All of [`DecodeError`]'s; its size is checked before memory is taken for it.
    pub fn decode_still(&self, file: &File) -> Result<RgbaImage, DecodeError> {
        let limits = self.limits.pictures();
        let bytes = usize::try_from(limits.still_pixels.saturating_mul(4)).unwrap_or(usize::MAX);
        let mut session = self.session(file, (1, bytes), self.limits.for_any_size())?;
        session.send(&Request::Still(limits))?;
        match session.receive(self.limits.probe_within)? {
            Reply::Still { width, height }
                if u64::from(width) * u64::from(height) <= limits.still_pixels && width > 0 && height > 0 =>
            {
                let mut data = vec![0; width as usize * height as usize * 4];
                session.ring().read(0, &mut data);
                Ok(RgbaImage { width, height, data })
            }
            other => Err(session.unexpected(&other)),
        }
    }

    fn session(
        &self,
        file: &File,
        ring: (usize, usize),
        limits: WorkerLimits,
    ) -> Result<Session, DecodeError> {
        let session = start_session(&self.zygote, file, ring, limits, &self.stopper)?;
        still_the_same(&self.libraries, session.libraries())?;
        Ok(session)
    }
}

/// A zygote that died is replaced, and finds the libraries that are installed by then: not the ones that this process
/// has promised its bits for.
fn still_the_same(promised: &str, found: &str) -> Result<(), DecodeError> {
    if promised == found {
        return Ok(());
    }
    let reason = format!("FFmpeg was {promised} and is now {found}: start the service again");
    Err(DecodeError::HostFailure(reason.into()))
}

fn start_session(
    zygote: &Arc<Zygote>,
    file: &File,
    (slots, slot_len): (usize, usize),
    limits: WorkerLimits,
    stopper: &Stopper,
) -> Result<Session, DecodeError> {
    let ring = Ring::new(slots, slot_len).map_err(|error| DecodeError::HostFailure(Box::new(error)))?;
    Session::start(zygote, file, ring, limits, stopper)
}

impl DecoderLimits {
    fn pictures(&self) -> PictureLimits {
        PictureLimits {
            video_pixels: self.video_pixels,
            still_pixels: self.still_pixels,
            side: self.side,
            frames: index::MAX_FRAMES,
        }
    }

    fn for_any_size(&self) -> WorkerLimits {
        WorkerLimits { address_space: self.large_address_space, cpu_seconds: self.cpu_seconds }
    }

    fn for_sound(&self) -> WorkerLimits {
        WorkerLimits { address_space: self.address_space, cpu_seconds: self.cpu_seconds }
    }

    fn for_video(&self, track: &VideoTrack) -> WorkerLimits {
        let is_large = u64::from(track.width) * u64::from(track.height) > 1920 * 1088;
        if is_large { self.for_any_size() } else { self.for_sound() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_with_other_libraries_is_refused_with_the_remedy() {
        assert!(still_the_same("5.1.9: avcodec 59.37.100", "5.1.9: avcodec 59.37.100").is_ok(), "the same");
        let refusal = still_the_same("5.1.9: avcodec 59.37.100", "5.1.10: avcodec 59.37.100");
        let refusal = refusal.expect_err("another release");
        let source = std::error::Error::source(&refusal).expect("a reason").to_string();
        assert!(source.ends_with("start the service again"), "{source}");
    }
}
