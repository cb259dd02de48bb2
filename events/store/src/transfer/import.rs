//! Reading an export into a store, in one transaction.

use events::{Position, Recorded, Sha256};
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use super::line::{End, Header, Line, RowLine, row_hash};
use super::{Archive, Carried, Cell, FORMAT, Intake, PAGE, TABLES, Table};
use crate::chain;
use crate::store::{Head, StoreError};

/// The longest line: a document of the largest request, sealed and in Base64, is far shorter.
const LINE_MAX: u64 = 64 << 20;

/// An import that did not happen: the store is as it was.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store took the lines before this one, but not what they say.
    #[error("could not import line {line}")]
    Refused {
        /// Which line, from 1.
        line: u64,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The input could not be read.
    #[error("could not read the export at line {line}")]
    Read {
        /// Which line, from 1.
        line: u64,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what was exported.
    #[error("could not import line {line}: {what}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// An event is not what was exported.
    #[error("could not import line {line}: the event at position {} was altered or is missing", position.0)]
    Altered {
        /// Which line, from 1.
        line: u64,
        /// Which event.
        position: Position,
    },
    /// A newer release wrote the export.
    #[error("could not import: the export has format {found}, this release reads {FORMAT}")]
    Format {
        /// What was found.
        found: u32,
    },
    /// The export does not continue the log that is there.
    #[error(
        "could not import: the export follows {}:{}, but the log ends at {}:{}; a whole export needs an empty log, \
         and what is missing here is exported with --after {}", after.position.0, after.hash, head.position.0, head.hash,
        head.position.0
    )]
    Elsewhere {
        /// What the export follows.
        after: Head,
        /// Where the log ends.
        head: Head,
    },
    /// What the export holds is sealed with another key than the one that is here.
    #[error(
        "could not import: the export's rows are sealed with another master key; put the installation's own master.key \
         into the data folder first"
    )]
    OtherMasterKey,
}

/// Reads an export into a store: an empty one, or the one whose end it follows. The rows beside the log become those of
/// the export. `master_key` names the key that is here, where there is one. Calls `progress` with the last position
/// written.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(
    archive: &dyn Archive,
    master_key: Option<&str>,
    input: &mut (dyn AsyncBufRead + Unpin + Send),
    progress: impl FnMut(Position) + Send,
) -> Result<Carried, ImportError> {
    let mut lines = Lines { input, number: 0, text: Vec::new() };
    let header = match lines.next().await? {
        Line::Log(header) if header.format == FORMAT => header,
        Line::Log(header) => return Err(ImportError::Format { found: header.format }),
        _ => return Err(lines.wrong("an export begins with its header")),
    };
    let header_digest = Sha256::of(&lines.text);
    if let (Some(theirs), Some(ours)) = (&header.master_key, master_key)
        && theirs != ours
    {
        return Err(ImportError::OtherMasterKey);
    }
    let intake = begin(archive, &header).await?;
    let head = intake.head();
    let mut taking =
        Taking { lines, intake, head, page: Vec::new(), rows: 0, rows_hash: header_digest, table: 0 };
    taking.everything(progress).await?;
    let Taking { intake, head, rows, .. } = taking;
    intake.commit().await?;
    Ok(Carried { head, events: head.position.0 - header.after.0, rows })
}

async fn begin(archive: &dyn Archive, header: &Header) -> Result<Box<dyn Intake>, ImportError> {
    let mut intake = archive.intake().await?;
    let (head, after) = (intake.head(), Head { position: header.after, hash: header.after_hash });
    if head != after {
        return Err(ImportError::Elsewhere { after, head });
    }
    for table in &TABLES {
        intake.clear(table).await?;
    }
    Ok(intake)
}

/// An import under way.
struct Taking<'i> {
    lines: Lines<'i>,
    intake: Box<dyn Intake>,
    /// Where the log ends with the lines that were read.
    head: Head,
    /// Events that were read and are not written yet.
    page: Vec<Recorded>,
    rows: u64,
    rows_hash: Sha256,
    /// Which of [`TABLES`] the last row was of: they come in their order.
    table: usize,
}

