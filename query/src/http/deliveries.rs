//! What became of a job's webhooks: every attempt, made or planned, newest first.

use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use api::{Answer, ApiError, Caller, Code, Operation, Page, Shape, fresh};
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use events::RenderId;

use crate::http::query_string::PageParameters;
use crate::http::{QueryState, render_id, renders};
use crate::webhooks::attempts;

pub(crate) fn list_operation() -> Operation {
    Operation::get(
        "/v1/renders/{id}/deliveries",
        "list_render_deliveries",
        "What became of a job's webhooks, newest attempt first",
    )
    .tag("Webhooks")
    .extension()
    .path("id", "The job.", Shape::of::<RenderId>())
    .paged(LIMIT_DEFAULT, LIMIT_MAX)
    .answers_fresh(Answer::json::<Page<attempts::DeliveryAttempt>>(200, "A page of attempts."))
    .refuses(&[Code::NotFound, Code::InvalidRequest])
}

/// `GET /v1/renders/{id}/deliveries`: a [`Page`] of [`attempts::DeliveryAttempt`]s, newest first.
///
/// # Errors
/// 401, 404 (also for another workspace's job), 422.
pub(crate) async fn list(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = PageParameters::read(query.as_deref())?;
    let job = renders::find(&state, caller.workspace, render_id(&id)?).await?.view.id;
    page(&state, &headers, attempts::Of::Job(job), &parameters).await
}

/// A page of attempts.
pub(super) async fn page(
    state: &QueryState,
    headers: &HeaderMap,
    of: attempts::Of,
    parameters: &PageParameters<i64>,
) -> Result<Response, ApiError> {
    let &PageParameters { limit, cursor } = parameters;
    let found = attempts::list(&state.db, of, cursor, limit + 1).await;
    let page = Page::cut(found.map_err(|error| ApiError::internal(&error))?, limit, |(place, _)| *place);
    let shown = page.data.iter().map(|(_, attempt)| attempt).collect();
    fresh(headers, &page.showing(shown))
}
