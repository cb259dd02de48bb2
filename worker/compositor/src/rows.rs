//! The row kernels: upright draws on a 4:2:0 canvas, painted row by row on the processor.
//!
//! A software driver runs shaders eight lanes of 32 bits at a time and spends several times what these loops need for
//! the same picture. They are other kernels for the same frame graph, not another renderer: a frame whose every draw
//! they know is painted here, any other by the device, and none by both, for the canvas' way there and back would cost
//! more than is won.
//!
//! ```text
//! rows of samples ──mixed down──▶ lanes ──mixed across──▶ columns ──filtered──▶ sites ──blended──▶ canvas
//! ```
//!
//! Promises: the formula of `passes/blend.rs`, within the same tolerances; whole numbers once the taps are known, so
//! that equal graphs and pictures give equal bytes on every processor. Must not know: how a device paints.

use std::ops::Range;

use composition::Size;

use crate::canvas::{CanvasFrame, CanvasKind, TILE_HEIGHT, TILE_WIDTH};
use crate::compositor::CompositeError;
use crate::frame_graph::{Draw, FrameGraph, Kernel, Tile};
use crate::gpu::Gpu;
use crate::picture::{Picture, Pictures};

mod lanes;
mod planes;
mod still;
mod taps;
mod video;

pub(crate) use planes::StillPlanes;
use taps::ColumnTap;

/// Whether the row kernels know every draw of `graph`.
pub(crate) fn can_paint(graph: &FrameGraph) -> bool {
    graph.kind == CanvasKind::I420 && graph.draws.iter().all(is_known)
}

fn is_known(draw: &Draw) -> bool {
    let block = &draw.uniforms;
    let has_upright_sides = [block.edge_u[1], block.edge_v[0]] == [0.0; 2];
    let has_upright_texels = [block.texel_x[1], block.texel_y[0]] == [0.0; 2];
    let is_known = match draw.kernel {
        // Its texels are pixels.
        Kernel::Identity => true,
        Kernel::Bilinear => has_upright_texels,
        Kernel::Planar => has_upright_texels && block.color == video::SAME_COLOR,
        Kernel::Converted | Kernel::Magnified => false,
    };
    is_known && has_upright_sides && draw.blur.is_none()
}

/// Paints `graph`, of which [`can_paint`] holds, over the base that `frame` has.
pub(crate) fn paint(
    gpu: &Gpu,
    graph: &FrameGraph,
    pictures: &dyn Pictures,
    frame: &mut CanvasFrame,
) -> Result<(), CompositeError> {
    for draw in &graph.draws {
        match (draw.kernel, pictures.picture(&draw.source)) {
            (Kernel::Planar, Some(Picture::Planar(image))) => video::paint(draw, &image, frame),
            (Kernel::Identity | Kernel::Bilinear, Some(Picture::Rgba(image))) => {
                let planes = gpu.textures().planes(&image, draw.level);
                still::paint(draw, (image.width, image.height), &planes, frame);
            }
            _ => return Err(CompositeError::Picture(draw.source)),
        }
    }
    Ok(())
}

/// A rectangle of canvas pixels; all numbers are even.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Area {
    columns: Range<usize>,
    rows: Range<usize>,
}

/// A draw's tiles, neighbours joined, without what pads the canvas.
fn areas(tiles: &[Tile], canvas: Size) -> Vec<Area> {
    let mut places: Vec<(u32, u32)> = tiles.iter().map(|tile| (tile.y, tile.x)).collect();
    places.sort_unstable();
    let pixels = |tile: u32, side: u32, end: u32| {
        (tile * side).min(end) as usize..((tile + 1) * side).min(end) as usize
    };
    let mut runs: Vec<Area> = Vec::new();
    for (y, x) in places {
        let (columns, rows) = (pixels(x, TILE_WIDTH, canvas.width), pixels(y, TILE_HEIGHT, canvas.height));
        match runs.last_mut() {
            Some(run) if run.rows == rows && run.columns.end == columns.start => {
                run.columns.end = columns.end
            }
            _ => runs.push(Area { columns, rows }),
        }
    }
    let mut areas: Vec<Area> = Vec::new();
    for run in runs {
        match areas.last_mut() {
            Some(above) if above.columns == run.columns && above.rows.end == run.rows.start => {
                above.rows.end = run.rows.end;
            }
            _ => areas.push(run),
        }
    }
    areas
}

/// Output columns side by side, what they are mixed of, and how much of each shows: coverage and opacity, in 65535ths.
#[derive(Debug)]
struct Columns {
    taps: Vec<ColumnTap>,
    shown: Vec<u16>,
    /// The samples they need.
    reach: Range<usize>,
}

impl Columns {
    /// Columns of rows of `length` samples.
    fn new(taps: impl Iterator<Item = ColumnTap>, length: usize) -> Columns {
        let taps: Vec<ColumnTap> = taps.collect();
        let shown = taps.iter().map(|tap| tap.shares[0].saturating_add(tap.shares[1])).collect();
        let reach = taps::reach(&taps, length);
        Columns { taps, shown, reach }
    }
}

