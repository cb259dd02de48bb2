//! What a file is: the facts about a source that the plan records, made from what a worker reports.

use composition::time::{FrameRate, Ticks};
use serde::{Deserialize, Serialize};

use super::DecodeError;
use super::index::{PacketIndex, StoredIndex, ticks};
use super::protocol::{self, PictureLimits, ProbedAudio, ProbedStill, ProbedVideo, StillFormat};
use crate::frame::{ColorInfo, Matrix, Range, Transfer};

// The protocol file repeats the tick because the executable is built without `composition`.
const _: () = assert!(protocol::TICKS_PER_SECOND == composition::time::TICKS_PER_SECOND);

/// What a file holds, told by its content alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one per source, and it is not moved about")]
pub enum Probe {
    /// One picture.
    Still {
        /// In pixels, after the file's orientation is applied.
        width: u32,
        /// In pixels, after the file's orientation is applied.
        height: u32,
        /// Whether it has an alpha channel.
        has_alpha: bool,
        /// Its file format.
        format: StillFormat,
    },
    /// Moving pictures, sound, or both.
    Media {
        /// The best video stream.
        video: Option<VideoTrack>,
        /// The best audio stream.
        audio: Option<AudioTrack>,
        /// The source's end in source time: the later of its streams' ends.
        end: Ticks,
    },
}

/// A video stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoTrack {
    /// Stream number in the container.
    pub stream: u32,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Of the decoded frames, before orientation.
    pub width: u32,
    /// Of the decoded frames, before orientation.
    pub height: u32,
    /// How to turn a decoded frame for showing it.
    pub orientation: Orientation,
    /// Width : height of one sample before orientation.
    pub sample_aspect: (u32, u32),
    /// How the frames' numbers mean colour; every frame carries it too.
    pub color: ColorInfo,
    /// Average rate as the container states or implies it.
    pub frame_rate: Option<FrameRate>,
    /// Its frames.
    pub index: PacketIndex,
}

/// An audio stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// Stream number in the container.
    pub stream: u32,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// As coded; readers always give 48 kHz.
    pub sample_rate: u32,
    /// As coded; readers always give two.
    pub channels: u32,
    /// Stream time that is source time 0.
    pub origin: Ticks,
    /// Source time of its first sample after priming.
    pub start: Ticks,
    /// Source time at which its last sample ends.
    pub end: Ticks,
}

/// How to turn a decoded frame for showing it: first mirror left to right where said, then rotate clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orientation {
    /// Clockwise quarter turns, 0–3.
    pub quarter_turns: u8,
    /// Whether left and right are exchanged before turning.
    pub mirrored: bool,
}

impl VideoTrack {
    /// The size at which the video is meant to be shown, in square pixels: sample aspect applied to the width, then
    /// the orientation.
    #[must_use]
    pub fn display_size(&self) -> (u32, u32) {
        let (numerator, denominator) =
            (u64::from(self.sample_aspect.0), u64::from(self.sample_aspect.1.max(1)));
        let stretched = (u64::from(self.width) * numerator + denominator / 2) / denominator;
        let width = u32::try_from(stretched).unwrap_or(u32::MAX).max(1);
        if self.orientation.quarter_turns % 2 == 1 { (self.height, width) } else { (width, self.height) }
    }
}

impl Orientation {
    /// As coded.
    pub const UPRIGHT: Orientation = Orientation { quarter_turns: 0, mirrored: false };

    /// The orientation nearest to a display matrix (ISO/IEC 14496-12 8.3.2, elements 16.16 fixed point): a point
    /// (x, y) of the frame, y downwards, is shown at (a·x + c·y, b·x + d·y).
    fn from_display_matrix(matrix: &[i32; 9]) -> Orientation {
        let [a, b, _, c, d, ..] = matrix.map(i64::from);
        let mirrored = a * d - b * c < 0;
        // Undo the mirroring, so that what is left is a rotation by the angle of its first column.
        let (x, y) = if mirrored { (-a, -b) } else { (a, b) };
        let quarter_turns = match (x.abs() >= y.abs(), x >= 0, y >= 0) {
            (true, true, _) => 0,
            (false, _, true) => 1,
            (true, false, _) => 2,
            (false, _, false) => 3,
        };
        Orientation { quarter_turns, mirrored }
    }
}

impl Probe {
    pub(super) fn from_still(still: &ProbedStill, limits: &PictureLimits) -> Result<Probe, DecodeError> {
        check_size(still.width, still.height, limits.still_pixels, limits.side)?;
        let ProbedStill { width, height, has_alpha, format } = *still;
        Ok(Probe::Still { width, height, has_alpha, format })
    }

