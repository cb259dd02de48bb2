//! The read side as its callers meet it: the real router, projector and dispatcher over a log in memory and lives
//! written by hand.

mod artifacts;
mod deliveries;
mod elsewhere;
mod history;
mod lives;
mod place;
mod progress;
mod projections;
mod receiver;
mod renders;
mod sealed;
mod service;
mod streams;
mod webhooks;
mod workspaces;
