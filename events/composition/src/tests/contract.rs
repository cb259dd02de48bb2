//! The tables against the contract, field by field.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::capabilities;
use crate::catalog::format::{AUDIO_CODECS, FORMATS, OUTPUT_FORMATS, VIDEO_CODECS};
use crate::catalog::motion::MOTIONS;
use crate::catalog::{self, Choices};
use crate::limits::Limits;
use crate::schema::animation::{
    CHROMA_SETTINGS, EFFECT, KEYFRAME, KEYFRAMES, MOTION, TRANSITION, WORD, WORD_ANIMATION,
};
use crate::schema::element::{self, schema_of};
use crate::schema::request::{OUTPUT, OUTPUTS_ENTRY, REQUEST};
use crate::schema::task::{COMMON, TASK_SCHEMAS};
use crate::schema::{Field, Schema};

/// What of a contract's field is data; the rest is prose.
const DATA: [&str; 10] = [
    "type",
    "required",
    "default",
    "min",
    "max",
    "exclusive_min",
    "min_length",
    "max_items",
    "keyframes",
    "extension",
];

fn contract() -> Value {
    serde_json::from_str(include_str!("../../contract.json")).expect("contract.json is JSON")
}

/// Every field of both sides, each exactly as in the contract.
#[track_caller]
fn same_fields(name: &str, fields: &[Field], contract: &Value) {
    let ours: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), Value::Object(field.contract()))).collect();
    let mut theirs = contract.as_object().unwrap_or_else(|| panic!("contract.json has no {name}")).clone();
    for field in theirs.values_mut() {
        field.as_object_mut().expect("a field").retain(|key, _| DATA.contains(&key.as_str()));
    }
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for field in names {
        assert_eq!(
            ours.get(field),
            theirs.get(field),
            "{name}.{field}: ours (left) and the contract's (right)"
        );
    }
}

#[test]
fn the_request_and_its_objects_have_the_contracts_fields() {
    let contract = contract();
    same_fields("render_request", REQUEST.own, &contract["render_request"]);
    let objects: [&Schema; 10] = [
        &EFFECT,
        &CHROMA_SETTINGS,
        &MOTION,
        &TRANSITION,
        &WORD_ANIMATION,
        &WORD,
        &KEYFRAMES,
        &KEYFRAME,
        &OUTPUT,
        &OUTPUTS_ENTRY,
    ];
    for schema in objects {
        same_fields(schema.name, schema.own, &contract["objects"][schema.name]);
    }
}

#[test]
fn every_element_has_the_contracts_fields() {
    let contract = contract();
    for group in
        [element::BASE, element::VISUAL, element::STYLE, element::CROP, element::COLOUR, element::LUT]
    {
        same_fields(group.name, group.fields, &contract["groups"][group.name]);
    }
    let elements = contract["elements"].as_object().expect("an object");
    let names: Vec<_> = elements.keys().map(String::as_str).collect();
    let known: BTreeSet<_> = catalog::ELEMENT_TYPES.words.iter().copied().collect();
    assert_eq!(names, known.into_iter().collect::<Vec<_>>(), "the element types");
    for (name, element) in elements {
        let schema = schema_of(name);
        assert_eq!(schema.name, name, "the schema of {name}");
        let groups: Vec<_> = schema.groups.iter().map(|group| group.name).collect();
        assert_eq!(json!(groups), element["groups"], "the groups of {name}");
        same_fields(name, schema.own, &element["fields"]);
    }
}

#[test]
fn every_task_has_the_contracts_fields() {
    let contract = contract();
    same_fields("tasks.common", COMMON.fields, &contract["tasks"]["common"]);
    for schema in TASK_SCHEMAS {
        same_fields(schema.name, schema.own, &contract["tasks"][schema.name]);
    }
    assert_eq!(
        contract["tasks"].as_object().map(Map::len),
        Some(TASK_SCHEMAS.len() + 1),
        "no task is left out"
    );
}

