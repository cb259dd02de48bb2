//! `framelane replay`: a render's life, event by event, and what its clients saw after each.

use std::error::Error;

use clap::Args;
use events::job_view::JobView;
use events::{Position, RenderEvent, RenderId, StreamId};

use super::DataDir;

/// See [`super::Command::Replay`].
#[derive(Debug, Args)]
pub(crate) struct ReplayOptions {
    #[command(flatten)]
    data: DataDir,

    /// The render
    render: RenderId,

    /// The log's position to stop at; the render's last event unless given
    #[arg(long, value_name = "POSITION")]
    at: Option<u64>,

    /// Print what clients saw there as one JSON object (without their metadata and links) instead of a line for each event
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(crate) async fn run(options: ReplayOptions) -> Result<(), Box<dyn Error>> {
    let store = options.data.open_existing_log().await?;
    let until = options.at.map_or(Position(u64::MAX), Position);
    let events = store.load(&StreamId::from(options.render)).await?;
    let mut view = None;
    for recorded in events.iter().filter(|event| event.position <= until) {
        let Some(event) = RenderEvent::decode(&recorded.event)? else { continue };
        view = JobView::apply(view, &event, recorded);
        if let (false, Some(view)) = (options.json, &view) {
            let (position, at, kind) =
                (recorded.position.0, recorded.recorded_at, &recorded.event.event_type);
            say(&format!(
                "{position:>10}  {at}  {kind:<16} {:<10} {:>3} %",
                view.status.as_str(),
                view.progress_percent
            ));
        }
    }
    let view =
        view.ok_or_else(|| format!("there is nothing of {} in the log up to there", options.render))?;
    if options.json {
        let job = view.present(Default::default(), |artifact| artifact.object.key.clone());
        say(&serde_json::to_string_pretty(&job)?);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what was is what was asked for")]
fn say(line: &str) {
    println!("{line}");
}
