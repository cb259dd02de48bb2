//! Hears of other nodes' commits, so that readers here look at once.
//!
//! A notification is a hint and may be lost; readers also look by themselves.

use std::time::Duration;

use events::Position;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

use super::open::PostgresOptions;
use crate::sequencer::advance;

/// The channel that commits are told on; the payload is the log's new end.
pub(super) const CHANNEL: &str = "framelane_log";

/// How long to wait before listening again after a failure.
const AGAIN: Duration = Duration::from_secs(2);

/// Listens for ever.
pub(super) async fn listen(options: PostgresOptions, signal: watch::Sender<Position>) {
    loop {
        let Err(error) = hear(&options, &signal).await;
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "not listening for commits; readers look by themselves"
        );
        tokio::time::sleep(AGAIN).await;
    }
}

async fn hear(
    options: &PostgresOptions,
    signal: &watch::Sender<Position>,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(&options.listener()).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let notification = listener.recv().await?;
        if let Ok(position) = notification.payload().parse() {
            advance(signal, Position(position));
        }
    }
}
