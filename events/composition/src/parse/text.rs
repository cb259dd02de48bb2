//! Text elements.

use super::reader::Reader;
use super::{animation, caption, visual};
use crate::color::Color;
use crate::element::Text;
use crate::problem::ProblemCode;

/// What `font_style: bold` makes of a lighter weight.
const BOLD: u16 = 700;

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
    let text = Text {
        text: element.required("text"),
        duration: element.required("duration"),
        visual: visual::visual(element),
        font_family: element.defaulted("font_family"),
        font_size: element.defaulted("font_size"),
        font_weight: if bold { weight.max(BOLD) } else { weight },
        italic,
        color: element.optional("text_color").unwrap_or(Color::WHITE),
        align: element.word("text_align"),
        wrap: element.defaulted::<&str>("text_wrap") == "wrap",
        leading: element.defaulted("leading"),
        tracking: element.defaulted("tracking"),
    };
    limits(element, &text);
    flags(element);
    animation::motions(element, true);
    caption::check(element);
    text
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
