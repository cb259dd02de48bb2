//! Executes a frame graph: uploads, records and submits it. Owns the GPU buffers of one canvas.

use std::ops::Range;

use bytemuck::Pod;
use wgpu::{Buffer, BufferBinding, BufferSize, BufferUsages, CommandEncoder};

use crate::canvas::CanvasFrame;
use crate::compositor::{CompositeError, planar};
use crate::frame_graph::{BlurPlan, Draw, FrameGraph, Kernel, Level};
use crate::gpu::Gpu;
use crate::pack::Form;
use crate::passes::blend::{self, Texels};
use crate::passes::blur::{self, Grids};
use crate::picture::{Picture, Pictures};
use crate::texture::{self, PlaneTextures, TooLarge};

/// Uniform blocks lie this far apart (WebGPU's `minUniformBufferOffsetAlignment` is at most that).
const BLOCK_ALIGNMENT: usize = 256;

/// The buffers that frames are painted with, made when first needed and grown when too small.
#[derive(Debug, Default)]
pub(super) struct Execution {
    canvas: Option<Buffer>,
    constants: Option<Buffer>,
    tiles: Option<Buffer>,
    /// One set for each blurred draw of a frame.
    grids: Vec<GridBuffers>,
    planes: PlaneTextures,
}

/// The grids of one blurred draw.
#[derive(Debug, Default)]
struct GridBuffers {
    outer: Option<Buffer>,
    middle: Option<Buffer>,
    /// The result as a texture, and the size of the plan it was made for.
    result: Option<((u32, u32), wgpu::Texture)>,
}

/// The constants of a frame, written to the GPU at once.
#[derive(Debug, Default)]
struct Blocks(Vec<u8>);

/// Where one of them lies.
#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    size: u64,
}

impl Blocks {
    fn push(&mut self, block: &impl Pod) -> Block {
        let bytes = bytemuck::bytes_of(block);
        let offset = self.0.len();
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(BLOCK_ALIGNMENT), 0);
        Block { offset: offset as u64, size: bytes.len() as u64 }
    }
}

impl Block {
    fn of(self, buffer: &Buffer) -> BufferBinding<'_> {
        BufferBinding { buffer, offset: self.offset, size: BufferSize::new(self.size) }
    }
}

/// What a draw needs beside the canvas.
#[derive(Debug)]
struct Prepared<'a> {
    draw: &'a Draw,
    blocks: [Block; 2],
    texels: Texels,
    blur: Option<PreparedBlur<'a>>,
}

/// What a blurred draw needs before it is drawn.
#[derive(Debug)]
struct PreparedBlur<'a> {
    plan: &'a BlurPlan,
    /// The picture that is fetched.
    texels: Texels,
    /// Of fetch, rows and columns.
    blocks: [Block; 3],
    outer: Buffer,
    middle: Buffer,
    /// Where the result is copied to, unless the draw reads the grid itself.
    result: Option<wgpu::Texture>,
}

impl Execution {
    /// Paints `graph` over `frame`'s base and copies the byte ranges `spans` of the canvas, packed, into `readback`.
    pub(super) fn submit(
        &mut self,
        gpu: &Gpu,
        graph: &FrameGraph,
        pictures: &dyn Pictures,
        (frame, spans, readback): (&CanvasFrame, &[Range<usize>], &Buffer),
    ) -> Result<wgpu::SubmissionIndex, CompositeError> {
        let layout = frame.layout;
        self.planes.begin_frame();
        let mut blocks = Blocks::default();
        let mut prepared = Vec::with_capacity(graph.draws.len());
        let mut blurred = 0;
        for draw in &graph.draws {
            prepared.push(self.prepare(gpu, (graph, draw), pictures, &mut blocks, &mut blurred)?);
        }

        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let canvas = grown(gpu, &mut self.canvas, "compositor.canvas", layout.total(), usage);
        for rows in graph.rows.iter().filter(|rows| rows.base_shows) {
            for span in layout.bytes_of_rows(&rows.rows) {
                gpu.queue.write_buffer(&canvas, span.start as u64, &frame.bytes[span]);
            }
        }
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let constants = filled(gpu, &mut self.constants, "compositor.constants", &blocks.0, usage);
        let words: Vec<u32> =
            graph.draws.iter().flat_map(|draw| &draw.tiles).map(|tile| tile.word()).collect();
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let tiles = filled(gpu, &mut self.tiles, "compositor.tiles", bytemuck::cast_slice(&words), usage);

        let label = wgpu::CommandEncoderDescriptor { label: Some("compositor.frame") };
        let mut encoder = gpu.device.create_command_encoder(&label);
        record_blurs(gpu, &mut encoder, &prepared, &constants);
        let label = wgpu::ComputePassDescriptor { label: Some("compositor.blend"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&label);
        for Prepared { draw, blocks, texels, .. } in &prepared {
            let constants = blocks.map(|block| block.of(&constants));
            let inputs =
                blend::Inputs { draw, texels, constants, tiles: &tiles, canvas: &canvas, layout: &layout };
            blend::record(gpu, &mut pass, &inputs);
        }
        drop(pass);
        let mut at = 0;
        for span in spans {
            let length = span.len() as u64;
            encoder.copy_buffer_to_buffer(&canvas, span.start as u64, readback, at, length);
            at += length;
        }
        Ok(gpu.queue.submit([encoder.finish()]))
    }

    /// Uploads what `draw` samples and lays out its constants. `blurred` counts the frame's blurred draws.
    fn prepare<'a>(
        &mut self,
        gpu: &Gpu,
        (graph, draw): (&FrameGraph, &'a Draw),
        pictures: &dyn Pictures,
        blocks: &mut Blocks,
        blurred: &mut usize,
    ) -> Result<Prepared<'a>, CompositeError> {
        let too_large = |TooLarge { width, height }| CompositeError::PictureTooLarge {
            width,
            height,
            limit: gpu.limits.max_texture_dimension_2d,
        };
        let own = blend::uniforms(draw).map(|uniforms| blocks.push(&uniforms));
        let (kernel, level, form) = match &draw.blur {
            None if draw.kernel == Kernel::Identity => (draw.kernel, draw.level, Form::Bordered),
            None => (draw.kernel, draw.level, Form::Bare),
            Some(plan) => (plan.fetch, plan.level, if plan.is_framed { Form::Framed } else { Form::Bare }),
        };
        let source = self.texels(gpu, (graph, draw), (kernel, level, form), pictures)?;
        let Some(plan) = &draw.blur else {
            return Ok(Prepared { draw, blocks: own, texels: source, blur: None });
        };

        if self.grids.len() <= *blurred {
            self.grids.push(GridBuffers::default());
        }
        let buffers = &mut self.grids[*blurred];
        *blurred += 1;
        let grids = Grids::of(plan);
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let outer = grown(gpu, &mut buffers.outer, "blur.outer", grids.outer_bytes(), usage);
        let middle = grown(gpu, &mut buffers.middle, "blur.middle", grids.middle_bytes(), usage);
        let (texels, result) = if draw.kernel == Kernel::Magnified {
            (Texels::Grid(outer.clone()), None)
        } else {
            let size = (plan.width, plan.height);
            if buffers.result.as_ref().is_none_or(|(made_for, _)| *made_for != size) {
                buffers.result = Some((size, texture::create_blurred(gpu, size).map_err(too_large)?));
            }
            let texture = buffers.result.as_ref().map(|(_, texture)| texture.clone());
            let texture = texture.expect("made above where it was missing");
            let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
            (Texels::Packed(view), Some(texture))
        };
        let (fetch, across, down) = blur::params(plan);
        let blocks = [blocks.push(&fetch), blocks.push(&across), blocks.push(&down)];
        let blur = PreparedBlur { plan, texels: source, blocks, outer, middle, result };
        Ok(Prepared { draw, blocks: own, texels, blur: Some(blur) })
    }

