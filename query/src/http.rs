//! The read side's endpoints.
//!
//! | method and path | file |
//! | --- | --- |
//! | GET `/v1/renders`, `/v1/renders/{id}`, `…/{id}/download` | [`renders`] |
//! | GET `/v1/renders/{id}/events` | [`events`] |
//! | GET, HEAD `/v1/artifacts/{key}` (signed) | [`artifacts`] |
//! | GET `/v1/capabilities` (no key) | [`capabilities`] |
//! | GET `/healthz`, `/readyz` (no key) | [`health`] |

use std::sync::Arc;
use std::time::Duration;

use ::events::RenderId;
use api::ApiError;
use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use event_store::EventStore;
use storage::{LinkSigner, Storage};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::progress::Progress;
use crate::read_db::ReadDb;

pub(crate) mod artifacts;
pub(crate) mod capabilities;
pub(crate) mod events;
pub(crate) mod health;
mod query_string;
mod range;
pub(crate) mod renders;

/// How long a request waits for the projector to have come as far as the log was when it arrived.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the endpoints work with.
#[derive(Debug, Clone)]
pub(crate) struct QueryState(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) links: Arc<LinkSigner>,
    pub(crate) db: ReadDb,
    pub(crate) jobs: Arc<Progress>,
    pub(crate) deliveries: Arc<Progress>,
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
        let head = self.store.head().await.map_err(|error| ApiError::internal(&error))?;
        if !self.jobs.reached(head.position, PATIENCE).await {
            tracing::warn!(
                head = head.position.0,
                applied = self.jobs.position().0,
                "an answer is older than the log: the projector lags"
            );
        }
        Ok(())
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
pub(crate) fn router(state: QueryState) -> Router {
    Router::new()
        .route("/v1/renders", get(renders::list))
        .route("/v1/renders/{id}", get(renders::read))
        .route("/v1/renders/{id}/download", get(renders::download))
        .route("/v1/renders/{id}/events", get(events::history))
        .route("/v1/artifacts/{*key}", get(artifacts::serve))
        .route("/v1/capabilities", get(capabilities::tell))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
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
