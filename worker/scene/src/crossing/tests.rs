//! Crossings, instant by instant, seen through the stage.

use composition::element::{Element, Span};
use composition::{Color, Composition, Fit, Length, Ticks, Transition, TransitionKind, Visual};
use proptest::prelude::*;

use super::*;
use crate::sample::{CANVAS, audio, covering, element, film, image, seconds, span, video, visual, words};
use crate::scene::{Blur, Scene};
use crate::{Frame, Picture, SourceFacts, Stage};

const WIDE: Picture = Picture {
    width: 1280,
    height: 720,
    orientation: crate::Orientation::UPRIGHT,
    sample_aspect: (1, 1),
    opaque: true,
};

fn transition(kind: TransitionKind, from: usize, to: usize, duration: f64) -> Transition {
    let path = "/transitions/0".to_owned();
    Transition { path, kind, from, to, duration: seconds(duration), z_index: None }
}

fn dissolve(from: usize, to: usize, duration: f64) -> Transition {
    transition(TransitionKind::CrossDissolve, from, to, duration)
}

fn clip(end: f64) -> SourceFacts {
    SourceFacts::Video { picture: WIDE, end: seconds(end), has_sound: true }
}

fn staged(elements: Vec<Element>, facts: &[SourceFacts], transitions: Vec<Transition>) -> Stage {
    let facts: Vec<_> = facts.iter().cloned().map(Some).collect();
    Stage::new(&Composition { transitions, ..film(elements) }, &facts, None)
}

/// Two clips that meet at second 4.
fn clips(kind: TransitionKind) -> Stage {
    let part = Span { out_point: Some(seconds(4.0)), ..span() };
    staged(
        vec![video(0.0, part.clone()), video(4.0, part)],
        &[clip(10.0), clip(10.0)],
        vec![transition(kind, 0, 1, 1.0)],
    )
}

fn scene_at(stage: &Stage, time: f64) -> Scene {
    frame_at(stage, time).into_scene().expect("one scene")
}

fn frame_at(stage: &Stage, time: f64) -> Frame {
    stage.frame_at_instant(seconds(time))
}

/// Sources and opacities, back to front.
fn seen(scene: &Scene) -> Vec<(LayerSource, f64)> {
    scene.layers.iter().map(|layer| (layer.source, layer.opacity)).collect()
}

fn of(element: usize, time: f64) -> LayerSource {
    LayerSource::Video { element, time: seconds(time) }
}

#[test]
fn what_is_entered_fades_in_over_what_is_left() {
    let stage = clips(TransitionKind::CrossDissolve);
    assert_eq!(seen(&scene_at(&stage, 3.9)), [(of(0, 3.9), 1.0)]);
    assert_eq!(seen(&scene_at(&stage, 4.0)), [(of(0, 4.0), 1.0)], "it goes on into its unused frames");
    assert_eq!(seen(&scene_at(&stage, 4.25)), [(of(0, 4.25), 1.0), (of(1, 0.25), 0.25)]);
    assert_eq!(seen(&scene_at(&stage, 5.0)), [(of(1, 1.0), 1.0)], "over");
}

#[test]
fn what_is_left_is_gone_when_the_transition_is_over_however_long_it_is() {
    // The earlier element is in front: it would hide the other one again.
    let stage = staged(
        vec![video(0.0, span()), video(4.0, span())],
        &[clip(10.0), clip(10.0)],
        vec![dissolve(0, 1, 1.0)],
    );
    assert_eq!(seen(&scene_at(&stage, 4.5)), [(of(0, 4.5), 1.0), (of(1, 0.5), 0.5)]);
    assert_eq!(seen(&scene_at(&stage, 5.0)), [(of(1, 1.0), 1.0)]);
    let sounds = stage.sound();
    assert_eq!((sounds[0].heard, sounds[0].cross_out), (seconds(5.0), seconds(1.0)), "and heard no longer");
    assert_eq!((sounds[1].start, sounds[1].cross_in), (seconds(4.0), seconds(1.0)));
}

#[test]
fn between_its_end_and_the_transition_an_element_is_not_there() {
    let part = Span { out_point: Some(seconds(2.0)), ..span() };
    let stage = staged(
        vec![video(0.0, part), video(4.0, span())],
        &[clip(3.0), clip(9.0)],
        vec![dissolve(0, 1, 1.0)],
    );
    assert_eq!(seen(&scene_at(&stage, 3.0)), []);
    assert_eq!(seen(&scene_at(&stage, 4.5))[0], (of(0, 4.5), 1.0), "past the source's end: its last frame");
}

#[test]
fn a_dip_goes_through_its_colour_and_changes_over_in_the_middle() {
    let stage = clips(TransitionKind::DipToBlack);
    let black = LayerSource::Solid(Color::BLACK);
    assert_eq!(seen(&scene_at(&stage, 4.125)), [(of(0, 4.125), 1.0), (black, 0.25)]);
    assert_eq!(seen(&scene_at(&stage, 4.5)), [(black, 1.0)], "all black in the middle");
    assert_eq!(seen(&scene_at(&stage, 4.875)), [(of(1, 0.875), 1.0), (black, 0.25)]);
    let white = clips(TransitionKind::DipToWhite);
    assert_eq!(seen(&scene_at(&white, 4.5)), [(LayerSource::Solid(Color::WHITE), 1.0)]);
}

