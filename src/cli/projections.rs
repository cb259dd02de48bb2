//! `framelane projections`: the read models are made from the log and can be made again.

use std::error::Error;
use std::sync::Arc;

use clap::{Args, Subcommand};
use event_store::Vault;
use indicatif::{ProgressBar, ProgressStyle};

use super::DataDir;

/// What to do with the read models.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionsCommand {
    /// Make the read models anew from the log, beside the live ones, then swap
    Rebuild(RebuildOptions),
}

/// See [`ProjectionsCommand::Rebuild`].
#[derive(Debug, Args)]
pub(crate) struct RebuildOptions {
    #[command(flatten)]
    data: DataDir,
}

/// Runs the subcommand.
pub(crate) async fn run(command: ProjectionsCommand) -> Result<(), Box<dyn Error>> {
    let ProjectionsCommand::Rebuild(RebuildOptions { data }) = command;
    let store = data.open_existing_log().await?;
    let vault = Arc::new(Vault::open(&data.master_key())?);
    let bar = ProgressBar::new(store.head().await?.position.0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events {per_sec}")?);
    let reached =
        query::rebuild(store, vault, &data.read_db()?, |position| bar.set_position(position.0)).await?;
    bar.finish_and_clear();
    tracing::info!(position = reached.0, "the read models are rebuilt");
    Ok(())
}
