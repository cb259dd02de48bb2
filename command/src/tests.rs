//! The write side through its two doors, HTTP and the workers' bus, in a world with a clock of its own.

mod cancelling;
mod fairness;
mod idempotency;
mod limits;
mod mutated;
mod policies;
mod racing;
mod refusals;
mod reporting;
mod service;
mod simulation;
mod starting;
mod submitting;
mod working;
mod workspaces;
