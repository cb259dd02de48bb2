//! Conditional answers: an ETag over the body's bytes, and 304 for whoever has them already (RFC 9110 13).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use events::Sha256;
use serde::Serialize;

use crate::error::ApiError;

/// Answers 200 with `value` as JSON and its ETag, or 304 where `If-None-Match` names that tag. Caches may keep it for its
/// caller alone, and ask each time whether it still holds.
///
/// # Errors
/// 500 where the value has no JSON form.
pub fn fresh(headers: &HeaderMap, value: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(value).map_err(|error| ApiError::internal(&error))?;
    let digest = Sha256::of(&body).0;
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..16]));
    let known = is_known(headers, &tag);
    let tag = HeaderValue::from_str(&tag).map_err(|error| ApiError::internal(&error))?;
    let about = [(ETAG, tag), (CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((about, json, Body::from(body)).into_response())
}

/// Whether the request's `If-None-Match` names `tag` (with its quotes). Compared weakly, as RFC 9110 13.1.2 asks: a cache
/// on the way may have weakened the tag when it compressed the body.
#[must_use]
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_NONE_MATCH, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    #[test]
    fn whoever_has_it_is_told_so_and_nothing_more() {
        let first = fresh(&headers(&[]), &"a").expect("answers");
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].to_str().expect("text").to_owned();
        assert_eq!(fresh(&headers(&[&tag]), &"a").expect("answers").status(), StatusCode::NOT_MODIFIED);
        assert_eq!(
            fresh(&headers(&[&tag]), &"b").expect("answers").status(),
            StatusCode::OK,
            "it has changed"
        );
    }

    #[test]
    fn any_of_the_tags_counts_however_it_is_written() {
        for known in [&["\"x\""][..], &["\"a\", \"x\""], &["\"a\"", "W/\"x\""], &["*"], &["\"a\",W/\"x\""]] {
            assert!(is_known(&headers(known), "\"x\""), "{known:?}");
        }
        for unknown in [&[][..], &["x"], &["\"X\""], &["\"a\", \"b\""]] {
            assert!(!is_known(&headers(unknown), "\"x\""), "{unknown:?}");
        }
    }
}
