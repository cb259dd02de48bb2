//! Reading jobs: lists, one job, long polls, downloads.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{ApiError, Caller, Detail, Page, decode_cursor, encode_cursor, parse_limit};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, StatusCode, header};
use events::job::{Job, JobStatus};
use events::{Position, RenderId};
use serde::Serialize;
use tokio::time::Instant;

use crate::http::query_string::{QueryString, clip};
use crate::http::{QueryState, no_render, render_id};
use crate::progress;
use crate::projections::ProjectError;
use crate::projections::render_jobs::{self, JobFilter, JobRow};

/// The longest a long poll waits, seconds.
const WAIT_MAX_S: u64 = 60;

/// A waiting request looks for itself this often, in case another process projects.
const LOOK: Duration = Duration::from_secs(5);

/// How long a download's link lives: long enough for a slow start, short enough not to be passed on.
const DOWNLOAD_LINK_MS: i64 = 60 * 60 * 1000;

/// A job as this endpoint shows it.
#[derive(Debug, Serialize)]
pub(crate) struct JobReply {
    #[serde(flatten)]
    job: Job,
    /// Jobs that will start before this one; only while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_position: Option<u64>,
}

/// `GET /v1/renders`.
///
/// # Errors
/// 401, 422 naming every bad parameter.
pub(crate) async fn list(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Job>>, ApiError> {
    let (filter, limit) =
        read_filter(&QueryString::parse(query.as_deref())).map_err(ApiError::invalid_request)?;
    state.read_your_writes().await?;
    let found = render_jobs::list(state.db.readers(), caller.workspace, &filter, limit + 1).await;
    let mut rows = found.map_err(|error| failed(&error))?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| has_more).map(|last| encode_cursor(&last.position));
    Ok(Json(Page { data: rows.into_iter().map(|row| present(&state, row)).collect(), next_cursor, has_more }))
}

/// `GET /v1/renders/{id}?wait=0..60`: answers when the job is over or the time is.
///
/// # Errors
/// 401, 404 (also for another workspace's job), 422.
pub(crate) async fn read(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<JobReply>, ApiError> {
    let wait = QueryString::parse(query.as_deref()).number("wait", 0, WAIT_MAX_S)?.unwrap_or(0);
    let id = render_id(&id)?;
    state.read_your_writes().await?;
    // Listening before looking: a change between the two is heard.
    let mut touched = state.jobs.renders();
    let deadline = Instant::now() + Duration::from_secs(wait);
    loop {
        let row = find(&state, caller, id).await?;
        if row.view.status.is_terminal() || Instant::now() >= deadline || state.closing.is_cancelled() {
            return reply(&state, row).await;
        }
        let look = deadline.min(Instant::now() + LOOK);
        tokio::select! {
            () = progress::touched(&mut touched, id) => {}
            () = tokio::time::sleep_until(look) => {}
            () = state.closing.cancelled() => {}
        }
    }
}

/// `GET /v1/renders/{id}/download`: to a fresh signed link.
///
/// # Errors
/// 401, 404, 409 while there is no film, 410 once it has been deleted.
pub(crate) async fn download(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, [(HeaderName, String); 2]), ApiError> {
    let id = render_id(&id)?;
    state.read_your_writes().await?;
    let view = find(&state, caller, id).await?.view;
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

async fn find(state: &QueryState, caller: Caller, id: RenderId) -> Result<JobRow, ApiError> {
    let row =
        render_jobs::find(state.db.readers(), caller.workspace, id).await.map_err(|error| failed(&error))?;
    row.ok_or_else(|| no_render(id))
}

async fn reply(state: &QueryState, row: JobRow) -> Result<Json<JobReply>, ApiError> {
    let waits = matches!(row.view.status, JobStatus::Ingesting | JobStatus::Queued);
    let queue_position = match waits {
        true => state.store.queue_position(row.view.id).await.map_err(|error| ApiError::internal(&error))?,
        false => None,
    };
    Ok(Json(JobReply { job: present(state, row), queue_position }))
}

fn present(state: &QueryState, row: JobRow) -> Job {
    let JobRow { view, metadata, .. } = row;
    let completed_at = view.completed_at.unwrap_or(view.updated_at);
    view.present(metadata, |artifact| state.links.artifact(artifact, completed_at))
}

/// Reads every parameter of a list, or names every fault.
fn read_filter(query: &QueryString) -> Result<(JobFilter, u32), Vec<Detail>> {
    let mut faults = Vec::new();
    let limit = parse_limit(query.get("limit"), api::page::LIMIT_DEFAULT, api::page::LIMIT_MAX);
    let limit = limit.map_err(|fault| faults.push(fault)).unwrap_or_default();
    let filter = JobFilter {
        status: keep(query.get("status").map(read_status).transpose(), &mut faults),
        created_after: keep(query.instant("created_after"), &mut faults),
        created_before: keep(query.instant("created_before"), &mut faults),
        metadata: query.keyed("metadata").into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
        before: keep(query.get("cursor").map(decode_cursor::<Position>).transpose(), &mut faults),
    };
    if faults.is_empty() { Ok((filter, limit)) } else { Err(faults) }
}

fn keep<T>(read: Result<Option<T>, Detail>, faults: &mut Vec<Detail>) -> Option<T> {
    read.map_err(|fault| faults.push(fault)).ok().flatten()
}

fn read_status(text: &str) -> Result<JobStatus, Detail> {
    render_jobs::parse_status(text).ok_or_else(|| {
        let allowed = "ingesting, queued, processing, completed, failed, cancelled";
        Detail::new("status", "unknown_value", format!("it is {:?}; allowed are {allowed}", clip(text)))
    })
}

fn failed(error: &ProjectError) -> ApiError {
    ApiError::internal(error)
}
