//! `framelane render`: a composition rendered here and now, by the same engine, without a server.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use composition::{Composition, Limits, ParseOptions};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use outbound::{FetchLimits, Outbound};
use serde_json::json;
use tokio::runtime::Handle;
use worker::{Assets, AssetsConfig, Control, Engine, Failure, Stage};

use super::serve::{EngineOptions, NetworkOptions};

/// See [`super::Command::Render`].
#[derive(Debug, Args)]
pub(crate) struct RenderOptions {
    /// The composition, JSON as for POST /v1/renders; sources may also be local paths, relative to this file
    scene: PathBuf,

    /// The file to write; its extension must be that of the composition's output_format
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Write where the time went to this file, as JSON
    #[arg(long, env = "FRAMELANE_STATS", value_name = "FILE")]
    stats: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineOptions,

    #[command(flatten)]
    network: NetworkOptions,
}

/// The composition was refused.
#[derive(Debug, thiserror::Error)]
#[error("the composition has faults:\n{0}")]
struct Refused(String);

/// Renders; Ctrl-C stops it and leaves no file.
pub(crate) async fn run(options: RenderOptions) -> Result<(), Box<dyn Error>> {
    let composition = read(&options)?;
    let scratch = std::env::temp_dir().join(format!("framelane-render-{}", std::process::id()));
    let outcome = render(&options, composition, &scratch).await;
    // The folder is ours alone; what stays behind is the temporary folder's business.
    drop(std::fs::remove_dir_all(&scratch));
    outcome
}

async fn render(
    options: &RenderOptions,
    composition: Composition,
    scratch: &Path,
) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let outbound = Outbound::new(options.network.allowed()?)?;
    let config = options.engine.config(scratch.join("work"), "local".to_owned())?;
    let slots = options.engine.slots();
    let runtime = Handle::current();
    let control = Arc::new(Control::default());
    let bar = progress_bar();
    let shown = show_progress(Arc::clone(&control), bar.clone());
    let (output, cache) = (options.output.clone(), scratch.join("cache"));
    let working = Arc::clone(&control);
    let work = tokio::task::spawn_blocking(move || {
        // The folder lasts as long as this render, and holds no more than it needs.
        let (kept_bytes_max, limits) = (u64::MAX, FetchLimits::default());
        let assets = AssetsConfig { folder: cache, kept_bytes_max, limits, local_files: true };
        let assets = Assets::open(assets, outbound, runtime)?;
        let engine = Engine::open(config, assets)?;
        let planned = |frames| bar.set_length(frames);
        let film = worker::local::render(&engine, composition, &output, slots, &working, &planned);
        bar.finish_and_clear();
        Ok::<_, Box<dyn Error + Send + Sync>>((film, engine))
    });
    tokio::pin!(work);
    let (film, engine) = tokio::select! {
        done = &mut work => done?.map_err(|error| error as Box<dyn Error>)?,
        _ = tokio::signal::ctrl_c() => {
            control.stop();
            work.await?.map_err(|error| error as Box<dyn Error>)?
        }
    };
    shown.abort();
    let film = film.map_err(|failure| explain(&failure))?;
    let seconds = started.elapsed().as_secs_f64();
    for warning in &film.warnings {
        eprintln!("warning: {}: {}", warning.path, warning.message);
    }
    eprintln!("{}: {} frames in {seconds:.1} s", options.output.display(), film.frames);
    if let Some(path) = &options.stats {
        let stages = Stage::ALL
            .map(|stage| (stage.name().to_owned(), json!(engine.clock().spent(stage).as_secs_f64())));
        let stages: serde_json::Map<_, _> = stages.into_iter().collect();
        let stats = json!({ "frames": film.frames, "wall": seconds, "slots": slots, "seconds": stages });
        std::fs::write(path, format!("{stats:#}\n"))?;
    }
    Ok(())
}

/// Reads and checks the document; relative sources are made absolute.
fn read(options: &RenderOptions) -> Result<Composition, Box<dyn Error>> {
    let text = std::fs::read(&options.scene)
        .map_err(|error| format!("could not read {}: {error}", options.scene.display()))?;
    let document: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is no JSON: {error}", options.scene.display()))?;
    let parse = ParseOptions { local_files: true, limits: Limits::default() };
    let parsed = composition::parse(&document, &parse).map_err(|problems| {
        Refused(
            problems
                .iter()
                .map(|problem| format!("  {}: {}", problem.path, problem.message))
                .collect::<Vec<_>>()
                .join("\n"),
        )
    })?;
    for warning in &parsed.warnings {
        eprintln!("warning: {}: {}", warning.path, warning.message);
    }
    let mut composition = parsed.composition;
    let wanted = composition.output.format.extension();
    let extension = options.output.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !extension.eq_ignore_ascii_case(wanted) {
        return Err(
            format!("the composition's output_format is {wanted}: name the output file *.{wanted}").into()
        );
    }
    let scene = std::path::absolute(&options.scene)?;
    worker::local::resolve_paths(&mut composition, scene.parent().unwrap_or(&scene));
    Ok(composition)
}

fn explain(failure: &Failure) -> String {
    match failure {
        Failure::Stopped(_) => "stopped".to_owned(),
        Failure::Full => "no space is left on the disk".to_owned(),
        Failure::Fault(fault) => {
            let place = fault.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
            format!("{place}{} ({})", fault.message, fault.code.as_str())
        }
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template("{msg:12} {bar:40} {pos}/{len} frames  {per_sec}  {eta} left");
    bar.with_style(style.unwrap_or_else(|_broken| ProgressStyle::default_bar()))
}

/// Moves the bar ten times a second.
fn show_progress(control: Arc<Control>, bar: ProgressBar) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            bar.set_position(control.frames());
            bar.set_message(format!("{:?}", control.stage()).to_lowercase());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}
