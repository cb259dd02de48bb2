//! How far a projector has come: what readers wait for, and what wakes them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use events::{Position, RenderId};
use tokio::sync::{broadcast, watch};

/// Wake-ups kept for a reader that lags; one that lags further reads its job anew.
const WAKE_UPS: usize = 1024;

/// A projector's place in the log, as others see it.
#[derive(Debug)]
pub struct Progress {
    position: watch::Sender<Position>,
    touched: broadcast::Sender<RenderId>,
    failing: AtomicBool,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            position: watch::Sender::new(Position(0)),
            touched: broadcast::Sender::new(WAKE_UPS),
            failing: AtomicBool::new(false),
        }
    }
}

impl Progress {
    /// The last position applied.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Whether the last page could not be applied.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Wakes at every page applied from now on.
    #[must_use]
    pub fn pages(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// Names every render touched from now on.
    #[must_use]
    pub fn renders(&self) -> broadcast::Receiver<RenderId> {
        self.touched.subscribe()
    }

    /// Waits until `position` is applied, at most `patience`: whoever wrote it reads it.
    pub async fn reached(&self, position: Position, patience: Duration) -> bool {
        let mut pages = self.position.subscribe();
        let reached = pages.wait_for(|applied| *applied >= position);
        tokio::time::timeout(patience, reached).await.is_ok_and(|applied| applied.is_ok())
    }

    pub(crate) fn applied(&self, position: Position, renders: impl IntoIterator<Item = RenderId>) {
        self.failing.store(false, Ordering::Relaxed);
        // Its own projector and a look at what another process has done may tell of the same: it never goes back.
        self.position.send_modify(|reached| *reached = position.max(*reached));
        for render in renders {
            // Nobody waits for it: nothing to wake.
            drop(self.touched.send(render));
        }
    }

    pub(crate) fn failed(&self) {
        self.failing.store(true, Ordering::Relaxed);
    }
}

/// Waits until `render` is touched, or the caller has missed so much that it must look for itself.
pub async fn touched(renders: &mut broadcast::Receiver<RenderId>, render: RenderId) {
    loop {
        match renders.recv().await {
            Ok(other) if other != render => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The projector is gone: only polling is left.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
