//! The deliveries' ledger: which are due, who sends them, and what came of it. All in SQL, all in short transactions.
//!
//! A claim is a token with an end: a dispatcher that dies loses it by time, one that was slow finds its token replaced
//! and records nothing.

use std::collections::HashMap;
use std::time::Duration;

use events::{DeliveryId, EventId, RenderId, Timestamp, WebhookId, WorkspaceId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::read_db::ReadDb;

/// Deliveries claimed at a time.
const CLAIMS_MAX: u32 = 256;

/// Old deliveries removed in one transaction, so that none of them holds the others up.
const PRUNED_AT_A_TIME: u32 = 256;

/// A delivery that this dispatcher is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) event_id: EventId,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) job_id: RenderId,
    /// The workspace's endpoint; `None`: the job's own.
    pub(crate) webhook: Option<WebhookId>,
    pub(crate) endpoint: String,
    pub(crate) host: String,
    /// Sealed.
    pub(crate) url: Vec<u8>,
    /// Sealed.
    pub(crate) body: Vec<u8>,
    /// This attempt's number, from 1.
    pub(crate) attempt: u32,
    pub(crate) claim: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) status_code: Option<u16>,
    pub(crate) response_body: Vec<u8>,
    pub(crate) reason: Option<String>,
    pub(crate) latency_ms: i64,
    pub(crate) attempted_at: Timestamp,
    pub(crate) noted_at: Timestamp,
    pub(crate) verdict: Verdict,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has arrived.
    Succeeded,
    /// Another attempt is due then.
    Retry(Timestamp),
    /// No further attempt.
    Dead,
    /// No further attempt, nor any other delivery of this job to this endpoint.
    Gone,
}

/// How many requests may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// To one address.
    pub(crate) per_endpoint: u32,
    /// To all addresses of one host and port.
    pub(crate) per_host: u32,
}

/// How many requests are under way, by endpoint and by host.
#[derive(Debug, Default)]
pub(crate) struct InFlight(HashMap<String, u32>);

