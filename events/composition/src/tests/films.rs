//! How long a film is, as far as its document tells.

use serde_json::{Value, json};

use super::{audio, body, composition, image, text, video, with};

/// Seconds, or `None` where only the sources can tell.
fn duration(elements: Value) -> Option<f64> {
    composition(&json!({ "elements": elements })).duration.map(crate::Ticks::seconds)
}

#[test]
fn the_largest_end_of_an_element_is_the_films() {
    assert_eq!(duration(json!([with(&text(), &json!({ "time": 2 }))])), Some(7.0));
    assert_eq!(duration(json!([image(), with(&audio(), &json!({ "time": 1 }))])), Some(6.0));
    let fast = json!({ "in_point": 1, "out_point": 5, "speed": 2, "time": 10 });
    assert_eq!(duration(json!([with(&video(), &fast), text()])), Some(12.0));
}

#[test]
fn elements_that_end_with_their_source_count_only_where_there_are_no_others() {
    let open = with(&video(), &json!({ "out_point": null, "time": 100 }));
    assert_eq!(duration(json!([open, text()])), Some(5.0));
    assert_eq!(duration(json!([open])), None);
    let mut hidden = text();
    hidden["visible"] = json!(false);
    assert_eq!(duration(json!([open, hidden])), None, "what is not there has no end");
}

#[test]
fn a_film_with_nothing_to_derive_from_lasts_ten_seconds() {
    assert_eq!(duration(json!([])), Some(10.0));
    assert_eq!(duration(json!([with(&text(), &json!({ "visible": false }))])), Some(10.0));
}

#[test]
fn the_documents_own_duration_wins() {
    let film = composition(&with(&body(&text()), &json!({ "duration": 1.5 })));
    assert_eq!(film.duration.map(crate::Ticks::seconds), Some(1.5));
}

#[test]
fn a_moment_above_zero_never_becomes_nothing() {
    let film = composition(&json!({ "duration": 1e-300 }));
    assert_eq!(film.duration, Some(crate::Ticks(1)));
    assert_eq!(film.frame_rate.frames_in(crate::Ticks(1)), 1);
}
