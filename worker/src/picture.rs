//! The picture of a part: decode, composite and encode, overlapped by three threads over bounded channels.
//!
//! ```text
//!   slot.…evaluate ──scenes, pictures──▶ slot.…composite ──finished frames──▶ the slot's own thread: encode, write
//! ```
//!
//! Promises: the bytes depend on the plan, the sources and the engine alone. Must not know: leases, storage.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use composition::{FrameIndex, OutputFormat, OutputSettings, Size};
use compositor::{
    Backdrop, CanvasFrame, CanvasKind, Compositor, Gpu, PendingFrame, Picture, PictureKey, Pictures, Planes,
    mix,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use events::Sha256;
use events::fault::FaultCode;
use events::job::ProgressStage;
use events::render::PartRange;
use media::decoder::DecoderHost;
use media::encoder::h264::{H264PartEncoder, VideoSettings};
use media::encoder::{Pixels, Still, jpeg, png};
use media::gop;
use media::part::{Description, H264Description, PartWriter};
use media::picture::{I420, Plane};
use media::rate::{Ceiling, Qp, Verdict, default_peak};
use scene::{Frame, LayerSource, Step};

use crate::clock::{Stage, StageClock};
use crate::control::Control;
use crate::failure::Failure;
use crate::footage::{Footage, FramePictures};
use crate::prepared::{Prepared, key_of};

/// Frames between two threads: one being made, one waiting. More would only cost memory, the slowest thread sets the pace.
const QUEUE: usize = 2;

/// Frames that the GPU works on at once, so that upload, shading and readback overlap.
const IN_FLIGHT: usize = 2;

/// What drawing needs besides the render itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Studio<'s> {
    pub(crate) gpu: &'s Arc<Gpu>,
    pub(crate) decoder: &'s DecoderHost,
    pub(crate) clock: &'s StageClock,
    pub(crate) control: &'s Control,
}

/// Renders a run of frames to a part file.
///
/// # Errors
/// Where a source can't be decoded, or the GPU or the encoder fails.
pub(crate) fn render_part(
    prepared: &Prepared,
    range: PartRange,
    studio: Studio<'_>,
    file: &Path,
) -> Result<(), Failure> {
    studio.control.enter(ProgressStage::Compositing);
    let frames: Vec<Frame> = (range.first..range.first + range.count)
        .map(|frame| prepared.stage.frame_at(FrameIndex(frame)))
        .collect();
    let film = Film::of(prepared);
    let mut qp = Qp::from_quality(film.output.quality);
    let mut tries = 1;
    loop {
        let mut encoding = Encoding::open(&film, qp, file)?;
        draw(prepared, &frames, CanvasKind::I420, studio, &mut |index, frame| {
            studio.clock.time(Stage::Encode, || encoding.push(index, frames.len(), &frame))?;
            studio.control.frame_done();
            Ok(())
        })?;
        match film.ceiling.judge(tries, qp, &encoding.sizes, film.settings.frame_rate) {
            Verdict::Accept => return encoding.finish(),
            // Drawing again costs less than keeping every frame of a part in memory, and happens to few.
            Verdict::Retry(coarser) => (qp, tries) = (coarser, tries + 1),
        }
        studio.control.restart_frames();
        tracing::debug!(qp = qp.get(), tries, "the part exceeds its bit rate; encoding it again");
    }
}

/// Renders the one frame of a still to its final file.
///
/// # Errors
/// As [`render_part`].
pub(crate) fn render_still(prepared: &Prepared, studio: Studio<'_>, file: &Path) -> Result<(), Failure> {
    studio.control.enter(ProgressStage::Compositing);
    let output = &prepared.composition.output;
    let still = prepared.stage.frame_at_instant(prepared.stage.still_instant(output.snapshot_time));
    let opaque = output.format != OutputFormat::Png;
    let mut bytes = Vec::new();
    draw(prepared, &[still], CanvasKind::Rgba { opaque }, studio, &mut |_, frame| {
        bytes = studio.clock.time(Stage::Encode, || encode_still(&frame, output))?;
        studio.control.frame_done();
        Ok(())
    })?;
    std::fs::write(file, bytes).map_err(|error| Failure::internal("write a still", &error))
}

