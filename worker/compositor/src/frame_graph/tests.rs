//! Frame graphs as text: what is drawn, how, and on which tiles.

use composition::{Color, Size, Ticks};
use scene::{Affine, Blur, Layer, LayerSource, Rect, Scene, Sides};

use super::{FrameGraph, GraphError};
use crate::canvas::CanvasKind;
use crate::picture::{ColorMatrix, ColorRange, PictureContent, PictureFacts};

const HD: Size = Size { width: 1280, height: 720 };
const VIDEO: LayerSource = LayerSource::Video { element: 0, time: Ticks::ZERO };
const SD_VIDEO: LayerSource = LayerSource::Video { element: 1, time: Ticks::ZERO };
const PHOTO: LayerSource = LayerSource::Image { element: 2 };
const TEXT: LayerSource = LayerSource::Text { element: 3, piece: scene::Piece::Whole };

/// A BT.709 video and a photo of the canvas' size, a BT.601 video of 640x480, a text of 300x40.
fn facts(source: &LayerSource) -> Option<PictureFacts> {
    let facts = |width, height, content| Some(PictureFacts { width, height, content });
    let range = ColorRange::Limited;
    match *source {
        VIDEO => facts(1280, 720, PictureContent::Planar { matrix: ColorMatrix::Bt709, range }),
        SD_VIDEO => facts(640, 480, PictureContent::Planar { matrix: ColorMatrix::Bt601, range }),
        PHOTO => facts(1280, 720, PictureContent::Rgba { opaque: true }),
        TEXT => facts(300, 40, PictureContent::Rgba { opaque: false }),
        _ => None,
    }
}

fn layer(source: LayerSource, x: f64, y: f64, width: f64, height: f64) -> Layer {
    let PictureFacts { width: columns, height: rows, .. } = facts(&source).expect("one of the pictures");
    Layer {
        source,
        source_rect: Rect::of_size(f64::from(columns), f64::from(rows)),
        transform: Affine::scaling(width, height).then(Affine::translation(x, y)),
        opacity: 1.0,
        blur: None,
    }
}

fn whole(source: LayerSource) -> Layer {
    layer(source, 0.0, 0.0, 1280.0, 720.0)
}

fn graph(layers: Vec<Layer>, kind: CanvasKind) -> FrameGraph {
    let scene = Scene { canvas: HD, background: Color::BLACK, layers };
    FrameGraph::build(&scene, kind, facts).expect("all pictures are known")
}

#[track_caller]
fn assert_graph(layers: Vec<Layer>, expected: &[&str]) {
    let text = graph(layers, CanvasKind::I420).to_string();
    let expected: String = ["1280x720 i420"].iter().chain(expected).map(|line| format!("{line}\n")).collect();
    assert_eq!(text, expected, "left is the graph, right what was expected");
}

#[test]
fn a_video_that_is_the_canvas_needs_no_gpu() {
    assert_graph(vec![whole(VIDEO)], &["base #000000ff, video 0 copied from 0,0 to 0,0 1280x720"]);
}

#[test]
fn a_video_placed_on_even_pixels_is_copied_where_it_lies_and_on_odd_ones_painted() {
    let mut cropped = layer(VIDEO, -20.0, 100.0, 640.0, 360.0);
    cropped.source_rect = Rect { x: 64.0, y: 32.0, width: 640.0, height: 360.0 };
    assert_graph(vec![cropped.clone()], &["base #000000ff, video 0 copied from 84,32 to 0,100 620x360"]);
    cropped.transform.e = -21.0;
    let painted = &["base #000000ff", "planar video 0: 230 tiles, 189 plain", "rows 96..464 over the base"];
    assert_graph(vec![cropped], painted);
}

