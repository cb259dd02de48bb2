//! Text: words and a box become glyphs at positions. Nothing is drawn here.
//!
//! Promises: the layout depends on the text, the box and the fonts' bytes alone, never on what was laid out before.
//! Lines are exactly `leading` × font size apart, whatever fonts their glyphs come from, and the block of lines stands in
//! the middle of the box. Baselines lie on whole pixels of the box.
//!
//! ```text
//!   words ──▶ paragraphs ──▶ selection (which font for which character) ──▶ parley: bidi, shaping, lines ──▶ runs
//! ```

mod ink;
mod piece;
mod selection;

use std::ops::Range;
use std::sync::Arc;

use composition::element::TextAlign;
use composition::{Color, Text};
use parley::{
    Alignment, AlignmentOptions, FontContext, FontData, FontStyle, FontWeight, Layout, LayoutContext, Line,
    LineHeight, OverflowWrap, PositionedLayoutItem, RangedBuilder, StyleProperty, TextWrapMode,
};

use crate::fonts::{FontError, FontSet};
use crate::scene::Rect;
use ink::InkMeter;
pub use piece::{Piece, TextInk, WordInk};
use selection::Selection;

/// A text element's glyphs, in pixels from the top left of its box, y down.
#[derive(Debug, Clone, PartialEq)]
pub struct TextLayout {
    /// In reading order of lines, left to right inside a line.
    pub runs: Vec<GlyphRun>,
    /// The glyphs' colour; colour glyphs have their own.
    pub color: Color,
    /// What sets off a spoken word.
    pub highlight: Color,
    /// The colour of the plate.
    pub plate: Color,
    /// The line along the glyphs' edges: its colour, and its width in pixels, half of it outside.
    pub outline: Option<(Color, f64)>,
    /// Whether the outline is all that is drawn of the glyphs.
    pub hollow: bool,
    /// What of the box is covered, and by what.
    pub ink: Arc<TextInk>,
    /// How many lines the words take.
    pub lines: usize,
    /// Clusters of characters of which some have a glyph in no font, each once, in reading order.
    pub missing: Vec<String>,
    /// Whether the family asked for is unknown, so that the default family stands in.
    pub family_fell_back: bool,
}

/// Glyphs of one font. A font that lacks the weight asked for is never thickened: that would be a shape nobody drew.
#[derive(Debug, Clone, PartialEq)]
pub struct GlyphRun {
    /// The font's bytes and its index in them.
    pub font: FontData,
    /// Pixels per em.
    pub size: f32,
    /// For slanting an upright font: how far a glyph's points move right per pixel up. 0 as a rule.
    pub slant: f64,
    /// Positions on the font's variation axes, 2.14 fixed point.
    pub coords: Vec<i16>,
    /// Which of the caption's words the glyphs belong to; `None`: to none of them.
    pub word: Option<u32>,
    /// The glyphs.
    pub glyphs: Vec<Glyph>,
}

/// A glyph and where its origin lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glyph {
    /// Its number in the font.
    pub id: u32,
    /// From the box's left.
    pub x: f32,
    /// From the box's top, downwards.
    pub y: f32,
}

/// Lays text out. One for a thread; it keeps scratch space and shaping plans, which never show in the result.
pub struct Typesetter {
    fonts: Arc<FontSet>,
    context: LayoutContext<Owner>,
}

/// Whom a stretch of text belongs to: 0 nobody, else the number of the caption's word plus 1. It splits runs of glyphs, and
/// never what is shaped together.
type Owner = u32;

/// The highlight of a caption that gives no colour.
const HIGHLIGHT: Color = Color { r: 0xff, g: 0xd4, b: 0x00, a: 0xff };

impl std::fmt::Debug for Typesetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Typesetter").field("fonts", &self.fonts).finish_non_exhaustive()
    }
}

impl Typesetter {
    /// A typesetter with these fonts.
    #[must_use]
    pub fn new(fonts: Arc<FontSet>) -> Typesetter {
        Typesetter { fonts, context: LayoutContext::new() }
    }

