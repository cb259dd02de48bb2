//! Captions instant by instant, seen through the stage: which pieces are painted, where, and how much of them.

use composition::caption::SpokenWord;
use composition::element::ElementKind;
use composition::{Color, Curve, Easing};
use proptest::prelude::*;

use super::*;
use crate::sample::{course, element, film, seconds, words};
use crate::text::WordInk;
use crate::{Frame, SourceFacts, Stage};

/// Words of 40 px side by side, each 26 px wide; word `n` is spoken in second `n + 1` of the film.
fn staged(count: usize, style: CaptionStyle, highlight: Option<Color>, opacity: Curve<f64>) -> Stage {
    let word = |at: usize| {
        let start = seconds(1.0 + at as f64);
        SpokenWord { text: "x".to_owned(), start, end: start + seconds(1.0) }
    };
    let ink = |at: usize| {
        let glyphs = Rect { x: 10.0 + 30.0 * at as f64, y: 340.0, width: 26.0, height: 30.0 };
        WordInk { glyphs, boxes: vec![(0, glyphs.outset(5.0))] }
    };
    let caption = Caption { style, highlight, words: (0..count).map(word).collect() };
    let mut text = Text { caption: Some(caption), duration: seconds(9.0), ..words("x") };
    text.visual.opacity = opacity;
    let nothing = Rect::of_size(0.0, 0.0);
    let ink = TextInk { plate: nothing, rest: nothing, words: (0..count).map(ink).collect() };
    let facts = SourceFacts::Text { ink: Arc::new(ink) };
    Stage::new(&film(vec![element(0.0, ElementKind::Text(text))]), &[Some(facts)], None)
}

fn plain(count: usize, style: CaptionStyle) -> Stage {
    staged(count, style, None, 1.0.into())
}

fn frame_at(stage: &Stage, time: f64) -> Frame {
    stage.frame_at_instant(seconds(time))
}

fn layers_at(stage: &Stage, time: f64) -> Vec<Layer> {
    frame_at(stage, time).into_scene().expect("one scene").layers
}

fn pieces_at(stage: &Stage, time: f64) -> Vec<Piece> {
    let piece = |layer: &Layer| match layer.source {
        LayerSource::Text { piece, .. } => piece,
        other => panic!("{other:?} is no text"),
    };
    layers_at(stage, time).iter().map(piece).collect()
}

fn some(first: u32, end: u32) -> Piece {
    Piece::Words { first, end }
}

const YELLOW: Color = Color { r: 255, g: 220, b: 0, a: 255 };

#[test]
fn one_word_is_set_off_while_it_is_spoken_and_the_others_stay() {
    let coloured = plain(3, CaptionStyle::Color);
    assert_eq!(pieces_at(&coloured, 0.5), [some(0, 3)], "nobody speaks: one layer");
    assert_eq!(pieces_at(&coloured, 1.0), [Piece::Lit(0), some(1, 2), some(2, 3)], "from its start on");
    assert_eq!(pieces_at(&coloured, 2.5), [some(0, 1), Piece::Lit(1), some(2, 3)]);
    assert_eq!(pieces_at(&coloured, 4.0), [some(0, 3)], "before its end");
    let boxed = plain(2, CaptionStyle::Box);
    assert_eq!(pieces_at(&boxed, 2.5), [some(0, 1), Piece::Boxed(1)]);
}

#[test]
fn a_shining_word_has_two_halos_behind_it() {
    let stage = plain(2, CaptionStyle::Glow);
    assert_eq!(pieces_at(&stage, 1.5), [Piece::Shape(0), Piece::Shape(0), some(0, 1), some(1, 2)]);
    let sigmas: Vec<_> =
        layers_at(&stage, 1.5).iter().filter_map(|layer| layer.blur.map(|blur| blur.sigma)).collect();
    assert_eq!(sigmas, GLOW.map(|ems| ems * 40.0));
}

#[test]
fn a_long_text_is_painted_by_the_block() {
    let stage = plain(40, CaptionStyle::Color);
    assert_eq!(pieces_at(&stage, 0.5), [some(0, 16), some(16, 32), some(32, 40)]);
    let one_spoken = pieces_at(&stage, 1.5);
    assert_eq!(one_spoken.len(), 16 + 2, "only the block of the spoken word is taken apart: {one_spoken:?}");
}

/// The middle and the width of a layer on the canvas; rasters have a pixel around.
fn middle(layer: &Layer) -> (f64, f64, f64) {
    let shown = layer.transform.bounds_of(Rect::of_size(1.0, 1.0));
    (shown.x + shown.width / 2.0, shown.y + shown.height / 2.0, shown.width)
}

