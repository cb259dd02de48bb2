//! Elements with keyframes, instant by instant, seen through the stage.

use composition::element::{Element, ElementKind, Text};
use composition::{Easing, FrameIndex, Length};
use proptest::prelude::*;

use super::*;
use crate::sample::{
    CANVAS, course, covering, element, film, image, raster_of, seconds, span, video, visual, words,
};
use crate::scene::Affine;
use crate::{SourceFacts, Stage};

const HD: Picture = Picture {
    width: 1280,
    height: 720,
    orientation: crate::Orientation::UPRIGHT,
    sample_aspect: (1, 1),
    opaque: true,
};
const INK: Rect = Rect { x: 600.25, y: 340.5, width: 80.0, height: 30.0 };

fn linear(points: &[(f64, f64)]) -> Curve<f64> {
    course(points, Easing::Linear)
}

fn pixels(points: &[(f64, f64)]) -> Curve<Length> {
    let points: Vec<_> = points.iter().map(|(time, value)| (*time, Length::Pixels(*value))).collect();
    course(&points, Easing::Linear)
}

/// A film of one element.
fn staged(element: Element) -> Stage {
    let facts = match &element.kind {
        ElementKind::Text(_) => covering(INK),
        ElementKind::Image(_) => SourceFacts::Image(HD),
        ElementKind::Video(_) | ElementKind::Audio(_) => {
            SourceFacts::Video { picture: HD, end: seconds(10.0), has_sound: true }
        }
    };
    Stage::new(&film(vec![element]), &[Some(facts)], None)
}

/// An image from second 1 to 9.
fn picture(visual: Visual) -> Stage {
    staged(image(1.0, 8.0, visual))
}

/// Words from second 1 to 9.
fn lettering(visual: Visual) -> Stage {
    let text = Text { visual, duration: seconds(8.0), ..words("x") };
    staged(element(1.0, ElementKind::Text(text)))
}

fn layer_at(stage: &Stage, time: f64) -> Option<Layer> {
    stage.frame_at_instant(seconds(time)).into_scene().expect("one scene").layers.pop()
}

#[track_caller]
fn seen_at(stage: &Stage, time: f64) -> Layer {
    layer_at(stage, time).unwrap_or_else(|| panic!("nothing is seen at {time} s"))
}

/// Where the text's box lies on the canvas: through its pixmap and the layer.
#[track_caller]
fn lies_at(stage: &Stage, time: f64) -> Affine {
    let raster = raster_of(stage).expect("it is drawn");
    let to_square = Affine::translation(-f64::from(raster.x), -f64::from(raster.y))
        .then(Affine::scaling(1.0 / f64::from(raster.width), 1.0 / f64::from(raster.height)));
    raster.to_canvas.then(to_square).then(seen_at(stage, time).transform)
}

#[track_caller]
fn same_map(left: Affine, right: Affine, why: &str) {
    let numbers = |map: Affine| [map.a, map.b, map.c, map.d, map.e, map.f];
    let far = numbers(left).iter().zip(numbers(right)).any(|(left, right)| (left - right).abs() > 1e-4);
    assert!(!far, "{why}: {left:?} is not {right:?}");
}

/// Whether the layer's pixels are canvas pixels.
fn is_copy(layer: &Layer) -> bool {
    let (map, rect) = (layer.transform, layer.source_rect);
    (map.a, map.b, map.c, map.d) == (rect.width, 0.0, 0.0, rect.height)
        && map.e.fract() == 0.0
        && map.f.fract() == 0.0
}

