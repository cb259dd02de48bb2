//! Encoders: finished pictures and finished sound become packets or still files.

pub mod aac;
pub mod h264;
pub mod jpeg;
pub mod png;
mod still;

pub use still::{Pixels, Still, StillError};
