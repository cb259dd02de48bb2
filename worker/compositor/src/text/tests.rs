//! Pixels of real glyphs: their colours, their place, their repeatability.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use composition::caption::{Caption, CaptionStyle, SpokenWord};
use composition::element::{Decor, Element, ElementKind, Fit, Outline, Plate, Text, TextAlign, Visual};
use composition::{
    Background, Color, Composition, FrameRate, Length, OutputFormat, OutputSettings, Size, Ticks,
};
use scene::{FontFiles, FontSet, SourceFacts, Stage, Typesetter};

use super::*;

const CANVAS: Size = Size { width: 320, height: 180 };

/// The fonts of the machine that runs the tests.
struct Installed;

impl Installed {
    fn path(path: &str) -> PathBuf {
        let root = std::env::var_os("FRAMELANE_FONTS").unwrap_or_else(|| "/usr/share/fonts".into());
        PathBuf::from(root).join(path)
    }
}

impl FontFiles for Installed {
    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(Self::path(path))?.len())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(Self::path(path))
    }
}

fn fonts() -> Arc<FontSet> {
    static FONTS: OnceLock<Arc<FontSet>> = OnceLock::new();
    FONTS
        .get_or_init(|| Arc::new(FontSet::open(Box::new(Installed)).expect("the fonts are installed")))
        .clone()
}

/// A film of one text.
fn film(text: Text) -> Composition {
    let (path, kind) = ("/elements/0".to_owned(), ElementKind::Text(text));
    Composition {
        canvas: CANVAS,
        duration: None,
        frame_rate: FrameRate::new(30, 1).expect("a valid rate"),
        output: OutputSettings {
            format: OutputFormat::Png,
            quality: 60,
            bitrate: None,
            max_bitrate: None,
            keyframe_interval: Ticks::from_seconds(2.0),
            audio_bitrate: 160_000,
            snapshot_time: None,
            filename: None,
        },
        background: Background { color: Color::BLACK, image: None },
        elements: vec![Element { path, id: None, time: Ticks::ZERO, visible: true, kind }],
        transitions: Vec::new(),
        metadata: BTreeMap::new(),
        webhook_url: None,
        priority: 0,
        deadline_us: None,
    }
}

fn words(text: &str) -> Text {
    let middle = Length::Percent(50.0);
    let visual = Visual {
        x: middle.into(),
        y: middle.into(),
        x_anchor: middle,
        y_anchor: middle,
        width: None,
        height: None,
        aspect_ratio: None,
        fit: Fit::Cover,
        z_rotation: 0.0.into(),
        x_scale: 1.0.into(),
        y_scale: 1.0.into(),
        flip_horizontal: false,
        flip_vertical: false,
        opacity: 1.0.into(),
        z_index: 1,
    };
    Text {
        text: text.to_owned(),
        duration: Ticks::from_seconds(1.0),
        visual,
        font_family: "Inter".to_owned(),
        font_size: 40.0,
        font_weight: 400,
        italic: false,
        color: Color { r: 255, g: 128, b: 0, a: 255 },
        align: TextAlign::Center,
        wrap: true,
        leading: 1.2,
        tracking: 0.0,
        decor: Decor::default(),
        caption: None,
    }
}

/// Lays out, stages and draws every piece, as the worker does.
fn draw_pieces(text: Text) -> Vec<(Piece, TextPixmap)> {
    let (width, height) = scene::box_size(&text.visual, CANVAS);
    let layout = Typesetter::new(fonts()).layout(&text, width, height).expect("the fonts can be read");
    let facts = SourceFacts::Text { ink: Arc::clone(&layout.ink) };
    let stage = Stage::new(&film(text), &[Some(facts)], None);
    let rasters = stage.text_rasters(0).into_iter();
    rasters.map(|(piece, raster)| (piece, rasterize(&layout, piece, &raster))).collect()
}

/// The one picture of text without a caption.
fn draw_text(text: Text) -> TextPixmap {
    let mut pieces = draw_pieces(text);
    assert_eq!(pieces.len(), 1, "the text is seen");
    pieces.remove(0).1
}

fn pixels(pixmap: &TextPixmap) -> impl Iterator<Item = (u32, u32, [u8; 4])> + '_ {
    let width = pixmap.width as usize;
    pixmap.pixels.chunks_exact(4).enumerate().map(move |(at, pixel)| {
        let pixel = <[u8; 4]>::try_from(pixel).expect("chunks of four");
        ((at % width) as u32, (at / width) as u32, pixel)
    })
}

