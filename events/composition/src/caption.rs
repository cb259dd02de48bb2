//! Captions: words that are set off in a text while they are spoken.
//!
//! Promises: which words of the text the spoken ones are is decided by [`Text::places`] alone, so that the warnings of a
//! submission and the picture never disagree.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::color::Color;
use crate::element::Text;
use crate::time::Ticks;

/// How far beyond the word before, in characters, a spoken word is sought. It bounds the work that a text and a list of
/// words which have nothing to do with each other can cause.
const REACH_CHARS: usize = 1000;

/// The words of a text and when each is spoken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Caption {
    /// How the spoken word is set off.
    pub style: CaptionStyle,
    /// The colour that sets it off (`background_color`); `None` where the document gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highlight: Option<Color>,
    /// In the order in which they stand in the text; their times may overlap.
    pub words: Vec<SpokenWord>,
}

/// How a spoken word is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptionStyle {
    /// It shines in the highlight's colour.
    Glow,
    /// A box in the highlight's colour stands behind it.
    Box,
    /// It grows.
    ScalePop,
    /// It appears when it is spoken, from below, and stays.
    SlideUp,
    /// It appears when it is spoken, from the side, and stays.
    FlyIn,
    /// It has the highlight's colour.
    Color,
}

/// One spoken word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpokenWord {
    /// As it stands in the text.
    pub text: String,
    /// When it begins, on the composition's own time line.
    pub start: Ticks,
    /// When it ends; after `start`.
    pub end: Ticks,
}

impl Text {
    /// The characters that are laid out: line ends of all kinds become one kind, tabs four spaces; other control
    /// characters have no look and go.
    #[must_use]
    pub fn shown(&self) -> String {
        let text = self.text.replace("\r\n", "\n").replace('\t', "    ");
        let line_end =
            |c: char| matches!(c, '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}');
        text.chars()
            .map(|c| if line_end(c) { '\n' } else { c })
            .filter(|c| *c == '\n' || !c.is_control())
            .collect()
    }

    /// Where in `shown`, which is [`Text::shown`], each spoken word stands, in bytes; `None` where it does not follow the
    /// one before within 1,000 characters. What is written on to a word without a blank, as a comma is, belongs to it.
    #[must_use]
    pub fn places(&self, shown: &str) -> Vec<Option<Range<usize>>> {
        let Some(caption) = &self.caption else { return Vec::new() };
        let mut from = 0;
        let found = caption.words.iter().map(|word| {
            let word = word.text.trim();
            let ahead = &shown[from..];
            let end = ahead.char_indices().nth(REACH_CHARS).map_or(ahead.len(), |(end, _)| end);
            let start = from + ahead[..end].find(word).filter(|_| !word.is_empty())?;
            from = start + word.len();
            Some(start..from)
        });
        let mut places: Vec<Option<Range<usize>>> = found.collect();
        attach(&mut places, shown);
        places
    }
}

/// Extends each place over the characters around it up to a blank or the next place; what stands between two places
/// belongs to the first.
fn attach(places: &mut [Option<Range<usize>>], shown: &str) {
    let mut before = 0;
    let mut known: Vec<&mut Range<usize>> = places.iter_mut().flatten().collect();
    for at in 0..known.len() {
        let next = known.get(at + 1).map_or(shown.len(), |next| next.start);
        let place = &mut *known[at];
        let blank = shown[place.end..next].find(char::is_whitespace);
        place.end = blank.map_or(next, |blank| place.end + blank);
        let ahead = &shown[before..place.start];
        let joined = ahead.char_indices().rev().take_while(|(_, c)| !c.is_whitespace()).last();
        place.start = joined.map_or(place.start, |(joined, _)| before + joined);
        before = place.end;
    }
}
