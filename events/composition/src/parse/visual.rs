//! Where and how an element is shown.

use super::reader::Reader;
use crate::element::{Crop, Visual};
use crate::problem::ProblemCode;

/// Reads the `visual` group.
pub(super) fn visual(element: &mut Reader<'_, '_, '_>) -> Visual {
    Visual {
        x: element.curve("x"),
        y: element.curve("y"),
        x_anchor: element.defaulted("x_anchor"),
        y_anchor: element.defaulted("y_anchor"),
        width: element.present("width"),
        height: element.present("height"),
        aspect_ratio: element.optional("aspect_ratio"),
        fit: element.word("fit"),
        z_rotation: element.curve("z_rotation"),
        x_scale: element.curve("x_scale"),
        y_scale: element.curve("y_scale"),
        flip_horizontal: element.defaulted("flip_horizontal"),
        flip_vertical: element.defaulted("flip_vertical"),
        opacity: element.curve::<f64>("opacity").map(|percent| percent / 100.0),
        z_index: element.defaulted("z_index"),
    }
}

/// Reads the `crop` group; something of the source must be left.
pub(super) fn crop(element: &mut Reader<'_, '_, '_>) -> Crop {
    let crop = Crop {
        top: element.defaulted("crop_top"),
        bottom: element.defaulted("crop_bottom"),
        left: element.defaulted("crop_left"),
        right: element.defaulted("crop_right"),
    };
    for (first, a, second, b) in [
        ("crop_top", crop.top, "crop_bottom", crop.bottom),
        ("crop_left", crop.left, "crop_right", crop.right),
    ] {
        if a + b >= 1.0 {
            let at = if element.given(second).is_some() { second } else { first };
            let message = format!("{first} {a} and {second} {b} leave nothing; expected a sum below 1");
            element.problem(at, ProblemCode::ConflictingFields, message);
        }
    }
    crop
}
