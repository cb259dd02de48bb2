//! The tables `render_jobs` and `render_job_metadata`: one row per job, the job's fold with what lists sort and filter by.

use std::collections::BTreeMap;

use async_trait::async_trait;
use event_store::{EventStore, WorkspaceKey};
use events::job::JobStatus;
use events::job_view::JobView;
use events::{Position, Recorded, RenderEvent, RenderId, StreamId, Timestamp, WorkspaceId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool};

use crate::documents::{Documents, PairDigest, open_metadata, seal_metadata};
use crate::projections::{ProjectError, Projection, Rebuildable};
use crate::read_db::position;

/// The projection.
#[derive(Debug, Clone)]
pub struct RenderJobs {
    documents: Documents,
}

/// A job as this table holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Of its first event.
    pub position: Position,
    /// The fold of its events.
    pub view: JobView,
    /// The caller's, sealed; empty: none.
    pub metadata: Vec<u8>,
}

impl JobRow {
    /// Whether [`JobRow::metadata`] needs the workspace's key.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        !self.metadata.is_empty()
    }

    /// The caller's metadata; none without the workspace's key.
    #[must_use]
    pub fn metadata(&self, key: Option<&WorkspaceKey>) -> BTreeMap<String, String> {
        open_metadata(key, self.view.id, &self.metadata)
    }
}

/// What is taken from a job's document at its first event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFacts {
    metadata: Vec<u8>,
    pairs: Vec<PairDigest>,
}

/// A write of this table.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A job begins.
    Open(Box<JobRow>, Vec<PairDigest>),
    /// A job goes on.
    Advance(RenderId, Box<RenderEvent>, Box<Recorded>),
}

impl RenderJobs {
    /// The projection over these documents.
    #[must_use]
    pub fn new(documents: Documents) -> RenderJobs {
        RenderJobs { documents }
    }
}

#[async_trait]
impl Projection for RenderJobs {
    const NAME: &'static str = "render_jobs";
    const VERSION: u32 = 2;
    type Facts = JobFacts;
    type Change = Change;

    async fn gather(&self, event: &Recorded) -> Result<JobFacts, ProjectError> {
        let (Some(render), Some(RenderEvent::RenderSubmitted(submitted))) =
            (event.stream_id.render(), RenderEvent::decode(&event.event)?)
        else {
            return Ok(JobFacts::default());
        };
        let workspace = event.workspace_id;
        let metadata = self.documents.facts(workspace, submitted.document).await?.metadata;
        if metadata.is_empty() {
            return Ok(JobFacts::default());
        }
        let key = self.documents.key(workspace).await?;
        let pairs = metadata.iter().map(|(key, value)| self.documents.pair(workspace, key, value)).collect();
        Ok(JobFacts { metadata: seal_metadata(key.as_ref(), render, &metadata), pairs })
    }

    fn changes(&self, event: &Recorded, facts: JobFacts) -> Result<Vec<Change>, ProjectError> {
        let Some(render) = event.stream_id.render() else { return Ok(Vec::new()) };
        let Some(decoded) = RenderEvent::decode(&event.event)? else { return Ok(Vec::new()) };
        let change = match JobView::apply(None, &decoded, event) {
            Some(view) => {
                let row = JobRow { position: event.position, view, metadata: facts.metadata };
                Change::Open(Box::new(row), facts.pairs)
            }
            None => Change::Advance(render, Box::new(decoded), Box::new(event.clone())),
        };
        Ok(vec![change])
    }

    async fn write(
        &self,
        transaction: &mut SqliteConnection,
        generation: i64,
        change: &Change,
    ) -> Result<(), ProjectError> {
        match change {
            Change::Open(row, pairs) => insert(transaction, generation, row, pairs).await,
            Change::Advance(render, event, recorded) => {
                let stored: Option<String> =
                    sqlx::query_scalar("SELECT view FROM render_jobs WHERE generation = ? AND render_id = ?")
                        .bind(generation)
                        .bind(render.to_string())
                        .fetch_optional(&mut *transaction)
                        .await?;
                // An event of a job without a beginning changes nothing, as in the fold.
                let Some(stored) = stored else { return Ok(()) };
                let view = JobView::apply(Some(parse_view(&stored)?), event, recorded);
                match view {
                    Some(view) => update(transaction, generation, &view).await,
                    None => Ok(()),
                }
            }
        }
    }
}

