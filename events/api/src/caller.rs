//! Who asks: a bearer key, looked up by its digest.
//!
//! Promises: a missing, misspelt and unknown key get one and the same answer; a key is compared by its SHA-256 only, so
//! that the time of the look-up says nothing of the key, and never reaches a log.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use event_store::EventStore;
use events::{Actor, KeyId, Sha256, WorkspaceId};

use crate::conventions::Admission;
use crate::error::ApiError;

/// An authenticated caller, within the rate of its key. As an extractor it must come before the body's, so that nobody unknown makes us read one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Whose data they see.
    pub workspace: WorkspaceId,
    /// Which key they showed.
    pub key_id: KeyId,
}

impl Caller {
    /// Looks up the key in `Authorization: Bearer …`.
    ///
    /// # Errors
    /// 401 where there is no key that opens anything; 500 where the store fails.
    pub async fn authenticate(headers: &HeaderMap, store: &dyn EventStore) -> Result<Caller, ApiError> {
        let key = bearer(headers).ok_or_else(ApiError::unauthorized)?;
        let row =
            store.api_key(Sha256::of(key.as_bytes())).await.map_err(|error| ApiError::of_store(&error))?;
        let row = row.ok_or_else(ApiError::unauthorized)?;
        Ok(Caller { workspace: row.workspace, key_id: row.key_id })
    }

    /// The caller as the actor of events.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor(self.key_id.to_string())
    }
}

impl<S> FromRequestParts<S> for Caller
where
    Arc<dyn EventStore>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Caller, ApiError> {
        let store = Arc::<dyn EventStore>::from_ref(state);
        let caller = Caller::authenticate(&parts.headers, store.as_ref()).await?;
        if let Some(admission) = parts.extensions.get::<Admission>() {
            admission.admit(caller.key_id)?;
        }
        Ok(caller)
    }
}

/// The credentials of the one Authorization header; the scheme's name is case-insensitive (RFC 9110 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_key_counts() {
        let headers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, axum::http::HeaderValue::from_static(value));
            }
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer fl_live_a"])), Some("fl_live_a"));
        assert_eq!(
            bearer(&headers(&["bearer  fl_live_a "])),
            Some("fl_live_a"),
            "RFC 9110 11.1: case is free"
        );
        for refused in
            [&[][..], &["Basic fl_live_a"], &["Bearer "], &["fl_live_a"], &["Bearer a", "Bearer b"]]
        {
            assert_eq!(bearer(&headers(refused)), None, "{refused:?}");
        }
    }
}
