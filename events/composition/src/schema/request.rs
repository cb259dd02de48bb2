//! What the body of `POST /v1/renders` may hold.

use super::animation::TRANSITION;
use super::kind::{Kind, Range};
use super::{Schema, field};
use crate::catalog::format::{AUDIO_CODECS, OUTPUT_FORMATS, VIDEO_CODECS};

const SIDE: Kind = Kind::Integer(Range::of(16.0, 8192.0));
/// Bits a second; what no encoder of ours could meet is a slip of the pen.
const BITRATE: Kind = Kind::Integer(Range::of(1000.0, 1_000_000_000.0));

/// The body.
pub static REQUEST: Schema = Schema {
    name: "render request",
    own: &[
        field("width", SIDE),
        field("height", SIDE),
        field("duration", Kind::Seconds(Range::above(0.0))),
        field("frame_rate", Kind::FrameRate).number(30.0),
        field("output_format", Kind::Choice(&OUTPUT_FORMATS)).text("mp4"),
        field("output_filename", Kind::Filename),
        field("background_color", Kind::Color).text("#000000ff"),
        field("background_image_url", Kind::Url),
        // Any format that can hold alpha is refused by its own name.
        field("alpha", Kind::Boolean).flag(false).modifier(),
        field("elements", Kind::Elements).empty_list(),
        field("transitions", Kind::List(&TRANSITION)).empty_list(),
        field("metadata", Kind::Metadata).empty_map(),
        field("webhook_url", Kind::Endpoint),
        field("ingest_external", Kind::Boolean).missing(),
        field("snapshot_time", Kind::Seconds(Range::from(0.0))).extension(),
        field("output", Kind::Object(&OUTPUT)).extension(),
        field("outputs", Kind::List(&OUTPUTS_ENTRY)).empty_list().missing().extension(),
        field("priority", Kind::Integer(Range::of(-100.0, 100.0))).number(0.0).extension(),
        field("deadline", Kind::Instant).extension(),
    ],
    groups: &[],
};

/// How the film is encoded.
pub static OUTPUT: Schema = Schema {
    name: "Output",
    own: &[
        field("video_codec", Kind::Choice(&VIDEO_CODECS)).extension(),
        field("audio_codec", Kind::Choice(&AUDIO_CODECS)).extension(),
        field("quality", Kind::Integer(Range::of(1.0, 100.0))).extension(),
        field("bitrate", BITRATE).extension(),
        field("max_bitrate", BITRATE).extension(),
        field("keyframe_interval", Kind::Seconds(Range::above(0.0))).number(2.0).extension(),
        field("audio_bitrate", Kind::Integer(Range::of(16_000.0, 512_000.0))).number(160_000.0).extension(),
        field("loop", Kind::Integer(Range::of(0.0, 65_535.0))).number(0.0).extension(),
        field("colors", Kind::Integer(Range::of(2.0, 256.0))).extension(),
    ],
    groups: &[],
};

/// A further encode of the same pictures.
pub static OUTPUTS_ENTRY: Schema = Schema {
    name: "OutputsEntry",
    own: &[
        field("name", Kind::Text(1)).required().extension(),
        field("output_format", Kind::Choice(&OUTPUT_FORMATS)).required().extension(),
        field("width", SIDE).extension(),
        field("height", SIDE).extension(),
        field("alpha", Kind::Boolean).flag(false).extension(),
        field("output", Kind::Object(&OUTPUT)).extension(),
    ],
    groups: &[],
};
