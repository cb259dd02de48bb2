//! Faulty documents: what is named, where, and in which words.

use serde_json::json;

use super::{accepted, audio, body, faults, image, only_fault, refused, text, video, warnings, with};
use crate::ProblemCode::{
    self, ConflictingFields, DanglingTransition, DuplicateElementId, LimitExceeded, MalformedValue,
    MissingField, OutOfRange, TransitionSelf, UnknownValue, WrongType,
};
use crate::{Limits, ParseOptions, Problem, parse};

#[test]
fn forty_faults_in_one_body_are_all_named() {
    let body = json!({
        "width": 15, "height": "tall", "duration": 0, "frame_rate": 241, "output_format": "mp5",
        "output_filename": "a/b", "background_color": "red", "background_image_url": "nowhere", "alpha": "no",
        "metadata": { "a/b": 1, "c~d": null }, "webhook_url": "ftp://example.com/", "ingest_external": "yes",
        "snapshot_time": -1, "priority": 101, "deadline": "tomorrow",
        "output": { "quality": 0, "bitrate": 1.5, "video_codec": "h265", "keyframe_interval": 0 },
        "elements": [
            { "type": "vidoe" },
            { },
            7,
            { "type": "video", "in_point": -1, "out_point": 0, "speed": 5, "volume": 101, "opacity": "half" },
            { "type": "video", "source_url": "https://a.example/a.mp4", "in_point": 3, "out_point": 3,
              "crop_top": 0.5, "crop_bottom": 0.5, "track": 256, "time": "0", "visible": 1 },
            { "type": "image", "id": "", "source_url": "", "x": "12em", "z_rotation": "90grad", "x_scale": "big" },
            { "type": "text", "text": "", "duration": 1, "font_size": 0, "font_weight": 950, "text_align": "centre",
              "text_color": "#fff" },
        ],
    });
    let expected: &[(&str, ProblemCode)] = &[
        ("/width", OutOfRange),
        ("/height", WrongType),
        ("/duration", OutOfRange),
        ("/frame_rate", OutOfRange),
        ("/output_format", UnknownValue),
        ("/output_filename", MalformedValue),
        ("/background_color", MalformedValue),
        ("/background_image_url", MalformedValue),
        ("/alpha", WrongType),
        ("/metadata/a~1b", WrongType),
        ("/metadata/c~0d", WrongType),
        ("/webhook_url", MalformedValue),
        ("/ingest_external", WrongType),
        ("/snapshot_time", OutOfRange),
        ("/priority", OutOfRange),
        ("/deadline", MalformedValue),
        ("/output/quality", OutOfRange),
        ("/output/bitrate", WrongType),
        ("/output/video_codec", UnknownValue),
        ("/output/keyframe_interval", OutOfRange),
        ("/elements/0/type", UnknownValue),
        ("/elements/1/type", MissingField),
        ("/elements/2", WrongType),
        ("/elements/3/source_url", MissingField),
        ("/elements/3/in_point", OutOfRange),
        ("/elements/3/out_point", OutOfRange),
        ("/elements/3/speed", OutOfRange),
        ("/elements/3/volume", OutOfRange),
        ("/elements/3/opacity", WrongType),
        ("/elements/4/out_point", ConflictingFields),
        ("/elements/4/crop_bottom", ConflictingFields),
        ("/elements/4/track", OutOfRange),
        ("/elements/4/time", WrongType),
        ("/elements/4/visible", WrongType),
        ("/elements/5/id", OutOfRange),
        ("/elements/5/source_url", OutOfRange),
        ("/elements/5/duration", MissingField),
        ("/elements/5/x", MalformedValue),
        ("/elements/5/z_rotation", MalformedValue),
        ("/elements/5/x_scale", MalformedValue),
        ("/elements/6/text", OutOfRange),
        ("/elements/6/font_size", OutOfRange),
        ("/elements/6/font_weight", OutOfRange),
        ("/elements/6/text_align", UnknownValue),
        ("/elements/6/text_color", MalformedValue),
    ];
    let mut expected: Vec<_> = expected.iter().map(|(path, code)| ((*path).to_owned(), *code)).collect();
    let mut found = faults(&body);
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "each fault once, and nothing else");
}

