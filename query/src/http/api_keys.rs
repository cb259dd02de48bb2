//! The keys of the caller's workspace, as far as they are told: never the keys themselves.

use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use api::{Answer, ApiError, Caller, Code, Operation, Page, encode_cursor, fresh};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use events::workspace_view::{ApiKey, KeyView};
use events::{KeyId, Timestamp};

use crate::http::QueryState;
use crate::http::query_string::QueryString;
use crate::http::workspace;

/// The query parameters of `GET /v1/api-keys`.
#[derive(Debug)]
pub(crate) struct KeysParameters {
    /// Keys of a page: 1–100, 20 unless given.
    limit: u32,
    /// `next_cursor` of the page before.
    cursor: Option<(Timestamp, KeyId)>,
}

impl KeysParameters {
    pub(super) const KNOWN: &[&str] = &["limit", "cursor"];

    fn read(query: Option<&str>) -> Result<KeysParameters, ApiError> {
        let mut query = QueryString::parse(query, KeysParameters::KNOWN);
        let limit = query.limit(LIMIT_DEFAULT, LIMIT_MAX);
        let parameters = KeysParameters { limit, cursor: query.cursor() };
        query.finish().map(|()| parameters)
    }
}

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
    let KeysParameters { limit, cursor } = KeysParameters::read(query.as_deref())?;
    let limit = limit as usize;
    let keys = workspace::view(&state, caller).await?.keys;
    let older = |key: &&KeyView| cursor.is_none_or(|before| (key.created_at, key.id) < before);
    let mut page: Vec<&KeyView> = keys.iter().rev().filter(older).take(limit + 1).collect();
    let has_more = page.len() > limit;
    page.truncate(limit);
    let last = page.last().filter(|_| has_more);
    let next_cursor = last.map(|key| encode_cursor(&(key.created_at, key.id)));
    let data = page.into_iter().map(KeyView::present).collect();
    fresh(&headers, &Page::<ApiKey> { data, next_cursor, has_more })
}
