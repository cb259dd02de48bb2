//! Storage from outside: what every adapter promises, and what S3 promises beyond it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod meddler;
mod port;
mod s3;
mod server;
