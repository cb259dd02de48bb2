//! `PATCH /v1/workspace`: the settings of the caller's workspace.

use api::{Answer, ApiError, Caller, Code, Detail, Operation, RequestId};
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use composition::ParseOptions;
use domain::workspace::{Command, Rejection};
use events::render::SubmissionWarning;
use events::workspace_view::Workspace;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::State;
use super::fields::Fields;
use super::request::{origin, traced};
use crate::handler::ExecuteError;
use crate::workspaces::requests::{RequestError, WorkspaceError};

pub(super) const PATH: &str = "/v1/workspace";

/// The most renders of one workspace in work at once that a setting may ask for.
const CONCURRENCY_MAX: u32 = 10_000;

/// A workspace after its settings were changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChangedWorkspace {
    #[serde(flatten)]
    workspace: Workspace,
    /// Suspicions about the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<SubmissionWarning>,
}

pub(super) fn change_operation(state: &State) -> Operation {
    let body = json!({
        "type": "object",
        "x-order": ["name", "ingest_external", "concurrency"],
        "properties": {
            "name": name_schema(state),
            "ingest_external": {
                "type": "boolean",
                "description": "Whether foreign sources are copied into storage first where a request does not say.",
            },
            "concurrency": {
                "type": ["integer", "null"], "minimum": 1, "maximum": CONCURRENCY_MAX, "x-extension": true,
                "description": "How many renders may be in work at once; `null`: as many as the installation allows.",
            },
        },
    });
    let operation = Operation::patch(PATH, "change_workspace", "Change the settings of the workspace")
        .tag("Workspace")
        .takes("What is to change; what is left out stays.", body)
        .answers(Answer::json::<ChangedWorkspace>(200, "The workspace as it is now."))
        .refuses(&[Code::InvalidRequest]);
    traced(operation)
}

/// What names for people may be.
pub(super) fn name_schema(state: &State) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": state.limits.name_chars_max,
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$", "description": "For people.",
    })
}

pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    request_id: Option<Extension<RequestId>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ChangedWorkspace>, ApiError> {
    let mut fields = Fields::of(state.read_json(&headers, body).await?, "name")?;
    let name = fields.name("name", state.limits.name_chars_max);
    let concurrency = fields.number_or_null("concurrency", 1..=CONCURRENCY_MAX);
    let ingest_external = ingest_external(&mut fields);
    let warnings = fields.finish()?;
    let change = Command::Change { name, ingest_external, concurrency };
    let origin = origin(&caller, request_id, &headers);
    let changed = state.workspaces.change(caller.workspace, &origin, change).await;
    let view = changed.map_err(|error| refused(&error))?.ok_or_else(ApiError::unauthorized)?;
    Ok(Json(ChangedWorkspace { workspace: view.present(), warnings }))
}

/// What a render request may say of itself its workspace may say for all: the language decides.
fn ingest_external(fields: &mut Fields) -> Option<bool> {
    let value = fields.value("ingest_external")?;
    let answer = value.as_bool();
    let judged = composition::parse(&json!({ "ingest_external": value }), &ParseOptions::default());
    if let Err(problems) = judged {
        let details = problems.into_iter().map(|it| Detail::new(it.path, it.code.as_str(), it.message));
        fields.add_faults(details);
    } else if value == Value::Null {
        fields.add_faults([Detail::new(
            "/ingest_external",
            "wrong_type",
            "it is null; a boolean is expected",
        )]);
    }
    answer
}

pub(super) fn refused(error: &RequestError) -> ApiError {
    match error {
        RequestError::Execute(error) => failed(error),
        RequestError::Idempotency(error) => super::request::key_refused(error),
        RequestError::Store(error) => ApiError::of_store(error),
        RequestError::Revoked => {
            ApiError::conflict("what this request made has been taken away since; use a new Idempotency-Key")
        }
        error @ RequestError::Decode(_) => ApiError::internal(error),
    }
}

pub(super) fn failed(error: &WorkspaceError) -> ApiError {
    match error {
        ExecuteError::Rejected(Rejection::UnknownKey { key_id }) => {
            ApiError::not_found(format_args!("API key {key_id}"))
        }
        ExecuteError::Rejected(Rejection::UnknownWebhook { webhook_id }) => {
            ApiError::not_found(format_args!("webhook {webhook_id}"))
        }
        ExecuteError::Rejected(
            no @ (Rejection::LastKey { .. } | Rejection::TooManyKeys | Rejection::TooManyWebhooks),
        ) => ApiError::conflict(no.to_string()),
        ExecuteError::Store(error) => ApiError::of_store(error),
        error => ApiError::internal(error),
    }
}
