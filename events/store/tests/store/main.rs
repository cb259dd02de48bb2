//! The event store from outside: what every adapter promises, and what those that last promise beyond it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod port;
mod postgres;
mod server;
mod sqlite;
mod transfer;
mod words;
