//! `framelane events`: proving that the log is what was written, and carrying it elsewhere.

use std::error::Error;

use clap::{Args, Subcommand};
use event_store::audit::{Finding, Verdict, verify};
use events::{Position, Sha256};
use indicatif::{ProgressBar, ProgressStyle};

use super::DataDir;

mod transfer;

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Recompute the hash chain and name the first position that was altered
    Verify(VerifyOptions),
    /// Print the last position and its hash, to be kept elsewhere as an anchor
    Head(HeadOptions),
    /// Write the log and the rows beside it, for `import` into another database; not the master key, not the objects
    Export(transfer::ExportOptions),
    /// Read an export into an empty log, or into the one whose end it follows; all of it or nothing
    Import(transfer::ImportOptions),
}

/// See [`EventsCommand::Verify`].
#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    data: DataDir,

    /// A position and its hash noted earlier (`events head`): finds a log cut short or rewritten as a whole
    #[arg(long, value_name = "POSITION:HASH", value_parser = parse_anchor)]
    anchor: Option<(Position, Sha256)>,
}

/// See [`EventsCommand::Head`].
#[derive(Debug, Args)]
pub(crate) struct HeadOptions {
    #[command(flatten)]
    data: DataDir,
}

/// The log is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("the log was altered at position {position}: {finding}")]
struct Altered {
    position: u64,
    finding: Finding,
}

/// Runs the subcommand. An altered log is an error, so that scripts notice.
pub(crate) async fn run(command: EventsCommand) -> Result<(), Box<dyn Error>> {
    match command {
        EventsCommand::Verify(options) => verify_log(options).await,
        EventsCommand::Head(options) => {
            let head = options.data.open_existing_log().await?.head().await?;
            say(&format!("{}:{}", head.position.0, head.hash));
            Ok(())
        }
        EventsCommand::Export(options) => transfer::write(options).await,
        EventsCommand::Import(options) => transfer::read(options).await,
    }
}

async fn verify_log(options: VerifyOptions) -> Result<(), Box<dyn Error>> {
    let store = options.data.open_existing_log().await?;
    let bar = ProgressBar::new(store.head().await?.position.0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events {per_sec}")?);
    let verdict = verify(&store, options.anchor, |position| bar.set_position(position.0)).await?;
    bar.finish_and_clear();
    match verdict {
        Verdict::Intact(head) => {
            say(&format!("intact: {} events, head {}:{}", head.position.0, head.position.0, head.hash));
            Ok(())
        }
        Verdict::Altered { position, finding } => Err(Box::new(Altered { position: position.0, finding })),
    }
}

fn parse_anchor(text: &str) -> Result<(Position, Sha256), String> {
    let form =
        || format!("{text:?} is no anchor: expected POSITION:HASH as `framelane events head` prints it");
    let (position, hash) = text.split_once(':').ok_or_else(form)?;
    let position = position.parse().map_err(|_invalid| form())?;
    Ok((Position(position), Sha256::parse(hash).ok_or_else(form)?))
}

/// Prints a result to standard output.
#[expect(clippy::print_stdout, reason = "a subcommand's result goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}
