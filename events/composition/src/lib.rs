//! The composition: the document a client posts, parsed once into types that cannot be wrong.
//!
//! Promises: everything behind [`parse()`] is in range, in exact time units and complete (every default written out);
//! [`capabilities()`] and [`parse()`] read the same tables, so what the one offers the other takes.
//! All times are on the composition's own time line, those of an element's keyframes too: they do not move with it.
//! Must not know: files, networks, clocks, codecs, pixels. Evaluation at an instant belongs to the worker's `scene`.

pub mod capabilities;
pub mod caption;
pub mod catalog;
pub mod color;
pub mod composition;
pub mod element;
pub mod keyframe;
pub mod length;
pub mod limits;
pub mod parse;
pub mod problem;
pub mod schema;
#[cfg(test)]
mod tests;
pub mod time;
pub mod transition;
pub mod warning;

pub use capabilities::capabilities;
pub use caption::{Caption, CaptionStyle, SpokenWord};
pub use color::Color;
pub use composition::{Background, Composition, OutputFormat, OutputSettings, Size};
pub use element::{
    Audio, Crop, Decor, Element, ElementKind, Fit, Image, Outline, Plate, SourceUrl, Span, Text, TextAlign,
    Video, Visual,
};
pub use keyframe::{Curve, Easing, Keyframe, Keyframes};
pub use length::Length;
pub use limits::Limits;
pub use parse::{CONTRACT_VERSION, ParseOptions, Parsed, nearest, parse};
pub use problem::{Problem, ProblemCode};
pub use schema::json::{RENDER_REQUEST, json_schemas};
pub use time::{FrameIndex, FrameRate, Ticks};
pub use transition::{Transition, TransitionKind};
pub use warning::{Warning, WarningCode};