#[test]
fn a_slow_zoom_grows_evenly_about_the_middle() {
    let scale = linear(&[(1.0, 1.0), (9.0, 1.5)]);
    let stage = picture(Visual { x_scale: scale.clone(), y_scale: scale, ..visual() });
    let table = [(1.0, 1.0), (3.0, 1.125), (5.0, 1.25), (7.0, 1.375)];
    for (time, scale) in table {
        let layer = seen_at(&stage, time);
        let (width, height) = (1280.0 * scale, 720.0 * scale);
        let expected = Affine::scaling(width, height)
            .then(Affine::translation((1280.0 - width) / 2.0, (720.0 - height) / 2.0));
        assert_eq!(layer.transform, expected, "at {time} s");
        assert_eq!(layer.source_rect, Rect::of_size(1280.0, 720.0), "all of it, at {time} s");
    }
    assert_eq!(layer_at(&stage, 9.0), None, "and ends with its element");
}

#[test]
fn a_fade_in_and_out_is_a_course_of_opacities_and_nothing_where_it_is_0() {
    let stage =
        picture(Visual { opacity: linear(&[(1.0, 0.0), (2.0, 1.0), (8.0, 1.0), (9.0, 0.0)]), ..visual() });
    let opacity = |time| layer_at(&stage, time).map(|layer| layer.opacity);
    assert_eq!(opacity(1.0), None, "transparent is no layer");
    assert_eq!(opacity(1.5), Some(0.5), "half way in");
    assert_eq!(opacity(5.0), Some(1.0), "opaque");
    assert_eq!(opacity(8.75), Some(0.25), "nearly out");
    let still = picture(visual());
    assert_eq!(seen_at(&stage, 5.0), seen_at(&still, 5.0), "opaque is exactly as without keyframes");
}

#[test]
fn keyframes_count_from_the_films_start_not_the_elements() {
    let stage = staged(image(3.0, 4.0, Visual { opacity: linear(&[(0.0, 0.0), (4.0, 1.0)]), ..visual() }));
    assert_eq!(seen_at(&stage, 3.0).opacity, 0.75, "three of four seconds are over when it appears");
}

#[test]
fn an_overshooting_easing_stays_in_the_fields_range() {
    let back = Easing::Bezier { x1: 0.3, y1: -2.0, x2: 0.7, y2: 3.0 };
    let mut element =
        image(0.0, 9.0, Visual { opacity: course(&[(0.0, 0.5), (8.0, 1.0)], back), ..visual() });
    if let ElementKind::Image(image) = &mut element.kind {
        image.blur = course(&[(0.0, 90.0), (8.0, 100.0)], back);
    }
    let stage = staged(element);
    let strongest = 0.05 * 720.0;
    for step in 0..80 {
        if let Some(Layer { opacity, blur, .. }) = layer_at(&stage, f64::from(step) / 10.0) {
            assert!(opacity > 0.0 && opacity <= 1.0, "opacity {opacity}");
            assert!(blur.is_none_or(|blur| blur.sigma <= strongest), "{blur:?}");
        }
    }
    assert_eq!(seen_at(&stage, 6.5).opacity, 1.0, "where the curve is beyond");
    assert_eq!(
        seen_at(&stage, 6.5).blur.map(|blur| blur.sigma),
        Some(strongest),
        "where the curve is beyond"
    );
}

#[test]
fn a_picture_turns_moves_and_blurs_at_once() {
    let moving = Visual {
        x: pixels(&[(1.0, 640.0), (5.0, 840.0)]),
        y: course(&[(1.0, Length::Percent(50.0)), (5.0, Length::Percent(100.0))], Easing::Hold),
        z_rotation: linear(&[(1.0, 0.0), (5.0, 180.0)]),
        ..visual()
    };
    let mut element = image(1.0, 8.0, moving);
    if let ElementKind::Image(image) = &mut element.kind {
        image.blur = linear(&[(1.0, 0.0), (5.0, 100.0)]);
    }
    let stage = staged(element);
    assert_eq!(seen_at(&stage, 1.0).blur, None, "no blur at first");
    let half = seen_at(&stage, 3.0);
    assert_eq!(half.transform.apply(0.5, 0.5), (740.0, 360.0), "half way right, y is held");
    assert_eq!(half.transform.apply(1.0, 0.5), (740.0, 1000.0), "a quarter turn: right is down");
    assert_eq!(half.blur.map(|blur| blur.sigma), Some(18.0), "half as strong as 5 % of 720 lines");
    let end = seen_at(&stage, 6.0);
    assert_eq!(end.transform.apply(0.5, 0.5), (840.0, 720.0), "y has jumped");
    assert_eq!(end.transform.apply(1.0, 0.5), (200.0, 720.0), "upside down");
}

