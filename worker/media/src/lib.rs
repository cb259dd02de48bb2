//! Media at both ends of a render: decoded sources coming in, encoded pictures and sound going out.
//!
//! Outgoing, a film is made of **parts**. A part is a run of frames, encoded by itself ([`encoder::h264`]) at a
//! constant quantiser that [`rate`] raises where a bit-rate ceiling asks for it, and stored as a [`part`] file. The
//! sound is never cut: [`mixer`] sums all elements, at any speed but their own pitch, into one programme,
//! [`encoder::aac`] encodes it, and it becomes one more part file. [`muxer::mp4`] then joins the files without looking
//! at a pixel.
//!
//! ```text
//! pictures ─▶ encoder::h264 ─▶ rate ─▶ part ──┐
//!                                             ├─▶ muxer::mp4 ─▶ film
//! sources ─▶ stretch ─▶ mixer ─▶ aac ─▶ part ─┘
//! ```
//!
//! Promises: equal input gives equal bytes, whatever the machine's cores, load or clock; nothing here holds a whole film
//! in memory. Must not know: compositions, jobs, storage, or where a file goes next.

pub mod decoder;
pub mod encoder;
pub mod frame;
pub mod gop;
pub mod mixer;
pub mod muxer;
pub mod packet;
pub mod part;
pub mod picture;
pub mod rate;
mod stretch;