#[async_trait]
impl Rebuildable for RenderJobs {
    async fn remove(transaction: &mut SqliteConnection, generation: i64) -> Result<(), sqlx::Error> {
        for sql in [
            "DELETE FROM render_jobs WHERE generation = ?",
            "DELETE FROM render_job_metadata WHERE generation = ?",
        ] {
            sqlx::query(sql).bind(generation).execute(&mut *transaction).await?;
        }
        Ok(())
    }
}

async fn insert(
    transaction: &mut SqliteConnection,
    generation: i64,
    row: &JobRow,
    pairs: &[PairDigest],
) -> Result<(), ProjectError> {
    sqlx::query(
        "INSERT INTO render_jobs (generation, render_id, position, workspace_id, status, created_at, view, metadata)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(generation)
    .bind(row.view.id.to_string())
    .bind(row.position.0.cast_signed())
    .bind(row.view.workspace_id.to_string())
    .bind(row.view.status.as_str())
    .bind(row.view.created_at.0)
    .bind(write_view(&row.view)?)
    .bind(&row.metadata)
    .execute(&mut *transaction)
    .await?;
    for pair in pairs {
        sqlx::query("INSERT INTO render_job_metadata (generation, pair, position) VALUES (?, ?, ?)")
            .bind(generation)
            .bind(pair.as_slice())
            .bind(row.position.0.cast_signed())
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}

async fn update(
    transaction: &mut SqliteConnection,
    generation: i64,
    view: &JobView,
) -> Result<(), ProjectError> {
    sqlx::query("UPDATE render_jobs SET status = ?, view = ? WHERE generation = ? AND render_id = ?")
        .bind(view.status.as_str())
        .bind(write_view(view)?)
        .bind(generation)
        .bind(view.id.to_string())
        .execute(transaction)
        .await?;
    Ok(())
}

/// Which jobs a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only these.
    pub status: Option<JobStatus>,
    /// Only later ones, by the instant that is shown (whole milliseconds).
    pub created_after: Option<Timestamp>,
    /// Only earlier ones, likewise.
    pub created_before: Option<Timestamp>,
    /// Only those with all of these pairs.
    pub metadata: Vec<PairDigest>,
    /// Only those before this place in the list's order.
    pub before: Option<Position>,
}

/// The live rows of one workspace.
macro_rules! live_rows {
    () => {
        "SELECT position, view, metadata FROM render_jobs WHERE generation = \
         (SELECT generation FROM projection WHERE name = 'render_jobs' AND live = 1) AND workspace_id = "
    };
}

/// A workspace's job; `None` where it has none of that id.
///
/// # Errors
/// Where the database fails or holds what we never wrote.
pub async fn find(
    db: &SqlitePool,
    workspace: WorkspaceId,
    render: RenderId,
) -> Result<Option<JobRow>, ProjectError> {
    let query = sqlx::query(concat!(live_rows!(), "? AND render_id = ?"));
    let found = query.bind(workspace.to_string()).bind(render.to_string()).fetch_optional(db).await?;
    found.map(|row| read(&row)).transpose()
}

/// A workspace's jobs, newest first, at most `limit`. The order is the log's: it never changes, and new jobs come
/// before all others.
///
/// # Errors
/// As [`find`].
pub async fn list(
    db: &SqlitePool,
    workspace: WorkspaceId,
    filter: &JobFilter,
    limit: u32,
) -> Result<Vec<JobRow>, ProjectError> {
    let mut query = match filter.metadata.split_first() {
        // Led by the pair's own index, which is in the list's order: the cost is that of the page, not of all jobs.
        Some((pair, _)) => {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT render_jobs.position, view, metadata FROM render_job_metadata AS led CROSS JOIN render_jobs
                 ON render_jobs.generation = led.generation AND render_jobs.position = led.position
                 WHERE led.generation = (SELECT generation FROM projection WHERE name = 'render_jobs' AND live = 1)
                 AND led.pair = ",
            );
            query.push_bind(pair.to_vec()).push(" AND render_jobs.workspace_id = ");
            query
        }
        None => QueryBuilder::<Sqlite>::new(live_rows!()),
    };
    query.push_bind(workspace.to_string());
    for pair in filter.metadata.iter().skip(1) {
        query.push(
            " AND EXISTS (SELECT 1 FROM render_job_metadata AS held WHERE held.generation = render_jobs.generation
               AND held.position = render_jobs.position AND held.pair = ",
        );
        query.push_bind(pair.to_vec()).push(")");
    }
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    // Instants are shown in whole milliseconds, and what is shown is what is compared.
    if let Some(after) = filter.created_after {
        query.push(" AND created_at >= ").push_bind((after.0.div_euclid(1000) + 1) * 1000);
    }
    if let Some(before) = filter.created_before {
        query.push(" AND created_at < ").push_bind(before.0);
    }
    let position = if filter.metadata.is_empty() { "position" } else { "led.position" };
    if let Some(before) = filter.before {
        query.push(" AND ").push(position).push(" < ").push_bind(before.0.cast_signed());
    }
    query.push(" ORDER BY ").push(position).push(" DESC LIMIT ").push_bind(i64::from(limit));
    query.build().fetch_all(db).await?.iter().map(read).collect()
}

