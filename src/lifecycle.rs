//! How the service stops: the first signal drains, the second one cuts.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stages of stopping.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    /// Cancelled first: take no new work, finish or hand back what is in hand.
    pub(crate) drain: CancellationToken,
    /// Cancelled second: stop at once.
    pub(crate) cut: CancellationToken,
}

impl Shutdown {
    /// Watches SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// Where the process can't listen to signals.
    pub(crate) fn on_signals() -> std::io::Result<Shutdown> {
        let shutdown = Shutdown { drain: CancellationToken::new(), cut: CancellationToken::new() };
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stages = shutdown.clone();
        tokio::spawn(async move {
            for stage in [&stages.drain, &stages.cut] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if stage.is_cancelled() {
                    continue;
                }
                if stages.drain.is_cancelled() {
                    tracing::warn!("second signal: stopping at once");
                } else {
                    tracing::info!(
                        "stopping: finishing or handing back what is in hand; a second signal stops at once"
                    );
                }
                stage.cancel();
            }
        });
        Ok(shutdown)
    }
}
