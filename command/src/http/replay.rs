//! `POST /v1/webhooks/{id}/replay` and `POST /v1/webhooks/{id}/test`.

use api::{Answer, ApiError, Caller, Code, Detail, Operation, RequestId, Shape};
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use events::render::SubmissionWarning;
use events::workspace::{WEBHOOK_EVENTS, WebhookReplayed};
use events::{EventId, Timestamp, WebhookId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::State;
use super::fields::Fields;
use super::request::{mark_replayed, once, origin, replayed, traced};
use super::webhooks::{not_done, read_events, webhook_id};
use crate::workspaces::replay::{Place, REPLAYED_MAX, Range};

/// What is told once more.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Replayed {
    /// The endpoint.
    webhook_id: WebhookId,
    /// The first place in the log that was looked at: events' `sequence`.
    from: u64,
    /// The last one.
    to: u64,
    /// Of which types; empty: of all that the endpoint is told of.
    types: Vec<String>,
    /// How many events are told of once more, each by its own id and bytes.
    events: u32,
    /// Whether this was only a count.
    dry_run: bool,
    /// Suspicions about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<SubmissionWarning>,
}

/// A message that is on its way.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Tested {
    /// The endpoint.
    webhook_id: WebhookId,
    /// The message's id, as it arrives in the body and in `webhook-id`.
    event_id: EventId,
    /// Its type: `webhook.test`.
    #[serde(rename = "type")]
    event_type: &'static str,
}

fn schema() -> Value {
    let place = |text: &str| {
        json!({
            "oneOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "format": "date-time" }],
            "description": text,
        })
    };
    json!({
        "type": "object",
        "required": ["from"],
        "x-order": ["from", "to", "types", "dry_run"],
        "properties": {
            "from": place("From this event on: its `sequence`, or an instant."),
            "to": place("Up to this event, or to this instant; up to now unless given."),
            "types": {
                "type": "array", "maxItems": WEBHOOK_EVENTS.len(), "items": { "type": "string", "enum": WEBHOOK_EVENTS },
                "description": "Of these types; of all that the endpoint is told of unless given. Progress is not kept, and not told again.",
            },
            "dry_run": { "type": "boolean", "default": false, "x-extension": true, "description": "Only count." },
        },
    })
}

pub(super) fn replay_operation(state: &State) -> Operation {
    let operation = Operation::post("/v1/webhooks/{id}/replay", "replay_webhook", "Tell an endpoint once more of what has happened")
        .tag("Webhooks")
        .extension()
        .text(
            "Every event of the range is sent again with the id it had, and with the bytes that were sent before where any were; \
             also to an endpoint that was made later, or is disabled. `dry_run` says how many that are.",
        )
        .path("id", "The endpoint.", Shape::of::<WebhookId>())
        .takes("Which events.", schema())
        .answers(Answer::json::<Replayed>(202, "They are on their way."))
        .answers(replayed(Answer::json::<Replayed>(200, "Only counted; or this request has sent them before.")))
        .refuses(&[Code::NotFound, Code::InvalidRequest, Code::Conflict]);
    once(traced(operation), state)
}

pub(super) async fn replay(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let webhook_id = webhook_id(&id)?;
    // An endpoint that is not there needs no body to say so.
    state.workspaces.webhook(caller.workspace, webhook_id).await.map_err(|error| not_done(&error))?;
    let path = format!("/v1/webhooks/{webhook_id}/replay");
    let (body, idempotency) = state.read_once(&caller, &path, &headers, body).await?;
    let mut fields = Fields::of(body, "from")?;
    let (range, dry_run) = read(&mut fields);
    let warnings = fields.finish()?;
    let Some(range) = range else { return Err(from_is_missing().into()) };
    let old = state.workspaces.replayed_before(caller.workspace, webhook_id, idempotency.as_ref()).await;
    if let Some(old) = old.map_err(|error| not_done(&error))? {
        return Ok(answer(StatusCode::OK, shown(old.replayed, false, warnings), true));
    }
    let planned = state.workspaces.plan_replay(caller.workspace, webhook_id, &range).await;
    let planned = planned.map_err(|error| not_done(&error))?;
    if planned.events > REPLAYED_MAX {
        let message = format!(
            "there are more than {REPLAYED_MAX} events between them, the most of one replay; name a shorter range"
        );
        return Err(Detail::new("/from", "limit_exceeded", message).into());
    }
    if dry_run {
        return Ok(answer(StatusCode::OK, shown(planned, true, warnings), false));
    }
    let origin = origin(&caller, request_id, &headers);
    let keep_ms = state.limits.idempotency_retention_s.saturating_mul(1000);
    let done = state
        .workspaces
        .replay_webhook(caller.workspace, &origin, planned, idempotency.as_ref(), keep_ms)
        .await;
    let done = done.map_err(|error| not_done(&error))?;
    let status = if done.is_old { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer(status, shown(done.replayed, false, warnings), done.is_old))
}

