//! Which fonts a text needs, and in which order its characters ask them.
//!
//! A text is given the family it asks for, then one family for each script that the first lacks, and no other; so that a
//! large file is read only by a text that needs it. All of it is decided by the text and [`FALLBACKS`].

use std::borrow::Cow;
use std::ops::Range;

use composition::Text;
use parley::fontique::{Blob, Collection, CollectionOptions, FontInfoOverride, SourceCache};
use parley::{FontContext, FontFamily, FontFamilyName, FontStyle};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

use crate::fonts::coverage::{
    DEFAULT_FAMILY, EAST_ASIAN_FAMILY, EMOJI_FAMILY, FALLBACKS, Fallback, east_asian_family, prefers_emoji,
};
use crate::fonts::{FILES, FontError, FontSet};

/// The fonts of one text.
pub(super) struct Selection {
    /// In the order of asking; the first is the text's own.
    faces: Vec<Face>,
    weight: u16,
    italic: bool,
    family_fell_back: bool,
}

/// A face that has been read.
struct Face {
    family: &'static str,
    /// Index in [`FILES`].
    file: usize,
    blob: Blob<u8>,
}

impl Face {
    fn font(&self) -> Option<FontRef<'_>> {
        // Collections keep their faces in an order of their own; which one is meant matters for metrics only a little,
        // and not at all for coverage: all faces of a collection have the same characters.
        FontRef::from_index(self.blob.as_ref(), 0).ok()
    }

    fn has(&self, character: char) -> bool {
        self.font().is_some_and(|font| font.charmap().map(character).is_some_and(|glyph| glyph.to_u32() != 0))
    }
}

impl Selection {
    /// Finds and reads the fonts for `words`, which are what `text` says after clean-up.
    pub(super) fn new(fonts: &FontSet, text: &Text, words: &str) -> Result<Selection, FontError> {
        let asked =
            FontSet::family(&text.font_family).filter(|family| fonts.nearest(family, 400, false).is_some());
        let family_fell_back = asked.is_none();
        let mut selection =
            Selection { faces: Vec::new(), weight: text.font_weight, italic: text.italic, family_fell_back };
        if !selection.add(fonts, asked.unwrap_or(DEFAULT_FAMILY))? {
            let file = FILES.iter().find(|file| file.families.contains(&DEFAULT_FAMILY));
            let package = file.map_or("", |file| file.package);
            return Err(FontError::Absent { family: DEFAULT_FAMILY, package });
        }
        let mut following = words.chars().skip(1);
        for character in words.chars() {
            selection.cover(fonts, words, character, following.next())?;
        }
        selection.faces[1..].sort_by_key(|face| fallback_rank(face.family));
        Ok(selection)
    }

    /// Makes sure that some face has the character, where any font has it.
    fn cover(
        &mut self,
        fonts: &FontSet,
        words: &str,
        character: char,
        next: Option<char>,
    ) -> Result<(), FontError> {
        if character.is_whitespace() || is_invisible(character) {
            return Ok(());
        }
        if prefers_emoji(character, next) && self.try_family(fonts, EMOJI_FAMILY, character)? {
            return Ok(());
        }
        if self.faces.iter().any(|face| face.family != EMOJI_FAMILY && face.has(character)) {
            return Ok(());
        }
        for Fallback { family, .. } in FALLBACKS.iter().filter(|fallback| fallback.may_have(character)) {
            let family = if *family == EAST_ASIAN_FAMILY { east_asian_family(words) } else { family };
            if self.try_family(fonts, family, character)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the family has the character; only then it is kept.
    fn try_family(
        &mut self,
        fonts: &FontSet,
        family: &'static str,
        character: char,
    ) -> Result<bool, FontError> {
        if let Some(face) = self.faces.iter().find(|face| face.family == family) {
            return Ok(face.has(character));
        }
        let added = self.add(fonts, family)?;
        let has = added && self.faces.last().is_some_and(|face| face.has(character));
        if added && !has {
            self.faces.pop();
        }
        Ok(has)
    }

    /// Reads a family's nearest file; `false` where it has none here.
    fn add(&mut self, fonts: &FontSet, family: &'static str) -> Result<bool, FontError> {
        let Some(file) = fonts.nearest(family, self.weight, self.italic) else { return Ok(false) };
        self.faces.push(Face { family, file, blob: fonts.load(file)? });
        Ok(true)
    }

    pub(super) fn family_fell_back(&self) -> bool {
        self.family_fell_back
    }

    /// A context that knows these fonts and no others.
    pub(super) fn font_context(&self) -> FontContext {
        let mut collection = Collection::new(CollectionOptions { shared: false, system_fonts: false });
        for face in &self.faces {
            let file = &FILES[face.file];
            // A collection's faces keep their own names. Pictures are not slanted.
            let single = file.families.len() == 1;
            let slanted = file.italic || (self.italic && face.family == EMOJI_FAMILY);
            let info = FontInfoOverride {
                family_name: single.then_some(face.family),
                style: Some(if slanted { FontStyle::Italic } else { FontStyle::Normal }),
                ..FontInfoOverride::default()
            };
            let _registered = collection.register_fonts(face.blob.clone(), Some(info));
        }
        FontContext { collection, source_cache: SourceCache::default() }
    }

    /// The families in order of asking; pictures are asked last.
    pub(super) fn families(&self) -> FontFamily<'static> {
        family_list(self.faces.iter().map(|face| face.family))
    }

    /// The same for characters that are pictures.
    pub(super) fn emoji_first_families(&self) -> FontFamily<'static> {
        let emoji = self.faces.iter().map(|face| face.family).filter(|family| *family == EMOJI_FAMILY);
        family_list(emoji.chain(self.faces.iter().map(|face| face.family)))
    }

