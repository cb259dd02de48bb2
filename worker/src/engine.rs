//! The engine: everything a worker process opens once, and what it does with a work order.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use composition::Composition;
use compositor::{CanvasKind, Gpu, GpuOptions, OpenGpuError};
use events::job::ProgressStage;
use events::render::{Artifact, Plan, StoredPart, Timings};
use events::work::{Fingerprint, Outcome, Slot, WorkOrder};
use events::{RenderId, Sha256, WorkspaceId};
use media::decoder::{DecoderConfig, DecoderHost, SandboxStatus, StartError};
use scene::{FontError, FontFiles, FontSet};
use storage::Storage;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::assemble::{self, LocalPart};
use crate::assets::{Asset, Assets};
use crate::clock::{Stage, StageClock};
use crate::control::Control;
use crate::detail::{PlanDetail, sources};
use crate::failure::Failure;
use crate::lease::Performer;
use crate::objects::Objects;
use crate::picture::{Studio, render_part, render_still};
use crate::planning::{Planned, blame, plan};
use crate::prepared::Prepared;
use crate::scratch::ScratchFile;
use crate::sound::render_sound;

/// Renders that are kept ready between their slots. A worker rarely has slots of more at once.
const PREPARED_MAX: usize = 8;

/// How long a slot waits on a full disk before it is handed back: without it the slot would be claimed again at once.
const FULL_PAUSE: Duration = Duration::from_secs(5);

/// What an engine is opened with.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The decoder executable and its limits.
    pub decoder: DecoderConfig,
    /// Which GPU.
    pub gpu: GpuOptions,
    /// Where the fonts' Debian packages put them.
    pub fonts: PathBuf,
    /// For files in the making; emptied when the engine opens.
    pub scratch: PathBuf,
    /// Names the executables' code: equal builds make equal bits.
    pub build: String,
}

/// An opened engine, shared by all slots.
#[derive(Debug)]
pub struct Engine {
    gpu: Mutex<Arc<Gpu>>,
    gpu_options: GpuOptions,
    decoder: DecoderHost,
    fonts: Arc<FontSet>,
    assets: Assets,
    scratch: PathBuf,
    fingerprint: Fingerprint,
    clock: StageClock,
    files: AtomicU64,
    /// The renders in hand, newest last.
    prepared: Mutex<Vec<(PreparedKey, Arc<Prepared>)>>,
}

/// What tells prepared renders apart. The plan's detail alone does not: films of the same sources, or of none, share it.
type PreparedKey = (RenderId, Sha256);