#[test]
fn a_message_says_what_was_given_what_is_allowed_and_what_was_probably_meant() {
    let message = |element, path, code| only_fault(&body(&element), path, code);
    assert_eq!(
        message(with(&video(), &json!({ "opacity": 120 })), "/elements/0/opacity", OutOfRange),
        "opacity is 120; expected a number from 0 to 100"
    );
    assert_eq!(
        message(with(&video(), &json!({ "blend_mode": "multply" })), "/elements/0/blend_mode", UnknownValue),
        "blend_mode is \"multply\"; expected one of \"none\", \"multiply\", \"screen\", \
         \"overlay\", \"darken\", \"lighten\", \"color_dodge\", \"color_burn\", \"hard_light\", \"soft_light\"; did you mean \"multiply\"?"
    );
    assert_eq!(
        message(json!({ "type": "image", "id": "a", "duration": 1 }), "/elements/0/source_url", MissingField),
        "source_url is missing; expected an absolute URL (https://…) of 1 to 2083 characters"
    );
    assert_eq!(
        message(with(&video(), &json!({ "in_point": 6 })), "/elements/0/out_point", ConflictingFields),
        "out_point is 5, expected more than in_point (6), or none: the source's end"
    );
    let effect = json!({ "effects": [{ "type": "vingage" }] });
    let misspelt = message(with(&video(), &effect), "/elements/0/effects/0/type", UnknownValue);
    assert!(misspelt.contains("did you mean \"vintage\"?") && misspelt.contains("46"), "{misspelt}");
}

#[test]
fn a_problems_path_is_never_empty() {
    for whole in [json!([]), json!(null), json!(7), json!("film")] {
        let message = only_fault(&whole, "/elements", WrongType);
        assert!(message.starts_with("the body is"), "{message}");
    }
}

#[test]
fn messages_show_no_secrets_of_urls_and_never_grow_with_the_input() {
    let secret = json!({ "source_url": "https://user:hunter2@bad host/?token=hunter3" });
    let message = only_fault(&body(&with(&video(), &secret)), "/elements/0/source_url", MalformedValue);
    assert!(!message.contains("hunter"), "{message}");
    let long = with(&video(), &json!({ "blend_mode": "x".repeat(100_000) }));
    assert!(refused(&body(&long))[0].message.len() < 500, "a long value is shortened");
    let key = "k".repeat(100_000);
    let warned = accepted(&json!({ key: 1 })).warnings;
    assert!(warned[0].message.len() < 500 && warned[0].path.len() < 300, "and so is a long name");
}

#[test]
fn width_and_height_are_given_together_or_not_at_all() {
    only_fault(&json!({ "width": 640 }), "/height", MissingField);
    only_fault(&json!({ "height": 480, "width": null }), "/width", MissingField);
}

#[test]
fn at_most_one_of_background_stroke_and_shadow_is_true() {
    let flags = with(&text(), &json!({ "background": true, "stroke": true, "shadow": true }));
    let conflicts: Vec<_> = faults(&body(&flags))
        .into_iter()
        .filter(|(_, code)| *code == ConflictingFields)
        .map(|(path, _)| path)
        .collect();
    assert_eq!(conflicts, ["/elements/0/stroke", "/elements/0/shadow"]);
}

#[test]
fn transitions_name_elements_that_exist_once_and_differ() {
    let elements = json!([
        with(&video(), &json!({ "id": "a" })),
        with(&video(), &json!({ "id": "b" })),
        with(&video(), &json!({ "id": "b" })),
    ]);
    let transition =
        |from: &str, to: &str| json!({ "type": "iris", "duration": 1, "from_id": from, "to_id": to });
    let transitions =
        json!([transition("a", "a"), transition("a", "c"), transition("a", "b"), transition("a", "a1")]);
    let found = faults(&json!({ "elements": elements, "transitions": transitions }));
    for (path, code) in [
        ("/transitions/0/to_id", TransitionSelf),
        ("/transitions/1/to_id", DanglingTransition),
        ("/transitions/2/to_id", DuplicateElementId),
        ("/transitions/3/to_id", DanglingTransition),
    ] {
        assert!(found.contains(&(path.to_owned(), code)), "{path} {code} in {found:?}");
    }
}