#[test]
fn every_list_of_words_is_the_contracts() {
    let contract = contract();
    let lists: [&Choices; 20] = [
        &catalog::ELEMENT_TYPES,
        &catalog::BLEND_MODES,
        &catalog::FITS,
        &catalog::EASINGS,
        &catalog::KEYFRAME_EASINGS,
        &catalog::MOTION_SCOPES,
        &catalog::FONT_STYLES,
        &catalog::TEXT_ALIGNS,
        &catalog::VERTICAL_ALIGNS,
        &catalog::TEXT_DECORATIONS,
        &catalog::TEXT_WRAPS,
        &catalog::WORD_ANIMATION_STYLES,
        &catalog::MOTION_TYPES,
        &catalog::SPEECH_MODELS,
        &catalog::CUTOUT_FORMATS,
        &catalog::EFFECTS,
        &catalog::TRANSITIONS,
        &OUTPUT_FORMATS,
        &VIDEO_CODECS,
        &AUDIO_CODECS,
    ];
    for list in lists {
        assert_eq!(json!(list.words), contract["enums"][list.name], "the words of {}", list.name);
    }
    assert_eq!(json!(catalog::TASKS.words), contract["enums"]["task"], "the tasks");
}

#[test]
fn the_catalog_has_46_effects_43_motions_and_31_transitions_with_one_alias() {
    assert_eq!(catalog::EFFECTS.words.len(), 46, "effects");
    assert_eq!(catalog::TRANSITIONS.words.len(), 31 + 1, "transitions and `fade`");
    let motions: Vec<_> = MOTIONS
        .iter()
        .map(|m| json!({ "name": m.name, "element": m.element.words(), "character": m.character.words() }))
        .collect();
    assert_eq!(motions.len(), 43, "motions");
    assert_eq!(json!(motions), contract()["catalog"]["motions"], "what each motion serves");
    let aliases: Map<_, _> =
        catalog::TRANSITION_ALIASES.iter().map(|(alias, word)| ((*alias).to_owned(), json!(word))).collect();
    assert_eq!(Value::Object(aliases), contract()["catalog"]["transition_aliases"], "the aliases");
}

#[test]
fn every_container_holds_the_contracts_codecs() {
    let contract = contract();
    for format in FORMATS {
        let names =
            |codecs: &[crate::catalog::format::Codec]| -> Vec<_> { codecs.iter().map(|c| c.name).collect() };
        let ours = json!({ "video": names(format.video), "audio": names(format.audio) });
        assert_eq!(ours, contract["catalog"]["formats"][format.name], "the codecs of {}", format.name);
    }
    let formats: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
    assert_eq!(formats, OUTPUT_FORMATS.words, "the formats themselves");
}

#[test]
fn capabilities_name_everything_with_whether_it_is_supported() {
    let shown = capabilities(&Limits::default());
    let count = |pointer: &str| shown.pointer(pointer).and_then(Value::as_array).map(Vec::len);
    for (pointer, expected) in [
        ("/effects/types", 46),
        ("/motions/types", 43),
        ("/transitions/types", 32),
        ("/blend_modes", 10),
        ("/easings", 4),
        ("/keyframes/easings", 7),
        ("/captions/styles", 6),
        ("/output_formats", 6),
        ("/element_types", 6),
        ("/tasks", 4),
    ] {
        assert_eq!(count(pointer), Some(expected), "{pointer}");
        let entries = shown.pointer(pointer).and_then(Value::as_array).expect("a list");
        assert!(entries.iter().all(|entry| entry["supported"].is_boolean()), "{pointer} says so for each");
    }
    assert_eq!(shown["element_types"][0]["fields"]["opacity"]["max"], 100, "ranges are shown");
    assert_eq!(
        shown["output_formats"][0]["video_codecs"][0],
        json!({ "name": "h264", "supported": true, "default": true })
    );
    assert_eq!(shown["limits"]["elements_max"], 1000, "limits are shown");
}
