//! The table `usage`: what each workspace has used in each calendar month (UTC), one row for each.

use async_trait::async_trait;
use events::job::JobKind;
use events::{Recorded, RenderEvent, Timestamp, WorkspaceId};
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::projections::{ProjectError, Projection, Rebuildable};

/// The projection.
#[derive(Debug, Clone, Default)]
pub struct Usage;

/// What one event adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    workspace: WorkspaceId,
    period_start: Timestamp,
    /// Microseconds of finished film.
    film_us: i64,
    /// Media tasks submitted.
    tasks: i64,
}

/// What a workspace has used in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MonthsUse {
    /// Microseconds of finished film; a still has none.
    pub film_us: u64,
    /// Media tasks submitted.
    pub tasks: u64,
}

#[async_trait]
impl Projection for Usage {
    const NAME: &'static str = "usage";
    const VERSION: u32 = 1;
    type Facts = ();
    type Change = Used;

    async fn gather(&self, _event: &Recorded) -> Result<(), ProjectError> {
        Ok(())
    }

    fn changes(&self, event: &Recorded, (): ()) -> Result<Vec<Used>, ProjectError> {
        let (period_start, _) = event.recorded_at.month();
        let nothing = Used { workspace: event.workspace_id, period_start, film_us: 0, tasks: 0 };
        Ok(match RenderEvent::decode(&event.event)? {
            Some(RenderEvent::RenderCompleted(completed)) => {
                let film_us = (completed.artifact.duration * 1e6).round() as i64;
                vec![Used { film_us, ..nothing }]
            }
            Some(RenderEvent::RenderSubmitted(submitted)) if submitted.kind == JobKind::Task => {
                vec![Used { tasks: 1, ..nothing }]
            }
            _ => Vec::new(),
        })
    }

    async fn write(
        &self,
        transaction: &mut SqliteConnection,
        generation: i64,
        used: &Used,
    ) -> Result<(), ProjectError> {
        sqlx::query(
            "INSERT INTO usage (generation, workspace_id, period_start, film_us, tasks) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (generation, workspace_id, period_start)
             DO UPDATE SET film_us = film_us + excluded.film_us, tasks = tasks + excluded.tasks",
        )
        .bind(generation)
        .bind(used.workspace.to_string())
        .bind(used.period_start.0)
        .bind(used.film_us)
        .bind(used.tasks)
        .execute(transaction)
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Rebuildable for Usage {
    async fn remove(transaction: &mut SqliteConnection, generation: i64) -> Result<(), sqlx::Error> {
        let removal = sqlx::query("DELETE FROM usage WHERE generation = ?").bind(generation);
        removal.execute(transaction).await.map(drop)
    }
}

/// What a workspace has used in the month that begins at `period_start`.
///
/// # Errors
/// Where the database fails.
pub async fn of_month(
    db: &SqlitePool,
    workspace: WorkspaceId,
    period_start: Timestamp,
) -> Result<MonthsUse, ProjectError> {
    let row = sqlx::query(
        "SELECT film_us, tasks FROM usage
         WHERE generation = (SELECT generation FROM projection WHERE name = 'usage' AND live = 1)
         AND workspace_id = ? AND period_start = ?",
    )
    .bind(workspace.to_string())
    .bind(period_start.0)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(MonthsUse::default()) };
    let (film_us, tasks): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(MonthsUse { film_us: film_us.cast_unsigned(), tasks: tasks.cast_unsigned() })
}
