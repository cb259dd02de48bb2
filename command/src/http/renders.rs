//! `POST /v1/renders` and `DELETE /v1/renders/{id}`.

use api::error::FULL_RETRY_S;
use api::{Answer, ApiError, Caller, Code, Detail, Example, Operation, RequestId, Shape};
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use composition::{Problem, RENDER_REQUEST, json_schemas};
use domain::render::{Command, Rejection};
use events::job::Job;
use events::{RenderId, StreamId};
use serde_json::json;

use super::State;
use super::request::{idempotency_key, key_refused, mark_replayed, once, origin, replayed, traced};
use crate::handler::{Along, ExecuteError};
use crate::renders::RenderError;
use crate::submit::{Request, SubmitError, Submitted};

/// Where renders are submitted; also the scope of their idempotency keys.
pub(super) const PATH: &str = "/v1/renders";

pub(super) fn submit_operation(state: &State) -> Operation {
    let components = json_schemas(&state.submissions.options.limits);
    let request = Shape::Named { name: RENDER_REQUEST, components };
    let operation = Operation::post(PATH, "submit_render", "Submit a composition")
        .tag("Renders")
        .text(
            "Answers at once with the job; follow it with `GET /v1/renders/{id}?wait=30`, its events, or webhooks. All faults \
             of a composition are named in one answer. What this version does not carry out is refused by name \
             (`unsupported_feature`), never ignored: `GET /v1/capabilities` tells beforehand.",
        )
        .takes("The composition.", request)
        .examples(examples())
        .answers(Answer::json::<Job>(202, "Accepted: the new job.").with("Location"))
        .answers(replayed(Answer::json::<Job>(200, "The key was used for this body before: the job as it is now.").with("Location")))
        .refuses(&[Code::InvalidRequest]);
    once(traced(operation), state)
}

/// They need no media, so they work on every installation.
fn examples() -> Vec<Example> {
    let title = json!({
        "type": "text", "text": "Hello, film ✨", "duration": 4, "font_size": 96, "font_weight": 700,
    });
    let rising = json!({
        "type": "text", "text": "Rising", "duration": 3, "font_size": 120,
        "y": { "keyframes": [
            { "time": 0, "value": "90%", "easing": "ease_out" },
            { "time": 2, "value": "50%" },
        ] },
        "opacity": { "keyframes": [{ "time": 0, "value": 0 }, { "time": 1, "value": 100 }] },
    });
    vec![
        Example {
            name: "title",
            summary: "A title, four seconds",
            value: json!({
                "width": 1280, "height": 720, "duration": 4, "background_color": "#203040", "elements": [title],
            }),
        },
        Example {
            name: "keyframes",
            summary: "A text that rises and fades in",
            value: json!({ "width": 640, "height": 360, "frame_rate": 25, "elements": [rising] }),
        },
        Example {
            name: "still",
            summary: "One picture",
            value: json!({
                "width": 640, "height": 360, "output_format": "png", "output_filename": "card",
                "background_color": "#fafafa", "metadata": { "campaign": "spring" },
                "elements": [{ "type": "text", "text": "A card", "duration": 1, "font_size": 64, "text_color": "#101010" }],
            }),
        },
    ]
}

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

pub(super) fn cancel_operation() -> Operation {
    let operation = Operation::delete("/v1/renders/{id}", "cancel_render", "Cancel a job")
        .tag("Renders")
        .text("Works in every state but the last: the job is `cancelled` at once, and no file appears.")
        .path("id", "The job.", Shape::of::<RenderId>())
        .answers(Answer::json::<Job>(200, "The cancelled job."))
        .refuses(&[Code::NotFound, Code::Conflict]);
    traced(operation)
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
