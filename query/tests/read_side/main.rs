//! The read side as its callers meet it: the real router, projector and dispatcher over a log in memory and lives
//! written by hand.

mod artifacts;
mod history;
mod lives;
mod projections;
mod receiver;
mod renders;
mod service;
mod webhooks;
