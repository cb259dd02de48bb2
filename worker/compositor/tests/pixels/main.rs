//! Every kernel against a plain reference in 64-bit floats, on whatever adapter there is.
//!
//! Tolerances, in 8-bit steps, are those of the contract: 2 for each layer and 0.5 on average; for blurs 6 and 1.

mod blurs;
mod layers;
mod pictures;
mod reference;
mod stills;
mod upright;

use std::sync::{Arc, LazyLock};

use composition::{Color, Size};
use compositor::{CanvasFrame, CanvasKind, Compositor, Gpu, GpuOptions, Planes, RowKernels};
use scene::{Layer, Scene};

use pictures::Gallery;

/// A device for all tests of this file, as a worker has one for all its parts, with row kernels beside it.
static GPU: LazyLock<Arc<Gpu>> = LazyLock::new(|| open(RowKernels::Always));
/// A device that paints every frame itself.
static SHADERS_ALONE: LazyLock<Arc<Gpu>> = LazyLock::new(|| open(RowKernels::Never));

fn open(row_kernels: RowKernels) -> Arc<Gpu> {
    Gpu::open(&GpuOptions { row_kernels, ..GpuOptions::default() })
        .unwrap_or_else(|error| panic!("these tests need an adapter: could not {error}"))
}

/// A canvas whose sides are no whole tiles.
const CANVAS: Size = Size { width: 328, height: 184 };

fn scene(background: Color, layers: Vec<Layer>) -> Scene {
    Scene { canvas: CANVAS, background, layers }
}

fn paint(scene: &Scene, kind: CanvasKind, gallery: &Gallery) -> CanvasFrame {
    paint_on(&GPU, scene, kind, gallery)
}

fn paint_on(gpu: &Arc<Gpu>, scene: &Scene, kind: CanvasKind, gallery: &Gallery) -> CanvasFrame {
    let mut compositor = Compositor::new(gpu, scene.canvas, kind).expect("a possible canvas");
    let pending = compositor.compose(scene, gallery).expect("all pictures are there");
    pending.wait().expect("the device works")
}

/// Largest and mean difference of one plane.
#[derive(Debug, Clone, Copy)]
struct Difference {
    max: f64,
    mean: f64,
}

/// Compares `channels` interleaved samples a pixel.
fn difference(plane: compositor::Plane<'_>, channels: usize, expected: &reference::Plane) -> Difference {
    let (mut max, mut sum) = (0.0_f64, 0.0);
    let row = expected.width * channels;
    for (y, wanted) in expected.samples.chunks_exact(row).enumerate() {
        for (sample, wanted) in plane.bytes[y * plane.stride..].iter().zip(wanted) {
            let apart = (f64::from(*sample) - wanted).abs();
            max = max.max(apart);
            sum += apart;
        }
    }
    Difference { max, mean: sum / expected.samples.len() as f64 }
}

/// Paints `scene` in 4:2:0, with the row kernels' help and without, and holds both against the reference.
fn assert_i420(scene: &Scene, gallery: &Gallery, allowed: (f64, f64)) {
    let expected = reference::i420(scene, gallery);
    assert_i420_on(&GPU, scene, gallery, &expected, allowed);
    assert_i420_on(&SHADERS_ALONE, scene, gallery, &expected, allowed);
}

/// Paints `scene` in 4:2:0 on one device and holds it against what was expected.
fn assert_i420_on(
    gpu: &Arc<Gpu>,
    scene: &Scene,
    gallery: &Gallery,
    expected: &[reference::Plane; 3],
    (max, mean): (f64, f64),
) {
    let frame = paint_on(gpu, scene, CanvasKind::I420, gallery);
    let Planes::I420 { y, u, v } = frame.planes() else { panic!("an I420 canvas has three planes") };
    for (name, plane, expected) in [("Y", y, &expected[0]), ("U", u, &expected[1]), ("V", v, &expected[2])] {
        let found = difference(plane, 1, expected);
        let is_close = found.max <= max && found.mean <= mean;
        assert!(is_close, "{}, {name}: {found:?}, allowed {max} and {mean}", gpu.fingerprint());
    }
}

/// Paints `scene` as premultiplied RGBA and holds it against the reference.
fn assert_rgba(scene: &Scene, gallery: &Gallery, (max, mean): (f64, f64)) {
    let frame = paint(scene, CanvasKind::Rgba { opaque: true }, gallery);
    let Planes::Rgba(plane) = frame.planes() else { panic!("an RGBA canvas has one plane") };
    let found = difference(plane, 4, &reference::rgba(scene, gallery));
    assert!(found.max <= max && found.mean <= mean, "RGBA: {found:?}, allowed {max} and {mean}");
}
