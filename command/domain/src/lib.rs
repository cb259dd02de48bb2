//! What may happen: the aggregates that decide, and nothing else.
//!
//! Promises: deciding and evolving are pure and synchronous; time, identifiers and chance arrive inside commands; a
//! command that already took effect decides on no events, so that every sender may safely repeat itself.
//! Must not know: stores, queues, HTTP, clocks, the meaning of a composition.

pub mod aggregate;
pub mod render;
pub mod workspace;

pub use aggregate::{Aggregate, fold};
pub use render::Render;
pub use workspace::Workspace;
