//! Where an element's picture lies: crop, fit and box, then flips, scales and rotation about the anchor.
//!
//! ```text
//!   stored picture ──turn──▶ shown picture ──crop──▶ part ──fit──▶ box ──flip, scale, rotate──▶ canvas
//!   └──────── source_rect ◀──────────────────────────┘             (0, 0) is the anchor         anchor at (x, y)
//! ```
//!
//! All in f64. A picture that fills the canvas pixel by pixel comes out as exactly that, so that it can be copied.

use composition::{Crop, Fit, Length, Size, Visual};

use crate::pose::Pose;
use crate::scene::{Affine, Rect, Sides};
use crate::source::Picture;

/// A percentage used where the document leaves a side open.
const WHOLE: Length = Length::Percent(100.0);

/// The size of an element's box in canvas pixels, before its own scale.
///
/// `aspect_ratio` fills the side that the document leaves out; where it leaves out both or neither, the box is shrunk to
/// that shape.
#[must_use]
pub fn box_size(visual: &Visual, canvas: Size) -> (f64, f64) {
    let across = |length: Length| length.resolve(f64::from(canvas.width));
    let down = |length: Length| length.resolve(f64::from(canvas.height));
    let whole = (across(visual.width.unwrap_or(WHOLE)), down(visual.height.unwrap_or(WHOLE)));
    let Some(aspect) = visual.aspect_ratio else { return whole };
    match (visual.width, visual.height) {
        (Some(_), None) => (whole.0, whole.0 / aspect),
        (None, Some(_)) => (whole.1 * aspect, whole.1),
        _ if whole.0 > whole.1 * aspect => (whole.1 * aspect, whole.1),
        _ => (whole.0, whole.0 / aspect),
    }
}

/// An element's box on its way to the canvas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boxed {
    /// Its size before its own scale.
    pub(crate) width: f64,
    /// See `width`.
    pub(crate) height: f64,
    /// Takes pixels from the box's top left to canvas pixels.
    pub(crate) to_canvas: Affine,
}

impl Boxed {
    /// The box of an element with these fields, as it lies in this pose.
    pub(crate) fn new(visual: &Visual, pose: &Pose, canvas: Size) -> Boxed {
        let (width, height) = box_size(visual, canvas);
        let anchor = (visual.x_anchor.resolve(width), visual.y_anchor.resolve(height));
        let flip = |flipped: bool| if flipped { -1.0 } else { 1.0 };
        let to_canvas = Affine::translation(-anchor.0, -anchor.1)
            .then(Affine::scaling(flip(visual.flip_horizontal), flip(visual.flip_vertical)))
            .then(Affine::scaling(pose.x_scale, pose.y_scale))
            .then(Affine::rotation(pose.z_rotation))
            .then(Affine::translation(pose.x, pose.y));
        Boxed { width, height, to_canvas }
    }

    /// The box that is the canvas.
    pub(crate) fn canvas(canvas: Size) -> Boxed {
        let (width, height) = (f64::from(canvas.width), f64::from(canvas.height));
        Boxed { width, height, to_canvas: Affine::IDENTITY }
    }
}

/// A picture fitted into a box.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    /// The part that is seen, in stored pixels.
    pub(crate) source_rect: Rect,
    /// Takes its unit square to the canvas.
    pub(crate) transform: Affine,
    /// Lengths of the unit square's sides in the box, along u and v.
    pub(crate) extent: (f64, f64),
}

/// Fits what `crop` leaves of `picture` into the box. `None`: nothing is left to see.
pub(crate) fn place(picture: &Picture, crop: &Crop, fit: Fit, boxed: &Boxed) -> Option<Placed> {
    let (shown, target) = fit_into(picture, crop, fit, (boxed.width, boxed.height))?;
    let source_rect = snap_rect(picture.turned().inverse()?.bounds_of(shown));
    let in_box = (picture.orientation.turning(1.0, 1.0))
        .then(Affine::scaling(target.width, target.height))
        .then(Affine::translation(target.x, target.y));
    let transform = snap_affine(in_box.then(boxed.to_canvas));
    let extent = (libm::hypot(in_box.a, in_box.b), libm::hypot(in_box.c, in_box.d));
    let usable = transform.determinant() != 0.0 && !source_rect.is_empty();
    usable.then_some(Placed { source_rect, transform, extent })
}