    /// Lays out an element's words in a box of `width` × `height` pixels.
    ///
    /// # Errors
    /// Where a font that the words need cannot be read, or the default family is not installed. A character in no font
    /// is no error: see [`TextLayout::missing`].
    pub fn layout(&mut self, text: &Text, width: f64, height: f64) -> Result<TextLayout, FontError> {
        let words = text.shown();
        let selection = Selection::new(&self.fonts, text, &words)?;
        let mut fonts = selection.font_context();
        let mut block = Block::new(text, width, height);
        let owned = owned_ranges(&text.places(&words));
        let mut start = 0;
        for paragraph in words.split('\n') {
            block.start_paragraph();
            if !paragraph.is_empty() {
                let owned = within(&owned, start..start + paragraph.len());
                let wanted = Wanted { selection: &selection, text, paragraph, owned, width };
                let layout = wanted.shape(&mut self.context, &mut fonts);
                layout.lines().for_each(|line| block.push_line(paragraph, &line));
            }
            start += paragraph.len() + 1;
        }
        Ok(block.finish(&selection))
    }
}

/// The places of a caption's words, with their owners, in the order of the text.
fn owned_ranges(places: &[Option<Range<usize>>]) -> Vec<(Range<usize>, Owner)> {
    let numbered = places.iter().zip(1..);
    numbered.filter_map(|(place, owner)| Some((place.clone()?, owner))).collect()
}

/// Those of `owned` that lie in `paragraph`, counted from its start.
fn within(owned: &[(Range<usize>, Owner)], paragraph: Range<usize>) -> Vec<(Range<usize>, Owner)> {
    let first = owned.partition_point(|(place, _)| place.end <= paragraph.start);
    let ahead = owned[first..].iter().take_while(|(place, _)| place.start < paragraph.end);
    let cut = |place: &Range<usize>| {
        let (start, end) = (place.start.max(paragraph.start), place.end.min(paragraph.end));
        start - paragraph.start..end - paragraph.start
    };
    ahead.map(|(place, owner)| (cut(place), *owner)).collect()
}

/// One paragraph and how it is to be set.
struct Wanted<'a> {
    selection: &'a Selection,
    text: &'a Text,
    paragraph: &'a str,
    owned: Vec<(Range<usize>, Owner)>,
    width: f64,
}

impl Wanted<'_> {
    /// Bidi, shaping and line breaks. The paragraph's own direction comes from its first strong letter.
    fn shape(&self, context: &mut LayoutContext<Owner>, fonts: &mut FontContext) -> Layout<Owner> {
        let Wanted { selection, text, paragraph, .. } = self;
        let mut builder: RangedBuilder<'_, Owner> = context.ranged_builder(fonts, paragraph, 1.0, false);
        let size = text.font_size as f32;
        builder.push_default(StyleProperty::FontFamily(selection.families()));
        builder.push_default(StyleProperty::FontSize(size));
        builder.push_default(StyleProperty::FontWeight(FontWeight::new(f32::from(text.font_weight))));
        builder.push_default(StyleProperty::FontStyle(if text.italic {
            FontStyle::Italic
        } else {
            FontStyle::Normal
        }));
        builder.push_default(LineHeight::FontSizeRelative(text.leading as f32));
        builder.push_default(StyleProperty::OverflowWrap(OverflowWrap::Anywhere));
        builder.push_default(StyleProperty::TextWrapMode(match text.wrap {
            true => TextWrapMode::Wrap,
            false => TextWrapMode::NoWrap,
        }));
        if text.tracking != 0.0 {
            builder
                .push_default(StyleProperty::LetterSpacing((text.font_size * text.tracking / 1000.0) as f32));
            // Letters that join must not be pulled apart (CSS Text 4, 8.2.1).
            for range in selection::joining_ranges(paragraph) {
                builder.push(StyleProperty::LetterSpacing(0.0), range);
            }
        }
        for range in selection::emoji_ranges(paragraph) {
            builder.push(StyleProperty::FontFamily(selection.emoji_first_families()), range);
        }
        for (range, owner) in &self.owned {
            builder.push(StyleProperty::Brush(*owner), range.clone());
        }
        let mut layout = builder.build(paragraph);
        layout.break_all_lines(text.wrap.then_some(self.width as f32));
        // Puts hanging spaces of right-to-left lines outside; the box's alignment is ours, for it may be narrower.
        layout.align(
            Alignment::Left,
            AlignmentOptions { align_when_overflowing: true, ..AlignmentOptions::default() },
        );
        layout
    }
}

/// The lines gathered so far. Glyphs lie on baseline 0 until the number of lines is known.
struct Block<'a> {
    text: &'a Text,
    /// Of the box.
    width: f64,
    height: f64,
    lines: usize,
    /// The longest line, from its left to its right.
    across: Option<(f64, f64)>,
    /// The line each run belongs to.
    runs: Vec<(usize, GlyphRun)>,
    missing: Vec<String>,
    in_paragraph: bool,
}

