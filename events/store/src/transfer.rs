//! Carrying a log from one database to another: SQLite to PostgreSQL, back, or to another machine.
//!
//! An export is lines of JSON: a header, every event, every row of the tables beside the log, an end. Events keep their
//! positions, hashes and bytes. The rows travel as they are, work queue included: they follow from the events only by
//! what events mean, which this package must not know. Two things are not taken as they are: whose turn it is
//! (`arrival`) is the order of the lines, and leases arrive as ended, so that whoever holds the log next offers their
//! work again. Sealed bytes stay sealed: the master key is needed to use them, and never travels.
//!
//! Events are bound by the log's own chain, header and rows by one that begins with the header's line: any byte that is
//! not what was exported is named by its line. An import is one transaction: all of it, or nothing.

use async_trait::async_trait;
use events::{Position, Recorded};
use futures_util::stream::BoxStream;

use crate::store::{EventStore, Head, StoreError};

mod export;
mod import;
mod line;
mod table;

pub use export::{ExportError, export};
pub use import::{ImportError, import};
pub use table::{Cell, Column, Kind, TABLES, Table};

/// The version of the format that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// Events read, and written, at once.
const PAGE: u32 = 512;

/// What was carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// The log's end.
    pub head: Head,
    /// Events.
    pub events: u64,
    /// Rows of the tables beside the log.
    pub rows: u64,
}

/// A store whose content can be carried elsewhere.
#[async_trait]
pub trait Archive: EventStore {
    /// Everything as it is at one moment, whatever is appended meanwhile.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// Begins a transaction in which nobody else appends.
    async fn intake(&self) -> Result<Box<dyn Intake>, StoreError>;
}

/// A store at one moment.
#[async_trait]
pub trait Snapshot: Send {
    /// The log's end.
    async fn head(&mut self) -> Result<Head, StoreError>;

    /// Events behind a position, in their order, at most `limit`.
    async fn events(&mut self, after: Position, limit: u32) -> Result<Vec<Recorded>, StoreError>;

    /// The rows of a table, in its order.
    fn rows<'s>(&'s mut self, table: &'static Table) -> BoxStream<'s, Result<Vec<Cell>, StoreError>>;
}

/// A transaction that fills a store; dropped, it leaves nothing behind.
#[async_trait]
pub trait Intake: Send {
    /// Where the log ends before anything is added.
    fn head(&self) -> Head;

    /// Adds events that have their place and hash already.
    async fn add_events(&mut self, events: &[Recorded]) -> Result<(), StoreError>;

    /// Empties a table.
    async fn clear(&mut self, table: &'static Table) -> Result<(), StoreError>;

    /// Adds a row to a table.
    async fn add_row(&mut self, table: &'static Table, cells: Vec<Cell>) -> Result<(), StoreError>;

    /// Makes all of it last.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
