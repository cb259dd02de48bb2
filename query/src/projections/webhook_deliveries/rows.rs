//! The rows of `webhook_deliveries` as the projection writes them.

use events::{Position, Timestamp};

use super::Delivery;
use crate::read_db::{ReadDb, Statement, Writing, sql};
use crate::webhooks::ledger;

/// The columns of a new row, and the values that stand in all of them.
macro_rules! insert {
    () => {
        "INSERT INTO webhook_deliveries (delivery_id, event_id, endpoint, host, workspace_id, job_id, event_type,
                                         sequence, url, body, created_at, fleeting, status, due_at, webhook_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (event_id, endpoint) "
    };
}

/// A delivery of no job has no name of one.
fn job(delivery: &Delivery) -> String {
    delivery.job_id.map(|job| job.to_string()).unwrap_or_default()
}

fn values(insert: Statement, delivery: &Delivery, status: &'static str, due_at: Timestamp) -> Statement {
    insert
        .bind(delivery.id.to_string())
        .bind(delivery.event_id.to_string())
        .bind(delivery.endpoint.to_string())
        .bind(delivery.host.to_string())
        .bind(delivery.workspace_id.to_string())
        .bind(job(delivery))
        .bind(delivery.event_type)
        .bind(delivery.sequence.0.cast_signed())
        .bind(delivery.url.as_slice())
        .bind(delivery.body.as_slice())
        .bind(delivery.created_at)
        .bind(delivery.fleeting)
        .bind(status)
        .bind(due_at.0)
        .bind(delivery.webhook.map(|id| id.to_string()))
}

/// Writes a delivery that is to be made: once, or once more.
pub(super) async fn deliver(transaction: &mut Writing, delivery: &Delivery) -> Result<(), sqlx::Error> {
    if let Some(since) = delivery.again {
        return deliver_again(transaction, delivery, since).await;
    }
    drop_fleeting(transaction, delivery).await?;
    let status = if delivery.skipped {
        "skipped"
    } else if is_gone(transaction, delivery).await? {
        "dead"
    } else {
        "pending"
    };
    let at = Timestamp(delivery.created_at);
    let write = values(sql(concat!(insert!(), "DO NOTHING")), delivery, status, at);
    if transaction.execute(write).await? == 1 && status == "pending" {
        ledger::plan(transaction, &delivery.id.to_string(), 1, at, at).await?;
    }
    Ok(())
}

/// Makes a delivery due, whatever came of it before; the bytes that were sent are sent again. What waits is let wait.
async fn deliver_again(
    transaction: &mut Writing,
    delivery: &Delivery,
    since: Timestamp,
) -> Result<(), sqlx::Error> {
    let again = sql(concat!(
        insert!(),
        "DO UPDATE SET status = 'pending', due_at = excluded.due_at WHERE webhook_deliveries.status <> 'pending'
         RETURNING attempts"
    ));
    let due = transaction.fetch_optional(values(again, delivery, "pending", since)).await?;
    let Some(row) = due else { return Ok(()) };
    let number = row.count("attempts")?.saturating_add(1);
    ledger::plan(transaction, &delivery.id.to_string(), number, since, since).await
}

/// Drops what older progress of the same job has not arrived. What is on its way right now is let go on, once.
async fn drop_fleeting(transaction: &mut Writing, news: &Delivery) -> Result<(), sqlx::Error> {
    let older = sql("UPDATE webhook_deliveries SET status = 'dropped'
         WHERE job_id = $1 AND endpoint = $2 AND fleeting = 1 AND status = 'pending' AND sequence < $3");
    let older = older.bind(job(news)).bind(news.endpoint.to_string()).bind(news.sequence.0.cast_signed());
    if transaction.execute(older).await? > 0 {
        ledger::tidy_dropped(transaction, &job(news)).await?;
    }
    Ok(())
}

/// Whether the endpoint has answered 410 to this job before: it wants to hear no more.
async fn is_gone(transaction: &mut Writing, news: &Delivery) -> Result<bool, sqlx::Error> {
    let gone =
        sql("SELECT earlier.delivery_id FROM webhook_deliveries AS earlier JOIN webhook_attempts AS attempt
                ON attempt.delivery_id = earlier.delivery_id AND attempt.status_code = 410
                WHERE earlier.job_id = $1 AND earlier.endpoint = $2 LIMIT 1");
    let gone = gone.bind(job(news)).bind(news.endpoint.to_string());
    Ok(transaction.fetch_optional(gone).await?.is_some())
}

/// Where the history ends that was there before this table: everything up to `head` when its first generation begins,
/// and what was noted then ever after.
///
/// # Errors
/// Where the database fails.
pub(crate) async fn begin(db: &ReadDb, head: Position) -> Result<Position, sqlx::Error> {
    let mut transaction = db.write().await?;
    let note = sql(
        "INSERT INTO projection (name, generation, version, position, live) VALUES ('webhook_history', 1, 1, $1, 1)
         ON CONFLICT (name, generation) DO NOTHING",
    );
    transaction.execute(note.bind(head.0.cast_signed())).await?;
    let noted = sql("SELECT position FROM projection WHERE name = 'webhook_history'");
    let row = transaction.fetch_optional(noted).await?.ok_or(sqlx::Error::RowNotFound)?;
    transaction.commit().await?;
    Ok(crate::read_db::position(row.get("position")?))
}