    pub(super) fn from_media(
        video: Option<ProbedVideo>,
        audio: Option<ProbedAudio>,
        limits: &PictureLimits,
    ) -> Result<Probe, DecodeError> {
        let video_start = video.as_ref().map(|video| {
            ticks(video.index.frames.first().map_or(0, |(step, _)| *step), video.index.time_base)
        });
        let audio_start = audio.as_ref().map(|audio| Ticks(audio.start));
        let Some(origin) = [video_start, audio_start].into_iter().flatten().min() else {
            return Err(DecodeError::UnsupportedMedia("it has neither sound nor pictures".into()));
        };
        let video = video.map(|video| VideoTrack::from_probed(video, origin, limits)).transpose()?;
        let audio = audio.map(|audio| AudioTrack {
            stream: audio.stream,
            codec: audio.codec,
            sample_rate: audio.sample_rate,
            channels: audio.channels,
            origin,
            start: Ticks(audio.start) - origin,
            end: Ticks(audio.end) - origin,
        });
        let ends = [video.as_ref().map(|video| video.index.end()), audio.as_ref().map(|audio| audio.end)];
        let end = ends.into_iter().flatten().max().unwrap_or(Ticks::ZERO);
        Ok(Probe::Media { video, audio, end })
    }
}

impl VideoTrack {
    fn from_probed(
        video: ProbedVideo,
        origin: Ticks,
        limits: &PictureLimits,
    ) -> Result<VideoTrack, DecodeError> {
        check_size(video.width, video.height, limits.video_pixels, limits.side)?;
        let color = color_of(&video);
        let index = PacketIndex::try_from(StoredIndex { origin, packed: video.index })
            .map_err(|fault| DecodeError::CorruptMedia(fault.to_string()))?;
        Ok(VideoTrack {
            stream: video.stream,
            codec: video.codec,
            width: video.width,
            height: video.height,
            orientation: video
                .display_matrix
                .map_or(Orientation::UPRIGHT, |matrix| Orientation::from_display_matrix(&matrix)),
            sample_aspect: plausible_aspect(video.sample_aspect),
            color,
            frame_rate: FrameRate::new(video.frame_rate.0, video.frame_rate.1),
            index,
        })
    }
}

/// Tags as far as they say something; else by size, as players do.
fn color_of(video: &ProbedVideo) -> ColorInfo {
    if video.is_rgb {
        return ColorInfo::BT709;
    }
    // ITU-T H.273 table 4 (matrix) and table 3 (transfer).
    let matrix = match video.matrix {
        1 => Matrix::Bt709,
        4..=6 => Matrix::Bt601,
        9 | 10 => Matrix::Bt2020,
        _ if video.height >= 720 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = if video.full_range == Some(true) { Range::Full } else { Range::Limited };
    let transfer = match video.transfer {
        16 => Transfer::Pq,
        18 => Transfer::Hlg,
        _ => Transfer::Sdr,
    };
    ColorInfo { matrix, range, transfer }
}

/// Square samples where the stated aspect is none or beyond what any format uses.
fn plausible_aspect((numerator, denominator): (u32, u32)) -> (u32, u32) {
    let (n, d) = (u64::from(numerator), u64::from(denominator));
    if n == 0 || d == 0 || n > 16 * d || d > 16 * n { (1, 1) } else { (numerator, denominator) }
}

fn check_size(width: u32, height: u32, pixels: u64, side: u32) -> Result<(), DecodeError> {
    if width == 0 || height == 0 {
        return Err(DecodeError::CorruptMedia("it has no size".into()));
    }
    if width > side || height > side || u64::from(width) * u64::from(height) > pixels {
        let allowed = format!("at most {side} a side and {pixels} in all");
        return Err(DecodeError::TooLarge(format!(
            "it has {width} x {height} pixels; allowed are {allowed}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 65_536;

    fn oriented(a: i32, b: i32, c: i32, d: i32) -> (u8, bool) {
        let orientation = Orientation::from_display_matrix(&[a, b, 0, c, d, 0, 0, 0, 1 << 30]);
        (orientation.quarter_turns, orientation.mirrored)
    }

    #[test]
    fn display_matrices_become_quarter_turns() {
        assert_eq!(oriented(ONE, 0, 0, ONE), (0, false), "identity");
        assert_eq!(oriented(0, ONE, -ONE, 0), (1, false), "a phone held upright: x goes down, y goes left");
        assert_eq!(oriented(-ONE, 0, 0, -ONE), (2, false), "upside down");
        assert_eq!(oriented(0, -ONE, ONE, 0), (3, false), "the other way round");
        assert_eq!(oriented(-ONE, 0, 0, ONE), (0, true), "a mirror");
        assert_eq!(
            oriented(ONE, 0, 0, -ONE),
            (2, true),
            "top and bottom exchanged: mirrored, then turned over"
        );
        assert_eq!(oriented(60_000, 20_000, -20_000, 60_000), (0, false), "a slight tilt is ignored");
    }

    #[test]
    fn untagged_video_is_judged_by_its_height() {
        let video = |height, matrix| ProbedVideo {
            stream: 0,
            codec: "h264".into(),
            width: 16,
            height,
            display_matrix: None,
            sample_aspect: (1, 1),
            frame_rate: (0, 1),
            matrix,
            transfer: 2,
            full_range: None,
            is_rgb: false,
            index: protocol::PackedIndex {
                time_base: (1, 1),
                frames: vec![],
                anchors: vec![],
                last_duration: 0,
                is_counted: false,
            },
        };
        assert_eq!(color_of(&video(720, 2)), ColorInfo::BT709, "HD");
        assert_eq!(color_of(&video(719, 2)), ColorInfo::BT601, "SD");
        assert_eq!(color_of(&video(480, 1)), ColorInfo::BT709, "a tag wins");
    }
}
