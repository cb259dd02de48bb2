//! The OpenAPI 3.1 document, made from what stands beside the handlers.
//!
//! ```text
//! Endpoints (operations, hooks) ─┐
//! types (schemars)               ├─▶ document() ─▶ paths, webhooks, components ─▶ /openapi.json, /docs, clients
//! Code, HEADERS, TAGS            ─┘
//! ```
//! Our own words, which OpenAPI lets anyone add: `x-extension` marks what the public API does not have, `x-supported` and
//! `x-supported-values` what this version does not carry out, `x-error-codes` the codes behind an HTTP status,
//! `x-enumDescriptions` what each word of a list means.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::endpoints::Endpoints;
use crate::error::{Code, Envelope};
use crate::hook::Hook;
use crate::operation::{Answer, Body, Operation, Parameter, Place, Shape};

/// Where components lie in the document.
const SCHEMAS: &str = "/components/schemas";

/// The chapters of the document, in their order, with what they are about.
pub const TAGS: &[(&str, &str)] = &[
    ("Renders", "Jobs that turn a composition into a film: submit, follow, cancel, download."),
    ("Events", "What happened, in order: pages, or streams of server-sent events."),
    ("Webhooks", "Signed messages to your endpoints, and the ledger of every attempt to deliver them."),
    ("Workspace", "The workspace, its API keys, and what it has used."),
    ("Media", "Uploads, imports, and stored files by signed link."),
    ("Service", "What this installation can do, whether it is well, and this document."),
];

/// Headers of answers, by name, with what they say and their form.
pub const HEADERS: &[(&str, &str, HeaderForm)] = &[
    (
        "x-request-id",
        "Names the request in the server's log; taken from the request where it had one.",
        HeaderForm::Text,
    ),
    ("Location", "Where it is.", HeaderForm::Address),
    ("Retry-After", "Seconds until it makes sense to ask again.", HeaderForm::Whole),
    (
        "RateLimit-Policy",
        "How many requests the key may send in how many seconds, where there is a limit.",
        HeaderForm::Text,
    ),
    ("RateLimit", "How many are left, and in how many seconds all are.", HeaderForm::Text),
    ("WWW-Authenticate", "`Bearer`.", HeaderForm::Text),
    ("Allow", "The methods that the path takes.", HeaderForm::Text),
    (
        "Idempotent-Replayed",
        "`true`: nothing new was made; this is the job that the key was used for.",
        HeaderForm::Text,
    ),
    ("ETag", "The validator of these bytes.", HeaderForm::Text),
    ("Cache-Control", "How long it may be kept, and by whom.", HeaderForm::Text),
    ("Content-Disposition", "The file's name.", HeaderForm::Text),
    ("Content-Range", "Which bytes these are, and of how many.", HeaderForm::Text),
    ("Accept-Ranges", "`bytes`: parts of it can be asked for.", HeaderForm::Text),
];

/// The form of a header's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderForm {
    /// A string.
    Text,
    /// A whole number, not negative.
    Whole,
    /// An address.
    Address,
}

impl HeaderForm {
    fn schema(self) -> Value {
        match self {
            HeaderForm::Text => json!({ "type": "string" }),
            HeaderForm::Whole => json!({ "type": "integer", "minimum": 0 }),
            HeaderForm::Address => json!({ "type": "string", "format": "uri-reference" }),
        }
    }
}

/// What the document says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Info<'i> {
    /// The product's version.
    pub version: &'i str,
    /// What clients put before the paths.
    pub server_url: &'i str,
    /// What everybody should know first, Markdown.
    pub text: &'i str,
}

