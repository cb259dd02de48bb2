//! When elements are seen and heard, and which one is in front.

use composition::element::Text;
use proptest::prelude::*;

use super::*;
use crate::sample::{audio, covering, element, film, image, raster_of, seconds, span, video, visual, words};
use crate::scene::{Affine, Rect};

const HD: Picture = Picture {
    width: 1280,
    height: 720,
    orientation: crate::Orientation::UPRIGHT,
    sample_aspect: (1, 1),
    opaque: true,
};

fn clip(end: f64) -> SourceFacts {
    SourceFacts::Video { picture: HD, end: seconds(end), has_sound: true }
}

fn still() -> Option<SourceFacts> {
    Some(SourceFacts::Image(HD))
}

fn stage(composition: &Composition, sources: &[Option<SourceFacts>]) -> Stage {
    Stage::new(composition, sources, None)
}

/// The layers' sources at a time, back to front.
fn sources_at(stage: &Stage, time: f64) -> Vec<LayerSource> {
    stage
        .frame_at_instant(seconds(time))
        .into_scene()
        .expect("one scene")
        .layers
        .iter()
        .map(|layer| layer.source)
        .collect()
}

#[test]
fn of_two_with_one_z_index_the_earlier_is_in_front() {
    let behind = Visual { z_index: -1, ..visual() };
    let elements = vec![image(0.0, 5.0, visual()), image(0.0, 5.0, visual()), image(0.0, 5.0, behind)];
    let order = sources_at(&stage(&film(elements), &[(); 3].map(|()| still())), 1.0);
    let expected = [2, 1, 0].map(|element| LayerSource::Image { element });
    assert_eq!(order, expected, "back to front: the lowest, then the later one, then the earlier one");
}

#[test]
fn an_element_is_seen_from_its_time_until_just_before_its_end() {
    let stage = stage(&film(vec![image(1.0, 2.0, visual())]), &[still()]);
    let seen = |frame| !stage.frame_at(FrameIndex(frame)).into_scene().expect("one scene").layers.is_empty();
    let table = [(29, false), (30, true), (89, true), (90, false)];
    for (frame, visible) in table {
        assert_eq!(seen(frame), visible, "frame {frame}");
    }
}

#[test]
fn a_hidden_element_is_neither_seen_nor_heard() {
    let mut hidden = video(0.0, span());
    hidden.visible = false;
    let stage = stage(&film(vec![hidden]), &[Some(clip(5.0))]);
    assert!(sources_at(&stage, 1.0).is_empty(), "not seen");
    assert!(stage.sound().is_empty(), "not heard");
}

#[test]
fn a_video_plays_its_part_at_its_speed() {
    let part = Span { in_point: seconds(2.0), speed: 2.0, ..span() };
    let stage = stage(&film(vec![video(1.0, part)]), &[Some(clip(8.0))]);
    let expected = LayerSource::Video { element: 0, time: seconds(5.0) };
    assert_eq!(sources_at(&stage, 2.5), [expected], "1.5 s at double speed after 2 s");
    assert!(sources_at(&stage, 4.0).is_empty(), "6 s of source last 3 s");
}

#[test]
fn an_out_point_beyond_the_source_keeps_the_video_on() {
    let part = Span { out_point: Some(seconds(9.0)), ..span() };
    let stage = stage(&film(vec![video(0.0, part)]), &[Some(clip(4.0))]);
    assert_eq!(
        sources_at(&stage, 8.0),
        [LayerSource::Video { element: 0, time: seconds(8.0) }],
        "its last frame holds"
    );
}

#[test]
fn what_cannot_be_seen_is_no_layer() {
    let clear = Visual { opacity: 0.0.into(), ..visual() };
    let outside = Visual { x: composition::Length::Pixels(-2000.0).into(), ..visual() };
    let elements = vec![image(0.0, 5.0, clear), image(0.0, 5.0, outside), image(0.0, 5.0, visual())];
    let stage = stage(&film(elements), &[still(), still(), None]);
    assert!(sources_at(&stage, 1.0).is_empty(), "transparent, outside, without a source");
}

