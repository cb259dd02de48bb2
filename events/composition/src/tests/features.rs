//! What this version carries out, what it refuses, and that nothing falls between.

use serde_json::{Map, Value, json};

use super::{accepted, body, composition, elements, faults, only_fault, text, video, with};
use crate::ProblemCode::{ConflictingFields, UnsupportedFeature};
use crate::catalog::format::OUTPUT_FORMATS;
use crate::catalog::{BLEND_MODES, EFFECTS, MOTION_TYPES, TEXT_DECORATIONS, TRANSITIONS};
use crate::schema::element::schema_of;
use crate::schema::request::{OUTPUT, REQUEST};
use crate::schema::{Field, Kind, Preset, Support};
use crate::{ParseOptions, Visual, parse};

/// Labels: they are read by people only.
const LABELS: [&str; 2] = ["name", "track"];

/// A value of the field that is not its default.
fn sample(field: &Field) -> Value {
    let range = field.kind.range();
    let number = match (range.min, range.max) {
        (Some(min), Some(max)) => min + (max - min) * 0.125,
        (min, _) => min.unwrap_or(0.0) + 3.0,
    };
    match field.kind {
        Kind::Number(_) | Kind::Seconds(_) | Kind::Length(_) | Kind::Angle(_) | Kind::Scale => json!(number),
        Kind::Integer(_) => json!(number.floor()),
        Kind::Boolean => json!(field.default != Preset::Flag(true)),
        Kind::Text(_) | Kind::Filename => json!("sample"),
        Kind::Choice(choices) => {
            let default = field.default.to_json();
            let mut others: Vec<_> =
                choices.words.iter().filter(|word| Some(json!(word)) != default).collect();
            others.sort_by_key(|word| choices.is_available(word));
            json!(others.last())
        }
        Kind::Color => json!("#12345678"),
        Kind::Url | Kind::Endpoint => json!("https://other.example/"),
        Kind::FrameRate => json!(25),
        Kind::Instant => json!("2030-01-31T12:00:00Z"),
        Kind::Metadata => json!({ "key": "value" }),
        Kind::Object(_) => json!({ "style": "glow", "words": [{ "text": "a", "start": 0, "end": 1 }] }),
        other => panic!("no sample of {}", other.wire_type()),
    }
}

fn has_sample(field: &Field) -> bool {
    let listed = matches!(field.kind, Kind::List(_) | Kind::Elements);
    !listed && !matches!(field.name, "type" | "output")
}

/// A field is carried out (the composition differs), refused, a label, or a modifier of what is refused.
#[track_caller]
fn never_ignored(field: &Field, without: &Value, with: &Value, path: &str) {
    match (parse(with, &ParseOptions::default()), field.support) {
        (Ok(parsed), Support::Full) if LABELS.contains(&field.name) => {
            assert_eq!(parsed.composition, composition(without), "{path} is a label");
        }
        (Ok(parsed), Support::Full) => {
            assert_ne!(parsed.composition, composition(without), "{path} is accepted and ignored");
        }
        (Ok(_), support) => assert_eq!(support, Support::Modifier, "{path} is accepted without support"),
        (Err(problems), Support::Missing) => {
            assert_eq!(problems.len(), 1, "{path}: {problems:?}");
            assert_eq!((problems[0].path.as_str(), problems[0].code), (path, UnsupportedFeature), "{path}");
        }
        (Err(problems), _) => {
            let (at, code) = (problems[0].path.as_str(), problems[0].code);
            let related =
                at == path || field.name == "in_point" || field.name == "width" || field.name == "height";
            assert!(related, "{path} leads to a problem at {at}");
            assert!(matches!(code, ConflictingFields | UnsupportedFeature), "{path}: {:?}", problems[0]);
        }
    }
}

#[test]
fn no_field_of_an_element_is_silently_ignored() {
    for element in elements() {
        let schema = schema_of(element["type"].as_str().expect("a type"));
        for field in schema.fields().filter(|field| has_sample(field)) {
            // How a plate looks matters where there is one.
            let shapes_a_plate = matches!(field.name, "background_opacity" | "x_padding" | "y_padding");
            let plate = if shapes_a_plate { json!({ "background_color": "#000000" }) } else { json!({}) };
            let element = with(&element, &plate);
            let changed = with(&element, &json!({ field.name: sample(field) }));
            never_ignored(field, &body(&element), &body(&changed), &format!("/elements/0/{}", field.name));
        }
    }
}

