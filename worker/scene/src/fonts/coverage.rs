//! Which family is asked for a character that the chosen family does not have. The order is ours and never the host's.

/// The family text is set in where none or an unknown one is asked for.
pub const DEFAULT_FAMILY: &str = "Inter";
/// The family of colour pictures.
pub const EMOJI_FAMILY: &str = "Noto Color Emoji";
/// Stands for all faces of Chinese, Japanese and Korean: [`east_asian_family`] chooses one for a text.
pub const EAST_ASIAN_FAMILY: &str = "Noto Sans CJK SC";

/// A family and the characters it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Fallback {
    /// A family of [`super::FILES`].
    pub family: &'static str,
    /// First and last code points of Unicode blocks (Unicode 15, Blocks.txt).
    pub blocks: &'static [(u32, u32)],
}

impl Fallback {
    /// Whether the family is worth asking.
    #[must_use]
    pub fn may_have(&self, character: char) -> bool {
        let code = u32::from(character);
        self.blocks.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

/// In order of asking: living scripts first, then symbols, then the large files.
#[rustfmt::skip]
pub const FALLBACKS: &[Fallback] = &[
    Fallback { family: "Noto Sans", blocks: &[
        (0x0020, 0x052F), (0x1AB0, 0x1AFF), (0x1D00, 0x218F), (0x2C60, 0x2C7F), (0x2DE0, 0x2E7F), (0xA640, 0xA69F),
        (0xA700, 0xA7FF), (0xAB30, 0xAB6F), (0xFB00, 0xFB0F), (0xFE20, 0xFE2F), (0xFFF0, 0xFFFF)] },
    Fallback { family: "Noto Sans Armenian", blocks: &[(0x0530, 0x058F), (0xFB13, 0xFB17)] },
    Fallback { family: "Noto Sans Hebrew", blocks: &[(0x0590, 0x05FF), (0xFB1D, 0xFB4F)] },
    Fallback { family: "Noto Sans Arabic", blocks: &[
        (0x0600, 0x06FF), (0x0750, 0x077F), (0x08A0, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFE)] },
    Fallback { family: "Noto Sans Syriac", blocks: &[(0x0700, 0x074F), (0x0860, 0x086F)] },
    Fallback { family: "Noto Sans Thaana", blocks: &[(0x0780, 0x07BF)] },
    Fallback { family: "Noto Sans NKo", blocks: &[(0x07C0, 0x07FF)] },
    Fallback { family: "Noto Sans Devanagari", blocks: &[(0x0900, 0x097F), (0x1CD0, 0x1CFF), (0xA8E0, 0xA8FF)] },
    Fallback { family: "Noto Sans Bengali", blocks: &[(0x0980, 0x09FF)] },
    Fallback { family: "Noto Sans Gurmukhi", blocks: &[(0x0A00, 0x0A7F)] },
    Fallback { family: "Noto Sans Gujarati", blocks: &[(0x0A80, 0x0AFF)] },
    Fallback { family: "Noto Sans Oriya", blocks: &[(0x0B00, 0x0B7F)] },
    Fallback { family: "Noto Sans Tamil", blocks: &[(0x0B80, 0x0BFF)] },
    Fallback { family: "Noto Sans Telugu", blocks: &[(0x0C00, 0x0C7F)] },
    Fallback { family: "Noto Sans Kannada", blocks: &[(0x0C80, 0x0CFF)] },
    Fallback { family: "Noto Sans Malayalam", blocks: &[(0x0D00, 0x0D7F)] },
    Fallback { family: "Noto Sans Sinhala", blocks: &[(0x0D80, 0x0DFF)] },
    Fallback { family: "Noto Sans Thai", blocks: &[(0x0E00, 0x0E7F)] },
    Fallback { family: "Noto Sans Lao", blocks: &[(0x0E80, 0x0EFF)] },
    Fallback { family: "Noto Serif Tibetan", blocks: &[(0x0F00, 0x0FFF)] },
    Fallback { family: "Noto Sans Myanmar", blocks: &[(0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F)] },
    Fallback { family: "Noto Sans Georgian", blocks: &[(0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)] },
    Fallback { family: "Noto Sans Ethiopic", blocks: &[(0x1200, 0x139F), (0x2D80, 0x2DDF), (0xAB00, 0xAB2F)] },
    Fallback { family: "Noto Sans Cherokee", blocks: &[(0x13A0, 0x13FF), (0xAB70, 0xABBF)] },
    Fallback { family: "Noto Sans Canadian Aboriginal", blocks: &[(0x1400, 0x167F), (0x18B0, 0x18FF)] },
    Fallback { family: "Noto Sans Khmer", blocks: &[(0x1780, 0x17FF), (0x19E0, 0x19FF)] },
    Fallback { family: "Noto Sans Mongolian", blocks: &[(0x1800, 0x18AF)] },
    Fallback { family: "Noto Sans Tifinagh", blocks: &[(0x2D30, 0x2D7F)] },
    Fallback { family: "Noto Sans Yi", blocks: &[(0xA000, 0xA4CF)] },
    Fallback { family: "Noto Sans Javanese", blocks: &[(0xA980, 0xA9DF)] },
    Fallback { family: "Noto Sans Symbols", blocks: &[(0x2000, 0x2BFF), (0x1F000, 0x1F2FF), (0x1F700, 0x1F77F)] },
    Fallback { family: "Noto Sans Symbols2", blocks: &[(0x2000, 0x2BFF), (0x10000, 0x102FF), (0x1D2E0, 0x1D37F),
        (0x1F000, 0x1FBFF)] },
    Fallback { family: "Noto Sans Math", blocks: &[(0x2000, 0x2BFF), (0x1D400, 0x1D7FF), (0x1EE00, 0x1EEFF)] },
    Fallback { family: EAST_ASIAN_FAMILY, blocks: &[
        (0x1100, 0x11FF), (0x2000, 0x2BFF), (0x2E80, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF),
        (0xFE10, 0xFE1F), (0xFE30, 0xFE6F), (0xFF00, 0xFFEF), (0x1B000, 0x1B16F), (0x1F200, 0x1F2FF),
        (0x20000, 0x3134F)] },
    Fallback { family: EMOJI_FAMILY, blocks: &[(0x00A9, 0x00AE), (0x2000, 0x33FF), (0x1F000, 0x1FAFF)] },
];

/// The face that draws the Han characters of a text: one code point is written differently in China, Japan and Korea, and
/// only the letters around it tell. Without such letters it is the simplified Chinese form.
#[must_use]
pub fn east_asian_family(text: &str) -> &'static str {
    let within = |blocks: &[(u32, u32)]| {
        text.chars().any(|c| blocks.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c))))
    };
    // Kana; Hangul; Bopomofo.
    if within(&[(0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D)]) {
        "Noto Sans CJK JP"
    } else if within(&[(0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)]) {
        "Noto Sans CJK KR"
    } else if within(&[(0x3100, 0x312F), (0x31A0, 0x31BF)]) {
        "Noto Sans CJK TC"
    } else {
        EAST_ASIAN_FAMILY
    }
}

