//! The tables `render_jobs` and `render_job_metadata`: one row per job, the job's fold with what lists sort and filter by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use event_store::{EventStore, WorkspaceKey};
use events::job::JobStatus;
use events::job_view::JobView;
use events::{Position, Recorded, RenderEvent, RenderId, StreamId, Timestamp, WorkspaceId};

use crate::documents::{Documents, PairDigest, open_metadata, seal_metadata};
use crate::projections::{ProjectError, Projection, Rebuildable};
use crate::read_db::{ReadDb, Row, Value, Writing, position, sql};

/// Jobs in hand whose rows are remembered from one page to the next; further ones are read again.
const REMEMBERED_MAX: usize = 16_384;

/// The projection.
#[derive(Debug)]
pub struct RenderJobs {
    documents: Documents,
    remembered: Mutex<Remembered>,
}

/// Rows as they were last written, of jobs that are not over.
#[derive(Debug, Default)]
struct Remembered {
    generation: i64,
    views: HashMap<RenderId, JobView>,
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

impl Change {
    fn begins(&self) -> Option<RenderId> {
        match self {
            Change::Open(row, _) => Some(row.view.id),
            Change::Advance(..) => None,
        }
    }

    fn goes_on(&self) -> Option<RenderId> {
        match self {
            Change::Open(..) => None,
            Change::Advance(render, ..) => Some(*render),
        }
    }
}

impl RenderJobs {
    /// The projection over these documents.
    #[must_use]
    pub fn new(documents: Documents) -> RenderJobs {
        RenderJobs { documents, remembered: Mutex::default() }
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
        // Most have none, and a document is opened for nothing else here.
        if submitted.metadata_keys.is_empty() {
            return Ok(JobFacts::default());
        }
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
        transaction: &mut Writing,
        generation: i64,
        changes: Vec<Change>,
    ) -> Result<(), ProjectError> {
        let mut views = self.known(generation, &changes);
        let missing = missing(&views, &changes);
        read_views(transaction, generation, missing, &mut views).await?;
        let (mut opened, mut moved) = (Vec::new(), BTreeSet::new());
        for change in changes {
            match change {
                Change::Open(row, pairs) => {
                    let JobRow { position, view, metadata } = *row;
                    opened.push((view.id, Opened { position, metadata, pairs }));
                    views.insert(view.id, view);
                }
                Change::Advance(render, event, recorded) => {
                    // An event of a job without a beginning changes nothing, as in the fold.
                    let Some(view) = views.remove(&render) else { continue };
                    if let Some(view) = JobView::apply(Some(view), &event, &recorded) {
                        views.insert(render, view);
                        moved.insert(render);
                    }
                }
            }
        }
        for (render, _) in &opened {
            moved.remove(render);
        }
        insert(transaction, generation, opened, &views).await?;
        update(transaction, generation, &moved, &views).await?;
        self.remember(generation, views);
        Ok(())
    }

    fn forget(&self) {
        *self.remembered() = Remembered::default();
    }
}

#[async_trait]
impl Rebuildable for RenderJobs {
    async fn remove(transaction: &mut Writing, generation: i64) -> Result<(), sqlx::Error> {
        for text in [
            "DELETE FROM render_jobs WHERE generation = $1",
            "DELETE FROM render_job_metadata WHERE generation = $1",
        ] {
            transaction.execute(sql(text).bind(generation)).await?;
        }
        Ok(())
    }
}

impl RenderJobs {
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        // A panic while the lock was held can only have come from a bug that has been reported already.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of the jobs that go on, taken out: it is true again once the page is written.
    fn known(&self, generation: i64, changes: &[Change]) -> HashMap<RenderId, JobView> {
        let mut remembered = self.remembered();
        if remembered.generation != generation {
            *remembered = Remembered { generation, views: HashMap::new() };
        }
        let going_on = changes.iter().filter_map(Change::goes_on);
        going_on.filter_map(|render| remembered.views.remove_entry(&render)).collect()
    }

