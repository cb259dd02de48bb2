//! Keyframes: what they mean, where they may stand, and what may be wrong with them.

use serde_json::{Value, json};

use super::{body, composition, elements, faults, image, only_fault, text, video, with};
use crate::ProblemCode::{
    ConflictingFields, LimitExceeded, MalformedValue, MissingField, OutOfRange, UnsupportedFeature, WrongType,
};
use crate::catalog::KEYFRAME_EASINGS;
use crate::schema::element::schema_of;
use crate::schema::{Kind, Support};
use crate::{
    Composition, Curve, Easing, ElementKind, Image, Keyframe, Keyframes, Length, Limits, ParseOptions, Ticks,
    capabilities, parse,
};

/// An image of which `field` has these keyframes.
fn animated(field: &str, keyframes: &Value) -> Value {
    body(&with(&image(), &json!({ field: { "keyframes": keyframes } })))
}

fn the_image(body: &Value) -> Image {
    match composition(body).elements.remove(0).kind {
        ElementKind::Image(image) => image,
        other => panic!("an image became {other:?}"),
    }
}

fn keyframe<T>(seconds: f64, value: T, easing: Easing) -> Keyframe<T> {
    Keyframe { time: Ticks::from_seconds(seconds), value, easing }
}

fn curve<T>(keyframes: Vec<Keyframe<T>>) -> Curve<T> {
    Curve::Keyframes(Keyframes::new(keyframes).expect("rising times"))
}

/// The easing of one keyframe.
fn easing(written: &str) -> Easing {
    let image = the_image(&animated("blur", &json!([{ "time": 0, "value": 0, "easing": written }])));
    match image.blur {
        Curve::Keyframes(keyframes) => keyframes.as_slice()[0].easing,
        Curve::Constant(value) => panic!("keyframes became {value}"),
    }
}

#[test]
fn each_value_is_read_as_the_plain_field_would_be() {
    let visual = |field: &str, first: Value, second: Value| {
        let keyframes =
            json!([{ "time": 0.5, "value": first, "easing": "hold" }, { "time": 2, "value": second }]);
        the_image(&animated(field, &keyframes)).visual
    };
    let two = |first: f64, second: f64| {
        curve(vec![keyframe(0.5, first, Easing::Hold), keyframe(2.0, second, Easing::Linear)])
    };
    let x = curve(vec![
        keyframe(0.5, Length::Percent(-10.0), Easing::Hold),
        keyframe(2.0, Length::Pixels(640.0), Easing::Linear),
    ]);
    assert_eq!(visual("x", json!("-10%"), json!("640px")).x, x, "lengths, of either unit");
    assert_eq!(visual("y", json!("-10%"), json!(640)).y, x, "lengths, of either unit");
    assert_eq!(visual("x_scale", json!("50%"), json!(120)).x_scale, two(0.5, 1.2), "scales");
    assert_eq!(visual("y_scale", json!(50), json!("120%")).y_scale, two(0.5, 1.2), "scales");
    assert_eq!(visual("z_rotation", json!("-90deg"), json!("45°")).z_rotation, two(-90.0, 45.0), "angles");
    assert_eq!(visual("opacity", json!(0), json!(100)).opacity, two(0.0, 1.0), "percents");
    let blur = json!([{ "time": 0.5, "value": 3, "easing": "hold" }, { "time": 2, "value": 4.5 }]);
    assert_eq!(the_image(&animated("blur", &blur)).blur, two(3.0, 4.5), "strengths");
}

#[test]
fn keyframe_times_are_the_films_whenever_the_element_starts() {
    let late = with(
        &image(),
        &json!({ "time": 5, "opacity": { "keyframes": [{ "time": 6, "value": 100, "easing": "hold" }] } }),
    );
    assert_eq!(
        the_image(&body(&late)).visual.opacity,
        curve(vec![keyframe(6.0, 1.0, Easing::Hold)]),
        "second 6 of the film, one second after the element's start"
    );
}

#[test]
fn easings_are_the_names_of_css_bezier_curves_or_hold() {
    let table = [
        ("linear", Easing::Linear),
        ("ease_in", Easing::EASE_IN),
        ("ease_out", Easing::EASE_OUT),
        ("ease_in_out", Easing::EASE_IN_OUT),
        ("hold", Easing::Hold),
        ("cubic-bezier(0.25, 0.1,.25,1e0)", Easing::Bezier { x1: 0.25, y1: 0.1, x2: 0.25, y2: 1.0 }),
        ("cubic-bezier( 0, 2, 1, -3 )", Easing::Bezier { x1: 0.0, y1: 2.0, x2: 1.0, y2: -3.0 }),
    ];
    for (written, expected) in table {
        assert_eq!(easing(written), expected, "{written}");
    }
}

