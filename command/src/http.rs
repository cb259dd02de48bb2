//! The command side's endpoints. A handler extracts, executes and presents; it decides nothing.

mod body;
mod renders;

use std::sync::Arc;

use api::ServiceLimits;
use axum::Router;
use axum::extract::FromRef;
use axum::routing::{delete, post};
use event_store::EventStore;

use crate::present::Presenter;
use crate::renders::Renders;
use crate::submit::Submissions;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct State {
    store: Arc<dyn EventStore>,
    submissions: Arc<Submissions>,
    renders: Arc<Renders>,
    presenter: Presenter,
    limits: Arc<ServiceLimits>,
}

impl State {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        submissions: Submissions,
        renders: Arc<Renders>,
        presenter: Presenter,
        limits: ServiceLimits,
    ) -> State {
        State { store, submissions: Arc::new(submissions), renders, presenter, limits: Arc::new(limits) }
    }
}

impl FromRef<State> for Arc<dyn EventStore> {
    fn from_ref(state: &State) -> Arc<dyn EventStore> {
        Arc::clone(&state.store)
    }
}

/// Every endpoint of this role.
pub(crate) fn router(state: State) -> Router {
    Router::new()
        .route(renders::PATH, post(renders::submit))
        .route("/v1/renders/{id}", delete(renders::cancel))
        .with_state(state)
}
