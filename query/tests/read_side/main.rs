//! The read side as its callers meet it: the real router, projector and dispatcher over a log in memory and lives
//! written by hand.

mod artifacts;
mod deliveries;
mod elsewhere;
mod endpoints;
mod history;
mod lives;
#[path = "../../../events/bus/tests/bus/server.rs"]
#[expect(
    clippy::unwrap_used,
    dead_code,
    reason = "its own tests do more with it, and stop where they can't go on"
)]
mod nats_server;
mod place;
mod progress;
mod projections;
mod receiver;
mod relay;
mod renders;
mod sealed;
mod service;
mod streams;
mod webhooks;
mod workspaces;
