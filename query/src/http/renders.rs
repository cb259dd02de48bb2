//! Reading jobs: lists, one job, long polls, downloads.

use std::time::Duration;

use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use api::{Answer, ApiError, Caller, Code, Detail, Operation, Page, Shape, fresh};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use event_store::WorkspaceKey;
use events::job::{Job, JobStatus};
use events::{Position, RenderId, Timestamp, WorkspaceId};
use serde_json::json;
use tokio::time::Instant;

use crate::http::query_string::QueryString;
use crate::http::{News, QueryState, no_render, render_id};
use crate::progress;
use crate::projections::ProjectError;
use crate::projections::render_jobs::{self, JobFilter, JobRow};

/// The longest a long poll waits, seconds.
const WAIT_MAX_S: u64 = 60;

/// A waiting request looks for itself this often, in case another process projects.
const LOOK: Duration = Duration::from_secs(5);

/// How long a download's link lives: long enough for a slow start, short enough not to be passed on.
const DOWNLOAD_LINK_MS: i64 = 60 * 60 * 1000;

/// The query parameters of `GET /v1/renders`; filters add up.
#[derive(Debug)]
pub(crate) struct ListParameters {
    /// Only jobs in this state.
    status: Option<JobStatus>,
    /// Only jobs accepted after this instant (ISO 8601).
    created_after: Option<Timestamp>,
    /// Only jobs accepted before this instant (ISO 8601).
    created_before: Option<Timestamp>,
    /// `metadata[key]=value`, any number of them: only jobs with all of these pairs.
    metadata: Vec<(String, String)>,
    /// Jobs of a page: 1–100, 20 unless given.
    limit: u32,
    /// `next_cursor` of the page before.
    cursor: Option<Position>,
}

impl ListParameters {
    pub(super) const KNOWN: &[&str] =
        &["status", "created_after", "created_before", "metadata[key]", "limit", "cursor"];

    fn read(query: Option<&str>) -> Result<ListParameters, ApiError> {
        let mut query = QueryString::parse(query, ListParameters::KNOWN);
        let allowed = "ingesting, queued, processing, completed, failed, cancelled";
        let parameters = ListParameters {
            limit: query.limit(LIMIT_DEFAULT, LIMIT_MAX),
            status: query.word("status", allowed, render_jobs::parse_status),
            created_after: query.instant("created_after"),
            created_before: query.instant("created_before"),
            metadata: query.keyed("metadata"),
            cursor: query.cursor(),
        };
        query.finish().map(|()| parameters)
    }
}

/// The query parameters of `GET /v1/renders/{id}`.
#[derive(Debug)]
pub(crate) struct ReadParameters {
    /// Seconds to wait for the job to be over, 0–60; 0 unless given.
    wait: u64,
    /// The log's position that the job is shown as of; as it is now unless given.
    at_position: Option<Position>,
}

impl ReadParameters {
    pub(super) const KNOWN: &[&str] = &["wait", "at_position"];

    fn read(query: Option<&str>) -> Result<ReadParameters, ApiError> {
        let mut query = QueryString::parse(query, ReadParameters::KNOWN);
        let wait = query.number("wait", 0, WAIT_MAX_S);
        let at_position = query.number("at_position", 1, u64::MAX).map(Position);
        if wait.is_some_and(|wait| wait > 0) && at_position.is_some() {
            let message = "it is given beside at_position; what was does not change any more";
            query.fault(Detail::new("wait", "conflicting_fields", message));
        }
        query.finish().map(|()| ReadParameters { wait: wait.unwrap_or(0), at_position })
    }
}