#[test]
fn a_picture_is_no_layer_while_it_is_off_the_canvas_or_without_area() {
    let stage = picture(Visual { x: pixels(&[(1.0, -700.0), (3.0, 640.0)]), ..visual() });
    assert_eq!(layer_at(&stage, 1.0), None, "left of the canvas");
    assert!(layer_at(&stage, 2.0).is_some(), "on its way in");
    let stage = picture(Visual { x_scale: linear(&[(1.0, 0.0), (3.0, 1.0)]), ..visual() });
    assert_eq!(layer_at(&stage, 1.0), None, "without width");
    assert!(layer_at(&stage, 1.5).is_some(), "with some");
}

#[test]
fn a_moving_video_plays_on_as_a_still_one_does() {
    let mut moving = video(2.0, composition::element::Span { in_point: seconds(1.0), ..span() });
    let still = staged(moving.clone());
    if let ElementKind::Video(video) = &mut moving.kind {
        video.visual.opacity = linear(&[(2.0, 0.0), (3.0, 1.0)]);
    }
    let stage = staged(moving);
    assert_eq!(seen_at(&stage, 5.0), seen_at(&still, 5.0), "picture and source time");
    let frames = || FrameIndex(60)..FrameIndex(90);
    assert_eq!(stage.videos_in(frames()), still.videos_in(frames()), "what a part needs, transparent or not");
    assert_eq!(stage.sound(), still.sound(), "the sound");
}

#[test]
fn keyframes_do_not_change_the_order() {
    let fading = Visual { opacity: linear(&[(0.0, 0.0), (1.0, 1.0)]), ..visual() };
    let elements = vec![image(0.0, 9.0, visual()), image(0.0, 9.0, fading), image(0.0, 9.0, visual())];
    let stage = Stage::new(&film(elements), &[(); 3].map(|()| Some(SourceFacts::Image(HD))), None);
    let order = |time| {
        let layers = stage.frame_at_instant(seconds(time)).into_scene().expect("one scene").layers;
        layers.into_iter().map(|layer| layer.source).collect::<Vec<_>>()
    };
    let images =
        |indices: &[usize]| indices.iter().map(|&element| LayerSource::Image { element }).collect::<Vec<_>>();
    assert_eq!(order(0.0), images(&[2, 0]), "the transparent one is left out");
    assert_eq!(order(0.5), images(&[2, 1, 0]), "and comes back in its place");
}

#[test]
fn fading_text_is_the_same_plain_copy_as_still_text() {
    let (still, fading) =
        (lettering(visual()), lettering(Visual { opacity: linear(&[(1.0, 0.0), (3.0, 1.0)]), ..visual() }));
    assert_eq!(raster_of(&fading), raster_of(&still), "drawn alike");
    assert_eq!(seen_at(&fading, 2.0), Layer { opacity: 0.5, ..seen_at(&still, 2.0) }, "and shown alike");
    assert_eq!(layer_at(&fading, 1.0), None, "transparent at first");
}

#[test]
fn text_that_slides_in_rests_exactly_where_still_text_would_stand() {
    // Neither place is on a whole pixel.
    let rest = 640.6;
    let sliding = lettering(Visual { x: pixels(&[(1.0, -100.0), (2.0, rest)]), ..visual() });
    let still = lettering(Visual { x: Length::Pixels(rest).into(), ..visual() });
    assert!(is_copy(&seen_at(&sliding, 5.0)), "at rest its pixels are canvas pixels");
    same_map(lies_at(&sliding, 5.0), lies_at(&still, 5.0), "at rest");
    assert_eq!(layer_at(&sliding, 1.0), None, "off the canvas at first");
    let x = |time| seen_at(&sliding, time).transform.e;
    assert!((x(1.75) - x(1.5) - 0.25 * (rest + 100.0)).abs() < 1e-6, "smoothly on its way");
}

