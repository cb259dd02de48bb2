//! Reading a JSON body: bounded in size and time, and so that a client that sends too much still sees the answer.

use std::time::Duration;

use api::{ApiError, ServiceLimits};
use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout;

/// Reads the body as JSON, of at most `max_bytes`. A larger one is read and thrown away up to a limit: a client that is
/// still sending does not look for an answer, and would see a broken connection instead of the 413.
///
/// # Errors
/// 415 for another content type (none is taken for JSON) and for a packed body, 408, 413, 400.
pub(crate) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
    limits: &ServiceLimits,
) -> Result<Value, ApiError> {
    if let Some(given) = headers.get(CONTENT_TYPE) {
        let given = given.to_str().unwrap_or("unreadable");
        if !is_json(given) {
            return Err(ApiError::unsupported_media_type(given));
        }
    }
    for coding in headers.get_all(CONTENT_ENCODING) {
        let coding = coding.to_str().unwrap_or("unreadable");
        if !coding.trim().eq_ignore_ascii_case("identity") {
            return Err(ApiError::unsupported_coding(coding));
        }
    }
    let within = Duration::from_secs(limits.body_within_s);
    let bytes = timeout(within, read(body, max_bytes, limits.body_discarded_bytes_max)).await;
    let bytes = bytes.map_err(|_late| ApiError::request_timeout(limits.body_within_s))??;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::malformed_json(&error))
}

async fn read(body: Body, max_bytes: usize, discarded_max: u64) -> Result<Vec<u8>, ApiError> {
    let too_large = || ApiError::payload_too_large(max_bytes);
    // Announced to be hopeless: not worth reading.
    if body.size_hint().lower() > discarded_max {
        return Err(too_large());
    }
    let mut chunks = body.into_data_stream();
    let (mut kept, mut seen) = (Vec::new(), 0_u64);
    while let Some(chunk) = chunks.next().await {
        // The client went away: whatever is answered, nobody reads it.
        let chunk = chunk.map_err(|_gone| too_large())?;
        seen = seen.saturating_add(chunk.len() as u64);
        if seen <= max_bytes as u64 {
            kept.extend_from_slice(&chunk);
        } else if seen <= discarded_max {
            kept = Vec::new();
        } else {
            break;
        }
    }
    if seen > max_bytes as u64 { Err(too_large()) } else { Ok(kept) }
}

/// `application/json` and `application/…+json` (RFC 6839 3.1), whatever parameters follow.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_media_type() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert!(is_json(json), "{json}");
        }
        for other in ["text/plain", "text/json", "application/x-www-form-urlencoded", "application/jsonl", ""]
        {
            assert!(!is_json(other), "{other}");
        }
    }
}
