//! Blends one draw over the canvas, in place, over the draw's tiles only.
//!
//! Reads: the draw's picture (a texture, planes or a blur's grid), the canvas. Writes: the canvas.
//! Formula: over = texel · opacity · coverage; canvas = over + canvas · (1 − over's alpha), in code values of the
//! canvas' colour space with alpha multiplied in. In 4:2:0, chroma is blended once per 2x2 pixels, with colour and
//! alpha filtered 1-2-1 across and 1-1 down around its site: exact for one layer, and for several where the ones
//! behind change little inside the filter.
//! Cost per pixel: identity ¼ gather; bilinear 1 1/16 samples; planar 1 + ¼; converted 2 + ¼; magnified ⅓ word. Each
//! reads and writes the canvas once.

use wgpu::{BindGroupEntry, BindingResource, BufferBinding, BufferSize};

use crate::canvas::{CanvasKind, CanvasLayout};
use crate::frame_graph::{Draw, Kernel, Uniforms};
use crate::gpu::Gpu;
use crate::gpu::pipeline::{Program, Slot};

const PARAMS: &str = include_str!("blend/params.wgsl");
const TILES: &str = include_str!("blend/tiles.wgsl");
const INSIDE: &str = include_str!("blend/inside.wgsl");
const EDGE: &str = include_str!("blend/edge.wgsl");
const POSITION: &str = include_str!("blend/position.wgsl");
const QUAD: &str = include_str!("blend/quad.wgsl");
const QUADS: &str = include_str!("blend/quads.wgsl");
const FOUR: &str = include_str!("blend/four.wgsl");
const IDENTITY: &str = include_str!("blend/identity.wgsl");
const BILINEAR: &str = include_str!("blend/bilinear.wgsl");
const PLANES: &str = include_str!("blend/planes.wgsl");
const PLANAR: &str = include_str!("blend/planar.wgsl");
const LUMA_ALONE: &str = include_str!("blend/luma_alone.wgsl");
const LUMA_CONVERTED: &str = include_str!("blend/luma_converted.wgsl");
const CHROMA_SAMPLED: &str = include_str!("blend/chroma_sampled.wgsl");
const CHROMA_GATHERED: &str = include_str!("blend/chroma_gathered.wgsl");
const CONVERTED: &str = include_str!("blend/converted.wgsl");
const MAGNIFIED: &str = include_str!("blend/magnified.wgsl");
const I420: &str = include_str!("blend/i420.wgsl");
const RGBA: &str = include_str!("blend/rgba.wgsl");

/// Texels of packed pictures, for the blur's fetch.
pub(crate) const PACKED_TEXELS: [&str; 4] = [PARAMS, EDGE, POSITION, BILINEAR];
/// Texels of planes, for the blur's fetch.
pub(crate) const PLANAR_TEXELS: [&str; 6] = [PARAMS, EDGE, POSITION, PLANES, CHROMA_SAMPLED, CONVERTED];

const CONSTANTS: (u32, Slot) = (0, Slot::Uniform);
const TILE_LIST: (u32, Slot) = (1, Slot::Read);
const WORDS: [(u32, Slot); 2] = [(2, Slot::Uint), (3, Slot::Nearest)];
const PACKED: [(u32, Slot); 2] = [(2, Slot::Float), (3, Slot::Linear)];
const CHROMA_PLANE: (u32, Slot) = (4, Slot::Float);
const FIRST_PLANE: (u32, Slot) = (8, Slot::ReadWrite);
const CHROMA_PLANES: (u32, Slot) = (9, Slot::ReadWrite);

/// What programs over 4:2:0 bind beside their texels, with one picture texture, and with planes.
const I420_PACKED: &[(u32, Slot)] = &[CONSTANTS, TILE_LIST, PACKED[0], PACKED[1], FIRST_PLANE, CHROMA_PLANES];
const I420_PLANES: &[(u32, Slot)] =
    &[CONSTANTS, TILE_LIST, PACKED[0], PACKED[1], CHROMA_PLANE, FIRST_PLANE, CHROMA_PLANES];
const RGBA_PACKED: &[(u32, Slot)] = &[CONSTANTS, TILE_LIST, PACKED[0], PACKED[1], FIRST_PLANE];
const RGBA_PLANES: &[(u32, Slot)] = &[CONSTANTS, TILE_LIST, PACKED[0], PACKED[1], CHROMA_PLANE, FIRST_PLANE];

