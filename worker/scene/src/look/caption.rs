//! A caption: text whose words are set off while they are spoken.
//!
//! ```text
//!   plate │ rest │ words 0..16 │ words 16..20 │ word 20, spoken │ words 21..32 …
//! ```
//!
//! Words that look as they always do are painted by the block, so that a long text costs a few layers and not one for each
//! word. What is done to a word is a function of the instant alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use composition::caption::{Caption, CaptionStyle};
use composition::element::Text;
use composition::{Size, Ticks, Visual};

use super::text::{Drawn, TextRaster, boxed_at, boxed_to_draw_in};
use super::{Seen, whole};
use crate::pose;
use crate::scene::{Affine, Blur, Layer, LayerSource, Rect, Sides};
use crate::text::{Piece, TextInk};

/// Words painted together while nothing is done to any of them.
const BLOCK: u32 = 16;

/// How much `scale_pop` enlarges a word while it is spoken, and at its peak.
const POP: f64 = 1.08;
const POP_PEAK: f64 = 1.18;

/// How long `scale_pop` takes to the peak, and from there to the size it keeps; and back when the word is over. Seconds.
const POP_RISE: f64 = 0.08;
const POP_SETTLE: f64 = 0.12;
const POP_FALL: f64 = 0.1;

/// How long a word takes to arrive, at most until it is over (seconds), and from how far below or beside (ems).
const SLIDE: Entrance = Entrance { seconds: 0.25, x: 0.0, y: 0.6 };
const FLIGHT: Entrance = Entrance { seconds: 0.35, x: 2.5, y: 0.0 };

/// The standard deviations of the two halos of `glow`, in ems: a bright rim and a wide shine.
const GLOW: [f64; 2] = [0.28, 0.08];

/// How a word arrives.
struct Entrance {
    seconds: f64,
    x: f64,
    y: f64,
}

/// A caption and how its pieces are drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spoken {
    canvas: Size,
    element: usize,
    visual: Visual,
    font_size: f64,
    style: CaptionStyle,
    /// Whether the document gives a colour to set words off with.
    coloured: bool,
    /// When each word is spoken; `None` where it is not in the text.
    words: Vec<Option<Range<Ticks>>>,
    ink: Arc<TextInk>,
    drawn: BTreeMap<Piece, Drawn>,
}

/// What is done to a word at an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// It has not come yet.
    Absent,
    /// Nothing.
    Plain,
    /// It is set off: by which piece, moved how in the box, how much of it is seen.
    SetOff(Piece, Affine, f64),
    /// It shines.
    Glowing,
}

impl Spoken {
    /// The caption of an element that is seen during `seen`.
    pub(super) fn new(
        canvas: Size,
        element: usize,
        text: &Text,
        caption: &Caption,
        ink: &Arc<TextInk>,
        seen: &Range<Ticks>,
    ) -> Spoken {
        let words = caption.words.iter().zip(&ink.words);
        let times = words.map(|(word, ink)| (!ink.glyphs.is_empty()).then_some(word.start..word.end));
        let mut spoken = Spoken {
            canvas,
            element,
            visual: text.visual.clone(),
            font_size: text.font_size,
            style: caption.style,
            coloured: caption.highlight.is_some(),
            words: times.collect(),
            ink: Arc::clone(ink),
            drawn: BTreeMap::new(),
        };
        spoken.draw(seen);
        spoken
    }

