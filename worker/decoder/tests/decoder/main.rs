//! The decoder, host and executable together, against FFmpeg's own command line tools.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may say so by panicking")]

mod clips;
mod confinement;
mod exactness;
mod faults;
mod formats;
mod mutations;
mod sound;
mod stills;