impl InFlight {
    pub(crate) fn add(&mut self, endpoint: &str, host: &str) {
        for key in [endpoint, host] {
            *self.0.entry(key.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, endpoint: &str, host: &str) {
        for key in [endpoint, host] {
            if let Some(flying) = self.0.get_mut(key) {
                *flying -= 1;
            }
        }
        self.0.retain(|_, flying| *flying > 0);
    }

    fn count(&self, key: &str) -> u32 {
        self.0.get(key).copied().unwrap_or(0)
    }

    /// The keys with at least `count` under way, as a JSON list for SQL.
    fn at_least(&self, count: u32) -> String {
        let mut full: Vec<&str> =
            self.0.iter().filter(|(_, flying)| **flying >= count).map(|(key, _)| key.as_str()).collect();
        full.sort_unstable();
        serde_json::json!(full).to_string()
    }
}

/// Claims deliveries that are due and fit, the lasting ones first; what was claimed counts as under way.
pub(crate) async fn claim_due(
    db: &ReadDb,
    now: Timestamp,
    until: Timestamp,
    limits: Limits,
    in_flight: &mut InFlight,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let mut claimed = Vec::new();
    // Progress leaves half of an endpoint's places free, so that it never stands in the way of an end.
    let fleeting = Limits { per_endpoint: (limits.per_endpoint / 2).max(1), ..limits };
    for (is_fleeting, limits) in [(false, limits), (true, fleeting)] {
        let due = due(db, now, is_fleeting, limits, in_flight).await?;
        if due.is_empty() {
            continue;
        }
        let token = format!("{:032x}", rand::random::<u128>());
        let mut transaction = db.write().await?;
        for (delivery_id, endpoint, host) in due {
            if in_flight.count(&endpoint) >= limits.per_endpoint || in_flight.count(&host) >= limits.per_host
            {
                continue;
            }
            if let Some(delivery) = claim(&mut transaction, &delivery_id, &token, now, until).await? {
                in_flight.add(&endpoint, &host);
                claimed.push(delivery);
            }
        }
        transaction.commit().await?;
    }
    Ok(claimed)
}

/// What is due and nobody sends: the oldest of each endpoint that has room. Steps from endpoint to endpoint along the
/// index, so that the cost is that of the answer and not of a backlog. Of one job's progress one is sent at a time.
async fn due(
    db: &ReadDb,
    now: Timestamp,
    fleeting: bool,
    limits: Limits,
    in_flight: &InFlight,
) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    sqlx::query_as(
        "WITH RECURSIVE waiting(endpoint) AS (
             SELECT MIN(endpoint) FROM webhook_deliveries WHERE status = 'pending' AND fleeting = ?2
             UNION ALL
             SELECT (SELECT MIN(endpoint) FROM webhook_deliveries
                     WHERE status = 'pending' AND fleeting = ?2 AND endpoint > waiting.endpoint)
             FROM waiting WHERE waiting.endpoint IS NOT NULL)
         SELECT delivery.delivery_id, delivery.endpoint, delivery.host
         FROM waiting CROSS JOIN webhook_deliveries AS delivery ON delivery.delivery_id IN (
             SELECT own.delivery_id FROM webhook_deliveries AS own
             WHERE own.status = 'pending' AND own.fleeting = ?2 AND own.endpoint = waiting.endpoint
             AND own.due_at <= ?1 AND (own.claim IS NULL OR own.claim_until <= ?1)
             AND (?2 = 0 OR NOT EXISTS (
                 SELECT 1 FROM webhook_deliveries AS flying WHERE flying.job_id = own.job_id AND flying.fleeting = 1
                 AND flying.endpoint = own.endpoint AND flying.claim IS NOT NULL AND flying.claim_until > ?1))
             ORDER BY own.due_at, own.sequence LIMIT ?3)
         WHERE waiting.endpoint NOT IN (SELECT value FROM json_each(?4))
         AND delivery.host NOT IN (SELECT value FROM json_each(?5))
         ORDER BY delivery.due_at, delivery.sequence LIMIT ?6",
    )
    .bind(now.0)
    .bind(i64::from(fleeting))
    .bind(limits.per_endpoint)
    .bind(in_flight.at_least(limits.per_endpoint))
    .bind(in_flight.at_least(limits.per_host))
    .bind(CLAIMS_MAX)
    .fetch_all(db.readers())
    .await
}

/// Claims one delivery; `None`: it is no longer there to be claimed.
async fn claim(
    transaction: &mut SqliteConnection,
    delivery_id: &str,
    token: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Claimed>, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE webhook_deliveries SET claim = ?1, claim_until = ?2
         WHERE delivery_id = ?3 AND status = 'pending' AND (claim IS NULL OR claim_until <= ?4)
         RETURNING delivery_id, event_id, workspace_id, job_id, webhook_id, endpoint, host, url, body, attempts",
    )
    .bind(token)
    .bind(until.0)
    .bind(delivery_id)
    .bind(now.0)
    .fetch_optional(transaction)
    .await?;
    row.map(|row| read(&row, token)).transpose()
}

/// When the next delivery falls due or its claim lapses, later than `after`; `None`: there is none.
pub(crate) async fn next_due(db: &ReadDb, after: Timestamp) -> Result<Option<Timestamp>, sqlx::Error> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT MIN(at) FROM (
             SELECT MIN(due_at) AS at FROM webhook_deliveries
             WHERE status = 'pending' AND claim IS NULL AND due_at > ?1
             UNION ALL
             SELECT MIN(claim_until) FROM webhook_deliveries WHERE claim IS NOT NULL AND claim_until > ?1)",
    )
    .bind(after.0)
    .fetch_one(db.readers())
    .await?;
    Ok(due.map(Timestamp))
}

/// How an endpoint does after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The first attempt that failed since the last one that arrived; known of a workspace's endpoints only.
    pub(crate) failing_since: Option<Timestamp>,
}