/// The row as the log tells it, up to a position where one is given: the fold itself. For when the table is late, and for
/// what was.
///
/// # Errors
/// Where the log fails or holds what we never wrote.
pub async fn from_log(
    store: &dyn EventStore,
    documents: &Documents,
    workspace: WorkspaceId,
    render: RenderId,
    until: Option<Position>,
) -> Result<Option<JobRow>, ProjectError> {
    let mut events = store.load(&StreamId::from(render)).await?;
    events.retain(|event| until.is_none_or(|until| event.position <= until));
    let Some((view, first)) = JobView::fold(&events)?.zip(events.first()) else { return Ok(None) };
    if view.workspace_id != workspace {
        return Ok(None);
    }
    let metadata = documents.facts(workspace, view.document).await?.metadata;
    let key = documents.key(workspace).await?;
    let metadata = seal_metadata(key.as_ref(), render, &metadata);
    Ok(Some(JobRow { position: first.position, view, metadata }))
}

/// Every row of a generation, in the log's order: for comparing generations with folds.
///
/// # Errors
/// As [`find`].
pub async fn all(db: &SqlitePool, generation: i64) -> Result<Vec<JobRow>, ProjectError> {
    let rows = sqlx::query(
        "SELECT position, view, metadata FROM render_jobs WHERE generation = ? ORDER BY position",
    );
    rows.bind(generation).fetch_all(db).await?.iter().map(read).collect()
}

/// Reads the wire's word for a status.
#[must_use]
pub fn parse_status(text: &str) -> Option<JobStatus> {
    serde_json::from_value(serde_json::Value::from(text)).ok()
}

fn read(row: &SqliteRow) -> Result<JobRow, ProjectError> {
    Ok(JobRow {
        position: position(row.try_get(0)?),
        view: parse_view(row.try_get(1)?)?,
        metadata: row.try_get(2)?,
    })
}

fn parse_view(stored: &str) -> Result<JobView, ProjectError> {
    serde_json::from_str(stored).map_err(|error| bad_row(&error))
}

fn write_view(view: &JobView) -> Result<String, ProjectError> {
    serde_json::to_string(view).map_err(|error| bad_row(&error))
}

fn bad_row(error: &serde_json::Error) -> ProjectError {
    ProjectError::Row { table: RenderJobs::NAME, what: error.to_string() }
}
