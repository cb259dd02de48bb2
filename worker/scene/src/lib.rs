//! The scene: what a composition shows and sounds like at an instant. Pure: no files, clocks, threads or pixels.
//!
//! ```text
//!   Composition + SourceFacts ──▶ Stage ──frame_at(n)──────▶ Frame: scenes of layers, back to front
//!                                   └─────sound()──────────▶ SoundSpan: what the mix is made of
//!   Text + box + FontSet ──▶ Typesetter ──▶ TextLayout: glyphs, whose ink is a fact for the Stage
//! ```
//!
//! Promises: the same composition and the same facts give the same scenes, bit for bit, on every platform and in any order
//! of asking. Must not know: decoders, GPUs, networks, where files come from.

mod crossing;
mod curve;
pub mod evaluate;
pub mod fonts;
pub mod frame;
pub mod geometry;
mod look;
mod pose;
#[cfg(test)]
mod sample;
pub mod scene;
pub mod sound;
pub mod source;
pub mod text;

pub use evaluate::{Stage, VideoUse};
pub use fonts::{FontError, FontFiles, FontSet};
pub use frame::{Frame, Part, Step};
pub use geometry::box_size;
pub use look::TextRaster;
pub use scene::{Affine, Blur, Layer, LayerSource, Rect, Scene, Sides};
pub use sound::SoundSpan;
pub use source::{Orientation, Picture, SourceFacts, Turn};
pub use text::{Glyph, GlyphRun, Piece, TextInk, TextLayout, Typesetter, WordInk};
