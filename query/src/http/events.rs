//! What has happened: a job's history and a workspace's events, as pages or as streams of server-sent events.
//!
//! Read from the log itself. A place (`after`, `next_cursor`, `Last-Event-ID`) is the event's version in a job's history,
//! and its position in the log in a workspace's events; each event names both.

use api::{Answer, ApiError, Caller, Code, Detail, Operation, Page, Shape, fresh};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use event_store::{EventStore, StoreError};
use events::public_event::PublicEvent;
use events::{Position, Recorded, RenderId, StreamId, StreamVersion, WorkspaceId};
use serde_json::json;

use crate::http::query_string::{QueryString, clip};
use crate::http::{QueryState, event_stream, render_id, renders};

/// The largest page, and the one given where none is asked for.
const LIMIT: u32 = 1000;

/// Events read from the log at a time, and bytes of them after which a page is full.
const CHUNK: u32 = 256;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The query parameters of both endpoints, for pages and streams alike.
#[derive(Debug)]
pub(crate) struct EventsParameters {
    /// Only events behind this place; the beginning unless given. `cursor` is another name of it.
    after: Option<u64>,
    /// Events of a page: 1–1000, 1000 unless given. Streams have none.
    limit: u32,
    /// Streams only: as the header `Last-Event-ID`, for clients that can't set one; the header counts first.
    last_event_id: Option<u64>,
}

impl EventsParameters {
    pub(super) const KNOWN: &[&str] = &["after", "cursor", "limit", "lastEventId"];

    fn read(query: Option<&str>) -> Result<EventsParameters, ApiError> {
        let mut query = QueryString::parse(query, EventsParameters::KNOWN);
        if query.get("after").is_some() && query.get("cursor").is_some() {
            query.fault(Detail::new("cursor", "repeated", "it is another name of `after`; give one of them"));
        }
        let after = query.number("after", 0, u64::MAX).or(query.number("cursor", 0, u64::MAX));
        let limit = query.limit(LIMIT, LIMIT);
        let last_event_id = query.number("lastEventId", 0, u64::MAX);
        query.finish().map(|()| EventsParameters { after, limit, last_event_id })
    }
}

/// Whose events.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    /// One job's; places are versions.
    Job(RenderId),
    /// All of a workspace's; places are positions.
    Workspace(WorkspaceId),
}

impl Scope {
    /// Stored events behind a place, oldest first.
    pub(crate) async fn read(
        self,
        store: &dyn EventStore,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        match self {
            Scope::Job(render) => {
                store.load_after(&StreamId::from(render), StreamVersion(after), limit).await
            }
            Scope::Workspace(id) => store.read_workspace_after(id, Position(after), limit).await,
        }
    }

    /// An event's place.
    pub(crate) fn place(self, position: Position, version: StreamVersion) -> u64 {
        match self {
            Scope::Job(_) => version.0,
            Scope::Workspace(_) => position.0,
        }
    }
}

/// What both endpoints tell of themselves alike.
fn described(operation: Operation) -> Operation {
    let place = json!({ "type": "integer", "minimum": 0 });
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT, "default": LIMIT });
    operation
        .tag("Events")
        .extension()
        .query("after", "Only events behind this place; the beginning unless given.", place.clone())
        .query("cursor", "The `next_cursor` of the page before: another name of `after`.", place.clone())
        .query("limit", "Events of a page; streams have none.", limit)
        .query(
            "lastEventId",
            "Streams only: as the header, for clients that can't set one; the header counts first.",
            place,
        )
        .header(
            "Last-Event-ID",
            "Where a stream goes on: the id of the last event seen. Pages take no notice of it.",
            json!({ "type": "string" }),
        )
        .answers_fresh(
            Answer::json::<Page<PublicEvent>>(200, "A page, or a stream of server-sent events.")
                .or_as("text/event-stream", json!({ "type": "string" })),
        )
        .refuses(&[Code::InvalidRequest, Code::RateLimited])
}

pub(crate) fn history_operation() -> Operation {
    let operation =
        Operation::get("/v1/renders/{id}/events", "list_render_events", "A job's history, oldest first");
    described(operation)
        .text(
            "A page of JSON; with `Accept: text/event-stream` a stream that resumes after `Last-Event-ID` and ends with the \
             job. Of a stream each `data` is an Event, and its `id` the event's `version`: its place here.",
        )
        .path("id", "The job.", Shape::of::<RenderId>())
        .answers(Answer::empty(204, "A stream is asked for from the last event on: nothing will follow."))
        .refuses(&[Code::NotFound])
}

