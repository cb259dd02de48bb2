//! Both buses, from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod access;
mod nats;
mod port;
mod publishing;
mod scripted;
mod server;
