//! Stills and texts: a colour for every pixel. Chroma is filtered 1-2-1 over columns and 1-1 over rows.
//!
//! Lanes: two rows of luma, U, V; of translucent pictures also the alpha of both rows and of their chroma.

use super::planes::{Plane, StillPlanes};
use super::taps::{Axis, RowTap};
use super::{Area, Clear, Columns, Work, areas, lanes};
use crate::canvas::CanvasFrame;
use crate::frame_graph::{Draw, Kernel};
use crate::pack::Form;

/// Paints one draw of a picture of `size` pixels.
pub(super) fn paint(draw: &Draw, size: (u32, u32), planes: &StillPlanes, frame: &mut CanvasFrame) {
    let [across, down] = axes(draw, size);
    let opacity = f64::from(draw.uniforms.opacity);
    for area in areas(&draw.tiles, frame.layout.size) {
        // One column more on the left, for chroma; the canvas' first stands for the one before it.
        let first = area.columns.start.saturating_sub(1);
        let centres = std::iter::once(first).chain(area.columns.clone()).map(|x| x as f64 + 0.5);
        let taps = centres.map(|x| across.column(x, across.coverage(x) * opacity));
        let columns = Columns::new(taps, planes.width());
        match planes.alpha() {
            None => paint_opaque(planes.colors(), &columns, (&down, &area), frame),
            Some(alpha) => paint_translucent((planes.colors(), alpha), &columns, (&down, &area), frame),
        }
    }
}

/// Across and down.
fn axes(draw: &Draw, size: (u32, u32)) -> [Axis; 2] {
    if draw.kernel == Kernel::Identity {
        let [x, y] = draw.uniforms.origin;
        return [Axis::exact(x, size.0), Axis::exact(y, size.1)];
    }
    // The planes are as large as a texture, which repeats the picture's last column and row.
    let (width, height) = Form::Bare.texture_size(size, draw.level);
    [Axis::columns(&draw.uniforms, width, width), Axis::rows(&draw.uniforms, height, height)]
}

/// The rows at `y` and below it, `share` of each.
fn two_rows(down: &Axis, y: usize, share: f64) -> [RowTap; 2] {
    [y as f64 + 0.5, y as f64 + 1.5].map(|centre| down.row(centre, down.coverage(centre) * share))
}

fn paint_opaque(
    [y, u, v]: [Plane<'_>; 3],
    columns: &Columns,
    (down, area): (&Axis, &Area),
    frame: &mut CanvasFrame,
) {
    let mut work = Work::<4>::new(columns);
    let mut sites = vec![[0; 4]; area.columns.len() / 2];
    let mut sites_shown = vec![[0; 1]; sites.len()];
    lanes::sites(&mut sites_shown, bytemuck::cast_slice(&columns.shown));
    let mut clear = [0, 1, 2].map(|_| Clear::new(area.columns.len()));
    for at in area.rows.clone().step_by(2) {
        let (whole, half) = (two_rows(down, at, 1.0), two_rows(down, at, 0.5));
        for (lane, tap) in whole.into_iter().enumerate() {
            lanes::down_2(&mut work.rows[lane], y.row(tap, &columns.reach));
        }
        for (lane, plane) in [(2, u), (3, v)] {
            lanes::down_4(&mut work.rows[lane], plane.sum(half, &columns.reach));
        }
        work.across(columns);
        lanes::sites(&mut sites, &work.columns);
        let [behind_top, behind_bottom, behind_chroma] = &mut clear;
        let shown = &columns.shown[1..];
        let luma =
            [behind_top.beside(shown, whole[0].strength()), behind_bottom.beside(shown, whole[1].strength())];
        let strength = half[0].strength().saturating_add(half[1].strength());
        let chroma = behind_chroma.beside(sites_shown.as_flattened(), strength);
        show((&work.columns[1..], luma), (&sites, chroma), frame, (area, at));
    }
}

fn paint_translucent(
    ([y, u, v], alpha): ([Plane<'_>; 3], Plane<'_>),
    columns: &Columns,
    (down, area): (&Axis, &Area),
    frame: &mut CanvasFrame,
) {
    let mut work = Work::<8>::new(columns);
    let mut sites = vec![[0; 8]; area.columns.len() / 2];
    let mut clear = [0, 1, 2].map(|_| Clear::new(area.columns.len()));
    for at in area.rows.clone().step_by(2) {
        let (whole, half) = (two_rows(down, at, 1.0), two_rows(down, at, 0.5));
        for (lane, plane, row) in [(0, y, 0), (1, y, 1), (4, alpha, 0), (5, alpha, 1)] {
            lanes::down_2(&mut work.rows[lane], plane.row(whole[row], &columns.reach));
        }
        for (lane, plane) in [(2, u), (3, v), (6, alpha)] {
            lanes::down_4(&mut work.rows[lane], plane.sum(half, &columns.reach));
        }
        work.across(columns);
        lanes::sites(&mut sites, &work.columns);
        let [behind_top, behind_bottom, behind_chroma] = &mut clear;
        let over = &work.columns[1..];
        let luma = [behind_top.behind(over, 4), behind_bottom.behind(over, 5)];
        show((over, luma), (&sites, behind_chroma.behind(&sites, 6)), frame, (area, at));
    }
}

/// Blends two rows and the chroma between them over the canvas.
fn show<const N: usize>(
    (columns, luma_clear): (&[[u16; N]], [&[u16]; 2]),
    (sites, chroma_clear): (&[[u16; N]], &[u16]),
    frame: &mut CanvasFrame,
    (area, at): (&Area, usize),
) {
    for (row, clear) in luma_clear.into_iter().enumerate() {
        lanes::blend(frame.row_mut(0, at + row, area.columns.clone()), columns, row, clear);
    }
    let half = area.columns.start / 2..area.columns.end / 2;
    for plane in [1, 2] {
        lanes::blend(frame.row_mut(plane, at / 2, half.clone()), sites, plane + 1, chroma_clear);
    }
}
