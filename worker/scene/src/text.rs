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
mod selection;

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
use selection::Selection;

/// A text element's glyphs, in pixels from the top left of its box, y down.
#[derive(Debug, Clone, PartialEq)]
pub struct TextLayout {
    /// In reading order of lines, left to right inside a line.
    pub runs: Vec<GlyphRun>,
    /// The glyphs' colour; colour glyphs have their own.
    pub color: Color,
    /// What all glyphs cover; empty where nothing is to be seen.
    pub ink: Rect,
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
    context: LayoutContext<()>,
}

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
        let words = plain(&text.text);
        let selection = Selection::new(&self.fonts, text, &words)?;
        let mut fonts = selection.font_context();
        let mut block = Block::new(text, width);
        for paragraph in words.split('\n') {
            block.start_paragraph();
            if !paragraph.is_empty() {
                let layout = shape(&mut self.context, &mut fonts, &selection, text, paragraph, width);
                layout.lines().for_each(|line| block.push_line(paragraph, &line));
            }
        }
        Ok(block.finish(height, &selection))
    }
}

/// Line ends of all kinds become one kind, tabs four spaces; other control characters have no look and go.
fn plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let line_end =
        |c: char| matches!(c, '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    text.chars()
        .map(|c| if line_end(c) { '\n' } else { c })
        .filter(|c| *c == '\n' || !c.is_control())
        .collect()
}

/// One paragraph: bidi, shaping and line breaks. Its own direction comes from its first strong letter.
fn shape(
    context: &mut LayoutContext<()>,
    fonts: &mut FontContext,
    selection: &Selection,
    text: &Text,
    paragraph: &str,
    width: f64,
) -> Layout<()> {
    let mut builder: RangedBuilder<'_, ()> = context.ranged_builder(fonts, paragraph, 1.0, false);
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
        builder.push_default(StyleProperty::LetterSpacing((text.font_size * text.tracking / 1000.0) as f32));
        // Letters that join must not be pulled apart (CSS Text 4, 8.2.1).
        for range in selection::joining_ranges(paragraph) {
            builder.push(StyleProperty::LetterSpacing(0.0), range);
        }
    }
    for range in selection::emoji_ranges(paragraph) {
        builder.push(StyleProperty::FontFamily(selection.emoji_first_families()), range);
    }
    let mut layout = builder.build(paragraph);
    layout.break_all_lines(text.wrap.then_some(width as f32));
    // Puts hanging spaces of right-to-left lines outside; the box's alignment is ours, for it may be narrower.
    layout.align(
        Alignment::Left,
        AlignmentOptions { align_when_overflowing: true, ..AlignmentOptions::default() },
    );
    layout
}

/// The lines gathered so far. Glyphs lie on baseline 0 until the number of lines is known.
struct Block<'a> {
    text: &'a Text,
    width: f64,
    lines: usize,
    /// The line each run belongs to.
    runs: Vec<(usize, GlyphRun)>,
    missing: Vec<String>,
    in_paragraph: bool,
}

impl<'a> Block<'a> {
    fn new(text: &'a Text, width: f64) -> Block<'a> {
        Block { text, width, lines: 0, runs: Vec::new(), missing: Vec::new(), in_paragraph: false }
    }

    /// A paragraph has one line even if it has no words.
    fn start_paragraph(&mut self) {
        self.lines += 1;
        self.in_paragraph = false;
    }

    fn push_line(&mut self, paragraph: &str, line: &Line<'_, ()>) {
        self.lines += usize::from(self.in_paragraph);
        self.in_paragraph = true;
        let metrics = line.metrics();
        let free = self.width - f64::from(metrics.advance - metrics.hanging_advance);
        let shift = match self.text.align {
            TextAlign::Left => 0.0,
            TextAlign::Center => free / 2.0,
            TextAlign::Right => free,
        };
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
            self.runs.push((self.lines - 1, GlyphRun { font, size, slant, coords, glyphs }));
        }
        self.note_missing(paragraph, line);
    }

    fn note_missing(&mut self, paragraph: &str, line: &Line<'_, ()>) {
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
    fn finish(self, height: f64, selection: &Selection) -> TextLayout {
        let line_height = self.text.font_size * self.text.leading;
        let top = (height - line_height * self.lines as f64) / 2.0;
        let (ascent, descent) = selection.ascent_and_descent(self.text.font_size);
        // Half of what is left above, half below the letters, as in CSS 2.2, 10.8.1.
        let above_baseline = (line_height - ascent - descent) / 2.0 + ascent;
        let mut meter = InkMeter::default();
        let mut ink = Rect::of_size(0.0, 0.0);
        let mut runs = Vec::with_capacity(self.runs.len());
        for (line, mut run) in self.runs {
            let baseline = libm::round(top + line_height * line as f64 + above_baseline) as f32;
            run.glyphs.iter_mut().for_each(|glyph| glyph.y += baseline);
            ink = ink.union(meter.measure(&run));
            runs.push(run);
        }
        TextLayout {
            runs,
            color: self.text.color,
            ink,
            lines: self.lines,
            missing: self.missing,
            family_fell_back: selection.family_fell_back(),
        }
    }
}

#[cfg(test)]
mod tests;
