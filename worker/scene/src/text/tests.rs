//! Layout with the real fonts: what shaping must do for each kind of script, and where lines go.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::fonts::FILES;
use crate::fonts::tests::Installed;
use crate::sample::words;

const BOX: (f64, f64) = (600.0, 400.0);

fn fonts() -> Arc<FontSet> {
    static FONTS: OnceLock<Arc<FontSet>> = OnceLock::new();
    let open = || Arc::new(FontSet::open(Box::new(Installed)).expect("the fonts are installed"));
    FONTS.get_or_init(open).clone()
}

fn lay(text: &Text) -> TextLayout {
    Typesetter::new(fonts()).layout(text, BOX.0, BOX.1).expect("the fonts can be read")
}

/// What all of a text covers.
fn covered(layout: &TextLayout) -> Rect {
    layout.ink.of(Piece::Whole)
}

fn lay_words(text: &str) -> TextLayout {
    lay(&words(text))
}

fn glyphs(layout: &TextLayout) -> Vec<Glyph> {
    layout.runs.iter().flat_map(|run| run.glyphs.iter().copied()).collect()
}

fn ids(text: &str) -> Vec<u32> {
    glyphs(&lay_words(text)).iter().map(|glyph| glyph.id).collect()
}

/// The path of the font that each run of a layout is set in.
fn fonts_of(layout: &TextLayout) -> Vec<&'static str> {
    let path = |run: &GlyphRun| {
        let bytes = run.font.data.as_ref().len() as u64;
        FILES.iter().find(|file| file.size == bytes).map_or("a foreign version of a font", |file| file.path)
    };
    layout.runs.iter().map(path).collect()
}

#[test]
fn arabic_letters_join() {
    let alone: Vec<u32> = "بيت".chars().flat_map(|letter| ids(&letter.to_string())).collect();
    let mut together = ids("بيت");
    together.reverse();
    assert_eq!(together.len(), 3, "three letters");
    for (joined, isolated) in together.iter().zip(&alone) {
        assert_ne!(joined, isolated, "a joined letter has another shape");
    }
}

#[test]
fn tracking_does_not_pull_joined_letters_apart() {
    let tracked = |text: &str, tracking| covered(&lay(&Text { tracking, ..words(text) })).width;
    assert_eq!(tracked("بيت", 500.0), tracked("بيت", 0.0), "Arabic stays joined");
    let wider = tracked("abc", 500.0) - tracked("abc", 0.0);
    assert!((wider - 40.0).abs() < 0.01, "two gaps of half an em of 40 px: {wider}");
}

#[test]
fn hebrew_runs_from_right_to_left_and_numbers_in_it_do_not() {
    let alef = ids("א")[0];
    let (one, two) = (ids("1")[0], ids("2")[0]);
    let layout = lay_words("אב 12");
    let x_of =
        |id| glyphs(&layout).iter().find(|glyph| glyph.id == id).map(|glyph| glyph.x).expect("it is there");
    assert!(x_of(alef) > x_of(one), "the first letter is at the right");
    assert!(x_of(one) < x_of(two), "digits keep their order");
}

#[test]
fn a_joined_emoji_is_one_glyph() {
    for emoji in ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇳🇱", "1️⃣", "❤️‍🔥"]
    {
        let layout = lay_words(emoji);
        assert_eq!(glyphs(&layout).len(), 1, "{emoji}");
        assert!(fonts_of(&layout)[0].contains("ColorEmoji"), "{emoji} is a picture");
        assert!(
            layout.missing.is_empty() && !covered(&layout).is_empty(),
            "{emoji} is there and covers something"
        );
    }
}

#[test]
fn a_variation_selector_chooses_between_letter_and_picture() {
    let font = |text| fonts_of(&lay_words(text))[0].contains("ColorEmoji");
    let table =
        [("❤\u{FE0F}", true), ("❤", false), ("✅", true), ("12", false), ("©", false), ("©\u{FE0F}", true)];
    for (text, picture) in table {
        assert_eq!(font(text), picture, "{text:?}");
    }
    let mixed = fonts_of(&lay_words("😀☃"));
    assert!(mixed[1].contains("Symbols2"), "a picture beside it does not make a letter one: {mixed:?}");
}

