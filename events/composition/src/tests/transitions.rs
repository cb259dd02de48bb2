//! Transitions: which two elements they join, and what is wrong or suspicious about that.

use serde_json::{Value, json};

use super::{accepted, audio, composition, faults, image, only_fault, text, video, warnings, with};
use crate::ProblemCode::{ConflictingFields, DanglingTransition, UnsupportedFeature};
use crate::{Ticks, TransitionKind};

/// A picture on its own, from `time` on for five seconds.
fn at(id: &str, time: f64) -> Value {
    with(&image(), &json!({ "id": id, "time": time }))
}

fn film(elements: &[Value], transitions: &Value) -> Value {
    json!({ "duration": 60, "elements": elements, "transitions": transitions })
}

fn dissolve() -> Value {
    json!({ "type": "cross_dissolve", "duration": 1 })
}

/// The pairs joined, by index.
#[track_caller]
fn joined(elements: &[Value], transitions: &Value) -> Vec<(usize, usize)> {
    let film = composition(&film(elements, transitions));
    film.transitions.iter().map(|transition| (transition.from, transition.to)).collect()
}

#[test]
fn a_transition_arrives_with_both_its_elements() {
    let elements = [at("b", 5.0), at("a", 0.0)];
    let given =
        json!([{ "type": "dip_to_white", "duration": 0.5, "from_id": "a", "to_id": "b", "z_index": 7 }]);
    let film = composition(&film(&elements, &given));
    let transition = &film.transitions[0];
    assert_eq!((transition.from, transition.to), (1, 0), "by index, whatever the order in the document");
    assert_eq!((transition.kind, transition.z_index), (TransitionKind::DipToWhite, Some(7)));
    let window = transition.window(&film.elements);
    assert_eq!((window.start, window.end), (Ticks::from_seconds(5.0), Ticks::from_seconds(5.5)));
    assert_eq!(transition.path, "/transitions/0");
}

#[test]
fn fade_is_another_name_of_cross_dissolve() {
    let elements = [at("a", 0.0), at("b", 5.0)];
    let named = |name: &str| {
        let given = json!([{ "type": name, "duration": 1, "from_id": "a", "to_id": "b" }]);
        composition(&film(&elements, &given))
    };
    assert_eq!(named("fade"), named("cross_dissolve"), "the same film");
    assert_eq!(named("fade").transitions[0].kind, TransitionKind::CrossDissolve);
}

#[test]
fn a_missing_name_is_the_neighbour_in_time() {
    let elements = [at("c", 10.0), at("a", 0.0), at("b", 5.0)];
    assert_eq!(joined(&elements, &json!([with(&dissolve(), &json!({ "from_id": "b" }))])), [(2, 0)]);
    assert_eq!(joined(&elements, &json!([with(&dissolve(), &json!({ "to_id": "b" }))])), [(1, 2)]);
    let last = film(&elements, &json!([with(&dissolve(), &json!({ "from_id": "c" }))]));
    let message = only_fault(&last, "/transitions/0/to_id", DanglingTransition);
    assert!(message.contains("follows \"c\""), "{message}");
    let first = film(&elements, &json!([with(&dissolve(), &json!({ "to_id": "a" }))]));
    only_fault(&first, "/transitions/0/from_id", DanglingTransition);
}

#[test]
fn transitions_without_names_take_the_free_neighbours_in_order() {
    let elements = [at("a", 0.0), at("b", 5.0), at("c", 10.0), at("d", 15.0)];
    assert_eq!(joined(&elements, &json!([dissolve()])), [(0, 1), (1, 2), (2, 3)], "one serves every cut");
    assert_eq!(joined(&elements, &json!([dissolve(), dissolve(), dissolve()])), [(0, 1), (1, 2), (2, 3)]);
    let named = with(&dissolve(), &json!({ "from_id": "a", "to_id": "b" }));
    assert_eq!(joined(&elements, &json!([dissolve(), named])), [(0, 1), (1, 2), (2, 3)], "named ones first");
    let too_many = film(&elements[..2], &json!([dissolve(), dissolve()]));
    only_fault(&too_many, "/transitions/1/from_id", DanglingTransition);
}