pub(crate) fn list_operation() -> Operation {
    let instant = json!({ "type": "string", "format": "date-time" });
    Operation::get("/v1/renders", "list_renders", "List jobs, newest first")
        .tag("Renders")
        .query("status", "Only jobs in this state.", Shape::of::<JobStatus>())
        .query("created_after", "Only jobs accepted after this instant.", instant.clone())
        .query("created_before", "Only jobs accepted before this instant.", instant)
        .query_map(
            "metadata",
            "Only jobs with all of these pairs: `metadata[campaign]=spring`.",
            json!({ "type": "string" }),
        )
        .paged(LIMIT_DEFAULT, LIMIT_MAX)
        .answers_fresh(Answer::json::<Page<Job>>(200, "A page of jobs."))
        .refuses(&[Code::InvalidRequest])
}

/// `GET /v1/renders`: a [`Page`] of [`Job`]s, newest first.
///
/// # Errors
/// 401, 422 naming every bad parameter.
pub(crate) async fn list(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = ListParameters::read(query.as_deref())?;
    let workspace = caller.workspace;
    let pair = |(key, value): &(String, String)| state.documents.pair(workspace, key, value);
    let filter = JobFilter {
        status: parameters.status,
        created_after: parameters.created_after,
        created_before: parameters.created_before,
        metadata: parameters.metadata.iter().map(pair).collect(),
        before: parameters.cursor,
    };
    state.read_your_writes().await?;
    let limit = parameters.limit;
    let found = render_jobs::list(&state.db, workspace, &filter, limit + 1).await;
    let page = Page::cut(found.map_err(|error| failed(&error))?, limit, |row| row.position);
    let key = key(&state, workspace, &page.data).await?;
    let shown: Vec<Job> = page.data.iter().map(|row| present(&state, row, key.as_ref())).collect();
    fresh(&headers, &page.showing(shown))
}

pub(crate) fn read_operation() -> Operation {
    Operation::get("/v1/renders/{id}", "get_render", "Read a job, or wait for its end")
        .tag("Renders")
        .path("id", "The job.", Shape::of::<RenderId>())
        .query(
            "wait",
            "Seconds to wait for the job's end; the answer comes when it is over or the time is.",
            json!({ "type": "integer", "minimum": 0, "maximum": WAIT_MAX_S, "default": 0 }),
        )
        .query(
            "at_position",
            "Shows the job as it was when the log stood there; `sequence` of events and webhooks names positions. Not beside \
             `wait`.",
            json!({ "type": "integer", "minimum": 1, "x-extension": true }),
        )
        .answers_fresh(Answer::json::<Job>(200, "The job."))
        .refuses(&[Code::NotFound, Code::InvalidRequest])
}

/// `GET /v1/renders/{id}`: a [`Job`], at once or when it is over.
///
/// # Errors
/// 401, 404 (also for another workspace's job), 422.
pub(crate) async fn read(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = ReadParameters::read(query.as_deref())?;
    let id = render_id(&id)?;
    if let Some(position) = parameters.at_position {
        let row = from_log(&state, caller.workspace, id, Some(position)).await?;
        let row = row.ok_or_else(|| no_render(format_args!("{id} at position {}", position.0)))?;
        let key = key(&state, caller.workspace, std::slice::from_ref(&row)).await?;
        return fresh(&headers, &present(&state, &row, key.as_ref()));
    }
    let deadline = Instant::now() + Duration::from_secs(parameters.wait);
    // Listening before looking: a change between the two is heard.
    let mut touched = state.jobs.renders();
    let mut row = find(&state, caller.workspace, id).await?;
    while !row.view.status.is_terminal() && Instant::now() < deadline && !state.closing.is_cancelled() {
        let look = deadline.min(Instant::now() + LOOK);
        tokio::select! {
            () = progress::touched(&mut touched, id) => {}
            () = tokio::time::sleep_until(look) => {}
            () = state.closing.cancelled() => {}
        }
        row = look_up(&state, caller.workspace, id).await?.ok_or_else(|| no_render(id))?;
    }
    let key = key(&state, caller.workspace, std::slice::from_ref(&row)).await?;
    let mut job = present(&state, &row, key.as_ref());
    if job.status == JobStatus::Queued {
        let position = state.line.position(id).await;
        job.queue_position = position.map_err(|error| ApiError::of_store(&error))?;
    }
    fresh(&headers, &job)
}

