//! Each rule of the contract's section 4 with numbers.

use proptest::prelude::*;

use super::*;
use crate::sample::{CANVAS, UNCROPPED, visual};
use crate::source::{Orientation, Turn};

const HD: Picture = Picture {
    width: 1920,
    height: 1080,
    orientation: Orientation::UPRIGHT,
    sample_aspect: (1, 1),
    opaque: true,
};

fn placed(picture: &Picture, visual: &Visual) -> Placed {
    place(picture, &UNCROPPED, visual.fit, &still(visual, CANVAS)).expect("something is seen")
}

/// The part of the source that is seen, and the upright rectangle around its place on the canvas.
fn seen(picture: &Picture, visual: &Visual) -> ([f64; 4], [f64; 4]) {
    let Placed { source_rect, transform, .. } = placed(picture, visual);
    (sides(source_rect), sides(transform.bounds_of(Rect::of_size(1.0, 1.0))))
}

fn sides(rect: Rect) -> [f64; 4] {
    [rect.x, rect.y, rect.width, rect.height].map(|value| (value * 1e6).round() / 1e6)
}

/// The box of an element without keyframes.
fn still(visual: &Visual, canvas: Size) -> Boxed {
    Boxed::new(visual, &Pose::at(visual, canvas, composition::Ticks::ZERO), canvas)
}

fn px(pixels: f64) -> Length {
    Length::Pixels(pixels)
}

/// A 200 × 100 box whose top left is at (40, 30).
fn small_box() -> Visual {
    Visual {
        x: px(40.0).into(),
        y: px(30.0).into(),
        x_anchor: px(0.0),
        y_anchor: px(0.0),
        width: Some(px(200.0)),
        height: Some(px(100.0)),
        ..visual()
    }
}

#[test]
fn a_picture_of_the_canvas_size_is_copied_exactly() {
    for (width, height) in [(1280, 720), (1279, 717), (3, 8191), (854, 480)] {
        let canvas = Size { width, height };
        let placed =
            place(&Picture::upright(width, height), &UNCROPPED, Fit::Cover, &still(&visual(), canvas));
        let placed = placed.expect("something is seen");
        let (width, height) = (f64::from(width), f64::from(height));
        assert_eq!(placed.source_rect, Rect::of_size(width, height), "all of it");
        assert_eq!(placed.transform, Affine::scaling(width, height), "pixel by pixel");
    }
}

#[test]
fn fit_decides_how_a_wide_picture_fills_a_square_box() {
    let square = |fit| Visual { width: Some(px(720.0)), fit, ..visual() };
    let whole = [0.0, 0.0, 1920.0, 1080.0];
    let table = [
        (Fit::Cover, [420.0, 0.0, 1080.0, 1080.0], [280.0, 0.0, 720.0, 720.0]),
        (Fit::Contain, whole, [280.0, 157.5, 720.0, 405.0]),
        (Fit::Fill, whole, [280.0, 0.0, 720.0, 720.0]),
    ];
    for (fit, part, place) in table {
        assert_eq!(seen(&HD, &square(fit)), (part, place), "{fit:?}");
    }
}

#[test]
fn fit_decides_how_a_tall_picture_fills_the_canvas() {
    let tall = Picture::upright(600, 800);
    let fit = |fit| Visual { fit, ..visual() };
    let table = [
        (Fit::Cover, [0.0, 231.25, 600.0, 337.5], [0.0, 0.0, 1280.0, 720.0]),
        (Fit::Contain, [0.0, 0.0, 600.0, 800.0], [370.0, 0.0, 540.0, 720.0]),
    ];
    for (name, part, place) in table {
        assert_eq!(seen(&tall, &fit(name)), (part, place), "{name:?}");
    }
}

#[test]
fn crop_comes_before_fit() {
    let crop = Crop { left: 0.25, right: 0.25, top: 0.0, bottom: 0.5 };
    let placed = place(&HD, &crop, Fit::Contain, &still(&visual(), CANVAS)).expect("something is seen");
    assert_eq!(sides(placed.source_rect), [480.0, 0.0, 960.0, 540.0], "the middle of the upper half");
    assert_eq!(placed.transform, Affine::scaling(1280.0, 720.0), "has the canvas's shape and fills it");
}

