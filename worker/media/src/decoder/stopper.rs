//! Stopping decoders from outside: one order ends every process that works for a piece of work, and lets none begin.
//!
//! A decoder may be busy for seconds with one answer (a long walk to a frame, a huge picture). Whoever waits for it can't
//! look up meanwhile, so the order goes to the processes themselves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::session::Killer;

/// The switch of one piece of work. Clones are the same switch; one that is not used stops nothing.
#[derive(Debug, Clone, Default)]
pub struct Stopper(Arc<Mutex<Switch>>);

#[derive(Debug, Default)]
struct Switch {
    stopped: bool,
    running: BTreeMap<u64, Killer>,
    started: u64,
}

/// A running decoder process, on its switch's list until this is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    stopper: Stopper,
    number: u64,
}

impl Stopper {
    fn switch(&self) -> MutexGuard<'_, Switch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills every decoder on the list; whoever waits for one gets [`super::DecodeError::Stopped`], now and ever after.
    pub fn stop(&self) {
        let mut switch = self.switch();
        switch.stopped = true;
        std::mem::take(&mut switch.running).values().for_each(Killer::kill);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.switch().stopped
    }

    /// Puts a process on the list; `None` where the order has been given already.
    pub(super) fn list(&self, killer: Killer) -> Option<Listed> {
        let mut switch = self.switch();
        if switch.stopped {
            return None;
        }
        switch.started += 1;
        let number = switch.started;
        switch.running.insert(number, killer);
        Some(Listed { stopper: self.clone(), number })
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.stopper.switch().running.remove(&self.number);
    }
}