/// The document of these endpoints.
///
/// # Panics
/// Where a description is wrong in itself: a header or tag nobody has heard of, two operations of one name, a part of a
/// path that is not described, a schema that refers to none. The tests of the executable make this document.
#[must_use]
pub fn document(info: Info<'_>, endpoints: &Endpoints) -> Value {
    let mut writer = Writer::default();
    writer.generator.subschema_for::<Envelope>();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut names = std::collections::BTreeSet::new();
    for operation in &endpoints.operations {
        assert!(names.insert(operation.id), "two operations are called {}", operation.id);
        let methods = paths.entry(plain_path(operation.path)).or_default();
        methods.insert(operation.method.as_str().to_ascii_lowercase(), writer.operation(operation));
    }
    let hooks: Map<String, Value> =
        endpoints.hooks.iter().map(|hook| (hook.name.to_owned(), writer.hook(hook))).collect();
    let schemas = writer.schemas();
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Framelane",
            "version": info.version,
            "description": info.text,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": info.server_url }],
        "tags": TAGS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect::<Vec<_>>(),
        "security": [{ "api_key": [] }],
        "paths": paths,
        "webhooks": hooks,
        "components": {
            "schemas": schemas,
            "headers": headers(),
            "securitySchemes": { "api_key": {
                "type": "http", "scheme": "bearer", "bearerFormat": "fl_live_…",
                "description": "An API key of a workspace: `Authorization: Bearer fl_live_…`.",
            } },
        },
    })
}

/// OpenAPI has no parameter that spans several parts of a path: `{*key}` is written `{key}`.
fn plain_path(path: &str) -> String {
    path.replace("{*", "{")
}

fn headers() -> Map<String, Value> {
    let header = |(name, text, form): &(&str, &str, HeaderForm)| {
        ((*name).to_owned(), json!({ "description": text, "schema": form.schema() }))
    };
    HEADERS.iter().map(header).collect()
}

/// The headers of an answer: those named, and those that every answer of such an endpoint has.
fn header_refs<'n>(needs_key: bool, names: impl IntoIterator<Item = &'n str>) -> Map<String, Value> {
    let header = |name: &str| {
        assert!(HEADERS.iter().any(|(known, ..)| *known == name), "the header {name} is not in the table");
        (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
    };
    let rates = ["RateLimit", "RateLimit-Policy"].into_iter().filter(|_| needs_key);
    ["x-request-id"].into_iter().chain(rates).chain(names).map(header).collect()
}

/// Writes what refers to schemas, and gathers these.
pub(crate) struct Writer {
    generator: SchemaGenerator,
    named: Map<String, Value>,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::with(SchemaSettings::draft2020_12())
    }
}