#[test]
fn the_anchor_is_the_point_of_the_box_that_lies_at_x_and_y() {
    let table = [
        (Length::Percent(0.0), [640.0, 360.0, 200.0, 100.0]),
        (Length::Percent(50.0), [540.0, 310.0, 200.0, 100.0]),
        (Length::Percent(100.0), [440.0, 260.0, 200.0, 100.0]),
        (px(10.0), [630.0, 350.0, 200.0, 100.0]),
    ];
    for (anchor, place) in table {
        let boxed =
            Visual { x_anchor: anchor, y_anchor: anchor, x: visual().x, y: visual().y, ..small_box() };
        assert_eq!(seen(&HD, &boxed).1, place, "anchor {anchor:?}");
    }
}

#[test]
fn lengths_are_pixels_or_shares_of_the_matching_canvas_axis() {
    let boxed =
        Visual { width: Some(Length::Percent(25.0)), height: Some(Length::Percent(25.0)), ..visual() };
    assert_eq!(box_size(&boxed, CANVAS), (320.0, 180.0), "a quarter of each axis");
    assert_eq!(box_size(&visual(), CANVAS), (1280.0, 720.0), "left out: the canvas");
}

#[test]
fn an_aspect_ratio_fills_the_side_left_out_or_else_shrinks_the_box() {
    let sized = |width: Option<f64>, height: Option<f64>, aspect| {
        let boxed =
            Visual { width: width.map(px), height: height.map(px), aspect_ratio: Some(aspect), ..visual() };
        box_size(&boxed, CANVAS)
    };
    assert_eq!(sized(Some(400.0), None, 2.0), (400.0, 200.0), "the height is filled in");
    assert_eq!(sized(None, Some(400.0), 0.5), (200.0, 400.0), "the width is filled in");
    assert_eq!(sized(None, None, 1.0), (720.0, 720.0), "both left out: the canvas is shrunk");
    assert_eq!(sized(Some(400.0), Some(300.0), 4.0), (400.0, 100.0), "both given: shrunk to the width");
    assert_eq!(sized(Some(400.0), Some(300.0), 1.0), (300.0, 300.0), "both given: shrunk to the height");
}

#[test]
fn scales_are_about_the_anchor() {
    let scaled = Visual { x_scale: 2.0.into(), y_scale: 0.5.into(), ..small_box() };
    assert_eq!(seen(&HD, &scaled).1, [40.0, 30.0, 400.0, 50.0], "the top left stays");
    let centred = Visual { x_scale: 0.5.into(), y_scale: 0.5.into(), ..visual() };
    assert_eq!(seen(&HD, &centred).1, [320.0, 180.0, 640.0, 360.0], "the middle stays");
}

#[test]
fn flips_are_about_the_anchor() {
    let flipped = placed(&HD, &Visual { flip_horizontal: true, ..visual() });
    assert_eq!(flipped.transform.apply(0.0, 0.0), (1280.0, 0.0), "left became right, in place");
    let upended =
        placed(&HD, &Visual { flip_vertical: true, y_anchor: px(0.0), y: px(720.0).into(), ..visual() });
    assert_eq!(upended.transform.apply(0.0, 0.0), (0.0, 720.0), "the anchored top stays");
    assert_eq!(upended.transform.apply(0.0, 1.0), (0.0, 0.0), "and the bottom goes up from it");
}

#[test]
fn rotation_is_clockwise_about_the_anchor() {
    let turned = placed(&HD, &Visual { z_rotation: 90.0.into(), ..small_box() });
    assert_eq!(turned.transform.apply(0.0, 0.0), (40.0, 30.0), "the anchor stays");
    assert_eq!(turned.transform.apply(1.0, 0.0), (40.0, 230.0), "what pointed right points down");
    assert_eq!(turned.transform.apply(0.0, 1.0), (-60.0, 30.0), "what pointed down points left");
}

#[test]
fn scale_comes_before_rotation() {
    let turned = placed(&HD, &Visual { x_scale: 3.0.into(), z_rotation: 90.0.into(), ..small_box() });
    assert_eq!(turned.transform.apply(1.0, 0.0), (40.0, 630.0), "the stretched width points down");
}

#[test]
fn a_film_from_a_phone_stands_upright() {
    let phone = Picture { orientation: Orientation { turn: Turn::Quarter, mirrored: false }, ..HD };
    let placed = placed(&phone, &Visual { fit: Fit::Contain, ..visual() });
    assert_eq!(placed.source_rect, Rect::of_size(1920.0, 1080.0), "all stored pixels");
    assert_eq!(placed.transform.apply(0.0, 0.0), (842.5, 0.0), "stored top left is shown top right");
    assert_eq!(placed.transform.apply(1.0, 0.0), (842.5, 720.0), "stored top right is shown bottom right");
    assert_eq!(placed.extent, (720.0, 405.0), "u runs down, v across");
}

