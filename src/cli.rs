//! The command line: one subcommand per file.

mod doctor;
mod events;
mod limits;
mod listen;
mod projections;
mod render;
mod serve;
mod sources;
mod traces;
mod webhooks;
mod workspaces;

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::telemetry::LogOptions;

/// An open, self-hosted render service: post a JSON composition, get a film.
///
/// Every flag has a twin in the environment, shown beside it; the flag wins.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) log: LogOptions,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service: API, worker, webhooks, all in this process
    Serve(serve::ServeOptions),
    /// Render a composition here and now, without a server
    Render(render::RenderOptions),
    /// Try everything a service needs on this machine, and say how to mend what is missing
    Doctor(doctor::DoctorOptions),
    /// Look at the event log
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Receive webhooks here: print them, check their signatures, tell doubles apart
    Listen(listen::ListenOptions),
    /// Look after the read models
    #[command(subcommand)]
    Projections(projections::ProjectionsCommand),
    /// Look after webhooks
    #[command(subcommand)]
    Webhooks(webhooks::WebhooksCommand),
    /// Look after the workspaces of an installation
    #[command(subcommand)]
    Workspaces(workspaces::WorkspacesCommand),
}

impl Command {
    /// What is logged unless the caller says otherwise: a service tells what it does, a tool only what went wrong.
    pub(crate) fn usual_log(&self) -> &'static str {
        match self {
            Command::Serve(_) => "info",
            _ => "warn",
        }
    }
}

/// Where the service keeps what it knows.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDir {
    /// The folder of log, read models, keys and media; made if it is not there
    #[arg(long, env = "FRAMELANE_DATA_DIR", default_value = "./data", value_name = "FOLDER")]
    pub(crate) data_dir: PathBuf,
}

impl DataDir {
    /// The event log.
    pub(crate) fn log_db(&self) -> PathBuf {
        self.data_dir.join("log.db")
    }

    /// The read models.
    pub(crate) fn read_db(&self) -> PathBuf {
        self.data_dir.join("read.db")
    }

    /// The installation's master key.
    pub(crate) fn master_key(&self) -> PathBuf {
        self.data_dir.join("master.key")
    }

    /// Parts and artifacts.
    pub(crate) fn objects(&self) -> PathBuf {
        self.data_dir.join("objects")
    }

    /// Fetched sources and work in progress; may be deleted while the service is down.
    pub(crate) fn cache(&self) -> PathBuf {
        self.data_dir.join("cache")
    }
}

/// Runs the subcommand.
pub(crate) async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve(options) => serve::run(options).await,
        Command::Render(options) => render::run(options).await,
        Command::Doctor(options) => doctor::run(options).await,
        Command::Events(command) => events::run(command).await,
        Command::Listen(options) => listen::run(options).await,
        Command::Projections(command) => projections::run(command).await,
        Command::Webhooks(command) => webhooks::run(command).await,
        Command::Workspaces(command) => workspaces::run(command).await,
    }
}
