//! The scene: what is visible at one instant, as layers to be painted one over the other.
//!
//! A scene is complete and plain: whoever paints it needs the pictures it names and nothing else. Two scenes that are
//! equal show the same picture, and `Display` prints one for tests and people.
//!
//! Coordinates: x to the right, y down, pixel (0, 0) covers 0…1 of both axes. Every number is finite.

use std::fmt;

use composition::{Color, Size, Ticks};

use crate::text::Piece;

/// A film's picture at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The canvas in pixels.
    pub canvas: Size,
    /// Fills the canvas behind all layers.
    pub background: Color,
    /// Back to front: the last one is painted last.
    pub layers: Vec<Layer>,
}

/// One picture and how it lies on the canvas.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Which picture.
    pub source: LayerSource,
    /// The part of it that is shown, in stored pixels: as decoded, before orientation and sample aspect.
    pub source_rect: Rect,
    /// Takes the unit square of `source_rect` (its top left is (0, 0), its bottom right (1, 1)) to canvas pixels.
    /// Orientation, sample aspect, fit, box, flips, scales and rotation are all in it; it is never singular.
    pub transform: Affine,
    /// 0–1, never 0; multiplies the picture's own alpha.
    pub opacity: f64,
    /// Blurs the picture before `transform`'s flips, scales and rotation.
    pub blur: Option<Blur>,
}

/// Whose picture a layer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerSource {
    /// The frame of a video element that is on at `time` in its source.
    Video {
        /// Index in the composition's `elements`.
        element: usize,
        /// Source time: the frame is the last whose presentation time is not later (plus 1 µs).
        time: Ticks,
    },
    /// The still of an image element.
    Image {
        /// Index in the composition's `elements`.
        element: usize,
    },
    /// The composition's background image.
    BackgroundImage,
    /// One pixel of one colour.
    Solid(Color),
    /// An image's or text's picture with another colour in its opaque parts; its size is the picture's.
    Silhouette {
        /// Index in the composition's `elements`.
        element: usize,
        /// Which of a text's pictures.
        piece: Piece,
        /// The colour.
        color: Color,
    },
    /// What the frame's steps before this one have painted, as large as the canvas.
    Backdrop,
    /// The pixmap of a text element or of a piece of it, premultiplied, drawn as [`crate::Stage::text_rasters`] says.
    Text {
        /// Index in the composition's `elements`.
        element: usize,
        /// What of it.
        piece: Piece,
    },
}

/// A Gaussian blur of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blur {
    /// Standard deviation in canvas pixels as the layer lies before its own scale and rotation; above 0.
    pub sigma: f64,
    /// How long the unit square's sides are in those same pixels, along u and along v: `sigma / along_u` is the
    /// deviation along u as a share of the square.
    pub along_u: f64,
    /// See `along_u`.
    pub along_v: f64,
    /// The sides that repeat their edge pixels. The others fade into transparency, and the blur spreads beyond them.
    pub repeat: Sides,
}

/// A choice of the unit square's sides; the names are those of the stored picture, before orientation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sides {
    /// u = 0.
    pub left: bool,
    /// v = 0.
    pub top: bool,
    /// u = 1.
    pub right: bool,
    /// v = 1.
    pub bottom: bool,
}

/// An upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left side.
    pub x: f64,
    /// Top side.
    pub y: f64,
    /// To the right side; ≥ 0.
    pub width: f64,
    /// To the bottom side; ≥ 0.
    pub height: f64,
}

impl Rect {
    /// The rectangle from (0, 0) to this size.
    #[must_use]
    pub fn of_size(width: f64, height: f64) -> Rect {
        Rect { x: 0.0, y: 0.0, width, height }
    }

    /// The right side.
    #[must_use]
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// The bottom side.
    #[must_use]
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// Whether it covers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.width <= 0.0 || self.height <= 0.0
    }

    /// The rectangle and what lies within `distance` of it, up, down, left and right; an empty one has nothing around it.
    #[must_use]
    pub fn outset(self, distance: f64) -> Rect {
        if self.is_empty() { self } else { self.outset_by(distance, distance) }
    }

    /// The rectangle with `x` more to the left and to the right, and `y` more above and below.
    #[must_use]
    pub fn outset_by(self, x: f64, y: f64) -> Rect {
        let (width, height) = ((self.width + 2.0 * x).max(0.0), (self.height + 2.0 * y).max(0.0));
        Rect { x: self.x - x, y: self.y - y, width, height }
    }

    /// The smallest rectangle around both; an empty one adds nothing.
    #[must_use]
    pub fn union(self, other: Rect) -> Rect {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) = (self.right().max(other.right()), self.bottom().max(other.bottom()));
        Rect { x, y, width: right - x, height: bottom - y }
    }

    /// What both cover; empty where they do not meet.
    #[must_use]
    pub fn intersection(self, other: Rect) -> Rect {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let (right, bottom) = (self.right().min(other.right()), self.bottom().min(other.bottom()));
        Rect { x, y, width: (right - x).max(0.0), height: (bottom - y).max(0.0) }
    }
}

/// An affine map: (x, y) goes to (a·x + c·y + e, b·x + d·y + f), as SVG and CSS write matrices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// x of what (1, 0) adds.
    pub a: f64,
    /// y of what (1, 0) adds.
    pub b: f64,
    /// x of what (0, 1) adds.
    pub c: f64,
    /// y of what (0, 1) adds.
    pub d: f64,
    /// x of where (0, 0) goes.
    pub e: f64,
    /// y of where (0, 0) goes.
    pub f: f64,
}