#[test]
fn a_motion_is_refused_for_what_it_does_not_serve() {
    let motion = |more| with(&json!({ "type": "fade", "time": 0, "duration": 1 }), &more);
    let conflict = |element: &serde_json::Value, more, field: &str| {
        let found = faults(&body(&with(element, &json!({ "motion": [motion(more)] }))));
        let path = format!("/elements/0/motion/0/{field}");
        found.contains(&(path, ConflictingFields))
    };
    assert!(
        conflict(&text(), json!({ "type": "rotate_cw", "scope": "character" }), "scope"),
        "no characters"
    );
    assert!(conflict(&video(), json!({ "scope": "character" }), "scope"), "no characters in a video");
    assert!(conflict(&video(), json!({ "type": "ken_burns_in", "reversed": true }), "reversed"), "no exit");
    assert!(conflict(&video(), json!({ "loop": true }), "loop"), "no repetition");
    assert!(!conflict(&text(), json!({ "scope": "character", "reversed": true }), "scope"), "a good use");
    assert!(
        !conflict(&video(), json!({ "type": "evaporate" }), "reversed"),
        "an exit whatever reversed says"
    );
    assert!(!conflict(&video(), json!({ "type": "loop_wiggle", "loop": true }), "loop"), "a repetition");
}

#[test]
fn parts_of_what_is_unsupported_are_checked_all_the_same() {
    let element = with(
        &text(),
        &json!({
            "x": { "keyframes": [{ "time": -1, "value": "wide" }, { "value": 1, "easing": "bouncy" }] },
            "word_animation": { "style": "glw", "words": [{ "text": "a", "start": 2, "end": 1 }] },
            "motion": [{ "type": "fade", "time": 0 }],
        }),
    );
    let mut found = faults(&body(&element));
    found.retain(|(_, code)| *code != ProblemCode::UnsupportedFeature);
    found.sort();
    let at = |path: &str, code| (format!("/elements/0/{path}"), code);
    assert_eq!(
        found,
        [
            at("motion/0/duration", MissingField),
            at("word_animation/style", UnknownValue),
            at("word_animation/words/0/end", ConflictingFields),
            at("x/keyframes/0/time", OutOfRange),
            at("x/keyframes/0/value", MalformedValue),
            at("x/keyframes/1/easing", MalformedValue),
            at("x/keyframes/1/time", MissingField),
        ]
    );
}

#[test]
fn faults_inside_compositions_are_named_and_nesting_ends_somewhere() {
    let nested = |inner| json!({ "type": "composition", "elements": [inner] });
    let found = faults(&body(&nested(nested(json!({ "type": "text", "text": "a" })))));
    assert!(
        found.contains(&("/elements/0/elements/0/elements/0/duration".to_owned(), MissingField)),
        "{found:?}"
    );
    let deep = (0..100).fold(json!({ "type": "composition" }), |inner, _| nested(inner));
    let found = faults(&body(&deep));
    let limit: Vec<_> = found.iter().filter(|(_, code)| *code == LimitExceeded).collect();
    assert_eq!(limit.len(), 1, "the ninth level is refused, and none below it is looked at: {found:?}");
    assert!(limit[0].0.ends_with("/elements/0/elements"), "{limit:?}");
}

#[test]
fn limits_are_named() {
    let elements: Vec<_> = (0..1001).map(|_| text()).collect();
    let message = only_fault(&json!({ "elements": elements }), "/elements", LimitExceeded);
    assert!(message.contains("1001") && message.contains("elements_max is 1000"), "{message}");

    let long = "x".repeat(501);
    let found = faults(&json!({ "metadata": { "a": long.as_str(), long.as_str(): "a" } }));
    assert_eq!(found, [("/metadata/a".to_owned(), LimitExceeded), ("/metadata".to_owned(), LimitExceeded)]);
    let keys: serde_json::Map<_, _> = (0..51).map(|key| (key.to_string(), json!(""))).collect();
    let message = only_fault(&json!({ "metadata": keys }), "/metadata", LimitExceeded);
    assert!(message.contains("metadata_keys_max is 50"), "{message}");

    let message =
        only_fault(&body(&with(&audio(), &json!({ "time": 1e7 }))), "/elements/0/time", LimitExceeded);
    assert!(message.contains("magnitude_max"), "{message}");
}

