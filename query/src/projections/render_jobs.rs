//! The table `render_jobs`: one row per job, the job's fold with what lists sort and filter by.

use std::collections::BTreeMap;

use async_trait::async_trait;
use events::job::JobStatus;
use events::job_view::JobView;
use events::{Position, Recorded, RenderEvent, RenderId, Timestamp, WorkspaceId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool};

use crate::documents::{DocumentFacts, Documents};
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
    /// The caller's.
    pub metadata: BTreeMap<String, String>,
    /// Whether the job names a webhook address.
    pub webhook: bool,
}

/// A write of this table.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A job begins.
    Open(Box<JobRow>),
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
    const VERSION: u32 = 1;
    type Facts = DocumentFacts;
    type Change = Change;

    async fn gather(&self, event: &Recorded) -> Result<DocumentFacts, ProjectError> {
        match RenderEvent::decode(&event.event)? {
            Some(RenderEvent::RenderSubmitted(submitted)) => {
                Ok(self.documents.facts(event.workspace_id, submitted.document).await?)
            }
            _ => Ok(DocumentFacts::default()),
        }
    }

    fn changes(&self, event: &Recorded, facts: DocumentFacts) -> Result<Vec<Change>, ProjectError> {
        let Some(render) = event.stream_id.render() else { return Ok(Vec::new()) };
        let Some(decoded) = RenderEvent::decode(&event.event)? else { return Ok(Vec::new()) };
        let change = match JobView::apply(None, &decoded, event) {
            Some(view) => Change::Open(Box::new(JobRow {
                position: event.position,
                view,
                metadata: facts.metadata,
                webhook: facts.webhook_url.is_some(),
            })),
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
            Change::Open(row) => insert(transaction, generation, row).await,
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
        let removal = sqlx::query("DELETE FROM render_jobs WHERE generation = ?").bind(generation);
        removal.execute(transaction).await.map(drop)
    }
}

async fn insert(
    transaction: &mut SqliteConnection,
    generation: i64,
    row: &JobRow,
) -> Result<(), ProjectError> {
    sqlx::query(
        "INSERT INTO render_jobs (generation, render_id, position, workspace_id, status, created_at, completed_at,
                                  view, metadata, webhook)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(generation)
    .bind(row.view.id.to_string())
    .bind(row.position.0.cast_signed())
    .bind(row.view.workspace_id.to_string())
    .bind(row.view.status.as_str())
    .bind(row.view.created_at.0)
    .bind(row.view.completed_at.map(|at| at.0))
    .bind(write_json(&row.view)?)
    .bind(write_json(&row.metadata)?)
    .bind(i64::from(row.webhook))
    .execute(transaction)
    .await?;
    Ok(())
}

async fn update(
    transaction: &mut SqliteConnection,
    generation: i64,
    view: &JobView,
) -> Result<(), ProjectError> {
    sqlx::query(
        "UPDATE render_jobs SET status = ?, completed_at = ?, view = ? WHERE generation = ? AND render_id = ?",
    )
    .bind(view.status.as_str())
    .bind(view.completed_at.map(|at| at.0))
    .bind(write_json(view)?)
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
    /// Only later ones.
    pub created_after: Option<Timestamp>,
    /// Only earlier ones.
    pub created_before: Option<Timestamp>,
    /// Only those with these pairs.
    pub metadata: Vec<(String, String)>,
    /// Only those before this place in the list's order.
    pub before: Option<Position>,
}

const COLUMNS: &str = "SELECT position, view, metadata, webhook FROM render_jobs WHERE generation =
    (SELECT generation FROM projection WHERE name = 'render_jobs' AND live = 1) AND workspace_id = ";

/// A workspace's job; `None` where it has none of that id.
///
/// # Errors
/// Where the database fails or holds what we never wrote.
pub async fn find(
    db: &SqlitePool,
    workspace: WorkspaceId,
    render: RenderId,
) -> Result<Option<JobRow>, ProjectError> {
    let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
    query.push_bind(workspace.to_string()).push(" AND render_id = ").push_bind(render.to_string());
    query.build().fetch_optional(db).await?.map(|row| read(&row)).transpose()
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
    let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
    query.push_bind(workspace.to_string());
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(after) = filter.created_after {
        query.push(" AND created_at > ").push_bind(after.0);
    }
    if let Some(before) = filter.created_before {
        query.push(" AND created_at < ").push_bind(before.0);
    }
    for (key, value) in &filter.metadata {
        query.push(" AND EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ").push_bind(key.clone());
        query.push(" AND value = ").push_bind(value.clone()).push(")");
    }
    if let Some(before) = filter.before {
        query.push(" AND position < ").push_bind(before.0.cast_signed());
    }
    query.push(" ORDER BY position DESC LIMIT ").push_bind(i64::from(limit));
    query.build().fetch_all(db).await?.iter().map(read).collect()
}

/// Every row of a generation, in the log's order: for comparing generations with folds.
///
/// # Errors
/// As [`find`].
pub async fn all(db: &SqlitePool, generation: i64) -> Result<Vec<JobRow>, ProjectError> {
    let rows = sqlx::query(
        "SELECT position, view, metadata, webhook FROM render_jobs WHERE generation = ? ORDER BY position",
    );
    rows.bind(generation).fetch_all(db).await?.iter().map(read).collect()
}

/// Reads the wire's word for a status.
#[must_use]
pub fn parse_status(text: &str) -> Option<JobStatus> {
    serde_json::from_value(serde_json::Value::from(text)).ok()
}

fn read(row: &SqliteRow) -> Result<JobRow, ProjectError> {
    let metadata: String = row.try_get(2)?;
    Ok(JobRow {
        position: position(row.try_get(0)?),
        view: parse_view(row.try_get(1)?)?,
        metadata: serde_json::from_str(&metadata).map_err(|error| bad_row(&error))?,
        webhook: row.try_get::<i64, _>(3)? != 0,
    })
}

fn parse_view(stored: &str) -> Result<JobView, ProjectError> {
    serde_json::from_str(stored).map_err(|error| bad_row(&error))
}

fn write_json<T: serde::Serialize>(value: &T) -> Result<String, ProjectError> {
    serde_json::to_string(value).map_err(|error| bad_row(&error))
}

fn bad_row(error: &serde_json::Error) -> ProjectError {
    ProjectError::Row { table: RenderJobs::NAME, what: error.to_string() }
}
