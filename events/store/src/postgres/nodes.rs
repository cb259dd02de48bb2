//! The tables of what nodes agree on beside the log: duties and engines.

use events::Timestamp;
use sqlx::Row as _;

use super::Reader;
use super::clock::THIS_MOMENT;

/// Engines that nobody has heard of for so long are forgotten: a day, in microseconds.
const FORGET_US: i64 = 24 * 3_600 * 1_000_000;

/// Takes a duty that is free, over, or this node's already.
pub(super) async fn take_duty(
    writer: &mut Reader,
    duty: &str,
    node: &str,
    ttl_ms: u64,
) -> Result<bool, sqlx::Error> {
    let named = writer.named();
    let taken = sqlx::query(concat!(
        "INSERT INTO duties (duty, node, until) VALUES ($1, $2, ",
        THIS_MOMENT!(),
        " + $3) ON CONFLICT (duty) DO UPDATE SET node = excluded.node, until = excluded.until \
         WHERE duties.node = excluded.node OR duties.until <= ",
        THIS_MOMENT!(),
    ))
    .persistent(named)
    .bind(duty)
    .bind(node)
    .bind(i64::try_from(ttl_ms.saturating_mul(1_000)).unwrap_or(i64::MAX / 2))
    .execute(&mut **writer)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Gives a duty back, where it is this node's.
pub(super) async fn leave_duty(writer: &mut Reader, duty: &str, node: &str) -> Result<(), sqlx::Error> {
    let named = writer.named();
    let left = sqlx::query("DELETE FROM duties WHERE duty = $1 AND node = $2").persistent(named);
    left.bind(duty).bind(node).execute(&mut **writer).await.map(drop)
}

/// Notes that an engine lives, and lets go of those that have not for long.
pub(super) async fn hear_engine(writer: &mut Reader, engine: &str) -> Result<(), sqlx::Error> {
    let named = writer.named();
    sqlx::query(concat!(
        "INSERT INTO engines (engine, heard_at) VALUES ($1, ",
        THIS_MOMENT!(),
        ") ON CONFLICT (engine) DO UPDATE SET heard_at = greatest(engines.heard_at, excluded.heard_at)",
    ))
    .persistent(named)
    .bind(engine)
    .execute(&mut **writer)
    .await?;
    let old = concat!("DELETE FROM engines WHERE heard_at < ", THIS_MOMENT!(), " - $1");
    sqlx::query(old).persistent(named).bind(FORGET_US).execute(&mut **writer).await.map(drop)
}

/// When an engine was last heard of.
pub(super) async fn engine_heard_at(
    reader: &mut Reader,
    engine: &str,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let named = reader.named();
    let heard = sqlx::query("SELECT heard_at FROM engines WHERE engine = $1").persistent(named).bind(engine);
    let row = heard.fetch_optional(&mut **reader).await?;
    row.map(|row| row.try_get(0).map(Timestamp)).transpose()
}
