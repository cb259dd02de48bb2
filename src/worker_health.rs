//! What a process that only renders answers: whether it lives, and whether it is of use. Its films are asked for elsewhere.

use api::{Answer, Endpoints, Operation};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bus::NatsBus;
use schemars::JsonSchema;
use serde::Serialize;

/// Whether the process lives, or is of use.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    /// `ok`, `ready` or `not_ready`.
    status: &'static str,
    /// Why it is of no use now.
    reasons: Vec<&'static str>,
}

/// The endpoints; `bus` is the way to the service's face.
pub(crate) fn endpoints(bus: Option<NatsBus>) -> Endpoints {
    let alive = Operation::get("/healthz", "get_health", "Whether the process lives")
        .tag("Service")
        .keyless()
        .answers(Answer::json::<Health>(200, "It does."));
    let ready = Operation::get("/readyz", "get_readiness", "Whether the worker is of use now")
        .tag("Service")
        .keyless()
        .answers(Answer::json::<Health>(200, "It hears of work."))
        .answers(Answer::json::<Health>(503, "It does not; `reasons` says why."));
    Endpoints::new().serve(alive, tell_alive).serve(ready, tell_ready).with_state(bus)
}

async fn tell_alive() -> Json<Health> {
    Json(Health { status: "ok", reasons: Vec::new() })
}

async fn tell_ready(State(bus): State<Option<NatsBus>>) -> (StatusCode, Json<Health>) {
    if bus.is_none_or(|bus| bus.is_connected()) {
        return (StatusCode::OK, Json(Health { status: "ready", reasons: Vec::new() }));
    }
    let reasons = vec!["there is no connection to NATS; it is tried again until there is one"];
    (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "not_ready", reasons }))
}
