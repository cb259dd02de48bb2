//! MP4 (ISO/IEC 14496-12 and -14): H.264 parts in order, and the film's sound.
//!
//! ```text
//! ftyp  moov  mdat[ pictures of 0–0.5 s, sound of 0–0.5 s, pictures of 0.5–1 s, … ]
//! ```
//!
//! The index comes first ("faststart"), so that playing can begin with the first bytes. It is known beforehand because
//! part files tell their samples' sizes; the samples themselves pass through once, and only once are in memory as a
//! buffer's worth.
//!
//! Promises: equal parts give equal bytes: no dates, no names, no versions. Pictures and sound begin at exactly 0. A part
//! that does not belong to the film is refused, never papered over. Must not know: decoders, or where the file goes.

mod boxes;
mod layout;

use std::fs::File;
use std::io::{self, BufReader, Read, Take, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::encoder::aac::PACKET_FRAMES;
use crate::part::{AacDescription, Description, H264Description, OpenPartError, PartReader, Sample};
use layout::{Chunk, Track, chunks};

/// What a film is joined from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilmParts {
    /// Runs of pictures in the film's order.
    pub video: Vec<VideoPart>,
    /// The sound, where there is any.
    pub audio: Option<PathBuf>,
}

/// One run of pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPart {
    /// A part file.
    pub path: PathBuf,
    /// How many pictures the plan says it has.
    pub frames: u64,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilmFacts {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Pictures.
    pub frames: u64,
    /// Bytes of the file.
    pub size: u64,
}

