//! What elements may hold.

use super::animation::{EFFECT, MOTION, TRANSITION, WORD_ANIMATION};
use super::kind::{Kind, Range};
use super::{Field, Group, Schema, field};
use crate::catalog::{
    BLEND_MODES, ELEMENT_TYPES, FITS, FONT_STYLES, TEXT_ALIGNS, TEXT_DECORATIONS, TEXT_WRAPS, VERTICAL_ALIGNS,
};

const PERCENT: Kind = Kind::Number(Range::of(0.0, 100.0));
const SIGNED: Kind = Kind::Number(Range::of(-100.0, 100.0));
const NORM: Kind = Kind::Number(Range::of(0.0, 1.0));
const LENGTH: Kind = Kind::Length(Range::ANY);
/// A box cannot be inside out; mirroring is `flip_horizontal` and `flip_vertical`.
const SIDE: Kind = Kind::Length(Range::from(0.0));
const ANGLE: Kind = Kind::Angle(Range::ANY);

/// All elements.
pub const BASE: Group = Group {
    name: "base",
    fields: &[
        field("type", Kind::Choice(&ELEMENT_TYPES)).required(),
        field("id", Kind::Text(0)),
        field("name", Kind::Text(0)),
        field("track", Kind::Integer(Range::of(0.0, 255.0))),
        field("time", Kind::Seconds(Range::from(0.0))).number(0.0),
        field("visible", Kind::Boolean).flag(true),
    ],
};

/// What can be seen.
pub const VISUAL: Group = Group {
    name: "visual",
    fields: &[
        field("x", LENGTH).text("50%").keyframed(),
        field("y", LENGTH).text("50%").keyframed(),
        field("width", SIDE).text("100%").keyframes_missing(),
        field("height", SIDE).text("100%").keyframes_missing(),
        // A thousand to one is a hair on any canvas; beyond, the filled-in side is no finite number of pixels.
        field("aspect_ratio", Kind::Number(Range::of(0.001, 1000.0))).keyframes_missing(),
        field("x_anchor", LENGTH).text("50%").keyframes_missing(),
        field("y_anchor", LENGTH).text("50%").keyframes_missing(),
        field("x_rotation", ANGLE).text("0°").missing().keyframes_missing(),
        field("y_rotation", ANGLE).text("0°").missing().keyframes_missing(),
        field("z_rotation", ANGLE).text("0°").keyframed(),
        field("x_scale", Kind::Scale).text("100%").keyframed(),
        field("y_scale", Kind::Scale).text("100%").keyframed(),
        field("flip_horizontal", Kind::Boolean).flag(false),
        field("flip_vertical", Kind::Boolean).flag(false),
        field("opacity", PERCENT).number(100.0).keyframed(),
        field("z_index", Kind::Integer(Range::ANY)).number(0.0),
        field("blend_mode", Kind::Choice(&BLEND_MODES)).text("none"),
        field("clip", Kind::Boolean).flag(false).missing(),
        field("color_overlay", Kind::Color).missing(),
        field("fit", Kind::Choice(&FITS)).text("cover").extension(),
        // It only seeds effects, noise and motions, which are refused themselves.
        field("seed", Kind::Integer(Range::from(0.0))).modifier().extension(),
    ],
};

/// Corners, border and shadow.
pub const STYLE: Group = Group {
    name: "style",
    fields: &[
        field("border_radius", LENGTH).number(0.0).missing().keyframes_missing(),
        field("border_color", Kind::Color).missing(),
        field("border_width", LENGTH).number(0.0).missing().keyframes_missing(),
        field("shadow_color", Kind::Color).missing(),
        field("shadow_blur", LENGTH).number(0.0).missing().keyframes_missing(),
        field("shadow_x", LENGTH).number(0.0).missing().keyframes_missing(),
        field("shadow_y", LENGTH).number(0.0).missing().keyframes_missing(),
    ],
};

/// The parts of the source cut away.
pub const CROP: Group = Group {
    name: "crop",
    fields: &[
        field("crop_top", NORM).number(0.0).keyframes_missing(),
        field("crop_bottom", NORM).number(0.0).keyframes_missing(),
        field("crop_left", NORM).number(0.0).keyframes_missing(),
        field("crop_right", NORM).number(0.0).keyframes_missing(),
    ],
};

/// Colour and sharpness.
pub const COLOUR: Group = Group {
    name: "colour",
    fields: &[
        field("brightness", SIGNED).number(0.0).missing().keyframes_missing(),
        field("contrast", SIGNED).number(0.0).missing().keyframes_missing(),
        field("saturation", SIGNED).number(0.0).missing().keyframes_missing(),
        field("exposure", SIGNED).number(0.0).missing().keyframes_missing(),
        field("hue_rotate", Kind::Angle(Range::of(-180.0, 180.0))).number(0.0).missing().keyframes_missing(),
        field("sharpness", PERCENT).number(0.0).missing().keyframes_missing(),
        field("blur", PERCENT).number(0.0).keyframed(),
        field("noise", PERCENT).number(0.0).missing().keyframes_missing(),
        field("vignette", PERCENT).number(0.0).missing().keyframes_missing(),
    ],
};

/// A look-up table of colours.
pub const LUT: Group = Group {
    name: "lut",
    fields: &[
        field("lut_url", Kind::Url).missing(),
        field("lut_intensity", PERCENT).number(100.0).modifier().keyframes_missing(),
    ],
};

