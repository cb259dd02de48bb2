//! Captions: `word_animation` by its schema, and where its words come from.

use super::reader::Reader;
use crate::problem::ProblemCode;
use crate::schema::animation::{WORD, WORD_ANIMATION};
use crate::time::Ticks;

/// Where a caption's words may come from.
const ORIGINS: [&str; 3] = ["words", "srt_url", "vtt_url"];

/// Checks the element's `word_animation`.
pub(super) fn check(element: &mut Reader<'_, '_, '_>) {
    let Some(mut caption) = element.object("word_animation", &WORD_ANIMATION) else { return };
    let origins = ORIGINS.into_iter().filter(|name| caption.given(name).is_some()).count();
    if origins == 0 {
        let message = "words are missing; expected one of words, srt_url and vtt_url".to_owned();
        caption.problem("words", ProblemCode::MissingField, message);
    } else if origins > 1 {
        let message = "words come from one place; give only one of words, srt_url and vtt_url".to_owned();
        let second = ORIGINS.into_iter().filter(|name| caption.given(name).is_some()).nth(1);
        caption.problem(second.unwrap_or("words"), ProblemCode::ConflictingFields, message);
    }
    let words = caption.entries("words");
    if words.is_empty() && caption.given("words").is_some_and(serde_json::Value::is_array) {
        let message = "words is empty; expected at least one word".to_owned();
        caption.problem("words", ProblemCode::OutOfRange, message);
    }
    for (path, value) in words {
        let Some(mut word) = Reader::open(&WORD, value, path, caption.report) else { continue };
        let (start, end): (Option<Ticks>, Option<Ticks>) = (word.optional("start"), word.optional("end"));
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            let message = format!("end is {} s, not after start ({} s)", end.seconds(), start.seconds());
            word.problem("end", ProblemCode::ConflictingFields, message);
        }
        word.finish();
    }
    caption.finish();
}