#[test]
fn a_small_text_touches_its_own_tiles_and_rows_alone() {
    assert_graph(
        vec![whole(VIDEO), layer(TEXT, 100.0, 600.0, 300.0, 40.0)],
        &[
            "base #000000ff, video 0 copied from 0,0 to 0,0 1280x720",
            "identity text 3: 18 tiles, 8 plain",
            "rows 592..640 over the base",
        ],
    );
}

#[test]
fn what_lies_behind_an_opaque_cover_is_not_painted() {
    let behind = layer(TEXT, 10.0, 10.0, 300.0, 40.0);
    let cover = layer(PHOTO, -1.0, -1.0, 1282.0, 722.0);
    assert_graph(
        vec![whole(VIDEO), behind.clone(), cover.clone()],
        &["base #000000ff", "bilinear image 2: 900 tiles, 900 plain", "rows 0..720 hiding the base"],
    );
    let veil = Layer { opacity: 0.5, ..cover };
    assert_eq!(
        graph(vec![whole(VIDEO), behind, veil], CanvasKind::I420).draws.len(),
        2,
        "a veil hides nothing"
    );
}

#[test]
fn only_the_tiles_beside_a_partial_cover_are_painted_behind_it() {
    let cover = layer(PHOTO, 0.0, 0.0, 1280.0, 352.0);
    assert_graph(
        vec![whole(SD_VIDEO), cover],
        &[
            "base #000000ff",
            "converted video 1: 460 tiles, 460 plain",
            "bilinear image 2 halved 0,1: 440 tiles, 440 plain",
            "rows 0..720 hiding the base",
        ],
    );
}

#[test]
fn a_blurred_video_that_fills_the_canvas_is_magnified_from_whole_squares() {
    let repeat = Sides { left: true, top: true, right: true, bottom: true };
    let blur = Some(Blur { sigma: 12.0, along_u: 1280.0, along_v: 720.0, repeat });
    assert_graph(
        vec![Layer { blur, ..whole(VIDEO) }],
        &[
            "base #000000ff",
            "magnified video 0 halved 2,2 blurred 322x182 by 4 radius 12,9: 900 tiles, 900 plain",
            "rows 0..720 hiding the base",
        ],
    );
}

#[test]
fn a_blur_spreads_beyond_open_sides() {
    let blur = Some(Blur { sigma: 8.0, along_u: 300.0, along_v: 40.0, repeat: Sides::default() });
    let sharp = layer(TEXT, 640.0, 320.0, 300.0, 40.0);
    let tiles = |blur| graph(vec![Layer { blur, ..sharp.clone() }], CanvasKind::I420).tile_count();
    assert_eq!((tiles(None), tiles(blur)), (15, 49), "28 pixels further on every side: seven texels of four");
}

#[test]
fn stills_on_rgba_are_sampled_and_never_copied() {
    let graph =
        graph(vec![whole(VIDEO), layer(TEXT, 0.0, 0.0, 300.0, 40.0)], CanvasKind::Rgba { opaque: false });
    let kernels: Vec<String> = graph.draws.iter().map(|draw| format!("{:?}", draw.kernel)).collect();
    assert_eq!(kernels, ["Converted", "Bilinear"], "an RGBA canvas has two kernels");
    assert_eq!(graph.base.copy, None, "Y'CbCr is no RGBA");
}

#[test]
fn a_layer_beside_the_canvas_and_a_flat_one_are_no_draws() {
    let flat = Layer { transform: Affine::scaling(0.0, 100.0), ..whole(PHOTO) };
    assert_graph(vec![layer(TEXT, 1400.0, 0.0, 300.0, 40.0), flat], &["base #000000ff"]);
}

#[test]
fn an_unknown_picture_is_named() {
    let scene = Scene { canvas: HD, background: Color::BLACK, layers: vec![whole(VIDEO)] };
    let refusal = FrameGraph::build(&scene, CanvasKind::I420, |_| None).expect_err("nobody knows it");
    assert!(matches!(refusal, GraphError::MissingPicture(VIDEO)), "{refusal}");
}