    /// Finds out how every piece that may be needed is drawn.
    fn draw(&mut self, seen: &Range<Ticks>) {
        let count = u32::try_from(self.words.len()).expect("a list of words has a limit");
        let blocks = blocks(count).map(|(first, end)| Piece::Words { first, end });
        let singles = (0..count).map(single);
        let set_off = (0..count).filter_map(|word| match self.style {
            CaptionStyle::Box => Some(Piece::Boxed(word)),
            CaptionStyle::Glow => Some(Piece::Shape(word)),
            CaptionStyle::Color => Some(Piece::Lit(word)),
            CaptionStyle::ScalePop | CaptionStyle::SlideUp | CaptionStyle::FlyIn => {
                self.coloured.then_some(Piece::Lit(word))
            }
        });
        let pieces: Vec<Piece> =
            [Piece::Plate, Piece::Rest].into_iter().chain(blocks).chain(singles).chain(set_off).collect();
        let moves = !pose::is_still(&self.visual);
        let in_place = boxed_at(&self.visual, self.canvas, seen.start);
        let on_sheet = if moves { boxed_to_draw_in(&self.visual, self.canvas, seen) } else { in_place };
        for piece in pieces {
            let ink = self.ink.of(piece);
            let drawn = if !moves && !self.is_moved(piece) {
                Drawn::in_place(self.canvas, in_place, ink)
            } else {
                let larger = if self.is_moved(piece) { self.largest() } else { 1.0 };
                Drawn::on_sheet(self.canvas, on_sheet.then(Affine::scaling(larger, larger)), ink)
            };
            if let Some(drawn) = drawn {
                self.drawn.insert(piece, drawn);
            }
        }
    }

    /// Whether the style moves the piece inside the box.
    fn is_moved(&self, piece: Piece) -> bool {
        let one = match piece {
            Piece::Words { first, end } => end - first == 1,
            Piece::Lit(_) => true,
            _ => false,
        };
        one && matches!(self.style, CaptionStyle::ScalePop | CaptionStyle::SlideUp | CaptionStyle::FlyIn)
    }

    /// How large a moved piece becomes: it is drawn that large, so that it stays sharp.
    fn largest(&self) -> f64 {
        if self.style == CaptionStyle::ScalePop { POP_PEAK } else { 1.0 }
    }

    pub(super) fn rasters(&self) -> Vec<(Piece, TextRaster)> {
        self.drawn.iter().map(|(piece, drawn)| (*piece, drawn.raster)).collect()
    }

    pub(super) fn seen_at(&self, instant: Ticks) -> Seen {
        let together = pose::opacity_at(&self.visual, instant);
        if together <= 0.0 {
            return Seen::default();
        }
        let painter = Painter { spoken: self, to_canvas: boxed_at(&self.visual, self.canvas, instant) };
        let mut layers = Vec::new();
        layers.extend(painter.layer(Piece::Plate));
        layers.extend(painter.layer(Piece::Rest));
        for (first, end) in blocks(u32::try_from(self.words.len()).unwrap_or(u32::MAX)) {
            let states: Vec<State> = (first..end).map(|word| self.state_at(word, instant)).collect();
            if states.iter().all(|state| *state == State::Plain) {
                layers.extend(painter.layer(Piece::Words { first, end }));
            } else {
                (first..end).zip(states).for_each(|(word, state)| painter.word(word, state, &mut layers));
            }
        }
        Seen { layers, together }
    }

    fn state_at(&self, word: u32, instant: Ticks) -> State {
        let Some(spoken) = &self.words[word as usize] else { return State::Plain };
        let is_spoken = spoken.contains(&instant);
        let look = if self.coloured && is_spoken { Piece::Lit(word) } else { single(word) };
        match self.style {
            CaptionStyle::Color if is_spoken => State::SetOff(Piece::Lit(word), Affine::IDENTITY, 1.0),
            CaptionStyle::Box if is_spoken => State::SetOff(Piece::Boxed(word), Affine::IDENTITY, 1.0),
            CaptionStyle::Glow if is_spoken => State::Glowing,
            CaptionStyle::Color | CaptionStyle::Box | CaptionStyle::Glow => State::Plain,
            CaptionStyle::ScalePop => {
                let scale = pop(spoken, instant);
                let middle = self.middle(word);
                let enlarged = Affine::translation(-middle.0, -middle.1)
                    .then(Affine::scaling(scale, scale))
                    .then(Affine::translation(middle.0, middle.1));
                if scale == 1.0 { State::Plain } else { State::SetOff(look, enlarged, 1.0) }
            }
            CaptionStyle::SlideUp => self.entering(&SLIDE, spoken, instant, look),
            CaptionStyle::FlyIn => self.entering(&FLIGHT, spoken, instant, look),
        }
    }