#[test]
fn no_field_of_the_request_is_silently_ignored() {
    for base in [json!({}), json!({ "output_format": "png" })] {
        for field in
            REQUEST.fields().filter(|field| has_sample(field) && !matches!(field.name, "width" | "height"))
        {
            let changed = with(&base, &json!({ field.name: sample(field) }));
            never_ignored(field, &base, &changed, &format!("/{}", field.name));
        }
    }
    for field in OUTPUT.fields().filter(|field| !field.name.ends_with("_codec")) {
        let changed = json!({ "output": { field.name: sample(field) } });
        never_ignored(field, &json!({}), &changed, &format!("/output/{}", field.name));
    }
}

#[test]
fn a_client_that_sends_every_field_at_its_default_means_the_same_as_one_that_sends_none() {
    for element in elements() {
        let schema = schema_of(element["type"].as_str().expect("a type"));
        let defaults: Map<_, _> = schema
            .fields()
            .filter_map(|field| Some((field.name.to_owned(), field.default.to_json()?)))
            .collect();
        let nulls: Map<_, _> = defaults.keys().map(|name| (name.clone(), Value::Null)).collect();
        let bare = composition(&body(&element));
        let full = composition(&body(&with(&Value::Object(defaults), &element)));
        assert_eq!(without_box(full), without_box(bare.clone()), "all defaults of {}", schema.name);
        let null = composition(&body(&with(&Value::Object(nulls), &element)));
        assert_eq!(null, bare, "all nulls of {}", schema.name);
    }
    let defaults: Map<_, _> = REQUEST
        .fields()
        .filter_map(|field| Some((field.name.to_owned(), field.default.to_json()?)))
        .collect();
    let mut defaults = Value::Object(defaults);
    defaults["output"] =
        OUTPUT.fields().filter_map(|field| Some((field.name.to_owned(), field.default.to_json()?))).collect();
    assert_eq!(composition(&defaults), composition(&json!({})), "all defaults of the request");
}

/// Whether the box's sides are absent is the one thing that naming a default changes.
fn without_box(mut composition: crate::Composition) -> crate::Composition {
    use crate::ElementKind::{Audio, Image, Text, Video};
    let clear = |visual: &mut Visual| (visual.width, visual.height) = (None, None);
    for element in &mut composition.elements {
        match &mut element.kind {
            Video(video) => clear(&mut video.visual),
            Image(image) => clear(&mut image.visual),
            Text(text) => clear(&mut text.visual),
            Audio(_) => {}
        }
    }
    composition
}

#[test]
fn other_spellings_of_a_default_are_no_unsupported_features() {
    let spelt = json!({
        "effects": [], "motion": [], "blend_mode": "none", "border_radius": "0px", "border_width": "0%",
        "shadow_x": 0, "x_rotation": "0deg", "y_rotation": 0, "clip": false, "hue_rotate": "0rad",
        "lut_intensity": 30, "loop": false, "color_overlay": null,
    });
    accepted(&with(&body(&with(&video(), &spelt)), &json!({ "ingest_external": false, "outputs": [] })));
}

#[test]
fn words_that_this_version_does_not_carry_out_are_refused_where_they_stand() {
    let unavailable = |choices: &'static crate::catalog::Choices| {
        choices.words.iter().filter(|word| !choices.is_available(word)).copied()
    };
    let refused_at = |body: &Value, path: &str| {
        assert!(faults(body).contains(&(path.to_owned(), UnsupportedFeature)), "{path} of {body}");
    };
    for word in unavailable(&BLEND_MODES) {
        refused_at(&body(&with(&video(), &json!({ "blend_mode": word }))), "/elements/0/blend_mode");
    }
    for word in unavailable(&TEXT_DECORATIONS) {
        refused_at(&body(&with(&text(), &json!({ "text_decoration": word }))), "/elements/0/text_decoration");
    }
    for word in unavailable(&EFFECTS) {
        let effects = json!({ "effects": [{ "type": word, "intensity": 50 }] });
        only_fault(&body(&with(&video(), &effects)), "/elements/0/effects/0/type", UnsupportedFeature);
    }
    for word in unavailable(&MOTION_TYPES) {
        let motion = json!({ "motion": [{ "type": word, "time": 0, "duration": 1, "easing": "linear" }] });
        only_fault(&body(&with(&text(), &motion)), "/elements/0/motion/0/type", UnsupportedFeature);
    }
    for word in unavailable(&TRANSITIONS) {
        let transitions = json!({ "transitions": [{ "type": word, "duration": 1 }] });
        only_fault(&transitions, "/transitions/0/type", UnsupportedFeature);
    }
    for word in unavailable(&OUTPUT_FORMATS) {
        only_fault(&json!({ "output_format": word }), "/output_format", UnsupportedFeature);
    }
    for word in ["composition", "shape"] {
        only_fault(&body(&json!({ "type": word, "x_rotation": 5 })), "/elements/0/type", UnsupportedFeature);
    }
}