impl Affine {
    /// Leaves everything where it is.
    pub const IDENTITY: Affine = Affine { a: 1.0, b: 0.0, c: 0.0, d: 1.0, e: 0.0, f: 0.0 };

    /// Moves.
    #[must_use]
    pub fn translation(x: f64, y: f64) -> Affine {
        Affine { e: x, f: y, ..Affine::IDENTITY }
    }

    /// Stretches about (0, 0).
    #[must_use]
    pub fn scaling(x: f64, y: f64) -> Affine {
        Affine { a: x, d: y, ..Affine::IDENTITY }
    }

    /// Turns clockwise on the screen about (0, 0). Quarter turns are exact.
    #[must_use]
    pub fn rotation(degrees: f64) -> Affine {
        let turn = libm::fmod(degrees, 360.0);
        let turn = if turn < 0.0 { turn + 360.0 } else { turn };
        // sin and cos of π/2 and its multiples are not representable; a quarter turn must not blur a picture.
        let (sin, cos) = match turn {
            0.0 => (0.0, 1.0),
            90.0 => (1.0, 0.0),
            180.0 => (0.0, -1.0),
            270.0 => (-1.0, 0.0),
            _ => libm::sincos(turn.to_radians()),
        };
        Affine { a: cos, b: sin, c: -sin, d: cos, e: 0.0, f: 0.0 }
    }

    /// This map first, then `next`.
    #[must_use]
    pub fn then(self, next: Affine) -> Affine {
        let (e, f) = next.apply(self.e, self.f);
        Affine {
            a: next.a * self.a + next.c * self.b,
            b: next.b * self.a + next.d * self.b,
            c: next.a * self.c + next.c * self.d,
            d: next.b * self.c + next.d * self.d,
            e,
            f,
        }
    }

    /// Where the point (x, y) goes.
    #[must_use]
    pub fn apply(self, x: f64, y: f64) -> (f64, f64) {
        (self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f)
    }

    /// The area that a unit of area becomes; negative where the map mirrors.
    #[must_use]
    pub fn determinant(self) -> f64 {
        self.a * self.d - self.b * self.c
    }

    /// The map back; `None` where this one flattens the plane.
    #[must_use]
    pub fn inverse(self) -> Option<Affine> {
        let area = self.determinant();
        if area == 0.0 || !area.is_finite() {
            return None;
        }
        let (a, b, c, d) = (self.d / area, -self.b / area, -self.c / area, self.a / area);
        let back = Affine { a, b, c, d, e: 0.0, f: 0.0 };
        let (e, f) = back.apply(-self.e, -self.f);
        Some(Affine { e, f, ..back })
    }

    /// The upright rectangle around where `rect` goes.
    #[must_use]
    pub fn bounds_of(self, rect: Rect) -> Rect {
        let corners = [
            self.apply(rect.x, rect.y),
            self.apply(rect.right(), rect.y),
            self.apply(rect.x, rect.bottom()),
            self.apply(rect.right(), rect.bottom()),
        ];
        let (mut left, mut top) = corners[0];
        let (mut right, mut bottom) = corners[0];
        for (x, y) in corners {
            (left, right) = (left.min(x), right.max(x));
            (top, bottom) = (top.min(y), bottom.max(y));
        }
        Rect { x: left, y: top, width: right - left, height: bottom - top }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}x{} on {}", self.canvas.width, self.canvas.height, self.background)?;
        self.layers.iter().try_for_each(|layer| writeln!(f, "{layer}"))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            LayerSource::Video { element, time } => write!(f, "video {element} at {time}")?,
            LayerSource::Image { element } => write!(f, "image {element}")?,
            LayerSource::BackgroundImage => write!(f, "background image")?,
            LayerSource::Solid(color) => write!(f, "solid {color}")?,
            LayerSource::Silhouette { element, piece, color } => {
                write!(f, "silhouette of {element}{piece} in {color}")?;
            }
            LayerSource::Backdrop => write!(f, "backdrop")?,
            LayerSource::Text { element, piece } => write!(f, "text {element}{piece}")?,
        }
        let (rect, map) = (self.source_rect, self.transform);
        write!(f, " [{} {} {}x{}]", rect.x, rect.y, rect.width, rect.height)?;
        write!(f, " by ({} {} {} {} {} {})", map.a, map.b, map.c, map.d, map.e, map.f)?;
        if self.opacity < 1.0 {
            write!(f, " opacity {}", self.opacity)?;
        }
        if let Some(blur) = self.blur {
            let sides = [
                (blur.repeat.left, "left"),
                (blur.repeat.top, "top"),
                (blur.repeat.right, "right"),
                (blur.repeat.bottom, "bottom"),
            ];
            write!(f, " blur {} of {}x{}", blur.sigma, blur.along_u, blur.along_v)?;
            sides.iter().filter(|(on, _)| *on).try_for_each(|(_, name)| write!(f, " {name}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_is_exact_and_clockwise() {
        let turned = Affine::rotation(90.0).apply(1.0, 0.0);
        assert_eq!(turned, (0.0, 1.0), "what pointed right points down");
        assert_eq!(Affine::rotation(-90.0), Affine::rotation(270.0), "negative angles turn the other way");
    }

    #[test]
    fn a_map_and_its_inverse_cancel() {
        let map = Affine::scaling(2.0, -4.0).then(Affine::rotation(90.0)).then(Affine::translation(3.0, 5.0));
        let back = map.inverse().expect("not singular");
        assert_eq!(map.then(back), Affine::IDENTITY, "there and back again");
        assert_eq!(Affine::scaling(0.0, 1.0).inverse(), None, "a flat map has no way back");
    }
}
