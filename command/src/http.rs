//! The command side's endpoints. A handler extracts, executes and presents; it decides nothing.

mod api_keys;
mod body;
mod fields;
mod renders;
mod replay;
mod request;
mod webhooks;
mod workspace;

use std::sync::Arc;

use api::{ApiError, Caller, Endpoints, ServiceLimits};
use axum::body::{Body, HttpBody as _};
use axum::extract::FromRef;
use axum::http::HeaderMap;
use event_store::EventStore;
use serde_json::{Map, Value};

use crate::idempotency::Idempotency;
use crate::present::Presenter;
use crate::renders::Renders;
use crate::submit::Submissions;
use crate::workspaces::Workspaces;
use body::read_json;
use request::idempotency_key;

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

    /// A request's body, and the Idempotency-Key that it came with to `path`.
    async fn read_once(
        &self,
        caller: &Caller,
        path: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Value, Option<Idempotency>), ApiError> {
        let key = idempotency_key(headers, self.limits.idempotency_key_chars_max)?;
        let body = self.read_json(headers, body).await?;
        let idempotency = key.map(|key| Idempotency::new(caller.workspace, path, &key, &body)).transpose();
        Ok((body, idempotency.map_err(|error| ApiError::internal(&error))?))
    }

    /// A request's body, or an empty object where there is none.
    async fn read_json_or_nothing(&self, headers: &HeaderMap, body: Body) -> Result<Value, ApiError> {
        if body.is_end_stream() {
            return Ok(Value::Object(Map::new()));
        }
        self.read_json(headers, body).await
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
        .serve(webhooks::create_operation(&state), webhooks::create)
        .serve(webhooks::change_operation(), webhooks::change)
        .serve(webhooks::delete_operation(), webhooks::delete)
        .serve(webhooks::rotate_operation(), webhooks::rotate)
        .serve(replay::replay_operation(&state), replay::replay)
        .serve(replay::test_operation(), replay::test)
        .with_state(state)
}
