//! The deliveries' ledger: which are due, who sends them, and what came of it. All in SQL, all in short transactions.
//!
//! A claim is a token with an end: a dispatcher that dies loses it by time, one that was slow finds its token replaced
//! and records nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use events::{DeliveryId, EventId, RenderId, Timestamp, WebhookId, WorkspaceId};

use crate::projections::webhook_deliveries::own_endpoint;
use crate::read_db::{ReadDb, Row, Writing, sql};

/// Deliveries claimed at a time.
const CLAIMS_MAX: u32 = 256;

/// An endpoint at which nothing has arrived for so long is only probed.
const PROBED_AFTER_MS: i64 = 60_000;

/// Old deliveries removed in one transaction, so that none of them holds the others up.
const PRUNED_AT_A_TIME: u32 = 256;

/// A delivery that this dispatcher is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) delivery_id: DeliveryId,
    pub(crate) event_id: EventId,
    pub(crate) workspace_id: WorkspaceId,
    /// `None`: it tells of none.
    pub(crate) job_id: Option<RenderId>,
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

    /// The keys with at least `count` under way.
    fn at_least(&self, count: u32) -> Vec<String> {
        self.0.iter().filter(|(_, flying)| **flying >= count).map(|(key, _)| key.clone()).collect()
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
    let probed = probed(db, now).await?;
    // Progress leaves half of an endpoint's places free, so that it never stands in the way of an end.
    let fleeting = Limits { per_endpoint: (limits.per_endpoint / 2).max(1), ..limits };
    for (is_fleeting, limits) in [(false, limits), (true, fleeting)] {
        let due = due(db, now, is_fleeting, limits, in_flight, &probed).await?;
        if due.is_empty() {
            continue;
        }
        let token = format!("{:032x}", rand::random::<u128>());
        let mut fitting = Vec::new();
        for (delivery_id, endpoint, host) in due {
            let most = if probed.contains(&endpoint) { 1 } else { limits.per_endpoint };
            if in_flight.count(&endpoint) < most && in_flight.count(&host) < limits.per_host {
                in_flight.add(&endpoint, &host);
                fitting.push((delivery_id, endpoint, host));
            }
        }
        let ids = fitting.iter().map(|(id, ..)| id.clone()).collect();
        let taken = claim(db, ids, &token, now, until).await;
        let ours: HashSet<String> =
            taken.iter().flatten().map(|delivery| delivery.delivery_id.to_string()).collect();
        // Another dispatcher was faster, or the row is gone: it is not under way here.
        for (_, endpoint, host) in fitting.iter().filter(|(id, ..)| !ours.contains(id)) {
            in_flight.remove(endpoint, host);
        }
        claimed.extend(taken?);
    }
    Ok(claimed)
}

/// The endpoints at which nothing has arrived for a while: one message at a time tries them, and the first that arrives
/// opens them again. The others wait, and nobody else waits for them.
async fn probed(db: &ReadDb, now: Timestamp) -> Result<HashSet<String>, sqlx::Error> {
    let failing = sql("SELECT webhook_id FROM webhook_endpoints WHERE failing_since <= $1");
    let rows = db.fetch_all(failing.bind(now.plus_ms(-PROBED_AFTER_MS).0)).await?;
    rows.iter().map(|row| Ok(own_endpoint(row.parse("webhook_id")?).to_string())).collect()
}

/// What is due and nobody sends: the oldest of each endpoint that has room. Steps from endpoint to endpoint along the
/// index, so that the cost is that of the answer and not of a backlog. Of one job's progress one is sent at a time.
async fn due(
    db: &ReadDb,
    now: Timestamp,
    fleeting: bool,
    limits: Limits,
    in_flight: &InFlight,
    probed: &HashSet<String>,
) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    let mut full = in_flight.at_least(limits.per_endpoint);
    full.extend(probed.iter().filter(|endpoint| in_flight.count(endpoint) > 0).cloned());
    let text = db.dialect().pick(DUE_IN_SQLITE, DUE_IN_POSTGRES);
    let due = sql(text)
        .bind(now.0)
        .bind(fleeting)
        .bind(limits.per_endpoint)
        .bind_list(full)
        .bind_list(in_flight.at_least(limits.per_host))
        .bind(CLAIMS_MAX);
    let rows = db.fetch_all(due).await?;
    rows.iter().map(|row| Ok((row.get("delivery_id")?, row.get("endpoint")?, row.get("host")?))).collect()
}

