//! CPU time of whole frames: upload, kernels, readback, on whatever adapter there is.
//!
//! `cargo bench --profile dev -p compositor [-- part of a case's name] [-- --graph] [-- --shaders-alone]` prints
//! milliseconds of process CPU time (all threads, also those of a software driver) and of wall time per frame, best of
//! several rounds. `--shaders-alone` leaves out the row kernels, which paint beside software adapters. Process CPU time is what a job pays; wall time depends on free cores.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]

use std::collections::VecDeque;
use std::time::Instant;

use composition::{Color, Size, Ticks};
use compositor::{
    Alpha, CanvasKind, ColorMatrix, ColorRange, Compositor, FrameGraph, Gpu, GpuOptions, Picture, PictureKey,
    Pictures, PlanarImage, RgbaImage, RowKernels,
};
use scene::{Affine, Blur, Layer, LayerSource, Rect, Scene, Sides};

const HD: Size = Size { width: 1280, height: 720 };
const FULL_HD: Size = Size { width: 1920, height: 1080 };
const ROUNDS: usize = 5;
const FRAMES: usize = 24;
/// As the worker keeps them.
const IN_FLIGHT: usize = 3;

fn main() {
    let shaders_alone = std::env::args().any(|argument| argument == "--shaders-alone");
    let row_kernels = if shaders_alone { RowKernels::Never } else { RowKernels::default() };
    let gpu = Gpu::open(&GpuOptions { row_kernels, ..GpuOptions::default() })
        .unwrap_or_else(|error| panic!("could not {error}"));
    let before = (cpu_seconds(), Instant::now());
    gpu.warm_up(CanvasKind::I420).expect("the device works");
    println!("{}", gpu.fingerprint());
    println!(
        "warm-up: {:.0} ms CPU, {:.0} ms",
        1e3 * (cpu_seconds() - before.0),
        1e3 * before.1.elapsed().as_secs_f64()
    );
    println!("{:<44} {:>8} {:>8}", "frame", "CPU ms", "ms");
    // Any other argument picks the cases whose names contain it; cargo's own begin with two dashes.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, canvas, layers) in cases() {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let scene_at = |n: usize| Scene { canvas, background: Color::BLACK, layers: layers(canvas, n) };
        let (cpu, wall) = measure(&gpu, canvas, &scene_at);
        println!("{name:<44} {cpu:>8.2} {wall:>8.2}");
        if std::env::args().any(|argument| argument == "--graph") {
            let gallery = Gallery::new();
            let facts = |source: &LayerSource| gallery.picture(source).map(|picture| picture.facts());
            println!(
                "{}",
                FrameGraph::build(&scene_at(0), CanvasKind::I420, facts).expect("all pictures are there")
            );
        }
    }
}

