//! The warm-up: one small frame for every pipeline, so that no render pays for compiling one.

use std::sync::Arc;

use composition::{Color, Size, Ticks};
use scene::{Affine, Blur, Layer, LayerSource, Rect, Scene, Sides};

use crate::canvas::CanvasKind;
use crate::compositor::{CompositeError, Compositor};
use crate::gpu::Gpu;
use crate::picture::{Alpha, ColorMatrix, ColorRange, Picture, PictureKey, Pictures, PlanarImage, RgbaImage};

/// The canvas of the warm-up, in pixels: as wide as a blur's grid of factor 4 needs to be whole.
const SIDE: u32 = 64;

impl Gpu {
    /// Compiles every pipeline that frames of `kind` can need and paints with each once. Takes up to two seconds on a
    /// software driver with a cold shader cache, a tenth of that with a warm one.
    ///
    /// # Errors
    /// Where the device breaks.
    pub fn warm_up(self: &Arc<Gpu>, kind: CanvasKind) -> Result<(), CompositeError> {
        let canvas = Size { width: SIDE, height: SIDE };
        let mut compositor =
            Compositor::new(self, canvas, kind).map_err(|error| CompositeError::Graph(error.into()))?;
        let scene = Scene { canvas, background: Color::BLACK, layers: layers() };
        compositor.compose(&scene, &Samples)?.wait().map(drop)
    }
}

/// Translucent layers, so that none hides another, which need every pipeline between them.
fn layers() -> Vec<Layer> {
    let side = f64::from(SIDE);
    let layer = |sample, transform, blur| Layer {
        source: source(sample),
        source_rect: Rect::of_size(side, side),
        transform,
        opacity: 0.5,
        blur,
    };
    let whole = Affine::scaling(side, side);
    // One has tiles inside it, the other tiles that its sides cross.
    let beyond = Affine::scaling(2.0 * side, 2.0 * side).then(Affine::translation(-0.5 * side, -0.5 * side));
    let within = Affine::scaling(0.75 * side, 0.75 * side);
    let every_side = Sides { left: true, top: true, right: true, bottom: true };
    let blur = |repeat, along| Some(Blur { sigma: 8.0, along_u: along, along_v: along, repeat });
    let mut layers = vec![layer(Sample::Still, whole, None)];
    for sample in [Sample::Still, Sample::Bt709, Sample::Bt601] {
        layers.push(layer(sample, beyond, None));
        layers.push(layer(sample, within, None));
        // Grid cells of four pixels, and of 6.4.
        layers.push(layer(sample, whole, blur(every_side, side)));
        layers.push(layer(sample, within, blur(Sides::default(), 40.0)));
    }
    layers
}

/// The pictures of the warm-up; their numbers are element indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sample {
    Still,
    Bt709,
    Bt601,
}

fn source(sample: Sample) -> LayerSource {
    match sample {
        Sample::Still => LayerSource::Image { element: sample as usize },
        Sample::Bt709 | Sample::Bt601 => LayerSource::Video { element: sample as usize, time: Ticks::ZERO },
    }
}

/// Grey pictures of the canvas' size.
struct Samples;

/// Bytes of the largest: RGBA.
static GREY: [u8; 4 * (SIDE * SIDE) as usize] = [128; 4 * (SIDE * SIDE) as usize];
/// No digest: nobody else's picture has this key.
const GREY_KEY: PictureKey = PictureKey(0x6772_6579);

impl Pictures for Samples {
    fn picture(&self, source: &LayerSource) -> Option<Picture<'_>> {
        let size = (SIDE, SIDE);
        let planar = |matrix| {
            let strides = (SIDE as usize, SIDE as usize / 2);
            PlanarImage::new(size, [&GREY, &GREY, &GREY], strides, matrix, ColorRange::Limited)
        };
        match *source {
            LayerSource::Image { .. } => {
                RgbaImage::new(GREY_KEY, size, &GREY, Alpha::Unassociated).ok().map(Picture::Rgba)
            }
            LayerSource::Video { element, .. } if element == Sample::Bt601 as usize => {
                planar(ColorMatrix::Bt601).ok().map(Picture::Planar)
            }
            _ => planar(ColorMatrix::Bt709).ok().map(Picture::Planar),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;
    use crate::passes;

    #[test]
    fn the_warm_up_compiles_every_program() {
        let gpu = Gpu::open(&GpuOptions::default()).expect("apt-get install mesa-vulkan-drivers libvulkan1");
        gpu.warm_up(CanvasKind::I420).expect("the device works");
        gpu.warm_up(CanvasKind::Rgba { opaque: false }).expect("the device works");
        let missing: Vec<&str> = passes::programs()
            .map(|program| program.label)
            .filter(|label| !gpu.pipelines.contains(label))
            .collect();
        assert_eq!(missing, [""; 0], "the first frame of some render would have to wait for these");
    }
}
