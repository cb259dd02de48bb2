//! `framelane webhooks`: the secret that webhooks are signed with.

use std::error::Error;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use event_store::{EventStore, Vault, replace_webhook_secret, webhook_secrets};
use events::WorkspaceId;

use super::DataDir;
use super::limits::seconds;

/// What to do about webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Print the secret that a workspace's webhooks are signed with, or replace it
    Secret(SecretOptions),
}

/// See [`WebhooksCommand::Secret`].
#[derive(Debug, Args)]
pub(crate) struct SecretOptions {
    #[command(flatten)]
    data: DataDir,

    /// Whose; needed only where there are several workspaces
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<WorkspaceId>,

    /// Put a new secret in its place; a running service signs with it at once
    #[arg(long)]
    rotate: bool,

    /// How long the older secret signs beside the new one
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = seconds)]
    overlap: u64,
}

/// Runs the subcommand. Standard output holds the secret alone, so that scripts can use it.
pub(crate) async fn run(command: WebhooksCommand) -> Result<(), Box<dyn Error>> {
    let WebhooksCommand::Secret(options) = command;
    let (store, vault) = open(&options.data).await?;
    let workspace = choose(&store.workspaces().await?, options.workspace)?;
    if options.rotate {
        let secret = format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        let overlap_ms = i64::try_from(options.overlap.saturating_mul(1000))?;
        replace_webhook_secret(&store, &vault, workspace, &secret, overlap_ms).await?;
    }
    let secrets = webhook_secrets(store.as_ref(), &vault, workspace, store.now().await?).await?;
    say(&secrets[0]);
    eprintln!(
        "Webhooks of {workspace} are signed with it: HMAC-SHA256 of `t`, `.` and the body, as hex, stands in \
         Framelane-Signature as v1 (t is there, too); libraries for Standard Webhooks take the secret as it is."
    );
    if secrets.len() > 1 {
        eprintln!("The secret before it still signs beside it, until the overlap is over.");
    }
    eprintln!("Try it: framelane listen --secret <secret>");
    Ok(())
}

/// The secret of a data folder's workspace.
pub(super) async fn secret_of(data: &DataDir) -> Result<String, Box<dyn Error>> {
    let (store, vault) = open(data).await?;
    let workspace = choose(&store.workspaces().await?, None)?;
    Ok(webhook_secrets(store.as_ref(), &vault, workspace, store.now().await?).await?.swap_remove(0))
}

/// Opens the log of a data folder that exists: asking for a secret must not make one.
async fn open(data: &DataDir) -> Result<(Arc<dyn EventStore>, Vault), Box<dyn Error>> {
    Ok((data.open_existing_log().await?, Vault::open(&data.master_key())?))
}

fn choose(all: &[WorkspaceId], wanted: Option<WorkspaceId>) -> Result<WorkspaceId, String> {
    match (wanted, all) {
        (Some(wanted), all) if all.contains(&wanted) => Ok(wanted),
        (Some(wanted), _) => Err(format!("there is no workspace {wanted}")),
        (None, []) => Err("there is no workspace yet: the first start of the service makes one".to_owned()),
        (None, [only]) => Ok(*only),
        (None, all) => {
            let names: Vec<_> = all.iter().map(ToString::to_string).collect();
            Err(format!("there are several workspaces, name one with --workspace: {}", names.join(", ")))
        }
    }
}

#[expect(clippy::print_stdout, reason = "the secret is what was asked for")]
fn say(line: &str) {
    println!("{line}");
}
