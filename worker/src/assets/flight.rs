//! One fetch, many waiters: who asks for what is being fetched for its workspace already waits for that fetch.
//!
//! A flight lasts as long as somebody waits for it; when the last one leaves, the fetch is dropped with its connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use composition::element::SourceUrl;
use events::WorkspaceId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Asset;
use crate::control::Control;
use crate::failure::Failure;

/// How often a waiter tells how far the fetch is.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What a fetch brought.
pub(super) type Landing = Result<Asset, Failure>;

/// Proof that a fetch moves: counts bytes, and tries without any.
pub(super) type Moved = Arc<AtomicU64>;

type Route = (WorkspaceId, SourceUrl);

/// The fetches in progress.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<BTreeMap<Route, Weak<Flight>>>);

/// A fetch in progress. Dropped with its last waiter.
#[derive(Debug)]
pub(super) struct Flight {
    moved: Moved,
    landed: watch::Receiver<Option<Landing>>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        // One that has landed does not mind.
        self.task.abort();
    }
}

impl Flights {
    /// The fetch for this route: the one in progress, or a new one.
    pub(super) fn join<F>(
        &self,
        route: Route,
        runtime: &Handle,
        fetch: impl FnOnce(Moved) -> F,
    ) -> Arc<Flight>
    where
        F: Future<Output = Landing> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What has landed is of the past: whoever comes now asks the server anew.
        let in_progress = flights.get(&route).and_then(Weak::upgrade);
        if let Some(flight) = in_progress.filter(|flight| flight.landed.borrow().is_none()) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let (tell, landed) = watch::channel(None);
        let moved = Moved::default();
        let fetching = fetch(Arc::clone(&moved));
        let task = runtime.spawn(async move {
            let landing = fetching.await;
            tell.send_replace(Some(landing));
        });
        let flight = Arc::new(Flight { moved, landed, task: task.abort_handle() });
        flights.insert(route, Arc::downgrade(&flight));
        flight
    }
}

impl Flight {
    /// Waits for the landing, or until `control` says to stop.
    pub(super) async fn wait(&self, control: &Control) -> Result<Asset, Failure> {
        let mut landed = self.landed.clone();
        let mut told = 0;
        loop {
            let landing = tokio::select! {
                landing = landed.wait_for(Option::is_some) => Some(landing.map(|landing| (*landing).clone())),
                stopped = control.stopped() => return Err(stopped.into()),
                () = tokio::time::sleep(LOOK_INTERVAL) => None,
            };
            let moved = self.moved.load(Ordering::Relaxed);
            control.advance(moved.saturating_sub(told));
            told = moved;
            match landing {
                Some(Ok(Some(landing))) => return landing,
                // The runtime ends, or the fetch panicked.
                Some(Err(gone)) => return Err(Failure::internal("fetch a source", &gone)),
                Some(Ok(None)) | None => {}
            }
        }
    }
}
