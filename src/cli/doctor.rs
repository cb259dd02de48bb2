//! `framelane doctor`: tries everything a service needs on this machine, and says how to mend what is missing.
//!
//! Nothing of the installation is changed: what the checks write lies in a folder of their own, which is removed.

mod engine;
mod host;

use std::error::Error;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::DataDir;
use super::limits::LimitOptions;
use super::serve::{EngineOptions, NetworkOptions};
use super::sources::SourceOptions;

/// See [`super::Command::Doctor`].
#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    #[command(flatten)]
    data: DataDir,

    /// The address that the service listens on
    #[arg(long, env = "FRAMELANE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// A public name whose address is asked for, to see whether names are resolved here
    #[arg(long, default_value = "example.com", value_name = "NAME")]
    resolve: String,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    engine: EngineOptions,

    #[command(flatten)]
    network: NetworkOptions,

    #[command(flatten)]
    limits: LimitOptions,

    #[command(flatten)]
    sources: SourceOptions,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// As it should be.
    Good,
    /// The service runs, but not everything works, or not as well as it could.
    Warning,
    /// The service does not run like this.
    Fault,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    /// How it went.
    state: State,
    /// What there is.
    found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, state: State::Good, found: found.into(), remedy: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, state: State::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fault(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, state: State::Fault, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// The machine is not fit for a service.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the checks found a fault; each says how to mend it")]
struct Unfit(usize);

/// Runs all checks. A fault is an error, so that scripts notice.
pub(crate) async fn run(options: DoctorOptions) -> Result<(), Box<dyn Error>> {
    let scratch = Scratch::new()?;
    let mut findings = host::check(&options, &scratch.0).await;
    let engine = engine::Wanted {
        options: options.engine.clone(),
        network: options.network.clone(),
        sources: options.sources.clone(),
        folder: scratch.0.join("engine"),
    };
    // Drivers and encoders block.
    findings.extend(tokio::task::spawn_blocking(move || engine::check(&engine)).await?);
    let faults = findings.iter().filter(|finding| finding.state == State::Fault).count();
    if options.json {
        say(&serde_json::json!({ "healthy": faults == 0, "checks": findings }).to_string());
    } else {
        let colorful = std::io::stdout().is_terminal();
        findings.iter().for_each(|finding| say(&line(finding, colorful)));
    }
    if faults == 0 { Ok(()) } else { Err(Box::new(Unfit(faults))) }
}

/// A finding as people read it: one line, and one more where there is something to do.
fn line(finding: &Finding, colorful: bool) -> String {
    let (mark, color) = match finding.state {
        State::Good => ("ok", "32"),
        State::Warning => ("warning", "33"),
        State::Fault => ("FAULT", "31"),
    };
    let mark = if colorful { format!("\x1b[{color}m{mark:8}\x1b[0m") } else { format!("{mark:8}") };
    let Finding { check, found, remedy, .. } = finding;
    let remedy = remedy.as_ref().map(|remedy| format!("\n{:23}→ {remedy}", "")).unwrap_or_default();
    format!("{mark} {check:13} {found}{remedy}")
}

/// A folder of the checks' own, removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("framelane-doctor-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is the temporary folder's business.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[expect(clippy::print_stdout, reason = "a subcommand's result goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_its_remedy_below_it() {
        let fault = Finding::fault("fonts", "fonts-inter is missing", "apt-get install fonts-inter");
        let told = line(&fault, false);
        assert_eq!(
            told,
            "FAULT    fonts         fonts-inter is missing\n                       → apt-get install fonts-inter"
        );
        assert_eq!(line(&Finding::good("clock", "2026"), false), "ok       clock         2026");
    }
}
