//! The composition: canvas, time, output and elements, every default written out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::color::Color;
use crate::element::{Element, SourceUrl};
use crate::time::{FrameRate, Ticks};
use crate::transition::Transition;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels across, 16–8192 for a canvas.
    pub width: u32,
    /// Pixels down, 16–8192 for a canvas.
    pub height: u32,
}

/// What a client asked to see and hear, and in which form.
///
/// This is also the normalised document: its JSON form is what is stored beside the log, so that an upgrade of the
/// service cannot change what an accepted job means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Composition {
    /// The canvas; even sides for 4:2:0 formats.
    pub canvas: Size,
    /// The film's length. `None`: nothing in the document gives it, the plan takes the elements' probed ends.
    pub duration: Option<Ticks>,
    /// Frames per second of the output.
    pub frame_rate: FrameRate,
    /// Container, codecs and their settings.
    pub output: OutputSettings,
    /// What lies behind all elements.
    pub background: Background,
    /// In document order: of two elements with one `z_index` the **earlier** is in front.
    pub elements: Vec<Element>,
    /// Each with the two elements that it joins; an element is left by at most one and entered by at most one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Transition>,
    /// Echoed to the client.
    pub metadata: BTreeMap<String, String>,
    /// Receives this job's webhooks.
    pub webhook_url: Option<String>,
    /// −100…100, higher first.
    pub priority: i32,
    /// When the job is of no use any more; microseconds since 1970, UTC.
    pub deadline_us: Option<i64>,
}

/// What lies behind all elements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Background {
    /// Fills the canvas.
    pub color: Color,
    /// Covers the canvas, over the colour (`fit: cover`).
    pub image: Option<SourceUrl>,
}

/// The file format asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// H.264 and AAC in MP4.
    Mp4,
    /// One still, lossless, keeps alpha.
    Png,
    /// One still, lossy, flattened on black.
    Jpg,
}

impl OutputFormat {
    /// Whether the output is one frame.
    #[must_use]
    pub fn is_still(self) -> bool {
        matches!(self, OutputFormat::Png | OutputFormat::Jpg)
    }

    /// The file name's extension, and the wire's word.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            OutputFormat::Mp4 => "mp4",
            OutputFormat::Png => "png",
            OutputFormat::Jpg => "jpg",
        }
    }

    /// The media type it is served with.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            OutputFormat::Mp4 => "video/mp4",
            OutputFormat::Png => "image/png",
            OutputFormat::Jpg => "image/jpeg",
        }
    }
}

/// How the film is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputSettings {
    /// The file format.
    pub format: OutputFormat,
    /// 1–100; 60 unless asked otherwise (H.264: QP = round(47 − 0.35·quality)); for jpg the JPEG quality, 90.
    pub quality: u8,
    /// A ceiling on the average of every part, bits a second.
    pub bitrate: Option<u32>,
    /// A ceiling on every second, bits a second; `None`: chosen by size and rate.
    pub max_bitrate: Option<u32>,
    /// The longest distance between key frames.
    pub keyframe_interval: Ticks,
    /// Bits a second of the sound.
    pub audio_bitrate: u32,
    /// The instant a still shows; `None`: half the duration.
    pub snapshot_time: Option<Ticks>,
    /// The download's name, without extension.
    pub filename: Option<String>,
}
