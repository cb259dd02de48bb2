//! What the OpenAPI document says of one endpoint. It stands beside the handler, and only what is described is served:
//! see [`crate::Endpoints`].
//!
//! A description names what is particular: parameters, the body, the answers, the refusals. What holds everywhere (the
//! key, the error envelope, the request id, 401 and 500) the document adds by itself.

use std::fmt;

use axum::http::Method;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::error::Code;

/// The media type of most bodies.
const JSON: &str = "application/json";

/// The form of a value: a type of ours, or a schema written as data.
#[derive(Clone)]
pub enum Shape {
    /// A type that describes itself.
    Type(fn(&mut SchemaGenerator) -> schemars::Schema),
    /// A JSON Schema 2020-12.
    Written(Value),
    /// One of several schemas that refer to each other as `#/components/schemas/…`; all of them become components.
    Named {
        /// Which of them.
        name: &'static str,
        /// All of them, by name.
        components: Map<String, Value>,
    },
}

impl Shape {
    /// The form of `T`, as it is written out.
    #[must_use]
    pub fn of<T: JsonSchema>() -> Shape {
        Shape::Type(|generator| generator.subschema_for::<T>())
    }
}

impl From<Value> for Shape {
    fn from(schema: Value) -> Shape {
        Shape::Written(schema)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Type(_) => f.write_str("Type"),
            Shape::Written(schema) => write!(f, "Written({schema})"),
            Shape::Named { name, .. } => write!(f, "Named({name})"),
        }
    }
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    /// `name[key]=value`, any number of times.
    QueryMap,
    Header,
}

/// A parameter of an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) place: Place,
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) shape: Shape,
}

/// A request's body: JSON.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) text: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) examples: Vec<Example>,
}

/// A body that does what its summary says, on every installation.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its key in the document.
    pub name: &'static str,
    /// What it shows.
    pub summary: &'static str,
    /// The body.
    pub value: Value,
}

/// One answer of an endpoint that is no refusal.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) text: &'static str,
    pub(crate) content: Vec<(&'static str, Shape)>,
    pub(crate) headers: Vec<&'static str>,
}

impl Answer {
    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16, text: &'static str) -> Answer {
        Answer { status, text, content: Vec::new(), headers: Vec::new() }
    }

    /// An answer of JSON.
    #[must_use]
    pub fn json<T: JsonSchema>(status: u16, text: &'static str) -> Answer {
        Answer::empty(status, text).or_as(JSON, Shape::of::<T>())
    }

    /// The same answer in (another) media type.
    #[must_use]
    pub fn or_as(mut self, media_type: &'static str, shape: impl Into<Shape>) -> Answer {
        self.content.push((media_type, shape.into()));
        self
    }

    /// It carries this header: one of [`crate::openapi::HEADERS`].
    #[must_use]
    pub fn with(mut self, header: &'static str) -> Answer {
        self.headers.push(header);
        self
    }
}

