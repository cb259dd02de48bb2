//! The compositor: paints scenes into frames, on a GPU or on a software Vulkan driver, by the same shaders.
//!
//! ```text
//! Scene ──FrameGraph::build──▶ FrameGraph ──Compositor::submit──▶ PendingFrame ──wait──▶ CanvasFrame
//!          (pure)               (data)       (upload, one submit)                (readback)
//! ```
//!
//! Beside a software driver, graphs of upright layers alone are painted by row kernels in Rust: same graph, same formula.
//!
//! Promises: a frame depends on its scene, its pictures and the adapter, never on other frames or threads. Memory is
//! bounded by the canvas, the texture cache's limit and the frames a caller has in flight.
//! Must not know: files, decoders, encoders, time.

pub mod canvas;
mod color;
pub mod compositor;
pub mod frame_graph;
pub mod gpu;
pub mod mix;
mod pack;
mod passes;
pub mod picture;
mod rows;
pub mod text;
mod texture;

pub use canvas::{CanvasError, CanvasFrame, CanvasKind, Plane, Planes};
pub use compositor::{CompositeError, Compositor, PendingFrame};
pub use frame_graph::{FrameGraph, GraphError};
pub use gpu::{Gpu, GpuOptions, OpenGpuError, RowKernels};
pub use mix::{Backdrop, mix};
pub use picture::{
    Alpha, ColorMatrix, ColorRange, Picture, PictureContent, PictureError, PictureFacts, PictureKey,
    Pictures, PlanarImage, RgbaImage,
};
pub use text::{TextPixmap, rasterize};
