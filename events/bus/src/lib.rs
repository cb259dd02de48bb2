//! The bus between the command side and its workers (hints, claims, heartbeats, reports, cancellations), and the way on
//! which public events leave for subscribers.
//!
//! Nothing that matters rests on it: a lost message costs time only, because the log is the truth and everyone also
//! looks by themselves. [`port`] and [`publisher`] are the ports; [`in_process`] joins both ends of the bus in one process,
//! [`nats`] over a network, and publishes there.
//! Must not know: what a composition or an event means, databases.

pub mod in_process;
pub mod nats;
pub mod port;
pub mod publisher;

pub use in_process::InProcessBus;
pub use nats::{Identity, NatsAccess, NatsBus, NatsEvents, OpenBusError};
pub use port::{BusError, HintBus, WorkBus, WorkService};
pub use publisher::{EventPublisher, Mark, OutgoingEvent, PublishError, Tail};