/// Draws frames in order and hands each finished frame to `finished`, on the calling thread.
fn draw(
    prepared: &Prepared,
    frames: &[Frame],
    kind: CanvasKind,
    studio: Studio<'_>,
    finished: &mut dyn FnMut(usize, CanvasFrame) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let canvas = prepared.composition.canvas;
    let name = std::thread::current().name().unwrap_or("slot").to_owned();
    std::thread::scope(|scope| {
        let (pictured, to_composite) = bounded::<Pictured<'_>>(QUEUE);
        let (drawn, to_encode) = bounded::<CanvasFrame>(QUEUE);
        let span = tracing::Span::current();
        let inside = span.clone();
        let thread = |part: &str| std::thread::Builder::new().name(format!("{name}.{part}"));
        let spawn_fault = |error: std::io::Error| Failure::internal("start a thread", &error);
        let evaluating = thread("evaluate")
            .spawn_scoped(scope, move || inside.in_scope(|| evaluate(prepared, frames, studio, &pictured)))
            .map_err(spawn_fault)?;
        let compositing = thread("composite")
            .spawn_scoped(scope, move || {
                span.in_scope(|| composite(canvas, kind, studio, &to_composite, &drawn))
            })
            .map_err(spawn_fault)?;
        let encoded = to_encode.iter().enumerate().try_for_each(|(index, frame)| {
            studio.control.go_on()?;
            finished(index, frame)
        });
        // A thread whose neighbour is gone ends; the first fault along the line is the cause of the others.
        drop(to_encode);
        let composited = joined(compositing.join());
        joined(evaluating.join()).and(composited).and(encoded)
    })
}

/// The first thread: what each frame shows, and its pictures.
fn evaluate<'p>(
    prepared: &'p Prepared,
    frames: &'p [Frame],
    studio: Studio<'p>,
    pictured: &Sender<Pictured<'p>>,
) -> Result<(), Failure> {
    let mut footage = Footage::new(prepared, studio.decoder, frames);
    for frame in frames {
        studio.control.go_on()?;
        let pictures: Result<Vec<_>, Failure> =
            studio.clock.time(Stage::Decode, || frame.scenes().map(|scene| footage.next(scene)).collect());
        if pictured.send((frame, pictures?)).is_err() {
            break;
        }
    }
    Ok(())
}

/// A frame with the pictures of each of its scenes.
type Pictured<'p> = (&'p Frame, Vec<FramePictures<'p>>);

/// The second thread: pixels.
fn composite(
    canvas: Size,
    kind: CanvasKind,
    studio: Studio<'_>,
    to_composite: &Receiver<Pictured<'_>>,
    drawn: &Sender<CanvasFrame>,
) -> Result<(), Failure> {
    let mut compositor = Compositor::new(studio.gpu, canvas, kind).map_err(|error| broken(&error))?;
    let mut in_flight = std::collections::VecDeque::with_capacity(IN_FLIGHT);
    let deliver = |shares: Shares| {
        let frame = studio.clock.time(Stage::Composite, || finished(shares))?;
        Ok::<bool, Failure>(drawn.send(frame).is_ok())
    };
    for (frame, pictures) in to_composite {
        studio.control.go_on()?;
        in_flight
            .push_back(studio.clock.time(Stage::Composite, || paint(&mut compositor, frame, &pictures))?);
        if in_flight.len() == IN_FLIGHT
            && let Some(shares) = in_flight.pop_front()
            && !deliver(shares)?
        {
            return Ok(());
        }
    }
    for shares in in_flight {
        if !deliver(shares)? {
            break;
        }
    }
    Ok(())
}

/// The scenes of a frame's last step, being painted, and how much is seen of each.
type Shares = Vec<(f64, PendingFrame)>;

/// Starts a frame's last step, once the steps before it are painted: it shows their result.
fn paint(
    compositor: &mut Compositor,
    frame: &Frame,
    pictures: &[FramePictures<'_>],
) -> Result<Shares, Failure> {
    let (mut backdrop, mut pictures) = (None, pictures.iter());
    let (last, before) = frame.steps.split_last().ok_or_else(no_scene)?;
    let mut start = |step: &Step, backdrop: &Option<Backdrop>| -> Result<Shares, Failure> {
        let parts = step.parts.iter().zip(pictures.by_ref());
        let started = parts.map(|(part, pictures)| {
            let pictures = OnBackdrop { pictures, backdrop: backdrop.as_ref() };
            Ok((part.share, compositor.compose(&part.scene, &pictures).map_err(|error| broken(&error))?))
        });
        started.collect()
    };
    for step in before {
        let painted = finished(start(step, &backdrop)?)?;
        backdrop = Some(Backdrop::new(painted, |pixels| PictureKey(key_of(Sha256::of(pixels)))));
    }
    start(last, &backdrop)
}

/// The frame that its scenes add up to, once they are painted.
fn finished(shares: Shares) -> Result<CanvasFrame, Failure> {
    let painted =
        shares.into_iter().map(|(share, frame)| Ok((share, frame.wait().map_err(|error| broken(&error))?)));
    mix(painted.collect::<Result<_, Failure>>()?).ok_or_else(no_scene)
}

/// A frame without scenes: a fault of ours.
fn no_scene() -> Failure {
    broken(&std::io::Error::other("a frame has no scene"))
}

/// A scene's pictures, with the result of the frame's step before.
struct OnBackdrop<'p> {
    pictures: &'p FramePictures<'p>,
    backdrop: Option<&'p Backdrop>,
}

impl Pictures for OnBackdrop<'_> {
    fn picture(&self, source: &LayerSource) -> Option<Picture<'_>> {
        match source {
            LayerSource::Backdrop => self.backdrop?.picture(),
            _ => self.pictures.picture(source),
        }
    }
}

