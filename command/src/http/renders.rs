//! `POST /v1/renders` and `DELETE /v1/renders/{id}`.

use api::error::FULL_RETRY_S;
use api::{ApiError, Caller, Detail, RequestId};
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use composition::Problem;
use domain::render::{Command, Rejection};
use events::{RenderId, StreamId};

use super::State;
use super::request::{idempotency_key, key_refused, mark_replayed, origin};
use crate::handler::{Along, ExecuteError};
use crate::renders::RenderError;
use crate::submit::{Request, SubmitError, Submitted};

/// Where renders are submitted; also the scope of their idempotency keys.
pub(super) const PATH: &str = "/v1/renders";

pub(super) async fn submit(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency_key(&headers, state.limits.idempotency_key_chars_max)?;
    let body = state.read_json(&headers, body).await?;
    let origin = origin(&caller, request_id, &headers);
    let request = Request { workspace: caller.workspace, origin, path: PATH, idempotency_key, body };
    let Submitted { job, replayed } = state.submissions.submit(&request).await.map_err(refused)?;
    let location =
        HeaderValue::from_str(&format!("{PATH}/{}", job.id)).map_err(|error| ApiError::internal(&error))?;
    let status = if replayed { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, [(header::LOCATION, location)], Json(job)).into_response();
    if replayed {
        mark_replayed(&mut response);
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
    let origin = origin(&caller, request_id, &headers);
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

fn refused(error: SubmitError) -> ApiError {
    match error {
        SubmitError::Invalid(problems) => {
            let first = problems.first().map(|problem| format!("{} {}", problem.path, problem.code));
            tracing::info!(faults = problems.len(), first, "refused");
            let detail = |it: Problem| Detail::new(it.path, it.code.as_str(), it.message);
            ApiError::invalid_request(problems.into_iter().map(detail).collect())
        }
        SubmitError::Idempotency(error) => key_refused(&error),
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