    /// The texture or textures of a draw's picture, uploaded unless they are there.
    fn texels(
        &mut self,
        gpu: &Gpu,
        (graph, draw): (&FrameGraph, &Draw),
        (kernel, level, form): (Kernel, Level, Form),
        pictures: &dyn Pictures,
    ) -> Result<Texels, CompositeError> {
        let too_large = |TooLarge { width, height }| CompositeError::PictureTooLarge {
            width,
            height,
            limit: gpu.limits.max_texture_dimension_2d,
        };
        if matches!(kernel, Kernel::Planar | Kernel::Converted) {
            let image = planar(pictures, &draw.source)?;
            let (luma, chroma) = self.planes.upload(gpu, &image, level, form).map_err(too_large)?;
            return Ok(Texels::Planes(luma, chroma));
        }
        let Some(Picture::Rgba(image)) = pictures.picture(&draw.source) else {
            return Err(CompositeError::Picture(draw.source));
        };
        let view = gpu.textures().view(gpu, &image, graph.kind.space(), level, form).map_err(too_large)?;
        Ok(Texels::Packed(view))
    }
}

/// All blurs of a frame in one pass, then the copies of those results that are sampled.
fn record_blurs(gpu: &Gpu, encoder: &mut CommandEncoder, prepared: &[Prepared<'_>], constants: &Buffer) {
    let blurs: Vec<&PreparedBlur<'_>> =
        prepared.iter().filter_map(|prepared| prepared.blur.as_ref()).collect();
    if blurs.is_empty() {
        return;
    }
    let label = wgpu::ComputePassDescriptor { label: Some("compositor.blur"), timestamp_writes: None };
    let mut pass = encoder.begin_compute_pass(&label);
    for blur in &blurs {
        let [fetch, across, down] = blur.blocks.map(|block| block.of(constants));
        let inputs = blur::Inputs {
            plan: blur.plan,
            texels: &blur.texels,
            fetch,
            across,
            down,
            outer: &blur.outer,
            middle: &blur.middle,
        };
        blur::record(gpu, &mut pass, &inputs);
    }
    drop(pass);
    for blur in blurs {
        let Some(result) = &blur.result else { continue };
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(4 * Grids::of(blur.plan).inner_stride),
            rows_per_image: None,
        };
        let size =
            wgpu::Extent3d { width: blur.plan.width, height: blur.plan.height, depth_or_array_layers: 1 };
        let from = wgpu::TexelCopyBufferInfo { buffer: &blur.outer, layout };
        encoder.copy_buffer_to_texture(from, result.as_image_copy(), size);
    }
}

/// The buffer in `slot`, made anew where it is shorter than `size`.
fn grown(gpu: &Gpu, slot: &mut Option<Buffer>, label: &str, size: u64, usage: BufferUsages) -> Buffer {
    if let Some(buffer) = slot.as_ref().filter(|buffer| buffer.size() >= size) {
        return buffer.clone();
    }
    let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
    slot.insert(gpu.device.create_buffer(&descriptor)).clone()
}

/// The buffer in `slot`, beginning with `bytes`.
fn filled(gpu: &Gpu, slot: &mut Option<Buffer>, label: &str, bytes: &[u8], usage: BufferUsages) -> Buffer {
    let buffer = grown(gpu, slot, label, bytes.len() as u64, usage);
    gpu.queue.write_buffer(&buffer, 0, bytes);
    buffer
}
