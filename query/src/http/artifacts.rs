//! Stored films by signed link: streamed, in ranges where asked, or from the store itself where clients reach it. The link
//! is the permission; no key is needed.
//!
//! An object under a key never changes, so its validator is its key's digest, and caches may keep it for as long as the
//! link lives.

use std::sync::Arc;

use api::fresh::is_known;
use api::{Answer, ApiError, Code, Operation};
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_RANGE, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use composition::catalog::format::FORMATS;
use events::{RenderId, Sha256, StreamId, StreamVersion, Timestamp};
use futures_util::TryStreamExt as _;
use serde_json::json;
use storage::{Grant, Refusal, StorageError, View};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::http::QueryState;
use crate::http::range::{Wanted, wanted};

/// Bytes read and sent at a time.
const CHUNK_BYTES: usize = 64 * 1024;

pub(crate) fn serve_operation() -> Operation {
    let text = || json!({ "type": "string" });
    Operation::get("/v1/artifacts/{*key}", "get_artifact", "A stored file, by signed link")
        .tag("Media")
        .text(
            "The link is the permission: take it whole from a job's `output.url`, a webhook or `…/download`. Ranges, \
             conditional requests and HEAD work as usual; the bytes under a link never change. Where films lie in an S3 \
             store the answer leads there: follow it at once, and come back to this link another time. What is asked for \
             then counts as sent.",
        )
        .keyless()
        .path("key", "What the link says; may hold slashes.", text())
        .query("exp", "What the link says.", text())
        .query("name", "What the link says.", text())
        .query("type", "What the link says.", text())
        .query("sig", "What the link says.", text())
        .header("Range", "Part of the file: `bytes=0-1023`.", text())
        .header("If-Range", "The range counts only for these bytes (an ETag).", text())
        .header("If-None-Match", "Bytes that the client has already (an ETag).", text())
        .answers(file(Answer::empty(200, "The file.")))
        .answers(file(Answer::empty(206, "The part that was asked for.")).with("Content-Range"))
        .answers(
            Answer::empty(302, "To the file in its store, which works for a quarter of an hour.")
                .with("Location")
                .with("Cache-Control"),
        )
        .answers(Answer::empty(304, "The client has these bytes.").with("ETag").with("Cache-Control"))
        .refuses(&[Code::Forbidden, Code::Gone, Code::RangeNotSatisfiable])
}

fn file(answer: Answer) -> Answer {
    let headers = ["ETag", "Accept-Ranges", "Cache-Control", "Content-Disposition"];
    let bytes = json!({ "type": "string", "format": "binary" });
    let kinds = FORMATS.iter().map(|format| format.content_type).chain(["application/octet-stream"]);
    let answer = kinds.fold(answer, |answer, kind| answer.or_as(kind, bytes.clone()));
    headers.into_iter().fold(answer, Answer::with)
}