/// The columns and rows from the first to the last pixel that is not transparent.
fn inked(pixmap: &TextPixmap) -> (u32, u32, u32, u32) {
    let drawn = || pixels(pixmap).filter(|(_, _, pixel)| pixel[3] > 0);
    let columns = || drawn().map(|(x, _, _)| x);
    let rows = || drawn().map(|(_, y, _)| y);
    let end = "something is drawn";
    (
        columns().min().expect(end),
        rows().min().expect(end),
        columns().max().expect(end),
        rows().max().expect(end),
    )
}

#[test]
fn letters_have_the_texts_colour_multiplied_by_their_coverage() {
    let pixmap = draw_text(words("H"));
    assert!(pixels(&pixmap).any(|(_, _, pixel)| pixel == [255, 128, 0, 255]), "a stem is opaque and orange");
    let associated = pixels(&pixmap).all(|(_, _, [r, g, b, a])| r == a && b == 0 && g.abs_diff(a / 2) <= 1);
    assert!(associated, "edges are the same colour, thinner");
}

#[test]
fn the_pixmap_holds_all_of_the_ink_and_little_more() {
    let skewed = Text { italic: true, ..words("שלום") };
    let turned = words("Hxg");
    let turned = Text { visual: Visual { z_rotation: 90.0.into(), ..turned.visual.clone() }, ..turned };
    let scaled = words("g");
    let scaled = Text {
        visual: Visual { x_scale: 2.0.into(), y_scale: 2.0.into(), ..scaled.visual.clone() },
        ..scaled
    };
    // Pictures have clear borders of their own.
    for (text, most) in [(words("Hxg"), 3), (words("👍🏽"), 8), (skewed, 3), (turned, 3), (scaled, 3)] {
        let name = text.text.clone();
        let pixmap = draw_text(text);
        let (left, top, right, bottom) = inked(&pixmap);
        let margins = [left, top, pixmap.width - 1 - right, pixmap.height - 1 - bottom];
        assert!(margins.iter().all(|margin| (1..=most).contains(margin)), "{name}: {margins:?}");
    }
}

#[test]
fn colour_emoji_have_their_own_colours() {
    let pixmap = draw_text(words("😀"));
    let mut colors: Vec<[u8; 4]> =
        pixels(&pixmap).map(|(_, _, pixel)| pixel).filter(|pixel| pixel[3] == 255).collect();
    colors.sort_unstable();
    colors.dedup();
    assert!(colors.len() > 20, "many shades: {}", colors.len());
    let yellow = colors.iter().filter(|[r, g, b, _]| *r > 200 && *g > 150 && *b < 100).count();
    assert!(yellow > 5, "a face is mostly yellow: {yellow}");
}

#[test]
fn alpha_thins_letters_and_pictures_alike_and_overlaps_are_not_denser() {
    let faint = |text: &str| {
        draw_text(Text { color: Color { r: 255, g: 255, b: 255, a: 64 }, tracking: -300.0, ..words(text) })
    };
    for text in ["WWW", "😀"] {
        let densest = pixels(&faint(text)).map(|(_, _, pixel)| pixel[3]).max();
        assert_eq!(densest, Some(64), "{text}");
    }
}

#[test]
fn an_upright_font_slants_to_the_right() {
    let slanted = draw_text(Text { italic: true, ..words("ו") });
    let (_, top, _, bottom) = inked(&slanted);
    let middle_of = |row: u32| {
        let columns: Vec<u32> =
            pixels(&slanted).filter(|(_, y, pixel)| *y == row && pixel[3] > 0).map(|(x, _, _)| x).collect();
        columns.iter().sum::<u32>() as f64 / columns.len() as f64
    };
    assert!(middle_of(top + 8) > middle_of(bottom - 2), "the top of the stem is further right");
}

#[test]
fn rotated_text_is_drawn_rotated() {
    let upright = draw_text(words("Hxg"));
    let text = words("Hxg");
    let turned =
        draw_text(Text { visual: Visual { z_rotation: 90.0.into(), ..text.visual.clone() }, ..text });
    assert_eq!((turned.width, turned.height), (upright.height, upright.width), "lying down");
}

#[test]
fn the_same_text_has_the_same_bytes() {
    let draw = || draw_text(words("Same ✅ 骨 שלום"));
    let first = draw();
    let other = std::thread::spawn(draw).join().expect("the thread draws");
    assert_eq!(first, other, "on any thread, at any time");
}