    /// How far the text's own font reaches above and below the baseline, in pixels; both above 0 as a rule.
    pub(super) fn ascent_and_descent(&self, size: f64) -> (f64, f64) {
        let metrics = self.faces.first().and_then(Face::font).map(|font| {
            let metrics = font.metrics(Size::unscaled(), LocationRef::default());
            let em = f64::from(metrics.units_per_em.max(1));
            (f64::from(metrics.ascent) / em, f64::from(-metrics.descent) / em)
        });
        let (ascent, descent) = metrics.unwrap_or((0.8, 0.2));
        (ascent * size, descent * size)
    }
}

fn family_list(families: impl Iterator<Item = &'static str>) -> FontFamily<'static> {
    FontFamily::List(Cow::Owned(families.map(FontFamilyName::named).collect()))
}

fn fallback_rank(family: &str) -> usize {
    let family = if family.starts_with("Noto Sans CJK") { EAST_ASIAN_FAMILY } else { family };
    FALLBACKS.iter().position(|fallback| fallback.family == family).unwrap_or(FALLBACKS.len())
}

/// Characters that shape others and need no glyph: joiners, direction marks, variation selectors, tags
/// (`Default_Ignorable_Code_Point` of Unicode 15, without the rare ones).
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{AD}'
            | '\u{34F}'
            | '\u{61C}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// The stretches of text whose characters are pictures, with what belongs to them.
pub(super) fn emoji_ranges(text: &str) -> Vec<Range<usize>> {
    let next_of = |end: usize| text[end..].chars().next();
    let mut in_picture = false;
    ranges_where(text, |end, character| {
        let belongs = in_picture && (is_invisible(character) || character == '\u{20E3}');
        in_picture = belongs || prefers_emoji(character, next_of(end));
        in_picture
    })
}

/// The stretches of text in scripts whose letters join.
pub(super) fn joining_ranges(text: &str) -> Vec<Range<usize>> {
    // Arabic, Syriac, N'Ko, Mandaic, Mongolian and the Arabic presentation forms (Unicode 15, ArabicShaping.txt).
    ranges_where(text, |_, character| {
        matches!(
            character,
            '\u{600}'..='\u{77F}'
                | '\u{7C0}'..='\u{7FF}'
                | '\u{840}'..='\u{8FF}'
                | '\u{1800}'..='\u{18AF}'
                | '\u{200C}'..='\u{200D}'
                | '\u{FB50}'..='\u{FDFF}'
                | '\u{FE70}'..='\u{FEFE}'
        )
    })
}

/// The longest ranges of bytes all of whose characters satisfy `belongs`, which is told each character and where it ends.
fn ranges_where(text: &str, mut belongs: impl FnMut(usize, char) -> bool) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (start, character) in text.char_indices() {
        let end = start + character.len_utf8();
        if !belongs(end, character) {
            continue;
        }
        match ranges.last_mut().filter(|last| last.end == start) {
            Some(last) => last.end = end,
            None => ranges.push(start..end),
        }
    }
    ranges
}
