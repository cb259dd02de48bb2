//! Blurs a layer on a low-resolution grid: fetch, then rows, then columns.
//!
//! Reads: the layer's picture. Writes: a grid of packed texels in the canvas' colour space, alpha multiplied in.
//! Formula: separable Gaussian cut at 3 σ, weights in f32, 8 bits between the steps.
//! Cost per texel: 1 or 4 samples; (2r + 4)/4 words; (2r + 2)/2 words, where r is the radius in texels, at most 12 or so.

use bytemuck::{Pod, Zeroable};
use wgpu::{BindGroupEntry, BindingResource, BufferBinding, ComputePass};

use crate::frame_graph::{BlurPlan, Kernel, Uniforms, WEIGHTS};
use crate::gpu::Gpu;
use crate::gpu::pipeline::{Program, Slot};
use crate::passes::blend::{self, Texels};

const FETCH: &str = include_str!("blur/fetch.wgsl");
const ONE_TAP: &str = include_str!("blur/one_tap.wgsl");
const FOUR_TAPS: &str = include_str!("blur/four_taps.wgsl");
const COMMON: &str = include_str!("blur/weights.wgsl");

const PACKED: &[(u32, Slot)] =
    &[(0, Slot::Uniform), (2, Slot::Float), (3, Slot::Linear), (8, Slot::ReadWrite)];
const PLANES: &[(u32, Slot)] =
    &[(0, Slot::Uniform), (2, Slot::Float), (3, Slot::Linear), (4, Slot::Float), (8, Slot::ReadWrite)];

/// Of each pair the first takes one sample for a cell, the second four.
static FETCH_BILINEAR: [Program; 2] = [
    Program {
        label: "blur.fetch.bilinear.one",
        parts: &[
            blend::PACKED_TEXELS[0],
            blend::PACKED_TEXELS[1],
            blend::PACKED_TEXELS[2],
            blend::PACKED_TEXELS[3],
            FETCH,
            ONE_TAP,
        ],
        slots: PACKED,
    },
    Program {
        label: "blur.fetch.bilinear.four",
        parts: &[
            blend::PACKED_TEXELS[0],
            blend::PACKED_TEXELS[1],
            blend::PACKED_TEXELS[2],
            blend::PACKED_TEXELS[3],
            FETCH,
            FOUR_TAPS,
        ],
        slots: PACKED,
    },
];
static FETCH_CONVERTED: [Program; 2] = [
    Program {
        label: "blur.fetch.converted.one",
        parts: &[
            blend::PLANAR_TEXELS[0],
            blend::PLANAR_TEXELS[1],
            blend::PLANAR_TEXELS[2],
            blend::PLANAR_TEXELS[3],
            blend::PLANAR_TEXELS[4],
            blend::PLANAR_TEXELS[5],
            FETCH,
            ONE_TAP,
        ],
        slots: PLANES,
    },
    Program {
        label: "blur.fetch.converted.four",
        parts: &[
            blend::PLANAR_TEXELS[0],
            blend::PLANAR_TEXELS[1],
            blend::PLANAR_TEXELS[2],
            blend::PLANAR_TEXELS[3],
            blend::PLANAR_TEXELS[4],
            blend::PLANAR_TEXELS[5],
            FETCH,
            FOUR_TAPS,
        ],
        slots: PLANES,
    },
];
pub(crate) static HORIZONTAL: Program = Program {
    label: "blur.horizontal",
    parts: &[COMMON, include_str!("blur/horizontal.wgsl")],
    slots: &[(0, Slot::Uniform), (1, Slot::Read), (2, Slot::ReadWrite)],
};
static VERTICAL: Program = Program {
    label: "blur.vertical",
    parts: &[COMMON, include_str!("blur/vertical.wgsl")],
    slots: &[(0, Slot::Uniform), (1, Slot::Read), (2, Slot::ReadWrite)],
};

/// All programs of this pass.
#[cfg(test)]
pub(crate) static PROGRAMS: &[&Program] = &[
    &FETCH_BILINEAR[0],
    &FETCH_BILINEAR[1],
    &FETCH_CONVERTED[0],
    &FETCH_CONVERTED[1],
    &HORIZONTAL,
    &VERTICAL,
];

/// The constants of one direction. Twin of `Params` in `blur/weights.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    /// Words of four cells from row to row of input and output, cells on either side, unused.
    pub(crate) rows: [u32; 4],
    /// For the input cell at place j, its weight in the outputs 0 to 3.
    pub(crate) weights: [[f32; 4]; WEIGHTS],
}

/// How a plan's grids lie in memory: the fetched one with guards on every side, the one blurred along rows with guards
/// above and below, the result without. All are padded to whole workgroups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grids {
    /// Cells from row to row of the fetched grid.
    outer_stride: u32,
    /// Rows of the first two grids.
    outer_rows: u32,
    /// Cells from row to row of the others. 256 bytes are 64 cells: what a copy to a texture asks for.
    pub(crate) inner_stride: u32,
    /// Rows of the result.
    inner_rows: u32,
}

