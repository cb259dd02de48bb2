//! The pieces of a text: what may be drawn of it by itself, and what each covers.
//!
//! Text without a caption is one piece. A caption is cut up, so that one word can change while the others stay drawn.

use std::fmt;

use crate::scene::Rect;

/// What of a text a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// All of it: plate, outline and glyphs.
    Whole,
    /// The plate alone.
    Plate,
    /// What belongs to no word of the caption.
    Rest,
    /// Some of the caption's words, as they look when nobody speaks them.
    Words {
        /// The first one.
        first: u32,
        /// After the last one.
        end: u32,
    },
    /// A word in the highlight's colour, its outline kept.
    Lit(u32),
    /// A word on a box in the highlight's colour.
    Boxed(u32),
    /// A word's shape in the highlight's colour.
    Shape(u32),
}

impl Piece {
    /// Whether a glyph that belongs to `word` is part of it.
    #[must_use]
    pub fn shows(self, word: Option<u32>) -> bool {
        match self {
            Piece::Whole => true,
            Piece::Plate => false,
            Piece::Rest => word.is_none(),
            Piece::Words { first, end } => word.is_some_and(|word| (first..end).contains(&word)),
            Piece::Lit(own) | Piece::Boxed(own) | Piece::Shape(own) => word == Some(own),
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Whole => Ok(()),
            Piece::Plate => f.write_str(" plate"),
            Piece::Rest => f.write_str(" rest"),
            Piece::Words { first, end } => write!(f, " words {first}..{end}"),
            Piece::Lit(word) => write!(f, " word {word} lit"),
            Piece::Boxed(word) => write!(f, " word {word} boxed"),
            Piece::Shape(word) => write!(f, " shape of word {word}"),
        }
    }
}

/// What of a text's box is covered, in pixels from its top left; a rectangle is empty where there is nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct TextInk {
    /// By the plate.
    pub plate: Rect,
    /// By glyphs that belong to no word of the caption, and their outline.
    pub rest: Rect,
    /// By the words of the caption.
    pub words: Vec<WordInk>,
}

/// What a word of a caption covers.
#[derive(Debug, Clone, PartialEq)]
pub struct WordInk {
    /// Its glyphs and their outline.
    pub glyphs: Rect,
    /// The boxes that set it off, one for each line that it stands on, with the line's number.
    pub boxes: Vec<(usize, Rect)>,
}

impl TextInk {
    pub(super) fn new(words: usize) -> TextInk {
        let nothing = Rect::of_size(0.0, 0.0);
        let word = WordInk { glyphs: nothing, boxes: Vec::new() };
        TextInk { plate: nothing, rest: nothing, words: vec![word; words] }
    }

    /// Text of which only this is known: it has neither plate nor caption.
    #[must_use]
    pub fn plain(ink: Rect) -> TextInk {
        TextInk { rest: ink, ..TextInk::new(0) }
    }

    /// Adds what a run of glyphs on `line` covers, and the box that would set it off.
    pub(super) fn add(&mut self, word: Option<u32>, line: usize, covered: Rect, boxed: Rect) {
        let Some(word) = word.and_then(|word| self.words.get_mut(word as usize)) else {
            self.rest = self.rest.union(covered);
            return;
        };
        word.glyphs = word.glyphs.union(covered);
        if covered.is_empty() {
            return;
        }
        match word.boxes.last_mut().filter(|(of, _)| *of == line) {
            Some((_, known)) => *known = known.union(boxed),
            None => word.boxes.push((line, boxed)),
        }
    }

    /// What a piece covers.
    #[must_use]
    pub fn of(&self, piece: Piece) -> Rect {
        let nothing = Rect::of_size(0.0, 0.0);
        let word = |word: u32| self.words.get(word as usize);
        let glyphs = |index: u32| word(index).map_or(nothing, |word| word.glyphs);
        match piece {
            Piece::Whole => {
                self.words.iter().fold(self.plate.union(self.rest), |ink, word| ink.union(word.glyphs))
            }
            Piece::Plate => self.plate,
            Piece::Rest => self.rest,
            Piece::Words { first, end } => (first..end).map(glyphs).fold(nothing, Rect::union),
            Piece::Lit(index) | Piece::Shape(index) => glyphs(index),
            Piece::Boxed(index) => {
                let boxes = word(index).into_iter().flat_map(|word| &word.boxes);
                boxes.fold(glyphs(index), |ink, (_, boxed)| ink.union(*boxed))
            }
        }
    }
}

/// How far the box around a spoken word reaches beyond its glyphs to the left and right, in ems.
const BOX_ASIDE: f64 = 0.16;

/// How far the box reaches above the baseline, in ems: a little over capitals and ascenders.
const BOX_ABOVE: f64 = 0.92;

/// How far the box reaches below the baseline, in ems: under descenders.
const BOX_BELOW: f64 = 0.3;

/// The box that sets off glyphs which cover `covered`. All boxes of a line are equally high.
pub(super) fn lit(covered: Rect, baseline: f64, font_size: f64) -> Rect {
    let (top, bottom) = (baseline - BOX_ABOVE * font_size, baseline + BOX_BELOW * font_size);
    let line = Rect { x: covered.x, y: top, width: covered.width, height: bottom - top };
    if covered.is_empty() { covered } else { line.outset_by(BOX_ASIDE * font_size, 0.0) }
}