impl Taking<'_> {
    async fn everything(&mut self, mut progress: impl FnMut(Position) + Send) -> Result<(), ImportError> {
        loop {
            match self.lines.next().await? {
                Line::Event(_) if self.rows > 0 => return Err(self.lines.wrong("an event follows a row")),
                Line::Event(event) => {
                    self.event(event.recorded())?;
                    if self.page.len() >= PAGE as usize {
                        self.write_page().await?;
                        progress(self.head.position);
                    }
                }
                Line::Row(row) => {
                    self.write_page().await?;
                    self.row(row).await?;
                }
                Line::End(end) => {
                    self.write_page().await?;
                    progress(self.head.position);
                    return self.end(&end).await;
                }
                Line::Log(_) => return Err(self.lines.wrong("a second header")),
            }
        }
    }

    fn event(&mut self, event: Recorded) -> Result<(), ImportError> {
        let position = Position(self.head.position.0 + 1);
        if event.position != position || chain::link(self.head.hash, &event) != event.hash {
            return Err(ImportError::Altered { line: self.lines.number, position });
        }
        self.head = Head { position, hash: event.hash };
        self.page.push(event);
        Ok(())
    }

    async fn write_page(&mut self) -> Result<(), ImportError> {
        let line = self.lines.number;
        let written = self.intake.add_events(&self.page).await;
        written.map_err(|source| ImportError::Refused { line, source })?;
        self.page.clear();
        Ok(())
    }

    async fn row(&mut self, row: RowLine) -> Result<(), ImportError> {
        self.rows_hash = row_hash(self.rows_hash, &row.table, &row.cells);
        if self.rows_hash != row.hash {
            return Err(self.lines.wrong("the row, the header or a row before it was altered"));
        }
        let here = TABLES.iter().skip(self.table).position(|table| table.name == row.table);
        let Some(further) = here else {
            return Err(self.lines.wrong(&format!("{:?} is no table that is expected here", row.table)));
        };
        self.table += further;
        let table = &TABLES[self.table];
        let Some(cells) = cells(table, &row) else {
            return Err(self.lines.wrong(&format!("it is no row of {}", table.name)));
        };
        let line = self.lines.number;
        let added = self.intake.add_row(table, cells).await;
        added.map_err(|source| ImportError::Refused { line, source })?;
        self.rows += 1;
        Ok(())
    }

    async fn end(&mut self, end: &End) -> Result<(), ImportError> {
        let Head { position, hash } = self.head;
        if *end != (End { position, hash, rows: self.rows, rows_hash: self.rows_hash }) {
            return Err(self.lines.wrong("the end tells of other lines than those before it"));
        }
        match self.lines.is_over().await? {
            true => Ok(()),
            false => Err(self.lines.wrong("something follows the end")),
        }
    }
}

fn cells(table: &Table, row: &RowLine) -> Option<Vec<Cell>> {
    if row.cells.len() != table.columns.len() {
        return None;
    }
    table.columns.iter().zip(&row.cells).map(|(column, value)| Cell::from_json(column.kind, value)).collect()
}

/// Where lines come from.
struct Lines<'i> {
    input: &'i mut (dyn AsyncBufRead + Unpin + Send),
    /// Of the line that was read last, from 1.
    number: u64,
    /// That line.
    text: Vec<u8>,
}

impl Lines<'_> {
    async fn next(&mut self) -> Result<Line, ImportError> {
        self.number += 1;
        self.text.clear();
        let line = self.number;
        let mut bounded = (&mut *self.input).take(LINE_MAX);
        let read = bounded.read_until(b'\n', &mut self.text).await;
        read.map_err(|source| ImportError::Read { line, source })?;
        match self.text.pop() {
            Some(b'\n') => {}
            Some(_) if self.text.len() as u64 + 1 >= LINE_MAX => {
                return Err(self.wrong(&format!("it is longer than {LINE_MAX} bytes")));
            }
            _ => return Err(self.wrong("the export ends here, before its end line")),
        }
        serde_json::from_slice(&self.text).map_err(|error| self.wrong(&format!("it cannot be read: {error}")))
    }

    async fn is_over(&mut self) -> Result<bool, ImportError> {
        let line = self.number;
        let rest = self.input.fill_buf().await.map_err(|source| ImportError::Read { line, source })?;
        Ok(rest.is_empty())
    }

    fn wrong(&self, what: &str) -> ImportError {
        ImportError::Line { line: self.number, what: what.to_owned() }
    }
}
