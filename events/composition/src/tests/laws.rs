//! Laws over many documents: nothing panics, every pointer points, and what is accepted survives storage.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

use super::{accepted, audio, image, text, video, with};
use crate::{Composition, ParseOptions, parse};

/// A document that touches every part of the contract.
fn rich() -> Value {
    json!({
        "width": 640, "height": 360, "duration": 4.5, "frame_rate": "30000/1001", "output_format": "mp4",
        "output_filename": "clip", "background_color": "#102030", "background_image_url": "https://a.example/b.png",
        "alpha": false, "metadata": { "a/b": "c" }, "webhook_url": "https://a.example/", "ingest_external": false,
        "output": { "video_codec": "h264", "quality": 50, "keyframe_interval": 1 }, "outputs": [],
        "priority": 3, "deadline": "2030-01-31T12:00:00Z",
        "transitions": [{ "type": "iris", "duration": 1, "from_id": "logo", "to_id": "nobody" }],
        "elements": [
            with(&video(), &json!({
                "x": "10%", "opacity": { "keyframes": [{ "time": 0, "value": 3, "easing": "hold" }] },
                "effects": [{ "type": "chroma_key", "chroma_settings": { "hue_min": 3 } }],
                "motion": [{ "type": "fade", "time": 0, "duration": 1 }], "crop_top": 0.5,
            })),
            with(&image(), &json!({ "aspect_ratio": 1.5, "z_index": 3 })),
            with(&text(), &json!({ "word_animation": { "style": "glow", "words": [{ "text": "a", "start": 0, "end": 1 }] } })),
            audio(),
            { "type": "composition", "elements": [text()], "transitions": [] },
            { "type": "shape" },
        ],
    })
}

/// A document that is accepted and touches all that is carried out: what a change breaks is the change alone.
fn good() -> Value {
    let fade =
        json!({ "keyframes": [{ "time": 0, "value": 0, "easing": "ease_in" }, { "time": 1, "value": 100 }] });
    json!({
        "width": 640, "height": 360, "duration": 4.5, "frame_rate": 25, "output_filename": "clip",
        "background_color": "#102030", "background_image_url": "https://a.example/b.png",
        "metadata": { "a/b": "c" }, "webhook_url": "https://a.example/", "priority": -3,
        "deadline": "2030-01-31T12:00:00Z", "output": { "video_codec": "h264", "quality": 50, "keyframe_interval": 1 },
        "transitions": [
            { "type": "cross_dissolve", "duration": 0.5, "from_id": "first", "to_id": "second" },
            { "type": "dip_to_black", "duration": 0.5 },
        ],
        "elements": [
            with(&video(), &json!({ "id": "first", "out_point": 2, "volume": 50, "fade_in_duration": 0.5, "opacity": fade })),
            with(&video(), &json!({ "id": "second", "time": 2, "in_point": 1, "out_point": 3, "speed": 2, "blur": 3 })),
            with(&image(), &json!({ "time": 3, "duration": 1, "x": "10%", "crop_left": 0.25, "z_rotation": "45deg", "fit": "contain" })),
            with(&text(), &json!({
                "duration": 4, "text": "Hello there", "font_size": 48, "background_color": "#ffcc00", "stroke_width": 0.1,
                "word_animation": { "style": "box", "words": [
                    { "text": "Hello", "start": 0, "end": 1 }, { "text": "there", "start": 1, "end": 2.5 },
                ] },
            })),
            with(&text(), &json!({ "background": true, "x_padding": "10px", "y_padding": "5%", "text_wrap": "nowrap" })),
            with(&audio(), &json!({ "fade_out_duration": 1, "time": 1 })),
        ],
    })
}

