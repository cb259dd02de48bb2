//! The write side: what clients and workers ask for becomes events, or a reason why not.
//!
//! ```text
//! HTTP ─▶ [`http`] ─▶ submit ─┐
//! workers ─▶ reports ─────────┼─▶ handler: load ─▶ decide (`domain`) ─▶ append ─▶ the log
//! the clock ─▶ policy ────────┘
//! ```
//!
//! Must not know: read models, how anything is rendered.

mod chain;
mod fleet;
mod handler;
mod http;
mod idempotency;
mod policy;
mod present;
mod renders;
mod reports;
mod retention;
mod role;
mod rows;
mod space;
mod submit;
mod sweeper;
#[cfg(test)]
mod tests;
mod turns;
pub mod workspaces;
pub mod world;

pub use role::{CommandConfig, CommandRole, RecoverError};
pub use space::{DiskSpace, Space};
pub use workspaces::{FirstKey, FirstWorkspaceError, create_workspace};
