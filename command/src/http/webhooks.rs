//! `POST /v1/webhooks`, `PATCH` and `DELETE /v1/webhooks/{id}`, `POST /v1/webhooks/{id}/rotate-secret`.

use api::{Answer, ApiError, Caller, Code, Detail, Operation, RequestId, Shape};
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use composition::ParseOptions;
use events::WebhookId;
use events::render::SubmissionWarning;
use events::workspace::{WEBHOOK_EVENTS, WEBHOOK_EVENTS_DEFAULT};
use events::workspace_view::Webhook;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::State;
use super::fields::Fields;
use super::request::{mark_replayed, once, origin, replayed, traced};
use super::workspace::{failed, refused};
use crate::workspaces::webhooks::{Told, Wanted, WebhookError};

/// Where endpoints are made; also the scope of their idempotency keys.
pub(super) const PATH: &str = "/v1/webhooks";

/// How long an older secret signs on unless the request says otherwise, and at most: a day, a week.
const OVERLAP_S: u32 = 24 * 60 * 60;
const OVERLAP_MAX_S: u32 = 7 * OVERLAP_S;

/// An endpoint after a request.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChangedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// Suspicions about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<SubmissionWarning>,
}

/// A new secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RotatedSecret {
    /// What the workspace's webhooks are signed with from now on: `whsec_` and 32 bytes of base64.
    secret: String,
    /// Until then the secret before it signs as well.
    #[schemars(extend("format" = "date-time"))]
    previous_expires_at: String,
}

fn body_schema(required: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "x-order": ["url", "events", "enabled"],
        "properties": {
            "url": { "type": "string", "format": "uri", "maxLength": 2083, "description": "Where events are posted to: http or https." },
            "events": {
                "type": "array", "maxItems": WEBHOOK_EVENTS.len(), "items": { "type": "string", "enum": WEBHOOK_EVENTS },
                "description": "The types it is told of; an empty list: all.", "default": WEBHOOK_EVENTS_DEFAULT,
            },
            "enabled": { "type": "boolean", "default": true, "description": "Whether it is told of anything." },
        },
    });
    if required {
        schema["required"] = json!(["url"]);
    }
    schema
}

pub(super) fn create_operation(state: &State) -> Operation {
    let operation = Operation::post(PATH, "create_webhook", "Tell an endpoint of the workspace's events")
        .tag("Webhooks")
        .text(
            "It is told of what happens from then on to jobs without a `webhook_url` of their own. All endpoints of a \
             workspace are signed with its one secret: `rotate-secret` makes a new one and tells it.",
        )
        .takes("Where, and of what.", body_schema(true))
        .answers(Answer::json::<ChangedWebhook>(201, "The new endpoint."))
        .answers(replayed(Answer::json::<ChangedWebhook>(200, "This request has made an endpoint before: as it is now.")))
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
    let mut fields = Fields::of(body, "url")?;
    let mut wanted = read(&mut fields);
    if wanted.url.is_none() && !fields.is_faulty() {
        fields.add_faults([Detail::new("/url", "missing_field", "it is required")]);
    }
    let warnings = fields.finish()?;
    wanted.events.get_or_insert_with(|| WEBHOOK_EVENTS_DEFAULT.map(str::to_owned).to_vec());
    let origin = origin(&caller, request_id, &headers);
    let keep_ms = state.limits.idempotency_retention_s.saturating_mul(1000);
    let url = wanted.url.take().unwrap_or_default();
    let made = state.workspaces.create_webhook(
        caller.workspace,
        &origin,
        &url,
        wanted,
        idempotency.as_ref(),
        keep_ms,
    );
    let told = made.await.map_err(|error| not_done(&error))?;
    let status = if told.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let replayed = told.replayed;
    let mut response = (status, Json(shown(told, warnings))).into_response();
    if replayed {
        mark_replayed(&mut response);
    }
    Ok(response)
}

pub(super) fn change_operation() -> Operation {
    let operation = Operation::patch("/v1/webhooks/{id}", "change_webhook", "Change an endpoint")
        .tag("Webhooks")
        .text("What was not delivered yet goes where it would have gone; an endpoint that is disabled is sent nothing more.")
        .path("id", "The endpoint.", Shape::of::<WebhookId>())
        .takes("What is to change; what is left out stays.", body_schema(false))
        .answers(Answer::json::<ChangedWebhook>(200, "The endpoint as it is now."))
        .refuses(&[Code::NotFound, Code::InvalidRequest]);
    traced(operation)
}

pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ChangedWebhook>, ApiError> {
    let webhook_id = webhook_id(&id)?;
    let mut fields = Fields::of(state.read_json(&headers, body).await?, "url")?;
    let wanted = read(&mut fields);
    let warnings = fields.finish()?;
    let origin = origin(&caller, request_id, &headers);
    let changed = state.workspaces.change_webhook(caller.workspace, &origin, webhook_id, wanted).await;
    changed.map(|told| Json(shown(told, warnings))).map_err(|error| not_done(&error))
}

pub(super) fn delete_operation() -> Operation {
    let operation = Operation::delete("/v1/webhooks/{id}", "delete_webhook", "Tell an endpoint nothing more")
        .tag("Webhooks")
        .path("id", "The endpoint.", Shape::of::<WebhookId>())
        .answers(Answer::empty(204, "It is told of nothing more."))
        .refuses(&[Code::NotFound]);
    traced(operation)
}

pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let webhook_id = webhook_id(&id)?;
    let origin = origin(&caller, request_id, &headers);
    let deleted = state.workspaces.delete_webhook(caller.workspace, &origin, webhook_id).await;
    deleted.map(|()| StatusCode::NO_CONTENT).map_err(|error| failed(&error))
}

pub(super) fn rotate_operation() -> Operation {
    let overlap = json!({
        "type": "object",
        "properties": { "overlap": {
            "type": ["integer", "null"], "minimum": 0, "maximum": OVERLAP_MAX_S, "default": OVERLAP_S, "x-extension": true,
            "description": "Seconds that the older secret signs beside the new one.",
        } },
    });
    Operation::post("/v1/webhooks/{id}/rotate-secret", "rotate_webhook_secret", "Make a new signing secret")
        .tag("Webhooks")
        .text("The workspace has one secret for all its webhooks. During the overlap both sign, so that no message is refused.")
        .path("id", "One of the workspace's endpoints.", Shape::of::<WebhookId>())
        .may_take("How long the older one goes on.", overlap)
        .answers(Answer::json::<RotatedSecret>(200, "The new secret.").with("Cache-Control"))
        .refuses(&[Code::NotFound, Code::InvalidRequest])
}

pub(super) async fn rotate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let webhook_id = webhook_id(&id)?;
    let mut fields = Fields::of(state.read_json_or_nothing(&headers, body).await?, "overlap")?;
    let overlap_s = fields.number_or_null("overlap", 0..=OVERLAP_MAX_S).flatten().unwrap_or(OVERLAP_S);
    fields.finish()?;
    let rotated = state.workspaces.rotate_secret(caller.workspace, webhook_id, i64::from(overlap_s) * 1000);
    let (secret, ends) = rotated.await.map_err(|error| not_done(&error))?;
    let body = RotatedSecret { secret, previous_expires_at: ends.to_string() };
    // Whoever stands between must not keep it.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// What a request says of an endpoint.
fn read(fields: &mut Fields) -> Wanted {
    let url = fields.value("url").and_then(|value| read_url(fields, &value));
    let events = fields.value("events").and_then(|value| read_events(fields, "/events", &value));
    let enabled = fields.value("enabled").and_then(|value| match value {
        Value::Bool(enabled) => Some(enabled),
        _ => {
            fields.add_faults([Detail::new(
                "/enabled",
                "wrong_type",
                "it is no boolean; true or false is expected",
            )]);
            None
        }
    });
    Wanted { url, events, enabled }
}

/// What a job's `webhook_url` may be an endpoint's address may be: the language decides.
fn read_url(fields: &mut Fields, value: &Value) -> Option<String> {
    let judged = composition::parse(&json!({ "webhook_url": value }), &ParseOptions::default());
    match judged {
        Ok(parsed) if parsed.composition.webhook_url.is_some() => parsed.composition.webhook_url,
        Ok(_) => {
            fields.add_faults([Detail::new(
                "/url",
                "wrong_type",
                "it is null; an http or https address is expected",
            )]);
            None
        }
        Err(problems) => {
            let own = |text: String| text.replace("webhook_url", "url");
            let details =
                problems.into_iter().map(|it| Detail::new(own(it.path), it.code.as_str(), own(it.message)));
            fields.add_faults(details);
            None
        }
    }
}

/// A list of event types at `path`.
pub(super) fn read_events(fields: &mut Fields, path: &'static str, value: &Value) -> Option<Vec<String>> {
    let Some(list) = value.as_array() else {
        fields.add_faults([Detail::new(
            path,
            "wrong_type",
            "it is no list; a list of event types is expected",
        )]);
        return None;
    };
    if list.len() > WEBHOOK_EVENTS.len() {
        let message =
            format!("it has {} entries; there are {} event types", list.len(), WEBHOOK_EVENTS.len());
        fields.add_faults([Detail::new(path, "limit_exceeded", message)]);
        return None;
    }
    let mut events: Vec<String> = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        match entry.as_str() {
            Some(known) if WEBHOOK_EVENTS.contains(&known) => events.push(known.to_owned()),
            _ => {
                let near = entry.as_str().and_then(|word| composition::nearest(word, WEBHOOK_EVENTS));
                let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                let message =
                    format!("it is no event type; expected one of {}{hint}", WEBHOOK_EVENTS.join(", "));
                fields.add_faults([Detail::new(format!("{path}/{at}"), "unknown_value", message)]);
            }
        }
    }
    events.sort();
    events.dedup();
    Some(events)
}

pub(super) fn webhook_id(text: &str) -> Result<WebhookId, ApiError> {
    let unknown = |_malformed| {
        ApiError::not_found(format_args!("webhook {}", text.chars().take(64).collect::<String>()))
    };
    text.parse().map_err(unknown)
}

fn shown(told: Told, warnings: Vec<SubmissionWarning>) -> ChangedWebhook {
    // When something was last sent is known to whoever sends.
    ChangedWebhook { webhook: told.webhook.present(told.url, None), warnings }
}

pub(super) fn not_done(error: &WebhookError) -> ApiError {
    match error {
        WebhookError::Request(error) => refused(error),
        WebhookError::Unknown(id) => ApiError::not_found(format_args!("webhook {id}")),
        error => ApiError::internal(error),
    }
}