impl<'a> Block<'a> {
    fn new(text: &'a Text, width: f64, height: f64) -> Block<'a> {
        let (runs, missing) = (Vec::new(), Vec::new());
        Block { text, width, height, lines: 0, across: None, runs, missing, in_paragraph: false }
    }

    /// A paragraph has one line even if it has no words.
    fn start_paragraph(&mut self) {
        self.lines += 1;
        self.in_paragraph = false;
    }

    fn push_line(&mut self, paragraph: &str, line: &Line<'_, Owner>) {
        self.lines += usize::from(self.in_paragraph);
        self.in_paragraph = true;
        let metrics = line.metrics();
        let free = self.width - f64::from(metrics.advance - metrics.hanging_advance);
        let shift = match self.text.align {
            TextAlign::Left => 0.0,
            TextAlign::Center => free / 2.0,
            TextAlign::Right => free,
        };
        let (left, right) = self.across.unwrap_or((f64::MAX, f64::MIN));
        self.across = Some((left.min(shift), right.max(self.width - free + shift)));
        for item in line.items() {
            let PositionedLayoutItem::GlyphRun(run) = item else { continue };
            let glyphs = run.positioned_glyphs().map(|glyph| Glyph {
                id: glyph.id,
                x: (f64::from(glyph.x) + shift) as f32,
                y: glyph.y - run.baseline(),
            });
            let glyphs = glyphs.collect();
            let slant =
                run.run().synthesis().skew().map_or(0.0, |angle| libm::tan(f64::from(angle).to_radians()));
            let coords = run.run().normalized_coords().iter().map(|coord| coord.to_bits()).collect();
            let (font, size) = (run.run().font().clone(), run.run().font_size());
            let word = run.style().brush.checked_sub(1);
            self.runs.push((self.lines - 1, GlyphRun { font, size, slant, coords, word, glyphs }));
        }
        self.note_missing(paragraph, line);
    }

    fn note_missing(&mut self, paragraph: &str, line: &Line<'_, Owner>) {
        const NO_GLYPH: u32 = 0;
        for cluster in line.runs().flat_map(|run| run.clusters().collect::<Vec<_>>()) {
            let Some(characters) = paragraph.get(cluster.text_range()) else { continue };
            let visible = characters.chars().any(|c| !c.is_whitespace());
            if visible && cluster.glyphs().any(|glyph| glyph.id == NO_GLYPH) {
                let known = self.missing.iter().any(|other| other == characters);
                if !known {
                    self.missing.push(characters.to_owned());
                }
            }
        }
    }

    /// Stands the lines in the middle of the box and measures what they cover.
    fn finish(self, selection: &Selection) -> TextLayout {
        let text = self.text;
        let line_height = text.font_size * text.leading;
        let top = (self.height - line_height * self.lines as f64) / 2.0;
        let (ascent, descent) = selection.ascent_and_descent(text.font_size);
        // Half of what is left above, half below the letters, as in CSS 2.2, 10.8.1.
        let above_baseline = (line_height - ascent - descent) / 2.0 + ascent;
        let outline = text.decor.outline.map(|outline| (outline.color, outline.width * text.font_size));
        let mut meter = InkMeter::default();
        let mut ink = TextInk::new(text.caption.as_ref().map_or(0, |caption| caption.words.len()));
        let mut runs = Vec::with_capacity(self.runs.len());
        for (line, mut run) in self.runs {
            let baseline = libm::round(top + line_height * line as f64 + above_baseline);
            run.glyphs.iter_mut().for_each(|glyph| glyph.y += baseline as f32);
            let covered = meter.measure(&run).outset(outline.map_or(0.0, |(_, width)| width / 2.0));
            ink.add(run.word, line, covered, piece::lit(covered, baseline, text.font_size));
            runs.push(run);
        }
        if let (Some(plate), Some((left, right))) = (text.decor.plate, self.across) {
            let lines =
                Rect { x: left, y: top, width: right - left, height: line_height * self.lines as f64 };
            let shorter = self.width.min(self.height);
            let padding = (plate.x_padding.resolve(shorter), plate.y_padding.resolve(shorter));
            ink.plate = lines.outset_by(padding.0, padding.1);
        }
        TextLayout {
            runs,
            color: text.color,
            highlight: text.caption.as_ref().and_then(|caption| caption.highlight).unwrap_or(HIGHLIGHT),
            plate: text.decor.plate.map_or(Color::TRANSPARENT, |plate| plate.color),
            outline,
            hollow: text.decor.hollow,
            ink: Arc::new(ink),
            lines: self.lines,
            missing: self.missing,
            family_fell_back: selection.family_fell_back(),
        }
    }
}

#[cfg(test)]
mod tests;
