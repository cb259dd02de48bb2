//! Compute programs: their WGSL parts and bindings as data, compiled on first use and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu::{
    BindGroupLayoutEntry, BindingType, BufferBindingType, SamplerBindingType, ShaderStages,
    TextureSampleType, TextureViewDimension,
};

use crate::gpu::Gpu;

/// A compute shader assembled from parts that share one global scope; its entry point is `main`.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its path, the label of everything made for it.
    pub(crate) label: &'static str,
    /// WGSL, in order.
    pub(crate) parts: &'static [&'static str],
    /// Its bindings in group 0.
    pub(crate) slots: &'static [(u32, Slot)],
}

/// What a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A block of constants.
    Uniform,
    /// A buffer that is read.
    Read,
    /// A buffer that is read and written.
    ReadWrite,
    /// A texture whose samples are interpolated.
    Float,
    /// A texture of packed words.
    Uint,
    /// The sampler of the former.
    Linear,
    /// The sampler of the latter.
    Nearest,
}

impl Program {
    pub(crate) fn source(&self) -> String {
        self.parts.concat()
    }
}

/// A compiled program.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
    label: &'static str,
}

/// The compiled programs of a device.
#[derive(Debug, Default)]
pub(crate) struct Pipelines(Mutex<BTreeMap<&'static str, Arc<Pipeline>>>);

#[cfg(test)]
impl Pipelines {
    pub(crate) fn contains(&self, label: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(label)
    }
}

impl Gpu {
    /// The compiled form of `program`. Threads that ask for the same one compile it once.
    pub(crate) fn pipeline(&self, program: &'static Program) -> Arc<Pipeline> {
        let mut compiled = self.pipelines.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = compiled.entry(program.label);
        Arc::clone(entry.or_insert_with(|| Arc::new(compile(&self.device, program))))
    }

    /// The resources of one dispatch of `pipeline`.
    pub(crate) fn bind(&self, pipeline: &Pipeline, entries: &[wgpu::BindGroupEntry<'_>]) -> wgpu::BindGroup {
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(pipeline.label),
            layout: &pipeline.layout,
            entries,
        })
    }
}

fn compile(device: &wgpu::Device, program: &Program) -> Pipeline {
    let label = Some(program.label);
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label,
        source: wgpu::ShaderSource::Wgsl(program.source().into()),
    });
    let entries: Vec<BindGroupLayoutEntry> = program.slots.iter().map(layout_entry).collect();
    let layout =
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    Pipeline { pipeline, layout, label: program.label }
}

fn layout_entry((binding, slot): &(u32, Slot)) -> BindGroupLayoutEntry {
    let buffer = |ty| BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let texture = |sample_type| BindingType::Texture {
        sample_type,
        view_dimension: TextureViewDimension::D2,
        multisampled: false,
    };
    let ty = match slot {
        Slot::Uniform => buffer(BufferBindingType::Uniform),
        Slot::Read => buffer(BufferBindingType::Storage { read_only: true }),
        Slot::ReadWrite => buffer(BufferBindingType::Storage { read_only: false }),
        Slot::Float => texture(TextureSampleType::Float { filterable: true }),
        Slot::Uint => texture(TextureSampleType::Uint),
        Slot::Linear => BindingType::Sampler(SamplerBindingType::Filtering),
        Slot::Nearest => BindingType::Sampler(SamplerBindingType::NonFiltering),
    };
    BindGroupLayoutEntry { binding: *binding, visibility: ShaderStages::COMPUTE, ty, count: None }
}
