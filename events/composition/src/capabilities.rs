//! What this version can do, as `GET /v1/capabilities` answers it.
//!
//! Made from the tables that the parser reads by, so the two cannot disagree. Rate limits and the like belong to the
//! installation's configuration: whoever answers the request adds them.

use serde_json::{Map, Value, json};

use crate::catalog::format::{Codec, FORMATS, OUTPUT_FORMATS};
use crate::catalog::motion::MOTIONS;
use crate::catalog::{
    BLEND_MODES, Choices, EASINGS, EFFECTS, ELEMENT_TYPES, FITS, FONT_STYLES, KEYFRAME_EASINGS,
    MOTION_SCOPES, MOTION_TYPES, TASKS, TEXT_ALIGNS, TEXT_DECORATIONS, TEXT_WRAPS, TRANSITION_ALIASES,
    TRANSITIONS, VERTICAL_ALIGNS, WORD_ANIMATION_STYLES,
};
use crate::limits::Limits;
use crate::parse::CONTRACT_VERSION;
use crate::schema::animation::{EFFECT, KEYFRAME, MOTION, TRANSITION, WORD, WORD_ANIMATION};
use crate::schema::element::schema_of;
use crate::schema::request::{OUTPUT, OUTPUTS_ENTRY, REQUEST};
use crate::schema::task::TASK_SCHEMAS;
use crate::schema::{Schema, Support};

/// Every effect, motion, transition, blend mode, easing, caption style, format, element type and task with its
/// parameters, each with `supported`; codecs, ranges and limits.
#[must_use]
pub fn capabilities(limits: &Limits) -> Value {
    json!({
        "contract_version": CONTRACT_VERSION,
        "request": fields(&REQUEST),
        "output": fields(&OUTPUT),
        "outputs_entry": fields(&OUTPUTS_ENTRY),
        "output_formats": output_formats(),
        "element_types": element_types(),
        "effects": { "parameters": fields(&EFFECT), "types": words(&EFFECTS) },
        "motions": { "parameters": fields(&MOTION), "types": motions(), "scopes": words(&MOTION_SCOPES) },
        "transitions": { "parameters": fields(&TRANSITION), "types": transitions() },
        "captions": { "parameters": fields(&WORD_ANIMATION), "word": fields(&WORD), "styles": words(&WORD_ANIMATION_STYLES) },
        "keyframes": keyframes(),
        "blend_modes": words(&BLEND_MODES),
        "easings": words(&EASINGS),
        "fits": words(&FITS),
        "font_styles": words(&FONT_STYLES),
        "text_aligns": words(&TEXT_ALIGNS),
        "vertical_aligns": words(&VERTICAL_ALIGNS),
        "text_decorations": words(&TEXT_DECORATIONS),
        "text_wraps": words(&TEXT_WRAPS),
        "tasks": tasks(),
        "limits": limits,
    })
}

/// `[{"name", "supported"}]`.
fn words(choices: &Choices) -> Vec<Value> {
    choices
        .words
        .iter()
        .map(|word| json!({ "name": word, "supported": choices.is_available(word) }))
        .collect()
}

/// `{name: {"type", "default", "min", …, "supported"}}`.
fn fields(schema: &Schema) -> Map<String, Value> {
    schema.fields().map(|field| (field.name.to_owned(), field.capability())).collect()
}

fn output_formats() -> Vec<Value> {
    let codecs = |codecs: &[Codec]| -> Vec<Value> {
        let shown = codecs.iter().enumerate();
        shown
            .map(
                |(at, codec)| json!({ "name": codec.name, "supported": codec.available, "default": at == 0 }),
            )
            .collect()
    };
    let formats = FORMATS.iter().map(|format| {
        json!({
            "name": format.name,
            "supported": OUTPUT_FORMATS.is_available(format.name),
            "content_type": format.content_type,
            "still": format.still,
            "alpha": format.alpha,
            "video_codecs": codecs(format.video),
            "audio_codecs": codecs(format.audio),
            "settings": format.settings,
        })
    });
    formats.collect()
}

fn element_types() -> Vec<Value> {
    let types = ELEMENT_TYPES.words.iter().map(|name| {
        let supported = ELEMENT_TYPES.is_available(name);
        json!({ "name": name, "supported": supported, "fields": fields(schema_of(name)) })
    });
    types.collect()
}

/// Which fields take keyframes is said at the fields.
fn keyframes() -> Value {
    let mut fields_of_all = ELEMENT_TYPES.words.iter().flat_map(|name| schema_of(name).fields());
    let supported = fields_of_all.any(|field| field.keyframes == Some(Support::Full));
    json!({ "supported": supported, "parameters": fields(&KEYFRAME), "easings": words(&KEYFRAME_EASINGS) })
}

fn motions() -> Vec<Value> {
    let motions = MOTIONS.iter().map(|motion| {
        json!({
            "name": motion.name,
            "supported": MOTION_TYPES.is_available(motion.name),
            "element": motion.element.words(),
            "character": motion.character.words(),
        })
    });
    motions.collect()
}

fn transitions() -> Vec<Value> {
    let transitions = TRANSITIONS.words.iter().map(|name| {
        let supported = TRANSITIONS.is_available(name);
        match TRANSITION_ALIASES.iter().find(|(alias, _)| alias == name) {
            Some((_, word)) => json!({ "name": name, "supported": supported, "alias_of": word }),
            None => json!({ "name": name, "supported": supported }),
        }
    });
    transitions.collect()
}

fn tasks() -> Vec<Value> {
    let tasks = TASK_SCHEMAS.iter().map(|schema| {
        let supported = TASKS.is_available(schema.name);
        json!({ "name": schema.name, "supported": supported, "parameters": fields(schema) })
    });
    tasks.collect()
}