/// Notes an attempt and what follows from it; `None`: the claim is no longer ours, and nothing was noted.
pub(crate) async fn record(
    db: &ReadDb,
    delivery: &Claimed,
    attempt: &Attempt,
) -> Result<Option<Standing>, sqlx::Error> {
    let (over, attempt_status, next) = match attempt.verdict {
        Verdict::Succeeded => (Some("succeeded"), "succeeded", None),
        Verdict::Retry(at) => (None, "failed", Some(at)),
        Verdict::Dead | Verdict::Gone => (Some("dead"), "dead", None),
    };
    let delivery_id = delivery.delivery_id.to_string();
    let mut transaction = db.write().await?;
    // What was dropped while it was on its way stays so, unless it has arrived all the same. Old news is not kept.
    let status: Option<String> = sqlx::query_scalar(
        "UPDATE webhook_deliveries SET
             status = CASE WHEN status = 'pending' OR ?1 = 'succeeded' THEN COALESCE(?1, status) ELSE status END,
             body = CASE WHEN fleeting = 1 AND (?1 IS NOT NULL OR status <> 'pending') THEN x'' ELSE body END,
             attempts = ?2, due_at = COALESCE(?3, due_at), claim = NULL, claim_until = NULL
         WHERE delivery_id = ?4 AND claim = ?5 RETURNING status",
    )
    .bind(over)
    .bind(delivery.attempt)
    .bind(next.map(|at| at.0))
    .bind(&delivery_id)
    .bind(&delivery.claim)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(status) = status else { return Ok(None) };
    let follows = next.filter(|_| status == "pending");
    let attempt_status = if status == "dropped" { "dead" } else { attempt_status };
    sqlx::query(
        "UPDATE webhook_attempts SET status = ?, status_code = ?, response_body = ?, reason = ?, latency_ms = ?,
             attempted_at = ?, next_retry_at = ? WHERE delivery_id = ? AND attempt_number = ?",
    )
    .bind(attempt_status)
    .bind(attempt.status_code)
    .bind(attempt.status_code.map(|_| attempt.response_body.as_slice()))
    .bind(&attempt.reason)
    .bind(attempt.latency_ms)
    .bind(attempt.attempted_at.0)
    .bind(follows.map(|at| at.0))
    .bind(&delivery_id)
    .bind(delivery.attempt)
    .execute(&mut *transaction)
    .await?;
    if let Some(at) = follows {
        plan(&mut transaction, &delivery_id, delivery.attempt + 1, attempt.noted_at, at).await?;
    }
    if attempt.verdict == Verdict::Gone {
        silence(&mut transaction, delivery).await?;
    }
    let failing_since = match delivery.webhook {
        Some(webhook) => stand(&mut transaction, webhook, attempt).await?,
        None => None,
    };
    transaction.commit().await?;
    Ok(Some(Standing { failing_since }))
}

/// Notes how an endpoint does; since when nothing has arrived there.
async fn stand(
    transaction: &mut SqliteConnection,
    webhook: WebhookId,
    attempt: &Attempt,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let failed = (attempt.verdict != Verdict::Succeeded).then_some(attempt.attempted_at.0);
    let since: Option<i64> = sqlx::query_scalar(
        "INSERT INTO webhook_endpoints (webhook_id, last_delivery_at, failing_since) VALUES (?1, ?2, ?3)
         ON CONFLICT (webhook_id) DO UPDATE SET last_delivery_at = MAX(last_delivery_at, ?2),
             failing_since = CASE WHEN ?3 IS NULL THEN NULL ELSE COALESCE(failing_since, ?3) END
         RETURNING failing_since",
    )
    .bind(webhook.to_string())
    .bind(attempt.attempted_at.0)
    .bind(failed)
    .fetch_one(transaction)
    .await?;
    Ok(since.map(Timestamp))
}

/// What comes of asking for a delivery once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It is due now, by the attempt of this number.
    Due(u32),
    /// The endpoint has no such delivery.
    Unknown,
    /// What was fleeting is not kept.
    Forgotten,
}