/// A compositor that failed: the device may be lost, another attempt opens it anew.
fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::internal("composite a frame", error)
}

fn joined(ended: std::thread::Result<Result<(), Failure>>) -> Result<(), Failure> {
    ended.unwrap_or_else(|_panic| {
        let fault = std::io::Error::other("a rendering thread panicked");
        Err(Failure::internal("render a part", &fault))
    })
}

/// What all parts of a film encode with.
struct Film<'c> {
    output: &'c OutputSettings,
    settings: VideoSettings,
    ceiling: Ceiling,
    key_interval: u32,
}

impl<'c> Film<'c> {
    fn of(prepared: &'c Prepared) -> Film<'c> {
        let composition = &prepared.composition;
        let (Size { width, height }, frame_rate) = (composition.canvas, composition.frame_rate);
        let output = &composition.output;
        let peak = output.max_bitrate.unwrap_or_else(|| default_peak(width, height, frame_rate));
        let key_interval = u32::try_from(frame_rate.frames_in(output.keyframe_interval)).unwrap_or(u32::MAX);
        Film {
            output,
            settings: VideoSettings { width, height, frame_rate, max_bitrate: peak },
            ceiling: Ceiling { average: output.bitrate, peak },
            key_interval,
        }
    }
}

/// One encoding of a part.
struct Encoding<'f> {
    film: &'f Film<'f>,
    encoder: H264PartEncoder,
    writer: PartWriter<BufWriter<File>>,
    sizes: Vec<u32>,
}

impl<'f> Encoding<'f> {
    fn open(film: &'f Film<'f>, qp: Qp, file: &Path) -> Result<Encoding<'f>, Failure> {
        let encoder = H264PartEncoder::new(film.settings, qp).map_err(|error| refused(&error))?;
        let file = File::create(file).map_err(|error| Failure::internal("write a part", &error))?;
        Ok(Encoding { film, encoder, writer: PartWriter::new(BufWriter::new(file)), sizes: Vec::new() })
    }

    fn push(&mut self, index: usize, frames: usize, frame: &CanvasFrame) -> Result<(), Failure> {
        let picture =
            i420(frame).ok_or_else(|| refused(&std::io::Error::other("the canvas is not 4:2:0")))?;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let key = gop::is_key(count(index), count(frames), self.film.key_interval);
        let packet = self.encoder.encode(&picture, key).map_err(|error| refused(&error))?;
        self.sizes.push(count(packet.data.len()));
        self.writer.push(&packet).map_err(|error| Failure::internal("write a part", &error))
    }

    fn finish(self) -> Result<(), Failure> {
        let VideoSettings { width, height, frame_rate, .. } = self.film.settings;
        let parameters = self.encoder.parameters();
        let description = Description::H264(H264Description {
            width,
            height,
            frame_rate,
            qp: self.encoder.qp().get(),
            sps: parameters.sps.clone(),
            pps: parameters.pps.clone(),
        });
        self.writer.finish(&description).map(drop).map_err(|error| Failure::internal("write a part", &error))
    }
}

/// An encoder that refused: the same frames would be refused again.
fn refused(error: &(dyn std::error::Error + 'static)) -> Failure {
    let logged = Failure::internal("encode the picture", error);
    match logged {
        Failure::Fault(fault) => Failure::new(FaultCode::EncodeFailed, fault.message),
        no_fault @ (Failure::Stopped(_) | Failure::Full) => no_fault,
    }
}

fn i420(frame: &CanvasFrame) -> Option<I420<'_>> {
    let Planes::I420 { y, u, v } = frame.planes() else { return None };
    let planes = [y, u, v].map(|plane| Plane { bytes: plane.bytes, stride: plane.stride });
    I420::new(frame.size().width, frame.size().height, planes).ok()
}

/// The finished frame as a png or jpg file.
fn encode_still(frame: &CanvasFrame, output: &OutputSettings) -> Result<Vec<u8>, Failure> {
    let Planes::Rgba(plane) = frame.planes() else {
        return Err(refused(&std::io::Error::other("the canvas is not RGBA")));
    };
    let Size { width, height } = frame.size();
    let rows = plane.bytes.chunks(plane.stride).take(height as usize).map(|row| &row[..width as usize * 4]);
    let has_alpha = output.format == OutputFormat::Png;
    let (kind, bytes): (Pixels, Vec<u8>) = if has_alpha {
        (Pixels::Rgba, rows.flatten().copied().collect())
    } else {
        (
            Pixels::Rgb,
            rows.flat_map(|row| row.chunks_exact(4)).flat_map(|pixel| &pixel[..3]).copied().collect(),
        )
    };
    let still = Still::new(width, height, kind, &bytes).map_err(|error| refused(&error))?;
    let encoded = if has_alpha { png::encode(still) } else { jpeg::encode(still, output.quality) };
    encoded.map_err(|error| refused(&error))
}