#[test]
fn every_script_we_promise_has_its_glyphs() {
    let table = [
        ("Grüße, naïve Œuvre, Ελληνικά, Русский", "Inter"),
        ("مرحبا بالعالم", "NotoSansArabic"),
        ("שלום עולם", "NotoSansHebrew"),
        ("क्षत्रिय नमस्ते", "NotoSansDevanagari"),
        ("สวัสดีชาวโลก", "NotoSansThai"),
        ("বাংলা", "NotoSansBengali"),
        ("தமிழ்", "NotoSansTamil"),
        ("ქართული", "NotoSansGeorgian"),
        ("አማርኛ", "NotoSansEthiopic"),
        ("你好，世界", "NotoSansCJK"),
        ("こんにちは", "NotoSansCJK"),
        ("안녕하세요", "NotoSansCJK"),
        ("≤ ∑ ∞ → ☃ ♞", ""),
    ];
    for (text, font) in table {
        let layout = lay_words(text);
        assert_eq!(layout.missing, Vec::<String>::new(), "{text}");
        assert!(fonts_of(&layout).iter().any(|path| path.contains(font)), "{text}: {:?}", fonts_of(&layout));
    }
}

#[test]
fn han_characters_take_the_form_of_the_language_around_them() {
    assert_ne!(ids("骨"), ids("骨の")[..1].to_vec(), "Chinese and Japanese draw bone differently");
}

#[test]
fn a_character_in_no_font_is_named_once() {
    let layout = lay_words("a 𓀀 b 𓀀 \u{200D}\u{200E}");
    assert_eq!(layout.missing, ["𓀀"], "the hieroglyph, and no invisible character");
}

#[test]
fn an_unknown_family_falls_back_to_inter() {
    let unknown = lay(&Text { font_family: "Papyrus".to_owned(), ..words("abc") });
    assert!(unknown.family_fell_back, "it says so");
    assert_eq!(unknown.runs, lay_words("abc").runs, "and is set as Inter");
    assert!(
        !lay(&Text { font_family: "inter".to_owned(), ..words("abc") }).family_fell_back,
        "any case will do"
    );
}

#[test]
fn weight_and_italic_take_the_familys_own_file() {
    let font = |font_weight, italic| fonts_of(&lay(&Text { font_weight, italic, ..words("abc") }))[0];
    assert_eq!(font(900, false), "opentype/inter/Inter-Black.otf", "the heaviest");
    assert_eq!(font(300, true), "opentype/inter/Inter-LightItalic.otf", "light and slanted");
}

#[test]
fn only_a_font_without_italic_is_slanted_and_pictures_never() {
    let slants = |text| {
        lay(&Text { italic: true, ..words(text) }).runs.iter().map(|run| run.slant).collect::<Vec<_>>()
    };
    assert_eq!(slants("abc"), [0.0], "Inter has its own italic");
    assert!(slants("שלום")[0] > 0.2, "Hebrew is slanted by 14 degrees");
    assert_eq!(slants("😀"), [0.0], "a face stays upright");
}

#[test]
fn lines_break_between_words_at_the_boxs_width() {
    let layout = lay_words("the quick brown fox jumps over the lazy dog and runs away");
    assert!(layout.lines > 1, "it does not fit on one line");
    assert!(
        covered(&layout).x >= 0.0 && covered(&layout).right() <= BOX.0,
        "no line is wider than the box: {:?}",
        covered(&layout)
    );
    let unwrapped =
        lay(&Text { wrap: false, ..words("the quick brown fox jumps over the lazy dog and runs away") });
    assert_eq!(unwrapped.lines, 1, "nowrap keeps one line");
    assert!(covered(&unwrapped).width > BOX.0, "which is wider than the box");
}

#[test]
fn a_word_longer_than_the_box_is_broken() {
    let layout = lay_words(&"m".repeat(100));
    assert!(layout.lines > 3, "{} lines", layout.lines);
    assert!(covered(&layout).right() <= BOX.0 + 0.5, "inside the box: {:?}", covered(&layout));
}

#[test]
fn thai_breaks_between_words_without_spaces() {
    let sentence = "ภาษาไทยเป็นภาษาที่ไม่มีการเว้นวรรคระหว่างคำ";
    let broken = lay_words(&sentence.repeat(2));
    assert!(
        broken.lines > 1 && covered(&broken).right() <= BOX.0 + 0.5,
        "{} lines, {:?}",
        broken.lines,
        covered(&broken)
    );
}

