//! What effects, motions, transitions, captions and keyframes may hold.

use super::kind::{Kind, Range};
use super::{Schema, field};
use crate::catalog::{EASINGS, EFFECTS, MOTION_SCOPES, MOTION_TYPES, TRANSITIONS, WORD_ANIMATION_STYLES};

const NORM: Kind = Kind::Number(Range::of(0.0, 1.0));
const DEGREES: Kind = Kind::Number(Range::of(0.0, 360.0));

/// An entry of `effects`.
pub static EFFECT: Schema = Schema {
    name: "Effect",
    own: &[
        field("type", Kind::Choice(&EFFECTS)).required(),
        field("intensity", Kind::Number(Range::of(0.0, 100.0))).number(100.0).keyframes_missing(),
        field("chroma_settings", Kind::Object(&CHROMA_SETTINGS)),
        field("seed", Kind::Integer(Range::from(0.0))).extension(),
    ],
    groups: &[],
};

/// Which colours `chroma_key` takes out.
pub static CHROMA_SETTINGS: Schema = Schema {
    name: "ChromaSettings",
    own: &[
        field("hue_min", DEGREES).number(90.0),
        field("hue_max", DEGREES).number(150.0),
        field("sat_min", NORM),
        field("sat_max", NORM),
        field("lum_min", NORM),
        field("lum_max", NORM),
    ],
    groups: &[],
};

/// An entry of `motion`.
pub static MOTION: Schema = Schema {
    name: "Motion",
    own: &[
        field("type", Kind::Choice(&MOTION_TYPES)).required(),
        field("time", Kind::Seconds(Range::from(0.0))).required(),
        field("duration", Kind::Seconds(Range::above(0.0))).required(),
        field("easing", Kind::Choice(&EASINGS)).text("ease_out"),
        field("reversed", Kind::Boolean).flag(false),
        field("scope", Kind::Choice(&MOTION_SCOPES)).text("element"),
        field("delay", Kind::Seconds(Range::from(0.0))),
        field("loop", Kind::Boolean),
    ],
    groups: &[],
};

/// An entry of `transitions`.
pub static TRANSITION: Schema = Schema {
    name: "Transition",
    own: &[
        field("type", Kind::Choice(&TRANSITIONS)).required(),
        field("duration", Kind::Seconds(Range::above(0.0))).required(),
        field("from_id", Kind::Text(0)),
        field("to_id", Kind::Text(0)),
        field("z_index", Kind::Integer(Range::ANY)),
    ],
    groups: &[],
};

/// Captions that follow speech.
pub static WORD_ANIMATION: Schema = Schema {
    name: "WordAnimation",
    own: &[
        field("style", Kind::Choice(&WORD_ANIMATION_STYLES)).required(),
        field("words", Kind::List(&WORD)),
        field("srt_url", Kind::Url).missing().extension(),
        field("vtt_url", Kind::Url).missing().extension(),
    ],
    groups: &[],
};

/// One spoken word.
pub static WORD: Schema = Schema {
    name: "Word",
    own: &[
        field("text", Kind::Text(0)).required(),
        field("start", Kind::Seconds(Range::from(0.0))).required(),
        field("end", Kind::Seconds(Range::above(0.0))).required(),
    ],
    groups: &[],
};

/// What stands in the place of a value that changes over time: at least one keyframe, at strictly rising times. Before the
/// first and after the last the value holds.
pub static KEYFRAMES: Schema = Schema {
    name: "Keyframes",
    own: &[field("keyframes", Kind::List(&KEYFRAME)).required().extension()],
    groups: &[],
};

/// One entry of `keyframes`; its `value` is judged by the field that it animates, its `time` is on the composition's own
/// time line, and its `easing` leads to the next one.
pub static KEYFRAME: Schema = Schema {
    name: "Keyframe",
    own: &[
        field("time", Kind::Seconds(Range::from(0.0))).required().extension(),
        field("value", Kind::Animated).required().extension(),
        field("easing", Kind::Easing).text("linear").extension(),
    ],
    groups: &[],
};