#[test]
fn an_easing_is_accepted_exactly_where_the_catalog_says_so() {
    for word in KEYFRAME_EASINGS.words {
        let written = match *word {
            "cubic-bezier" => "cubic-bezier(0, 0, 1, 1)",
            "spring" => "spring(1, 100, 10, 0)",
            name => name,
        };
        let body = animated("opacity", &json!([{ "time": 0, "value": 0, "easing": written }]));
        if KEYFRAME_EASINGS.is_available(word) {
            composition(&body);
        } else {
            let message = only_fault(&body, "/elements/0/opacity/keyframes/0/easing", UnsupportedFeature);
            assert!(message.contains("cubic-bezier"), "it names the others: {message}");
        }
    }
}

#[test]
fn keyframes_that_are_refused_as_a_whole_are_refused_once_and_checked_all_the_same() {
    let volume = |time: f64| {
        let keyframe = json!({ "time": time, "value": 50, "easing": "spring()" });
        body(&with(&video(), &json!({ "volume": { "keyframes": [keyframe] } })))
    };
    only_fault(&volume(0.0), "/elements/0/volume", UnsupportedFeature);
    let found = faults(&volume(-1.0));
    assert_eq!(found[1..], [("/elements/0/volume/keyframes/0/time".to_owned(), OutOfRange)]);
}

#[test]
fn what_is_no_easing_is_refused() {
    for written in [
        "ease",
        "Linear",
        "linear()",
        "hold(1)",
        "cubic-bezier",
        "cubic-bezier(0,0,1)",
        "cubic-bezier(0,0,1,1,1)",
        "cubic-bezier(-0.1,0,1,1)",
        "cubic-bezier(0,0,1.1,1)",
        "cubic-bezier(0,0,1,one)",
        "cubic-bezier(0,0,1,1",
        "spring",
        "spring(soft)",
        "",
    ] {
        let body = animated("x", &json!([{ "time": 0, "value": 0, "easing": written }]));
        let message = only_fault(&body, "/elements/0/x/keyframes/0/easing", MalformedValue);
        assert!(message.contains("ease_in_out"), "{message}");
    }
    let body = animated("x", &json!([{ "time": 0, "value": 0, "easing": "cubic-bezier(0,2000000,1,1)" }]));
    only_fault(&body, "/elements/0/x/keyframes/0/easing", LimitExceeded);
}

#[test]
fn all_that_is_wrong_with_keyframes_is_named_where_it_stands() {
    let keyframes = json!([
        { "time": -1, "value": 0 },
        { "time": 1, "value": 150 },
        { "time": 1, "value": "half" },
        { "time": 0.5, "value": null, "easing": 7 },
        { "value": 5 },
        3,
        { "time": 0.75, "value": 5 },
    ]);
    let found = faults(&animated("opacity", &keyframes));
    let at = |path: &str, code| (format!("/elements/0/opacity/keyframes/{path}"), code);
    assert_eq!(
        found,
        [
            at("0/time", OutOfRange),
            at("1/value", OutOfRange),
            at("2/time", ConflictingFields),
            at("2/value", WrongType),
            at("3/time", ConflictingFields),
            at("3/value", MissingField),
            at("3/easing", WrongType),
            at("4/time", MissingField),
            at("5", WrongType),
            at("6/time", ConflictingFields),
        ]
    );
}

