//! `framelane events export|import`: the log carried to another database or another machine.

use std::error::Error;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::Args;
use event_store::{Vault, export, import};
use events::Position;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter};

use super::super::DataDir;

/// See [`super::EventsCommand::Export`].
#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    #[command(flatten)]
    data: DataDir,

    /// Only what follows this position, for a log that ends there
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,

    /// Where to; it may not exist yet [default: standard output]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// See [`super::EventsCommand::Import`].
#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    #[command(flatten)]
    data: DataDir,

    /// Where from [default: standard input]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Writes the log and what belongs to it.
pub(super) async fn write(options: ExportOptions) -> Result<(), Box<dyn Error>> {
    let store = options.data.open_existing_archive().await?;
    let bar = ProgressBar::new(store.head().await?.position.0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events {per_sec}")?);
    let mut output = output(options.file.as_deref()).await?;
    let after = Position(options.after);
    let key = master_key(&options.data)?;
    let carried = export(&*store, after, key, &mut output, |position| bar.set_position(position.0)).await?;
    output.shutdown().await.map_err(|error| format!("could not finish the export: {error}"))?;
    bar.finish_and_clear();
    let (events, rows, head) = (carried.events, carried.rows, carried.head);
    // Standard output is the export's.
    eprintln!("exported {events} events and {rows} rows, head {}:{}", head.position.0, head.hash);
    Ok(())
}

/// Reads what [`write()`] wrote.
pub(super) async fn read(options: ImportOptions) -> Result<(), Box<dyn Error>> {
    let folder = &options.data.data_dir;
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    let mut input = input(options.file.as_deref()).await?;
    let key = master_key(&options.data)?;
    let store = options.data.open_archive().await?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} events {per_sec}")?);
    let carried =
        import(&*store, key.as_deref(), &mut input, |position| bar.set_position(position.0)).await?;
    bar.finish_and_clear();
    let (events, rows, head) = (carried.events, carried.rows, carried.head);
    super::say(&format!("imported {events} events and {rows} rows, head {}:{}", head.position.0, head.hash));
    if key.is_none() {
        let place = options.data.master_key();
        eprintln!(
            "put the master key to {} before the service starts: it makes another one",
            place.display()
        );
    }
    Ok(())
}

/// The name of the master key, where there is one: looking must not make one.
fn master_key(data: &DataDir) -> Result<Option<String>, Box<dyn Error>> {
    let path = data.master_key();
    Ok(if path.is_file() { Some(Vault::open(&path)?.fingerprint()) } else { None })
}

async fn output(file: Option<&Path>) -> Result<Box<dyn AsyncWrite + Unpin + Send>, Box<dyn Error>> {
    let Some(path) = file else {
        let same = std::io::stdout().as_fd().try_clone_to_owned()?;
        return Ok(Box::new(BufWriter::with_capacity(1 << 20, File::from_std(same.into()))));
    };
    // As private as the log itself.
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await;
    let opened = opened.map_err(|error| format!("could not make {}: {error}", path.display()))?;
    Ok(Box::new(BufWriter::with_capacity(1 << 20, opened)))
}

async fn input(file: Option<&Path>) -> Result<Box<dyn AsyncBufRead + Unpin + Send>, Box<dyn Error>> {
    let Some(path) = file else {
        let same = std::io::stdin().as_fd().try_clone_to_owned()?;
        return Ok(Box::new(BufReader::with_capacity(1 << 20, File::from_std(same.into()))));
    };
    let opened = File::open(path).await;
    let opened = opened.map_err(|error| format!("could not open {}: {error}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, opened)))
}