#[test]
fn text_is_sharpest_where_it_rests_longest() {
    let points = [(1.0, -100.0), (2.0, 300.4), (3.0, 300.4), (4.0, 640.7), (7.0, 640.7), (8.0, 2000.0)];
    let stage = lettering(Visual { x: pixels(&points), ..visual() });
    assert!(is_copy(&seen_at(&stage, 5.0)), "three seconds here");
    assert!(!is_copy(&seen_at(&stage, 2.5)), "one second there");
    let held = [(1.0, 300.4), (3.0, 640.7), (8.0, 100.2)].map(|(time, x)| (time, Length::Pixels(x)));
    let jumping = lettering(Visual { x: course(&held, Easing::Hold), ..visual() });
    assert!(is_copy(&seen_at(&jumping, 7.0)), "held values rest until they jump");
}

#[test]
fn text_that_moves_by_whole_pixels_stays_a_copy() {
    let stage = lettering(Visual { y: pixels(&[(1.0, 300.0), (9.0, 540.0)]), ..visual() });
    for frame in [30, 31, 100, 200, 269] {
        let layer = stage
            .frame_at(FrameIndex(frame))
            .into_scene()
            .expect("one scene")
            .layers
            .pop()
            .expect("it is seen");
        assert!(is_copy(&layer), "one pixel a frame, frame {frame}: {layer}");
    }
}

#[test]
fn zooming_text_is_drawn_once_as_large_as_it_becomes() {
    let scale = linear(&[(1.0, 1.0), (5.0, 3.0), (9.0, 2.0), (60.0, 100.0)]);
    let stage = lettering(Visual { x_scale: scale.clone(), y_scale: scale, ..visual() });
    let raster = raster_of(&stage).expect("it is drawn");
    // From second 9 on it would be larger, but is not seen any more.
    assert_eq!((raster.to_canvas.a, raster.to_canvas.d), (3.0, 3.0), "at its largest while it is seen");
    assert_eq!((raster.x, raster.y), (0, 0), "on a sheet of its own");
    let width = f64::from(raster.width);
    assert!((seen_at(&stage, 1.0).transform.a * 3.0 - width).abs() < 1e-5, "a third of it at first");
    assert!((seen_at(&stage, 5.0).transform.a - width).abs() < 1e-5, "all of it in the middle");
}

#[test]
fn turning_text_is_drawn_upright() {
    let stage = lettering(Visual { z_rotation: linear(&[(1.0, 30.0), (9.0, 120.0)]), ..visual() });
    let Affine { a, b, c, d, .. } = raster_of(&stage).expect("it is drawn").to_canvas;
    assert_eq!((a, b, c, d), (1.0, 0.0, 0.0, 1.0), "whatever its turn");
    let tilted =
        lettering(Visual { z_rotation: 90.0.into(), x: pixels(&[(1.0, 0.0), (9.0, 640.0)]), ..visual() });
    let Affine { a, b, .. } = raster_of(&tilted).expect("it is drawn").to_canvas;
    assert_eq!((a, b), (0.0, 1.0), "a turn that stays is drawn in");
}

