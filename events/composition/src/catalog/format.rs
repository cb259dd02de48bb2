//! Output formats and the codecs their containers hold.

use super::{Choices, all, only};

/// A file format.
#[derive(Debug, PartialEq)]
pub struct Format {
    /// The wire's word and the file's extension.
    pub name: &'static str,
    /// The media type it is served with.
    pub content_type: &'static str,
    /// Whether it holds one frame.
    pub still: bool,
    /// Whether `alpha: true` may ask for it.
    pub alpha: bool,
    /// Picture codecs; the first is the default.
    pub video: &'static [Codec],
    /// Sound codecs; the first is the default.
    pub audio: &'static [Codec],
    /// Fields of `output` that mean something here, besides the codecs.
    pub settings: &'static [&'static str],
}

/// A codec in a container.
#[derive(Debug, PartialEq)]
pub struct Codec {
    /// The wire's word.
    pub name: &'static str,
    /// Whether this version writes it into this container.
    pub available: bool,
    /// Whether its pictures have halved chroma and so need even sides.
    pub even_sides: bool,
}

const fn codec(name: &'static str, available: bool) -> Codec {
    Codec { name, available, even_sides: false }
}

const fn subsampled(name: &'static str, available: bool) -> Codec {
    Codec { name, available, even_sides: true }
}

const FILM: &[&str] = &["quality", "bitrate", "max_bitrate", "keyframe_interval", "audio_bitrate"];

/// Every format.
pub static FORMATS: &[Format] = &[
    Format {
        name: "mp4",
        content_type: "video/mp4",
        still: false,
        alpha: false,
        video: &[subsampled("h264", true), subsampled("av1", false)],
        audio: &[codec("aac", true), codec("opus", false)],
        settings: FILM,
    },
    Format {
        name: "webm",
        content_type: "video/webm",
        still: false,
        alpha: true,
        video: &[subsampled("vp9", false), subsampled("av1", false)],
        audio: &[codec("opus", false)],
        settings: FILM,
    },
    Format {
        name: "mov",
        content_type: "video/quicktime",
        still: false,
        alpha: true,
        video: &[
            subsampled("h264", false),
            codec("prores_4444", false),
            codec("prores_422", false),
            codec("png", false),
        ],
        audio: &[codec("aac", false)],
        settings: FILM,
    },
    Format {
        name: "gif",
        content_type: "image/gif",
        still: false,
        alpha: false,
        video: &[codec("gif", false)],
        audio: &[],
        settings: &["loop", "colors"],
    },
    Format {
        name: "png",
        content_type: "image/png",
        still: true,
        alpha: false,
        video: &[codec("png", true)],
        audio: &[],
        settings: &[],
    },
    Format {
        name: "jpg",
        content_type: "image/jpeg",
        still: true,
        alpha: false,
        video: &[codec("jpeg", true)],
        audio: &[],
        settings: &["quality"],
    },
];

/// The format of that name.
#[must_use]
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

/// What `output_format` may be.
pub static OUTPUT_FORMATS: Choices =
    only("output_format", &["mp4", "webm", "mov", "gif", "png", "jpg"], &["mp4", "png", "jpg"]);

/// Every picture codec of any container; which container holds which is in [`FORMATS`].
pub static VIDEO_CODECS: Choices =
    all("video_codec", &["h264", "av1", "vp9", "prores_4444", "prores_422", "png", "gif", "jpeg"]);

/// Every sound codec of any container.
pub static AUDIO_CODECS: Choices = all("audio_codec", &["aac", "opus"]);