    fn entering(&self, entrance: &Entrance, spoken: &Range<Ticks>, instant: Ticks, look: Piece) -> State {
        if instant < spoken.start {
            return State::Absent;
        }
        let lasts = entrance.seconds.min((spoken.end - spoken.start).seconds());
        let left = 1.0 - eased((instant - spoken.start).seconds() / lasts);
        let (x, y) = (entrance.x * self.font_size * left, entrance.y * self.font_size * left);
        match look {
            Piece::Words { .. } if left == 0.0 => State::Plain,
            _ => State::SetOff(look, Affine::translation(x, y), 1.0 - left),
        }
    }

    fn middle(&self, word: u32) -> (f64, f64) {
        let ink = self.ink.words[word as usize].glyphs;
        (ink.x + ink.width / 2.0, ink.y + ink.height / 2.0)
    }
}

/// Makes layers of pieces at one instant.
struct Painter<'s> {
    spoken: &'s Spoken,
    to_canvas: Affine,
}

impl Painter<'_> {
    fn layer(&self, piece: Piece) -> Option<Layer> {
        self.moved(piece, Affine::IDENTITY, 1.0)
    }

    fn moved(&self, piece: Piece, in_box: Affine, opacity: f64) -> Option<Layer> {
        let Spoken { canvas, element, drawn, .. } = self.spoken;
        let source = LayerSource::Text { element: *element, piece };
        drawn.get(&piece)?.layer(source, *canvas, in_box.then(self.to_canvas), opacity)
    }

    fn word(&self, word: u32, state: State, layers: &mut Vec<Layer>) {
        match state {
            State::Absent => {}
            State::Plain => layers.extend(self.layer(single(word))),
            State::SetOff(piece, in_box, opacity) => layers.extend(self.moved(piece, in_box, opacity)),
            State::Glowing => {
                layers.extend(GLOW.iter().filter_map(|ems| self.halo(word, *ems)));
                layers.extend(self.layer(single(word)));
            }
        }
    }

    /// The word's shape, blurred.
    fn halo(&self, word: u32, ems: f64) -> Option<Layer> {
        let layer = self.layer(Piece::Shape(word))?;
        let map = layer.transform;
        // The halo grows and shrinks with the box.
        let scale = libm::sqrt(self.to_canvas.determinant().abs());
        let blur = Blur {
            sigma: ems * self.spoken.font_size * scale,
            along_u: libm::hypot(map.a, map.b),
            along_v: libm::hypot(map.c, map.d),
            repeat: Sides::default(),
        };
        let reach = super::BLUR_REACH * blur.sigma;
        let shown = map.bounds_of(Rect::of_size(1.0, 1.0)).outset(reach);
        let visible = blur.sigma > 0.0 && !shown.intersection(whole(self.spoken.canvas)).is_empty();
        visible.then_some(Layer { blur: Some(blur), ..layer })
    }
}

fn single(word: u32) -> Piece {
    Piece::Words { first: word, end: word + 1 }
}

/// The blocks that `count` words fall into: the first word of each, and the one after its last.
fn blocks(count: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..count).step_by(BLOCK as usize).map(move |first| (first, (first + BLOCK).min(count)))
}

/// How large `scale_pop` shows a word; 1 before and after.
fn pop(spoken: &Range<Ticks>, instant: Ticks) -> f64 {
    let since = (instant - spoken.start).seconds();
    let after = (instant - spoken.end).seconds();
    if since < 0.0 || after >= POP_FALL {
        return 1.0;
    }
    let held = |since: f64| match since {
        since if since < POP_RISE => 1.0 + (POP_PEAK - 1.0) * eased(since / POP_RISE),
        since => POP_PEAK - (POP_PEAK - POP) * eased((since - POP_RISE) / POP_SETTLE),
    };
    match after {
        after if after < 0.0 => held(since),
        after => {
            let reached = held((spoken.end - spoken.start).seconds());
            reached - (reached - 1.0) * eased(after / POP_FALL)
        }
    }
}

/// Fast at first, then slower: a cubic; 0 up to 0, and 1 from 1 on.
fn eased(progress: f64) -> f64 {
    let left = 1.0 - progress.clamp(0.0, 1.0);
    1.0 - left * left * left
}

#[cfg(test)]
mod tests;