impl Grids {
    pub(crate) fn of(plan: &BlurPlan) -> Grids {
        let inner_stride = plan.width.next_multiple_of(64);
        let inner_rows = plan.height.next_multiple_of(8);
        Grids {
            outer_stride: (inner_stride + 2 * plan.radius.0).next_multiple_of(64),
            outer_rows: (inner_rows + 2 * plan.radius.1).next_multiple_of(4),
            inner_stride,
            inner_rows,
        }
    }

    /// Bytes of the fetched grid, which the result shares.
    pub(crate) fn outer_bytes(&self) -> u64 {
        4 * u64::from(self.outer_stride) * u64::from(self.outer_rows)
    }

    /// Bytes of the grid between the two directions.
    pub(crate) fn middle_bytes(&self) -> u64 {
        4 * u64::from(self.inner_stride) * u64::from(self.outer_rows)
    }
}

/// The constants of the three steps: fetch, rows, columns.
pub(crate) fn params(plan: &BlurPlan) -> (Uniforms, Params, Params) {
    let grids = Grids::of(plan);
    let (outer, inner) = (grids.outer_stride / 4, grids.inner_stride / 4);
    let fetch = Uniforms { grid_row: grids.outer_stride, ..plan.uniforms };
    let across =
        Params { rows: [outer, inner, plan.radius.0, 0], weights: windows(&plan.along_u, plan.radius.0) };
    let down =
        Params { rows: [inner, inner, plan.radius.1, 0], weights: windows(&plan.along_v, plan.radius.1) };
    (fetch, across, down)
}

/// What the three steps read and write. The result ends up in `outer`, at the inner stride.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) plan: &'a BlurPlan,
    pub(crate) texels: &'a Texels,
    pub(crate) fetch: BufferBinding<'a>,
    pub(crate) across: BufferBinding<'a>,
    pub(crate) down: BufferBinding<'a>,
    pub(crate) outer: &'a wgpu::Buffer,
    pub(crate) middle: &'a wgpu::Buffer,
}

/// Records the three dispatches.
pub(crate) fn record(gpu: &Gpu, into: &mut ComputePass<'_>, inputs: &Inputs<'_>) {
    let grids = Grids::of(inputs.plan);
    let mut dispatch = |program: &'static Program, entries: &[BindGroupEntry<'_>], groups: (u32, u32)| {
        let pipeline = gpu.pipeline(program);
        let bindings = gpu.bind(&pipeline, entries);
        into.set_pipeline(&pipeline.pipeline);
        into.set_bind_group(0, &bindings, &[]);
        into.dispatch_workgroups(groups.0, groups.1, 1);
    };

    let converts = inputs.plan.fetch == Kernel::Converted;
    let programs = if converts { &FETCH_CONVERTED } else { &FETCH_BILINEAR };
    let program = if inputs.plan.taps == 1 { &programs[0] } else { &programs[1] };
    let mut entries = vec![constants(0, &inputs.fetch)];
    entries.extend(blend::texel_entries(gpu, inputs.plan.fetch, inputs.texels));
    entries.push(entry(8, inputs.outer.as_entire_binding()));
    dispatch(program, &entries, (grids.outer_stride / 64, grids.outer_rows));

    // Workgroups of 16 words by 4 invocations, each of which makes one row, in the second step two.
    let (outer, middle) = (inputs.outer.as_entire_binding(), inputs.middle.as_entire_binding());
    let entries = [constants(0, &inputs.across), entry(1, outer.clone()), entry(2, middle.clone())];
    dispatch(&HORIZONTAL, &entries, (grids.inner_stride / 64, grids.outer_rows / 4));
    let entries = [constants(0, &inputs.down), entry(1, middle), entry(2, outer)];
    dispatch(&VERTICAL, &entries, (grids.inner_stride / 64, grids.inner_rows / 8));
}

fn entry(binding: u32, resource: BindingResource<'_>) -> BindGroupEntry<'_> {
    BindGroupEntry { binding, resource }
}

fn constants<'a>(binding: u32, part: &BufferBinding<'a>) -> BindGroupEntry<'a> {
    entry(binding, BindingResource::Buffer(part.clone()))
}

/// Row j holds the weights of input cell j, `radius` before the first output, in the outputs 0 to 3.
fn windows(weights: &[f32], radius: u32) -> [[f32; 4]; WEIGHTS] {
    let mut windows = [[0.0; 4]; WEIGHTS];
    for (place, window) in windows.iter_mut().enumerate() {
        for (output, weight) in window.iter_mut().enumerate() {
            let distance = (output + radius as usize).abs_diff(place);
            *weight = weights.get(distance).copied().unwrap_or(0.0);
        }
    }
    windows
}
