//! The look of an element: which layer it is at an instant, worked out once where it never changes.

mod caption;
mod text;

use std::ops::Range;
use std::sync::Arc;

use composition::element::{Crop, Text};
use composition::{Curve, Fit, Size, Ticks, Visual};

use crate::curve::value_at;
use crate::frame::Item;
use crate::geometry::{Boxed, Placed, place, sides_at_edges};
use crate::pose::{self, Pose};
use crate::scene::{Blur, Layer, LayerSource, Rect};
use crate::source::Picture;
use crate::text::{Piece, TextInk};
use caption::Spoken;
pub use text::TextRaster;
use text::Words;

/// Blur 100 is a Gaussian with this standard deviation, as a share of the canvas height.
const FULL_BLUR: f64 = 0.05;

/// The strongest blur; a Bézier may overshoot.
const BLUR_MAX: f64 = 100.0;

/// How many standard deviations beyond its box a blurred layer can still be seen: less than 1/255 is left.
pub(crate) const BLUR_REACH: f64 = 3.0;

/// Nothing is cut away.
const UNCROPPED: Crop = Crop { top: 0.0, bottom: 0.0, left: 0.0, right: 0.0 };

/// What an element looks like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Look {
    /// The same at every instant.
    Still(Layer),
    /// A picture with keyframes.
    Picture(Box<Show>),
    /// Text without a caption.
    Text(Box<Words>),
    /// Text whose words are set off while they are spoken.
    Caption(Box<Spoken>),
}

/// What is seen of an element at an instant.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Seen {
    /// Back to front.
    pub(crate) layers: Vec<Layer>,
    /// 0–1: how much is seen of all of them together.
    pub(crate) together: f64,
}

impl Seen {
    fn of(layer: Option<Layer>) -> Seen {
        Seen { layers: layer.into_iter().collect(), together: 1.0 }
    }

    /// As an item of the stack. Layers that lie over each other fade as one picture.
    pub(crate) fn into_item(self) -> Item {
        if self.together < 1.0 && self.layers.len() > 1 {
            return Item::Mix(vec![(self.together, self.layers)]);
        }
        Item::Layers(self.into_layers())
    }

    /// As layers of a picture that is seen in part, each faded by itself.
    pub(crate) fn into_layers(self) -> Vec<Layer> {
        let fade = |layer: Layer| Layer { opacity: layer.opacity * self.together, ..layer };
        self.layers.into_iter().map(fade).collect()
    }
}

impl Look {
    /// The look of a picture; `None`: it is never seen.
    pub(crate) fn of_picture(show: Show) -> Option<Look> {
        if show.is_still() {
            return show.layer_at(Ticks::ZERO).map(Look::Still);
        }
        Some(Look::Picture(Box::new(show)))
    }

    /// The look of text that is seen during `seen`; `None`: it is never seen.
    pub(crate) fn of_text(
        canvas: Size,
        element: usize,
        text: &Text,
        ink: &Arc<TextInk>,
        seen: &Range<Ticks>,
    ) -> Option<Look> {
        if let Some(caption) = &text.caption {
            let spoken = Spoken::new(canvas, element, text, caption, ink, seen);
            return Some(Look::Caption(Box::new(spoken)));
        }
        let words = Words::new(canvas, element, &text.visual, ink.of(Piece::Whole), seen)?;
        Some(Look::Text(Box::new(words)))
    }

    /// What is seen at an instant of the film. A video's layer has the source time of the element's start.
    pub(crate) fn seen_at(&self, instant: Ticks) -> Seen {
        match self {
            Look::Still(layer) => Seen::of(Some(layer.clone())),
            Look::Picture(show) => Seen::of(show.layer_at(instant)),
            Look::Text(words) => Seen::of(words.layer_at(instant)),
            Look::Caption(spoken) => spoken.seen_at(instant),
        }
    }

    /// How the pictures of text are drawn.
    pub(crate) fn rasters(&self) -> Vec<(Piece, TextRaster)> {
        match self {
            Look::Still(_) | Look::Picture(_) => Vec::new(),
            Look::Text(words) => vec![(Piece::Whole, words.raster())],
            Look::Caption(spoken) => spoken.rasters(),
        }
    }
}

/// A picture and what decides how it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Show {
    pub(crate) canvas: Size,
    pub(crate) source: LayerSource,
    pub(crate) picture: Picture,
    pub(crate) visual: Visual,
    pub(crate) crop: Crop,
    /// 0–100.
    pub(crate) blur: Curve<f64>,
}

impl Show {
    fn is_still(&self) -> bool {
        let faded_or_blurred = [&self.visual.opacity, &self.blur];
        pose::is_still(&self.visual) && faded_or_blurred.iter().all(|curve| curve.constant().is_some())
    }

    fn layer_at(&self, instant: Ticks) -> Option<Layer> {
        let (canvas, visual, source) = (self.canvas, &self.visual, self.source);
        let boxed = Boxed::new(visual, &Pose::at(visual, canvas, instant), canvas);
        let Placed { source_rect, transform, extent } = place(&self.picture, &self.crop, visual.fit, &boxed)?;
        let strength = value_at(&self.blur, instant, |blur| blur).clamp(0.0, BLUR_MAX);
        let sigma = strength / 100.0 * FULL_BLUR * f64::from(canvas.height);
        let (along_u, along_v) = extent;
        let blur = (sigma > 0.0).then(|| Blur {
            sigma,
            along_u,
            along_v,
            repeat: sides_at_edges(transform, canvas),
        });
        let reach = blur.map_or((0.0, 0.0), |blur| {
            (BLUR_REACH * sigma / blur.along_u, BLUR_REACH * sigma / blur.along_v)
        });
        let seen = Rect { x: -reach.0, y: -reach.1, width: 1.0 + 2.0 * reach.0, height: 1.0 + 2.0 * reach.1 };
        let on_canvas = transform.bounds_of(seen).intersection(whole(canvas));
        let opacity = pose::opacity_at(visual, instant);
        let visible = opacity > 0.0 && !on_canvas.is_empty();
        visible.then_some(Layer { source, source_rect, transform, opacity, blur })
    }
}

/// The background image: it covers the canvas.
pub(crate) fn backdrop(canvas: Size, picture: &Picture) -> Option<Layer> {
    let placed = place(picture, &UNCROPPED, Fit::Cover, &Boxed::canvas(canvas))?;
    let (source, source_rect, transform) =
        (LayerSource::BackgroundImage, placed.source_rect, placed.transform);
    Some(Layer { source, source_rect, transform, opacity: 1.0, blur: None })
}

fn whole(canvas: Size) -> Rect {
    Rect::of_size(f64::from(canvas.width), f64::from(canvas.height))
}

#[cfg(test)]
mod tests;