/// The part of the shown picture that is seen (in its own pixels), and where in the box it lies.
fn fit_into(picture: &Picture, crop: &Crop, fit: Fit, within: (f64, f64)) -> Option<(Rect, Rect)> {
    let ((across, down), (pixel_x, pixel_y)) = (picture.shown_size(), picture.shown_pixel());
    let part = Rect {
        x: across * crop.left,
        y: down * crop.top,
        width: across * (1.0 - crop.left - crop.right),
        height: down * (1.0 - crop.top - crop.bottom),
    };
    let (box_width, box_height) = within;
    let whole_box = Rect::of_size(box_width, box_height);
    if part.is_empty() || whole_box.is_empty() {
        return None;
    }
    let (width, height) = (part.width * pixel_x, part.height * pixel_y);
    // Cross products instead of quotients: equal shapes compare equal, and the divisions below are then exact.
    let box_is_wider = box_width * height >= box_height * width;
    Some(match fit {
        Fit::Fill => (part, whole_box),
        Fit::Cover if box_is_wider => {
            let seen = box_height * width / box_width / pixel_y;
            (Rect { y: part.y + (part.height - seen) / 2.0, height: seen, ..part }, whole_box)
        }
        Fit::Cover => {
            let seen = box_width * height / box_height / pixel_x;
            (Rect { x: part.x + (part.width - seen) / 2.0, width: seen, ..part }, whole_box)
        }
        Fit::Contain if box_is_wider => {
            let taken = box_height * width / height;
            (part, Rect { x: (box_width - taken) / 2.0, width: taken, ..whole_box })
        }
        Fit::Contain => {
            let taken = box_width * height / width;
            (part, Rect { y: (box_height - taken) / 2.0, height: taken, ..whole_box })
        }
    })
}

/// The sides of the unit square that lie on or beyond one of the canvas edges, all of them.
pub(crate) fn sides_at_edges(transform: Affine, canvas: Size) -> Sides {
    let (width, height) = (f64::from(canvas.width), f64::from(canvas.height));
    let beyond = |from: (f64, f64), to: (f64, f64)| {
        let ends = [transform.apply(from.0, from.1), transform.apply(to.0, to.1)];
        ends.iter().all(|end| end.0 <= 0.0)
            || ends.iter().all(|end| end.1 <= 0.0)
            || ends.iter().all(|end| end.0 >= width)
            || ends.iter().all(|end| end.1 >= height)
    };
    Sides {
        left: beyond((0.0, 0.0), (0.0, 1.0)),
        top: beyond((0.0, 0.0), (1.0, 0.0)),
        right: beyond((1.0, 0.0), (1.0, 1.0)),
        bottom: beyond((0.0, 1.0), (1.0, 1.0)),
    }
}

/// Every number that rounding moved off a whole one is put back on it; a millionth of a pixel cannot be seen.
pub(crate) fn snap_affine(map: Affine) -> Affine {
    let Affine { a, b, c, d, e, f } = map;
    Affine { a: snap(a), b: snap(b), c: snap(c), d: snap(d), e: snap(e), f: snap(f) }
}

fn snap_rect(rect: Rect) -> Rect {
    Rect { x: snap(rect.x), y: snap(rect.y), width: snap(rect.width), height: snap(rect.height) }
}

fn snap(value: f64) -> f64 {
    let whole = libm::round(value);
    // Adding 0 turns −0 into 0, which prints and compares as people expect.
    if (value - whole).abs() < 1e-6 { whole + 0.0 } else { value }
}

#[cfg(test)]
mod tests;
