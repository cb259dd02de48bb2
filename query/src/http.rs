//! The read side's endpoints.
//!
//! | method and path | file |
//! | --- | --- |
//! | GET `/v1/renders`, `/v1/renders/{id}`, `…/{id}/download` | [`renders`] |
//! | GET `/v1/renders/{id}/events`, `/v1/events` | [`events`], as streams [`event_stream`] |
//! | GET `/v1/renders/{id}/deliveries` | [`deliveries`] |
//! | GET, HEAD `/v1/artifacts/{key}` (signed) | [`artifacts`] |
//! | GET `/v1/workspace`, `…/usage` | [`workspace`] |
//! | GET `/v1/api-keys` | [`api_keys`] |
//! | GET `/v1/capabilities` (no key) | [`capabilities`] |
//! | GET `/healthz`, `/readyz` (no key) | [`health`] |

use std::sync::Arc;
use std::time::Duration;

use ::events::{Position, RenderId};
use api::{ApiError, Endpoints};
use axum::extract::FromRef;
use event_store::EventStore;
use storage::{LinkSigner, Storage};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::documents::Documents;
use crate::egress::Egress;
use crate::feed::Feed;
use crate::http::event_stream::Seats;
use crate::line::Line;
use crate::progress::Progress;
use crate::projections::webhook_deliveries;
use crate::read_db::ReadDb;

pub(crate) mod api_keys;
pub(crate) mod artifacts;
pub(crate) mod capabilities;
pub(crate) mod deliveries;
pub(crate) mod event_stream;
pub(crate) mod events;
pub(crate) mod health;
mod query_string;
mod range;
pub(crate) mod renders;
mod webhooks;
pub(crate) mod workspace;

/// How long a request waits for the projector to have come as far as the log was when it arrived.
const PATIENCE: Duration = Duration::from_secs(1);

/// What someone who has looked at the rows learns of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// They saw everything.
    None,
    /// There was more: the rows have it now.
    Applied,
    /// There was more, and the rows still lack it.
    Late,
}

/// What the endpoints work with.
#[derive(Debug, Clone)]
pub(crate) struct QueryState(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) links: Arc<LinkSigner>,
    pub(crate) db: ReadDb,
    pub(crate) documents: Documents,
    pub(crate) feed: Arc<Feed>,
    pub(crate) seats: Arc<Seats>,
    /// How long an event stream is silent at most.
    pub(crate) heartbeat: Duration,
    /// Places in the queue.
    pub(crate) line: Line,
    /// Whether this process has to do with the read models at all.
    pub(crate) reads: bool,
    pub(crate) jobs: Arc<Progress>,
    pub(crate) deliveries: Arc<Progress>,
    pub(crate) usage: Arc<Progress>,
    pub(crate) egress: Arc<Egress>,
    pub(crate) clock: Clock,
    pub(crate) capabilities: serde_json::Value,
    pub(crate) closing: CancellationToken,
}

impl QueryState {
    pub(crate) fn new(parts: Parts) -> QueryState {
        QueryState(Arc::new(parts))
    }

    /// Waits until the read models show everything that was in the log when this was called, within reason: whoever
    /// has just written reads what they wrote.
    async fn read_your_writes(&self) -> Result<(), ApiError> {
        self.wait_for_news(self.jobs.position()).await.map(drop)
    }

    /// The same for someone who has looked at the rows since they stood at `applied`.
    async fn wait_for_news(&self, applied: Position) -> Result<News, ApiError> {
        let head = self.store.head().await.map_err(|error| ApiError::of_store(&error))?.position;
        if head <= applied {
            return Ok(News::None);
        }
        if self.jobs.reached(head, PATIENCE).await {
            return Ok(News::Applied);
        }
        tracing::warn!(
            head = head.0,
            applied = self.jobs.position().0,
            "an answer is older than the log: the projector lags"
        );
        Ok(News::Late)
    }
}

impl std::ops::Deref for QueryState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<QueryState> for Arc<dyn EventStore> {
    fn from_ref(state: &QueryState) -> Arc<dyn EventStore> {
        Arc::clone(&state.store)
    }
}

/// All endpoints of the read side.
pub(crate) fn endpoints(state: QueryState) -> Endpoints {
    let endpoints = Endpoints::new()
        .serve(renders::list_operation(), renders::list)
        .serve(renders::read_operation(), renders::read)
        .serve(renders::download_operation(), renders::download)
        .serve(events::history_operation(), events::history)
        .serve(deliveries::list_operation(), deliveries::list)
        .serve(webhooks::list_operation(), webhooks::list)
        .serve(webhooks::read_operation(), webhooks::read)
        .serve(webhooks::deliveries_operation(), webhooks::list_attempts)
        .serve(webhooks::redeliver_operation(), webhooks::redeliver)
        .serve(events::workspace_operation(), events::workspace)
        .serve(artifacts::serve_operation(), artifacts::serve)
        .serve(workspace::read_operation(), workspace::read)
        .serve(workspace::usage_operation(), workspace::usage)
        .serve(api_keys::list_operation(), api_keys::list)
        .serve(capabilities::tell_operation(), capabilities::tell);
    webhook_deliveries::hooks().into_iter().fold(endpoints, Endpoints::sends).with_state(state)
}

/// How this process is doing, whatever it does.
pub(crate) fn health_endpoints(state: QueryState) -> Endpoints {
    Endpoints::new()
        .serve(health::alive_operation(), health::alive)
        .serve(health::ready_operation(), health::ready)
        .with_state(state)
}

/// Reads a render's id from the path. A text that is none names no render: 404, like every render that is not there.
fn render_id(text: &str) -> Result<RenderId, ApiError> {
    text.parse().map_err(|_no_id| no_render(text))
}

fn no_render(id: impl std::fmt::Display) -> ApiError {
    let id: String = id.to_string().chars().take(64).collect();
    ApiError::not_found(format_args!("render {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query_string::PAGE_PARAMETERS;

    #[test]
    fn the_parameters_that_are_read_are_those_that_are_described() {
        for (operation, read) in [
            (renders::list_operation(), renders::ListParameters::KNOWN),
            (renders::read_operation(), renders::ReadParameters::KNOWN),
            (events::history_operation(), events::EventsParameters::KNOWN),
            (events::workspace_operation(), events::EventsParameters::KNOWN),
            (deliveries::list_operation(), PAGE_PARAMETERS),
            (api_keys::list_operation(), PAGE_PARAMETERS),
            (webhooks::list_operation(), PAGE_PARAMETERS),
            (webhooks::deliveries_operation(), PAGE_PARAMETERS),
        ] {
            assert_eq!(operation.query_names(), read);
        }
    }
}
