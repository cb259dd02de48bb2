//! The keys of the caller's workspace, as far as they are told: never the keys themselves.

use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use api::{Answer, ApiError, Caller, Code, Operation, Page, fresh};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use events::workspace_view::ApiKey;

use crate::http::query_string::PageParameters;
use crate::http::{QueryState, workspace};

pub(crate) fn list_operation() -> Operation {
    Operation::get("/v1/api-keys", "list_api_keys", "List API keys, newest first")
        .tag("Workspace")
        .text("Their names and first characters; a key itself is told only once, when it is made.")
        .paged(LIMIT_DEFAULT, LIMIT_MAX)
        .answers_fresh(Answer::json::<Page<ApiKey>>(200, "A page of keys."))
        .refuses(&[Code::InvalidRequest])
}

/// `GET /v1/api-keys`: a [`Page`] of [`ApiKey`]s, newest first.
///
/// # Errors
/// 401, 422 naming every bad parameter.
pub(crate) async fn list(
    State(state): State<QueryState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let parameters = PageParameters::read(query.as_deref())?;
    let keys = workspace::view(&state, caller).await?.keys;
    let page = workspace::page(&keys, &parameters, |key| (key.created_at, key.id));
    let shown = page.data.iter().map(|key| key.present()).collect();
    fresh(&headers, &page.showing::<ApiKey>(shown))
}
