//! `POST /v1/renders` and `DELETE /v1/renders/{id}`.

use api::error::FULL_RETRY_S;
use api::{ApiError, Caller, Detail, RequestId};
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use domain::render::{Command, Rejection};
use events::{RenderId, StreamId};

use super::State;
use super::body::read_json;
use crate::handler::{Along, ExecuteError, Origin};
use crate::renders::RenderError;
use crate::submit::{Request, SubmitError, Submitted};

/// Where renders are submitted; also the scope of their idempotency keys.
pub(super) const PATH: &str = "/v1/renders";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// W3C Trace Context 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

pub(super) async fn submit(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency_key(&headers, state.limits.idempotency_key_chars_max)?;
    let body_max = state.submissions.options.limits.body_bytes_max;
    let body = read_json(&headers, body, body_max, state.limits.body_discarded_bytes_max).await?;
    let request = Request {
        workspace: caller.workspace,
        actor: caller.actor(),
        path: PATH,
        idempotency_key,
        body,
        correlation_id: correlation(request_id),
        traceparent: traceparent(&headers),
    };
    let Submitted { job, replayed } = state.submissions.submit(&request).await.map_err(refused)?;
    let location =
        HeaderValue::from_str(&format!("{PATH}/{}", job.id)).map_err(|error| ApiError::internal(&error))?;
    let status = if replayed { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, [(header::LOCATION, location)], Json(job)).into_response();
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(super) async fn cancel(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found(format_args!("render {}", id.chars().take(64).collect::<String>()));
    let render: RenderId = id.parse().map_err(|_malformed| unknown())?;
    let origin = Origin {
        actor: caller.actor(),
        workspace: Some(caller.workspace),
        correlation_id: Some(correlation(request_id)),
        traceparent: traceparent(&headers),
    };
    match state.renders.execute(render, &origin, Along::default(), |_| Command::Cancel).await {
        Ok(_) => {}
        Err(ExecuteError::Foreign | ExecuteError::Rejected(Rejection::NotSubmitted)) => return Err(unknown()),
        Err(ExecuteError::Rejected(Rejection::AlreadyFinished { status })) => {
            let message = format!("{render} is {} already; it can't be cancelled any more", status.as_str());
            return Err(ApiError::conflict(message));
        }
        Err(error) => return Err(failed(&error)),
    }
    let job =
        state.presenter.job(&StreamId::from(render)).await.map_err(|error| ApiError::internal(&error))?;
    job.map(|job| Json(job).into_response()).ok_or_else(unknown)
}

fn idempotency_key(headers: &HeaderMap, chars_max: usize) -> Result<Option<String>, Detail> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let fault = |code, message: String| Detail::new("Idempotency-Key", code, message);
    // Header values are bytes; ours are compared as text.
    let key = std::str::from_utf8(key.as_bytes())
        .map_err(|_bytes| fault("malformed_value", "the header is not UTF-8".to_owned()))?;
    let chars = key.chars().count();
    if (1..=chars_max).contains(&chars) {
        return Ok(Some(key.to_owned()));
    }
    Err(fault("out_of_range", format!("the header has {chars} characters; allowed are 1 to {chars_max}")))
}

/// Whatever the request is called in the server's log.
fn correlation(request_id: Option<Extension<RequestId>>) -> String {
    request_id.map(|Extension(RequestId(id))| id).unwrap_or_default()
}

fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    // Version 00 has 55 characters; later ones may have more, within reason.
    (55..=128).contains(&value.len()).then(|| value.to_owned())
}

fn refused(error: SubmitError) -> ApiError {
    match error {
        SubmitError::Invalid(problems) => ApiError::invalid_request(
            problems
                .into_iter()
                .map(|problem| Detail::new(problem.path, problem.code.as_str(), problem.message))
                .collect(),
        ),
        SubmitError::KeyReused => ApiError::conflict(
            "this Idempotency-Key was used for another body; send the same body again, or a new key",
        ),
        SubmitError::NoSpace(short) => {
            let message = format!("{short}; what was accepted is kept, and goes on when there is room again");
            ApiError::busy(message, FULL_RETRY_S)
        }
        SubmitError::Execute(error) => failed(&error),
        SubmitError::Store(error) => ApiError::of_store(&error),
        error => ApiError::internal(&error),
    }
}

fn failed(error: &RenderError) -> ApiError {
    match error {
        ExecuteError::Store(error) => ApiError::of_store(error),
        error => ApiError::internal(error),
    }
}