/// An endpoint as the document tells of it.
#[derive(Debug, Clone)]
pub struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) text: &'static str,
    pub(crate) needs_key: bool,
    pub(crate) extension: bool,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) refusals: Vec<Code>,
}

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation {
            method,
            path,
            id,
            tag: "",
            summary,
            text: "",
            needs_key: true,
            extension: false,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// `GET path`, with the name that generated clients call it by and what it does in a few words.
    #[must_use]
    pub fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation::new(Method::GET, path, id, summary)
    }

    /// `POST path`.
    #[must_use]
    pub fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation::new(Method::POST, path, id, summary)
    }

    /// `PUT path`.
    #[must_use]
    pub fn put(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation::new(Method::PUT, path, id, summary)
    }

    /// `PATCH path`.
    #[must_use]
    pub fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation::new(Method::PATCH, path, id, summary)
    }

    /// `DELETE path`.
    #[must_use]
    pub fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
        Operation::new(Method::DELETE, path, id, summary)
    }

    /// The chapter it stands in: one of [`crate::openapi::TAGS`].
    #[must_use]
    pub fn tag(self, tag: &'static str) -> Operation {
        Operation { tag, ..self }
    }

    /// More about it, Markdown.
    #[must_use]
    pub fn text(self, text: &'static str) -> Operation {
        Operation { text, ..self }
    }

    /// It answers without a key.
    #[must_use]
    pub fn keyless(self) -> Operation {
        Operation { needs_key: false, ..self }
    }

    /// The public API does not have it.
    #[must_use]
    pub fn extension(self) -> Operation {
        Operation { extension: true, ..self }
    }

    /// The part of the path in braces.
    #[must_use]
    pub fn path(self, name: &'static str, text: &'static str, shape: impl Into<Shape>) -> Operation {
        self.parameter(Place::Path, name, text, shape.into())
    }

    /// An optional parameter of the query.
    #[must_use]
    pub fn query(self, name: &'static str, text: &'static str, shape: impl Into<Shape>) -> Operation {
        self.parameter(Place::Query, name, text, shape.into())
    }

    /// Optional parameters of the query, `name[key]=value`.
    #[must_use]
    pub fn query_map(self, name: &'static str, text: &'static str, values: impl Into<Shape>) -> Operation {
        self.parameter(Place::QueryMap, name, text, values.into())
    }

    /// It answers with pages of `limit` entries.
    #[must_use]
    pub fn paged(self, limit_default: u32, limit_max: u32) -> Operation {
        let limit =
            json!({ "type": "integer", "minimum": 1, "maximum": limit_max, "default": limit_default });
        self.query("limit", "Entries of a page.", limit).query(
            "cursor",
            "The `next_cursor` of the page before.",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]*$" }),
        )
    }

    /// An optional header of the request.
    #[must_use]
    pub fn header(self, name: &'static str, text: &'static str, shape: impl Into<Shape>) -> Operation {
        self.parameter(Place::Header, name, text, shape.into())
    }

    fn parameter(mut self, place: Place, name: &'static str, text: &'static str, shape: Shape) -> Operation {
        self.parameters.push(Parameter { place, name, text, shape });
        self
    }

    /// It takes a JSON body of this form.
    #[must_use]
    pub fn takes(mut self, text: &'static str, shape: impl Into<Shape>) -> Operation {
        self.body = Some(Body { text, shape: shape.into(), required: true, examples: Vec::new() });
        self.refuses(&[
            Code::MalformedJson,
            Code::RequestTimeout,
            Code::UnsupportedMediaType,
            Code::PayloadTooLarge,
        ])
    }

    /// The same, where it also works without a body.
    #[must_use]
    pub fn may_take(self, text: &'static str, shape: impl Into<Shape>) -> Operation {
        let mut operation = self.takes(text, shape);
        if let Some(body) = &mut operation.body {
            body.required = false;
        }
        operation
    }

    /// Bodies to begin with. Only for an operation that takes one.
    #[must_use]
    pub fn examples(mut self, examples: Vec<Example>) -> Operation {
        if let Some(body) = &mut self.body {
            body.examples = examples;
        }
        self
    }

    /// It gives this answer.
    #[must_use]
    pub fn answers(mut self, answer: Answer) -> Operation {
        self.answers.push(answer);
        self
    }

    /// The same, and where the client has the bytes already 304 (see [`crate::fresh`]).
    #[must_use]
    pub fn answers_fresh(self, answer: Answer) -> Operation {
        self.header(
            "If-None-Match",
            "Bytes that the client has already: their ETag.",
            json!({ "type": "string" }),
        )
        .answers(answer.with("ETag").with("Cache-Control"))
        .answers(Answer::empty(304, "The client has it already.").with("ETag").with("Cache-Control"))
    }

    /// The names of its query parameters, `name[key]` where there are many of one name.
    #[must_use]
    pub fn query_names(&self) -> Vec<String> {
        let named = self.parameters.iter().filter_map(|parameter| match parameter.place {
            Place::Query => Some(parameter.name.to_owned()),
            Place::QueryMap => Some(format!("{}[key]", parameter.name)),
            Place::Path | Place::Header => None,
        });
        named.collect()
    }

    /// It refuses with these codes, besides those that every endpoint has.
    #[must_use]
    pub fn refuses(mut self, codes: &[Code]) -> Operation {
        self.refusals.extend_from_slice(codes);
        self
    }
}
