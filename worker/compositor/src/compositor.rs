//! The compositor of one thread: takes frame graphs, hands out frames that are being painted.
//!
//! One frame is one command buffer and one submission. Uploads, kernels and readback of consecutive frames overlap when
//! the caller keeps two or three frames in flight:
//!
//! ```text
//! submit 0 · submit 1 · wait 0 · submit 2 · wait 1 · …
//! ```
//!
//! Buffers on the GPU exist once: the queue paints frames one after another. Only readback buffers and frame bytes
//! exist once per frame in flight; the caller's frames are their bound.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use composition::Size;
use scene::{LayerSource, Scene};
use thiserror::Error;
use wgpu::{BufferUsages, MapMode, PollType};

use crate::canvas::{Bytes, CanvasError, CanvasFrame, CanvasKind, CanvasLayout};
use crate::frame_graph::{FrameGraph, GraphError};
use crate::gpu::Gpu;
use crate::picture::{Picture, Pictures};
use crate::rows;

mod base;
mod execution;
mod finish;

use execution::Execution;

/// No frame takes this long: the device hangs.
const HANG: Duration = Duration::from_secs(120);

/// Paints frames of one canvas. Each thread that renders has its own; they share the [`Gpu`].
#[derive(Debug)]
pub struct Compositor {
    gpu: Arc<Gpu>,
    layout: CanvasLayout,
    execution: Execution,
    readbacks: Arc<Mutex<Vec<wgpu::Buffer>>>,
    bytes: Bytes,
}

/// Why a frame was not painted.
#[derive(Debug, Error)]
pub enum CompositeError {
    /// No graph.
    #[error("composite a frame")]
    Graph(#[from] GraphError),
    /// The graph is of another canvas.
    #[error("composite a {graph:?} frame on a {canvas:?} canvas")]
    OtherCanvas {
        /// The graph's size and kind.
        graph: (Size, CanvasKind),
        /// The compositor's.
        canvas: (Size, CanvasKind),
    },
    /// A picture is named that nobody has, or one of another kind than the graph was built for.
    #[error("composite a frame: the picture of {0:?} is missing or changed")]
    Picture(LayerSource),
    /// A picture exceeds the adapter's textures even at the size that is needed.
    #[error("composite a frame: a {width}x{height} picture is too large, this adapter takes {limit} a side")]
    PictureTooLarge {
        /// Texels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The adapter's limit.
        limit: u32,
    },
    /// The device is broken, see [`Gpu::fault`]; open a new one and render the part again.
    #[error("composite a frame: {0}")]
    Device(String),
}

impl Compositor {
    /// A compositor for frames of this size and kind. Takes no GPU memory before the first frame that needs some.
    ///
    /// # Errors
    /// Where there is no such canvas or it exceeds the adapter's limits.
    pub fn new(gpu: &Arc<Gpu>, canvas: Size, kind: CanvasKind) -> Result<Compositor, CanvasError> {
        let layout = CanvasLayout::new(canvas, kind)?;
        let limits = &gpu.limits;
        let limit = limits.max_storage_buffer_binding_size;
        let tiles = limits.max_compute_workgroups_per_dimension;
        let (columns, rows) = layout.tiles();
        if layout.total() > limits.max_buffer_size || layout.first_plane() > limit || columns * rows > tiles {
            let Size { width, height } = canvas;
            return Err(CanvasError::TooLarge { width, height, limit, tiles });
        }
        Ok(Compositor {
            gpu: Arc::clone(gpu),
            layout,
            execution: Execution::default(),
            readbacks: Arc::default(),
            bytes: Bytes::default(),
        })
    }

    /// Builds the graph of `scene` and submits it.
    ///
    /// # Errors
    /// As [`FrameGraph::build`] and [`Compositor::submit`].
    pub fn compose(
        &mut self,
        scene: &Scene,
        pictures: &dyn Pictures,
    ) -> Result<PendingFrame, CompositeError> {
        let facts = |source: &LayerSource| pictures.picture(source).map(|picture| picture.facts());
        let graph = FrameGraph::build(scene, self.layout.kind, facts)?;
        self.submit(&graph, pictures)
    }