#[test]
fn crop_is_of_the_picture_as_it_is_shown() {
    let phone = Picture { orientation: Orientation { turn: Turn::Quarter, mirrored: false }, ..HD };
    let crop = Crop { top: 0.5, ..UNCROPPED };
    let placed = place(&phone, &crop, Fit::Fill, &still(&visual(), CANVAS)).expect("something is seen");
    assert_eq!(
        placed.source_rect,
        Rect { x: 960.0, y: 0.0, width: 960.0, height: 1080.0 },
        "shown lower half"
    );
}

#[test]
fn wide_samples_make_a_wide_picture() {
    let dv = Picture { sample_aspect: (64, 45), ..Picture::upright(720, 576) };
    let (part, place) = seen(&dv, &Visual { fit: Fit::Contain, ..visual() });
    assert_eq!((part, place), ([0.0, 0.0, 720.0, 576.0], [0.0, 0.0, 1280.0, 720.0]), "16:9 fills the canvas");
    let unknown = Picture { sample_aspect: (0, 1), ..Picture::upright(1280, 720) };
    assert_eq!(placed(&unknown, &visual()).transform, Affine::scaling(1280.0, 720.0), "0 counts as square");
}

#[test]
fn a_box_or_picture_without_area_is_not_seen() {
    let nothing = |visual: &Visual| place(&HD, &UNCROPPED, visual.fit, &still(visual, CANVAS)).is_none();
    assert!(nothing(&Visual { width: Some(px(0.0)), ..visual() }), "no width");
    assert!(nothing(&Visual { y_scale: 0.0.into(), ..visual() }), "scaled to nothing");
    let empty = Picture::upright(0, 0);
    assert!(place(&empty, &UNCROPPED, Fit::Cover, &Boxed::canvas(CANVAS)).is_none(), "no pixels");
}

#[test]
fn sides_on_or_beyond_the_canvas_edge_are_known() {
    let at = |visual: &Visual| sides_at_edges(placed(&HD, visual).transform, CANVAS);
    let (all, none) = (Sides { left: true, top: true, right: true, bottom: true }, Sides::default());
    assert_eq!(at(&visual()), all, "a picture that fills the canvas");
    assert_eq!(at(&small_box()), none, "one inside it");
    assert_eq!(
        at(&Visual { x: px(-5.0).into(), ..small_box() }),
        Sides { left: true, ..none },
        "one over the left edge"
    );
    let turned = Visual {
        x: px(100.0).into(),
        y: px(620.0).into(),
        x_anchor: px(0.0),
        z_rotation: (-90.0).into(),
        ..small_box()
    };
    assert_eq!(
        at(&Visual { y: px(720.0).into(), ..turned }),
        Sides { left: true, ..none },
        "its left side points down"
    );
}

proptest! {
    #[test]
    fn cover_fills_the_box_and_keeps_the_shape(
        (width, height) in (1u32..5000, 1u32..5000),
        (box_width, box_height) in (1.0..3000.0f64, 1.0..3000.0f64),
    ) {
        let boxed = Visual { width: Some(px(box_width)), height: Some(px(box_height)), ..visual() };
        let Placed { source_rect, transform, .. } = placed(&Picture::upright(width, height), &boxed);
        let (across, down) = (transform.a / source_rect.width, transform.d / source_rect.height);
        prop_assert!((across / down - 1.0).abs() < 1e-6, "pixels stay square: {across} by {down}");
        prop_assert!((transform.a - box_width).abs() < 1e-5 && (transform.d - box_height).abs() < 1e-5, "it fills the box");
        let inside = source_rect.x >= 0.0 && source_rect.y >= 0.0
            && source_rect.right() <= f64::from(width) + 1e-6 && source_rect.bottom() <= f64::from(height) + 1e-6;
        prop_assert!(inside, "only pixels there are: {source_rect:?}");
    }

    #[test]
    fn the_anchor_never_moves(
        (scale_x, scale_y, turn) in (0.1..4.0f64, 0.1..4.0f64, -720.0..720.0f64),
        (flip_horizontal, flip_vertical) in (any::<bool>(), any::<bool>()),
    ) {
        let (x_scale, y_scale, z_rotation) = (scale_x.into(), scale_y.into(), turn.into());
        let moved = Visual { x_scale, y_scale, z_rotation, flip_horizontal, flip_vertical, ..small_box() };
        let (x, y) = still(&moved, CANVAS).to_canvas.apply(0.0, 0.0);
        prop_assert!((x - 40.0).abs() < 1e-9 && (y - 30.0).abs() < 1e-9, "({x}, {y})");
    }
}
