//! What renders: the adapter, the fonts, the decoder and its sandbox, and all of it together in a trial.

use std::path::{Path, PathBuf};
use std::process::Command;

use compositor::Gpu;
use media::decoder::{DecoderHost, Landlock};
use outbound::Outbound;
use serde_json::{Map, Value};
use worker::{Assets, AssetsConfig, Engine, trial};

use super::Finding;
use crate::cli::serve::{EngineOptions, NetworkOptions};
use crate::cli::sources::SourceOptions;
use crate::telemetry::chain;

/// FFmpeg's libraries as Debian 12 names them.
const FFMPEG: &str = "apt-get install libavcodec59 libavformat59 libavutil57 libswscale6 libswresample4 libavfilter8 libavdevice59";

/// The software driver.
const DRIVER: &str = "apt-get install mesa-vulkan-drivers libvulkan1, or the GPU's own Vulkan driver";

/// What to check.
pub(super) struct Wanted {
    pub(super) options: EngineOptions,
    pub(super) network: NetworkOptions,
    pub(super) sources: SourceOptions,
    /// The checks' own folder.
    pub(super) folder: PathBuf,
}

/// All checks of this kind; blocks.
pub(super) fn check(wanted: &Wanted) -> Vec<Finding> {
    let mut findings = vec![adapter(wanted), fonts(wanted)];
    findings.extend(decoder(wanted));
    findings.push(confinement(wanted));
    findings.push(codecs(wanted));
    findings.push(trial(wanted));
    findings
}

fn adapter(wanted: &Wanted) -> Finding {
    let name = "adapter";
    match wanted.options.config(wanted.folder.clone(), String::new()) {
        Err(error) => Finding::fault(name, error.to_string(), "run framelane by its full path"),
        Ok(config) => match Gpu::open(&config.gpu) {
            Ok(gpu) => Finding::good(name, gpu.fingerprint()),
            Err(error) => Finding::fault(name, chain(&error), DRIVER),
        },
    }
}

/// Absent files are no fault: a text that needs one of them is, when it comes.
fn fonts(wanted: &Wanted) -> Finding {
    let (name, folder) = ("fonts", wanted.options.fonts());
    let set = match worker::open_fonts(folder.to_owned()) {
        Ok(set) => set,
        Err(error) => {
            return Finding::fault(
                name,
                chain(&error),
                "install the package anew, or make the file readable",
            );
        }
    };
    let mut packages: Vec<_> = set.absent().map(|file| file.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Finding::good(name, format!("all of them below {}", folder.display()));
    }
    let install = format!("apt-get install {}", packages.join(" "));
    Finding::fault(
        name,
        format!("files of {} are not below {}", packages.join(", "), folder.display()),
        install,
    )
}

/// The decoder starts; and how well its workers are confined.
fn decoder(wanted: &Wanted) -> Vec<Finding> {
    let config = match wanted.options.config(wanted.folder.clone(), String::new()) {
        Ok(config) => config.decoder,
        Err(error) => return vec![Finding::fault("decoder", error.to_string(), "name it with --decoder")],
    };
    let path = config.executable.clone();
    if !path.is_file() {
        let remedy =
            "it is built and installed beside framelane: cargo build --bins; or name it with --decoder";
        return vec![Finding::fault("decoder", format!("there is no {}", path.display()), remedy)];
    }
    match DecoderHost::start(config) {
        Err(error) => vec![Finding::fault("decoder", chain(&error), FFMPEG)],
        Ok(host) => {
            let sandbox = host.sandbox();
            let (landlock, seccomp) = (sandbox.landlock, sandbox.seccomp);
            let found = format!("Landlock {landlock:?}, seccomp {}", if seccomp { "on" } else { "off" });
            let confined = match &sandbox.reason {
                None => Finding::good("sandbox", found),
                Some(reason) => {
                    let found = format!("{found}: {reason}");
                    let remedy = "use Linux 6.7 or newer with Landlock among its security modules (lsm=landlock,…); in a \
                                  container, let it use seccomp and Landlock";
                    match (seccomp, landlock) {
                        (false, Landlock::None) => Finding::fault("sandbox", found, remedy),
                        _ => Finding::warning("sandbox", found, remedy),
                    }
                }
            };
            vec![Finding::good("decoder", path.display().to_string()), confined]
        }
    }
}