pub(crate) fn workspace_operation() -> Operation {
    described(Operation::get("/v1/events", "list_events", "The workspace's events, oldest first")).text(
        "A page of JSON; with `Accept: text/event-stream` a stream that resumes after `Last-Event-ID` and never ends. Of a \
         stream each `data` is an Event, and its `id` the event's `sequence`: its place here.",
    )
}

/// `GET /v1/renders/{id}/events`: a [`Page`] of [`PublicEvent`]s, or a stream where `Accept` names `text/event-stream`,
/// which ends with the job; 204 where it has ended already.
///
/// # Errors
/// 401, 404 (also for another workspace's job), 422, 429 for too many streams.
pub(crate) async fn history(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = EventsParameters::read(query.as_deref())?;
    let job = renders::find(&state, caller.workspace, render_id(&id)?).await?.view;
    let scope = Scope::Job(job.id);
    match stream_place(&headers, &parameters)? {
        Some(after) if job.status.is_terminal() && after >= job.version.0 => Ok(event_stream::over()),
        Some(after) if after > job.version.0 && !is_there(&state, job.id, after).await? => {
            Err(beyond(after, job.version.0))
        }
        Some(after) => event_stream::follow(&state, scope, caller.workspace, after),
        None => fresh(&headers, &page(&state, scope, &parameters).await?),
    }
}

/// `GET /v1/events`: the same of all jobs of the workspace; the stream never ends.
///
/// # Errors
/// 401, 422, 429 for too many streams.
pub(crate) async fn workspace(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = EventsParameters::read(query.as_deref())?;
    let scope = Scope::Workspace(caller.workspace);
    let Some(after) = stream_place(&headers, &parameters)? else {
        return fresh(&headers, &page(&state, scope, &parameters).await?);
    };
    let head = state.store.head().await.map_err(|error| ApiError::of_store(&error))?.position.0;
    if after > head {
        return Err(beyond(after, head));
    }
    event_stream::follow(&state, scope, caller.workspace, after)
}

/// Whether the log has the event: the read models may be behind it.
async fn is_there(state: &QueryState, job: RenderId, version: u64) -> Result<bool, ApiError> {
    let found = Scope::Job(job).read(state.store.as_ref(), version - 1, 1).await;
    found.map(|found| !found.is_empty()).map_err(|error| ApiError::of_store(&error))
}

/// Whoever waits behind the end would miss what fills the gap: their place is from another log than this one.
fn beyond(after: u64, end: u64) -> ApiError {
    let message = format!("it is {after}, but there are only events up to {end}; begin again with after=0");
    ApiError::from(Detail::new("after", "out_of_range", message))
}

async fn page(
    state: &QueryState,
    scope: Scope,
    parameters: &EventsParameters,
) -> Result<Page<PublicEvent>, ApiError> {
    let limit = parameters.limit as usize;
    let mut place = parameters.after.unwrap_or(0);
    let (mut data, mut bytes, mut next_cursor) = (Vec::new(), 0, None);
    // Internal events are left out, so that a page may take more of the log than it has entries.
    'full: loop {
        let found = scope.read(state.store.as_ref(), place, CHUNK).await;
        let found = found.map_err(|error| ApiError::of_store(&error))?;
        for recorded in &found {
            let public = PublicEvent::of(recorded).map_err(|error| ApiError::internal(&error))?;
            if public.is_some() && (data.len() == limit || bytes >= PAGE_BYTES) {
                next_cursor = Some(place.to_string());
                break 'full;
            }
            place = scope.place(recorded.position, recorded.stream_version);
            bytes += recorded.event.data.len();
            data.extend(public);
        }
        if found.len() < CHUNK as usize {
            break;
        }
    }
    let has_more = next_cursor.is_some();
    Ok(Page { data, next_cursor, has_more })
}

/// Where a stream begins; `None`: a page is asked for.
fn stream_place(headers: &HeaderMap, parameters: &EventsParameters) -> Result<Option<u64>, ApiError> {
    // A media range of this exact type is enough: nobody else offers it (RFC 9110 12.5.1).
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if !accepted.any(|value| value.to_ascii_lowercase().contains("text/event-stream")) {
        return Ok(None);
    }
    let seen = last_event_id(headers)?.or(parameters.last_event_id).or(parameters.after);
    Ok(Some(seen.unwrap_or(0)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let given = clip(&String::from_utf8_lossy(value.as_bytes()));
        let message = format!("it is {given:?}; the id of an event of this stream is expected");
        ApiError::from(Detail::new("Last-Event-ID", "malformed_value", message))
    })
}
