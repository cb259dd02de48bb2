//! The tables as JSON Schema 2020-12: what the OpenAPI document says of a render request.
//!
//! Whatever these schemas refuse, the parser refuses too; the parser also knows rules between fields, which a schema can't
//! hold. Words of our own: `x-extension` marks what the public API does not have, `x-supported: false` what this version
//! does not carry out, `x-supported-values` which words of a list it does, `x-order` the order of the tables.

use serde_json::{Map, Value, json};

use super::animation::{
    CHROMA_SETTINGS, EFFECT, KEYFRAME, KEYFRAMES, MOTION, TRANSITION, WORD, WORD_ANIMATION,
};
use super::describe::number_json;
use super::element::schema_of;
use super::kind::{Kind, Range, URL_CHARS_MAX};
use super::meaning::meaning;
use super::request::{OUTPUT, OUTPUTS_ENTRY, REQUEST};
use super::{Field, Preset, Schema, Support};
use crate::catalog::{Choices, ELEMENT_TYPES};
use crate::limits::Limits;

/// A decimal number, as a string.
const NUMBER: &str = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?";

/// Every object that a request may hold.
pub(super) fn objects() -> Vec<&'static Schema> {
    let elements = ELEMENT_TYPES.words.iter().map(|word| schema_of(word));
    let others = [
        &REQUEST,
        &OUTPUT,
        &OUTPUTS_ENTRY,
        &EFFECT,
        &CHROMA_SETTINGS,
        &MOTION,
        &TRANSITION,
        &WORD_ANIMATION,
        &WORD,
        &KEYFRAMES,
        &KEYFRAME,
    ];
    others.into_iter().chain(elements).collect()
}

/// The name of the body of `POST /v1/renders` among [`json_schemas`].
pub const RENDER_REQUEST: &str = "RenderRequest";

/// Every schema that a render request is made of, by name; they refer to each other as `#/components/schemas/…`.
#[must_use]
pub fn json_schemas(limits: &Limits) -> Map<String, Value> {
    let mut writer = Writer { limits, schemas: Map::new() };
    let is_keyframe = |schema: &Schema| schema.name.starts_with("Keyframe");
    for schema in objects().into_iter().filter(|schema| !is_keyframe(schema)) {
        let written = writer.object(schema);
        writer.schemas.insert(component(schema), written);
    }
    writer.scalars();
    writer.schemas
}

fn is_element(schema: &Schema) -> bool {
    ELEMENT_TYPES.words.contains(&schema.name)
}

/// `render request` → `RenderRequest`, `video` → `VideoElement`.
fn component(schema: &Schema) -> String {
    let mut name = pascal(schema.name);
    if is_element(schema) {
        name.push_str("Element");
    }
    name
}

fn pascal(words: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    words.split([' ', '-', '_']).map(capital).collect()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

struct Writer<'l> {
    limits: &'l Limits,
    schemas: Map<String, Value>,
}