pub(crate) fn download_operation() -> Operation {
    Operation::get("/v1/renders/{id}/download", "download_render", "The finished file")
        .tag("Renders")
        .path("id", "The job.", Shape::of::<RenderId>())
        .answers(
            Answer::empty(302, "To a fresh signed link, which needs no key and works for an hour.")
                .with("Location")
                .with("Cache-Control"),
        )
        .refuses(&[Code::NotFound, Code::Conflict, Code::Gone, Code::InvalidRequest])
}

/// `GET /v1/renders/{id}/download`: to a fresh signed link.
///
/// # Errors
/// 401, 404, 409 while there is no film, 410 once it has been deleted, 422.
pub(crate) async fn download(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, [(HeaderName, String); 2]), ApiError> {
    QueryString::parse(query.as_deref(), &[]).finish()?;
    let id = render_id(&id)?;
    let view = find(&state, caller.workspace, id).await?.view;
    let Some(artifact) = view.artifact else {
        return Err(ApiError::conflict(format!(
            "{id} is {}; only a completed render has a file",
            view.status.as_str()
        )));
    };
    let now = state.clock.now();
    let kept_until = state.links.kept_until(view.completed_at.unwrap_or(view.updated_at));
    if kept_until <= now {
        return Err(ApiError::gone(format!(
            "the film of {id} was kept until {kept_until} and has been deleted"
        )));
    }
    let expires = now.plus_ms(DOWNLOAD_LINK_MS).min(kept_until);
    let link =
        state.links.link(&artifact.object.key, &artifact.filename, Some(&artifact.content_type), expires);
    Ok((StatusCode::FOUND, [(header::LOCATION, link), (header::CACHE_CONTROL, "no-store".to_owned())]))
}

/// The job as everything tells that was in the log when this was called.
///
/// # Errors
/// 404 (also for another workspace's job), 500.
pub(crate) async fn find(
    state: &QueryState,
    workspace: WorkspaceId,
    id: RenderId,
) -> Result<JobRow, ApiError> {
    let applied = state.jobs.position();
    let mut row = look_up(state, workspace, id).await?;
    // Nothing changes a job that is over: there is nothing to wait for.
    if !row.as_ref().is_some_and(|row| row.view.status.is_terminal()) {
        row = match state.wait_for_news(applied).await? {
            News::None => row,
            News::Applied => look_up(state, workspace, id).await?,
            News::Late => from_log(state, workspace, id, None).await?,
        };
    }
    row.ok_or_else(|| no_render(id))
}

/// The job as the log tells it, up to a position where one is given.
async fn from_log(
    state: &QueryState,
    workspace: WorkspaceId,
    id: RenderId,
    until: Option<Position>,
) -> Result<Option<JobRow>, ApiError> {
    let row = render_jobs::from_log(state.store.as_ref(), &state.documents, workspace, id, until).await;
    row.map_err(|error| failed(&error))
}

async fn look_up(
    state: &QueryState,
    workspace: WorkspaceId,
    id: RenderId,
) -> Result<Option<JobRow>, ApiError> {
    render_jobs::find(&state.db, workspace, id).await.map_err(|error| failed(&error))
}

/// The key that opens these rows' metadata, where one of them needs it.
async fn key(
    state: &QueryState,
    workspace: WorkspaceId,
    rows: &[JobRow],
) -> Result<Option<WorkspaceKey>, ApiError> {
    if !rows.iter().any(JobRow::is_sealed) {
        return Ok(None);
    }
    state.documents.key(workspace).await.map_err(|error| ApiError::of_store(&error))
}

fn present(state: &QueryState, row: &JobRow, key: Option<&WorkspaceKey>) -> Job {
    let completed_at = row.view.completed_at.unwrap_or(row.view.updated_at);
    row.view.present(row.metadata(key), |artifact| state.links.artifact(artifact, completed_at))
}

fn failed(error: &ProjectError) -> ApiError {
    ApiError::internal(error)
}
