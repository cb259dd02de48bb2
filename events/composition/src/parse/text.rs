//! Text elements.

use super::reader::Reader;
use super::{animation, caption, visual};
use crate::color::Color;
use crate::element::{Decor, Outline, Plate, Text};
use crate::length::Length;
use crate::problem::ProblemCode;
use crate::warning::WarningCode;

/// What `font_style: bold` makes of a lighter weight.
const BOLD: u16 = 700;

/// The plate that the flag `background` alone asks for, in percent of opaque black.
const PLATE_OPACITY: f64 = 50.0;

/// The outline that the flag `stroke` or a colour alone asks for, as a share of the font size.
const OUTLINE_WIDTH: f64 = 0.05;

/// Outlines wider than the letters are high are asked for by mistake: pixels were meant.
const OUTLINE_WIDTH_LIKELY_MAX: f64 = 1.0;

/// Reads a `text` element.
pub(super) fn read(element: &mut Reader<'_, '_, '_>) -> Text {
    let weight =
        u16::try_from(element.defaulted::<i64>("font_weight")).expect("the table's range fits 16 bits");
    let (bold, italic) = match element.defaulted("font_style") {
        "bold" => (true, false),
        "italic" => (false, true),
        "bolditalic" => (true, true),
        _ => (false, false),
    };
    let color = element.optional("text_color").unwrap_or(Color::WHITE);
    let background = Background::read(element);
    let caption = caption::read(element, background.color);
    let (outline, hollow) = outline(element, color);
    let text = Text {
        text: element.required("text"),
        duration: element.required("duration"),
        visual: visual::visual(element),
        font_family: element.defaulted("font_family"),
        font_size: element.defaulted("font_size"),
        font_weight: if bold { weight.max(BOLD) } else { weight },
        italic,
        color,
        align: element.word("text_align"),
        wrap: element.defaulted::<&str>("text_wrap") == "wrap",
        leading: element.defaulted("leading"),
        tracking: element.defaulted("tracking"),
        decor: Decor { plate: background.plate(caption.is_some()), outline, hollow },
        caption,
    };
    limits(element, &text);
    flags(element);
    animation::motions(element, true);
    text
}

/// What the fields of the background say.
struct Background {
    /// With its opacity.
    color: Option<Color>,
    /// In percent, where the document gives it.
    opacity: Option<f64>,
    x_padding: Length,
    y_padding: Length,
    by_flag: bool,
}

impl Background {
    fn read(element: &mut Reader<'_, '_, '_>) -> Background {
        let opacity: Option<f64> = element.present("background_opacity");
        let color: Option<Color> = element.optional("background_color");
        Background {
            color: color.map(|color| color.faded(opacity.unwrap_or(100.0) / 100.0)),
            opacity,
            x_padding: element.defaulted("x_padding"),
            y_padding: element.defaulted("y_padding"),
            by_flag: element.defaulted("background"),
        }
    }

    /// A colour alone draws a plate, and the flag one where there is no colour. In a caption the colour is the
    /// highlight's, so that only the flag draws a plate.
    fn plate(&self, in_caption: bool) -> Option<Plate> {
        let by_flag = || {
            let opacity = self.opacity.unwrap_or(PLATE_OPACITY);
            self.by_flag.then(|| Color::BLACK.faded(opacity / 100.0))
        };
        let color = self.color.filter(|_| !in_caption).or_else(by_flag)?;
        Some(Plate { color, x_padding: self.x_padding, y_padding: self.y_padding })
    }
}

/// The outline, and whether it is all that is drawn of the glyphs.
fn outline(element: &mut Reader<'_, '_, '_>, text_color: Color) -> (Option<Outline>, bool) {
    let color: Option<Color> = element.optional("stroke_color");
    let width: Option<f64> = element.present("stroke_width");
    let hollow: bool = element.defaulted("stroke");
    if let Some(width) = width.filter(|width| *width > OUTLINE_WIDTH_LIKELY_MAX) {
        let message =
            format!("stroke_width is {width}; it is a share of the font size, not a number of pixels");
        let path = element.path_of("stroke_width");
        element.report.warning(&path, WarningCode::StrokeWidthInEm, message);
    }
    let width = match width {
        Some(width) if width > 0.0 => Some(width),
        // Clients that write every field at its default give 0 with the flag.
        Some(_) => hollow.then_some(OUTLINE_WIDTH),
        None => (hollow || color.is_some()).then_some(OUTLINE_WIDTH),
    };
    (width.map(|width| Outline { color: color.unwrap_or(text_color), width }), hollow)
}

fn limits(element: &mut Reader<'_, '_, '_>, text: &Text) {
    let (chars_max, size_max) =
        (element.report.limits().text_chars_max, element.report.limits().font_size_max);
    let chars = text.text.chars().count();
    if chars > chars_max {
        let message = format!("text has {chars} characters; the limit text_chars_max is {chars_max}");
        element.problem("text", ProblemCode::LimitExceeded, message);
    }
    if text.font_size > size_max {
        let message = format!("font_size is {}; the limit font_size_max is {size_max}", text.font_size);
        element.problem("font_size", ProblemCode::LimitExceeded, message);
    }
}

/// At most one of the three decorations may be asked for by its flag.
fn flags(element: &mut Reader<'_, '_, '_>) {
    let is_set = |name: &&str| element.given(name).is_some_and(|value| value.as_bool() == Some(true));
    let set: Vec<_> = ["background", "stroke", "shadow"].into_iter().filter(is_set).collect();
    for name in set.iter().skip(1) {
        let message =
            format!("{} are true; at most one of background, stroke and shadow may be", set.join(" and "));
        element.problem(name, ProblemCode::ConflictingFields, message);
    }
}
