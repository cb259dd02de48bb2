//! The table `usage`: what each workspace has used in each calendar month (UTC), one row for each.

use std::collections::BTreeMap;

use async_trait::async_trait;
use events::job::JobKind;
use events::{Recorded, RenderEvent, Timestamp, WorkspaceId};

use crate::projections::{ProjectError, Projection, Rebuildable};
use crate::read_db::{ReadDb, Writing, sql};

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
        transaction: &mut Writing,
        generation: i64,
        changes: Vec<Used>,
    ) -> Result<(), ProjectError> {
        let mut sums: BTreeMap<(WorkspaceId, Timestamp), (i64, i64)> = BTreeMap::new();
        for used in changes {
            let sum = sums.entry((used.workspace, used.period_start)).or_default();
            *sum = (sum.0.saturating_add(used.film_us), sum.1.saturating_add(used.tasks));
        }
        for ((workspace, period_start), (film_us, tasks)) in sums {
            let add = sql(
                "INSERT INTO usage (generation, workspace_id, period_start, film_us, tasks) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (generation, workspace_id, period_start)
                 DO UPDATE SET film_us = usage.film_us + excluded.film_us, tasks = usage.tasks + excluded.tasks",
            );
            let add = add.bind(generation).bind(workspace.to_string()).bind(period_start.0);
            transaction.execute(add.bind(film_us).bind(tasks)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Rebuildable for Usage {
    async fn remove(transaction: &mut Writing, generation: i64) -> Result<(), sqlx::Error> {
        transaction.execute(sql("DELETE FROM usage WHERE generation = $1").bind(generation)).await.map(drop)
    }
}

/// What a workspace has used in the month that begins at `period_start`.
///
/// # Errors
/// Where the database fails.
pub async fn of_month(
    db: &ReadDb,
    workspace: WorkspaceId,
    period_start: Timestamp,
) -> Result<MonthsUse, ProjectError> {
    let find = sql("SELECT film_us, tasks FROM usage
         WHERE generation = (SELECT generation FROM projection WHERE name = 'usage' AND live = 1)
         AND workspace_id = $1 AND period_start = $2");
    let found = db.fetch_optional(find.bind(workspace.to_string()).bind(period_start.0)).await?;
    let Some(row) = found else { return Ok(MonthsUse::default()) };
    let (film_us, tasks): (i64, i64) = (row.get("film_us")?, row.get("tasks")?);
    Ok(MonthsUse { film_us: film_us.cast_unsigned(), tasks: tasks.cast_unsigned() })
}