    /// Starts painting `graph`. All pictures have been read when this returns. `Pictures` is asked again for each source,
    /// and must give what the graph was built for.
    ///
    /// # Errors
    /// Where the graph is of another canvas, a picture is missing, changed or too large, or the device is broken.
    pub fn submit(
        &mut self,
        graph: &FrameGraph,
        pictures: &dyn Pictures,
    ) -> Result<PendingFrame, CompositeError> {
        let (layout, gpu) = (self.layout, &self.gpu);
        if (graph.canvas, graph.kind) != (layout.size, layout.kind) {
            return Err(CompositeError::OtherCanvas {
                graph: (graph.canvas, graph.kind),
                canvas: (layout.size, layout.kind),
            });
        }
        check(gpu)?;
        let mut frame =
            CanvasFrame { layout, bytes: self.bytes.take(layout.total() as usize), pool: self.bytes.clone() };
        base::write(graph, pictures, &mut frame)?;
        if graph.draws.is_empty() {
            return Ok(PendingFrame { frame, painted: None });
        }
        if gpu.has_row_kernels && rows::can_paint(graph) {
            rows::paint(gpu, graph, pictures, &mut frame)?;
            return Ok(PendingFrame { frame, painted: None });
        }
        let spans: Vec<Range<usize>> =
            graph.rows.iter().flat_map(|rows| layout.bytes_of_rows(&rows.rows)).collect();
        let size: usize = spans.iter().map(ExactSizeIterator::len).sum();
        let readback = self.readback(size as u64);
        let submission = self.execution.submit(gpu, graph, pictures, (&frame, &spans, &readback))?;
        let (done, mapped) = sync_channel(1);
        readback.slice(..size as u64).map_async(MapMode::Read, move |result| {
            // The receiver is gone where a caller dropped its frame: nobody waits for the answer then.
            drop(done.try_send(result.map_err(|error| error.to_string())));
        });
        check(gpu)?;
        let painted = Painted {
            gpu: Arc::clone(gpu),
            readbacks: Arc::clone(&self.readbacks),
            readback,
            spans,
            submission,
            mapped,
        };
        Ok(PendingFrame { frame, painted: Some(painted) })
    }

    /// A buffer for at least `size` bytes, an idle one if there is any.
    fn readback(&self, size: u64) -> wgpu::Buffer {
        let idle = self.readbacks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.filter(|buffer| buffer.size() >= size).unwrap_or_else(|| {
            self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("compositor.readback"),
                size,
                usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }
}

/// A frame that is being painted. Dropping it abandons the frame.
#[derive(Debug)]
#[must_use = "a frame exists once it was waited for"]
pub struct PendingFrame {
    frame: CanvasFrame,
    painted: Option<Painted>,
}

/// What the GPU owes.
#[derive(Debug)]
struct Painted {
    gpu: Arc<Gpu>,
    readbacks: Arc<Mutex<Vec<wgpu::Buffer>>>,
    readback: wgpu::Buffer,
    /// Byte ranges of the frame that lie in the readback buffer, one after another.
    spans: Vec<Range<usize>>,
    submission: wgpu::SubmissionIndex,
    mapped: Receiver<Result<(), String>>,
}

impl PendingFrame {
    /// Waits until the frame is painted.
    ///
    /// # Errors
    /// Where the device broke meanwhile.
    pub fn wait(self) -> Result<CanvasFrame, CompositeError> {
        let PendingFrame { mut frame, painted } = self;
        if let Some(painted) = painted {
            painted.read(&mut frame.bytes)?;
        }
        finish::finish(&mut frame);
        Ok(frame)
    }
}

impl Painted {
    fn read(self, bytes: &mut [u8]) -> Result<(), CompositeError> {
        let poll = PollType::Wait { submission_index: Some(self.submission), timeout: Some(HANG) };
        let broken = |reason: String| CompositeError::Device(reason);
        self.gpu.device.poll(poll).map_err(|error| broken(error.to_string()))?;
        check(&self.gpu)?;
        // Another thread's poll may be the one that calls back.
        let mapped = self.mapped.recv_timeout(HANG).map_err(|error| broken(error.to_string()))?;
        mapped.map_err(broken)?;
        let size: usize = self.spans.iter().map(ExactSizeIterator::len).sum();
        let view = self.readback.slice(..size as u64).get_mapped_range();
        let view = view.map_err(|error| broken(error.to_string()))?;
        let mut at = 0;
        for span in self.spans {
            let length = span.len();
            bytes[span].copy_from_slice(&view[at..at + length]);
            at += length;
        }
        drop(view);
        self.readback.unmap();
        self.readbacks.lock().unwrap_or_else(PoisonError::into_inner).push(self.readback);
        Ok(())
    }
}

fn check(gpu: &Gpu) -> Result<(), CompositeError> {
    gpu.fault().map_or(Ok(()), |fault| Err(CompositeError::Device(fault.to_owned())))
}

/// The planar picture of a source, which the graph says is one.
fn planar<'a>(
    pictures: &'a dyn Pictures,
    source: &LayerSource,
) -> Result<crate::picture::PlanarImage<'a>, CompositeError> {
    match pictures.picture(source) {
        Some(Picture::Planar(image)) => Ok(image),
        _ => Err(CompositeError::Picture(*source)),
    }
}
