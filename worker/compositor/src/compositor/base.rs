//! The base of a frame, written on the CPU: the background colour and the video frame that is copied over it.

use crate::canvas::{CanvasFrame, CanvasKind};
use crate::color;
use crate::compositor::{CompositeError, planar};
use crate::frame_graph::{BaseCopy, FrameGraph};
use crate::picture::Pictures;

/// Writes every row in which the base shows.
pub(super) fn write(
    graph: &FrameGraph,
    pictures: &dyn Pictures,
    frame: &mut CanvasFrame,
) -> Result<(), CompositeError> {
    let copy = graph.base.copy;
    let covers = copy.is_some_and(|copy| copy.size == (graph.canvas.width, graph.canvas.height));
    let hidden = graph.rows.len() == 1
        && graph.rows.iter().all(|rows| !rows.base_shows && rows.rows == (0..graph.canvas.height));
    if hidden {
        return Ok(());
    }
    if !covers {
        fill(graph, frame);
    }
    copy.map_or(Ok(()), |copy| write_copy(&copy, pictures, frame))
}

fn fill(graph: &FrameGraph, frame: &mut CanvasFrame) {
    let layout = frame.layout;
    let color = color::premultiplied(graph.base.background, layout.kind.space());
    match layout.kind {
        CanvasKind::I420 => {
            // Flattened on black: what the colour's alpha lacks is black's share.
            let black = color::premultiplied(composition::Color::BLACK, layout.kind.space());
            let clear = 255 - u16::from(color[3]);
            let flat = |channel: usize| {
                (u16::from(color[channel]) + (u16::from(black[channel]) * clear + 127) / 255) as u8
            };
            let (first, chroma) = (layout.first_plane() as usize, layout.chroma_plane() as usize);
            frame.bytes[..first].fill(flat(0));
            frame.bytes[first..first + chroma].fill(flat(1));
            frame.bytes[first + chroma..].fill(flat(2));
        }
        CanvasKind::Rgba { .. } => {
            for pixel in frame.bytes.chunks_exact_mut(4) {
                pixel.copy_from_slice(&color);
            }
        }
    }
}

fn write_copy(
    copy: &BaseCopy,
    pictures: &dyn Pictures,
    frame: &mut CanvasFrame,
) -> Result<(), CompositeError> {
    let image = planar(pictures, &copy.source)?;
    if copy.from.0 + copy.size.0 > image.width || copy.from.1 + copy.size.1 > image.height {
        return Err(CompositeError::Picture(copy.source));
    }
    let layout = frame.layout;
    let (stride, first, chroma) =
        (layout.stride as usize, layout.first_plane() as usize, layout.chroma_plane() as usize);
    let half = |(x, y): (u32, u32)| (x / 2, y / 2);
    let planes = [
        (image.y, image.y_stride, 0, stride, copy.from, copy.to, copy.size),
        (image.u, image.c_stride, first, stride / 2, half(copy.from), half(copy.to), half(copy.size)),
        (
            image.v,
            image.c_stride,
            first + chroma,
            stride / 2,
            half(copy.from),
            half(copy.to),
            half(copy.size),
        ),
    ];
    for (source, source_stride, start, stride, from, to, (width, height)) in planes {
        for row in 0..height as usize {
            let source_at = (from.1 as usize + row) * source_stride + from.0 as usize;
            let at = start + (to.1 as usize + row) * stride + to.0 as usize;
            let width = width as usize;
            frame.bytes[at..at + width].copy_from_slice(&source[source_at..source_at + width]);
        }
    }
    Ok(())
}
