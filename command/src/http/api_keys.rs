//! `POST /v1/api-keys` and `DELETE /v1/api-keys/{id}`.
//!
//! A key is shown once, in the answer that makes it, and kept as a digest. A caller may revoke the key it comes with; the
//! last key of a workspace stays, because nobody could make another.

use api::{Answer, ApiError, Caller, Code, Operation, RequestId, Shape};
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use events::KeyId;
use events::render::SubmissionWarning;
use events::workspace_view::ApiKey;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::State;
use super::fields::Fields;
use super::request::{mark_replayed, once, origin, replayed, traced};
use super::workspace::{failed, name_schema, refused};
use crate::workspaces::requests::MadeKey;

/// Where keys are made; also the scope of their idempotency keys.
pub(super) const PATH: &str = "/v1/api-keys";

/// A key that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NewApiKey {
    #[serde(flatten)]
    about: ApiKey,
    /// The whole key. Only here, and only the first time: whoever repeats the request finds the key's name and not the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Suspicions about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<SubmissionWarning>,
}

pub(super) fn create_operation(state: &State) -> Operation {
    let body =
        json!({ "type": "object", "required": ["name"], "properties": { "name": name_schema(state) } });
    let operation = Operation::post(PATH, "create_api_key", "Make an API key")
        .tag("Workspace")
        .takes("What it is called.", body)
        .answers(Answer::json::<NewApiKey>(201, "The new key, shown this once.").with("Cache-Control"))
        .answers(replayed(
            Answer::json::<NewApiKey>(200, "This request has made a key before: the answer without `key`.")
                .with("Cache-Control"),
        ))
        .refuses(&[Code::InvalidRequest, Code::Conflict]);
    once(traced(operation), state)
}

pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (body, idempotency) = state.read_once(&caller, PATH, &headers, body).await?;
    let mut fields = Fields::of(body, "name")?;
    let name = fields.required_name("name", state.limits.name_chars_max);
    let warnings = fields.finish()?;
    let origin = origin(&caller, request_id, &headers);
    let keep_ms = state.limits.idempotency_retention_s.saturating_mul(1000);
    let name = name.unwrap_or_default();
    let made =
        state.workspaces.create_key(caller.workspace, &origin, &name, idempotency.as_ref(), keep_ms).await;
    let MadeKey { key, secret } = made.map_err(|error| refused(&error))?;
    let is_new = secret.is_some();
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let body = Json(NewApiKey { about: key.present(), key: secret, warnings });
    // Whoever stands between must not keep it.
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], body).into_response();
    if !is_new {
        mark_replayed(&mut response);
    }
    Ok(response)
}

pub(super) fn revoke_operation() -> Operation {
    let operation = Operation::delete("/v1/api-keys/{id}", "revoke_api_key", "Revoke an API key")
        .tag("Workspace")
        .text("It opens nothing from now on, not even if it is the key that this request comes with. The last key stays.")
        .path("id", "The key's name, not the key itself.", Shape::of::<KeyId>())
        .answers(Answer::empty(204, "It is revoked."))
        .refuses(&[Code::NotFound, Code::Conflict]);
    traced(operation)
}

pub(super) async fn revoke(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::not_found(format_args!("API key {}", id.chars().take(64).collect::<String>()));
    let key_id: KeyId = id.parse().map_err(|_malformed| unknown())?;
    let origin = origin(&caller, request_id, &headers);
    let revoked = state.workspaces.revoke_key(caller.workspace, &origin, key_id).await;
    revoked.map(|()| StatusCode::NO_CONTENT).map_err(|error| failed(&error))
}
