//! Rendering without a server: the same engine and the same plan, on this process's cores, straight to a file.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use composition::Composition;
use composition::element::ElementKind;
use events::WorkspaceId;
use events::render::SubmissionWarning;

use crate::assemble::{self, LocalPart};
use crate::clock::Stage;
use crate::control::Control;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::scratch::ScratchFile;

/// What was made.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalFilm {
    /// Frames.
    pub frames: u64,
    /// Seconds; 0 for a still.
    pub duration: f64,
    /// What planning found suspicious.
    pub warnings: Vec<SubmissionWarning>,
}

/// Renders a composition to `output`, `slots` parts at a time. `planned` is told the film's frames once they are known;
/// `control` counts finished frames and stops the work.
///
/// # Errors
/// As for a job, in the same codes.
pub fn render(
    engine: &Engine,
    composition: Composition,
    output: &Path,
    slots: usize,
    control: &Control,
    planned: &(dyn Fn(u64) + Sync),
) -> Result<LocalFilm, Failure> {
    // Nobody else's sources are on this machine.
    let plan = engine.plan(WorkspaceId::new(0), composition, control)?;
    planned(plan.frames);
    let (prepared, _held_to_the_end) = (Arc::new(plan.prepared), plan.assets);
    let files: Vec<ScratchFile> = plan.parts.iter().map(|_| engine.scratch_file()).collect();
    let sound = plan.audio.then(|| engine.scratch_file());
    // The sound comes first: it is one long piece of work that the parts can run beside.
    let jobs: Vec<Job> =
        sound.iter().map(|_| Job::Sound).chain((0..plan.parts.len()).map(Job::Part)).collect();
    let next = AtomicUsize::new(0);
    let fault: Mutex<Option<Failure>> = Mutex::new(None);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = match (job, &sound) {
                (Job::Part(index), _) => {
                    engine.picture(&prepared, plan.parts[*index], control, &files[*index])
                }
                (Job::Sound, Some(file)) => engine.sound(&prepared, control, file),
                (Job::Sound, None) => Ok(()),
            };
            if let Err(failure) = done {
                control.stop();
                // The first fault is the cause; the others only say that they were stopped.
                let mut first = fault.lock().unwrap_or_else(PoisonError::into_inner);
                if first.as_ref().is_none_or(|first| matches!(first, Failure::Stopped(_))) {
                    *first = Some(failure);
                }
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let spawn = |index: usize| {
            std::thread::Builder::new().name(format!("slot.{index}")).spawn_scoped(scope, work)
        };
        (0..slots.clamp(1, jobs.len())).try_for_each(|index| spawn(index).map(drop))
    })
    .map_err(|error| Failure::internal("start a thread", &error))?;
    if let Some(failure) = fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    let parts: Vec<LocalPart> = files
        .iter()
        .zip(&plan.parts)
        .map(|(file, range)| LocalPart { path: file.to_path_buf(), frames: range.count })
        .collect();
    engine.clock().time(Stage::Assemble, || {
        assemble::assemble(&prepared.composition, &parts, sound.as_deref(), output, control)
    })?;
    Ok(LocalFilm { frames: plan.frames, duration: plan.duration, warnings: plan.warnings })
}

/// Makes the local paths among a composition's sources absolute: they are written relative to their document.
pub fn resolve_paths(composition: &mut Composition, folder: &Path) {
    let elements = composition.elements.iter_mut().filter_map(|element| match &mut element.kind {
        ElementKind::Video(video) => Some(&mut video.source),
        ElementKind::Image(image) => Some(&mut image.source),
        ElementKind::Audio(audio) => Some(&mut audio.source),
        ElementKind::Text(_) => None,
    });
    for source in elements.chain(composition.background.image.as_mut()) {
        let is_address = source.0.contains("://");
        if !is_address {
            source.0 = folder.join(&source.0).to_string_lossy().into_owned();
        }
    }
}

/// A piece of the film.
enum Job {
    Sound,
    Part(usize),
}