pub(super) fn test_operation() -> Operation {
    let operation =
        Operation::post("/v1/webhooks/{id}/test", "test_webhook", "Send an endpoint a message to try it")
            .tag("Webhooks")
            .extension()
            .text(
                "A `webhook.test`, signed and retried like all others; also to an endpoint that is disabled.",
            )
            .path("id", "The endpoint.", Shape::of::<WebhookId>())
            .answers(Answer::json::<Tested>(202, "It is on its way."))
            .refuses(&[Code::NotFound]);
    traced(operation)
}

pub(super) async fn test(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Tested>), ApiError> {
    let webhook_id = webhook_id(&id)?;
    let origin = origin(&caller, request_id, &headers);
    let tested = state.workspaces.test_webhook(caller.workspace, &origin, webhook_id).await;
    let Some(recorded) = tested.map_err(|error| not_done(&error))? else {
        return Err(ApiError::internal(&std::io::Error::other("a test was not recorded")));
    };
    let tested = Tested { webhook_id, event_id: recorded.event_id, event_type: events::news::TEST };
    Ok((StatusCode::ACCEPTED, Json(tested)))
}

fn answer(status: StatusCode, shown: Replayed, is_old: bool) -> Response {
    let mut response = (status, Json(shown)).into_response();
    if is_old {
        mark_replayed(&mut response);
    }
    response
}

fn shown(replayed: WebhookReplayed, dry_run: bool, warnings: Vec<SubmissionWarning>) -> Replayed {
    let WebhookReplayed { webhook_id, from, to, types, events, .. } = replayed;
    Replayed { webhook_id, from: from.0, to: to.0, types, events, dry_run, warnings }
}

fn from_is_missing() -> Detail {
    Detail::new("/from", "missing_field", "it is required: an event's sequence, or an instant")
}

fn read(fields: &mut Fields) -> (Option<Range>, bool) {
    let from = fields.value("from").map(|value| read_place(fields, "/from", &value));
    let to =
        fields.value("to").filter(|value| !value.is_null()).map(|value| read_place(fields, "/to", &value));
    let types = fields.value("types").filter(|value| !value.is_null());
    let types = types.and_then(|value| read_events(fields, "/types", &value)).unwrap_or_default();
    let dry_run = match fields.value("dry_run") {
        None => false,
        Some(Value::Bool(dry_run)) => dry_run,
        Some(_) => {
            fields.add_faults([Detail::new(
                "/dry_run",
                "wrong_type",
                "it is no boolean; true or false is expected",
            )]);
            false
        }
    };
    if from.is_none() {
        fields.add_faults([from_is_missing()]);
    }
    (from.flatten().map(|from| Range { from, to: to.flatten(), types }), dry_run)
}

fn read_place(fields: &mut Fields, path: &'static str, value: &Value) -> Option<Place> {
    let sequence = value.as_u64().filter(|sequence| *sequence > 0).map(Place::Sequence);
    let place = sequence.or_else(|| value.as_str().and_then(Timestamp::parse).map(Place::Instant));
    if place.is_none() {
        let message = "it is neither an event's sequence (a whole number from 1) nor an instant like 2026-01-31T12:00:00Z";
        fields.add_faults([Detail::new(path, "wrong_type", message)]);
    }
    place
}
