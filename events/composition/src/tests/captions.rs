//! Captions and what is drawn around text: what fields mean together, and where spoken words stand in their text.

use serde_json::{Value, json};

use super::{accepted, body, composition, faults, only_fault, text, warnings, with};
use crate::ProblemCode::{ConflictingFields, MissingField, OutOfRange, UnknownValue, UnsupportedFeature};
use crate::caption::CaptionStyle;
use crate::catalog::WORD_ANIMATION_STYLES;
use crate::element::{ElementKind, Outline, Plate, Text};
use crate::{Color, Length};

fn set(more: &Value) -> Text {
    match composition(&body(&with(&text(), more))).elements.remove(0).kind {
        ElementKind::Text(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn spoken(words: &[(&str, f64, f64)]) -> Value {
    words.iter().map(|(text, start, end)| json!({ "text": text, "start": start, "end": end })).collect()
}

fn captioned(text: &str, words: &[(&str, f64, f64)]) -> Value {
    json!({ "text": text, "word_animation": { "style": "color", "words": spoken(words) } })
}

/// The parts of the text that belong to each spoken word.
fn parts(text: &str, words: &[&str]) -> Vec<Option<String>> {
    let words: Vec<_> = words.iter().map(|word| (*word, 0.0, 1.0)).collect();
    let text = set(&captioned(text, &words));
    let shown = text.shown();
    text.places(&shown).into_iter().map(|place| Some(shown[place?].to_owned())).collect()
}

fn some(parts: &[&str]) -> Vec<Option<String>> {
    parts.iter().map(|part| Some((*part).to_owned())).collect()
}

#[test]
fn words_are_found_in_order_and_keep_what_is_written_on_to_them() {
    assert_eq!(parts("so it is so", &["so", "is", "so"]), some(&["so", "is", "so"]), "each in its turn");
    assert_eq!(parts("¿Qué? (no!)\nsí", &["Qué", "no", "sí"]), some(&["¿Qué?", "(no!)", "sí"]));
    assert_eq!(parts("well-known", &["well", "known"]), some(&["well-", "known"]), "up to the next word");
    assert_eq!(
        parts("今日は、晴れ", &["今日", "は", "晴れ"]),
        some(&["今日", "は、", "晴れ"]),
        "without blanks"
    );
    assert_eq!(parts("a\tb\u{7}c", &[" a ", "bc"]), some(&["a", "bc"]), "as it is shown");
    let lost = parts("one two", &["two", "one", "", "two"]);
    assert_eq!(lost, [Some("two".to_owned()), None, None, None], "only ahead, and an empty word nowhere");
}

#[test]
fn a_word_is_sought_near_the_one_before() {
    let far = format!("one {} two", "x ".repeat(500));
    assert_eq!(parts(&far, &["one", "two"]), [Some("one".to_owned()), None]);
}

#[test]
fn every_style_is_carried_out() {
    for style in WORD_ANIMATION_STYLES.words {
        let words = spoken(&[("Hello", 0.0, 1.0)]);
        let caption = set(&json!({ "word_animation": { "style": style, "words": words } })).caption;
        let spelt = serde_json::to_value(caption.expect("a caption").style).expect("JSON");
        assert_eq!(spelt, json!(style));
    }
}

#[test]
fn suspicious_words_are_named() {
    let words = [("Hello", 0.0, 1.0), ("world", 1.0, 2.0), ("Hello", 5.0, 6.0)];
    let found = warnings(&body(&with(&text(), &captioned("Hello world Hello", &words))));
    assert_eq!(found, ["caption_word_outside_element /elements/0/word_animation/words/2/start"]);
    let found = warnings(&body(&with(&text(), &captioned("Hello", &[("Hallo", 0.0, 1.0)]))));
    assert_eq!(found, ["caption_word_not_in_text /elements/0/word_animation/words/0/text"]);
}

#[test]
fn faults_of_captions_are_named() {
    let at = |caption: Value| body(&with(&text(), &json!({ "word_animation": caption })));
    let path = |rest: &str| format!("/elements/0/word_animation/{rest}");
    let good = spoken(&[("Hello", 0.0, 1.0)]);
    assert_eq!(
        faults(&at(
            json!({ "style": "glw", "words": [{ "text": "a", "start": 2, "end": 1 }, { "start": 1 }] })
        )),
        [
            (path("style"), UnknownValue),
            (path("words/0/end"), ConflictingFields),
            (path("words/1/text"), MissingField),
            (path("words/1/end"), MissingField),
        ]
    );
    only_fault(&at(json!({ "words": good })), &path("style"), MissingField);
    only_fault(&at(json!({ "style": "box" })), &path("words"), MissingField);
    only_fault(&at(json!({ "style": "box", "words": [] })), &path("words"), OutOfRange);
    let file = at(json!({ "style": "box", "srt_url": "https://a.example/a.srt" }));
    only_fault(&file, &path("srt_url"), UnsupportedFeature);
}

#[test]
fn the_fields_alone_draw_and_a_flag_draws_where_they_are_absent() {
    let plate = |more: Value| set(&more).decor.plate;
    let none = Length::Pixels(0.0);
    let of = |color: &str| Some(Plate { color: Color::parse(color)?, x_padding: none, y_padding: none });
    assert_eq!(plate(json!({ "background_color": "#ff0000" })), of("#ff0000ff"));
    assert_eq!(plate(json!({ "background_color": "#ff0000", "background_opacity": 20 })), of("#ff000033"));
    assert_eq!(plate(json!({ "background": true })), of("#00000080"));
    assert_eq!(plate(json!({ "background": true, "background_opacity": 100 })), of("#000000ff"));
    assert_eq!(plate(json!({ "background_opacity": 30, "x_padding": 3 })), None, "nothing has a colour");

    let outline = |more: Value| (set(&more).decor.outline, set(&more).decor.hollow);
    let line = |color: &str, width| Some(Outline { color: Color::parse(color)?, width });
    assert_eq!(outline(json!({ "stroke_color": "#00ff00" })), (line("#00ff00ff", 0.05), false));
    assert_eq!(
        outline(json!({ "stroke_width": 0.2 })),
        (line("#ffffffff", 0.2), false),
        "in the text's colour"
    );
    assert_eq!(outline(json!({ "stroke_color": "#00ff00", "stroke_width": 0 })), (None, false));
    assert_eq!(outline(json!({ "stroke": true })), (line("#ffffffff", 0.05), true), "hollow");
    assert_eq!(outline(json!({ "stroke": true, "stroke_width": 0 })), (line("#ffffffff", 0.05), true));
    let wide = warnings(&body(&with(&text(), &json!({ "stroke_width": 4 }))));
    assert_eq!(wide, ["stroke_width_in_em /elements/0/stroke_width"]);
}

#[test]
fn in_a_caption_the_background_is_the_highlight() {
    let words = captioned("Hello", &[("Hello", 0.0, 1.0)]);
    let text = set(&with(&words, &json!({ "background_color": "#ffcc00", "background_opacity": 50 })));
    let caption = text.caption.expect("a caption");
    assert_eq!((caption.style, caption.highlight), (CaptionStyle::Color, Color::parse("#ffcc0080")));
    assert_eq!(text.decor.plate, None, "and no plate");
    let text = set(&with(&words, &json!({ "background_color": "#ffcc00", "background": true })));
    let plate = text.decor.plate.map(|plate| plate.color);
    assert_eq!(plate, Color::parse("#00000080"), "unless its flag asks for one");
}

/// One text element for each line that is spoken, all with one id, as subtitles are made.
#[test]
fn captions_line_by_line_may_share_an_id() {
    let line = |time: f64, words: &[(&str, f64, f64)]| {
        let said: Vec<_> = words.iter().map(|(word, ..)| *word).collect();
        let own = captioned(&said.join(" "), words);
        let look = json!({
            "id": "caption", "time": time, "duration": 2, "y": "85%", "width": "80%", "font_size": 64,
            "font_weight": 800, "stroke_color": "#000000", "stroke_width": 0.1, "background_color": "#ffcc00",
        });
        with(&with(&text(), &look), &own)
    };
    let lines = [
        line(0.0, &[("Nothing", 0.0, 0.5), ("accepted", 0.5, 1.2), ("is", 1.2, 1.5)]),
        line(2.0, &[("ever", 2.0, 2.4), ("lost", 2.4, 3.0)]),
    ];
    let body = json!({ "elements": lines });
    assert_eq!(warnings(&body), ["DUPLICATE_ELEMENT_ID /elements/1/id"]);
    assert_eq!(accepted(&body).composition.elements.len(), 2);
}
