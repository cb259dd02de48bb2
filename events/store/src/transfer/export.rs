//! Writing an export, and proving the chain on the way: what was altered is not passed on.

use events::{Position, Sha256};
use futures_util::TryStreamExt as _;
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::line::{End, EventLine, Header, Line, RowLine, row_hash};
use super::{Archive, Carried, Cell, FORMAT, PAGE, Snapshot, TABLES};
use crate::chain;
use crate::store::{Head, StoreError};

/// An export that was not made.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not what was written.
    #[error("could not export: the log was altered at position {}", position.0)]
    Altered {
        /// Where.
        position: Position,
    },
    /// An event's data are no text.
    #[error("could not export: the data at position {} are not UTF-8", position.0)]
    NotText {
        /// Where.
        position: Position,
    },
    /// The log ends before the position it should begin after.
    #[error("could not export what follows position {}: the log ends at {}", asked.0, head.0)]
    NotThatFar {
        /// What was asked for.
        asked: Position,
        /// Where the log ends.
        head: Position,
    },
    /// The output could not be written.
    #[error("could not write the export")]
    Write(#[source] std::io::Error),
}

/// Writes everything behind `after` (0: the whole log), and all rows beside it, as they are at one moment. `master_key`
/// names the key that seals them, see [`crate::Vault::fingerprint`]. Calls `progress` with the last position written.
///
/// # Errors
/// See [`ExportError`]; what was written until then has no end and can't be imported.
pub async fn export(
    archive: &dyn Archive,
    after: Position,
    master_key: Option<String>,
    out: &mut (dyn AsyncWrite + Unpin + Send),
    progress: impl FnMut(Position) + Send,
) -> Result<Carried, ExportError> {
    let mut snapshot = archive.snapshot().await?;
    let end = snapshot.head().await?;
    if after > end.position {
        return Err(ExportError::NotThatFar { asked: after, head: end.position });
    }
    let after_hash = hash_at(&mut *snapshot, after).await?;
    let mut lines = Lines { out };
    let header = Header { format: FORMAT, after, after_hash, master_key };
    let header = lines.put(&Line::Log(header)).await?;
    let start = Head { position: after, hash: after_hash };
    let head = put_events(&mut *snapshot, &mut lines, start, progress).await?;
    let (rows, rows_hash) = put_rows(&mut *snapshot, &mut lines, header).await?;
    lines.put(&Line::End(End { position: head.position, hash: head.hash, rows, rows_hash })).await?;
    lines.out.flush().await.map_err(ExportError::Write)?;
    Ok(Carried { head, events: head.position.0 - after.0, rows })
}

async fn hash_at(snapshot: &mut dyn Snapshot, position: Position) -> Result<Sha256, ExportError> {
    let Some(before) = position.0.checked_sub(1) else { return Ok(chain::GENESIS) };
    let page = snapshot.events(Position(before), 1).await?;
    match page.first() {
        Some(event) if event.position == position => Ok(event.hash),
        _ => Err(ExportError::Altered { position }),
    }
}

async fn put_events(
    snapshot: &mut dyn Snapshot,
    lines: &mut Lines<'_>,
    mut head: Head,
    mut progress: impl FnMut(Position) + Send,
) -> Result<Head, ExportError> {
    loop {
        let page = snapshot.events(head.position, PAGE).await?;
        if page.is_empty() {
            return Ok(head);
        }
        for event in page {
            let position = Position(head.position.0 + 1);
            if event.position != position || chain::link(head.hash, &event) != event.hash {
                return Err(ExportError::Altered { position });
            }
            head = Head { position, hash: event.hash };
            let line = EventLine::of(event).ok_or(ExportError::NotText { position })?;
            lines.put(&Line::Event(line)).await?;
        }
        progress(head.position);
    }
}

async fn put_rows(
    snapshot: &mut dyn Snapshot,
    lines: &mut Lines<'_>,
    header: Sha256,
) -> Result<(u64, Sha256), ExportError> {
    let (mut count, mut hash) = (0, header);
    for table in &TABLES {
        let mut rows = snapshot.rows(table);
        while let Some(row) = rows.try_next().await? {
            let cells: Vec<_> = row.iter().map(Cell::to_json).collect();
            hash = row_hash(hash, table.name, &cells);
            lines.put(&Line::Row(RowLine { table: table.name.to_owned(), cells, hash })).await?;
            count += 1;
        }
    }
    Ok((count, hash))
}

/// Where lines go.
struct Lines<'o> {
    out: &'o mut (dyn AsyncWrite + Unpin + Send),
}

impl Lines<'_> {
    /// Writes a line; returns its digest.
    async fn put(&mut self, line: &Line) -> Result<Sha256, ExportError> {
        let mut text = serde_json::to_vec(line).map_err(|error| ExportError::Write(error.into()))?;
        let digest = Sha256::of(&text);
        text.push(b'\n');
        self.out.write_all(&text).await.map_err(ExportError::Write)?;
        Ok(digest)
    }
}
