//! Attempts as clients see them: the ledger's rows in the contract's words.

use events::{AttemptId, DeliveryId, RenderId, Sha256, Timestamp, WebhookId, WorkspaceId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::read_db::{ReadDb, Row, sql};
use crate::webhooks::ledger;

/// One attempt of one delivery. A delivery that is tried again has several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeliveryAttempt {
    /// Its name.
    pub id: AttemptId,
    /// The delivery: one event on its way to one endpoint.
    pub delivery_id: DeliveryId,
    /// The endpoint. A job's own `webhook_url` has a name made from its address, which stands for nothing else.
    pub webhook_id: WebhookId,
    /// `render.completed`, …
    pub event_type: String,
    /// The job; `null`: it tells of none.
    pub job_id: Option<RenderId>,
    /// From 1.
    pub attempt_number: u32,
    /// `pending` (planned, or on its way), `succeeded`, `failed` (another one follows) or `dead` (none does).
    #[schemars(extend("enum" = ["pending", "succeeded", "failed", "dead"]))]
    pub status: String,
    /// The answer's HTTP status; `null`: there was no answer.
    pub status_code: Option<u16>,
    /// The answer's first KiB.
    pub response_body: Option<String>,
    /// Why there was no answer.
    pub reason: Option<String>,
    /// From sending to the answer's status, or to giving up.
    pub latency_ms: Option<u64>,
    /// ISO 8601; `null` while it is planned.
    #[schemars(extend("format" = "date-time"))]
    pub attempted_at: Option<String>,
    /// ISO 8601. Of a failed one: when the next one follows; of a planned one: when it is due.
    #[schemars(extend("format" = "date-time"))]
    pub next_retry_at: Option<String>,
    /// ISO 8601: when it was planned.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
}

/// Attempts with what is shown of their deliveries; the condition follows.
macro_rules! attempts_where {
    () => {
        "SELECT attempt.*, delivery.endpoint, delivery.workspace_id, delivery.event_type \
         FROM webhook_attempts AS attempt \
         JOIN webhook_deliveries AS delivery ON delivery.delivery_id = attempt.delivery_id WHERE "
    };
}

/// The end of a page's statement.
macro_rules! newest_before {
    () => {
        " AND attempt.arrival < $2 ORDER BY attempt.arrival DESC LIMIT $3"
    };
}

/// Whose attempts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Those that tell of a job.
    Job(RenderId),
    /// Those to a workspace's endpoint.
    Webhook(WebhookId),
}

/// Attempts, newest first, with their places in that order; at most `limit`, before the place `before`.
pub(crate) async fn list(
    db: &ReadDb,
    of: Of,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, DeliveryAttempt)>, sqlx::Error> {
    let (text, id) = match of {
        Of::Job(id) => (concat!(attempts_where!(), "attempt.job_id = $1", newest_before!()), id.to_string()),
        Of::Webhook(id) => {
            (concat!(attempts_where!(), "attempt.webhook_id = $1", newest_before!()), id.to_string())
        }
    };
    let rows = db.fetch_all(sql(text).bind(id).bind(before.unwrap_or(i64::MAX)).bind(limit)).await?;
    rows.iter().map(|row| Ok((row.get("arrival")?, read(row)?))).collect()
}

/// One attempt of a delivery.
pub(crate) async fn one(
    db: &ReadDb,
    delivery: DeliveryId,
    number: u32,
) -> Result<Option<DeliveryAttempt>, sqlx::Error> {
    let find = sql(concat!(attempts_where!(), "attempt.delivery_id = $1 AND attempt.attempt_number = $2"));
    let row = db.fetch_optional(find.bind(delivery.to_string()).bind(number)).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<DeliveryAttempt, sqlx::Error> {
    let instant = |column: &str| -> Result<Option<String>, sqlx::Error> {
        Ok(row.get::<Option<i64>>(column)?.map(|at| Timestamp(at).to_string()))
    };
    let delivery_id = row.parse("delivery_id")?;
    let attempt_number = row.count("attempt_number")?;
    let body: Option<Vec<u8>> = row.get("response_body")?;
    let status_code: Option<i64> = row.get("status_code")?;
    let latency_ms: Option<i64> = row.get("latency_ms")?;
    Ok(DeliveryAttempt {
        id: attempt_id(delivery_id, attempt_number),
        delivery_id,
        webhook_id: match row.get::<Option<String>>("webhook_id")? {
            Some(_own) => row.parse("webhook_id")?,
            None => webhook_id(row.parse("workspace_id")?, &row.get::<String>("endpoint")?),
        },
        event_type: row.get("event_type")?,
        job_id: ledger::job(row)?,
        attempt_number,
        status: row.get("status")?,
        status_code: status_code.and_then(|code| u16::try_from(code).ok()),
        response_body: body.map(|body| String::from_utf8_lossy(&body).into_owned()),
        reason: row.get("reason")?,
        latency_ms: latency_ms.map(i64::unsigned_abs),
        attempted_at: instant("attempted_at")?,
        next_retry_at: instant("next_retry_at")?,
        created_at: Timestamp(row.get("created_at")?).to_string(),
    })
}

/// An attempt's name: the same whenever it is asked for.
fn attempt_id(delivery: DeliveryId, number: u32) -> AttemptId {
    AttemptId::new(Sha256::of(format!("{delivery} {number}").as_bytes()).first_128_bits())
}

/// The name of an address as this workspace's endpoint.
fn webhook_id(workspace: WorkspaceId, endpoint: &str) -> WebhookId {
    WebhookId::new(Sha256::of(format!("{workspace} {endpoint}").as_bytes()).first_128_bits())
}