/// What a hijacked worker would try, tried.
fn confinement(wanted: &Wanted) -> Finding {
    let name = "confinement";
    let attempts = match ask_decoder(wanted, "self-check") {
        Ok(attempts) => attempts,
        Err(error) => return Finding::fault(name, error, FFMPEG),
    };
    let allowed: Vec<_> = attempts
        .iter()
        .filter(|(_, outcome)| !matches!(outcome.as_str(), Some("refused" | "killed")))
        .map(|(attempt, _)| attempt.as_str())
        .collect();
    if allowed.is_empty() {
        return Finding::good(name, format!("{} attempts to break out, none succeeded", attempts.len()));
    }
    let remedy =
        "use a kernel with seccomp filters and Landlock; until then take media only from people you trust";
    Finding::warning(name, format!("workers are not kept from: {}", allowed.join(", ")), remedy)
}

/// Which codecs FFmpeg can read.
fn codecs(wanted: &Wanted) -> Finding {
    let name = "codecs";
    let inventory = match ask_decoder(wanted, "inventory") {
        Ok(inventory) => inventory,
        Err(error) => return Finding::fault(name, error, FFMPEG),
    };
    let of = |wanted: bool| -> Vec<_> {
        let there = inventory.iter().filter(|(_, is_there)| is_there.as_bool() == Some(wanted));
        there.map(|(codec, _)| codec.as_str()).collect()
    };
    let (there, missing) = (of(true), of(false));
    if missing.is_empty() {
        return Finding::good(name, format!("reads {}", there.join(" ")));
    }
    Finding::warning(
        name,
        format!("media in {} can't be read", missing.join(", ")),
        "use Debian's own FFmpeg: apt-get install --reinstall libavcodec59",
    )
}

/// One JSON object that the decoder's executable prints.
fn ask_decoder(wanted: &Wanted, mode: &str) -> Result<Map<String, Value>, String> {
    let config =
        wanted.options.config(wanted.folder.clone(), String::new()).map_err(|error| error.to_string())?;
    let output =
        Command::new(&config.decoder.executable).arg(mode).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_no_json| {
        let told = String::from_utf8_lossy(&output.stderr);
        format!("it says: {}", told.lines().next().unwrap_or("nothing"))
    })
}

/// A tiny film is drawn, encoded, read back and looked at.
fn trial(wanted: &Wanted) -> Finding {
    let name = "trial";
    match tried(wanted, &wanted.folder.join("trial")) {
        Ok(trial) => Finding::good(
            name,
            format!(
                "drew, encoded (H.264, AAC), read back: {} frames, {} bytes",
                trial.frames, trial.size_bytes
            ),
        ),
        Err(error) => Finding::fault(
            name,
            chain(error.as_ref()),
            "mend the other faults first; else choose another --adapter",
        ),
    }
}

fn tried(wanted: &Wanted, folder: &Path) -> Result<trial::Trial, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let config = wanted.options.config(wanted.folder.join("scratch"), "doctor".to_owned())?;
    let outbound = Outbound::new(wanted.network.allowed()?)?;
    // The trial's picture is a file of this host, which no job of the service may name.
    let sources = AssetsConfig { local_files: true, ..wanted.sources.config(wanted.folder.join("cache")) };
    let assets = Assets::open(sources, outbound, tokio::runtime::Handle::current())?;
    let engine = Engine::open(config, assets)?;
    Ok(trial::run(&engine, folder)?)
}
