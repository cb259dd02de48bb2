//! Textures: stills and text kept by key under a byte limit, and the planes of videos, written anew for every frame.
//!
//! What the row kernels read of stills and text is kept beside the textures, under the same limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use wgpu::{Extent3d, TextureFormat, TextureUsages};

use crate::color::ColorSpace;
use crate::frame_graph::{Level, texture_side};
use crate::gpu::Gpu;
use crate::pack::{self, Form};
use crate::picture::{PictureKey, PlanarImage, RgbaImage};
use crate::rows::StillPlanes;

/// What makes one texture of a picture differ from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    picture: PictureKey,
    space: ColorSpace,
    level: Level,
    form: Form,
    reader: Reader,
}

/// Who reads a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    Device,
    Rows,
}

/// A picture made ready for its reader.
#[derive(Debug, Clone)]
enum Ready {
    Texture(wgpu::TextureView),
    Planes(Arc<StillPlanes>),
}

#[derive(Debug)]
struct Entry {
    ready: Ready,
    bytes: u64,
    last_use: u64,
}

/// Stills and text made ready. Those not used for longest make room for new ones; frames in flight keep what they use.
#[derive(Debug)]
pub(crate) struct TextureCache {
    limit: u64,
    bytes: u64,
    uses: u64,
    entries: BTreeMap<Key, Entry>,
}

/// A picture has more texels along a side than the adapter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl TextureCache {
    pub(crate) fn new(limit: u64) -> TextureCache {
        TextureCache { limit, bytes: 0, uses: 0, entries: BTreeMap::new() }
    }

    /// The texture of `image` in `space` at `level`, made if it is not there. The cache stays locked meanwhile, so that
    /// parts that start together convert a shared still once.
    pub(crate) fn view(
        &mut self,
        gpu: &Gpu,
        image: &RgbaImage<'_>,
        space: ColorSpace,
        level: Level,
        form: Form,
    ) -> Result<wgpu::TextureView, TooLarge> {
        let key = Key { picture: image.key, space, level, form, reader: Reader::Device };
        if let Some(Ready::Texture(view)) = self.find(key) {
            return Ok(view);
        }
        let (width, height) = form.texture_size((image.width, image.height), level);
        check_size(gpu, width, height)?;
        let texels = pack::pack(image, space, level, form);
        let format = match form {
            Form::Bordered => TextureFormat::R32Uint,
            Form::Bare | Form::Framed => TextureFormat::Rgba8Unorm,
        };
        let texture = create(gpu, "compositor.texture.still", (width, height), format);
        write(gpu, &texture, &texels, 4 * width, (width, height));
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        self.insert(key, Ready::Texture(view.clone()), texels.len() as u64);
        Ok(view)
    }

    /// The planes of `image` for a 4:2:0 canvas at `level`, as large as its texture; made if they are not there.
    pub(crate) fn planes(&mut self, image: &RgbaImage<'_>, level: Level) -> Arc<StillPlanes> {
        let (space, form) = (ColorSpace::Yuva, Form::Bare);
        let key = Key { picture: image.key, space, level, form, reader: Reader::Rows };
        if let Some(Ready::Planes(planes)) = self.find(key) {
            return planes;
        }
        let texels = pack::pack(image, space, level, form);
        let (width, _) = form.texture_size((image.width, image.height), level);
        let planes = Arc::new(StillPlanes::of(&texels, width));
        self.insert(key, Ready::Planes(Arc::clone(&planes)), planes.bytes());
        planes
    }

    fn find(&mut self, key: Key) -> Option<Ready> {
        self.uses += 1;
        let entry = self.entries.get_mut(&key)?;
        entry.last_use = self.uses;
        Some(entry.ready.clone())
    }

    fn insert(&mut self, key: Key, ready: Ready, bytes: u64) {
        while self.bytes + bytes > self.limit {
            let Some(oldest) =
                self.entries.iter().min_by_key(|(_, entry)| entry.last_use).map(|(key, _)| *key)
            else {
                // Larger than the whole cache: used, not kept.
                return;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes -= entry.bytes;
            }
        }
        self.bytes += bytes;
        self.entries.insert(key, Entry { ready, bytes, last_use: self.uses });
    }
}

/// Luma and interleaved chroma of one video picture.
#[derive(Debug)]
struct PlanePair {
    /// Of both textures.
    sizes: [(u32, u32); 2],
    luma: wgpu::Texture,
    chroma: wgpu::Texture,
    last_frame: u64,
}

/// Plane textures of one compositor, reused from frame to frame: the queue writes them after the frames before are
/// painted.
#[derive(Debug, Default)]
pub(crate) struct PlaneTextures {
    pairs: Vec<PlanePair>,
    frame: u64,
}

impl PlaneTextures {
    /// Frames after which planes of a size that no video has any more are dropped.
    const KEPT_FRAMES: u64 = 30;

    /// Starts a frame: all planes are free again.
    pub(crate) fn begin_frame(&mut self) {
        self.frame += 1;
        self.pairs.retain(|pair| self.frame - pair.last_frame <= PlaneTextures::KEPT_FRAMES);
    }