    fn remember(&self, generation: i64, views: HashMap<RenderId, JobView>) {
        let mut remembered = self.remembered();
        if remembered.views.len() > REMEMBERED_MAX {
            remembered.views.clear();
        }
        remembered.generation = generation;
        remembered.views.extend(views.into_iter().filter(|(_, view)| !view.status.is_terminal()));
    }
}

/// A row that begins.
#[derive(Debug)]
struct Opened {
    position: Position,
    metadata: Vec<u8>,
    pairs: Vec<PairDigest>,
}

/// The jobs whose rows must be read before they can go on.
fn missing(views: &HashMap<RenderId, JobView>, changes: &[Change]) -> Vec<String> {
    let opened: HashSet<RenderId> = changes.iter().filter_map(Change::begins).collect();
    let going_on = changes.iter().filter_map(Change::goes_on).collect::<BTreeSet<_>>().into_iter();
    let missing = going_on.filter(|render| !views.contains_key(render) && !opened.contains(render));
    missing.map(|render| render.to_string()).collect()
}

async fn read_views(
    transaction: &mut Writing,
    generation: i64,
    renders: Vec<String>,
    views: &mut HashMap<RenderId, JobView>,
) -> Result<(), ProjectError> {
    if renders.is_empty() {
        return Ok(());
    }
    let read = sql("SELECT view FROM render_jobs WHERE generation = $1 AND render_id IN LIST($2)");
    for row in transaction.fetch_all(read.bind(generation).bind_list(renders)).await? {
        let view = parse_view(&row.get::<String>("view")?)?;
        views.insert(view.id, view);
    }
    Ok(())
}

async fn insert(
    transaction: &mut Writing,
    generation: i64,
    opened: Vec<(RenderId, Opened)>,
    views: &HashMap<RenderId, JobView>,
) -> Result<(), ProjectError> {
    let (mut rows, mut pairs): (Vec<Vec<Value>>, Vec<Vec<Value>>) = (Vec::new(), Vec::new());
    for (render, opened) in opened {
        let Some(view) = views.get(&render) else { continue };
        let position = opened.position.0.cast_signed();
        for pair in &opened.pairs {
            pairs.push(vec![generation.into(), pair.as_slice().into(), position.into()]);
        }
        rows.push(vec![
            generation.into(),
            render.to_string().into(),
            position.into(),
            view.workspace_id.to_string().into(),
            view.status.as_str().into(),
            view.created_at.0.into(),
            write_view(view)?.into(),
            opened.metadata.into(),
        ]);
    }
    let jobs = "INSERT INTO render_jobs (generation, render_id, position, workspace_id, status, created_at, view, metadata)";
    transaction.execute_rows(jobs, None, rows, "").await?;
    let metadata = "INSERT INTO render_job_metadata (generation, pair, position)";
    Ok(transaction.execute_rows(metadata, None, pairs, "").await?)
}

async fn update(
    transaction: &mut Writing,
    generation: i64,
    moved: &BTreeSet<RenderId>,
    views: &HashMap<RenderId, JobView>,
) -> Result<(), ProjectError> {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for view in moved.iter().filter_map(|render| views.get(render)) {
        rows.push(vec![view.id.to_string().into(), view.status.as_str().into(), write_view(view)?.into()]);
    }
    // Both databases name the columns of `VALUES` like this.
    let update = "UPDATE render_jobs SET status = new.column2, view = new.column3 FROM (";
    let which = ") AS new WHERE generation = $1 AND render_id = new.column1";
    Ok(transaction.execute_rows(update, Some(generation), rows, which).await?)
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
    db: &ReadDb,
    workspace: WorkspaceId,
    render: RenderId,
) -> Result<Option<JobRow>, ProjectError> {
    let find = sql(concat!(live_rows!(), "$1 AND render_id = $2"));
    let found = db.fetch_optional(find.bind(workspace.to_string()).bind(render.to_string())).await?;
    found.map(|row| read(&row)).transpose()
}

/// A workspace's jobs, newest first, at most `limit`. The order is the log's: it never changes, and new jobs come
/// before all others.
///
/// # Errors
/// As [`find`].
pub async fn list(
    db: &ReadDb,
    workspace: WorkspaceId,
    filter: &JobFilter,
    limit: u32,
) -> Result<Vec<JobRow>, ProjectError> {
    let mut query = match filter.metadata.split_first() {
        // Led by the pair's own index, which is in the list's order: the cost is that of the page, not of all jobs. In
        // SQLite a cross join is one whose order is kept.
        Some((pair, _)) => {
            let mut query =
                sql("SELECT render_jobs.position, view, metadata FROM render_job_metadata AS led ");
            query.push(db.dialect().pick("CROSS JOIN", "JOIN")).push(
                " render_jobs ON render_jobs.generation = led.generation AND render_jobs.position = led.position
                 WHERE led.generation = (SELECT generation FROM projection WHERE name = 'render_jobs' AND live = 1)
                 AND led.pair = ",
            );
            query.push_bind(pair.to_vec()).push(" AND render_jobs.workspace_id = ");
            query
        }
        None => sql(live_rows!()),
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
    db.fetch_all(query).await?.iter().map(read).collect()
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
pub async fn all(db: &ReadDb, generation: i64) -> Result<Vec<JobRow>, ProjectError> {
    let rows =
        sql("SELECT position, view, metadata FROM render_jobs WHERE generation = $1 ORDER BY position");
    db.fetch_all(rows.bind(generation)).await?.iter().map(read).collect()
}

/// Reads the wire's word for a status.
#[must_use]
pub fn parse_status(text: &str) -> Option<JobStatus> {
    serde_json::from_value(serde_json::Value::from(text)).ok()
}

fn read(row: &Row) -> Result<JobRow, ProjectError> {
    Ok(JobRow {
        position: position(row.get("position")?),
        view: parse_view(&row.get::<String>("view")?)?,
        metadata: row.get("metadata")?,
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
