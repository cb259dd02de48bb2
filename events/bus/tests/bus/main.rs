//! Both buses, from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod nats;
mod port;
mod scripted;
mod server;