#[test]
fn a_list_of_keyframes_is_a_list_of_at_least_one_and_not_too_many() {
    let at = "/elements/0/x/keyframes";
    only_fault(&animated("x", &json!([])), at, OutOfRange);
    only_fault(&animated("x", &json!(null)), at, MissingField);
    only_fault(&animated("x", &json!({ "time": 0, "value": 0 })), at, WrongType);
    let many: Vec<_> = (0..4).map(|at| json!({ "time": at, "value": 0 })).collect();
    let limits = Limits { list_entries_max: 3, ..Limits::default() };
    let options = ParseOptions { limits, ..ParseOptions::default() };
    let problems = parse(&animated("x", &json!(many)), &options).expect_err("one too many");
    assert_eq!((problems[0].path.as_str(), problems[0].code), (at, LimitExceeded), "{problems:?}");
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn times_that_fall_on_one_tick_do_not_rise() {
    let keyframes = json!([{ "time": 1.0, "value": 0 }, { "time": 1.000_000_000_1, "value": 1 }]);
    only_fault(&animated("x", &keyframes), "/elements/0/x/keyframes/1/time", ConflictingFields);
}

#[test]
fn every_field_carries_keyframes_out_or_refuses_them_as_its_table_says() {
    for element in elements() {
        let name = element["type"].as_str().expect("a type");
        let plain = composition(&body(&element));
        for field in schema_of(name).fields() {
            // A list or an object is refused as what it is, and a name without keyframes is not what this is about.
            if matches!(field.kind, Kind::List(_) | Kind::Object(_)) {
                continue;
            }
            let keyframes = json!({ "keyframes": [{ "time": 0, "value": 0.5, "easing": "hold" }] });
            let body = body(&with(&element, &json!({ field.name: keyframes })));
            let path = format!("/elements/0/{}", field.name);
            match field.keyframes {
                Some(Support::Full) => assert_ne!(composition(&body), plain, "{name}.{}", field.name),
                Some(_) => {
                    let message = only_fault(&body, &path, UnsupportedFeature);
                    assert!(message.starts_with(&format!("keyframes for {}", field.name)), "{message}");
                }
                None => assert!(faults(&body).contains(&(path, WrongType)), "{name}.{}", field.name),
            }
        }
    }
}

#[test]
fn capabilities_say_which_fields_take_keyframes() {
    let shown = capabilities(&Limits::default());
    let types = shown["element_types"].as_array().expect("a list");
    let of = |name: &str| {
        let entry = types.iter().find(|entry| entry["name"] == name).expect("the type");
        let fields = entry["fields"].as_object().expect("an object").iter();
        fields
            .filter(|(_, field)| field["keyframes"] == true)
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
    };
    let visual = ["opacity", "x", "x_scale", "y", "y_scale", "z_rotation"];
    assert_eq!(of("text"), visual, "text");
    for name in ["video", "image"] {
        assert_eq!(of(name), [["blur"].as_slice(), &visual].concat(), "{name}");
    }
    assert_eq!(of("audio"), [""; 0], "audio");
    assert_eq!(shown["keyframes"]["supported"], true);
    assert_eq!(shown["keyframes"]["easings"][6], json!({ "name": "spring", "supported": false }));
    assert_eq!(shown["keyframes"]["parameters"]["easing"]["default"], "linear");
}

#[test]
fn a_film_with_keyframes_survives_storage_and_one_without_is_stored_as_plain_values() {
    let keyframes = json!({ "keyframes": [
        { "time": 0.1, "value": "33.3%", "easing": "cubic-bezier(0.1, 0.2, 0.3, 1.7)" },
        { "time": 7, "value": 5, "easing": "hold" },
        { "time": 8, "value": "5px", "easing": "ease_in" },
    ] });
    let scale = json!({ "keyframes": [{ "time": 0, "value": 100 }, { "time": 5, "value": 133.7 }] });
    let moving = json!({ "x": keyframes, "y": keyframes, "x_scale": scale, "y_scale": scale, "opacity": 50 });
    let elements = [video(), image(), text()].map(|element| with(&element, &moving));
    let film = composition(&json!({ "elements": elements }));
    let stored = serde_json::to_string(&film).expect("a composition is JSON");
    assert_eq!(serde_json::from_str::<Composition>(&stored).expect("a composition"), film, "there and back");
    let value: Value = serde_json::from_str(&stored).expect("JSON");
    let visual = &value["elements"][1]["kind"]["visual"];
    assert_eq!(visual["opacity"], json!(0.5), "a constant is its value");
    assert_eq!(
        visual["x_scale"][0],
        json!({ "time": 0, "value": 1.0, "easing": "linear" }),
        "a course its list"
    );
}

#[test]
fn what_was_stored_is_read_only_where_times_rise() {
    let at = |time: i64| json!({ "time": time, "value": 1.0, "easing": "hold" });
    let read = |stored: Value| serde_json::from_value::<Curve<f64>>(stored).is_ok();
    assert!(read(json!([at(0), at(1)])), "rising");
    assert!(!read(json!([at(1), at(1)])), "the same twice");
    assert!(!read(json!([])), "nothing");
}