impl Writer {
    fn with(settings: SchemaSettings) -> Writer {
        let settings = settings.for_serialize().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        });
        Writer { generator: settings.into_generator(), named: Map::new() }
    }

    /// One whose schemas are of an older draft: AsyncAPI's.
    pub(crate) fn of_draft_7() -> Writer {
        Writer::with(SchemaSettings::draft07())
    }

    /// What writes the schemas of types.
    pub(crate) fn generator(&mut self) -> &mut SchemaGenerator {
        &mut self.generator
    }

    pub(crate) fn shape(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Type(schema) => schema(&mut self.generator).to_value(),
            Shape::Written(schema) => schema.clone(),
            Shape::Named { name, components } => {
                assert!(components.contains_key(*name), "there is no schema {name}");
                self.named.extend(components.clone());
                json!({ "$ref": format!("#{SCHEMAS}/{name}") })
            }
        }
    }

    /// All components, sorted by name.
    pub(crate) fn schemas(mut self) -> Map<String, Value> {
        let mut schemas = self.generator.take_definitions(true);
        schemas.values_mut().for_each(gather_words);
        for (name, schema) in self.named {
            assert!(schemas.insert(name.clone(), schema).is_none(), "two schemas are called {name}");
        }
        schemas
    }

    fn operation(&mut self, operation: &Operation) -> Value {
        let Operation { id, tag, summary, text, .. } = operation;
        assert!(TAGS.iter().any(|(known, _)| known == tag), "{id}: the tag {tag:?} is not in the table");
        let mut written = json!({ "operationId": id, "tags": [tag], "summary": summary });
        let mut set = |key: &str, value: Value| written[key] = value;
        if !text.is_empty() {
            set("description", json!(text));
        }
        if operation.extension {
            set("x-extension", json!(true));
        }
        if !operation.needs_key {
            set("security", json!([]));
        }
        let parameters: Vec<_> =
            operation.parameters.iter().map(|parameter| self.parameter(parameter)).collect();
        check_path(operation);
        if !parameters.is_empty() {
            set("parameters", json!(parameters));
        }
        if let Some(body) = &operation.body {
            set("requestBody", self.body(body));
        }
        set("responses", self.responses(operation));
        written
    }

    fn parameter(&mut self, parameter: &Parameter) -> Value {
        let Parameter { place, name, text, shape } = parameter;
        let schema = self.shape(shape);
        let base = |place: &str, schema: Value| json!({ "name": name, "in": place, "description": text, "schema": schema });
        match place {
            Place::Path => {
                let mut written = base("path", schema);
                written["required"] = json!(true);
                written
            }
            Place::Query => {
                let mut written = base("query", schema);
                // Empty is absent: forms send fields that nobody filled in.
                written["allowEmptyValue"] = json!(true);
                written
            }
            Place::Header => base("header", schema),
            Place::QueryMap => {
                let mut written = base("query", json!({ "type": "object", "additionalProperties": schema }));
                written["style"] = json!("deepObject");
                written["explode"] = json!(true);
                written
            }
        }
    }

    fn body(&mut self, body: &Body) -> Value {
        let mut content = json!({ "schema": self.shape(&body.shape) });
        if !body.examples.is_empty() {
            let examples = body.examples.iter().map(|example| {
                (example.name.to_owned(), json!({ "summary": example.summary, "value": example.value }))
            });
            content["examples"] = Value::Object(examples.collect());
        }
        json!({
            "description": body.text,
            "required": body.required,
            "content": { "application/json": content },
        })
    }

    fn responses(&mut self, operation: &Operation) -> Value {
        let needs_key = operation.needs_key;
        let answers = operation
            .answers
            .iter()
            .map(|answer| (answer.status.to_string(), self.answer(answer, needs_key)));
        let mut responses: Map<String, Value> = answers.collect();
        let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        let everywhere = [Code::HeadersTooLarge, Code::Internal, Code::Unavailable];
        let keyed = [Code::Unauthorized, Code::RateLimited];
        let codes = operation.refusals.iter().chain(keyed.iter().filter(|_| needs_key)).chain(&everywhere);
        for code in codes {
            let codes = by_status.entry(code.status().as_u16()).or_default();
            if !codes.contains(code) {
                codes.push(*code);
            }
        }
        for (status, codes) in by_status {
            // A probe that is unwell answers in its own form.
            responses.entry(status.to_string()).or_insert_with(|| refusal(&codes, needs_key));
        }
        Value::Object(responses)
    }

    fn answer(&mut self, answer: &Answer, needs_key: bool) -> Value {
        let headers = header_refs(needs_key, answer.headers.iter().copied());
        let mut written = json!({ "description": answer.text, "headers": headers });
        if !answer.content.is_empty() {
            let content = answer
                .content
                .iter()
                .map(|(kind, shape)| ((*kind).to_owned(), json!({ "schema": self.shape(shape) })));
            written["content"] = Value::Object(content.collect());
        }
        written
    }

    fn hook(&mut self, hook: &Hook) -> Value {
        let Hook { name, summary, text, body } = hook;
        let header = |(name, text): &(&str, &str)| json!({ "name": name, "in": "header", "required": true, "description": text, "schema": { "type": "string" } });
        json!({ "post": {
            "operationId": format!("on_{}", name.replace('.', "_")),
            "tags": ["Webhooks"],
            "summary": summary,
            "description": text,
            "security": [],
            "parameters": SIGNATURES.iter().map(header).collect::<Vec<_>>(),
            "requestBody": { "required": true, "content": { "application/json": { "schema": self.shape(body) } } },
            "responses": {
                "2XX": { "description": "It has arrived. Anything else is tried again: 5 s, 30 s, 2 min, … up to 12 h later." },
                "410": { "description": "Never again to this endpoint." },
            },
        } })
    }
}

/// Turns a choice of documented words into one list of words, which generators of clients make an enumeration of; what each
/// means stands beside it, as several of them know it (`x-enumDescriptions`).
fn gather_words(schema: &mut Value) {
    let Some(options) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let word = |option: &Value| Some((option["const"].as_str()?.to_owned(), option["description"].clone()));
    let Some(words) = options.iter().map(word).collect::<Option<Vec<_>>>() else { return };
    let Some(schema) = schema.as_object_mut() else { return };
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), words.iter().map(|(word, _)| json!(word)).collect());
    schema.insert("x-enumDescriptions".to_owned(), Value::Object(words.into_iter().collect()));
}