#[test]
fn a_body_made_of_slips_of_the_pen_is_answered_like_any_other() {
    let ids: Vec<_> =
        (0..1000).map(|at| with(&video(), &json!({ "id": format!("element number {at}") }))).collect();
    let slip =
        json!({ "type": "iriz", "duration": 1, "from_id": "elemant number", "to_id": "elemint number" });
    let transitions: Vec<_> = (0..10_001).map(|_| slip.clone()).collect();
    let problems = refused(&json!({ "elements": ids, "transitions": transitions }));
    assert_eq!(problems[0].path, "/transitions", "the list is longer than any may be");
    assert!(problems[0].message.contains("list_entries_max is 10000"), "{}", problems[0]);
    assert_eq!(problems.len(), 1000, "and its entries are checked as far as the answer reaches");
    let hints = problems.iter().filter(|problem| problem.message.contains("did you mean")).count();
    assert!((1..=100).contains(&hints), "{hints} suggestions");
}

#[test]
fn an_answer_has_an_end_and_says_what_it_left_out() {
    let limits = Limits { problems_max: 3, ..Limits::default() };
    let options = ParseOptions { limits, local_files: false };
    let elements: Vec<_> = (0..10).map(|_| json!(1)).collect();
    let problems = parse(&json!({ "elements": elements }), &options).expect_err("ten faults");
    assert_eq!(problems.len(), 3);
    assert!(problems[2].message.ends_with("(and 7 further problems)"), "{}", problems[2]);
}

#[test]
fn unknown_fields_are_accepted_with_a_warning_anywhere() {
    let element = with(&video(), &json!({ "opcity": 50, "borderRadius": 3 }));
    let body = json!({ "elements": [element], "output": { "qualty": 3 }, "made/by": "hand" });
    let found = accepted(&body).warnings;
    let paths: Vec<_> = found.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["/output/qualty", "/elements/0/borderRadius", "/elements/0/opcity", "/made~1by"]);
    assert!(found[2].message.contains("did you mean \"opacity\"?"), "{}", found[2].message);
    assert!(found[1].message.contains("did you mean \"border_radius\"?"), "{}", found[1].message);
    let shown = serde_json::to_value(&found[0]).expect("a warning is JSON");
    assert_eq!((&shown["code"], &shown["severity"]), (&json!("unknown_field"), &json!("warning")));
}

#[test]
fn suspicious_ids_and_timelines_are_warned_of() {
    assert_eq!(warnings(&json!({})), ["EMPTY_TIMELINE /elements"]);
    let hidden = with(&video(), &json!({ "visible": false }));
    assert_eq!(warnings(&body(&hidden)), ["EMPTY_TIMELINE /elements"]);
    let twins = json!({ "elements": [image(), image()] });
    assert_eq!(warnings(&twins), ["DUPLICATE_ELEMENT_ID /elements/1/id"]);
    let nameless = json!({ "type": "image", "source_url": "https://a.example/a.png", "duration": 1 });
    assert_eq!(warnings(&body(&nameless)), ["missing_id /elements/0/id"]);
    let late = json!({ "duration": 2, "elements": [video(), with(&video(), &json!({ "time": 2 }))] });
    assert_eq!(warnings(&late), ["element_past_end /elements/1/time"]);
}

#[test]
fn a_problem_reads_as_one_line() {
    let problem = Problem { path: "/width".into(), code: OutOfRange, message: "width is 1".into() };
    assert_eq!(problem.to_string(), "/width: width is 1");
    let shown = serde_json::to_value(&problem).expect("a problem is JSON");
    assert_eq!(shown, json!({ "path": "/width", "code": "out_of_range", "message": "width is 1" }));
    assert_eq!(shown["code"], OutOfRange.as_str(), "both spell the code alike");
}