#[test]
fn the_sheet_of_moving_text_has_bounds() {
    let scale = linear(&[(1.0, 1.0), (9.0, 2000.0)]);
    let stage = lettering(Visual { x_scale: scale.clone(), y_scale: scale, ..visual() });
    let raster = raster_of(&stage).expect("it is drawn");
    let pixels = u64::from(raster.width) * u64::from(raster.height);
    assert!(raster.width <= 8192 && raster.height <= 8192, "{raster:?}");
    assert!(
        (3_000_000..=4 * 1280 * 720 + 60_000).contains(&pixels),
        "as large as it may be: {pixels} pixels"
    );
    let expected = Affine::translation(-640.0, -360.0)
        .then(Affine::scaling(1000.5, 1000.5))
        .then(Affine::translation(640.0, 360.0));
    let (shown, wanted) = (lies_at(&stage, 5.0).bounds_of(INK), expected.bounds_of(INK));
    assert!((shown.width / wanted.width - 1.0).abs() < 1e-6, "it is magnified to its size");
    let ticker = Rect { width: 30_000.0, ..INK };
    let text =
        Text { visual: Visual { x: self::pixels(&[(1.0, 0.0), (9.0, -9000.0)]), ..visual() }, ..words("x") };
    let facts = covering(ticker);
    let stage = Stage::new(&film(vec![element(0.0, ElementKind::Text(text))]), &[Some(facts)], None);
    assert!(raster_of(&stage).is_some_and(|raster| raster.width <= 8192), "a long line too");
}

#[test]
fn an_element_without_keyframes_is_worked_out_beforehand() {
    let show = |visual, blur| Show {
        canvas: CANVAS,
        source: LayerSource::BackgroundImage,
        picture: HD,
        visual,
        crop: UNCROPPED,
        blur,
    };
    let still = Look::of_picture(show(visual(), 3.0.into()));
    assert!(matches!(still, Some(Look::Still(_))), "{still:?}");
    let blurring = Look::of_picture(show(visual(), linear(&[(0.0, 1.0), (1.0, 2.0)])));
    assert!(matches!(blurring, Some(Look::Picture(_))), "{blurring:?}");
}

proptest! {
    #[test]
    fn moving_text_lies_at_every_instant_where_still_text_would(
        (x, y, scale, turn) in (200.0..1000.0f64, 200.0..500.0f64, 0.2..4.0f64, -200.0..200.0f64),
        (time, flipped) in (1.0..9.0f64, any::<bool>()),
    ) {
        let base = Visual { flip_horizontal: flipped, x_anchor: Length::Pixels(650.0), ..visual() };
        let moving = Visual {
            x: pixels(&[(1.0, x), (9.0, 640.0)]), y: pixels(&[(2.0, y), (8.0, 400.0)]),
            x_scale: linear(&[(1.0, scale), (7.0, 1.5)]), y_scale: linear(&[(3.0, 1.0), (9.0, scale)]),
            z_rotation: linear(&[(0.0, turn), (9.0, 0.0)]), ..base.clone()
        };
        let pose = Pose::at(&moving, CANVAS, seconds(time));
        let expected = Boxed::new(&base, &pose, CANVAS).to_canvas;
        let stage = lettering(moving);
        prop_assume!(layer_at(&stage, time).is_some());
        let shown = lies_at(&stage, time);
        for corner in [(INK.x, INK.y), (INK.right(), INK.y), (INK.x, INK.bottom())] {
            let (shown, expected) = (shown.apply(corner.0, corner.1), expected.apply(corner.0, corner.1));
            let off = (shown.0 - expected.0).hypot(shown.1 - expected.1);
            prop_assert!(off < 1e-3, "{off} px off");
        }
    }

    #[test]
    fn the_order_of_asking_changes_nothing(times in prop::collection::vec(0.0..10.0f64, 1..20)) {
        let scale = course(&[(1.0, 1.0), (9.0, 1.5)], Easing::EASE_IN_OUT);
        let stage = picture(Visual { x_scale: scale.clone(), opacity: scale.map(|value| value / 2.0), ..visual() });
        let asked: Vec<_> = times.iter().map(|time| layer_at(&stage, *time)).collect();
        let mut again: Vec<_> = times.iter().rev().map(|time| layer_at(&stage, *time)).collect();
        again.reverse();
        prop_assert_eq!(asked, again);
    }
}