#[test]
fn pictures_that_do_not_cover_each_other_are_mixed_as_whole_scenes() {
    let contained = |aspect: f64| Visual { aspect_ratio: Some(aspect), fit: Fit::Fill, ..visual() };
    let lowest = Visual { z_index: -1, ..visual() };
    let front = Visual { z_index: 5, ..visual() };
    let elements = vec![
        image(0.0, 4.0, contained(0.5)),
        image(
            4.0,
            4.0,
            Visual { width: Some(Length::Percent(90.0)), height: Some(Length::Percent(20.0)), ..visual() },
        ),
        image(0.0, 9.0, lowest),
        image(0.0, 9.0, front),
    ];
    let stage = staged(elements, &[(); 4].map(|()| SourceFacts::Image(WIDE)), vec![dissolve(0, 1, 1.0)]);
    let frame = frame_at(&stage, 4.25);
    let [step] = frame.steps.as_slice() else { panic!("one step: {frame}") };
    let picture = |element| LayerSource::Image { element };
    let parts: Vec<_> = step.parts.iter().map(|part| (part.share, seen(&part.scene))).collect();
    let with = |element| vec![(picture(2), 1.0), (picture(element), 1.0), (picture(3), 1.0)];
    assert_eq!(parts, [(0.75, with(0)), (0.25, with(1))]);
}

#[test]
fn a_mix_below_another_is_the_ground_of_the_next_step() {
    let upper = |time: f64, width: f64| {
        let width = Some(Length::Percent(width));
        image(time, 4.0, Visual { width, z_index: 3, height: Some(Length::Percent(60.0 - time)), ..visual() })
    };
    let lower = |time: f64, width: f64| {
        let width = Some(Length::Percent(width));
        image(time, 4.0, Visual { width, height: Some(Length::Percent(60.0 - time)), ..visual() })
    };
    let elements = vec![
        lower(0.0, 10.0),
        lower(4.0, 90.0),
        upper(0.0, 10.0),
        upper(4.0, 90.0),
        image(0.0, 9.0, visual()),
    ];
    let stage = staged(
        elements,
        &[(); 5].map(|()| SourceFacts::Image(WIDE)),
        vec![dissolve(0, 1, 1.0), dissolve(2, 3, 1.0)],
    );
    let frame = frame_at(&stage, 4.5);
    let sources: Vec<Vec<Vec<LayerSource>>> = frame
        .steps
        .iter()
        .map(|step| {
            step.parts.iter().map(|p| p.scene.layers.iter().map(|layer| layer.source).collect()).collect()
        })
        .collect();
    let picture = |element| LayerSource::Image { element };
    assert_eq!(
        sources,
        [
            vec![vec![picture(4), picture(0)], vec![picture(4), picture(1)]],
            vec![vec![LayerSource::Backdrop, picture(2)], vec![LayerSource::Backdrop, picture(3)]],
        ]
    );
}

#[test]
fn a_text_or_a_picture_with_holes_fades_into_what_covers_it_exactly() {
    let holed = || SourceFacts::Image(Picture { opaque: false, ..WIDE });
    let elements = vec![image(0.0, 4.0, visual()), image(4.0, 4.0, visual())];
    let stage = staged(elements.clone(), &[holed(), SourceFacts::Image(WIDE)], vec![dissolve(0, 1, 1.0)]);
    let [left, entered] = [0, 1].map(|element| LayerSource::Image { element });
    assert_eq!(
        seen(&scene_at(&stage, 4.5)),
        [(left, 1.0), (entered, 0.5)],
        "inside what covers it, it fades as it is hidden"
    );
    let stage = staged(elements, &[SourceFacts::Image(WIDE), holed()], vec![dissolve(0, 1, 1.0)]);
    assert_eq!(
        seen(&scene_at(&stage, 4.5)),
        [(entered, 1.0), (left, 0.5)],
        "the one that covers is painted last"
    );
    let text = element(4.0, composition::element::ElementKind::Text(words("x")));
    let ink = Rect { x: 600.0, y: 340.0, width: 80.0, height: 30.0 };
    let stage = staged(
        vec![image(0.0, 4.0, visual()), text],
        &[SourceFacts::Image(WIDE), covering(ink)],
        vec![dissolve(0, 1, 1.0)],
    );
    assert_eq!(
        seen(&scene_at(&stage, 4.75)),
        [(LayerSource::Text { element: 1, piece: Piece::Whole }, 1.0), (left, 0.25)]
    );
}