impl Writer<'_> {
    fn object(&mut self, schema: &Schema) -> Value {
        let (mut properties, mut required, mut order) = (Map::new(), Vec::new(), Vec::new());
        for field in schema.fields() {
            properties.insert(field.name.to_owned(), self.field(schema, field));
            order.push(field.name);
            if field.default == Preset::Required {
                required.push(field.name);
            }
        }
        if is_element(schema) {
            let text = meaning(schema, "type");
            properties.insert(
                "type".to_owned(),
                json!({ "type": "string", "const": schema.name, "description": text }),
            );
        }
        let mut written = json!({ "type": "object", "properties": properties, "x-order": order });
        if let Some(text) = meaning(schema, "") {
            written["description"] = json!(text);
        }
        if !required.is_empty() {
            written["required"] = json!(required);
        }
        if is_element(schema) && !ELEMENT_TYPES.is_available(schema.name) {
            written["x-supported"] = json!(false);
        }
        written
    }

    fn field(&mut self, schema: &Schema, field: &Field) -> Value {
        let mut value = self.kind(field.kind);
        if field.keyframes.is_some() {
            let keyframes = self.keyframes(field.kind);
            value = either(value, keyframes);
        }
        if field.default != Preset::Required {
            value = nullable(value);
        }
        let mut set = |key: &str, what: Value| value[key] = what;
        if let Some(text) = meaning(schema, field.name) {
            set("description", json!(text));
        }
        // That absence is emptiness goes without saying, and some generators of clients know no such default.
        let says_nothing = matches!(field.default, Preset::Null | Preset::EmptyList | Preset::EmptyMap);
        if let Some(default) = field.default.to_json().filter(|_| !says_nothing) {
            set("default", default);
        }
        if field.extension {
            set("x-extension", json!(true));
        }
        if field.support == Support::Missing {
            set("x-supported", json!(false));
        }
        if field.keyframes == Some(Support::Missing) {
            set("x-keyframes-supported", json!(false));
        }
        value
    }

    /// The schema of a value; the scalars with a form of their own are components.
    fn kind(&mut self, kind: Kind) -> Value {
        let list = |items: Value, max: usize| json!({ "type": "array", "items": items, "maxItems": max });
        match kind {
            Kind::Number(range) | Kind::Seconds(range) => self.number("number", range),
            Kind::Integer(range) => self.number("integer", range),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::Text(0) => json!({ "type": "string" }),
            Kind::Text(min) => json!({ "type": "string", "minLength": min }),
            Kind::Filename => json!({
                "type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^/\\\u0000-\u001f\u007f-\u009f]+$",
            }),
            Kind::Choice(choices) => self.choice(choices),
            Kind::Url => url("^[A-Za-z][A-Za-z0-9+.-]*://"),
            Kind::Endpoint => url("^[Hh][Tt][Tt][Pp][Ss]?://"),
            Kind::Instant => json!({ "type": "string", "format": "date-time" }),
            Kind::Length(Range::ANY) => reference("Length"),
            Kind::Length(range) => self.with_unit(range, "(%|px)?"),
            Kind::Angle(Range::ANY) => reference("Angle"),
            Kind::Angle(range) => self.with_unit(range, "(deg|°|rad)?"),
            Kind::Scale => reference("Scale"),
            Kind::Color => reference("Color"),
            Kind::FrameRate => reference("FrameRate"),
            Kind::Easing => reference("KeyframeEasing"),
            Kind::Animated => json!({}),
            Kind::Metadata => reference("Metadata"),
            Kind::Strings(max) => list(json!({ "type": "string" }), max),
            Kind::Elements => list(reference("Element"), self.limits.elements_max),
            Kind::List(schema) => list(reference(&component(schema)), self.limits.list_entries_max),
            Kind::Object(schema) => reference(&component(schema)),
        }
    }

    /// The component of a list of words.
    fn choice(&mut self, choices: &Choices) -> Value {
        // `effect` is the name of a word and of the object that holds it.
        let is_object = objects().iter().any(|schema| component(schema) == pascal(choices.name));
        let name = pascal(choices.name) + if is_object { "Type" } else { "" };
        let supported: Vec<_> = choices.available_words().collect();
        let words = json!({ "type": "string", "enum": choices.words, "x-supported-values": supported });
        self.schemas.insert(name.clone(), words);
        reference(&name)
    }

    fn number(&self, name: &str, range: Range) -> Value {
        let mut schema = json!({ "type": name });
        let bound = if name == "integer" { 9_007_199_254_740_991.0 } else { self.limits.magnitude_max };
        let least = if range.above_min { "exclusiveMinimum" } else { "minimum" };
        schema[least] = number_json(range.min.unwrap_or(-bound));
        schema["maximum"] = number_json(range.max.unwrap_or(bound));
        schema
    }

    fn with_unit(&self, range: Range, unit: &str) -> Value {
        json!({ "anyOf": [
            self.number("number", range),
            { "type": "string", "pattern": format!(r"^\s*{NUMBER}{unit}\s*$") },
        ] })
    }

    /// The component of keyframes whose values are of this kind.
    fn keyframes(&mut self, kind: Kind) -> Value {
        let name = format!("KeyframesOf{}", keyframed_name(kind));
        if !self.schemas.contains_key(&name) {
            let mut entry = self.object(&KEYFRAME);
            let text = meaning(&KEYFRAME, "value");
            entry["properties"]["value"] = self.kind(kind);
            entry["properties"]["value"]["description"] = json!(text);
            let list = json!({
                "type": "array", "items": entry, "minItems": 1, "maxItems": self.limits.list_entries_max,
                "description": meaning(&KEYFRAMES, "keyframes"),
            });
            let schema = json!({
                "type": "object", "properties": { "keyframes": list }, "required": ["keyframes"], "x-extension": true,
                "description": "A course of values in a value's place.",
            });
            self.schemas.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// Values that have a form of their own.
    fn scalars(&mut self) {
        let Limits { metadata_keys_max, metadata_chars_max, .. } = *self.limits;
        let mut length = self.with_unit(Range::ANY, "(%|px)?");
        length["description"] =
            json!("Canvas pixels as `12` or `\"12px\"`, or `\"50%\"` of the matching axis.");
        let mut angle = self.with_unit(Range::ANY, "(deg|°|rad)?");
        angle["description"] =
            json!("Degrees as `45`, `\"45deg\"` or `\"45°\"`, or radians as `\"1.5rad\"`.");
        let mut scale = self.with_unit(Range::ANY, "%?");
        scale["description"] = json!("Percent as `100` or `\"100%\"`.");
        let variants: Vec<_> = ELEMENT_TYPES.words.iter().map(|word| component(schema_of(word))).collect();
        let elements: Vec<_> = variants.iter().map(|name| reference(name)).collect();
        let mapping: Map<String, Value> = ELEMENT_TYPES
            .words
            .iter()
            .zip(&variants)
            .map(|(word, name)| ((*word).to_owned(), reference(name)["$ref"].clone()))
            .collect();
        let scalars = json!({
            "Length": length,
            "Angle": angle,
            "Scale": scale,
            "Color": {
                "type": "string", "pattern": "^#([0-9a-fA-F]{6}|[0-9a-fA-F]{8})$",
                "description": "`#RRGGBB` or `#RRGGBBAA`.",
            },
            "FrameRate": {
                "anyOf": [
                    { "type": "integer", "minimum": 1, "maximum": 240 },
                    { "type": "number", "const": 23.976, "x-extension": true },
                    { "type": "number", "const": 29.97, "x-extension": true },
                    { "type": "number", "const": 59.94, "x-extension": true },
                    { "type": "string", "pattern": "^[0-9]{1,7}/[0-9]{1,7}$", "x-extension": true },
                ],
                "description": "Frames a second: whole, as a decimal that people write for n·1000/1001, or an exact fraction.",
            },
            "KeyframeEasing": {
                "type": "string",
                "pattern": r"^(linear|ease_in|ease_out|ease_in_out|hold|cubic-bezier\s*\(.*\)|spring\s*\(.*\))$",
                "description": "`linear`, `ease_in`, `ease_out`, `ease_in_out`, `hold`, `cubic-bezier(x1,y1,x2,y2)` with x1 and \
                                x2 from 0 to 1, or `spring(…)`.",
                "x-extension": true,
            },
            "Metadata": {
                "type": "object",
                "additionalProperties": { "type": "string", "maxLength": metadata_chars_max },
                "propertyNames": { "maxLength": metadata_chars_max },
                "maxProperties": metadata_keys_max,
            },
            "Element": {
                "oneOf": elements,
                "discriminator": { "propertyName": "type", "mapping": mapping },
                "description": "What is seen or heard; `type` says which.",
            },
        });
        if let Value::Object(scalars) = scalars {
            self.schemas.extend(scalars);
        }
    }
}

/// `Length`, `Percent`, `Number0To1`: what keyframes of a kind are called after.
fn keyframed_name(kind: Kind) -> String {
    match kind {
        Kind::Length(Range::ANY) => "Length".to_owned(),
        Kind::Length(_) => "Side".to_owned(),
        Kind::Angle(Range::ANY) => "Angle".to_owned(),
        Kind::Scale => "Scale".to_owned(),
        other => {
            let end = |bound: Option<f64>| {
                bound.map_or_else(String::new, |b| b.to_string().replace('-', "Minus").replace('.', "_"))
            };
            let Range { min, max, .. } = other.range();
            format!("{}{}To{}", pascal(&other.wire_type()), end(min), end(max))
        }
    }
}

fn url(pattern: &str) -> Value {
    json!({ "type": "string", "format": "uri", "minLength": 1, "maxLength": URL_CHARS_MAX, "pattern": pattern })
}

/// Either of two schemas.
fn either(one: Value, other: Value) -> Value {
    let options = |schema: Value| match schema {
        Value::Object(mut fields) if fields.len() == 1 && fields.contains_key("anyOf") => {
            match fields.remove("anyOf") {
                Some(Value::Array(options)) => options,
                _ => Vec::new(),
            }
        }
        schema => vec![schema],
    };
    let both = [options(one), options(other)].concat();
    json!({ "anyOf": both })
}

/// The same, or `null`, which is absence everywhere.
fn nullable(mut schema: Value) -> Value {
    let Some(name) = schema.get("type").and_then(Value::as_str).map(str::to_owned) else {
        return either(schema, json!({ "type": "null" }));
    };
    schema["type"] = json!([name, "null"]);
    schema
}
