//! The projections: read models kept from events, one file for each, named for the table it owns.
//!
//! How to add one: a file here with its row, its pure `changes` and its `write`; its table in `read_db/`, for both
//! databases; a projector for it in `role.rs`. A change of what `changes` or `write` make raises `VERSION`, which is a rebuild.

use async_trait::async_trait;
use event_store::StoreError;
use events::Recorded;
use events::upcast::DecodeError;
use thiserror::Error;

use crate::read_db::Writing;

pub mod render_jobs;
pub mod usage;
pub mod webhook_deliveries;

/// A read model kept from events.
#[async_trait]
pub trait Projection: std::fmt::Debug + Send + Sync + 'static {
    /// Its table and the name of its checkpoint.
    const NAME: &'static str;
    /// Of the code; another one than the rows were made with is a rebuild.
    const VERSION: u32;
    /// What must be known beside the event itself.
    type Facts: Send + Sync;
    /// The few writes it can make.
    type Change: Send + Sync;

    /// Reads what must be known beside the event, before the transaction begins.
    async fn gather(&self, event: &Recorded) -> Result<Self::Facts, ProjectError>;

    /// What the event changes: pure.
    fn changes(&self, event: &Recorded, facts: Self::Facts) -> Result<Vec<Self::Change>, ProjectError>;

    /// Makes a page's changes in this generation's rows, as if one after the other.
    async fn write(
        &self,
        transaction: &mut Writing,
        generation: i64,
        changes: Vec<Self::Change>,
    ) -> Result<(), ProjectError>;

    /// A page was not written after all: what is remembered of rows may be wrong.
    fn forget(&self) {}
}

/// A projection that can be made anew beside the live one. Deliveries are none: what was sent can't be sent anew.
#[async_trait]
pub trait Rebuildable: Projection {
    /// Removes the rows of a generation.
    async fn remove(transaction: &mut Writing, generation: i64) -> Result<(), sqlx::Error>;
}

/// An event was not applied.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// The log could not be read.
    #[error("could not read the log")]
    Store(#[from] StoreError),
    /// A stored event is not what its type promises.
    #[error("could not read an event")]
    Decode(#[from] DecodeError),
    /// The read models' database failed.
    #[error("could not write the read model")]
    Database(#[from] sqlx::Error),
    /// A row is not what we wrote.
    #[error("could not read a row of {table}: {what}")]
    Row {
        /// Where.
        table: &'static str,
        /// What is wrong.
        what: String,
    },
    /// The checkpoint moved meanwhile: another process projects, or a rebuild has swapped the rows.
    #[error("could not move the checkpoint: it is not where it was")]
    Superseded,
}