/// What signs a webhook.
pub(crate) const SIGNATURES: &[(&str, &str)] = &[
    (
        "Framelane-Signature",
        "`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 of `t`, `.` and the body, with the whole secret (`whsec_…`) as the key. \
         While a secret is being replaced there are two `v1`.",
    ),
    ("webhook-id", "The event's id: the same at every attempt, so that doubles can be dropped."),
    ("webhook-timestamp", "Unix seconds of this attempt."),
    (
        "webhook-signature",
        "`v1,<base64>` as Standard Webhooks defines it: HMAC-SHA256 of id, `.`, timestamp, `.` and the body, with the \
         secret's decoded bytes as the key.",
    ),
];

/// Every part of the path in braces is described, and nothing else is.
fn check_path(operation: &Operation) {
    let in_path: Vec<_> = operation
        .path
        .split('/')
        .filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*')))
        .collect();
    let described = operation.parameters.iter().filter(|parameter| parameter.place == Place::Path);
    let described: Vec<_> = described.map(|parameter| parameter.name).collect();
    assert_eq!(in_path, described, "{}: the parts of its path and their descriptions", operation.id);
}

/// The answer of an HTTP status that stands for these codes.
fn refusal(codes: &[Code], needs_key: bool) -> Value {
    let text: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.meaning())).collect();
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let headers = codes.iter().filter_map(|code| match code {
        Code::Unauthorized => Some("WWW-Authenticate"),
        Code::RateLimited | Code::Unavailable => Some("Retry-After"),
        Code::RangeNotSatisfiable => Some("Content-Range"),
        _ => None,
    });
    json!({
        "description": text.join("\n\n"),
        "headers": header_refs(needs_key, headers),
        "content": { "application/json": { "schema": { "$ref": format!("#{SCHEMAS}/{}", Envelope::schema_name()) } } },
        "x-error-codes": names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: Info<'_> = Info { version: "1", server_url: "http://here", text: "" };

    async fn nothing() {}

    fn operation(path: &'static str, id: &'static str) -> Operation {
        Operation::get(path, id, "Reads").tag("Service").answers(Answer::empty(204, "Nothing."))
    }

    fn written(operation: Operation) -> Value {
        document(INFO, &Endpoints::new().serve(operation, nothing))
    }

    #[test]
    fn what_holds_everywhere_is_added_to_every_endpoint() {
        let shape = json!({ "type": "integer" });
        let keyed =
            operation("/things/{*name}", "read").path("name", "Which.", shape).refuses(&[Code::NotFound]);
        let keyed = written(keyed);
        let responses = keyed["paths"]["/things/{name}"]["get"]["responses"].as_object().expect("answers");
        let statuses: Vec<_> = responses.keys().map(String::as_str).collect();
        assert_eq!(statuses, ["204", "401", "404", "429", "431", "500", "503"]);
        assert_eq!(responses["404"]["x-error-codes"], json!(["not_found"]));
        assert!(responses["429"]["headers"]["Retry-After"].is_object(), "it says when to come again");
        assert!(keyed["components"]["schemas"]["Error"].is_object(), "the envelope is a component");

        let open = written(operation("/open", "look").keyless());
        let open = &open["paths"]["/open"]["get"];
        assert_eq!(open["security"], json!([]), "no key is needed");
        assert!(open["responses"]["401"].is_null(), "so none is asked for");
    }

    #[test]
    #[should_panic(expected = "read: the parts of its path")]
    fn a_part_of_a_path_that_is_not_described_is_a_bug() {
        written(operation("/things/{name}", "read"));
    }

    #[test]
    #[should_panic(expected = "two operations are called read")]
    fn two_operations_of_one_name_are_a_bug() {
        let endpoints =
            Endpoints::new().serve(operation("/a", "read"), nothing).serve(operation("/b", "read"), nothing);
        drop(document(INFO, &endpoints));
    }
}
