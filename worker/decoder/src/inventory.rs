//! `inventory`: which codecs the FFmpeg that is linked can read.
//!
//! Prints one JSON object on standard output, `true` or `false` for each codec that people's media come in; exits with 0
//! when all are there.

use std::io::Write as _;
use std::process::ExitCode;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::Id;

/// What cameras, editors, browsers and recorders write.
const CODECS: [(&str, Id); 14] = [
    ("h264", Id::H264),
    ("hevc", Id::HEVC),
    ("vp8", Id::VP8),
    ("vp9", Id::VP9),
    ("av1", Id::AV1),
    ("mpeg4", Id::MPEG4),
    ("prores", Id::PRORES),
    ("mjpeg", Id::MJPEG),
    ("aac", Id::AAC),
    ("mp3", Id::MP3),
    ("opus", Id::OPUS),
    ("vorbis", Id::VORBIS),
    ("flac", Id::FLAC),
    ("pcm_s16le", Id::PCM_S16LE),
];

pub(crate) fn run() -> ExitCode {
    let found = CODECS.map(|(name, id)| (name, ffmpeg::decoder::find(id).is_some()));
    let is_complete = found.iter().all(|(_, is_there)| *is_there);
    let report: serde_json::Map<String, serde_json::Value> =
        found.into_iter().map(|(name, is_there)| (name.to_owned(), is_there.into())).collect();
    let written = writeln!(std::io::stdout(), "{}", serde_json::Value::Object(report));
    if is_complete && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