#[test]
fn both_are_stacked_where_the_front_one_is_or_where_the_document_says() {
    let at = |time: f64, z_index| image(time, 4.0, Visual { z_index, ..visual() });
    let between = image(0.0, 9.0, visual());
    let order = |z_index: Option<i64>| {
        let elements = vec![at(0.0, -1), at(4.0, 1), between.clone()];
        let crossing = Transition { z_index, ..dissolve(0, 1, 1.0) };
        let stage = staged(elements, &[(); 3].map(|()| SourceFacts::Image(WIDE)), vec![crossing]);
        let scene = scene_at(&stage, 4.5);
        scene.layers.iter().position(|layer| layer.source == LayerSource::Image { element: 2 })
    };
    assert_eq!(order(None), Some(0), "in front, as the entered one is");
    assert_eq!(order(Some(-5)), Some(2), "behind");
}

#[test]
fn sounds_cross_too_where_nothing_is_seen() {
    let sound = || SourceFacts::Sound { end: seconds(9.0) };
    let part = Span { out_point: Some(seconds(4.0)), ..span() };
    let stage = staged(
        vec![audio(0.0, part.clone()), audio(4.0, part)],
        &[sound(), sound()],
        vec![dissolve(0, 1, 2.0)],
    );
    let [left, entered] = stage.sound() else { panic!("two sounds: {:?}", stage.sound()) };
    assert_eq!((left.length, left.lasts, left.cross_out), (seconds(4.0), seconds(6.0), seconds(2.0)));
    assert_eq!((entered.cross_in, entered.cross_out), (seconds(2.0), Ticks::ZERO));
}

#[test]
fn an_element_that_is_left_while_it_is_entered_passes_on_what_it_has() {
    let elements = vec![image(0.0, 9.0, visual()), image(4.0, 9.0, visual()), image(5.0, 9.0, visual())];
    let stage = staged(
        elements,
        &[(); 3].map(|()| SourceFacts::Image(WIDE)),
        vec![dissolve(0, 1, 2.0), dissolve(1, 2, 2.0)],
    );
    let frame = frame_at(&stage, 5.5);
    let shares: Vec<f64> = frame.steps[0].parts.iter().map(|part| part.share).collect();
    assert_eq!(shares, [0.25, 0.75 * 0.75, 0.75 * 0.25]);
}

/// What a pixel shows where every layer is there, as a share of each source.
fn pixel(frame: &Frame) -> Vec<(LayerSource, f64)> {
    let mut total: Vec<(LayerSource, f64)> = Vec::new();
    for part in frame.steps.iter().flat_map(|step| &step.parts) {
        let mut through = part.share;
        for layer in part.scene.layers.iter().rev() {
            total.push((layer.source, through * layer.opacity));
            through *= 1.0 - layer.opacity;
        }
    }
    total
}

proptest! {
    #[test]
    fn however_opaque_both_are_a_pixel_has_its_share_of_each(
        left in 0.05..=1.0f64, entered in 0.05..=1.0f64, progress in 0.01..0.99f64, holes: (bool, bool),
    ) {
        let with = |opacity: f64| Visual { opacity: opacity.into(), ..visual() };
        let elements = vec![image(0.0, 4.0, with(left)), image(4.0, 4.0, with(entered))];
        let facts = [holes.0, holes.1].map(|holed| SourceFacts::Image(Picture { opaque: !holed, ..WIDE }));
        let stage = staged(elements, &facts, vec![dissolve(0, 1, 1.0)]);
        let shown = pixel(&frame_at(&stage, 4.0 + progress));
        let share = |element| -> f64 {
            shown.iter().filter(|(source, _)| *source == LayerSource::Image { element }).map(|(_, share)| share).sum()
        };
        prop_assert!((share(0) - left * (1.0 - progress)).abs() < 1e-6, "left: {:?}", shown);
        prop_assert!((share(1) - entered * progress).abs() < 1e-6, "entered: {:?}", shown);
    }
}

#[test]
fn a_blurred_picture_is_covered_only_by_what_covers_its_glow() {
    let blur = Blur { sigma: 10.0, along_u: 400.0, along_v: 400.0, repeat: Sides::default() };
    let place = |x: f64, side: f64| Affine::scaling(side, side).then(Affine::translation(x, 100.0));
    let layer = |x: f64, side: f64, blur| Layer {
        source: LayerSource::Image { element: 0 },
        source_rect: Rect::of_size(100.0, 100.0),
        transform: place(x, side),
        opacity: 1.0,
        blur,
    };
    let canvas = Rect::of_size(f64::from(CANVAS.width), f64::from(CANVAS.height));
    assert!(covers(&layer(100.0, 400.0, None), &layer(100.0, 400.0, None), canvas), "of one size");
    assert!(
        !covers(&layer(100.0, 400.0, None), &layer(100.0, 400.0, Some(blur)), canvas),
        "its glow is larger"
    );
    let soft = Member { share: 1.0, layers: vec![layer(100.0, 400.0, Some(blur))], even: true };
    assert_eq!(soft.even_layer(), None, "and is not even");
}
