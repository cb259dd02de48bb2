//! Elements: each by the schema of its type, and the rules between their fields.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reader::Reader;
use super::report::{Report, quoted, step};
use super::{animation, caption, text, transition, visual};
use crate::catalog::ELEMENT_TYPES;
use crate::element::{Audio, Element, ElementKind, Image, SourceUrl, Span, Video};
use crate::problem::ProblemCode;
use crate::schema::element::schema_of;
use crate::time::Ticks;
use crate::warning::WarningCode;

/// Reads the `elements` of a request or of a composition element, `depth` compositions deep.
pub(super) fn list(owner: &mut Reader<'_, '_, '_>, depth: usize) -> Vec<Element> {
    let mut entries = owner.entries("elements");
    let max = owner.report.limits().elements_max;
    let room = max.saturating_sub(owner.report.elements);
    if entries.len() > room {
        let count = owner.report.elements + entries.len();
        let message = format!("the request has {count} elements or more; the limit elements_max is {max}");
        owner.problem("elements", ProblemCode::LimitExceeded, message);
        entries.truncate(room);
    }
    owner.report.elements += entries.len();
    warn_of_shared_ids(&entries, owner.report);
    entries.into_iter().filter_map(|(path, value)| read(path, value, depth, owner.report)).collect()
}

fn read(path: String, value: &Value, depth: usize, report: &mut Report<'_>) -> Option<Element> {
    let type_given = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let mut element = Reader::open(schema_of(type_given), value, path.clone(), report)?;
    let element_type = element.known_word("type").unwrap_or_default();
    if !ELEMENT_TYPES.is_available(element_type) {
        element.mute();
    }
    let (id, time, visible) =
        (element.optional("id"), element.defaulted("time"), element.defaulted("visible"));
    let kind = match element_type {
        "video" => Some(ElementKind::Video(video(&mut element))),
        "audio" => Some(ElementKind::Audio(audio(&mut element))),
        "image" => Some(ElementKind::Image(image(&mut element))),
        "text" => Some(ElementKind::Text(text::read(&mut element))),
        "composition" => {
            composition(&mut element, depth + 1);
            None
        }
        _ => None,
    };
    element.finish();
    let element = Element { path, id, time, visible, kind: kind? };
    caption::warnings(&element, report);
    Some(element)
}

fn video(element: &mut Reader<'_, '_, '_>) -> Video {
    animation::effects(element);
    animation::motions(element, false);
    Video {
        source: source(element),
        span: span(element),
        visual: visual::visual(element),
        crop: visual::crop(element),
        blur: element.curve("blur"),
    }
}

fn audio(element: &mut Reader<'_, '_, '_>) -> Audio {
    Audio { source: source(element), span: span(element) }
}

fn image(element: &mut Reader<'_, '_, '_>) -> Image {
    if element.given("id").is_none() {
        let message = "an image should have an id; it is accepted without".to_owned();
        let path = element.path_of("id");
        element.report.warning(&path, WarningCode::MissingId, message);
    }
    animation::effects(element);
    animation::motions(element, false);
    Image {
        source: source(element),
        duration: element.required("duration"),
        visual: visual::visual(element),
        crop: visual::crop(element),
        blur: element.curve("blur"),
    }
}

/// A film inside the film: checked like the film itself.
fn composition(element: &mut Reader<'_, '_, '_>, depth: usize) {
    let max = element.report.limits().nesting_max;
    if depth > max {
        let message = format!("compositions are nested {depth} deep or more; the limit nesting_max is {max}");
        element.problem("elements", ProblemCode::LimitExceeded, message);
        element.raw("elements");
        return;
    }
    animation::effects(element);
    animation::motions(element, false);
    visual::crop(element);
    let elements = list(element, depth);
    transition::read(element, &elements);
}

fn source(element: &mut Reader<'_, '_, '_>) -> SourceUrl {
    SourceUrl(element.required("source_url"))
}

/// The part of a source that is played; it must not be empty.
fn span(element: &mut Reader<'_, '_, '_>) -> Span {
    let span = Span {
        in_point: element.defaulted("in_point"),
        out_point: element.optional("out_point"),
        speed: element.defaulted("speed"),
        volume: element.defaulted::<f64>("volume") / 100.0,
        fade_in: element.defaulted("fade_in_duration"),
        fade_out: element.defaulted("fade_out_duration"),
    };
    if let Some(out_point) = span.out_point.filter(|out_point| *out_point <= span.in_point) {
        let (out_point, in_point) = (out_point.seconds(), span.in_point.seconds());
        let message = format!(
            "out_point is {out_point}, expected more than in_point ({in_point}), or none: the source's end"
        );
        element.problem("out_point", ProblemCode::ConflictingFields, message);
    }
    span
}

/// Two elements may share an id as long as no transition names it.
fn warn_of_shared_ids(entries: &[(String, &Value)], report: &mut Report<'_>) {
    let mut first = BTreeMap::new();
    for (path, value) in entries {
        let Some(id) = value.get("id").and_then(Value::as_str) else { continue };
        if let Some(other) = first.get(id) {
            let message = format!("the id {} is also that of {other}", quoted(id));
            report.warning(&step(path, "id"), WarningCode::DuplicateElementId, message);
        } else {
            first.insert(id, path);
        }
    }
}

/// When the element ends in the film; `None`: when its source does.
pub(super) fn end(element: &Element) -> Option<Ticks> {
    let length = match &element.kind {
        ElementKind::Image(image) => image.duration,
        ElementKind::Text(text) => text.duration,
        ElementKind::Video(Video { span, .. }) | ElementKind::Audio(Audio { span, .. }) => {
            span.length(span.out_point?)
        }
    };
    Some(element.time + length)
}