/// Why there is no engine.
#[derive(Debug, Error)]
pub enum OpenEngineError {
    /// No GPU, not even a software one.
    #[error("could not open a GPU")]
    Gpu(#[from] OpenGpuError),
    /// The decoder executable does not run.
    #[error("could not start the decoder")]
    Decoder(#[from] StartError),
    /// The fonts can't be read.
    #[error("could not open the fonts")]
    Fonts(#[from] FontError),
    /// The scratch folder can't be made.
    #[error("could not make the folder {}", folder.display())]
    Scratch {
        /// Which.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Font files below a folder.
struct FontFolder(PathBuf);

impl FontFiles for FontFolder {
    fn size(&self, path: &str) -> std::io::Result<u64> {
        std::fs::metadata(self.0.join(path)).map(|facts| facts.len())
    }

    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        std::fs::read(self.0.join(path))
    }
}

/// The fonts below a folder.
///
/// # Errors
/// Where a file is there but can't be read; absent ones are no error.
pub fn open_fonts(folder: PathBuf) -> Result<FontSet, FontError> {
    FontSet::open(Box::new(FontFolder(folder)))
}

impl Engine {
    /// Opens GPU, decoder and fonts, side by side.
    ///
    /// # Errors
    /// Where one of them is missing; the message says how to install it.
    pub fn open(config: EngineConfig, assets: Assets) -> Result<Engine, OpenEngineError> {
        let EngineConfig { decoder, gpu: gpu_options, fonts, scratch, build } = config;
        let fault = |source| OpenEngineError::Scratch { folder: scratch.clone(), source };
        if scratch.is_dir() {
            std::fs::remove_dir_all(&scratch).map_err(fault)?;
        }
        std::fs::create_dir_all(&scratch).map_err(fault)?;
        let (decoder, gpu) = std::thread::scope(|scope| {
            // Each takes some ten milliseconds and neither needs the other.
            let decoder = scope.spawn(|| DecoderHost::start(decoder));
            let gpu = Gpu::open(&gpu_options);
            (decoder.join(), gpu)
        });
        let decoder = decoder.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let gpu = gpu?;
        let fonts = Arc::new(open_fonts(fonts)?);
        let fingerprint = fingerprint([&build, &gpu.fingerprint(), fonts.fingerprint(), decoder.libraries()]);
        Ok(Engine {
            gpu: Mutex::new(gpu),
            gpu_options,
            decoder,
            fonts,
            assets,
            scratch,
            fingerprint,
            clock: StageClock::default(),
            files: AtomicU64::new(0),
            prepared: Mutex::new(Vec::new()),
        })
    }

    /// Compiles the kernels, so that the first render does not wait for it.
    ///
    /// # Errors
    /// Where the device does not work.
    pub fn warm_up(&self) -> Result<(), Failure> {
        let gpu = self.gpu()?;
        gpu.warm_up(CanvasKind::I420).map_err(|error| Failure::internal("warm up the GPU", &error))
    }

    /// How well the decoder is confined here.
    #[must_use]
    pub fn sandbox(&self) -> &SandboxStatus {
        self.decoder.sandbox()
    }

    /// What reads media.
    pub(crate) fn decoder(&self) -> &DecoderHost {
        &self.decoder
    }

    /// The GPU's name, for people.
    #[must_use]
    pub fn adapter_name(&self) -> String {
        self.gpu.lock().unwrap_or_else(PoisonError::into_inner).adapter_name().to_owned()
    }

    /// Where the time went so far.
    #[must_use]
    pub fn clock(&self) -> &StageClock {
        &self.clock
    }

    /// The device; a lost one is opened anew.
    fn gpu(&self) -> Result<Arc<Gpu>, Failure> {
        let mut gpu = self.gpu.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = gpu.fault() {
            tracing::warn!(fault, "the GPU was lost; opening it again");
            *gpu = Gpu::open(&self.gpu_options)
                .map_err(|error| Failure::internal("open the GPU again", &error))?;
        }
        Ok(Arc::clone(&gpu))
    }

    /// A path for a file in the making.
    pub(crate) fn scratch_file(&self) -> ScratchFile {
        ScratchFile::at(self.scratch.join(self.files.fetch_add(1, Ordering::Relaxed).to_string()))
    }

    /// Plans a composition.
    pub(crate) fn plan(
        &self,
        workspace: WorkspaceId,
        composition: Composition,
        control: &Control,
    ) -> Result<Planned, Failure> {
        let decoder = self.decoder.stopped_by(control.decoders());
        self.clock
            .time(Stage::Plan, || plan(workspace, composition, &self.assets, &decoder, &self.fonts, control))
    }

    /// Renders a part (or the still) to `file`.
    pub(crate) fn picture(
        &self,
        prepared: &Prepared,
        range: events::render::PartRange,
        control: &Control,
        file: &Path,
    ) -> Result<(), Failure> {
        let gpu = self.gpu()?;
        let decoder = self.decoder.stopped_by(control.decoders());
        let studio = Studio { gpu: &gpu, decoder: &decoder, clock: &self.clock, control };
        if prepared.composition.output.format.is_still() {
            render_still(prepared, studio, file)
        } else {
            render_part(prepared, range, studio, file)
        }
    }

    /// Renders the sound to `file`.
    pub(crate) fn sound(
        &self,
        prepared: &Arc<Prepared>,
        control: &Control,
        file: &Path,
    ) -> Result<(), Failure> {
        let decoder = self.decoder.stopped_by(control.decoders());
        self.clock.time(Stage::Sound, || render_sound(prepared, &decoder, control, file))
    }

    /// A planned render made ready, from the cache or anew, its sources held.
    fn prepare(
        &self,
        workspace: WorkspaceId,
        composition: Composition,
        detail: PlanDetail,
        key: PreparedKey,
        control: &Control,
    ) -> Result<InHand, Failure> {
        let mut assets = Vec::new();
        for ((url, users), pinned) in sources(&composition).into_iter().zip(&detail.sources) {
            let asset = self.assets.pinned(workspace, url, pinned.content, control);
            assets.push(asset.map_err(|failure| blame(failure, &composition, &users))?);
        }
        let known = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, prepared)) = known().iter().find(|(known, _)| *known == key) {
            return Ok(InHand { prepared: Arc::clone(prepared), _assets: assets });
        }
        // A source lies at the same place whenever it is fetched again: its name is the digest of its bytes.
        let files = assets.iter().map(|asset| asset.path.clone()).collect();
        let (prepared, _warned_when_planned) = Prepared::new(composition, detail, files, &self.fonts)?;
        let prepared = Arc::new(prepared);
        self.keep(key, Arc::clone(&prepared));
        Ok(InHand { prepared, _assets: assets })
    }

    fn keep(&self, key: PreparedKey, prepared: Arc<Prepared>) {
        let mut kept = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| *known != key);
        if kept.len() == PREPARED_MAX {
            kept.remove(0);
        }
        kept.push((key, prepared));
    }
}

/// A prepared render while a slot works on it: its sources are held, so that none makes room for another's.
struct InHand {
    prepared: Arc<Prepared>,
    _assets: Vec<Asset>,
}

/// An engine that takes orders: storage for what it makes, and a runtime to wait on it.
#[derive(Debug)]
pub struct EngineWorker {
    engine: Arc<Engine>,
    objects: Objects,
}

impl EngineWorker {
    /// A performer of work orders.
    #[must_use]
    pub fn new(engine: Arc<Engine>, storage: Arc<dyn Storage>, runtime: Handle) -> EngineWorker {
        EngineWorker { engine, objects: Objects { storage, runtime } }
    }