#[test]
fn a_popping_word_grows_about_its_middle_and_comes_back() {
    let stage = plain(2, CaptionStyle::ScalePop);
    let at_rest = middle(&layers_at(&plain(1, CaptionStyle::ScalePop), 0.5)[0]);
    let (mut largest, mut last) = (0.0f64, 0.0);
    for hundredth in 101..200 {
        let layers = layers_at(&stage, f64::from(hundredth) / 100.0);
        let (x, y, width) = middle(&layers[0]);
        assert!((x - at_rest.0).abs() < 1.5 && (y - at_rest.1).abs() < 1.5, "it keeps its place: {x} {y}");
        largest = largest.max(width);
        last = width;
    }
    assert!((largest / at_rest.2 - POP_PEAK).abs() < 0.04, "up to its peak: {largest}");
    assert!((last / at_rest.2 - POP).abs() < 0.04, "then less: {last}");
    assert_eq!(pieces_at(&stage, 3.2), [some(0, 2)], "and back when it is over");
    assert_eq!(pop(&(seconds(1.0)..seconds(2.0)), seconds(1.0)), 1.0, "from its own size on");
}

#[test]
fn entering_words_come_when_they_are_spoken_and_stay() {
    for (style, from) in [(CaptionStyle::SlideUp, (0.0, 24.0)), (CaptionStyle::FlyIn, (100.0, 0.0))] {
        let stage = plain(2, style);
        assert_eq!(pieces_at(&stage, 0.5), [], "{style:?}: nothing before the first word");
        let (early, late) = (&layers_at(&stage, 1.001)[0], &layers_at(&stage, 1.9)[0]);
        assert!(early.opacity < 0.1 && late.opacity == 1.0, "{style:?}: it fades in");
        let (start, end) = (middle(early), middle(late));
        let moved = (start.0 - end.0, start.1 - end.1);
        let near = |a: f64, b: f64| (a - b).abs() < 2.5;
        assert!(near(moved.0, from.0) && near(moved.1, from.1), "{style:?}: from {moved:?}");
        assert_eq!(pieces_at(&stage, 1.9), [some(0, 1)], "{style:?}: the second has not come");
        assert_eq!(pieces_at(&stage, 8.0), [some(0, 2)], "{style:?}: all stay");
    }
}

#[test]
fn words_that_move_are_coloured_too_where_a_colour_is_given() {
    for style in [CaptionStyle::ScalePop, CaptionStyle::SlideUp, CaptionStyle::FlyIn] {
        let stage = staged(1, style, Some(YELLOW), 1.0.into());
        assert_eq!(pieces_at(&stage, 1.5), [Piece::Lit(0)], "{style:?}: while it is spoken");
        assert_eq!(pieces_at(&stage, 2.5), [some(0, 1)], "{style:?}: and not after");
    }
}

#[test]
fn a_caption_fades_as_one_picture() {
    let fading = course(&[(0.0, 0.0), (4.0, 1.0)], Easing::Linear);
    let stage = staged(2, CaptionStyle::Glow, None, fading);
    let frame = frame_at(&stage, 1.0);
    let shares: Vec<f64> = frame.steps[0].parts.iter().map(|part| part.share).collect();
    assert_eq!(shares, [0.25, 0.75], "halos and letters together, and the rest of nothing");
    assert!(frame.steps[0].parts[0].scene.layers.iter().all(|layer| layer.opacity == 1.0));
    assert_eq!(layers_at(&stage, 0.0).len(), 0, "transparent is no layer");
}

proptest! {
    #[test]
    fn every_word_is_painted_once_at_every_instant(time in 0.0..9.0f64, style in 0usize..6) {
        use CaptionStyle::{Box, Color, FlyIn, Glow, ScalePop, SlideUp};
        let style = [Glow, Box, ScalePop, SlideUp, FlyIn, Color][style];
        let stage = plain(7, style);
        let comes = |word: u32| !matches!(style, SlideUp | FlyIn) || time >= 1.0 + f64::from(word);
        let pieces = pieces_at(&stage, time);
        for word in 0..7 {
            let shown = pieces.iter().filter(|piece| !matches!(piece, Piece::Shape(_)) && piece.shows(Some(word)));
            // At the very start of its way a word is transparent still.
            let starts = (time - 1.0 - f64::from(word)).abs() < 1e-4;
            prop_assert!(starts || shown.count() == usize::from(comes(word)), "word {word} in {pieces:?}");
        }
    }
}
