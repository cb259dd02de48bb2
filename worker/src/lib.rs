//! The render side: claims slots of renders and does their work.
//!
//! A worker never writes the log and needs no database: it claims, works, and reports over the bus. What it renders
//! depends on the order, the sources and its engine alone.

mod assemble;
pub mod assets;
pub mod clock;
pub mod control;
pub mod cut;
pub mod detail;
mod digest;
pub mod engine;
pub mod failure;
mod footage;
pub mod lease;
pub mod local;
mod objects;
mod picture;
pub mod planning;
pub mod prepared;
pub mod priority;
mod scratch;
mod sound;
pub mod trial;

pub use assets::{Assets, AssetsConfig};
pub use clock::{BOUNDS_S, Stage, StageClock, StageTimes};
pub use control::Control;
pub use engine::{Engine, EngineConfig, EngineWorker, OpenEngineError, open_fonts};
pub use failure::Failure;
pub use lease::{Performer, Worker};