    fn work(&self, order: &WorkOrder, control: &Control) -> Result<Outcome, Failure> {
        let composition: Composition = serde_json::from_str(&order.document)
            .map_err(|error| Failure::internal("read the stored composition", &error))?;
        let started = Instant::now();
        match order.slot {
            Slot::Plan => self.plan(order, composition, started, control),
            Slot::Part(index) => {
                let range = order.plan.as_ref().and_then(|plan| plan.parts.get(index as usize).copied());
                let range = range.ok_or_else(|| no_plan(order))?;
                let render = self.in_hand(order, composition, control)?;
                let file = self.engine.scratch_file();
                self.engine.picture(&render.prepared, range, control, &file)?;
                self.stored(order, file, range.count, started, control)
            }
            Slot::Audio => {
                let render = self.in_hand(order, composition, control)?;
                let file = self.engine.scratch_file();
                self.engine.sound(&render.prepared, control, &file)?;
                self.stored(order, file, 0, started, control)
            }
            Slot::Assemble => self.assemble(order, &composition, started, control),
        }
    }

    fn plan(
        &self,
        order: &WorkOrder,
        composition: Composition,
        started: Instant,
        control: &Control,
    ) -> Result<Outcome, Failure> {
        let planned = self.engine.plan(order.workspace, composition, control)?;
        let bytes = serde_json::to_vec(&planned.prepared.detail)
            .map_err(|error| Failure::internal("write the plan", &error))?;
        let detail = self.objects.store_bytes(order, bytes, control)?;
        self.engine.keep((order.render, detail.sha256), Arc::new(planned.prepared));
        Ok(Outcome::Planned(Plan {
            // Counted by the command side; what stands here does not matter.
            generation: 1,
            fingerprint: self.engine.fingerprint.clone(),
            frames: planned.frames,
            duration: planned.duration,
            parts: planned.parts,
            audio: planned.audio,
            detail,
            warnings: planned.warnings,
            work_ms: since(started),
        }))
    }

    fn in_hand(
        &self,
        order: &WorkOrder,
        composition: Composition,
        control: &Control,
    ) -> Result<InHand, Failure> {
        let plan = order.plan.as_ref().ok_or_else(|| no_plan(order))?;
        let path = self.objects.local(&plan.detail, control)?;
        let bytes = std::fs::read(path).map_err(|error| Failure::internal("read the plan", &error))?;
        let detail =
            serde_json::from_slice(&bytes).map_err(|error| Failure::internal("read the plan", &error))?;
        let key = (order.render, plan.detail.sha256);
        self.engine.prepare(order.workspace, composition, detail, key, control)
    }