/// Whether a character is shown as a colour picture although a text font may have it (Unicode TS 51, 1.4.2 and 2.8): it is
/// one by default, or what follows asks for one.
#[must_use]
pub fn prefers_emoji(character: char, next: Option<char>) -> bool {
    const TEXT_STYLE: char = '\u{FE0E}';
    let code = u32::from(character);
    if next == Some(TEXT_STYLE) {
        return false;
    }
    // Emoji style, a joined sequence, a skin tone.
    let asked_for = matches!(next, Some('\u{FE0F}' | '\u{200D}' | '\u{1F3FB}'..='\u{1F3FF}'));
    let can_be = matches!(character, '#' | '*' | '0'..='9' | '\u{A9}' | '\u{AE}' | '\u{203C}'..='\u{3299}');
    let by_default = (0x1F000..=0x1FAFF).contains(&code)
        || EMOJI_BELOW_1F000.iter().any(|(first, last)| (*first..=*last).contains(&code));
    by_default || asked_for && can_be
}

/// Characters with `Emoji_Presentation` below U+1F000 (Unicode 15, emoji-data.txt).
#[rustfmt::skip]
const EMOJI_BELOW_1F000: &[(u32, u32)] = &[
    (0x231A, 0x231B), (0x23E9, 0x23EC), (0x23F0, 0x23F0), (0x23F3, 0x23F3), (0x25FD, 0x25FE), (0x2614, 0x2615),
    (0x2648, 0x2653), (0x267F, 0x267F), (0x2693, 0x2693), (0x26A1, 0x26A1), (0x26AA, 0x26AB), (0x26BD, 0x26BE),
    (0x26C4, 0x26C5), (0x26CE, 0x26CE), (0x26D4, 0x26D4), (0x26EA, 0x26EA), (0x26F2, 0x26F3), (0x26F5, 0x26F5),
    (0x26FA, 0x26FA), (0x26FD, 0x26FD), (0x2705, 0x2705), (0x270A, 0x270B), (0x2728, 0x2728), (0x274C, 0x274C),
    (0x274E, 0x274E), (0x2753, 0x2755), (0x2757, 0x2757), (0x2795, 0x2797), (0x27B0, 0x27B0), (0x27BF, 0x27BF),
    (0x2B1B, 0x2B1C), (0x2B50, 0x2B50), (0x2B55, 0x2B55),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_around_han_characters_choose_their_form() {
        let table = [("骨かな", "JP"), ("骨 한국", "KR"), ("骨ㄅ", "TC"), ("骨", "SC")];
        for (text, region) in table {
            assert!(east_asian_family(text).ends_with(region), "{text}: {region}");
        }
    }

    #[test]
    fn a_character_is_a_picture_by_default_or_when_asked() {
        let table = [
            ('😀', None, true, "a face"),
            ('✅', None, true, "emoji by default"),
            ('❤', None, false, "text by default"),
            ('❤', Some('\u{FE0F}'), true, "asked for as emoji"),
            ('✅', Some('\u{FE0E}'), false, "asked for as text"),
            ('1', Some('\u{FE0F}'), true, "a keycap"),
            ('1', Some('2'), false, "a number"),
            ('क', Some('\u{200D}'), false, "a joiner inside a script"),
        ];
        for (character, next, picture, what) in table {
            assert_eq!(prefers_emoji(character, next), picture, "{character}: {what}");
        }
    }

    #[test]
    fn every_fallback_names_a_family_there_is() {
        for fallback in FALLBACKS {
            let known = super::super::FILES.iter().any(|file| file.families.contains(&fallback.family));
            assert!(known, "{} is in no file", fallback.family);
        }
    }
}
