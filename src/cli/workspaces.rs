//! `framelane workspaces`: makes workspaces, each with a key of its own.

use std::error::Error;
use std::sync::Arc;

use clap::Subcommand;
use command::create_workspace;
use event_store::Vault;

use super::DataDir;

/// See [`super::Command::Workspaces`].
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspacesCommand {
    /// Make a workspace, beside a running service or without one; prints its id and its first key, once
    Create {
        #[command(flatten)]
        data: DataDir,

        /// What people call it
        name: String,
    },
}

/// Runs it.
#[expect(clippy::print_stdout, reason = "a key is shown to the operator, not logged")]
pub(crate) async fn run(command: WorkspacesCommand) -> Result<(), Box<dyn Error>> {
    let WorkspacesCommand::Create { data, name } = command;
    std::fs::create_dir_all(&data.data_dir)
        .map_err(|error| format!("could not make {}: {error}", data.data_dir.display()))?;
    let vault = Arc::new(Vault::open(&data.master_key())?);
    let store = data.open_log().await?;
    let (workspace, key) = create_workspace(store, vault, &name).await?;
    println!("workspace: {workspace}\nAPI key (shown once): {key}");
    Ok(())
}
