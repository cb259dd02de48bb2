//! The endpoints of the caller's workspace, and what became of what they were sent.

use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use api::{Answer, ApiError, Caller, Code, Operation, Page, Shape, fresh};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use events::workspace_view::{Webhook, WebhookView};
use events::{DeliveryId, WebhookId};

use crate::http::query_string::PageParameters;
use crate::http::{QueryState, deliveries, workspace};
use crate::webhooks::attempts::{self, DeliveryAttempt, Of};
use crate::webhooks::ledger::{self, Again};

pub(crate) fn list_operation() -> Operation {
    Operation::get("/v1/webhooks", "list_webhooks", "List webhook endpoints, newest first")
        .tag("Webhooks")
        .paged(LIMIT_DEFAULT, LIMIT_MAX)
        .answers_fresh(Answer::json::<Page<Webhook>>(200, "A page of endpoints."))
        .refuses(&[Code::InvalidRequest])
}

/// `GET /v1/webhooks`: a [`Page`] of [`Webhook`]s, newest first.
///
/// # Errors
/// 401, 422 naming every bad parameter.
pub(crate) async fn list(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = PageParameters::read(query.as_deref())?;
    let webhooks = workspace::view(&state, caller).await?.webhooks;
    let page = workspace::page(&webhooks, &parameters, |webhook| (webhook.created_at, webhook.id));
    let shown = present(&state, &caller, &page.data).await?;
    fresh(&headers, &page.showing(shown))
}

pub(crate) fn read_operation() -> Operation {
    Operation::get("/v1/webhooks/{id}", "get_webhook", "An endpoint")
        .tag("Webhooks")
        .path("id", "The endpoint.", Shape::of::<WebhookId>())
        .answers_fresh(Answer::json::<Webhook>(200, "The endpoint."))
        .refuses(&[Code::NotFound])
}

/// `GET /v1/webhooks/{id}`: a [`Webhook`].
///
/// # Errors
/// 401, 404 (also for another workspace's endpoint).
pub(crate) async fn read(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let webhook = find(&state, &caller, &id).await?;
    let mut shown = present(&state, &caller, &[&webhook]).await?;
    fresh(&headers, &shown.remove(0))
}

pub(crate) fn deliveries_operation() -> Operation {
    Operation::get(
        "/v1/webhooks/{id}/deliveries",
        "list_webhook_deliveries",
        "What became of what an endpoint was sent, newest attempt first",
    )
    .tag("Webhooks")
    .path("id", "The endpoint.", Shape::of::<WebhookId>())
    .paged(LIMIT_DEFAULT, LIMIT_MAX)
    .answers_fresh(Answer::json::<Page<DeliveryAttempt>>(200, "A page of attempts."))
    .refuses(&[Code::NotFound, Code::InvalidRequest])
}

/// `GET /v1/webhooks/{id}/deliveries`: a [`Page`] of [`DeliveryAttempt`]s, newest first.
///
/// # Errors
/// 401, 404 (also for another workspace's endpoint), 422.
pub(crate) async fn list_attempts(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = PageParameters::read(query.as_deref())?;
    let webhook = find(&state, &caller, &id).await?;
    deliveries::page(&state, &headers, Of::Webhook(webhook.id), &parameters).await
}

pub(crate) fn redeliver_operation() -> Operation {
    Operation::post(
        "/v1/webhooks/{id}/deliveries/{delivery_id}/redeliver",
        "redeliver_webhook",
        "Send a delivery once more",
    )
    .tag("Webhooks")
    .extension()
    .text("The same id and the same bytes, at once, whatever came of it before; also to an endpoint that is disabled.")
    .path("id", "The endpoint.", Shape::of::<WebhookId>())
    .path("delivery_id", "The delivery, as its attempts name it.", Shape::of::<DeliveryId>())
    .answers(Answer::json::<DeliveryAttempt>(202, "The attempt that will be made."))
    .refuses(&[Code::NotFound, Code::Conflict])
}

/// `POST /v1/webhooks/{id}/deliveries/{delivery_id}/redeliver`.
///
/// # Errors
/// 401, 404 (also for another workspace's), 409 for a progress that is no longer kept.
pub(crate) async fn redeliver(
    State(state): State<QueryState>,
    caller: Caller,
    Path((id, delivery_id)): Path<(String, String)>,
) -> Result<(StatusCode, Json<DeliveryAttempt>), ApiError> {
    let webhook = find(&state, &caller, &id).await?;
    let shown: String = delivery_id.chars().take(64).collect();
    let unknown = || ApiError::not_found(format_args!("delivery {shown}"));
    let delivery: DeliveryId = delivery_id.parse().map_err(|_no_id| unknown())?;
    let again = ledger::redeliver(&state.db, webhook.id, delivery, state.clock.now()).await;
    let number = match again.map_err(|error| ApiError::internal(&error))? {
        Again::Due(number) => number,
        Again::Unknown => return Err(unknown()),
        Again::Forgotten => {
            return Err(ApiError::conflict(format!(
                "{delivery} told of progress, which is not kept once it is over"
            )));
        }
    };
    let attempt = attempts::one(&state.db, delivery, number).await;
    let attempt = attempt.map_err(|error| ApiError::internal(&error))?.ok_or_else(unknown)?;
    Ok((StatusCode::ACCEPTED, Json(attempt)))
}

async fn find(state: &QueryState, caller: &Caller, id: &str) -> Result<WebhookView, ApiError> {
    let unknown = || ApiError::not_found(format_args!("webhook {}", id.chars().take(64).collect::<String>()));
    let wanted: WebhookId = id.parse().map_err(|_no_id| unknown())?;
    let webhooks = workspace::view(state, *caller).await?.webhooks;
    webhooks.into_iter().find(|webhook| webhook.id == wanted).ok_or_else(unknown)
}

async fn present(
    state: &QueryState,
    caller: &Caller,
    webhooks: &[&WebhookView],
) -> Result<Vec<Webhook>, ApiError> {
    let last = ledger::last_deliveries(&state.db, webhooks.iter().map(|webhook| webhook.id)).await;
    let last = last.map_err(|error| ApiError::internal(&error))?;
    let mut shown = Vec::with_capacity(webhooks.len());
    for webhook in webhooks {
        let url = state.documents.text(caller.workspace, webhook.settings.address).await;
        let url = url.map_err(|error| ApiError::of_store(&error))?;
        shown.push(webhook.present(url, last.get(&webhook.id).copied()));
    }
    Ok(shown)
}
