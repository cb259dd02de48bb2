//! Whether the process lives, and whether it is of use.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::QueryState;
use crate::progress::Progress;

/// A log that takes longer to answer is of no use.
const ANSWER: Duration = Duration::from_secs(2);

/// Events that a projector may be behind: more than a busy second, less than what anyone would call current.
const LAG_MAX: u64 = 1000;

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /readyz`: 200 where the log answers and the projectors keep up; 503 with the reasons otherwise.
pub(crate) async fn ready(State(state): State<QueryState>) -> (StatusCode, Json<Value>) {
    let mut reasons = Vec::new();
    let head = match tokio::time::timeout(ANSWER, state.store.head()).await {
        Ok(Ok(head)) => Some(head.position.0),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the log can't be read");
            reasons.push("the log can't be read".to_owned());
            None
        }
        Err(_elapsed) => {
            reasons.push(format!("the log did not answer within {} s", ANSWER.as_secs()));
            None
        }
    };
    let projectors =
        [("render_jobs", &state.jobs), ("webhook_deliveries", &state.deliveries), ("usage", &state.usage)];
    let mut lags = serde_json::Map::new();
    for (name, progress) in projectors {
        let lag = head.map(|head| head.saturating_sub(progress.position().0));
        lags.insert(name.to_owned(), json!(lag));
        reasons.extend(complaint(name, progress, lag));
    }
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = if reasons.is_empty() { "ready" } else { "not_ready" };
    (code, Json(json!({ "status": status, "reasons": reasons, "log_position": head, "lag_events": lags })))
}

fn complaint(name: &str, progress: &Progress, lag: Option<u64>) -> Option<String> {
    if progress.is_failing() {
        return Some(format!("the projection {name} can't apply the next event; the server's log says why"));
    }
    let lag = lag.filter(|lag| *lag > LAG_MAX)?;
    Some(format!("the projection {name} is {lag} events behind; at most {LAG_MAX} are fine"))
}
