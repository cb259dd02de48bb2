//! The caller's workspace, and what it has used.

use api::{Answer, ApiError, Caller, Operation, Page, fresh};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use events::StreamId;
use events::workspace_view::{Workspace, WorkspaceView};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::query_string::PageParameters;
use crate::http::{PATIENCE, QueryState};
use crate::projections::usage;

/// What a workspace has used in the current calendar month, UTC.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(crate) struct UsageReply {
    /// The month's first instant.
    #[schemars(extend("format" = "date-time"))]
    period_start: String,
    /// The next month's first instant.
    #[schemars(extend("format" = "date-time"))]
    period_end: String,
    /// Minutes of finished film; stills count nothing.
    render_minutes: f64,
    /// Media tasks submitted.
    task_count: u64,
    /// Bytes of films sent to whoever downloaded them.
    egress_bytes: u64,
}

pub(crate) fn read_operation() -> Operation {
    Operation::get("/v1/workspace", "get_workspace", "The caller's workspace")
        .tag("Workspace")
        .answers_fresh(Answer::json::<Workspace>(200, "The workspace."))
}

/// `GET /v1/workspace`: a [`events::workspace_view::Workspace`].
///
/// # Errors
/// 401.
pub(crate) async fn read(
    State(state): State<QueryState>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    fresh(&headers, &view(&state, caller).await?.present())
}

/// The fold of the caller's workspace: its few events are read anew each time, so that it is never late.
pub(crate) async fn view(state: &QueryState, caller: Caller) -> Result<WorkspaceView, ApiError> {
    let stream = StreamId::from(caller.workspace);
    let events = state.store.load(&stream).await.map_err(|error| ApiError::of_store(&error))?;
    let view = WorkspaceView::fold(&events).map_err(|error| ApiError::internal(&error))?;
    view.ok_or_else(|| ApiError::not_found(format_args!("workspace {}", caller.workspace)))
}

/// A page of what a workspace's fold holds, newest first; `entries` stand oldest first, in the order of their `place`s.
pub(super) fn page<'a, T, C: Ord + Copy + Serialize>(
    entries: &'a [T],
    parameters: &PageParameters<C>,
    place: impl Fn(&T) -> C,
) -> Page<&'a T> {
    let older = |entry: &&T| parameters.cursor.is_none_or(|before| place(entry) < before);
    let beyond = parameters.limit as usize + 1;
    let found = entries.iter().rev().filter(older).take(beyond).collect();
    Page::cut(found, parameters.limit, |last| place(last))
}

pub(crate) fn usage_operation() -> Operation {
    Operation::get("/v1/workspace/usage", "get_usage", "What the workspace has used this month")
        .tag("Workspace")
        .answers(Answer::json::<UsageReply>(200, "The calendar month so far, UTC."))
}

/// `GET /v1/workspace/usage`.
///
/// # Errors
/// 401.
pub(crate) async fn usage(
    State(state): State<QueryState>,
    caller: Caller,
) -> Result<Json<UsageReply>, ApiError> {
    let head = state.store.head().await.map_err(|error| ApiError::of_store(&error))?;
    if !state.usage.reached(head.position, PATIENCE).await {
        tracing::warn!(head = head.position.0, "usage is older than the log: its projector lags");
    }
    let (start, end) = state.clock.now().month();
    let used = usage::of_month(&state.db, caller.workspace, start).await;
    let used = used.map_err(|error| ApiError::internal(&error))?;
    let sent = state.egress.of_month(&state.db, caller.workspace, start).await;
    Ok(Json(UsageReply {
        period_start: start.to_string(),
        period_end: end.to_string(),
        render_minutes: used.film_us as f64 / 60e6,
        task_count: used.tasks,
        egress_bytes: sent.map_err(|error| ApiError::internal(&error))?,
    }))
}
