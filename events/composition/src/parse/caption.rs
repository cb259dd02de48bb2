//! Captions: `word_animation` by its schema, and what is suspicious about its words.

use serde_json::Value;

use super::reader::Reader;
use super::report::{Report, quoted};
use crate::caption::{Caption, SpokenWord};
use crate::color::Color;
use crate::element::{Element, ElementKind, Text};
use crate::problem::ProblemCode;
use crate::schema::animation::{WORD, WORD_ANIMATION};
use crate::time::Ticks;
use crate::warning::WarningCode;

/// Where a caption's words may come from.
const ORIGINS: [&str; 3] = ["words", "srt_url", "vtt_url"];

/// Reads the element's `word_animation`.
pub(super) fn read(element: &mut Reader<'_, '_, '_>, highlight: Option<Color>) -> Option<Caption> {
    let mut caption = element.object("word_animation", &WORD_ANIMATION)?;
    check_origin(&mut caption);
    let style = caption.required_word("style");
    let entries = caption.entries("words");
    if entries.is_empty() && caption.given("words").is_some_and(Value::is_array) {
        let message = "words is empty; expected at least one word".to_owned();
        caption.problem("words", ProblemCode::OutOfRange, message);
    }
    let words = entries.into_iter().filter_map(|(path, value)| word(path, value, caption.report));
    let words = words.collect();
    caption.finish();
    Some(Caption { style: style?, highlight, words })
}

/// Words come from one place, and from one they must come.
fn check_origin(caption: &mut Reader<'_, '_, '_>) {
    let given: Vec<_> = ORIGINS.into_iter().filter(|name| caption.given(name).is_some()).collect();
    match given[..] {
        [] => {
            let message = "words are missing; expected one of words, srt_url and vtt_url".to_owned();
            caption.problem("words", ProblemCode::MissingField, message);
        }
        [_] => {}
        [_, second, ..] => {
            let message = "words come from one place; give only one of words, srt_url and vtt_url".to_owned();
            caption.problem(second, ProblemCode::ConflictingFields, message);
        }
    }
}

fn word(path: String, value: &Value, report: &mut Report<'_>) -> Option<SpokenWord> {
    let mut word = Reader::open(&WORD, value, path, report)?;
    let text = word.required("text");
    let (start, end): (Option<Ticks>, Option<Ticks>) = (word.optional("start"), word.optional("end"));
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        let message = format!("end is {} s, not after start ({} s)", end.seconds(), start.seconds());
        word.problem("end", ProblemCode::ConflictingFields, message);
    }
    word.finish();
    Some(SpokenWord { text, start: start?, end: end? })
}

/// Warns of words that nobody will ever see set off.
pub(super) fn warnings(element: &Element, report: &mut Report<'_>) {
    let ElementKind::Text(text @ Text { caption: Some(caption), .. }) = &element.kind else { return };
    let (begin, end) = (element.time, element.time + text.duration);
    let places = text.places(&text.shown());
    for (at, (word, place)) in caption.words.iter().zip(places).enumerate() {
        let path = format!("{}/word_animation/words/{at}", element.path);
        let named = quoted(&word.text);
        if place.is_none() {
            let message = format!("the word {named} does not follow in the text and is not set off");
            report.warning(&format!("{path}/text"), WarningCode::CaptionWordNotInText, message);
        }
        if word.end <= begin || word.start >= end {
            let (start, stop) = (word.start.seconds(), word.end.seconds());
            let (begin, end) = (begin.seconds(), end.seconds());
            let message = format!(
                "the word {named} is spoken from {start} s to {stop} s, but its element is shown from {begin} s to {end} s"
            );
            report.warning(&format!("{path}/start"), WarningCode::CaptionWordOutsideElement, message);
        }
    }
}
