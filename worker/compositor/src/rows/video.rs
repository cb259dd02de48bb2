//! Video planes in the canvas' own colours: luma is sampled at every pixel, chroma once at its site.

use std::ops::Range;

use super::planes::{Plane, Reduced};
use super::taps::{Axis, RowTap};
use super::{Clear, Columns, Work, areas, lanes};
use crate::canvas::CanvasFrame;
use crate::frame_graph::Draw;
use crate::pack::Form;
use crate::picture::PlanarImage;

/// The colour terms of planes whose samples are code values of the canvas.
pub(super) const SAME_COLOR: [[f32; 4]; 3] =
    [[255.0, 0.0, 0.0, 0.0], [0.0, 255.0, 0.0, 0.0], [0.0, 0.0, 255.0, 0.0]];

/// Rows that are made at a time.
const BAND: usize = 4;

/// A row of a plane of the canvas, and what it is mixed of.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    plane: usize,
    at: usize,
    samples: Plane<'a>,
    tap: RowTap,
}

/// Paints one draw.
pub(super) fn paint(draw: &Draw, image: &PlanarImage<'_>, frame: &mut CanvasFrame) {
    let whole = (image.width, image.height);
    let half = (whole.0.div_ceil(2), whole.1.div_ceil(2));
    let y = Reduced::of((image.y, image.y_stride), whole, draw.level);
    let [u, v] = [image.u, image.v].map(|plane| Reduced::of((plane, image.c_stride), half, draw.level));
    let (luma, chroma) = axes(draw, whole, half);
    for area in areas(&draw.tiles, frame.layout.size) {
        let [columns, sites] =
            columns(draw, (&luma[0], &chroma[0]), &area.columns, [y.plane().width, u.plane().width]);
        let rows: Vec<Row<'_>> = area.rows.clone().map(|at| luma_row(y.plane(), at, &luma[1])).collect();
        paint_rows(&rows, &columns, area.columns.start, frame);
        let rows: Vec<Row<'_>> = (area.rows.start / 2..area.rows.end / 2)
            .flat_map(|at| chroma_rows([u.plane(), v.plane()], at, (&luma[1], &chroma[1])))
            .collect();
        paint_rows(&rows, &sites, area.columns.start / 2, frame);
    }
}

/// Columns of luma and of chroma sites.
fn columns(
    draw: &Draw,
    (luma, chroma): (&Axis, &Axis),
    area: &Range<usize>,
    lengths: [usize; 2],
) -> [Columns; 2] {
    let opacity = f64::from(draw.uniforms.opacity);
    let centres = area.clone().map(|x| x as f64 + 0.5);
    let columns = centres.clone().map(|x| luma.column(x, luma.coverage(x) * opacity));
    // Alpha is filtered 1-2-1 around a site; the canvas' first column stands for the one before it.
    let alpha =
        |x: f64| (luma.coverage((x - 1.0).max(0.5)) + luma.coverage(x + 1.0)) / 4.0 + luma.coverage(x) / 2.0;
    let sites = centres.step_by(2).map(|x| chroma.column(x, alpha(x) * opacity));
    [Columns::new(columns, lengths[0]), Columns::new(sites, lengths[1])]
}

fn luma_row<'a>(samples: Plane<'a>, at: usize, down: &Axis) -> Row<'a> {
    let centre = at as f64 + 0.5;
    Row { plane: 0, at, samples, tap: down.row(centre, down.coverage(centre)) }
}

/// U and V of a row of sites: alpha is the mean of two rows, colour is sampled between them.
fn chroma_rows<'a>(samples: [Plane<'a>; 2], at: usize, (luma, chroma): (&Axis, &Axis)) -> [Row<'a>; 2] {
    let centre = 2.0 * at as f64 + 1.0;
    let alpha = (luma.coverage(centre - 0.5) + luma.coverage(centre + 0.5)) / 2.0;
    let tap = chroma.row(centre, alpha);
    [1, 2].map(|plane| Row { plane, at, samples: samples[plane - 1], tap })
}

/// Paints rows that share their columns, of which the first lies at column `first` of their planes.
fn paint_rows(rows: &[Row<'_>], columns: &Columns, first: usize, frame: &mut CanvasFrame) {
    let mut work = Work::<BAND>::new(columns);
    let mut clear = Clear::new(columns.taps.len());
    for band in rows.chunks(BAND) {
        for (row, mixed) in band.iter().zip(&mut work.rows) {
            lanes::down_2(mixed, row.samples.row(row.tap, &columns.reach));
        }
        work.across(columns);
        for (lane, row) in band.iter().enumerate() {
            let canvas = frame.row_mut(row.plane, row.at, first..first + columns.taps.len());
            let clear = clear.beside(&columns.shown, row.tap.strength());
            lanes::blend(canvas, &work.columns, lane, clear);
        }
    }
}

/// Across and down, of luma and of chroma.
fn axes(draw: &Draw, whole: (u32, u32), half: (u32, u32)) -> ([Axis; 2], [Axis; 2]) {
    let (block, level) = (&draw.uniforms, draw.level);
    let (size, chroma_size) = (level.size(whole), level.size(half));
    let texture = Form::Bare.texture_size(whole, level);
    let chroma_texture = Form::Bare.texture_size(half, level);
    let [x, y, right, down] = block.chroma_map;
    let luma = [Axis::columns(block, size.0, texture.0), Axis::rows(block, size.1, texture.1)];
    let chroma = [
        luma[0].mapped(texture.0, (x, right), (chroma_size.0, chroma_texture.0)),
        luma[1].mapped(texture.1, (y, down), (chroma_size.1, chroma_texture.1)),
    ];
    (luma, chroma)
}