/// What rows of pixels are made in: samples mixed down, side by side, and mixed across.
#[derive(Debug)]
struct Work<const N: usize> {
    rows: [Vec<u16>; N],
    lanes: Vec<[u16; N]>,
    columns: Vec<[u16; N]>,
}

impl<const N: usize> Work<N> {
    fn new(columns: &Columns) -> Work<N> {
        let length = columns.reach.len();
        Work {
            rows: std::array::from_fn(|_| vec![0; length]),
            lanes: vec![[0; N]; length + 1],
            columns: vec![[0; N]; columns.taps.len()],
        }
    }

    /// Columns of what `rows` hold.
    fn across(&mut self, columns: &Columns) {
        lanes::interleave(&mut self.lanes, self.rows.each_ref().map(Vec::as_slice));
        lanes::across(&mut self.columns, &columns.taps, &self.lanes, columns.reach.start as u32);
    }
}

/// What shows behind columns, for the last strength asked for: most rows of a draw have the same.
#[derive(Debug)]
struct Clear {
    strength: Option<u16>,
    columns: Vec<u16>,
}

impl Clear {
    fn new(columns: usize) -> Clear {
        Clear { strength: None, columns: vec![0; columns] }
    }

    /// Behind columns of which `shown` shows in a row of which `strength` does.
    fn beside(&mut self, shown: &[u16], strength: u16) -> &[u16] {
        if self.strength.replace(strength) != Some(strength) {
            lanes::clear_beside(&mut self.columns, shown, strength);
        }
        &self.columns
    }

    /// Behind columns whose lane `lane` is their alpha.
    fn behind<const N: usize>(&mut self, columns: &[[u16; N]], lane: usize) -> &[u16] {
        lanes::clear_behind(&mut self.columns, columns, lane);
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use composition::{Color, Ticks};
    use scene::{Affine, Blur, Layer, LayerSource, Rect, Scene, Sides};

    use super::*;
    use crate::picture::{ColorMatrix, ColorRange, PictureContent, PictureFacts};

    const CANVAS: Size = Size { width: 200, height: 100 };

    /// The graph of one layer of a picture of 300x200 pixels.
    fn graph(content: PictureContent, transform: Affine, blur: Option<Blur>, kind: CanvasKind) -> FrameGraph {
        let source = match content {
            PictureContent::Planar { .. } => LayerSource::Video { element: 0, time: Ticks::ZERO },
            PictureContent::Rgba { .. } => LayerSource::Image { element: 0 },
        };
        let layer = Layer { source, source_rect: Rect::of_size(300.0, 200.0), transform, opacity: 0.5, blur };
        let scene = Scene { canvas: CANVAS, background: Color::BLACK, layers: vec![layer] };
        let facts = |_: &LayerSource| Some(PictureFacts { width: 300, height: 200, content });
        FrameGraph::build(&scene, kind, facts).expect("the picture is known")
    }

    #[test]
    fn upright_layers_of_known_colours_are_known_and_nothing_else() {
        let planar = |matrix| PictureContent::Planar { matrix, range: ColorRange::Limited };
        let (still, video) = (PictureContent::Rgba { opaque: false }, planar(ColorMatrix::Bt709));
        let upright = Affine::scaling(-150.0, 70.0).then(Affine::translation(160.0, 3.5));
        let turned = Affine::scaling(150.0, 70.0).then(Affine::rotation(3.0));
        let along = |side| Some(Blur { sigma: 4.0, along_u: side, along_v: side, repeat: Sides::default() });
        let knows = |content, transform, blur| can_paint(&graph(content, transform, blur, CanvasKind::I420));
        assert!(knows(still, upright, None) && knows(video, upright, None), "mirrored is upright");
        assert!(knows(still, Affine::scaling(300.0, 200.0), None), "pixel for pixel");
        assert!(!knows(still, turned, None) && !knows(video, turned, None), "turned");
        assert!(!knows(still, upright, along(70.0)), "blurred");
        assert!(!knows(planar(ColorMatrix::Bt601), upright, None), "other colours");
        assert!(!can_paint(&graph(still, upright, None, CanvasKind::Rgba { opaque: true })), "no 4:2:0");
    }

    #[test]
    fn neighbouring_tiles_are_one_area_and_end_with_the_canvas() {
        let tile = |(x, y)| Tile { x, y, is_inside: true, is_plain: true };
        let found = |places: &[(u32, u32)]| {
            let tiles: Vec<Tile> = places.iter().copied().map(tile).collect();
            let area = |area: Area| (area.columns.start, area.columns.end, area.rows.start, area.rows.end);
            areas(&tiles, CANVAS).into_iter().map(area).collect::<Vec<_>>()
        };
        assert_eq!(found(&[(3, 6), (2, 6), (2, 5), (3, 5)]), [(128, 200, 80, 100)], "two rows of two tiles");
        assert_eq!(
            found(&[(0, 0), (2, 0), (0, 1)]),
            [(0, 64, 0, 16), (128, 192, 0, 16), (0, 64, 16, 32)],
            "gaps"
        );
    }
}
