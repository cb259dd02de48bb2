//! A job's history: as pages, or as a stream of server-sent events that ends with the job.
//!
//! Read from the log itself, by stream version: the number that `after`, `next_cursor` and `Last-Event-ID` mean.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::{ApiError, Caller, Detail, Page, parse_limit};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use event_store::EventStore;
use events::public_event::PublicEvent;
use events::{Recorded, RenderId, StreamId, StreamVersion};
use futures_util::{Stream, stream};
use tokio::sync::broadcast;

use crate::http::query_string::{QueryString, clip};
use crate::http::{QueryState, no_render, render_id};
use crate::progress;

/// The largest page, and the one given where none is asked for.
const LIMIT: u32 = 1000;

/// Events read from the log at a time while streaming.
const STREAM_PAGE: u32 = 256;

/// A stream looks for itself this often, in case another process projects.
const LOOK: Duration = Duration::from_secs(1);

/// A comment is sent after this long without an event, so that nothing between closes the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// `GET /v1/renders/{id}/events`: a page, or a stream where `Accept` names `text/event-stream`.
///
/// # Errors
/// 401, 404 (also for another workspace's job), 422.
pub(crate) async fn history(
    State(state): State<QueryState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let render = render_id(&id)?;
    let query = QueryString::parse(query.as_deref());
    let after = query.number("after", 0, u64::MAX)?.or(query.number("cursor", 0, u64::MAX)?).unwrap_or(0);
    let stream = StreamId::from(render);
    let first = state
        .store
        .load_after(&stream, StreamVersion(0), 1)
        .await
        .map_err(|error| ApiError::internal(&error))?;
    if first.first().is_none_or(|first| first.workspace_id != caller.workspace) {
        return Err(no_render(render));
    }
    if wants_stream(&headers) {
        let after = last_event_id(&headers)?.unwrap_or(after);
        return follow(&state, render, StreamVersion(after)).await;
    }
    let limit = parse_limit(query.get("limit"), LIMIT, LIMIT)?;
    Ok(Json(page(&state, &stream, StreamVersion(after), limit).await?).into_response())
}

async fn page(
    state: &QueryState,
    stream: &StreamId,
    after: StreamVersion,
    limit: u32,
) -> Result<Page<PublicEvent>, ApiError> {
    let found = state.store.load_after(stream, after, limit + 1).await;
    let mut recorded = found.map_err(|error| ApiError::internal(&error))?;
    let has_more = recorded.len() > limit as usize;
    recorded.truncate(limit as usize);
    let next_cursor = recorded.last().filter(|_| has_more).map(|last| last.stream_version.0.to_string());
    let data = recorded
        .iter()
        .filter_map(|recorded| PublicEvent::of(recorded).transpose())
        .collect::<Result<_, _>>();
    Ok(Page { data: data.map_err(|error| ApiError::internal(&error))?, next_cursor, has_more })
}

/// A media range of this exact type is enough: nobody else offers it (RFC 9110 12.5.1).
fn wants_stream(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
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

/// Streams what follows `after`; 204 where nothing ever will, so that browsers stop asking.
async fn follow(state: &QueryState, render: RenderId, after: StreamVersion) -> Result<Response, ApiError> {
    // Listening before looking: a change between the two is heard.
    let touched = state.jobs.renders();
    let failed = |error| ApiError::internal(&error);
    let waiting =
        state.store.load_after(&StreamId::from(render), after, STREAM_PAGE).await.map_err(failed)?;
    if waiting.is_empty() && is_over(state, render, after).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let tail = Tail { state: state.clone(), render, after, waiting: waiting.into(), touched, over: false };
    let events =
        Sse::new(tail.into_stream()).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    // Proxies must neither store nor gather it.
    let headers =
        [(header::CACHE_CONTROL, "no-store"), (header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, events).into_response())
}

/// Whether the event at `version` (or the last one before it) ended the job.
async fn is_over(state: &QueryState, render: RenderId, version: StreamVersion) -> Result<bool, ApiError> {
    let events =
        state.store.load(&StreamId::from(render)).await.map_err(|error| ApiError::internal(&error))?;
    let last = events.iter().rfind(|event| event.stream_version <= version);
    let public = last.map(PublicEvent::of).transpose().map_err(|error| ApiError::internal(&error))?;
    Ok(public.flatten().is_some_and(|event| event.is_terminal()))
}

/// The rest of a job's life, as it happens.
#[derive(Debug)]
struct Tail {
    state: QueryState,
    render: RenderId,
    after: StreamVersion,
    waiting: std::collections::VecDeque<Recorded>,
    touched: broadcast::Receiver<RenderId>,
    over: bool,
}

impl Tail {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut tail| async move {
            let event = tail.next().await?;
            Some((Ok(event), tail))
        })
    }

    /// The next event; `None` after the terminal one, at shutdown, and where the log fails (the client resumes).
    async fn next(&mut self) -> Option<Event> {
        while !self.over {
            while let Some(recorded) = self.waiting.pop_front() {
                self.after = recorded.stream_version;
                match present(&recorded) {
                    Ok(Some((event, terminal))) => {
                        self.over = terminal;
                        return Some(event);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(render.id = %self.render, %error, "an event stream broke off");
                        return None;
                    }
                }
            }
            self.waiting = self.more().await?.into();
        }
        None
    }

    /// What has been appended since, once there is something.
    async fn more(&mut self) -> Option<Vec<Recorded>> {
        let (store, stream): (Arc<dyn EventStore>, _) =
            (Arc::clone(&self.state.store), StreamId::from(self.render));
        loop {
            match store.load_after(&stream, self.after, STREAM_PAGE).await {
                Ok(found) if found.is_empty() => {}
                Ok(found) => return Some(found),
                Err(error) => {
                    tracing::error!(render.id = %self.render, %error, "an event stream broke off");
                    return None;
                }
            }
            tokio::select! {
                () = progress::touched(&mut self.touched, self.render) => {}
                () = tokio::time::sleep(LOOK) => {}
                () = self.state.closing.cancelled() => return None,
            }
        }
    }
}

/// An event as it is streamed, and whether it is the last one; `None`: clients are not told of it.
fn present(recorded: &Recorded) -> Result<Option<(Event, bool)>, Box<dyn std::error::Error + Send + Sync>> {
    let Some(public) = PublicEvent::of(recorded)? else { return Ok(None) };
    let id = recorded.stream_version.0.to_string();
    let event = Event::default().id(id).event(public.event_type).data(serde_json::to_string(&public)?);
    Ok(Some((event, public.is_terminal())))
}
