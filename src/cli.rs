//! The command line: one subcommand per file.

mod doctor;
mod events;
mod limits;
mod listen;
mod nats;
mod objects;
mod projections;
mod render;
mod replay;
mod roles;
mod serve;
mod sources;
mod traces;
mod webhooks;
mod workspaces;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use event_store::{
    Archive, EventStore, OpenPostgresError, PostgresOptions, PostgresStore, Route, SqliteStore,
};
use query::read_db::ReadPlace;

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
    Serve(Box<serve::ServeOptions>),
    /// Render a composition here and now, without a server
    Render(render::RenderOptions),
    /// Try everything a service needs on this machine, and say how to mend what is missing
    Doctor(doctor::DoctorOptions),
    /// Look at the event log
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Show a render's life event by event, or as it was at any position
    Replay(replay::ReplayOptions),
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

    /// The PostgreSQL database (15 or newer) that holds the log, postgres://user:password@host:5432/database; a file in the
    /// data folder unless given
    #[arg(long, env = "FRAMELANE_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,

    /// The database is reached over a proxy that gives each transaction a session of its choice, like pgbouncer with
    /// pool_mode = transaction
    #[arg(long, env = "FRAMELANE_DATABASE_POOLER", requires = "database_url")]
    database_pooler: bool,

    /// The file of the installation's master key, which opens what callers wrote; one that all processes of the service
    /// share, where there are several. In the data folder unless given; made if it is not there
    #[arg(long, env = "FRAMELANE_MASTER_KEY", value_name = "FILE")]
    master_key: Option<PathBuf>,
}

impl DataDir {
    /// The log's file, where it is one.
    fn log_db(&self) -> PathBuf {
        self.data_dir.join("log.db")
    }

    /// Whether the log is a file in the folder.
    pub(crate) fn has_own_log(&self) -> bool {
        self.database_url.is_none()
    }

    /// Opens the log; a file that is not there is made.
    pub(crate) async fn open_log(&self) -> Result<Arc<dyn EventStore>, Box<dyn Error>> {
        Ok(self.open_archive().await?)
    }

    /// Opens a log that exists: looking at one must not make one.
    pub(crate) async fn open_existing_log(&self) -> Result<Arc<dyn EventStore>, Box<dyn Error>> {
        Ok(self.open_existing_archive().await?)
    }

    /// See [`DataDir::open_log`]; its content can be carried elsewhere.
    pub(crate) async fn open_archive(&self) -> Result<Arc<dyn Archive>, Box<dyn Error>> {
        Ok(match self.database()? {
            Some(database) => Arc::new(PostgresStore::open(database).await?),
            None => Arc::new(SqliteStore::open(&self.log_db()).await?),
        })
    }

    /// The database, where log and read models are in one.
    fn database(&self) -> Result<Option<PostgresOptions>, OpenPostgresError> {
        let route = if self.database_pooler { Route::Pooler } else { Route::Direct };
        self.database_url.as_ref().map(|url| PostgresOptions::parse(url, route)).transpose()
    }

    /// See [`DataDir::open_existing_log`]; its content can be carried elsewhere.
    pub(crate) async fn open_existing_archive(&self) -> Result<Arc<dyn Archive>, Box<dyn Error>> {
        let path = self.log_db();
        if self.has_own_log() && !path.is_file() {
            let place = path.display();
            return Err(
                format!("there is no log at {place}: is --data-dir (or --database-url) right?").into()
            );
        }
        self.open_archive().await
    }

    /// Where the read models are: beside the log.
    pub(crate) fn read_db(&self) -> Result<ReadPlace, OpenPostgresError> {
        Ok(match self.database()? {
            Some(database) => ReadPlace::Postgres(Box::new(database)),
            None => ReadPlace::File(self.data_dir.join("read.db")),
        })
    }

    /// The installation's master key.
    pub(crate) fn master_key(&self) -> PathBuf {
        self.master_key.clone().unwrap_or_else(|| self.data_dir.join("master.key"))
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
        Command::Serve(options) => serve::run(*options).await,
        Command::Render(options) => render::run(options).await,
        Command::Doctor(options) => doctor::run(options).await,
        Command::Events(command) => events::run(command).await,
        Command::Replay(options) => replay::run(options).await,
        Command::Listen(options) => listen::run(options).await,
        Command::Projections(command) => projections::run(command).await,
        Command::Webhooks(command) => webhooks::run(command).await,
        Command::Workspaces(command) => workspaces::run(command).await,
    }
}
