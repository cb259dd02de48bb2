//! The command side's endpoints. A handler extracts, executes and presents; it decides nothing.

mod api_keys;
mod body;
mod fields;
mod renders;
mod request;
mod workspace;

use std::sync::Arc;

use api::{ApiError, Endpoints, ServiceLimits};
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::HeaderMap;
use event_store::EventStore;
use serde_json::Value;

use crate::present::Presenter;
use crate::renders::Renders;
use crate::submit::Submissions;
use crate::workspaces::Workspaces;
use body::read_json;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct State {
    store: Arc<dyn EventStore>,
    submissions: Arc<Submissions>,
    renders: Arc<Renders>,
    presenter: Presenter,
    workspaces: Arc<Workspaces>,
    limits: Arc<ServiceLimits>,
}

impl State {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        submissions: Submissions,
        renders: Arc<Renders>,
        presenter: Presenter,
        workspaces: Arc<Workspaces>,
        limits: ServiceLimits,
    ) -> State {
        let (submissions, limits) = (Arc::new(submissions), Arc::new(limits));
        State { store, submissions, renders, presenter, workspaces, limits }
    }

    /// A request's body.
    async fn read_json(&self, headers: &HeaderMap, body: Body) -> Result<Value, ApiError> {
        let most = self.submissions.options.limits.body_bytes_max;
        read_json(headers, body, most, &self.limits).await
    }
}

impl FromRef<State> for Arc<dyn EventStore> {
    fn from_ref(state: &State) -> Arc<dyn EventStore> {
        Arc::clone(&state.store)
    }
}

/// Every endpoint of this role.
pub(crate) fn endpoints(state: State) -> Endpoints {
    Endpoints::new()
        .serve(renders::submit_operation(&state), renders::submit)
        .serve(renders::cancel_operation(), renders::cancel)
        .serve(workspace::change_operation(&state), workspace::change)
        .serve(api_keys::create_operation(&state), api_keys::create)
        .serve(api_keys::revoke_operation(), api_keys::revoke)
        .with_state(state)
}
