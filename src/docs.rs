//! The contract, served: `/openapi.json`, the page at `/docs` that shows it, and `/asyncapi.json` for what the service sends
//! by itself. All are open to everyone.
//!
//! The documents are made once, when the service starts, from the descriptions beside the handlers and the types of events,
//! so they can't tell of another service than this one. The page is one file of ours that asks no other host for anything.

use std::sync::Arc;

use api::fresh::is_known;
use api::openapi::{self, Info};
use api::{Answer, Endpoints, Operation, asyncapi};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::Sha256;
use serde_json::json;

const PAGE: &str = include_str!("docs/page.html");
const STYLE: &str = include_str!("docs/page.css");
const SCRIPT: &str = include_str!("docs/page.js");

/// What everybody should know first.
const INTRODUCTION: &str = "\
Post a JSON composition — video, image, text, audio — and get a film.

- Every request but the open ones carries an API key: `Authorization: Bearer fl_live_…`. A key opens one workspace; what \
belongs to another does not exist for it.
- A refusal is `{\"error\": {\"code\", \"message\", \"details\"}}`; `details` names every fault of the request at once, each \
with a JSON pointer.
- Unknown fields are accepted, and named in the job's `warnings`.
- Times are ISO 8601 in UTC; durations are seconds.
- Lists are `{\"data\", \"next_cursor\", \"has_more\"}`.
- `x-extension` marks what goes beyond the public API, `x-supported: false` what this version does not carry out.";

/// A document's bytes and their validator.
#[derive(Debug, Clone, Default)]
struct Document {
    bytes: Arc<[u8]>,
    etag: String,
}

impl Document {
    fn of(document: &serde_json::Value) -> Document {
        let bytes = document.to_string().into_bytes();
        let etag = format!("\"{}\"", Sha256::of(&bytes));
        Document { bytes: bytes.into(), etag }
    }
}

/// The endpoints, and those that tell of them. `public_url`: what clients put before the paths.
pub(crate) fn with_documents(endpoints: Endpoints, public_url: &str) -> Endpoints {
    // The document tells of its own endpoint, too.
    let all = endpoints.clone().and(own(Document::default(), Document::default()));
    let info = Info { version: env!("CARGO_PKG_VERSION"), server_url: public_url, text: INTRODUCTION };
    let (asked, sent) = (openapi::document(info, &all), asyncapi::document(info, &all));
    endpoints.and(own(Document::of(&asked), Document::of(&sent)))
}

/// The endpoints of both documents: of what is asked for, and of what is sent unasked.
fn own(asked: Document, sent: Document) -> Endpoints {
    let asked = Endpoints::new().serve(asked_operation(), tell).with_state(asked);
    let sent = Endpoints::new().serve(sent_operation(), tell).with_state(sent);
    asked.and(sent).and(Endpoints::new().serve(page_operation(), show))
}

fn asked_operation() -> Operation {
    document(Operation::get("/openapi.json", "get_openapi", "This document"), "OpenAPI 3.1.")
}

fn sent_operation() -> Operation {
    let summary = "What the service sends by itself: events at NATS, and webhooks";
    document(Operation::get("/asyncapi.json", "get_asyncapi", summary), "AsyncAPI 3.0.")
}

fn document(operation: Operation, form: &'static str) -> Operation {
    operation
        .tag("Service")
        .keyless()
        .header(
            "If-None-Match",
            "A document that the client has already (its ETag).",
            json!({ "type": "string" }),
        )
        .answers(Answer::empty(200, form).or_as("application/json", json!({ "type": "object" })).with("ETag"))
        .answers(Answer::empty(304, "The client has it.").with("ETag"))
}

async fn tell(State(document): State<Document>, headers: HeaderMap) -> Response {
    let etag = [(ETAG, document.etag.clone())];
    if is_known(&headers, &document.etag) {
        return (StatusCode::NOT_MODIFIED, etag).into_response();
    }
    let kind = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    (etag, kind, axum::body::Bytes::from_owner(document.bytes)).into_response()
}

fn page_operation() -> Operation {
    Operation::get("/docs", "get_docs", "This document as a page")
        .tag("Service")
        .keyless()
        .answers(Answer::empty(200, "The page.").or_as("text/html", json!({ "type": "string" })))
}

/// The page may run its own script and style, and talk to its own host. Nothing else: callers type keys into it.
async fn show() -> Response {
    let page = PAGE.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT);
    let policy = format!(
        "default-src 'none'; connect-src 'self'; img-src data:; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        digest(SCRIPT),
        digest(STYLE),
    );
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (CONTENT_SECURITY_POLICY, policy)];
    (headers, page).into_response()
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::of(text.as_bytes()).0)
}