/// How many pixels are nearly this colour and nearly opaque.
fn count(pixmap: &TextPixmap, color: [u8; 3]) -> usize {
    let near = |value: u8, wanted: u8| value.abs_diff(wanted) < 24;
    let is = |pixel: [u8; 4]| pixel[3] > 230 && (0..3).all(|at| near(pixel[at], color[at]));
    pixels(pixmap).filter(|(_, _, pixel)| is(*pixel)).count()
}

const ORANGE: [u8; 3] = [255, 128, 0];
const BLUE: [u8; 3] = [0, 0, 255];

#[test]
fn a_plate_hugs_the_lines_and_an_outline_the_letters() {
    let blue = Color { r: 0, g: 0, b: 255, a: 255 };
    let plate = |x_padding| {
        let plate =
            Plate { color: blue, x_padding: Length::Pixels(x_padding), y_padding: Length::Pixels(4.0) };
        draw_text(Text { decor: Decor { plate: Some(plate), ..Decor::default() }, ..words("HH") })
    };
    let (narrow, wide) = (plate(0.0), plate(10.0));
    assert!(count(&narrow, BLUE) > 0 && count(&narrow, ORANGE) > 100, "letters stand on it");
    let (left, top, right, bottom) = inked(&narrow);
    assert_eq!(bottom - top + 1, 40 * 12 / 10 + 8, "a line of 1.2 em and the padding");
    let (wide_left, _, wide_right, _) = inked(&wide);
    assert_eq!((wide_right - wide_left) - (right - left), 20, "ten pixels more on either side");

    let outline = Some(Outline { color: blue, width: 0.2 });
    let around = draw_text(Text { decor: Decor { outline, ..Decor::default() }, ..words("HH") });
    assert!(count(&around, BLUE) > 100 && count(&around, ORANGE) > 100, "under the letters");
    let (bare, lined) = (inked(&draw_text(words("HH"))), inked(&around));
    let wider = (lined.2 - lined.0) - (bare.2 - bare.0);
    assert!((7..=9).contains(&wider), "half of 8 px lies outside on either side, not {wider}");
    let hollow = draw_text(Text { decor: Decor { outline, hollow: true, plate: None }, ..words("HH") });
    assert_eq!(count(&hollow, ORANGE), 0, "nothing is filled");
}

fn caption(style: CaptionStyle) -> Vec<(Piece, TextPixmap)> {
    let word = |text: &str, start, end| SpokenWord {
        text: text.to_owned(),
        start: Ticks::from_seconds(start),
        end: Ticks::from_seconds(end),
    };
    let words_of = vec![word("HH", 0.0, 0.5), word("MM", 0.5, 1.0)];
    let highlight = Some(Color { r: 0, g: 0, b: 255, a: 255 });
    let caption = Some(Caption { style, highlight, words: words_of });
    draw_pieces(Text { caption, ..words("HH MM") })
}

#[test]
fn the_pieces_of_a_caption_put_together_are_the_text() {
    let whole = draw_text(words("HH MM"));
    let pieces = caption(CaptionStyle::Color);
    let of = |piece: Piece| &pieces.iter().find(|(known, _)| *known == piece).expect("it is drawn").1;
    let all = of(Piece::Words { first: 0, end: 2 });
    assert_eq!((all.x, all.y, &all.pixels), (whole.x, whole.y, &whole.pixels), "all words are the text");
    let [first, second] = [0, 1].map(|word| of(Piece::Words { first: word, end: word + 1 }));
    let drawn = |pixmap: &TextPixmap| pixels(pixmap).filter(|(_, _, pixel)| pixel[3] > 0).count();
    assert_eq!(drawn(first) + drawn(second), drawn(&whole), "each letter is in one of them");
    assert!(first.x + first.width < second.x, "side by side");
}

#[test]
fn a_spoken_word_is_set_off_in_the_colour_of_the_highlight() {
    let pieces = caption(CaptionStyle::Color);
    let lit = pieces.iter().find(|(piece, _)| *piece == Piece::Lit(1)).expect("it is drawn");
    assert!(count(&lit.1, BLUE) > 100 && count(&lit.1, ORANGE) == 0, "its letters");
    let pieces = caption(CaptionStyle::Box);
    let boxed = pieces.iter().find(|(piece, _)| *piece == Piece::Boxed(0)).expect("it is drawn");
    assert!(count(&boxed.1, BLUE) > 300 && count(&boxed.1, ORANGE) > 100, "what is behind its letters");
    let corner = boxed.1.pixels[3];
    assert_eq!(corner, 0, "whose corners are round");
}
