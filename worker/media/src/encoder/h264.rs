//! H.264 High at a constant quantiser, through openh264.
//!
//! One encoder makes one part. The library's rate control stays off, because it starts cold in every part; what varies
//! between pictures is their size, never their precision, and joins are invisible. A key frame is quantised two steps
//! coarser than the others: with all settings equal it would come out visibly better than its neighbours.
//!
//! Promises: equal pictures give equal packets, on any number of cores (one slice, one thread); the parameter sets depend
//! on the settings alone, never on the quantiser, so that parts of one film can be joined. Must not know: how many parts
//! there are, or why a quantiser was chosen.

mod level;
mod library;
mod nal;

use composition::FrameRate;
use thiserror::Error;

pub use level::{Level, LevelError, MAX_MACROBLOCK_RATE, MAX_MACROBLOCKS, level_for};
pub use nal::ParameterSets;

use crate::packet::Packet;
use crate::picture::I420;
use crate::rate::Qp;
use library::{Library, LibraryError};

/// How much coarser key frames are quantised, in steps of QP.
const KEY_FRAME_STEPS: u8 = 2;

/// The shortest side that openh264 takes, in pixels.
const MIN_SIDE: u32 = 16;

/// What all parts of a film have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoSettings {
    /// Pixels in a row; even.
    pub width: u32,
    /// Rows; even.
    pub height: u32,
    /// Pictures a second.
    pub frame_rate: FrameRate,
    /// The ceiling that the film's rate is held under, bits a second: it has a say in the level.
    pub max_bitrate: u32,
}

/// Why no encoder can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// No level covers it.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// Odd or tiny sides.
    #[error("encode {width}x{height} pictures as H.264: sides must be even and at least {MIN_SIDE}")]
    Sides {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The library refused.
    #[error("open the H.264 encoder")]
    Library(#[source] LibraryError),
    /// The library gave no usable SPS or PPS.
    #[error("open the H.264 encoder: it gave no parameter sets")]
    NoParameterSets,
}

/// Why a picture was not encoded. The encoder is of no use afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Not the size the encoder was opened for.
    #[error("encode a {}x{} picture in a {}x{} film", .picture.0, .picture.1, .film.0, .film.1)]
    WrongSize {
        /// Width and height of the picture.
        picture: (u32, u32),
        /// Width and height of the film.
        film: (u32, u32),
    },
    /// The library failed.
    #[error("encode frame {frame}")]
    Library {
        /// Counted from 0 in the part.
        frame: u32,
        /// What it said.
        #[source]
        source: LibraryError,
    },
    /// No bytes came: the picture would be missing from the film.
    #[error("encode frame {frame}: the encoder skipped it")]
    Skipped {
        /// Counted from 0 in the part.
        frame: u32,
    },
    /// A key frame where none was asked for, or none where one was.
    #[error("encode frame {frame}: the encoder disobeyed about key frames")]
    KeyFrame {
        /// Counted from 0 in the part.
        frame: u32,
    },
    /// The bitstream is not what H.264 annex B promises, or its parameter sets changed.
    #[error("encode frame {frame}: the bitstream is malformed")]
    Malformed {
        /// Counted from 0 in the part.
        frame: u32,
    },
}

/// Encodes one part.
#[derive(Debug)]
pub struct H264PartEncoder {
    library: Library,
    settings: VideoSettings,
    parameters: ParameterSets,
    qp: Qp,
    frames: u32,
}

impl H264PartEncoder {
    /// An encoder for one part at `qp`.
    ///
    /// # Errors
    /// Where the size or rate is beyond what H.264 or the library allows; the message names the limit.
    pub fn new(settings: VideoSettings, qp: Qp) -> Result<H264PartEncoder, OpenError> {
        let VideoSettings { width, height, frame_rate, max_bitrate } = settings;
        let fits = |side: u32| side >= MIN_SIDE && side.is_multiple_of(2);
        if !fits(width) || !fits(height) {
            return Err(OpenError::Sides { width, height });
        }
        let level = level_for(width, height, frame_rate, max_bitrate)?;
        let mut library = Library::open(settings, level, key_frame_qp(qp)).map_err(OpenError::Library)?;
        let stream = library.parameter_sets().map_err(OpenError::Library)?;
        let parameters = ParameterSets::find(&stream).ok_or(OpenError::NoParameterSets)?;
        Ok(H264PartEncoder { library, settings, parameters, qp, frames: 0 })
    }

    /// The SPS and PPS that all packets refer to. Known before the first picture.
    #[must_use]
    pub fn parameters(&self) -> &ParameterSets {
        &self.parameters
    }

    /// The quantiser of all pictures but key frames.
    #[must_use]
    pub fn qp(&self) -> Qp {
        self.qp
    }

    /// Encodes the next picture. The first is always a key frame, later ones are where `force_key` says so.
    ///
    /// # Errors
    /// Where the picture has another size than the film, or the library fails.
    pub fn encode(&mut self, picture: &I420<'_>, force_key: bool) -> Result<Packet, EncodeError> {
        let VideoSettings { width, height, frame_rate, .. } = self.settings;
        if (picture.width(), picture.height()) != (width, height) {
            let picture = (picture.width(), picture.height());
            return Err(EncodeError::WrongSize { picture, film: (width, height) });
        }
        let frame = self.frames;
        let failed = |source| EncodeError::Library { frame, source };
        if force_key && frame > 0 {
            self.library.set_qp(key_frame_qp(self.qp)).map_err(failed)?;
            self.library.force_key_frame().map_err(failed)?;
        }
        let milliseconds = frame_rate.instant(composition::FrameIndex(frame.into())).in_units_of(1000);
        let stream = self.library.encode(picture, milliseconds).map_err(failed)?;
        if stream.is_empty() {
            return Err(EncodeError::Skipped { frame });
        }
        let malformed = EncodeError::Malformed { frame };
        if ParameterSets::find(&stream).is_some_and(|found| found != self.parameters) {
            return Err(malformed);
        }
        let sample = nal::length_prefixed_sample(&stream).ok_or(malformed)?;
        let is_keyframe = frame == 0 || force_key;
        if sample.is_idr != is_keyframe {
            return Err(EncodeError::KeyFrame { frame });
        }
        if is_keyframe {
            self.library.set_qp(self.qp).map_err(failed)?;
        }
        self.frames += 1;
        Ok(Packet { data: sample.data, is_keyframe })
    }
}

fn key_frame_qp(qp: Qp) -> Qp {
    qp.coarser(KEY_FRAME_STEPS)
}

#[cfg(test)]
mod tests;