/// Makes a delivery to an endpoint due now, whatever came of it before: the same id and bytes once more. One that waits for
/// its next attempt waits no longer.
pub(crate) async fn redeliver(
    db: &ReadDb,
    webhook: WebhookId,
    delivery: DeliveryId,
    now: Timestamp,
) -> Result<Again, sqlx::Error> {
    let delivery_id = delivery.to_string();
    let mut transaction = db.write().await?;
    let found: Option<(String, u32, i64)> = sqlx::query_as(
        "SELECT status, attempts, length(body) FROM webhook_deliveries WHERE delivery_id = ? AND webhook_id = ?",
    )
    .bind(&delivery_id)
    .bind(webhook.to_string())
    .fetch_optional(&mut *transaction)
    .await?;
    let (status, attempts) = match found {
        None => return Ok(Again::Unknown),
        Some((_, _, 0)) => return Ok(Again::Forgotten),
        Some((status, attempts, _)) => (status, attempts),
    };
    sqlx::query("UPDATE webhook_deliveries SET status = 'pending', due_at = ? WHERE delivery_id = ?")
        .bind(now.0)
        .bind(&delivery_id)
        .execute(&mut *transaction)
        .await?;
    let next = attempts.saturating_add(1);
    if status == "pending" {
        sqlx::query(
            "UPDATE webhook_attempts SET next_retry_at = ? WHERE delivery_id = ? AND attempt_number = ?",
        )
        .bind(now.0)
        .bind(&delivery_id)
        .bind(next)
        .execute(&mut *transaction)
        .await?;
    } else {
        plan(&mut transaction, &delivery_id, next, now, now).await?;
    }
    transaction.commit().await?;
    Ok(Again::Due(next))
}

/// When something was last sent to each of these endpoints.
pub(crate) async fn last_deliveries(
    db: &ReadDb,
    webhooks: impl Iterator<Item = WebhookId>,
) -> Result<HashMap<WebhookId, Timestamp>, sqlx::Error> {
    let wanted: Vec<String> = webhooks.map(|id| id.to_string()).collect();
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT webhook_id, last_delivery_at FROM webhook_endpoints
         WHERE webhook_id IN (SELECT value FROM json_each(?))",
    )
    .bind(serde_json::json!(wanted).to_string())
    .fetch_all(db.readers())
    .await?;
    Ok(rows.into_iter().filter_map(|(id, at)| Some((id.parse().ok()?, Timestamp(at)))).collect())
}

/// An endpoint is told of nothing more: what still waits for it will not be sent.
pub(crate) async fn silence_endpoint(
    transaction: &mut SqliteConnection,
    endpoint: &str,
) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM webhook_attempts WHERE status = 'pending' AND delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries WHERE endpoint = ? AND status = 'pending' AND claim IS NULL)",
        "UPDATE webhook_deliveries SET status = 'dead' WHERE endpoint = ? AND status = 'pending' AND claim IS NULL",
    ] {
        sqlx::query(sql).bind(endpoint).execute(&mut *transaction).await?;
    }
    Ok(())
}

/// Lists an attempt that will be made at `due`.
pub(crate) async fn plan(
    transaction: &mut SqliteConnection,
    delivery_id: &str,
    number: u32,
    planned_at: Timestamp,
    due: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO webhook_attempts (delivery_id, job_id, webhook_id, attempt_number, status, next_retry_at, created_at)
         SELECT delivery_id, job_id, webhook_id, ?, 'pending', ?, ? FROM webhook_deliveries WHERE delivery_id = ?",
    )
    .bind(number)
    .bind(due.0)
    .bind(planned_at.0)
    .bind(delivery_id)
    .execute(transaction)
    .await
    .map(drop)
}