#[test]
fn lines_stand_leading_apart_in_the_middle_of_the_box() {
    let layout = lay(&Text { leading: 1.5, ..words("H\n\nH") });
    let baselines: Vec<f32> = glyphs(&layout).iter().map(|glyph| glyph.y).collect();
    assert_eq!(layout.lines, 3, "an empty line counts");
    assert_eq!(baselines[1] - baselines[0], 120.0, "two lines of 1.5 × 40 px");
    let mixed = lay_words("H\nH 你好 😀 مرحبا\nH");
    let mut lines: Vec<f32> = glyphs(&mixed).iter().map(|glyph| glyph.y).collect();
    lines.dedup_by(|a, b| (*a - *b).abs() < 20.0);
    assert_eq!(lines.len(), 3, "three baselines: {lines:?}");
    assert_eq!(lines[2] - lines[0], 96.0, "other fonts in a line do not push lines apart");
    let middle = covered(&layout).y + covered(&layout).height / 2.0;
    assert!((middle - BOX.1 / 2.0).abs() < 4.0, "capitals are about in the middle: {middle}");
}

#[test]
fn baselines_lie_on_whole_pixels() {
    for size in [16.0, 17.3, 40.0, 99.9] {
        let layout = lay(&Text { font_size: size, ..words("Hxg\nHxg") });
        assert!(glyphs(&layout).iter().all(|glyph| glyph.y.fract() == 0.0), "{size} px");
    }
}

#[test]
fn lines_are_aligned_in_the_box() {
    let ink = |align| covered(&lay(&Text { align, ..words("HH") }));
    let (left, center, right) = (ink(TextAlign::Left), ink(TextAlign::Center), ink(TextAlign::Right));
    assert!(left.x > 0.0 && left.x < 6.0, "at the left side: {left:?}");
    assert!((center.x + center.width / 2.0 - 300.0).abs() < 1.0, "in the middle: {center:?}");
    assert!(right.right() < 600.0 && right.right() > 594.0, "at the right side: {right:?}");
}

#[test]
fn a_right_to_left_line_is_aligned_like_any_other() {
    let ink = |align| covered(&lay(&Text { align, ..words("שלום ") }));
    assert!(ink(TextAlign::Left).x < 15.0, "left is left");
    assert!(ink(TextAlign::Right).right() > 590.0, "right is right");
}

#[test]
fn line_ends_and_tabs_of_all_kinds_are_understood() {
    assert_eq!(words("a\r\nb\rc\u{2028}d\u{7}\te").shown(), "a\nb\nc\nd    e", "normalised");
    assert_eq!(lay_words("a\r\nb\n").lines, 3, "a final line end makes an empty line");
}

#[test]
fn nothing_visible_has_no_ink() {
    for text in [" ", "\n", "\u{200B}", "\u{7}"] {
        let layout = lay_words(text);
        assert!(covered(&layout).is_empty() && layout.missing.is_empty(), "{text:?}: {layout:?}");
    }
}

#[test]
fn a_layout_does_not_depend_on_what_was_laid_out_before() {
    let mut used = Typesetter::new(fonts());
    for other in ["你好", "😀 bold", "שלום"] {
        let text = Text { font_weight: 700, ..words(other) };
        used.layout(&text, BOX.0, BOX.1).expect("the fonts can be read");
    }
    let mixed = words("a骨 ❤ 12 שלום x\u{302} 😀");
    let after = used.layout(&mixed, BOX.0, BOX.1).expect("the fonts can be read");
    assert_eq!(after, lay(&mixed), "the same as with a new typesetter");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_can_be_laid_out(
        // Without the scripts of the large collections: they would dominate the time, and change nothing here.
        text in r"[\PC&&[\x20-\u{1FFF}\u{A000}-\u{ABFF}]]{1,40}",
        size in 1.0..200.0f64,
        width in 1.0..800.0f64,
        wrap: bool,
    ) {
        let words = Text { font_size: size, wrap, ..words(&text) };
        let layout = Typesetter::new(fonts()).layout(&words, width, 300.0).expect("the fonts can be read");
        let finite = glyphs(&layout).iter().all(|glyph| glyph.x.is_finite() && glyph.y.is_finite());
        prop_assert!(finite && covered(&layout).width.is_finite(), "{layout:?}");
    }
}
