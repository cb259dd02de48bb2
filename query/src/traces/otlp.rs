//! OTLP over HTTP with JSON, as far as spans need it (OpenTelemetry protocol 1.x; encoding: "OTLP/HTTP, JSON Protobuf
//! Encoding"). Written out here because the libraries for it collect spans while things happen; ours tell of what is over.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use thiserror::Error;
use url::Url;

use super::spans::{Span, Told};

/// For one request, connecting included.
const WITHIN: Duration = Duration::from_secs(10);

/// Where traces are sent to. The operator's own address: it may be private, and its headers may be secret.
#[derive(Clone)]
pub struct TraceTarget {
    traces: Url,
    headers: HeaderMap,
}

impl std::fmt::Debug for TraceTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("TraceTarget")
            .field("host", &self.traces.host_str())
            .field("headers", &headers)
            .finish()
    }
}

/// What was given is no target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TraceTargetError {
    /// The endpoint is no http(s) address.
    #[error("could not use the OTLP endpoint: expected an address like http://127.0.0.1:4318")]
    Endpoint,
    /// A header can't be read.
    #[error(
        "could not use the OTLP headers: expected name=value pairs, separated by commas; the {0}. is none"
    )]
    Header(usize),
}

impl TraceTarget {
    /// A collector's address, to which `/v1/traces` is added, and headers as `OTEL_EXPORTER_OTLP_HEADERS` writes them:
    /// `name=value` pairs, separated by commas, values percent-encoded where needed.
    ///
    /// # Errors
    /// [`TraceTargetError`]; it repeats nothing of what may be secret.
    pub fn new(endpoint: &str, headers: &str) -> Result<TraceTarget, TraceTargetError> {
        let endpoint = endpoint.trim();
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && endpoint.contains("://");
        let base = Url::parse(endpoint).ok().filter(is_http).ok_or(TraceTargetError::Endpoint)?;
        let traces = format!("{}/v1/traces", base.as_str().trim_end_matches('/'));
        let traces = Url::parse(&traces).map_err(|_malformed| TraceTargetError::Endpoint)?;
        let pairs = headers.split(',').filter(|pair| !pair.trim().is_empty());
        let read = pairs.enumerate().map(|(at, pair)| header(pair).ok_or(TraceTargetError::Header(at + 1)));
        Ok(TraceTarget { traces, headers: read.collect::<Result<_, _>>()? })
    }
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

/// Spans did not arrive.
#[derive(Debug, Error)]
pub(super) enum SendError {
    #[error("the collector could not be reached")]
    Http(#[source] reqwest::Error),
    #[error("the collector answered {0}")]
    Refused(u16),
}

/// Sends spans to one target.
#[derive(Debug)]
pub(super) struct Collector {
    target: TraceTarget,
    client: reqwest::Client,
}

impl Collector {
    pub(super) fn new(target: TraceTarget) -> Result<Collector, outbound::BuildError> {
        Ok(Collector { target, client: outbound::operators_client()? })
    }

    /// Sends spans. What the collector will never take (a 4xx that does not pass) is named in the log and let go: nothing
    /// could follow it otherwise.
    pub(super) async fn send(&self, spans: &[Span]) -> Result<(), SendError> {
        let request = self
            .client
            .post(self.target.traces.clone())
            .headers(self.target.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .timeout(WITHIN)
            .body(document(spans).to_string());
        let answer = request.send().await.map_err(|error| SendError::Http(error.without_url()))?;
        let status = answer.status();
        // 401 and 403 are mended by the operator, 408 and 429 pass; all others are about what was sent.
        let passes = status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 404 | 408 | 429);
        if status.is_success() {
            Ok(())
        } else if passes || status.is_redirection() {
            Err(SendError::Refused(status.as_u16()))
        } else {
            tracing::error!(
                status = status.as_u16(),
                spans = spans.len(),
                "the collector refuses these spans: they are let go"
            );
            Ok(())
        }
    }
}

/// An `ExportTraceServiceRequest`.
fn document(spans: &[Span]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let service = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_unset| "framelane".to_owned());
    let resource =
        [("service.name", Told::Text(service)), ("service.version", Told::Text(version.to_owned()))];
    json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes(&resource) },
            "scopeSpans": [{
                "scope": { "name": "framelane", "version": version },
                "spans": spans.iter().map(span).collect::<Vec<_>>(),
            }],
        }],
    })
}

fn span(span: &Span) -> Value {
    let nanos = |time: events::Timestamp| (i128::from(time.0) * 1000).to_string();
    let mark = |(at, name): &(events::Timestamp, String)| json!({ "timeUnixNano": nanos(*at), "name": name });
    let mut told = json!({
        "traceId": hex::encode(span.trace),
        "spanId": hex::encode(span.id),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.start),
        "endTimeUnixNano": nanos(span.end.max(span.start)),
        "attributes": attributes(&span.attributes),
        "events": span.marks.iter().map(mark).collect::<Vec<_>>(),
        "status": match &span.error {
            // STATUS_CODE_ERROR and STATUS_CODE_OK.
            Some(message) => json!({ "code": 2, "message": message }),
            None => json!({ "code": 1 }),
        },
    });
    if let Some(parent) = span.parent {
        told["parentSpanId"] = json!(hex::encode(parent));
    }
    told
}

fn attributes(attributes: &[(&'static str, Told)]) -> Vec<Value> {
    let value = |told: &Told| match told {
        Told::Text(text) => json!({ "stringValue": text }),
        // 64-bit numbers are strings in JSON (Protocol Buffers, JSON mapping).
        Told::Number(number) => json!({ "intValue": number.to_string() }),
    };
    attributes.iter().map(|(key, told)| json!({ "key": key, "value": value(told) })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_opentelemetry_writes_it_and_shows_no_secret() {
        let target = TraceTarget::new("http://127.0.0.1:4318/", "api-key=S3CRET%20key, x-tenant = a");
        let target = target.expect("a target");
        assert_eq!(target.traces.as_str(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(target.headers["api-key"], "S3CRET key");
        assert_eq!(target.headers["x-tenant"], "a");
        assert!(!format!("{target:?}").contains("S3CRET"), "{target:?}");
        for bad in ["", "localhost:4318", "grpc://h:4317", "http://"] {
            assert_eq!(TraceTarget::new(bad, "").err(), Some(TraceTargetError::Endpoint), "{bad}");
        }
        let fault = TraceTarget::new("http://h", "a=b,S3CRET").err();
        assert_eq!(fault, Some(TraceTargetError::Header(2)), "and the fault names the place only");
    }
}
