//! What became of a job's webhooks: every attempt, made or planned, newest first.

use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use api::{Answer, ApiError, Caller, Code, Operation, Page, Shape, encode_cursor, fresh};
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use events::RenderId;

use crate::http::query_string::QueryString;
use crate::http::{QueryState, render_id, renders};
use crate::webhooks::attempts;

/// The query parameters of `GET /v1/renders/{id}/deliveries`.
#[derive(Debug)]
pub(crate) struct DeliveriesParameters {
    /// Attempts of a page: 1–100, 20 unless given.
    pub(super) limit: u32,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<i64>,
}

impl DeliveriesParameters {
    pub(super) const KNOWN: &[&str] = &["limit", "cursor"];

    pub(super) fn read(query: Option<&str>) -> Result<DeliveriesParameters, ApiError> {
        let mut query = QueryString::parse(query, DeliveriesParameters::KNOWN);
        let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX);
        let parameters = DeliveriesParameters { limit, cursor: query.cursor() };
        query.finish().map(|()| parameters)
    }
}

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
    let DeliveriesParameters { limit, cursor } = DeliveriesParameters::read(query.as_deref())?;
    let job = renders::find(&state, caller.workspace, render_id(&id)?).await?.view.id;
    let of = attempts::Of::Job(job);
    page(&state, &headers, of, limit, cursor).await
}

/// A page of attempts.
pub(super) async fn page(
    state: &QueryState,
    headers: &HeaderMap,
    of: attempts::Of,
    limit: u32,
    cursor: Option<i64>,
) -> Result<Response, ApiError> {
    let found = attempts::list(state.db.readers(), of, cursor, limit + 1).await;
    let mut rows = found.map_err(|error| ApiError::internal(&error))?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| has_more).map(|(place, _)| encode_cursor(place));
    let data = rows.into_iter().map(|(_, attempt)| attempt).collect();
    fresh(headers, &Page::<attempts::DeliveryAttempt> { data, next_cursor, has_more })
}