#[test]
fn the_good_document_is_good() {
    assert_eq!(accepted(&good()).warnings, []);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "50%",
            "1e308px",
            "-3rad",
            "#fff",
            "http://",
            "1/0",
            "video",
            "fade",
            "é",
            "",
            "hold",
            "spring(1,,)",
        ])
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let key = prop_oneof![
            Just("keyframes".to_owned()),
            Just("type".to_owned()),
            Just("elements".to_owned()),
            "[a-z~/]{0,4}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Puts `value` in some place of the document, or takes what is there away.
fn mutate(document: &mut Value, place: usize, value: Option<Value>) {
    let mut places = Vec::new();
    collect(document, String::new(), &mut places);
    let pointer = places[place % places.len()].clone();
    let (parent, last) = pointer.rsplit_once('/').unwrap_or_default();
    match (value, document.pointer_mut(parent)) {
        (Some(value), _) => *document.pointer_mut(&pointer).expect("a place of the document") = value,
        (None, Some(Value::Object(fields))) => {
            fields.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        (None, Some(Value::Array(entries))) => {
            entries.remove(last.parse().expect("an index"));
        }
        (None, _) => {}
    }
}

fn collect(value: &Value, path: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                collect(value, format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Array(entries) => {
            for (at, value) in entries.iter().enumerate() {
                collect(value, format!("{path}/{at}"), places);
            }
        }
        _ => {}
    }
    if !path.is_empty() || places.is_empty() {
        places.push(path);
    }
}

/// Whether the pointer leads somewhere, or to a field that an object there does not have.
fn points(document: &Value, path: &str) -> bool {
    let in_its_parent =
        || path.rsplit_once('/').is_some_and(|(parent, _)| document.pointer(parent).is_some());
    !path.is_empty() && (document.pointer(path).is_some() || in_its_parent())
}

fn check(document: &Value) -> Result<(), TestCaseError> {
    match parse(document, &ParseOptions::default()) {
        Ok(parsed) => {
            survives_storage(&parsed.composition)?;
            for warning in &parsed.warnings {
                prop_assert!(points(document, &warning.path), "{} leads nowhere in {document}", warning.path);
            }
        }
        Err(problems) => {
            prop_assert!(!problems.is_empty(), "refused without a reason: {document}");
            for problem in &problems {
                prop_assert!(points(document, &problem.path), "{problem} leads nowhere in {document}");
                prop_assert!(problem.message.len() < 2000, "{} is long", problem.path);
            }
        }
    }
    Ok(())
}

fn survives_storage(composition: &Composition) -> Result<(), TestCaseError> {
    let stored = serde_json::to_vec(composition).expect("a composition is JSON");
    let read: Composition = serde_json::from_slice(&stored).expect("what was stored is a composition");
    prop_assert_eq!(&read, composition);
    prop_assert_eq!(serde_json::to_vec(&read).expect("still JSON"), stored, "and has the same bytes");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(2000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_in_a_document_it_is_accepted_or_refused_with_reasons(
        base in prop_oneof![Just(rich()), Just(good())],
        changes in prop::collection::vec((any::<usize>(), prop::option::of(any_json())), 1..6)
    ) {
        let mut document = base;
        for (place, value) in changes {
            mutate(&mut document, place, value);
        }
        check(&document)?;
    }

    #[test]
    fn any_json_at_all_is_accepted_or_refused_with_reasons(document in any_json()) {
        check(&document)?;
    }

    #[test]
    fn every_accepted_film_survives_storage_exactly(
        time in 0.0..7000.0f64, x in -1e6..1e6f64, turn in -720.0..720.0f64, opacity in 0.0..=100.0f64,
        (y1, y2, later) in (-1e6..1e6f64, -2.0..2.0f64, 0.001..7000.0f64), speed in 0.25..=4.0f64, rate in 1..=240u32, z in any::<i32>(), words in ".{1,20}",
    ) {
        let moved = json!({ "time": time / 2.0, "x": x, "z_rotation": format!("{turn}rad"), "opacity": opacity, "z_index": z });
        let easing = format!("cubic-bezier(0.3, {y1}, 0.7, {y2})");
        let keyframes = json!([{ "time": time, "value": x, "easing": easing }, { "time": time + later, "value": "3%" }]);
        let video = with(&with(&video(), &moved), &json!({ "speed": speed, "y": { "keyframes": keyframes } }));
        let text = with(&with(&text(), &moved), &json!({ "text": words }));
        let parsed = accepted(&json!({ "frame_rate": rate, "elements": [video, text] }));
        survives_storage(&parsed.composition)?;
    }
}

/// A change to one value of the good document breaks nothing else: what is then wrong is at that value, about it, or
/// about what refers to it.
#[test]
fn about_half_of_all_single_changes_to_a_good_document_are_accepted() {
    let mut places = Vec::new();
    collect(&good(), String::new(), &mut places);
    let taken_away = |place: usize| {
        let mut document = good();
        mutate(&mut document, place, None);
        parse(&document, &ParseOptions::default()).is_ok()
    };
    let accepted = (0..places.len()).filter(|place| taken_away(*place)).count();
    assert!(accepted * 2 > places.len(), "{accepted} of {} are accepted: is the base refused?", places.len());
}

#[test]
fn bodies_at_the_edge_of_json_are_no_danger() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(serde_json::from_str::<Value>(&deep).is_err(), "the JSON reader refuses such depth itself");
    for text in ["{\"duration\": 1e400}", "{\"duration\": NaN}", "{\"duration\": Infinity}"] {
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text} is no JSON number of ours");
    }
    let twice: Value = serde_json::from_str("{\"width\":1,\"width\":640,\"height\":360}").expect("JSON");
    assert!(parse(&twice, &ParseOptions::default()).is_ok(), "the last of two equal keys counts");
    let wide: Map<_, _> = (0..100_000).map(|at| (format!("field{at}"), json!(at))).collect();
    let parsed = accepted(&Value::Object(wide));
    assert_eq!(parsed.warnings.len(), 100, "warnings are bounded");
}