#[test]
fn neighbours_share_track_and_z_index_and_are_pictures() {
    let on = |element: Value, more: Value| with(&element, &more);
    let elements = [
        at("a", 0.0),
        on(at("other track", 1.0), json!({ "track": 2 })),
        on(at("other layer", 2.0), json!({ "z_index": 3 })),
        on(text(), json!({ "time": 3, "z_index": 0 })),
        on(audio(), json!({ "time": 3 })),
        on(at("hidden", 3.5), json!({ "visible": false })),
        on(video(), json!({ "time": 4 })),
        on(at("on that track", 5.0), json!({ "track": 2 })),
    ];
    assert_eq!(joined(&elements, &json!([dissolve()])), [(0, 6), (1, 7)]);
    let caption = with(&text(), &json!({ "id": "words", "time": 7 }));
    let texts = [at("a", 0.0), caption];
    only_fault(
        &film(&texts, &json!([with(&dissolve(), &json!({ "from_id": "words" }))])),
        "/transitions/0/to_id",
        DanglingTransition,
    );
    let by_name = json!([with(&dissolve(), &json!({ "from_id": "a", "to_id": "words" }))]);
    assert_eq!(joined(&texts, &by_name), [(0, 1)], "by name a text is as good as any");
}

#[test]
fn what_begins_together_is_no_pair() {
    let elements = [at("backdrop", 0.0), at("logo", 0.0), at("next", 5.0), at("its logo", 5.0)];
    assert_eq!(joined(&elements, &json!([dissolve()])), [(1, 2)]);
    only_fault(&film(&elements[..2], &json!([dissolve()])), "/transitions/0/from_id", DanglingTransition);
}

#[test]
fn an_element_is_left_once_and_entered_once_and_never_before_it_begins() {
    let elements = [at("a", 0.0), at("b", 5.0), at("c", 10.0)];
    let named = |from: &str, to: &str| with(&dissolve(), &json!({ "from_id": from, "to_id": to }));
    let backwards = film(&elements, &json!([named("c", "b")]));
    let message = only_fault(&backwards, "/transitions/0/from_id", ConflictingFields);
    assert!(message.contains("begins at 10 s"), "{message}");
    let again = film(&elements, &json!([named("a", "c"), named("b", "c"), named("a", "b")]));
    assert_eq!(
        faults(&again),
        [
            ("/transitions/1/to_id".to_owned(), ConflictingFields),
            ("/transitions/2/from_id".to_owned(), ConflictingFields),
        ]
    );
    assert_eq!(joined(&elements, &json!([named("a", "b"), named("b", "c")])), [(0, 1), (1, 2)], "a chain");
}

#[test]
fn all_faults_are_told_also_where_an_element_has_its_own() {
    let broken = with(&at("b", 5.0), &json!({ "time": "soon" }));
    let named = |from: &str, to: &str| with(&dissolve(), &json!({ "from_id": from, "to_id": to }));
    let elements = [at("a", 5.0), broken, at("c", 1.0)];
    let mut found = faults(&film(&elements, &json!([named("a", "b"), named("a", "c"), dissolve()])));
    found.sort();
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        ["/elements/1/time", "/transitions/1/from_id"],
        "and nothing is made up about the broken one"
    );
}

#[test]
fn what_looks_like_a_slip_is_warned_of() {
    let named = json!([with(&dissolve(), &json!({ "from_id": "a", "to_id": "b", "duration": 2 }))]);
    let far = [at("a", 0.0), at("b", 6.0)];
    assert_eq!(warnings(&film(&far, &named)), ["transition_timing /transitions/0"]);
    let short = [at("a", 0.0), with(&at("b", 5.0), &json!({ "duration": 1 }))];
    assert_eq!(warnings(&film(&short, &named)), ["transition_timing /transitions/0/duration"]);
    let hidden = [at("a", 0.0), with(&at("b", 5.0), &json!({ "visible": false }))];
    assert_eq!(warnings(&film(&hidden, &named)), ["transition_of_hidden_element /transitions/0"]);
    assert_eq!(
        accepted(&film(&hidden, &named)).composition.transitions,
        [],
        "there is nothing to go over to"
    );
    let fitting = [at("a", 0.0), at("b", 5.0)];
    assert_eq!(warnings(&film(&fitting, &named)), [] as [&str; 0]);
}

#[test]
fn other_kinds_are_refused_by_name_and_their_faults_are_told_all_the_same() {
    let iris = json!([{ "type": "iris", "duration": 0, "from_id": "nobody" }]);
    let found = faults(&film(&[at("a", 0.0)], &iris));
    for (path, code) in [
        ("/transitions/0/type", UnsupportedFeature),
        ("/transitions/0/duration", crate::ProblemCode::OutOfRange),
        ("/transitions/0/from_id", DanglingTransition),
    ] {
        assert!(found.contains(&(path.to_owned(), code)), "{path} {code} in {found:?}");
    }
}