#[test]
fn a_blurred_picture_just_outside_still_shines_in() {
    let mut outside = image(0.0, 5.0, Visual { x: composition::Length::Pixels(-660.0).into(), ..visual() });
    if let ElementKind::Image(image) = &mut outside.kind {
        image.blur = 100.0.into();
    }
    let scene =
        stage(&film(vec![outside]), &[still()]).frame_at(FrameIndex(0)).into_scene().expect("one scene");
    let blur = scene.layers[0].blur.expect("it is blurred");
    assert_eq!((blur.sigma, blur.along_u, blur.along_v), (36.0, 1280.0, 720.0), "5 % of 720 lines");
    assert!(
        blur.repeat.left && blur.repeat.top && blur.repeat.bottom,
        "these sides are at or beyond the edge"
    );
    assert!(blur.repeat.right, "and so is the right one, 20 px to the left of the canvas");
}

#[test]
fn the_background_image_covers_the_canvas_behind_all() {
    let composition = film(vec![image(0.0, 5.0, Visual { z_index: -100, ..visual() })]);
    let scene = Stage::new(&composition, &[still()], Some(Picture::upright(720, 720)))
        .frame_at(FrameIndex(0))
        .into_scene()
        .expect("one scene");
    assert_eq!(scene.layers[0].source, LayerSource::BackgroundImage, "at the very back");
    assert_eq!(scene.layers[0].transform, Affine::scaling(1280.0, 720.0), "over the whole canvas");
    assert_eq!(
        scene.layers[0].source_rect,
        Rect { x: 0.0, y: 157.5, width: 720.0, height: 405.0 },
        "cut to its shape"
    );
}

#[test]
fn the_duration_is_stated_derived_probed_or_ten_seconds() {
    let open = || video(1.0, span());
    let closed = || video(1.0, Span { out_point: Some(seconds(3.0)), ..span() });
    let photo = || image(2.0, 5.0, visual());
    let clip = || Some(clip(30.0));
    let lasting = |duration: Option<f64>, elements: Vec<Element>, sources: &[Option<SourceFacts>]| {
        let composition = Composition { duration: duration.map(seconds), ..film(elements) };
        stage(&composition, sources).duration()
    };
    let table = [
        (lasting(Some(4.0), vec![photo()], &[still()]), 4.0, "the document says so"),
        (
            lasting(None, vec![photo(), open()], &[still(), clip()]),
            7.0,
            "a video without out_point does not count",
        ),
        (lasting(None, vec![closed(), open()], &[clip(), clip()]), 4.0, "one with out_point does"),
        (lasting(None, vec![open()], &[clip()]), 31.0, "nothing else: the source's end"),
        (lasting(None, vec![], &[]), 10.0, "nothing at all"),
    ];
    for (duration, expected, why) in table {
        assert_eq!(duration, seconds(expected), "{why}");
    }
}

#[test]
fn sound_is_cut_at_the_films_end_but_fades_to_its_own() {
    let part = Span { in_point: seconds(1.0), volume: 0.5, fade_out: seconds(2.0), ..span() };
    let silent = Span { volume: 0.0, ..span() };
    let elements = vec![audio(4.0, part), video(0.0, silent), audio(11.0, span())];
    let sound = || Some(SourceFacts::Sound { end: seconds(13.0) });
    let stage = stage(&film(elements), &[sound(), Some(clip(5.0)), sound()]);
    let [heard] = stage.sound() else { panic!("silent and late ones are left out: {:?}", stage.sound()) };
    assert_eq!(
        (heard.start, heard.length, heard.heard),
        (seconds(4.0), seconds(12.0), seconds(6.0)),
        "times"
    );
    assert_eq!(
        (heard.in_point, heard.volume, heard.fade_out),
        (seconds(1.0), 0.5, seconds(2.0)),
        "and the rest"
    );
}

#[test]
fn a_part_knows_which_source_times_it_needs() {
    let elements = vec![video(0.0, span()), video(2.0, Span { in_point: seconds(5.0), ..span() })];
    let stage = stage(&film(elements), &[Some(clip(1.0)), Some(clip(8.0))]);
    let uses = stage.videos_in(FrameIndex(45)..FrameIndex(75));
    let expected = VideoUse { element: 1, first: seconds(5.0), last: seconds(5.0) + seconds(14.0 / 30.0) };
    assert_eq!(uses, [expected], "the first one has ended before");
}

