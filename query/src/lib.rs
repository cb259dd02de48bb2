//! The read side: projections kept from the log, the API's GET endpoints, webhooks, and the relay of events to NATS.
//!
//! Promises: what a request has written it reads; every answer about a job is the one fold of its events; webhooks are
//! sent from rows that were committed with their checkpoint. Must not know: how renders are decided (`domain`), how they
//! are made (`worker`).

pub mod clock;
pub mod documents;
mod egress;
mod feed;
mod http;
mod line;
pub mod measures;
pub mod progress;
pub mod projections;
pub mod projector;
pub mod read_db;
pub mod rebuild;
pub mod relay;
pub mod role;
mod traces;
mod watcher;
pub mod webhooks;

pub use rebuild::{RebuildError, rebuild};
pub use relay::Relay;
pub use role::{OpenRoleError, QueryConfig, QueryDuties, QueryOptions, QueryRole};
pub use traces::{TraceTarget, TraceTargetError};
