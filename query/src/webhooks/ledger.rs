//! The deliveries' ledger: which are due, who sends them, and what came of it. All in SQL, all in short transactions.
//!
//! A claim is a token with an end: a dispatcher that dies loses it by time, one that was slow finds its token replaced
//! and records nothing.

use std::collections::HashMap;

use events::{EventId, Timestamp, WorkspaceId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::read_db::ReadDb;

/// A delivery that this dispatcher is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) delivery_id: String,
    pub(crate) event_id: EventId,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) url: String,
    pub(crate) host: String,
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
}

/// Claims due deliveries: of each host as many as `room` leaves, `per_host` where it says nothing, oldest first.
pub(crate) async fn claim_due(
    db: &ReadDb,
    now: Timestamp,
    until: Timestamp,
    per_host: u32,
    room: &HashMap<String, u32>,
    token: &str,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let mut transaction = db.write().await?;
    let due = sqlx::query(
        "SELECT delivery_id, event_id, workspace_id, url, host, body, attempts, n FROM (
             SELECT *, ROW_NUMBER() OVER (PARTITION BY host ORDER BY due_at, sequence) AS n FROM webhook_deliveries
             WHERE status = 'pending' AND due_at <= ?1 AND (claim IS NULL OR claim_until <= ?1))
         WHERE n <= ?2 ORDER BY due_at, sequence",
    )
    .bind(now.0)
    .bind(i64::from(per_host))
    .fetch_all(&mut *transaction)
    .await?;
    let mut claimed = Vec::new();
    for row in &due {
        let host: String = row.try_get("host")?;
        let place: i64 = row.try_get("n")?;
        if place > i64::from(room.get(&host).copied().unwrap_or(per_host)) {
            continue;
        }
        let delivery = read(row, host, token)?;
        sqlx::query("UPDATE webhook_deliveries SET claim = ?, claim_until = ? WHERE delivery_id = ?")
            .bind(token)
            .bind(until.0)
            .bind(&delivery.delivery_id)
            .execute(&mut *transaction)
            .await?;
        claimed.push(delivery);
    }
    transaction.commit().await?;
    Ok(claimed)
}

/// When the first delivery falls due later than `after` that nobody is sending; `None`: there is none.
pub(crate) async fn next_due(db: &ReadDb, after: Timestamp) -> Result<Option<Timestamp>, sqlx::Error> {
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT MIN(at) FROM (SELECT MAX(due_at, COALESCE(claim_until, due_at)) AS at FROM webhook_deliveries
                              WHERE status = 'pending') WHERE at > ?",
    )
    .bind(after.0)
    .fetch_one(db.readers())
    .await?;
    Ok(due.map(Timestamp))
}

/// Notes an attempt and what follows from it; false: the claim is no longer ours, and nothing was noted.
pub(crate) async fn record(db: &ReadDb, delivery: &Claimed, attempt: &Attempt) -> Result<bool, sqlx::Error> {
    let (delivery_status, attempt_status, next) = match attempt.verdict {
        Verdict::Succeeded => ("succeeded", "succeeded", None),
        Verdict::Retry(at) => ("pending", "failed", Some(at.0)),
        Verdict::Dead => ("dead", "dead", None),
    };
    let mut transaction = db.write().await?;
    let ours = sqlx::query(
        "UPDATE webhook_deliveries SET status = ?, attempts = ?, due_at = COALESCE(?, due_at), claim = NULL,
             claim_until = NULL WHERE delivery_id = ? AND claim = ? AND status = 'pending'",
    )
    .bind(delivery_status)
    .bind(i64::from(delivery.attempt))
    .bind(next)
    .bind(&delivery.delivery_id)
    .bind(&delivery.claim)
    .execute(&mut *transaction)
    .await?;
    if ours.rows_affected() != 1 {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO webhook_attempts (delivery_id, attempt_number, status, status_code, response_body, reason,
                                       latency_ms, attempted_at, next_retry_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&delivery.delivery_id)
    .bind(i64::from(delivery.attempt))
    .bind(attempt_status)
    .bind(attempt.status_code.map(i64::from))
    .bind(&attempt.response_body)
    .bind(&attempt.reason)
    .bind(attempt.latency_ms)
    .bind(attempt.attempted_at.0)
    .bind(next)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

fn read(row: &SqliteRow, host: String, token: &str) -> Result<Claimed, sqlx::Error> {
    let parsed = |column: &str| -> Result<String, sqlx::Error> { row.try_get(column) };
    let decode = |error: events::id::ParseIdError| sqlx::Error::Decode(Box::new(error));
    let attempts: i64 = row.try_get("attempts")?;
    Ok(Claimed {
        delivery_id: parsed("delivery_id")?,
        event_id: parsed("event_id")?.parse().map_err(decode)?,
        workspace_id: parsed("workspace_id")?.parse().map_err(decode)?,
        url: parsed("url")?,
        host,
        body: row.try_get("body")?,
        attempt: u32::try_from(attempts).unwrap_or(u32::MAX).saturating_add(1),
        claim: token.to_owned(),
    })
}