#[test]
fn a_still_shows_the_middle_unless_asked() {
    let stage = stage(&film(vec![]), &[]);
    assert_eq!(stage.still_instant(None), seconds(5.0), "half of 10 s");
    assert_eq!(stage.still_instant(Some(seconds(3.0))), seconds(3.0), "what was asked for");
    assert_eq!(
        stage.still_instant(Some(seconds(30.0))),
        Ticks(seconds(10.0).0 - 1),
        "but never after the end"
    );
}

#[test]
fn a_picture_that_is_shown_larger_than_it_is_is_known() {
    let shown = |more: Visual| stage(&film(vec![image(0.0, 4.0, more)]), &[still()]).magnification(0);
    assert_eq!(shown(visual()), Some(1.0), "1280 × 720 on a canvas of that size");
    let twice = Visual { x_scale: 2.0.into(), y_scale: 2.0.into(), z_rotation: 90.0.into(), ..visual() };
    assert_eq!(shown(twice), Some(2.0));
    assert_eq!(shown(Visual { opacity: 0.0.into(), ..visual() }), None, "nobody sees it");
    let text = text_stage(words("x"), Rect::of_size(20.0, 10.0));
    assert_eq!(text.magnification(0), None, "letters have no pixels of their own");
}

fn text_stage(text: Text, ink: Rect) -> Stage {
    stage(&film(vec![element(0.0, ElementKind::Text(text))]), &[Some(covering(ink))])
}

#[test]
fn text_is_a_plain_copy_of_its_pixmap() {
    let ink = Rect { x: 100.25, y: 50.5, width: 20.0, height: 10.0 };
    let stage = text_stage(words("x"), ink);
    let raster = raster_of(&stage).expect("it is seen");
    assert_eq!(
        (raster.x, raster.y, raster.width, raster.height),
        (99, 49, 23, 13),
        "whole pixels and one around"
    );
    let layer = &stage.frame_at(FrameIndex(0)).into_scene().expect("one scene").layers[0];
    let expected = Affine { a: 23.0, b: 0.0, c: 0.0, d: 13.0, e: 99.0, f: 49.0 };
    assert_eq!((layer.transform, layer.source_rect), (expected, Rect::of_size(23.0, 13.0)), "pixel by pixel");
}

#[test]
fn unscaled_text_stands_on_whole_pixels() {
    let text =
        Text { visual: Visual { x: composition::Length::Pixels(640.6).into(), ..visual() }, ..words("x") };
    let raster = raster_of(&text_stage(text, Rect::of_size(20.0, 10.0))).expect("it is seen");
    assert_eq!(raster.to_canvas, Affine::translation(1.0, 0.0), "0.6 px to the right become one");
}

#[test]
fn scaled_text_is_drawn_at_its_scale_and_cut_at_the_canvas() {
    let ink = Rect { x: 630.0, y: 350.0, width: 20.0, height: 20.0 };
    let scaled = |x_scale: f64| {
        let text = Text { visual: Visual { x_scale: x_scale.into(), ..visual() }, ..words("x") };
        raster_of(&text_stage(text, ink)).expect("it is seen")
    };
    let raster = scaled(2.0);
    assert_eq!(
        (raster.x, raster.width, raster.to_canvas.a),
        (619, 42, 2.0),
        "twice as wide about the middle"
    );
    let raster = scaled(1000.0);
    assert_eq!((raster.x, raster.width), (0, 1280), "never wider than the canvas");
}

proptest! {
    #[test]
    fn every_frame_agrees_with_the_rule_of_visibility(start in 0.0..9.0f64, length in 0.01..9.0f64, frame in 0u64..300) {
        let stage = stage(&film(vec![image(start, length, visual())]), &[still()]);
        let instant = FrameRate::new(30, 1).expect("a valid rate").instant(FrameIndex(frame));
        let expected = seconds(start) <= instant && instant < seconds(start) + seconds(length);
        prop_assert_eq!(!stage.frame_at(FrameIndex(frame)).into_scene().expect("one scene").layers.is_empty(), expected);
    }
}