    fn assemble(
        &self,
        order: &WorkOrder,
        composition: &Composition,
        started: Instant,
        control: &Control,
    ) -> Result<Outcome, Failure> {
        control.enter(ProgressStage::Encoding);
        let plan = order.plan.as_ref().ok_or_else(|| no_plan(order))?;
        let (mut parts, mut sound) = (Vec::new(), None);
        for part in &order.stored {
            let path = self.objects.local(&part.object, control)?;
            match part.slot {
                Slot::Audio => sound = Some(path),
                Slot::Plan | Slot::Part(_) | Slot::Assemble => {
                    parts.push(LocalPart { path, frames: part.frames })
                }
            }
        }
        let file = self.engine.scratch_file();
        let joined = self.engine.clock.time(Stage::Assemble, || {
            assemble::assemble(composition, &parts, sound.as_deref(), &file, control)
        });
        joined?;
        control.enter(ProgressStage::Uploading);
        let object = self.objects.store(order, file, control)?;
        let output = &composition.output;
        let name = output.filename.clone().unwrap_or_else(|| order.render.to_string());
        let artifact = Artifact {
            object,
            content_type: output.format.content_type().to_owned(),
            filename: format!("{name}.{}", output.format.extension()),
            width: composition.canvas.width,
            height: composition.canvas.height,
            duration: plan.duration,
            frame_count: plan.frames,
            video_codec: assemble::video_codec(output.format).to_owned(),
            audio_codec: plan.audio.then(|| "aac".to_owned()),
        };
        let (sound, pictures): (Vec<_>, Vec<_>) =
            order.stored.iter().partition(|part| part.slot == Slot::Audio);
        let sum = |parts: Vec<&StoredPart>| parts.iter().map(|part| part.work_ms).sum();
        let timings = Timings {
            plan_ms: plan.work_ms,
            parts_ms: sum(pictures),
            audio_ms: sum(sound),
            assemble_ms: since(started),
        };
        Ok(Outcome::Assembled { artifact, timings })
    }

    fn stored(
        &self,
        order: &WorkOrder,
        file: ScratchFile,
        frames: u64,
        started: Instant,
        control: &Control,
    ) -> Result<Outcome, Failure> {
        let object = self.objects.store(order, file, control)?;
        Ok(Outcome::Stored(StoredPart { slot: order.slot, object, frames, work_ms: since(started) }))
    }
}

impl Performer for EngineWorker {
    fn fingerprint(&self) -> Fingerprint {
        self.engine.fingerprint.clone()
    }

    fn perform(&self, order: &WorkOrder, control: &Control) -> Option<Outcome> {
        match self.work(order, control) {
            Ok(outcome) => Some(outcome),
            Err(Failure::Stopped(_)) => None,
            // Handed back once there has been time to make room: no attempt of the render's is used up.
            Err(Failure::Full) => {
                tracing::error!(render.id = %order.render, slot = %order.slot, "no space is left on the disk; the slot is handed back");
                self.objects.pause(FULL_PAUSE, control);
                control.go_on().is_ok().then_some(Outcome::Released)
            }
            Err(Failure::Fault(fault)) => Some(Outcome::Failed(*fault)),
        }
    }

    fn discard(&self, outcome: &Outcome) {
        self.objects.discard(outcome);
    }
}

/// Names everything that decides bits: the executables, the adapter, the fonts and the libraries that decode.
fn fingerprint(parts: [&str; 4]) -> Fingerprint {
    // Joined by what stands in none of them, so that no two lists read alike.
    Fingerprint(Sha256::of(parts.join("\n").as_bytes()).to_string())
}

/// An order that lacks what its slot needs: a fault of ours.
fn no_plan(order: &WorkOrder) -> Failure {
    let fault = std::io::Error::other(format!("the order for {} has no such part in its plan", order.slot));
    Failure::internal("follow a work order", &fault)
}

/// Milliseconds since then.
fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_decides_bits_changes_the_fingerprint() {
        let parts = ["build", "llvmpipe", "fonts", "5.1.9: avcodec 59.37.100"];
        for changed in 0..parts.len() {
            let mut others = parts;
            others[changed] = "another";
            assert_ne!(fingerprint(others), fingerprint(parts), "part {changed} has a say");
        }
        assert_eq!(fingerprint(parts), fingerprint(parts), "and nothing else has");
    }
}
