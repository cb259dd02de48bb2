//! Making a projection anew: a second generation of its rows catches up beside the live one, then takes its place.
//!
//! Readers see the old rows until the swap and the new ones after it; the live projector notices by its checkpoint and
//! goes on from the new one. A rebuild that dies leaves rows that the next one removes.

use std::sync::Arc;

use event_store::{EventStore, StoreError, Vault};
use events::{Position, Recorded};
use thiserror::Error;

use crate::documents::Documents;
use crate::projections::render_jobs::RenderJobs;
use crate::projections::usage::Usage;
use crate::projections::{ProjectError, Rebuildable};
use crate::projector::apply_page;
use crate::read_db::{self, Checkpoint, OpenReadDbError, ReadDb, ReadPlace, sql};

/// Events applied in one transaction at most.
const PAGE: u32 = 1024;

/// A rebuild did not happen; what was live still is.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The database can't be opened.
    #[error("could not rebuild")]
    Open(#[from] OpenReadDbError),
    /// A page could not be applied.
    #[error("could not rebuild {name}")]
    Project {
        /// Which projection.
        name: &'static str,
        /// Why.
        #[source]
        source: ProjectError,
    },
}

/// Rebuilds every rebuildable projection of the read models at `place`, beside a running service or without.
/// `progress` is told each position that has been applied; the last one is returned.
///
/// # Errors
/// [`RebuildError`].
pub async fn rebuild(
    store: Arc<dyn EventStore>,
    vault: Arc<Vault>,
    place: &ReadPlace,
    mut progress: impl FnMut(Position),
) -> Result<Position, RebuildError> {
    let db = ReadDb::open(place).await?;
    let render_jobs = RenderJobs::new(Documents::new(Arc::clone(&store), vault));
    one(&render_jobs, &store, &db, &mut progress).await?;
    let reached = one(&Usage, &store, &db, &mut progress).await?;
    db.close().await;
    Ok(reached)
}

/// Rebuilds a projection that has no rows of this version of its code: those of another one, or none while there is a
/// history.
pub(crate) async fn renew<P: Rebuildable>(
    projection: &P,
    store: &Arc<dyn EventStore>,
    db: &ReadDb,
) -> Result<(), RebuildError> {
    let live = read_live::<P>(db).await.map_err(|source| RebuildError::Project { name: P::NAME, source })?;
    let version = live.map(|(_, version)| version);
    if version == Some(i64::from(P::VERSION)) {
        return Ok(());
    }
    tracing::info!(projection = P::NAME, from = version, to = P::VERSION, "making the rows anew");
    one(projection, store, db, &mut |_position| ()).await.map(drop)
}

async fn read_live<P: Rebuildable>(db: &ReadDb) -> Result<Option<(Checkpoint, i64)>, ProjectError> {
    Ok(read_db::live_now(db, P::NAME).await?)
}

/// Rebuilds one projection; the position that its rows have reached.
async fn one<P: Rebuildable>(
    projection: &P,
    store: &Arc<dyn EventStore>,
    db: &ReadDb,
    progress: &mut impl FnMut(Position),
) -> Result<Position, RebuildError> {
    let failed = |source| RebuildError::Project { name: P::NAME, source };
    let mut checkpoint = begin::<P>(db).await.map_err(failed)?;
    let mut page = read_ahead(store, checkpoint.position);
    loop {
        let events = page.await.map_err(|source| failed(source.into()))?;
        // While this page is written the next one is read.
        page = read_ahead(store, events.last().map_or(checkpoint.position, |last| last.position));
        if !events.is_empty() {
            checkpoint = apply_page(projection, db, checkpoint, &events).await.map_err(failed)?;
            progress(checkpoint.position);
        } else if swap::<P>(db, checkpoint).await.map_err(failed)? {
            return Ok(checkpoint.position);
        }
    }
}

/// Begins to read what follows a position.
fn read_ahead(
    store: &Arc<dyn EventStore>,
    after: Position,
) -> impl Future<Output = Result<Vec<Recorded>, StoreError>> + use<> {
    let store = Arc::clone(store);
    let reading = tokio::spawn(async move { store.read_after(after, PAGE).await });
    async { reading.await.unwrap_or(Err(StoreError::Stopped)) }
}

/// A new generation, and what a dead rebuild left is gone.
async fn begin<P: Rebuildable>(db: &ReadDb) -> Result<Checkpoint, ProjectError> {
    let mut transaction = db.write().await?;
    let left = sql("DELETE FROM projection WHERE name = $1 AND live = 0 RETURNING generation").bind(P::NAME);
    for row in transaction.fetch_all(left).await? {
        P::remove(&mut transaction, row.get("generation")?).await?;
    }
    let begun = read_db::begin_generation(&mut transaction, P::NAME, P::VERSION, false).await?;
    let checkpoint = begun.ok_or(ProjectError::Superseded)?;
    transaction.commit().await?;
    Ok(checkpoint)
}

/// Puts the new generation in the live one's place; false: the live one is ahead, nobody shall see it go back.
async fn swap<P: Rebuildable>(db: &ReadDb, new: Checkpoint) -> Result<bool, ProjectError> {
    let mut transaction = db.write().await?;
    if let Some((old, _version)) = read_db::live(&mut transaction, P::NAME).await? {
        if old.position > new.position {
            return Ok(false);
        }
        let gone = sql("DELETE FROM projection WHERE name = $1 AND generation = $2");
        transaction.execute(gone.bind(P::NAME).bind(old.generation)).await?;
        P::remove(&mut transaction, old.generation).await?;
    }
    let promote = sql("UPDATE projection SET live = 1 WHERE name = $1 AND generation = $2 AND position = $3");
    let promote = promote.bind(P::NAME).bind(new.generation).bind(new.position.0.cast_signed());
    if transaction.execute(promote).await? != 1 {
        return Err(ProjectError::Superseded);
    }
    transaction.commit().await?;
    Ok(true)
}
