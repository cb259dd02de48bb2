//! The output: its format, codecs and settings, and what they ask of the canvas.

use serde::Deserialize as _;
use serde::de::{IntoDeserializer as _, value::Error as WordError};
use serde_json::{Map, Value};

use super::reader::Reader;
use super::report::quoted;
use crate::catalog::format::{Codec, Format, format};
use crate::composition::{OutputFormat, OutputSettings, Size};
use crate::limits::H264_MACROBLOCKS_MAX;
use crate::problem::ProblemCode;
use crate::schema::kind::one_of;
use crate::schema::request::OUTPUT;
use crate::time::Ticks;

/// Fields of `output` that only some formats know.
const SETTINGS: [&str; 7] =
    ["quality", "bitrate", "max_bitrate", "keyframe_interval", "audio_bitrate", "loop", "colors"];

/// The default `quality` of films.
const FILM_QUALITY: u8 = 60;
/// The default `quality` of JPEG.
const JPEG_QUALITY: u8 = 90;

/// Reads everything about the output. `canvas` is `None` where its own problems are noted already.
pub(super) fn read(request: &mut Reader<'_, '_, '_>, canvas: Option<Size>) -> OutputSettings {
    let format = request.known_word("output_format").and_then(format);
    let filename = request.optional("output_filename");
    let snapshot_time = request.optional("snapshot_time");
    let alpha: bool = request.defaulted("alpha");
    if let Some(format) = format {
        if alpha && !format.alpha {
            let message = format!(
                "alpha is true, but {} has none here; expected output_format webm or mov",
                format.name
            );
            request.problem("alpha", ProblemCode::ConflictingFields, message);
        }
        if snapshot_time.is_some() && !format.still {
            let message = format!(
                "snapshot_time is given, but {} is no still; expected output_format png or jpg",
                format.name
            );
            request.problem("snapshot_time", ProblemCode::ConflictingFields, message);
        }
    }
    let none = Value::Object(Map::new());
    let encoding = request.raw("output").unwrap_or(&none);
    let path = request.path_of("output");
    let mut settings = OutputSettings {
        format: spelt(format),
        quality: FILM_QUALITY,
        bitrate: None,
        max_bitrate: None,
        keyframe_interval: Ticks::ZERO,
        audio_bitrate: 0,
        snapshot_time,
        filename,
    };
    let mut codec = format.and_then(|format| format.video.first());
    if let Some(mut output) = Reader::open(&OUTPUT, encoding, path, request.report) {
        codec = codecs(&mut output, format).or(codec);
        encoder(&mut output, format, &mut settings);
        output.finish();
    }
    if let (Some(canvas), Some(codec), Some(format)) = (canvas, codec, format) {
        fits(request, canvas, codec, format);
    }
    settings
}

/// The type's variant; of a format that is refused, any.
fn spelt(format: Option<&Format>) -> OutputFormat {
    let name = format.map_or("mp4", |format| format.name);
    let word: Result<OutputFormat, WordError> = OutputFormat::deserialize(name.into_deserializer());
    word.unwrap_or(OutputFormat::Mp4)
}

/// Checks the codecs against the container; the picture's codec where one is given and the container holds it.
fn codecs(output: &mut Reader<'_, '_, '_>, format: Option<&'static Format>) -> Option<&'static Codec> {
    let video: Option<&'static str> = output.optional("video_codec");
    let audio: Option<&'static str> = output.optional("audio_codec");
    let format = format?;
    let mut held = |field: &str, name: Option<&'static str>, codecs: &'static [Codec]| {
        let name = name?;
        let Some(codec) = codecs.iter().find(|codec| codec.name == name) else {
            let names: Vec<_> = codecs.iter().map(|codec| codec.name).collect();
            let expected = if names.is_empty() { "none".to_owned() } else { one_of(&names) };
            let near = output.report.hint(name, names);
            let message = format!(
                "{field} is {}, which {} does not hold; expected {expected}{near}",
                quoted(name),
                format.name
            );
            output.problem(field, ProblemCode::UnknownValue, message);
            return None;
        };
        if !codec.available {
            let path = output.path_of(field);
            let message = format!("{field} {name:?} is not available in this version for {}", format.name);
            output.report.unsupported(&path, message);
        }
        Some(codec)
    };
    let video = held("video_codec", video, format.video);
    held("audio_codec", audio, format.audio);
    video
}

/// Reads what the encoders are told; a setting that the format does not know is refused rather than ignored.
fn encoder(output: &mut Reader<'_, '_, '_>, format: Option<&Format>, settings: &mut OutputSettings) {
    if let Some(format) = format {
        for name in SETTINGS.into_iter().filter(|name| !format.settings.contains(name)) {
            if output.departs(name) {
                let message = format!("{name} means nothing for {}; leave it out", format.name);
                output.problem(name, ProblemCode::ConflictingFields, message);
            }
        }
    }
    let bits = |bits: i64| u32::try_from(bits).expect("the table's range fits 32 bits");
    let quality: Option<i64> = output.optional("quality");
    let default_quality = if settings.format == OutputFormat::Jpg { JPEG_QUALITY } else { FILM_QUALITY };
    settings.quality = quality.and_then(|quality| u8::try_from(quality).ok()).unwrap_or(default_quality);
    settings.bitrate = output.optional("bitrate").map(bits);
    settings.max_bitrate = output.optional("max_bitrate").map(bits);
    settings.keyframe_interval = output.defaulted("keyframe_interval");
    settings.audio_bitrate = bits(output.defaulted("audio_bitrate"));
    if let (Some(average), Some(max)) = (settings.bitrate, settings.max_bitrate)
        && max < average
    {
        let message = format!("max_bitrate is {max}; expected bitrate ({average}) or more");
        output.problem("max_bitrate", ProblemCode::ConflictingFields, message);
    }
}

/// Checks that the codec takes pictures of this size.
fn fits(request: &mut Reader<'_, '_, '_>, canvas: Size, codec: &Codec, format: &Format) {
    for (field, side) in [("width", canvas.width), ("height", canvas.height)] {
        if codec.even_sides && side % 2 == 1 {
            let (codec, format, even) = (codec.name, format.name, side + 1);
            let message = format!("{field} is {side}; {codec} in {format} needs even sides: use {even}");
            request.problem(field, ProblemCode::ConflictingFields, message);
        }
    }
    let macroblocks = u64::from(canvas.width.div_ceil(16)) * u64::from(canvas.height.div_ceil(16));
    if codec.name == "h264" && macroblocks > H264_MACROBLOCKS_MAX {
        let Size { width, height } = canvas;
        let message = format!(
            "{width}x{height} is {macroblocks} macroblocks; H.264 (level 5.2) takes {H264_MACROBLOCKS_MAX}, about 9.4 \
             million pixels; use a smaller canvas, or output.video_codec \"av1\""
        );
        request.problem("width", ProblemCode::LimitExceeded, message);
    }
}
