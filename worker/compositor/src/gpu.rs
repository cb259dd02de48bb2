//! The adapter and its device, shared by every compositor of a process.
//!
//! A real GPU is preferred, a software driver (Mesa's lavapipe) is as good a citizen. Pipelines are compiled once per
//! process; the driver keeps compiled shaders in its own cache (`$HOME/.cache` or `MESA_SHADER_CACHE_DIR`), which is
//! worth keeping between runs: a cold pipeline costs a software driver up to a third of a second.
//!
//! A device is lost for good. The first fault (device lost, out of memory, a refused command) is remembered, every
//! later frame fails with it, and the owner opens a new [`Gpu`] and renders the part again.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use thiserror::Error;
use wgpu::{Adapter, AdapterInfo, Backends, DeviceType, Features, Limits};

use crate::texture::TextureCache;

pub(crate) mod pipeline;
mod warm_up;

use pipeline::Pipelines;

/// What the installation says about its GPU.
#[derive(Debug, Clone)]
pub struct GpuOptions {
    /// Part of an adapter's name, in any case; `None`: the best one.
    pub adapter: Option<String>,
    /// Bytes of stills and text kept on the GPU between frames. One picture beyond it is still used, but not kept.
    pub texture_cache_bytes: u64,
    /// When frames are painted by the processor's own kernels.
    pub row_kernels: RowKernels,
}

/// When frames are painted row by row on the processor instead of by the adapter: only ever those that consist of
/// upright layers in 4:2:0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowKernels {
    /// Where the adapter is software, whose shaders run on the same processor and take several times as long.
    #[default]
    OnSoftwareAdapters,
    /// Beside any adapter.
    Always,
    /// Beside none.
    Never,
}

impl Default for GpuOptions {
    /// Any adapter, 256 MiB: sixty full-HD stills.
    fn default() -> GpuOptions {
        GpuOptions { adapter: None, texture_cache_bytes: 256 << 20, row_kernels: RowKernels::default() }
    }
}

/// An open device.
#[derive(Debug)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) limits: Limits,
    pub(crate) pipelines: Pipelines,
    pub(crate) textures: Mutex<TextureCache>,
    pub(crate) linear: wgpu::Sampler,
    pub(crate) nearest: wgpu::Sampler,
    /// Whether the row kernels paint what they can.
    pub(crate) has_row_kernels: bool,
    info: AdapterInfo,
    fault: Arc<OnceLock<String>>,
}

/// Why there is no GPU to work on.
#[derive(Debug, Error)]
pub enum OpenGpuError {
    /// Not even a software driver.
    #[error(
        "find a Vulkan adapter; install a software one with `apt-get install mesa-vulkan-drivers libvulkan1`, or the GPU's own Vulkan driver"
    )]
    NoAdapter,
    /// None of this name.
    #[error("find a Vulkan adapter named {wanted:?}; there are: {}", found.join(", "))]
    NoSuchAdapter {
        /// What was asked for.
        wanted: String,
        /// The names of all there are.
        found: Vec<String>,
    },
    /// The driver refuses a device.
    #[error("open the adapter {adapter:?}")]
    Device {
        /// Its name.
        adapter: String,
        /// The driver's answer.
        #[source]
        source: wgpu::RequestDeviceError,
    },
}

impl Gpu {
    /// Opens the best adapter that `options` allows.
    ///
    /// # Errors
    /// Where there is none or its driver refuses.
    pub fn open(options: &GpuOptions) -> Result<Arc<Gpu>, OpenGpuError> {
        let mut instance = wgpu::InstanceDescriptor::new_without_display_handle();
        instance.backends = Backends::VULKAN;
        let adapters = pollster::block_on(wgpu::Instance::new(instance).enumerate_adapters(Backends::VULKAN));
        let adapter = choose(adapters, options.adapter.as_deref())?;
        let info = adapter.get_info();
        let limits = wanted_limits(&adapter.limits());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("compositor.device"),
            required_features: Features::empty(),
            required_limits: limits.clone(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|source| OpenGpuError::Device { adapter: info.name.clone(), source })?;
        let fault = Arc::new(OnceLock::new());
        watch(&device, &fault);
        let sampler = |label, filter| {
            device.create_sampler(&wgpu::SamplerDescriptor {
                label: Some(label),
                mag_filter: filter,
                min_filter: filter,
                ..wgpu::SamplerDescriptor::default()
            })
        };
        tracing::info!(adapter = %info.name, driver = %info.driver_info, "opened the adapter");
        Ok(Arc::new(Gpu {
            linear: sampler("compositor.linear", wgpu::FilterMode::Linear),
            nearest: sampler("compositor.nearest", wgpu::FilterMode::Nearest),
            pipelines: Pipelines::default(),
            textures: Mutex::new(TextureCache::new(options.texture_cache_bytes)),
            has_row_kernels: match options.row_kernels {
                RowKernels::OnSoftwareAdapters => info.device_type == DeviceType::Cpu,
                RowKernels::Always => true,
                RowKernels::Never => false,
            },
            device,
            queue,
            limits,
            info,
            fault,
        }))
    }