/// `GET` and `HEAD` `/v1/artifacts/{key}?exp&name&type&sig`.
///
/// # Errors
/// 403 for a link that is not ours, 410 once it or the object has expired, 416.
pub(crate) async fn serve(
    State(state): State<QueryState>,
    method: Method,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let now = state.clock.now();
    let grant =
        state.links.verify(&key, query.as_deref().unwrap_or_default(), now).map_err(
            |refusal| match refusal {
                Refusal::Expired => ApiError::gone("this link has expired; GET the job for a fresh one"),
                Refusal::Bad => {
                    ApiError::forbidden("this link was not made by this service, or has been altered")
                }
            },
        )?;
    let etag = format!("\"{}\"", Sha256::of(grant.key.as_bytes()));
    let size = state.storage.size(&grant.key).await.map_err(|error| missing(&error))?;
    let max_age_s = grant.expires.ms_since(now) / 1000;
    let mut answer = Headers(HeaderMap::new());
    answer.set(ETAG, &etag);
    answer.set(ACCEPT_RANGES, "bytes");
    answer.set(CACHE_CONTROL, &format!("private, immutable, max-age={max_age_s}"));
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, answer.0).into_response());
    }
    let content_type = grant.content_type.as_deref().unwrap_or("application/octet-stream");
    let disposition = disposition(&grant);
    answer.set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // RFC 9110 13.1.5: a range of other bytes than the client has would be worse than all of them.
    let range =
        named(&headers, RANGE).filter(|_| named(&headers, IF_RANGE).is_none_or(|known| known == etag));
    let (status, first, length) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part { first, last } => {
            answer.set(CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
        Wanted::Beyond => {
            let range = [(CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
    };
    answer.set(CONTENT_LENGTH, &length.to_string());
    let seconds = u64::try_from(max_age_s).unwrap_or_default();
    let view = View { head: method == Method::HEAD, content_type, disposition: &disposition, seconds };
    if let Some(elsewhere) = elsewhere(&state, &grant.key, &view, length, now).await? {
        return Ok(elsewhere);
    }
    answer.set(CONTENT_TYPE, content_type);
    answer.set(CONTENT_DISPOSITION, &disposition);
    let object = state.storage.read(&grant.key, first).await.map_err(|error| missing(&error))?;
    let count = counter(&state, &grant.key, now).await?;
    let bytes = ReaderStream::with_capacity(object.bytes.take(length), CHUNK_BYTES);
    let body = Body::from_stream(bytes.inspect_ok(move |chunk| count(chunk.len() as u64)));
    Ok((status, answer.0, body).into_response())
}

/// The answer where clients read from the store itself. What happens there is not seen here: what was asked for counts as
/// sent, whole films whole and ranges as they are.
async fn elsewhere(
    state: &QueryState,
    key: &str,
    view: &View<'_>,
    length: u64,
    now: Timestamp,
) -> Result<Option<Response>, ApiError> {
    let address = state.storage.address(key, view).await.map_err(|error| missing(&error))?;
    let Some(address) = address else { return Ok(None) };
    if !view.head {
        counter(state, key, now).await?(length);
    }
    let headers = [(LOCATION, address), (CACHE_CONTROL, "no-store".to_owned())];
    Ok(Some((StatusCode::FOUND, headers).into_response()))
}

/// Counts bytes as they are sent, on the account of whoever owns the film.
async fn counter(
    state: &QueryState,
    key: &str,
    now: Timestamp,
) -> Result<impl Fn(u64) + Send + 'static, ApiError> {
    let render =
        key.strip_prefix("renders/").and_then(|rest| rest.split('/').next()?.parse::<RenderId>().ok());
    let began = match render {
        Some(render) => state.store.load_after(&StreamId::from(render), StreamVersion(0), 1).await,
        None => Ok(Vec::new()),
    };
    let owner = began.map_err(|error| ApiError::of_store(&error))?.first().map(|first| first.workspace_id);
    let (egress, (month, _)) = (Arc::clone(&state.egress), now.month());
    Ok(move |bytes| {
        if let Some(owner) = owner {
            egress.add(owner, month, bytes);
        }
    })
}

/// Headers of an answer; a value that can't be one (it holds a control character) is left out.
struct Headers(HeaderMap);

impl Headers {
    fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.insert(name, value);
        }
    }
}

fn named(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn missing(error: &StorageError) -> ApiError {
    match error {
        StorageError::NotFound { .. } => ApiError::gone("this file has been deleted"),
        other => ApiError::internal(other),
    }
}

/// Content-Disposition (RFC 6266): a plain name for old clients, the real one in UTF-8 (RFC 8187) for the others.
fn disposition(grant: &Grant) -> String {
    let plain: String = grant.filename.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in grant.filename.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Characters that mean themselves inside a quoted string everywhere; a percent sign is decoded by some clients.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | '/') || c == ' '
}

#[cfg(test)]
mod tests {
    use events::Timestamp;

    use super::*;

    #[test]
    fn any_file_name_can_be_told() {
        let told = |filename: &str| {
            disposition(&Grant {
                key: String::new(),
                filename: filename.to_owned(),
                content_type: None,
                expires: Timestamp(0),
            })
        };
        assert_eq!(told("film.mp4"), "attachment; filename=\"film.mp4\"; filename*=UTF-8''film.mp4");
        assert_eq!(
            told("a \"b\" 50%/ü\r\n.mp4"),
            "attachment; filename=\"a _b_ 50_____.mp4\"; filename*=UTF-8''a%20%22b%22%2050%25%2F%C3%BC%0D%0A.mp4"
        );
    }
}
