//! Bytes of films that left the house, by workspace and month.
//!
//! Counted as they are sent, written once a second: no download waits for the database, and a power cut costs the count
//! of its last second. The one read model that the log does not know: who downloads how often is no event.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use events::{Timestamp, WorkspaceId};
use tokio_util::sync::CancellationToken;

use crate::read_db::{ReadDb, sql};

/// How often counts are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Counts that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    unwritten: Mutex<BTreeMap<(WorkspaceId, Timestamp), u64>>,
}

impl Egress {
    fn unwritten(&self) -> MutexGuard<'_, BTreeMap<(WorkspaceId, Timestamp), u64>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes were sent in the month that begins at `period_start`.
    pub(crate) fn add(&self, workspace: WorkspaceId, period_start: Timestamp, bytes: u64) {
        let mut unwritten = self.unwritten();
        let count = unwritten.entry((workspace, period_start)).or_default();
        *count = count.saturating_add(bytes);
    }

    /// What a workspace's films have sent in a month.
    pub(crate) async fn of_month(
        &self,
        db: &ReadDb,
        workspace: WorkspaceId,
        period_start: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let find = sql("SELECT bytes FROM egress WHERE workspace_id = $1 AND period_start = $2");
        let found = db.fetch_optional(find.bind(workspace.to_string()).bind(period_start.0)).await?;
        let written: Option<i64> = found.map(|row| row.get("bytes")).transpose()?;
        let unwritten = self.unwritten().get(&(workspace, period_start)).copied().unwrap_or(0);
        Ok(written.unwrap_or(0).cast_unsigned().saturating_add(unwritten))
    }

    /// Writes the counts, once a second and at the end.
    pub(crate) async fn run(&self, db: &ReadDb, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(WRITE_EVERY)).await.is_some() {
            self.write_and_log(db).await;
        }
        self.write_and_log(db).await;
    }

    async fn write_and_log(&self, db: &ReadDb) {
        let counts = std::mem::take(&mut *self.unwritten());
        if counts.is_empty() {
            return;
        }
        if let Err(error) = write(db, &counts).await {
            tracing::warn!(%error, "the bytes sent were not written down; trying again");
            for ((workspace, period_start), bytes) in counts {
                self.add(workspace, period_start, bytes);
            }
        }
    }
}

async fn write(db: &ReadDb, counts: &BTreeMap<(WorkspaceId, Timestamp), u64>) -> Result<(), sqlx::Error> {
    let mut transaction = db.write().await?;
    for ((workspace, period_start), bytes) in counts {
        let add = sql("INSERT INTO egress (workspace_id, period_start, bytes) VALUES ($1, $2, $3)
             ON CONFLICT (workspace_id, period_start) DO UPDATE SET bytes = egress.bytes + excluded.bytes");
        let add = add.bind(workspace.to_string()).bind(period_start.0).bind(bytes.cast_signed());
        transaction.execute(add).await?;
    }
    transaction.commit().await
}