    /// Names everything about the adapter, and about who paints beside it, that may change a sample: equal fingerprints
    /// paint equal frames.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let AdapterInfo { name, driver, driver_info, backend, .. } = &self.info;
        let rows = if self.has_row_kernels { "/rows" } else { "" };
        format!("{backend}/{name}/{driver}/{driver_info}{rows}")
    }

    /// The adapter's name, for people.
    #[must_use]
    pub fn adapter_name(&self) -> &str {
        &self.info.name
    }

    /// What broke this device; `None` while it works. A broken device never works again.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// The cache of stills and text. A poisoned one is as good as any: entries are inserted whole.
    pub(crate) fn textures(&self) -> std::sync::MutexGuard<'_, TextureCache> {
        self.textures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The adapter to use: of the wanted name, and among those the fastest kind.
fn choose(adapters: Vec<Adapter>, wanted: Option<&str>) -> Result<Adapter, OpenGpuError> {
    let names: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    let matches =
        |name: &str| wanted.is_none_or(|wanted| name.to_lowercase().contains(&wanted.to_lowercase()));
    let rank = |kind: DeviceType| match kind {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Cpu => 3,
        DeviceType::Other => 4,
    };
    let fitting = adapters.into_iter().filter(|adapter| matches(&adapter.get_info().name));
    match (fitting.min_by_key(|adapter| rank(adapter.get_info().device_type)), wanted) {
        (Some(adapter), _) => Ok(adapter),
        (None, Some(wanted)) if !names.is_empty() => {
            Err(OpenGpuError::NoSuchAdapter { wanted: wanted.to_owned(), found: names })
        }
        (None, _) => Err(OpenGpuError::NoAdapter),
    }
}

/// The portable limits, but as large pictures and canvases as the adapter takes.
fn wanted_limits(adapter: &Limits) -> Limits {
    Limits {
        max_texture_dimension_2d: adapter.max_texture_dimension_2d,
        max_buffer_size: adapter.max_buffer_size,
        max_storage_buffer_binding_size: adapter.max_storage_buffer_binding_size,
        ..Limits::default()
    }
}

/// Remembers the first thing that goes wrong. Without a handler wgpu would panic in whatever thread polls.
fn watch(device: &wgpu::Device, fault: &Arc<OnceLock<String>>) {
    let uncaptured = Arc::clone(fault);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        if uncaptured.set(error.to_string()).is_ok() {
            tracing::error!(%error, "the device refused a command; it is given up");
        }
    }));
    let lost = Arc::clone(fault);
    device.set_device_lost_callback(move |reason, message| {
        // Dropping the device ends here too: that is no loss.
        if reason != wgpu::DeviceLostReason::Destroyed && lost.set(format!("device lost: {message}")).is_ok()
        {
            tracing::error!(message, "the device is lost");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_nobody_has_is_refused_with_the_names_there_are() {
        let options = GpuOptions { adapter: Some("no such adapter".to_owned()), ..GpuOptions::default() };
        let refusal = Gpu::open(&options).expect_err("there is no such adapter").to_string();
        assert!(refusal.contains("no such adapter") || refusal.contains("apt-get install"), "{refusal}");
    }

    #[test]
    fn the_fingerprint_names_adapter_and_driver() {
        let gpu = Gpu::open(&GpuOptions::default()).expect("apt-get install mesa-vulkan-drivers libvulkan1");
        let fingerprint = gpu.fingerprint();
        assert!(
            fingerprint.starts_with("vulkan/") && fingerprint.contains(gpu.adapter_name()),
            "{fingerprint}"
        );
    }
}