    /// Uploads `image`, halved to `level`, as luma and interleaved chroma.
    pub(crate) fn upload(
        &mut self,
        gpu: &Gpu,
        image: &PlanarImage<'_>,
        level: Level,
        form: Form,
    ) -> Result<(wgpu::TextureView, wgpu::TextureView), TooLarge> {
        let sizes =
            [(image.width, image.height), chroma_size(image)].map(|size| form.texture_size(size, level));
        check_size(gpu, sizes[0].0, sizes[0].1)?;
        let frame = self.frame;
        let free = self.pairs.iter().position(|pair| pair.sizes == sizes && pair.last_frame != frame);
        let index = free.unwrap_or_else(|| {
            self.pairs.push(PlanePair {
                sizes,
                luma: create(gpu, "compositor.texture.luma", sizes[0], TextureFormat::R8Unorm),
                chroma: create(gpu, "compositor.texture.chroma", sizes[1], TextureFormat::Rg8Unorm),
                last_frame: 0,
            });
            self.pairs.len() - 1
        });
        let pair = &mut self.pairs[index];
        pair.last_frame = frame;
        write_planes(gpu, pair, image, level, form);
        let view = |texture: &wgpu::Texture| texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok((view(&pair.luma), view(&pair.chroma)))
    }
}

fn write_planes(gpu: &Gpu, pair: &PlanePair, image: &PlanarImage<'_>, level: Level, form: Form) {
    let size = (image.width, image.height);
    let is_whole = level == Level::default() && form == Form::Bare;
    if is_whole {
        write_filled::<1>(gpu, &pair.luma, image.y, image.y_stride, size);
    } else {
        let luma = pack::plane(image.y, image.y_stride, size, level, form);
        let size = form.size(size, level);
        write_filled::<1>(gpu, &pair.luma, &luma, size.0 as usize, size);
    }
    let size = chroma_size(image);
    let (width, height) = form.size(size, level);
    let row_bytes = 2 * width as usize;
    let mut both = vec![0; row_bytes * height as usize];
    if is_whole {
        for (y, row) in both.chunks_exact_mut(row_bytes).enumerate() {
            let span = y * image.c_stride..y * image.c_stride + width as usize;
            interleave(&image.u[span.clone()], &image.v[span], row);
        }
    } else {
        let plane = |plane: &[u8]| pack::plane(plane, image.c_stride, size, level, form);
        interleave(&plane(image.u), &plane(image.v), &mut both);
    }
    write_filled::<2>(gpu, &pair.chroma, &both, row_bytes, (width, height));
}

/// Writes samples of `CHANNELS` bytes; a texture larger than the picture repeats its last column and row.
fn write_filled<const CHANNELS: usize>(
    gpu: &Gpu,
    texture: &wgpu::Texture,
    samples: &[u8],
    stride: usize,
    size: (u32, u32),
) {
    let texture_size = (texture.width(), texture.height());
    if texture_size == size {
        write(gpu, texture, samples, stride as u32, size);
    } else {
        let filled = pack::filled::<CHANNELS>(samples, stride, size, texture_size);
        write(gpu, texture, &filled, CHANNELS as u32 * texture_size.0, texture_size);
    }
}

fn interleave(u: &[u8], v: &[u8], both: &mut [u8]) {
    for ((pair, u), v) in both.chunks_exact_mut(2).zip(u).zip(v) {
        pair[0] = *u;
        pair[1] = *v;
    }
}

fn chroma_size(image: &PlanarImage<'_>) -> (u32, u32) {
    (image.width.div_ceil(2), image.height.div_ceil(2))
}

fn padded((width, height): (u32, u32)) -> (u32, u32) {
    (texture_side(width), texture_side(height))
}

fn check_size(gpu: &Gpu, width: u32, height: u32) -> Result<(), TooLarge> {
    let limit = gpu.limits.max_texture_dimension_2d;
    if width > limit || height > limit { Err(TooLarge { width, height }) } else { Ok(()) }
}

/// The texture of a blur's result.
pub(crate) fn create_blurred(gpu: &Gpu, size: (u32, u32)) -> Result<wgpu::Texture, TooLarge> {
    let (width, height) = padded(size);
    check_size(gpu, width, height)?;
    Ok(create(gpu, "compositor.texture.blurred", (width, height), TextureFormat::Rgba8Unorm))
}

fn create(gpu: &Gpu, label: &str, (width, height): (u32, u32), format: TextureFormat) -> wgpu::Texture {
    gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

fn write(gpu: &Gpu, texture: &wgpu::Texture, bytes: &[u8], stride: u32, (width, height): (u32, u32)) {
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(stride), rows_per_image: None };
    let size = Extent3d { width, height, depth_or_array_layers: 1 };
    gpu.queue.write_texture(texture.as_image_copy(), bytes, layout, size);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;
    use crate::picture::Alpha;

    #[test]
    fn the_cache_stays_within_its_limit_and_forgets_what_was_not_used_for_longest() {
        let gpu = Gpu::open(&GpuOptions::default()).expect("apt-get install mesa-vulkan-drivers libvulkan1");
        // Room for two textures of 10x10 texels.
        let mut cache = TextureCache::new(800);
        let pixels = [0; 4 * 10 * 10];
        let mut show = |key| {
            let image =
                RgbaImage::new(PictureKey(key), (10, 10), &pixels, Alpha::Opaque).expect("whole rows");
            let shown = cache.view(&gpu, &image, ColorSpace::Rgba, Level::default(), Form::Bare);
            assert!(shown.is_ok(), "ten texels fit every adapter");
            let kept: Vec<u128> = cache.entries.keys().map(|key| key.picture.0).collect();
            (kept, cache.bytes)
        };
        assert_eq!(show(1), (vec![1], 400), "the first");
        assert_eq!(show(2), (vec![1, 2], 800), "both fit");
        assert_eq!(show(1), (vec![1, 2], 800), "found");
        assert_eq!(show(3), (vec![1, 3], 800), "the second was not used for longest");
    }
}
