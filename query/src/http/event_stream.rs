//! Server-sent events (WHATWG HTML 9.2): the rest of a job's history, or a workspace's events for ever.
//!
//! Promises: every event behind the place asked for, once and in order, over any number of reconnections. A stream is
//! pulled by its connection: what the client does not take stays in the log, and costs nothing here.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{ApiError, ServiceLimits};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use events::{Position, StreamVersion, WorkspaceId};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;

use crate::feed::{TellError, Told};
use crate::http::QueryState;
use crate::http::events::Scope;
use crate::projector::chain;

/// Events taken from the log or the window at a time.
const PAGE: u32 = 256;

/// How long a client waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

/// Seconds after which someone who found no seat may ask again.
const RETRY_AFTER_S: u32 = 5;

/// The answer to whoever resumes behind the last event: nothing ever comes, browsers stop asking.
pub(crate) fn over() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Streams what follows the place `after`.
///
/// # Errors
/// 429 where too many streams are open.
pub(crate) fn follow(
    state: &QueryState,
    scope: Scope,
    workspace: WorkspaceId,
    after: u64,
) -> Result<Response, ApiError> {
    let seat = Seats::take(&state.seats, workspace).ok_or_else(|| {
        let Seats { in_all, per_workspace, .. } = *state.seats;
        let message = format!(
            "too many event streams are open; at most {per_workspace} of a workspace and {in_all} in all"
        );
        ApiError::rate_limited(message, RETRY_AFTER_S)
    })?;
    let tail = Tail {
        reached: state.feed.reached(),
        state: state.clone(),
        scope,
        place: after,
        at: None,
        waiting: VecDeque::new(),
        over: false,
        _seat: seat,
    };
    let first = stream::once(async { Ok(Event::default().retry(RETRY)) });
    let beat = KeepAlive::new().interval(state.heartbeat).text("heartbeat");
    // Proxies must neither store nor gather it.
    let headers = [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, Sse::new(first.chain(tail.into_stream())).keep_alive(beat)).into_response())
}

/// A place in the log, and what is between it and the client.
#[derive(Debug)]
struct Tail {
    state: QueryState,
    reached: watch::Receiver<Position>,
    scope: Scope,
    /// The last event that was handed over or waits here, in the scope's places.
    place: u64,
    /// Everything of the scope up to here was handed over or waits here; `None` before the first look, which is into the
    /// log itself: the window may be late.
    at: Option<Position>,
    waiting: VecDeque<Arc<Told>>,
    over: bool,
    _seat: Seat,
}

impl Tail {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut tail| async move {
            let event = tail.next().await?;
            Some((Ok(event), tail))
        })
    }

    /// The next event; `None` after the job's last one, at shutdown, and where the log fails (the client resumes).
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Some(self.hand_over(&told));
            }
            if self.over {
                return None;
            }
            // Before looking: what arrives between the look and the wait still wakes the wait.
            self.reached.borrow_and_update();
            match self.at.and_then(|at| self.state.feed.since(at, PAGE as usize, |told| self.wants(told))) {
                Some((found, until)) => {
                    self.at = Some(until);
                    self.queue(found);
                }
                None => {
                    let caught_up = self.catch_up().await;
                    caught_up
                        .inspect_err(|error| tracing::error!(error = %chain(error.as_ref()), "an event stream broke off"))
                        .ok()?;
                    continue;
                }
            }
            if self.waiting.is_empty() {
                tokio::select! {
                    Ok(()) = self.reached.changed() => {}
                    () = self.state.closing.cancelled() => return None,
                }
            }
        }
    }

    fn hand_over(&mut self, told: &Told) -> Event {
        self.over = told.is_terminal && matches!(self.scope, Scope::Job(_));
        let id = self.scope.place(told.position, told.version).to_string();
        Event::default().id(id).event(told.event_type).data(&told.json)
    }

    fn wants(&self, told: &Told) -> bool {
        match self.scope {
            Scope::Job(render) => told.render == render && told.version > StreamVersion(self.place),
            Scope::Workspace(id) => told.workspace == id,
        }
    }

    fn queue(&mut self, found: VecDeque<Arc<Told>>) {
        if let Some(last) = found.back() {
            self.place = self.scope.place(last.position, last.version);
        }
        self.waiting = found;
    }

    /// Takes from the log what is not in the window.
    async fn catch_up(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // Before reading: the log has everything up to here.
        let reached = *self.reached.borrow();
        let mut at = self.at.unwrap_or_default();
        let after = match self.scope {
            Scope::Job(_) => self.place,
            Scope::Workspace(_) => {
                // The window may be so late that what the client has seen is still to come into it.
                at = at.max(Position(self.place));
                at.0
            }
        };
        let found = self.scope.read(self.state.store.as_ref(), after, PAGE).await?;
        let told: Result<Vec<_>, TellError> = found.iter().map(Told::of).collect();
        self.waiting = told?.into_iter().flatten().map(Arc::new).collect();
        if let Some(last) = found.last() {
            self.place = self.scope.place(last.position, last.stream_version);
            at = last.position;
        }
        // Less than was asked for: there is nothing else.
        let whole = found.len() < PAGE as usize;
        self.at = Some(if whole { at.max(reached) } else { at });
        Ok(())
    }
}

/// Who may stream: how many do, by workspace. Each is a connection and a few hundred bytes.
#[derive(Debug)]
pub(crate) struct Seats {
    in_all: usize,
    per_workspace: usize,
    taken: Mutex<HashMap<WorkspaceId, usize>>,
}

/// One stream's leave; given back when it is dropped.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    workspace: WorkspaceId,
}

impl Seats {
    /// Nobody sits yet.
    pub(crate) fn new(limits: &ServiceLimits) -> Seats {
        Seats {
            in_all: limits.event_streams_max,
            per_workspace: limits.event_streams_per_workspace_max,
            taken: Mutex::default(),
        }
    }

    fn take(seats: &Arc<Seats>, workspace: WorkspaceId) -> Option<Seat> {
        let mut taken = seats.taken();
        let own = taken.get(&workspace).copied().unwrap_or(0);
        if own >= seats.per_workspace || taken.values().sum::<usize>() >= seats.in_all {
            return None;
        }
        taken.insert(workspace, own + 1);
        drop(taken);
        Some(Seat { seats: Arc::clone(seats), workspace })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<WorkspaceId, usize>> {
        // A panic while the lock was held can only have come from a bug that has been reported already.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(own) = taken.get_mut(&self.workspace) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.workspace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_come_back() {
        let limits = ServiceLimits {
            event_streams_max: 3,
            event_streams_per_workspace_max: 2,
            ..ServiceLimits::default()
        };
        let seats = Arc::new(Seats::new(&limits));
        let (one, other) = (WorkspaceId::new(1), WorkspaceId::new(2));
        let mut taken: Vec<Seat> = (0..2).map(|_| Seats::take(&seats, one).expect("there is room")).collect();
        assert!(Seats::take(&seats, one).is_none(), "no more of one workspace");
        taken.push(Seats::take(&seats, other).expect("others have room"));
        assert!(Seats::take(&seats, other).is_none(), "until all seats are taken");
        taken.pop();
        taken.pop();
        taken.push(Seats::take(&seats, one).expect("a seat that was left is free"));
        drop(taken);
        assert!(seats.taken().is_empty(), "nothing is left behind");
    }
}