/// A name, a canvas, and the layers of frame n.
type Case = (&'static str, Size, fn(Size, usize) -> Vec<Layer>);

fn cases() -> Vec<Case> {
    vec![
        ("720p: video alone", HD, |canvas, _| vec![video(canvas)]),
        ("720p: video and small text", HD, small_text),
        ("720p: video, still, text, translucent full", HD, four_layers),
        ("720p: blurred video, turned inset, three texts", HD, showreel),
        ("720p: blurred video alone", HD, |canvas, _| vec![blurred(canvas)]),
        ("720p: video of BT.601", HD, |canvas, _| vec![Layer { source: VIDEO_601, ..video(canvas) }]),
        ("1080p: video and small text", FULL_HD, small_text),
        ("1080p: Ken Burns of a still", FULL_HD, ken_burns),
        ("1080p: Ken Burns, fading into another", FULL_HD, cross_fade),
        ("1080p: 720p video magnified", FULL_HD, |canvas, _| vec![fitted(VIDEO, HD, canvas)]),
        ("720p: 1080p video reduced", HD, |canvas, _| vec![fitted(VIDEO_FULL_HD, FULL_HD, canvas)]),
    ]
}

const VIDEO: LayerSource = LayerSource::Video { element: 0, time: Ticks::ZERO };
const VIDEO_FULL_HD: LayerSource = LayerSource::Video { element: 1, time: Ticks::ZERO };
const VIDEO_601: LayerSource = LayerSource::Video { element: 2, time: Ticks::ZERO };
const PHOTO: LayerSource = LayerSource::Image { element: 0 };
const STILL: LayerSource = LayerSource::Image { element: 1 };
const VEIL: LayerSource = LayerSource::Image { element: 2 };
const TEXT: LayerSource = LayerSource::Text { element: 0, piece: scene::Piece::Whole };

fn upright(source: LayerSource, size: Size, x: f64, y: f64, width: f64, height: f64) -> Layer {
    Layer {
        source,
        source_rect: Rect::of_size(f64::from(size.width), f64::from(size.height)),
        transform: Affine::scaling(width, height).then(Affine::translation(x, y)),
        opacity: 1.0,
        blur: None,
    }
}

fn fitted(source: LayerSource, size: Size, canvas: Size) -> Layer {
    upright(source, size, 0.0, 0.0, f64::from(canvas.width), f64::from(canvas.height))
}

fn video(canvas: Size) -> Layer {
    fitted(if canvas == HD { VIDEO } else { VIDEO_FULL_HD }, canvas, canvas)
}

fn text(x: f64, y: f64) -> Layer {
    upright(TEXT, TEXT_SIZE, x, y, f64::from(TEXT_SIZE.width), f64::from(TEXT_SIZE.height))
}

fn small_text(canvas: Size, _: usize) -> Vec<Layer> {
    vec![video(canvas), text(100.0, f64::from(canvas.height) - 100.0)]
}

fn four_layers(canvas: Size, n: usize) -> Vec<Layer> {
    let mut still = upright(STILL, STILL_SIZE, 200.0, 150.0, 1.0, 1.0);
    still.transform = Affine::scaling(640.0, 360.0)
        .then(Affine::rotation(10.0 + n as f64))
        .then(Affine::translation(300.0, 150.0));
    still.opacity = 0.9;
    vec![video(canvas), still, text(200.0, 600.0), Layer { opacity: 0.3, ..fitted(VEIL, HD, canvas) }]
}

fn blurred(canvas: Size) -> Layer {
    let repeat = Sides { left: true, top: true, right: true, bottom: true };
    let (along_u, along_v) = (f64::from(canvas.width), f64::from(canvas.height));
    Layer { blur: Some(Blur { sigma: 12.0, along_u, along_v, repeat }), ..video(canvas) }
}

fn showreel(canvas: Size, n: usize) -> Vec<Layer> {
    let mut inset = video(canvas);
    inset.transform = Affine::scaling(640.0, 360.0)
        .then(Affine::rotation(n as f64 / 4.0))
        .then(Affine::translation(320.0, 180.0));
    vec![blurred(canvas), inset, text(100.0, 60.0), text(500.0, 560.0), text(500.0, 640.0)]
}

fn ken_burns(canvas: Size, n: usize) -> Vec<Layer> {
    let zoom = 1.0 + n as f64 / 200.0;
    let (width, height) = (f64::from(canvas.width) * zoom, f64::from(canvas.height) * zoom);
    vec![upright(PHOTO, PHOTO_SIZE, -5.3 * zoom, -3.7 * zoom, width + 10.6, height + 7.4)]
}

fn cross_fade(canvas: Size, n: usize) -> Vec<Layer> {
    let [behind] = ken_burns(canvas, n + 9).try_into().expect("one layer");
    let [before] = ken_burns(canvas, n).try_into().expect("one layer");
    vec![behind, Layer { opacity: 0.4, ..before }]
}

const PHOTO_SIZE: Size = Size { width: 2400, height: 1350 };
const STILL_SIZE: Size = Size { width: 800, height: 450 };
const TEXT_SIZE: Size = Size { width: 420, height: 48 };

/// All pictures of the cases, of smooth content with grain.
struct Gallery {
    videos: [(Size, Vec<u8>, ColorMatrix); 3],
    stills: [(Size, Vec<u8>, Alpha); 4],
}

impl Gallery {
    fn new() -> Gallery {
        let luma = |size: Size| -> Vec<u8> {
            let (width, height) = (size.width as usize, size.height as usize);
            (0..width * height * 3 / 2)
                .map(|i| (40 + i % width * 150 / width + i * 7919 % 13) as u8)
                .collect()
        };
        let rgba = |size: Size, alpha: fn(usize) -> u8| -> Vec<u8> {
            let pixels = size.width as usize * size.height as usize;
            (0..pixels)
                .flat_map(|i| [(i % 200) as u8, (i / 999 % 256) as u8, (i % 77) as u8, alpha(i)])
                .collect()
        };
        let ink = |i: usize| if (i / 3).is_multiple_of(4) { 255 } else { 0 };
        Gallery {
            videos: [
                (HD, luma(HD), ColorMatrix::Bt709),
                (FULL_HD, luma(FULL_HD), ColorMatrix::Bt709),
                (HD, luma(HD), ColorMatrix::Bt601),
            ],
            stills: [
                (PHOTO_SIZE, rgba(PHOTO_SIZE, |_| 255), Alpha::Opaque),
                (STILL_SIZE, rgba(STILL_SIZE, |i| (i % 256) as u8), Alpha::Unassociated),
                (HD, rgba(HD, |_| 255), Alpha::Unassociated),
                (TEXT_SIZE, rgba(TEXT_SIZE, ink), Alpha::Unassociated),
            ],
        }
    }
}

impl Pictures for Gallery {
    fn picture(&self, source: &LayerSource) -> Option<Picture<'_>> {
        let (kind, index) = match *source {
            LayerSource::Video { element, .. } => (0, element),
            LayerSource::Image { element } => (1, element),
            LayerSource::Text { .. } => (1, 3),
            _ => return None,
        };
        if kind == 1 {
            let (size, pixels, alpha) = self.stills.get(index)?;
            let key = PictureKey(index as u128);
            return RgbaImage::new(key, (size.width, size.height), pixels, *alpha).ok().map(Picture::Rgba);
        }
        let (size, samples, matrix) = self.videos.get(index)?;
        let (width, pixels) = (size.width as usize, size.width as usize * size.height as usize);
        let (y, chroma) = samples.split_at(pixels);
        let (u, v) = chroma.split_at(pixels / 4);
        let strides = (width, width / 2);
        let image =
            PlanarImage::new((size.width, size.height), [y, u, v], strides, *matrix, ColorRange::Limited);
        image.ok().map(Picture::Planar)
    }
}

/// Milliseconds of CPU and of wall time for a frame, the best round.
fn measure(gpu: &std::sync::Arc<Gpu>, canvas: Size, scene_at: &dyn Fn(usize) -> Scene) -> (f64, f64) {
    let gallery = Gallery::new();
    let mut compositor = Compositor::new(gpu, canvas, CanvasKind::I420).expect("a possible canvas");
    let mut best = (f64::INFINITY, f64::INFINITY);
    for _ in 0..=ROUNDS {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        let mut pending = VecDeque::new();
        for n in 0..FRAMES {
            pending.push_back(compositor.compose(&scene_at(n), &gallery).expect("submitted"));
            if pending.len() == IN_FLIGHT {
                drop(pending.pop_front().map(|frame| frame.wait().expect("painted")));
            }
        }
        for frame in pending {
            drop(frame.wait().expect("painted"));
        }
        let per_frame = |seconds: f64| 1e3 * seconds / FRAMES as f64;
        best.0 = best.0.min(per_frame(cpu_seconds() - cpu));
        best.1 = best.1.min(per_frame(wall.elapsed().as_secs_f64()));
    }
    best
}

/// CPU time of the process so far: user and system ticks of all its threads, as the kernel counts them.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
