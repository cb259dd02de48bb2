//! What this installation can do. Open to everyone: it says nothing of anybody's data.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::http::QueryState;

/// `GET /v1/capabilities`.
pub(crate) async fn tell(State(state): State<QueryState>) -> Json<Value> {
    Json(state.capabilities.clone())
}