/// The endpoints at which something waits, one step along the index for each.
macro_rules! waiting {
    () => {
        "WITH RECURSIVE waiting(endpoint) AS (
             SELECT MIN(endpoint) FROM webhook_deliveries WHERE status = 'pending' AND fleeting = $2
             UNION ALL
             SELECT (SELECT MIN(endpoint) FROM webhook_deliveries
                     WHERE status = 'pending' AND fleeting = $2 AND endpoint > waiting.endpoint)
             FROM waiting WHERE waiting.endpoint IS NOT NULL)
         SELECT delivery.delivery_id, delivery.endpoint, delivery.host FROM waiting "
    };
}

/// What is due at one of them, the oldest first.
macro_rules! own {
    () => {
        " FROM webhook_deliveries AS own
             WHERE own.status = 'pending' AND own.fleeting = $2 AND own.endpoint = waiting.endpoint
             AND own.due_at <= $1 AND (own.claim IS NULL OR own.claim_until <= $1)
             AND ($2 = 0 OR NOT EXISTS (
                 SELECT 1 FROM webhook_deliveries AS flying WHERE flying.job_id = own.job_id AND flying.fleeting = 1
                 AND flying.endpoint = own.endpoint AND flying.claim IS NOT NULL AND flying.claim_until > $1))
             ORDER BY own.due_at, own.sequence LIMIT $3) "
    };
}

/// Those with room, the oldest first.
macro_rules! with_room {
    () => {
        " WHERE waiting.endpoint NOT IN LIST($4) AND delivery.host NOT IN LIST($5)
         ORDER BY delivery.due_at, delivery.sequence LIMIT $6"
    };
}

const DUE_IN_SQLITE: &str = concat!(
    waiting!(),
    "CROSS JOIN webhook_deliveries AS delivery ON delivery.delivery_id IN (SELECT own.delivery_id",
    own!(),
    with_room!()
);

const DUE_IN_POSTGRES: &str = concat!(
    waiting!(),
    "CROSS JOIN LATERAL (SELECT own.delivery_id, own.endpoint, own.host, own.due_at, own.sequence",
    own!(),
    "AS delivery",
    with_room!()
);

