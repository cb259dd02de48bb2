//! Whether the process lives, and whether it is of use.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Answer, Operation};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::QueryState;
use crate::progress::Progress;

/// A log that takes longer to answer is of no use.
const ANSWER: Duration = Duration::from_secs(2);

/// Events that a projector may be behind: more than a busy second, less than what anyone would call current.
const LAG_MAX: u64 = 1000;

/// The process lives.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the service is of use now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Why it is not.
    reasons: Vec<String>,
    /// The last event of the log; `null` where the log can't be read.
    log_position: Option<u64>,
    /// How many events each projection is behind the log.
    lag_events: BTreeMap<&'static str, Option<u64>>,
}

pub(crate) fn alive_operation() -> Operation {
    Operation::get("/healthz", "get_health", "Whether the process lives")
        .tag("Service")
        .keyless()
        .answers(Answer::json::<Health>(200, "It does."))
}

pub(crate) fn ready_operation() -> Operation {
    Operation::get("/readyz", "get_readiness", "Whether the service is of use now")
        .tag("Service")
        .keyless()
        .answers(Answer::json::<Readiness>(200, "The log answers and the projections keep up."))
        .answers(Answer::json::<Readiness>(503, "It is not; `reasons` says why."))
}

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// `GET /readyz`: 200 where the log answers and, in a process that has to do with them, the read models keep up; 503 with the reasons otherwise.
pub(crate) async fn ready(State(state): State<QueryState>) -> (StatusCode, Json<Readiness>) {
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
    // A process that only takes requests is of use however far the read models are.
    let projectors = if state.reads {
        vec![("render_jobs", &state.jobs), ("webhook_deliveries", &state.deliveries), ("usage", &state.usage)]
    } else {
        Vec::new()
    };
    let mut lag_events = BTreeMap::new();
    for (name, progress) in projectors {
        let lag = head.map(|head| head.saturating_sub(progress.position().0));
        lag_events.insert(name, lag);
        reasons.extend(complaint(name, progress, lag));
    }
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = if reasons.is_empty() { "ready" } else { "not_ready" };
    (code, Json(Readiness { status, reasons, log_position: head, lag_events }))
}

fn complaint(name: &str, progress: &Progress, lag: Option<u64>) -> Option<String> {
    if progress.is_failing() {
        return Some(format!("the projection {name} can't apply the next event; the server's log says why"));
    }
    let lag = lag.filter(|lag| *lag > LAG_MAX)?;
    Some(format!("the projection {name} is {lag} events behind; at most {LAG_MAX} are fine"))
}
