//! Making a projection anew: a second generation of its rows catches up beside the live one, then takes its place.
//!
//! Readers see the old rows until the swap and the new ones after it; the live projector notices by its checkpoint and
//! goes on from the new one. A rebuild that dies leaves rows that the next one removes.

use std::path::Path;
use std::sync::Arc;

use event_store::{EventStore, OpenError, Subscription, Vault};
use events::Position;
use thiserror::Error;

use crate::documents::Documents;
use crate::projections::render_jobs::RenderJobs;
use crate::projections::usage::Usage;
use crate::projections::{ProjectError, Rebuildable};
use crate::projector::apply_page;
use crate::read_db::{self, Checkpoint, ReadDb};

/// Events applied in one transaction at most.
const PAGE: u32 = 1024;

/// A rebuild did not happen; what was live still is.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The database can't be opened.
    #[error("could not rebuild")]
    Open(#[from] OpenError),
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

/// Rebuilds every rebuildable projection of the read models in the file `read_db`, beside a running service or without.
/// `progress` is told each position that has been applied; the last one is returned.
///
/// # Errors
/// [`RebuildError`].
pub async fn rebuild(
    store: Arc<dyn EventStore>,
    vault: Arc<Vault>,
    read_db: &Path,
    mut progress: impl FnMut(Position),
) -> Result<Position, RebuildError> {
    let db = ReadDb::open(read_db).await?;
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
    let mut reader = db.readers().acquire().await?;
    Ok(read_db::live(&mut reader, P::NAME).await?)
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
    let mut subscription = Subscription::new(Arc::clone(store), checkpoint.position, PAGE);
    loop {
        let page = subscription.waiting_page().await.map_err(|source| failed(source.into()))?;
        if !page.is_empty() {
            checkpoint = apply_page(projection, db, checkpoint, &page).await.map_err(failed)?;
            subscription.applied(checkpoint.position);
            progress(checkpoint.position);
        } else if swap::<P>(db, checkpoint).await.map_err(failed)? {
            return Ok(checkpoint.position);
        }
    }
}

/// A new generation, and what a dead rebuild left is gone.
async fn begin<P: Rebuildable>(db: &ReadDb) -> Result<Checkpoint, ProjectError> {
    let mut transaction = db.write().await?;
    let left: Vec<i64> =
        sqlx::query_scalar("DELETE FROM projection WHERE name = ? AND live = 0 RETURNING generation")
            .bind(P::NAME)
            .fetch_all(&mut *transaction)
            .await?;
    for generation in left {
        P::remove(&mut transaction, generation).await?;
    }
    let checkpoint = read_db::begin_generation(&mut transaction, P::NAME, P::VERSION, false).await?;
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
        sqlx::query("DELETE FROM projection WHERE name = ? AND generation = ?")
            .bind(P::NAME)
            .bind(old.generation)
            .execute(&mut *transaction)
            .await?;
        P::remove(&mut transaction, old.generation).await?;
    }
    let promoted =
        sqlx::query("UPDATE projection SET live = 1 WHERE name = ? AND generation = ? AND position = ?")
            .bind(P::NAME)
            .bind(new.generation)
            .bind(new.position.0.cast_signed())
            .execute(&mut *transaction)
            .await?;
    if promoted.rows_affected() != 1 {
        return Err(ProjectError::Superseded);
    }
    transaction.commit().await?;
    Ok(true)
}
