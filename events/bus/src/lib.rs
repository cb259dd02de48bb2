//! The bus between the command side and its workers: hints, claims, heartbeats, reports, cancellations.
//!
//! Nothing that matters rests on it: a lost message costs time only, because the log is the truth and everyone also
//! looks by themselves. [`port`] is the port; [`in_process`] joins both ends in one process, [`nats`] over a network.
//! Must not know: what a composition or an event means, databases.

pub mod in_process;
pub mod nats;
pub mod port;

pub use in_process::InProcessBus;
pub use nats::{NatsBus, OpenBusError};
pub use port::{BusError, HintBus, WorkBus, WorkService};