const SOURCE_URL: Field = field("source_url", Kind::Url).required();
const IN_POINT: Field = field("in_point", Kind::Seconds(Range::from(0.0))).number(0.0);
const OUT_POINT: Field = field("out_point", Kind::Seconds(Range::above(0.0)));
const SPEED: Field = field("speed", Kind::Number(Range::of(0.25, 4.0))).number(1.0);
const FADE_IN: Field = field("fade_in_duration", Kind::Seconds(Range::from(0.0))).number(0.0);
const FADE_OUT: Field = field("fade_out_duration", Kind::Seconds(Range::from(0.0))).number(0.0);
const VOLUME: Field = field("volume", PERCENT).number(100.0).keyframes_missing();
const LOOP: Field = field("loop", Kind::Boolean).flag(false).missing().extension();
const DURATION: Field = field("duration", Kind::Seconds(Range::above(0.0))).required();
const EFFECTS: Field = field("effects", Kind::List(&EFFECT)).empty_list();
const MOTIONS: Field = field("motion", Kind::List(&MOTION)).empty_list();

/// Moving pictures with their sound.
pub static VIDEO: Schema = Schema {
    name: "video",
    own: &[
        SOURCE_URL,
        IN_POINT,
        OUT_POINT,
        SPEED,
        FADE_IN,
        FADE_OUT,
        VOLUME,
        EFFECTS,
        MOTIONS,
        LOOP,
        field("reverse", Kind::Boolean).flag(false).missing().extension(),
    ],
    groups: &[BASE, VISUAL, STYLE, CROP, COLOUR, LUT],
};

/// Sound alone.
pub static AUDIO: Schema = Schema {
    name: "audio",
    own: &[SOURCE_URL, IN_POINT, OUT_POINT, SPEED, FADE_IN, FADE_OUT, VOLUME, LOOP],
    groups: &[BASE],
};

/// A still or an animation.
pub static IMAGE: Schema = Schema {
    name: "image",
    own: &[field("id", Kind::Text(1)), DURATION, SOURCE_URL, EFFECTS, MOTIONS],
    groups: &[BASE, VISUAL, STYLE, CROP, COLOUR, LUT],
};

/// Laid-out text.
pub static TEXT: Schema = Schema {
    name: "text",
    own: &[
        field("text", Kind::Text(1)).required(),
        DURATION,
        field("z_index", Kind::Integer(Range::ANY)).number(1.0),
        field("font_family", Kind::Text(0)).text("Inter"),
        field("font_size", Kind::Number(Range::above(0.0))).number(16.0),
        field("font_weight", Kind::Integer(Range::of(100.0, 900.0))).number(400.0),
        field("font_style", Kind::Choice(&FONT_STYLES)).text("normal"),
        field("text_color", Kind::Color).text("#ffffff"),
        field("text_align", Kind::Choice(&TEXT_ALIGNS)).text("center"),
        field("text_decoration", Kind::Choice(&TEXT_DECORATIONS)).text("none"),
        field("tracking", Kind::Number(Range::ANY)).number(0.0),
        field("leading", Kind::Number(Range::from(0.0))).number(1.2),
        field("stroke_color", Kind::Color),
        field("stroke_width", Kind::Number(Range::from(0.0))).number(0.0),
        field("background_color", Kind::Color),
        field("background_opacity", PERCENT).number(100.0),
        field("x_padding", LENGTH).number(0.0),
        field("y_padding", LENGTH).number(0.0),
        field("background", Kind::Boolean).flag(false),
        field("stroke", Kind::Boolean).flag(false),
        field("shadow", Kind::Boolean).flag(false).missing(),
        field("text_wrap", Kind::Choice(&TEXT_WRAPS)).text("wrap"),
        field("word_animation", Kind::Object(&WORD_ANIMATION)),
        field("animation_preset", Kind::Text(0)).missing(),
        MOTIONS,
        field("font_url", Kind::Url).missing().extension(),
        field("vertical_align", Kind::Choice(&VERTICAL_ALIGNS)).text("middle").extension(),
        field("auto_size", Kind::Boolean).flag(false).missing().extension(),
    ],
    groups: &[BASE, VISUAL, STYLE],
};

/// A film inside the film.
pub static COMPOSITION: Schema = Schema {
    name: "composition",
    own: &[
        field("width", Kind::Integer(Range::of(16.0, 8192.0))),
        field("height", Kind::Integer(Range::of(16.0, 8192.0))),
        field("duration", Kind::Seconds(Range::above(0.0))),
        field("background_color", Kind::Color).text("#00000000"),
        field("elements", Kind::Elements).empty_list(),
        field("transitions", Kind::List(&TRANSITION)).empty_list(),
        EFFECTS,
        MOTIONS,
    ],
    groups: &[BASE, VISUAL, STYLE, CROP, COLOUR, LUT],
};

/// A drawn shape (an extension); its own fields come with it.
pub static SHAPE: Schema = Schema { name: "shape", own: &[], groups: &[BASE, VISUAL] };

/// What is known of an element whose type is not.
pub static UNKNOWN: Schema = Schema { name: "element", own: &[], groups: &[BASE] };

/// The schema of an element type.
#[must_use]
pub fn schema_of(element_type: &str) -> &'static Schema {
    match element_type {
        "video" => &VIDEO,
        "audio" => &AUDIO,
        "image" => &IMAGE,
        "text" => &TEXT,
        "composition" => &COMPOSITION,
        "shape" => &SHAPE,
        _ => &UNKNOWN,
    }
}