static I420_IDENTITY: Program = Program {
    label: "blend.i420.identity",
    parts: &[PARAMS, TILES, QUAD, IDENTITY, FOUR, I420],
    slots: &[CONSTANTS, TILE_LIST, WORDS[0], WORDS[1], FIRST_PLANE, CHROMA_PLANES],
};
static I420_MAGNIFIED: Program = Program {
    label: "blend.i420.magnified",
    parts: &[PARAMS, TILES, QUAD, MAGNIFIED, I420],
    slots: &[CONSTANTS, TILE_LIST, (2, Slot::Read), FIRST_PLANE, CHROMA_PLANES],
};
/// Of each pair the first paints plain tiles, the second tiles that a side crosses.
static I420_BILINEAR: [Program; 2] = [
    Program {
        label: "blend.i420.bilinear.inside",
        parts: &[PARAMS, INSIDE, TILES, POSITION, BILINEAR, QUAD, QUADS, FOUR, I420],
        slots: I420_PACKED,
    },
    Program {
        label: "blend.i420.bilinear.edge",
        parts: &[PARAMS, EDGE, TILES, POSITION, BILINEAR, QUAD, QUADS, FOUR, I420],
        slots: I420_PACKED,
    },
];
static I420_PLANAR: [Program; 2] = [
    Program {
        label: "blend.i420.planar.inside",
        parts: &[
            PARAMS,
            INSIDE,
            TILES,
            POSITION,
            PLANES,
            CHROMA_SAMPLED,
            LUMA_ALONE,
            QUAD,
            PLANAR,
            FOUR,
            I420,
        ],
        slots: I420_PLANES,
    },
    Program {
        label: "blend.i420.planar.edge",
        parts: &[PARAMS, EDGE, TILES, POSITION, PLANES, CHROMA_SAMPLED, LUMA_ALONE, QUAD, PLANAR, FOUR, I420],
        slots: I420_PLANES,
    },
];
static I420_CONVERTED: [Program; 2] = [
    Program {
        label: "blend.i420.converted.inside",
        parts: &[
            PARAMS,
            INSIDE,
            TILES,
            POSITION,
            PLANES,
            CHROMA_SAMPLED,
            LUMA_CONVERTED,
            QUAD,
            PLANAR,
            FOUR,
            I420,
        ],
        slots: I420_PLANES,
    },
    Program {
        label: "blend.i420.converted.edge",
        parts: &[
            PARAMS,
            EDGE,
            TILES,
            POSITION,
            PLANES,
            CHROMA_SAMPLED,
            LUMA_CONVERTED,
            QUAD,
            PLANAR,
            FOUR,
            I420,
        ],
        slots: I420_PLANES,
    },
];
/// Stills: every tile is painted as if a side crossed it.
static RGBA_BILINEAR: Program = Program {
    label: "blend.rgba.bilinear",
    parts: &[PARAMS, EDGE, TILES, POSITION, BILINEAR, RGBA],
    slots: RGBA_PACKED,
};
static RGBA_CONVERTED: Program = Program {
    label: "blend.rgba.converted",
    parts: &[PARAMS, EDGE, TILES, POSITION, PLANES, CHROMA_GATHERED, CONVERTED, RGBA],
    slots: RGBA_PLANES,
};

/// All programs of this pass.
#[cfg(test)]
pub(crate) static PROGRAMS: &[&Program] = &[
    &I420_IDENTITY,
    &I420_MAGNIFIED,
    &I420_BILINEAR[0],
    &I420_BILINEAR[1],
    &I420_PLANAR[0],
    &I420_PLANAR[1],
    &I420_CONVERTED[0],
    &I420_CONVERTED[1],
    &RGBA_BILINEAR,
    &RGBA_CONVERTED,
];

/// The texels of a draw.
#[derive(Debug)]
pub(crate) enum Texels {
    /// Packed.
    Packed(wgpu::TextureView),
    /// Luma, and both chroma planes interleaved.
    Planes(wgpu::TextureView, wgpu::TextureView),
    /// A blur's grid.
    Grid(wgpu::Buffer),
}

/// What the dispatches of a draw read and write.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) draw: &'a Draw,
    pub(crate) texels: &'a Texels,
    /// The draw's constants for its plain tiles and for the others, see [`uniforms`].
    pub(crate) constants: [BufferBinding<'a>; 2],
    /// The frame's tile list.
    pub(crate) tiles: &'a wgpu::Buffer,
    pub(crate) canvas: &'a wgpu::Buffer,
    pub(crate) layout: &'a CanvasLayout,
}

