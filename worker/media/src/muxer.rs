//! Muxers: encoded parts become one file.

pub mod mp4;
