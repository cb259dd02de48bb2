//! The read side as its callers meet it, once more: its read models in PostgreSQL instead of a file. Only what touches them.

#![allow(dead_code, reason = "what is shared is more than what these tests use")]

#[path = "../read_side/deliveries.rs"]
mod deliveries;
#[path = "../read_side/elsewhere.rs"]
mod elsewhere;
#[path = "../read_side/lives.rs"]
mod lives;
mod place;
mod pooled;
#[path = "../read_side/projections.rs"]
mod projections;
#[path = "../read_side/receiver.rs"]
mod receiver;
#[path = "../read_side/renders.rs"]
mod renders;
#[path = "../../../events/store/tests/store/server.rs"]
#[expect(clippy::unwrap_used, reason = "its own tests stop where they can't go on")]
mod server;
#[path = "../read_side/service.rs"]
mod service;
#[path = "../read_side/webhooks.rs"]
mod webhooks;
#[path = "../read_side/workspaces.rs"]
mod workspaces;