/// The constants of a draw's two dispatches, which begin at different tiles.
pub(crate) fn uniforms(draw: &Draw) -> [Uniforms; 2] {
    let first_tile = draw.uniforms.first_tile + plain_count(draw);
    [draw.uniforms, Uniforms { first_tile, ..draw.uniforms }]
}

/// Records the dispatches, one workgroup to a tile: plain tiles by the program that knows no sides, the
/// others by the one that does.
pub(crate) fn record(gpu: &Gpu, into: &mut wgpu::ComputePass<'_>, inputs: &Inputs<'_>) {
    let all = inputs.draw.tiles.len() as u32;
    let plain = plain_count(inputs.draw);
    let [first, second] = programs(inputs.layout.kind, inputs.draw.kernel);
    let parts = if std::ptr::eq(first, second) { [all, 0] } else { [plain, all - plain] };
    for ((program, constants), tiles) in [first, second].into_iter().zip(&inputs.constants).zip(parts) {
        if tiles == 0 {
            continue;
        }
        let pipeline = gpu.pipeline(program);
        let mut entries = vec![
            BindGroupEntry { binding: 0, resource: BindingResource::Buffer(constants.clone()) },
            BindGroupEntry { binding: 1, resource: inputs.tiles.as_entire_binding() },
        ];
        entries.extend(texel_entries(gpu, inputs.draw.kernel, inputs.texels));
        entries.extend(canvas_entries(inputs.canvas, inputs.layout));
        let bindings = gpu.bind(&pipeline, &entries);
        into.set_pipeline(&pipeline.pipeline);
        into.set_bind_group(0, &bindings, &[]);
        into.dispatch_workgroups(tiles, 1, 1);
    }
}

/// How many of a draw's tiles are plain; they are the first ones.
fn plain_count(draw: &Draw) -> u32 {
    draw.tiles.iter().take_while(|tile| tile.is_plain).count() as u32
}

/// The bindings of a source of texels, also for the blur's fetch.
pub(crate) fn texel_entries<'a>(gpu: &'a Gpu, kernel: Kernel, texels: &'a Texels) -> Vec<BindGroupEntry<'a>> {
    let entry = |binding, resource| BindGroupEntry { binding, resource };
    let sampler = if kernel == Kernel::Identity { &gpu.nearest } else { &gpu.linear };
    match texels {
        Texels::Grid(grid) => vec![entry(2, grid.as_entire_binding())],
        Texels::Packed(view) => {
            vec![entry(2, BindingResource::TextureView(view)), entry(3, BindingResource::Sampler(sampler))]
        }
        Texels::Planes(luma, chroma) => vec![
            entry(2, BindingResource::TextureView(luma)),
            entry(3, BindingResource::Sampler(sampler)),
            entry(4, BindingResource::TextureView(chroma)),
        ],
    }
}

fn canvas_entries<'a>(canvas: &'a wgpu::Buffer, layout: &CanvasLayout) -> Vec<BindGroupEntry<'a>> {
    let part = |binding, offset: u64, size: u64| BindGroupEntry {
        binding,
        resource: BindingResource::Buffer(BufferBinding {
            buffer: canvas,
            offset,
            size: BufferSize::new(size),
        }),
    };
    let (first, chroma) = (layout.first_plane(), layout.chroma_plane());
    match layout.kind {
        CanvasKind::I420 => vec![part(8, 0, first), part(9, first, 2 * chroma)],
        CanvasKind::Rgba { .. } => vec![part(8, 0, first)],
    }
}

/// The programs for plain tiles and for others; one program where they need not differ. A canvas of RGBA has
/// none for what only 4:2:0 can exploit; the graph never asks for them.
fn programs(kind: CanvasKind, kernel: Kernel) -> [&'static Program; 2] {
    match (kind, kernel) {
        (CanvasKind::I420, Kernel::Identity) => [&I420_IDENTITY, &I420_IDENTITY],
        (CanvasKind::I420, Kernel::Magnified) => [&I420_MAGNIFIED, &I420_MAGNIFIED],
        (CanvasKind::I420, Kernel::Bilinear) => I420_BILINEAR.each_ref(),
        (CanvasKind::I420, Kernel::Planar) => I420_PLANAR.each_ref(),
        (CanvasKind::I420, Kernel::Converted) => I420_CONVERTED.each_ref(),
        (CanvasKind::Rgba { .. }, Kernel::Bilinear | Kernel::Identity | Kernel::Magnified) => {
            [&RGBA_BILINEAR, &RGBA_BILINEAR]
        }
        (CanvasKind::Rgba { .. }, Kernel::Converted | Kernel::Planar) => [&RGBA_CONVERTED, &RGBA_CONVERTED],
    }
}