/// Why no film was made.
#[derive(Debug, Error)]
pub enum MuxError {
    /// There are no pictures.
    #[error("join a film without pictures")]
    NoPictures,
    /// More pictures or chunks than 32 bits count, or pictures larger than 16 bits say.
    #[error("join a film of {frames} frames of {width}x{height}: more than MP4 can say")]
    TooLarge {
        /// Pictures.
        frames: u64,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A part file is missing or damaged.
    #[error("open {part}")]
    Open {
        /// Which.
        part: PartName,
        /// What is wrong with it.
        #[source]
        source: OpenPartError,
    },
    /// A part that does not belong there.
    #[error("join {part}: {reason}")]
    Unfit {
        /// Which.
        part: PartName,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not the number of samples that there should be.
    #[error("join {part}: it has {found} samples where {expected} belong")]
    Count {
        /// Which.
        part: PartName,
        /// In its index.
        found: u64,
        /// By the plan, or by the sound's length.
        expected: u64,
    },
    /// Reading samples or writing the film failed.
    #[error("copy the samples of {part}")]
    Copy {
        /// Which.
        part: PartName,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Writing the film failed.
    #[error("write the film's header")]
    Header(#[source] io::Error),
    /// The boxes could not be made.
    #[error("make the film's header")]
    Boxes(#[from] mp4_atom::Error),
}

/// Which part an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartName {
    /// Counted from 0.
    Video(usize),
    /// The sound.
    Audio,
}

impl std::fmt::Display for PartName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PartName::Video(index) => write!(f, "part {index}"),
            PartName::Audio => f.write_str("the sound"),
        }
    }
}

/// Joins parts into a film. `out` is only written, from the first byte to the last; a caller that wants to count bytes
/// or to stop gives a writer that does.
///
/// # Errors
/// Where a part is missing, damaged, or of another film; where reading or writing fails. What was written is then of no
/// use.
pub fn mux(parts: &FilmParts, out: &mut impl Write) -> Result<FilmFacts, MuxError> {
    let video = open_video(&parts.video)?;
    let audio = parts.audio.as_deref().map(open_audio).transpose()?;
    let facts = |size| FilmFacts {
        width: video.description.width,
        height: video.description.height,
        frames: video.samples.len() as u64,
        size,
    };
    let video_track = Track::video(&video.samples, video.description.frame_rate);
    let audio_track = audio.as_ref().map(|audio| Track::audio(&audio.samples, audio.description.delay));
    let chunks = chunks(&video_track, audio_track.as_ref());
    let film = boxes::Film {
        video: boxes::VideoTrack { description: &video.description, samples: &video.samples },
        audio: audio.as_ref().map(|a| boxes::AudioTrack { description: &a.description, samples: &a.samples }),
        chunks: &chunks,
    };
    let header = boxes::header(&film)?;
    out.write_all(&header).map_err(MuxError::Header)?;
    let payload: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
    let mut video = VideoPayload { parts: &parts.video, next: 0, current: None };
    let mut audio = parts.audio.as_deref().map(|path| payload_of(path, PartName::Audio)).transpose()?;
    for Chunk { is_audio, bytes, .. } in &chunks {
        match (&mut audio, is_audio) {
            (Some(audio), true) => copy(audio, *bytes, out, PartName::Audio)?,
            _ => video.copy(*bytes, out)?,
        }
    }
    out.flush().map_err(MuxError::Header)?;
    Ok(facts(header.len() as u64 + payload))
}

/// All pictures' index, and what they have in common.
struct VideoIndex {
    description: H264Description,
    samples: Vec<Sample>,
}

fn open_video(parts: &[VideoPart]) -> Result<VideoIndex, MuxError> {
    let mut film: Option<VideoIndex> = None;
    for (index, VideoPart { path, frames }) in parts.iter().enumerate() {
        let part = PartName::Video(index);
        let reader = open(path, part)?;
        let Description::H264(description) = reader.description() else {
            return Err(MuxError::Unfit { part, reason: "it holds no pictures" });
        };
        let samples = reader.samples();
        if samples.len() as u64 != *frames {
            return Err(MuxError::Count { part, found: samples.len() as u64, expected: *frames });
        }
        if samples.first().is_none_or(|first| !first.is_keyframe) {
            return Err(MuxError::Unfit { part, reason: "it does not begin with a key frame" });
        }
        // H.264 7.4.3: adjacent key frames differ in idr_pic_id, and every part begins with the same.
        if index + 1 < parts.len() && samples.last().is_some_and(|last| last.is_keyframe) {
            return Err(MuxError::Unfit {
                part,
                reason: "it ends with a key frame and another part follows",
            });
        }
        match &mut film {
            None => film = Some(VideoIndex { description: description.clone(), samples: samples.to_vec() }),
            Some(film) => {
                let same = H264Description { qp: film.description.qp, ..description.clone() };
                if film.description != same {
                    return Err(MuxError::Unfit {
                        part,
                        reason: "its size, rate or parameter sets are another film's",
                    });
                }
                film.samples.extend_from_slice(samples);
            }
        }
    }
    let film = film.ok_or(MuxError::NoPictures)?;
    let H264Description { width, height, .. } = film.description;
    let frames = film.samples.len() as u64;
    if u32::try_from(frames).is_err() || u16::try_from(width).is_err() || u16::try_from(height).is_err() {
        return Err(MuxError::TooLarge { frames, width, height });
    }
    Ok(film)
}

/// The sound's index.
struct AudioIndex {
    description: AacDescription,
    samples: Vec<Sample>,
}

fn open_audio(path: &Path) -> Result<AudioIndex, MuxError> {
    let part = PartName::Audio;
    let reader = open(path, part)?;
    let Description::Aac(description) = reader.description() else {
        return Err(MuxError::Unfit { part, reason: "it holds no sound" });
    };
    let expected = (description.frames + u64::from(description.delay)).div_ceil(PACKET_FRAMES.into());
    let found = reader.samples().len() as u64;
    if found != expected || found == 0 {
        return Err(MuxError::Count { part, found, expected: expected.max(1) });
    }
    Ok(AudioIndex { description: description.clone(), samples: reader.samples().to_vec() })
}

fn open(path: &Path, part: PartName) -> Result<PartReader<BufReader<File>>, MuxError> {
    let file = File::open(path).map_err(|e| MuxError::Open { part, source: e.into() })?;
    PartReader::open(BufReader::with_capacity(1 << 18, file))
        .map_err(|source| MuxError::Open { part, source })
}

type Payload = Take<BufReader<File>>;

fn payload_of(path: &Path, part: PartName) -> Result<Payload, MuxError> {
    Ok(open(path, part)?.into_payload())
}

/// The samples of all parts as one stream. One file is open at a time: a film may have thousands.
struct VideoPayload<'a> {
    parts: &'a [VideoPart],
    next: usize,
    current: Option<Payload>,
}

impl VideoPayload<'_> {
    fn copy(&mut self, mut bytes: u64, out: &mut impl Write) -> Result<(), MuxError> {
        while bytes > 0 {
            match &mut self.current {
                Some(payload) if payload.limit() > 0 => {
                    let now = bytes.min(payload.limit());
                    copy(payload, now, out, PartName::Video(self.next - 1))?;
                    bytes -= now;
                }
                _ => {
                    let part = PartName::Video(self.next);
                    let ended = MuxError::Unfit { part, reason: "it changed while it was read" };
                    let next = self.parts.get(self.next).ok_or(ended)?;
                    self.current = Some(payload_of(&next.path, part)?);
                    self.next += 1;
                }
            }
        }
        Ok(())
    }
}

fn copy(payload: &mut Payload, bytes: u64, out: &mut impl Write, part: PartName) -> Result<(), MuxError> {
    let copied = io::copy(&mut payload.by_ref().take(bytes), out);
    match copied.map_err(|source| MuxError::Copy { part, source })? {
        copied if copied == bytes => Ok(()),
        _ => Err(MuxError::Copy { part, source: io::ErrorKind::UnexpectedEof.into() }),
    }
}

#[cfg(test)]
mod tests;
