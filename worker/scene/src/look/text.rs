//! Text as a layer: a pixmap, drawn once, in the place and size in which it is best read.

use std::ops::Range;

use composition::{Size, Ticks, Visual};

use super::whole;
use crate::geometry::{Boxed, snap_affine};
use crate::pose::{self, Pose};
use crate::scene::{Affine, Layer, LayerSource, Rect};
use crate::text::Piece;

/// The longest side of a canvas and of the sheet that moving text is drawn on.
const SIDE_MAX: f64 = 8192.0;

/// How many canvases' worth of pixels the sheet of moving text may have. Text that becomes larger is magnified.
const CANVASES_MAX: f64 = 4.0;

/// How a text element's pixmap is drawn.
///
/// Text that keeps its place is drawn on the canvas' own pixels, in its final place, and never reaches beyond the canvas.
/// Text that moves is drawn whole, from (0, 0) on a sheet of its own, and the layer takes it from there to the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextRaster {
    /// Takes pixels from the box's top left, in which text is laid out, to the pixels that `x` and `y` count.
    pub to_canvas: Affine,
    /// The pixel at the pixmap's left.
    pub x: u32,
    /// The pixel at the pixmap's top.
    pub y: u32,
    /// The pixmap's size in pixels; above 0 and at most 8192.
    pub width: u32,
    /// See `width`.
    pub height: u32,
}

/// A text element without a caption and how it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Words {
    canvas: Size,
    element: usize,
    visual: Visual,
    drawn: Drawn,
}

impl Words {
    /// The text of an element that is seen during `seen`; `None` where there is nothing to draw.
    pub(super) fn new(
        canvas: Size,
        element: usize,
        visual: &Visual,
        ink: Rect,
        seen: &Range<Ticks>,
    ) -> Option<Words> {
        let drawn = if pose::is_still(visual) {
            Drawn::in_place(canvas, boxed_at(visual, canvas, seen.start), ink)?
        } else {
            Drawn::on_sheet(canvas, boxed_to_draw_in(visual, canvas, seen), ink)?
        };
        Some(Words { canvas, element, visual: visual.clone(), drawn })
    }

    pub(super) fn raster(&self) -> TextRaster {
        self.drawn.raster
    }

    pub(super) fn layer_at(&self, instant: Ticks) -> Option<Layer> {
        let opacity = pose::opacity_at(&self.visual, instant);
        let to_canvas = boxed_at(&self.visual, self.canvas, instant);
        let source = LayerSource::Text { element: self.element, piece: Piece::Whole };
        self.drawn.layer(source, self.canvas, to_canvas, opacity)
    }
}

/// The map from the box of an element to the canvas at an instant.
pub(super) fn boxed_at(visual: &Visual, canvas: Size, instant: Ticks) -> Affine {
    Boxed::new(visual, &Pose::at(visual, canvas, instant), canvas).to_canvas
}

/// The map by which text is drawn that moves during `seen`.
pub(super) fn boxed_to_draw_in(visual: &Visual, canvas: Size, seen: &Range<Ticks>) -> Affine {
    Boxed::new(visual, &Pose::to_draw_in(visual, canvas, seen), canvas).to_canvas
}

/// A pixmap of text and how it comes to the canvas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drawn {
    pub(super) raster: TextRaster,
    /// Takes the pixmap's pixels back to the box, where the text moves; where not, they lie in their final place.
    to_box: Option<Affine>,
}

impl Drawn {
    /// The layer that shows the pixmap, where the box lies by `to_canvas`; `None` where nothing of it is seen.
    pub(super) fn layer(
        &self,
        source: LayerSource,
        canvas: Size,
        to_canvas: Affine,
        opacity: f64,
    ) -> Option<Layer> {
        let raster = self.raster;
        let (width, height) = (f64::from(raster.width), f64::from(raster.height));
        let square = Affine::scaling(width, height);
        let transform = match self.to_box {
            // A plain copy: nothing has to be sampled again.
            None => square.then(Affine::translation(raster.x.into(), raster.y.into())),
            Some(to_box) => snap_affine(square.then(to_box).then(to_canvas)),
        };
        let on_canvas = transform.bounds_of(Rect::of_size(1.0, 1.0)).intersection(whole(canvas));
        let visible = opacity > 0.0 && transform.determinant() != 0.0 && !on_canvas.is_empty();
        let source_rect = Rect::of_size(width, height);
        visible.then_some(Layer { source, source_rect, transform, opacity, blur: None })
    }

    /// Text that keeps its place.
    pub(super) fn in_place(canvas: Size, to_canvas: Affine, ink: Rect) -> Option<Drawn> {
        let to_canvas = sharpened(to_canvas, ink)?;
        let drawn = around(to_canvas.bounds_of(ink)).intersection(whole(canvas));
        (!drawn.is_empty()).then(|| Drawn { raster: raster(to_canvas, drawn), to_box: None })
    }

    /// Text that moves and is drawn by `to_canvas`.
    pub(super) fn on_sheet(canvas: Size, to_canvas: Affine, ink: Rect) -> Option<Drawn> {
        let bounds = around(to_canvas.bounds_of(ink));
        let pixels_max = CANVASES_MAX * f64::from(canvas.width) * f64::from(canvas.height);
        // Four pixels are room for what is added around once more.
        let room = SIDE_MAX - 4.0;
        let shrunk = [
            1.0,
            room / bounds.width,
            room / bounds.height,
            libm::sqrt(pixels_max / (bounds.width * bounds.height)),
        ];
        let shrunk = shrunk.into_iter().fold(1.0, f64::min);
        let exact = to_canvas.then(Affine::scaling(shrunk, shrunk));
        let sharp = sharpened(exact, ink)?;
        let drawn = around(sharp.bounds_of(ink));
        let to_sheet = Affine::translation(-drawn.x, -drawn.y);
        let to_box = exact.then(to_sheet).inverse()?;
        let raster = raster(sharp.then(to_sheet), Rect::of_size(drawn.width, drawn.height));
        Some(Drawn { raster, to_box: Some(to_box) })
    }
}

/// The map that text is drawn by, on whole pixels if it is neither scaled nor turned: baselines are laid out on them and
/// stay sharp there. `None` where it flattens the text or there is none.
fn sharpened(to_canvas: Affine, ink: Rect) -> Option<Affine> {
    let mut map = snap_affine(to_canvas);
    if (map.a, map.b, map.c, map.d) == (1.0, 0.0, 0.0, 1.0) {
        (map.e, map.f) = (libm::round(map.e), libm::round(map.f));
    }
    (map.determinant() != 0.0 && !ink.is_empty()).then_some(map)
}

/// Whole pixels around `bounds`, and one more on every side: rasterisers work in f32.
fn around(bounds: Rect) -> Rect {
    let (left, top) = (libm::floor(bounds.x) - 1.0, libm::floor(bounds.y) - 1.0);
    let (right, bottom) = (libm::ceil(bounds.right()) + 1.0, libm::ceil(bounds.bottom()) + 1.0);
    Rect { x: left, y: top, width: right - left, height: bottom - top }
}

fn raster(to_canvas: Affine, drawn: Rect) -> TextRaster {
    // Whole numbers between 0 and the longest side.
    let pixels = |value: f64| value as u32;
    TextRaster {
        to_canvas,
        x: pixels(drawn.x),
        y: pixels(drawn.y),
        width: pixels(drawn.width),
        height: pixels(drawn.height),
    }
}