/// Claims deliveries; those that are no longer there to be claimed are left out.
async fn claim(
    db: &ReadDb,
    delivery_ids: Vec<String>,
    token: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let mut claim = sql("UPDATE webhook_deliveries SET claim = $1, claim_until = $2 WHERE delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries WHERE delivery_id IN LIST($3)
             AND status = 'pending' AND (claim IS NULL OR claim_until <= $4)");
    // What another dispatcher is about to claim is not waited for.
    claim.push(db.dialect().pick("", " FOR UPDATE SKIP LOCKED"));
    claim.push(
        ") RETURNING delivery_id, event_id, workspace_id, job_id, webhook_id, endpoint, host, url, body, attempts",
    );
    let mut transaction = db.write().await?;
    let rows =
        transaction.fetch_all(claim.bind(token).bind(until.0).bind_list(delivery_ids).bind(now.0)).await?;
    transaction.commit().await?;
    rows.iter().map(|row| read(row, token)).collect()
}

/// When the next delivery falls due or its claim lapses, later than `after`; `None`: there is none.
pub(crate) async fn next_due(db: &ReadDb, after: Timestamp) -> Result<Option<Timestamp>, sqlx::Error> {
    let next = sql(
        "SELECT MIN(at) AS at FROM (
             SELECT MIN(due_at) AS at FROM webhook_deliveries
             WHERE status = 'pending' AND claim IS NULL AND due_at > $1
             UNION ALL
             SELECT MIN(claim_until) FROM webhook_deliveries WHERE claim IS NOT NULL AND claim_until > $1) AS next",
    );
    let row = db.fetch_optional(next.bind(after.0)).await?;
    Ok(row.map(|row| row.get::<Option<i64>>("at")).transpose()?.flatten().map(Timestamp))
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
    let end = sql(
        "UPDATE webhook_deliveries SET
             status = CASE WHEN status = 'pending' OR $1 = 'succeeded' THEN COALESCE($1, status) ELSE status END,
             body = CASE WHEN fleeting = 1 AND ($1 IS NOT NULL OR status <> 'pending') THEN $6 ELSE body END,
             attempts = $2, due_at = COALESCE($3, due_at), claim = NULL, claim_until = NULL
         WHERE delivery_id = $4 AND claim = $5 RETURNING status",
    );
    let end = end.bind(over).bind(delivery.attempt).bind(next.map(|at| at.0)).bind(delivery_id.as_str());
    let ended = transaction.fetch_optional(end.bind(delivery.claim.as_str()).bind(Vec::new())).await?;
    let Some(row) = ended else { return Ok(None) };
    let status: String = row.get("status")?;
    let follows = next.filter(|_| status == "pending");
    let attempt_status = if status == "dropped" { "dead" } else { attempt_status };
    let note = sql(
        "UPDATE webhook_attempts SET status = $1, status_code = $2, response_body = $3, reason = $4, latency_ms = $5,
             attempted_at = $6, next_retry_at = $7 WHERE delivery_id = $8 AND attempt_number = $9",
    )
    .bind(attempt_status)
    .bind(attempt.status_code)
    .bind(attempt.status_code.map(|_| attempt.response_body.clone()))
    .bind(attempt.reason.clone())
    .bind(attempt.latency_ms)
    .bind(attempt.attempted_at.0)
    .bind(follows.map(|at| at.0))
    .bind(delivery_id.as_str())
    .bind(delivery.attempt);
    transaction.execute(note).await?;
    if let Some(at) = follows {
        plan(&mut transaction, &delivery_id, delivery.attempt + 1, attempt.noted_at, at).await?;
    }
    if attempt.verdict == Verdict::Gone {
        silence(&mut transaction, &delivery.endpoint, delivery.job_id).await?;
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
    transaction: &mut Writing,
    webhook: WebhookId,
    attempt: &Attempt,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let failed = (attempt.verdict != Verdict::Succeeded).then_some(attempt.attempted_at.0);
    let stand =
        sql("INSERT INTO webhook_endpoints (webhook_id, last_delivery_at, failing_since) VALUES ($1, $2, $3)
         ON CONFLICT (webhook_id) DO UPDATE SET
             last_delivery_at = CASE WHEN excluded.last_delivery_at > webhook_endpoints.last_delivery_at
                                THEN excluded.last_delivery_at ELSE webhook_endpoints.last_delivery_at END,
             failing_since = CASE WHEN excluded.failing_since IS NULL THEN NULL
                             ELSE COALESCE(webhook_endpoints.failing_since, excluded.failing_since) END
         RETURNING failing_since");
    let stand = stand.bind(webhook.to_string()).bind(attempt.attempted_at.0).bind(failed);
    let row = transaction.fetch_optional(stand).await?;
    Ok(row.map(|row| row.get::<Option<i64>>("failing_since")).transpose()?.flatten().map(Timestamp))
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
    // An update that changes nothing keeps others from the row until this has ended.
    let look = sql("UPDATE webhook_deliveries SET due_at = due_at WHERE delivery_id = $1 AND webhook_id = $2
         RETURNING status, attempts, CAST(length(body) AS BIGINT) AS bytes");
    let look = look.bind(delivery_id.as_str()).bind(webhook.to_string());
    let Some(row) = transaction.fetch_optional(look).await? else { return Ok(Again::Unknown) };
    if row.get::<i64>("bytes")? == 0 {
        return Ok(Again::Forgotten);
    }
    let (status, attempts): (String, u32) = (row.get("status")?, row.count("attempts")?);
    let due = sql("UPDATE webhook_deliveries SET status = 'pending', due_at = $1 WHERE delivery_id = $2");
    transaction.execute(due.bind(now.0).bind(delivery_id.as_str())).await?;
    let next = attempts.saturating_add(1);
    if status == "pending" {
        let sooner = sql(
            "UPDATE webhook_attempts SET next_retry_at = $1 WHERE delivery_id = $2 AND attempt_number = $3",
        );
        transaction.execute(sooner.bind(now.0).bind(delivery_id.as_str()).bind(next)).await?;
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
    let last = sql("SELECT webhook_id, last_delivery_at FROM webhook_endpoints WHERE webhook_id IN LIST($1)");
    let rows = db.fetch_all(last.bind_list(webhooks.map(|id| id.to_string()).collect())).await?;
    rows.iter().map(|row| Ok((row.parse("webhook_id")?, Timestamp(row.get("last_delivery_at")?)))).collect()
}

/// An endpoint is told of nothing more, or of nothing more of one job: what still waits for it will not be sent.
pub(crate) async fn silence(
    transaction: &mut Writing,
    endpoint: &str,
    job: Option<RenderId>,
) -> Result<(), sqlx::Error> {
    for text in [
        "DELETE FROM webhook_attempts WHERE status = 'pending' AND delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries WHERE endpoint = $1 AND ($2 IS NULL OR job_id = $2)
             AND status = 'pending' AND claim IS NULL)",
        "UPDATE webhook_deliveries SET status = 'dead' WHERE endpoint = $1 AND ($2 IS NULL OR job_id = $2)
             AND status = 'pending' AND claim IS NULL",
    ] {
        transaction.execute(sql(text).bind(endpoint).bind(job.map(|job| job.to_string()))).await?;
    }
    Ok(())
}

/// Lists an attempt that will be made at `due`.
pub(crate) async fn plan(
    transaction: &mut Writing,
    delivery_id: &str,
    number: u32,
    planned_at: Timestamp,
    due: Timestamp,
) -> Result<(), sqlx::Error> {
    let plan = sql(
        "INSERT INTO webhook_attempts (delivery_id, job_id, webhook_id, attempt_number, status, next_retry_at, created_at)
         SELECT delivery_id, job_id, webhook_id, $1, 'pending', $2, $3 FROM webhook_deliveries WHERE delivery_id = $4",
    );
    transaction.execute(plan.bind(number).bind(due.0).bind(planned_at.0).bind(delivery_id)).await.map(drop)
}

/// What a job's dropped deliveries leave: their attempts that will not be made, and those that never had one.
pub(crate) async fn tidy_dropped(transaction: &mut Writing, job_id: &str) -> Result<(), sqlx::Error> {
    let text = "DELETE FROM webhook_attempts WHERE status = 'pending' AND delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries WHERE job_id = $1 AND status = 'dropped' AND claim IS NULL)";
    transaction.execute(sql(text).bind(job_id)).await?;
    let text =
        "UPDATE webhook_deliveries SET body = $2 WHERE job_id = $1 AND status = 'dropped' AND claim IS NULL";
    transaction.execute(sql(text).bind(job_id).bind(Vec::new())).await?;
    let text = "DELETE FROM webhook_deliveries
         WHERE job_id = $1 AND status = 'dropped' AND claim IS NULL AND attempts = 0";
    transaction.execute(sql(text).bind(job_id)).await.map(drop)
}

/// Removes deliveries that are over and older than `keep`, with their attempts; how many.
pub(crate) async fn prune(db: &ReadDb, now: Timestamp, keep: Duration) -> Result<u64, sqlx::Error> {
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let mut removed = 0;
    loop {
        let mut transaction = db.write().await?;
        let oldest = sql("DELETE FROM webhook_deliveries WHERE delivery_id IN (
                 SELECT delivery_id FROM webhook_deliveries WHERE status <> 'pending' AND created_at < $1
                 ORDER BY created_at LIMIT $2) RETURNING delivery_id");
        let oldest = oldest.bind(now.plus_ms(keep_ms.saturating_neg()).0).bind(PRUNED_AT_A_TIME);
        let rows = transaction.fetch_all(oldest).await?;
        let old: Vec<String> = rows.iter().map(|row| row.get("delivery_id")).collect::<Result<_, _>>()?;
        let count = old.len();
        let attempts = sql("DELETE FROM webhook_attempts WHERE delivery_id IN LIST($1)");
        transaction.execute(attempts.bind_list(old)).await?;
        transaction.commit().await?;
        removed += count as u64;
        if count < PRUNED_AT_A_TIME as usize {
            return Ok(removed);
        }
    }
}

/// Frees dropped deliveries whose dispatcher died while they were on their way.
pub(crate) async fn free_lapsed(db: &ReadDb, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut transaction = db.write().await?;
    let free = sql("UPDATE webhook_deliveries SET claim = NULL, claim_until = NULL
         WHERE claim IS NOT NULL AND claim_until <= $1 AND status = 'dropped' RETURNING job_id");
    for row in transaction.fetch_all(free.bind(now.0)).await? {
        tidy_dropped(&mut transaction, &row.get::<String>("job_id")?).await?;
    }
    transaction.commit().await
}

/// The job that a row tells of; one that tells of none has no name of one.
pub(crate) fn job(row: &Row) -> Result<Option<RenderId>, sqlx::Error> {
    Ok(if row.get::<String>("job_id")?.is_empty() { None } else { Some(row.parse("job_id")?) })
}

fn read(row: &Row, token: &str) -> Result<Claimed, sqlx::Error> {
    let webhook: Option<String> = row.get("webhook_id")?;
    Ok(Claimed {
        delivery_id: row.parse("delivery_id")?,
        event_id: row.parse("event_id")?,
        workspace_id: row.parse("workspace_id")?,
        job_id: job(row)?,
        webhook: webhook.map(|_own| row.parse("webhook_id")).transpose()?,
        endpoint: row.get("endpoint")?,
        host: row.get("host")?,
        url: row.get("url")?,
        body: row.get("body")?,
        attempt: row.count("attempts")?.saturating_add(1),
        claim: token.to_owned(),
    })
}
