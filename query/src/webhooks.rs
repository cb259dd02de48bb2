//! Webhooks: the only side effect of the read side.
//!
//! The projection `webhook_deliveries` says what is to be sent, in one transaction with its checkpoint; the dispatcher
//! sends it and keeps the ledger. Nothing is queued elsewhere, so nothing can fall between, and no replay sends twice.

pub mod attempts;
pub mod dispatcher;
pub(crate) mod ledger;
pub mod schedule;
pub mod signature;

pub use dispatcher::{Dispatcher, DispatcherConfig, EndpointSwitch};
pub use schedule::Schedule;