/// The endpoint wants to hear no more of this job: what still waits for it is dead.
async fn silence(transaction: &mut SqliteConnection, delivery: &Claimed) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM webhook_attempts WHERE status = 'pending' AND delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries WHERE job_id = ? AND endpoint = ? AND status = 'pending'
             AND claim IS NULL)",
        "UPDATE webhook_deliveries SET status = 'dead' WHERE job_id = ? AND endpoint = ? AND status = 'pending'
             AND claim IS NULL",
    ] {
        let query = sqlx::query(sql).bind(delivery.job_id.to_string()).bind(&delivery.endpoint);
        query.execute(&mut *transaction).await?;
    }
    Ok(())
}

/// What a job's dropped deliveries leave: their attempts that will not be made, and those that never had one.
pub(crate) async fn tidy_dropped(
    transaction: &mut SqliteConnection,
    job_id: &str,
) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM webhook_attempts WHERE status = 'pending' AND delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries WHERE job_id = ? AND status = 'dropped' AND claim IS NULL)",
        "UPDATE webhook_deliveries SET body = x'' WHERE job_id = ? AND status = 'dropped' AND claim IS NULL",
        "DELETE FROM webhook_deliveries WHERE job_id = ? AND status = 'dropped' AND claim IS NULL AND attempts = 0",
    ] {
        sqlx::query(sql).bind(job_id).execute(&mut *transaction).await?;
    }
    Ok(())
}

/// Removes deliveries that are over and older than `keep`, with their attempts; how many.
pub(crate) async fn prune(db: &ReadDb, now: Timestamp, keep: Duration) -> Result<u64, sqlx::Error> {
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let mut removed = 0;
    loop {
        let mut transaction = db.write().await?;
        let old: Vec<String> = sqlx::query_scalar(
            "DELETE FROM webhook_deliveries WHERE delivery_id IN (
                 SELECT delivery_id FROM webhook_deliveries WHERE status <> 'pending' AND created_at < ?
                 ORDER BY created_at LIMIT ?) RETURNING delivery_id",
        )
        .bind(now.plus_ms(keep_ms.saturating_neg()).0)
        .bind(PRUNED_AT_A_TIME)
        .fetch_all(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM webhook_attempts WHERE delivery_id IN (SELECT value FROM json_each(?))")
            .bind(serde_json::json!(old).to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        removed += old.len() as u64;
        if old.len() < PRUNED_AT_A_TIME as usize {
            return Ok(removed);
        }
    }
}

/// Frees dropped deliveries whose dispatcher died while they were on their way.
pub(crate) async fn free_lapsed(db: &ReadDb, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut transaction = db.write().await?;
    let jobs: Vec<String> = sqlx::query_scalar(
        "UPDATE webhook_deliveries SET claim = NULL, claim_until = NULL
         WHERE claim IS NOT NULL AND claim_until <= ? AND status = 'dropped' RETURNING job_id",
    )
    .bind(now.0)
    .fetch_all(&mut *transaction)
    .await?;
    for job in jobs {
        tidy_dropped(&mut transaction, &job).await?;
    }
    transaction.commit().await
}

fn read(row: &SqliteRow, token: &str) -> Result<Claimed, sqlx::Error> {
    let decode = |error: events::id::ParseIdError| sqlx::Error::Decode(Box::new(error));
    let text = |column: &str| row.try_get::<&str, _>(column);
    let attempts: u32 = row.try_get("attempts")?;
    let webhook: Option<&str> = row.try_get("webhook_id")?;
    Ok(Claimed {
        delivery_id: text("delivery_id")?.parse().map_err(decode)?,
        event_id: text("event_id")?.parse().map_err(decode)?,
        workspace_id: text("workspace_id")?.parse().map_err(decode)?,
        job_id: text("job_id")?.parse().map_err(decode)?,
        webhook: webhook.map(|id| id.parse().map_err(decode)).transpose()?,
        endpoint: row.try_get("endpoint")?,
        host: row.try_get("host")?,
        url: row.try_get("url")?,
        body: row.try_get("body")?,
        attempt: attempts.saturating_add(1),
        claim: token.to_owned(),
    })
}
