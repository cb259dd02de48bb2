//! What a slot's work and its lease share: the order to stop, and how far it is.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use events::job::ProgressStage;
use media::decoder::Stopper;
use tokio::sync::Notify;

/// Shared between the thread that works and the task that keeps the lease.
#[derive(Debug)]
pub struct Control {
    stop: AtomicBool,
    /// Wakes whoever waits for the order.
    told: Notify,
    /// Ends the decoders that work for this.
    decoders: Stopper,
    units: AtomicU64,
    frames: AtomicU64,
    // A std mutex: held for a copy, never across anything that waits.
    stage: Mutex<ProgressStage>,
}

/// The work was told to stop; nothing of it will be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not go on: told to stop")]
pub struct Stopped;

impl Default for Control {
    fn default() -> Self {
        Control {
            stop: AtomicBool::new(false),
            told: Notify::new(),
            decoders: Stopper::default(),
            units: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            stage: Mutex::new(ProgressStage::Downloading),
        }
    }
}

impl Control {
    /// Orders the work to stop. It does so before its next frame, block or chunk; its decoders are ended, and what waits
    /// is woken.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
        self.decoders.stop();
    }

    /// Returns once the work is told to stop.
    pub(crate) async fn stopped(&self) -> Stopped {
        let mut told = pin!(self.told.notified());
        // Listening before looking: an order between the two is heard.
        told.as_mut().enable();
        if self.go_on().is_ok() {
            told.await;
        }
        Stopped
    }

    /// What ends the decoders that work for this.
    pub(crate) fn decoders(&self) -> &Stopper {
        &self.decoders
    }

    /// Says whether to go on; called once a frame, block or chunk.
    ///
    /// # Errors
    /// [`Stopped`] once [`Control::stop`] was called.
    pub fn go_on(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// Counts units of any kind (bytes, packets, frames): the proof that the work moves.
    pub fn advance(&self, units: u64) {
        self.units.fetch_add(units, Ordering::Relaxed);
    }

    /// Counts a finished frame.
    pub fn frame_done(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.advance(1);
    }

    /// A part begins anew (at a higher QP): its frames count from zero.
    pub fn restart_frames(&self) {
        self.frames.store(0, Ordering::Relaxed);
    }

    /// Says what is being done.
    pub fn enter(&self, stage: ProgressStage) {
        *self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stage;
        self.advance(1);
    }

    /// Units so far.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units.load(Ordering::Relaxed)
    }

    /// Frames so far.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// What is being done.
    #[must_use]
    pub fn stage(&self) -> ProgressStage {
        *self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
