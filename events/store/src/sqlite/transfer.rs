//! Carrying a log out of the file and into it.

use async_trait::async_trait;
use events::{Position, Recorded};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, Sqlite, SqliteConnection, Transaction};

use super::record::{self, envelope, stored};
use super::{FILE, SqliteStore, failed, read_head};
use crate::store::{Head, StoreError};
use crate::transfer::{Archive, Cell, Column, Intake, Kind, Snapshot, Table};

#[async_trait]
impl Archive for SqliteStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let transaction = self.readers.begin().await.map_err(failed("beginning to export"))?;
        Ok(Box::new(SqliteSnapshot { transaction }))
    }

    async fn intake(&self) -> Result<Box<dyn Intake>, StoreError> {
        let doing = "beginning to import";
        let mut connection = FILE.writer(&self.path).connect().await.map_err(failed(doing))?;
        let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await;
        begun.map_err(failed(doing))?;
        let head = read_head(&mut connection).await.map_err(failed(doing))?;
        Ok(Box::new(SqliteIntake { connection, head }))
    }
}

struct SqliteSnapshot {
    transaction: Transaction<'static, Sqlite>,
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    async fn head(&mut self) -> Result<Head, StoreError> {
        read_head(&mut *self.transaction).await.map_err(failed("reading its head"))
    }

    async fn events(&mut self, after: Position, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let doing = "reading a page to export";
        if let Some(page) = record::fetch_page(&mut *self.transaction, after, limit, doing).await? {
            return Ok(page);
        }
        let query = sqlx::query(concat!(
            "SELECT ",
            envelope!(),
            " FROM events WHERE position > ? ORDER BY position LIMIT ?"
        ));
        record::fetch(&mut *self.transaction, query.bind(stored(after.0)).bind(limit), doing).await
    }

    fn rows<'s>(&'s mut self, table: &'static Table) -> BoxStream<'s, Result<Vec<Cell>, StoreError>> {
        let rows = sqlx::query(AssertSqlSafe(table.select())).fetch(&mut *self.transaction);
        rows.and_then(move |row| std::future::ready(cells(table, &row)))
            .map_err(|error| failed("reading rows to export")(error))
            .boxed()
    }
}

fn cells(table: &Table, row: &SqliteRow) -> Result<Vec<Cell>, sqlx::Error> {
    let cell = |(at, column): (usize, &Column)| {
        Ok(match column.kind {
            Kind::Number | Kind::Small => row.try_get::<Option<i64>, _>(at)?.map(Cell::Number),
            Kind::Flag => row.try_get::<Option<bool>, _>(at)?.map(Cell::Flag),
            Kind::Text | Kind::AnyText => row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
        }
        .unwrap_or(Cell::Absent))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

/// Its connection is its own: dropped in the middle, it closes, and SQLite takes everything back.
struct SqliteIntake {
    connection: SqliteConnection,
    head: Head,
}

#[async_trait]
impl Intake for SqliteIntake {
    fn head(&self) -> Head {
        self.head
    }

    async fn add_events(&mut self, events: &[Recorded]) -> Result<(), StoreError> {
        let events: Vec<_> = events.iter().collect();
        record::insert(&mut self.connection, &events).await.map_err(failed("importing events"))
    }

    async fn clear(&mut self, table: &'static Table) -> Result<(), StoreError> {
        let delete = sqlx::query(AssertSqlSafe(table.delete())).execute(&mut self.connection).await;
        delete.map(|_done| ()).map_err(failed("emptying a table"))
    }

    async fn add_row(&mut self, table: &'static Table, cells: Vec<Cell>) -> Result<(), StoreError> {
        let mut query = sqlx::query(AssertSqlSafe(table.insert(|_number| "?".to_owned())));
        for cell in cells {
            query = match cell {
                Cell::Absent => query.bind(None::<i64>),
                Cell::Number(number) => query.bind(number),
                Cell::Flag(flag) => query.bind(flag),
                Cell::Text(text) => query.bind(text),
                Cell::Bytes(bytes) => query.bind(bytes),
            };
        }
        let inserted = query.execute(&mut self.connection).await;
        inserted.map(|_done| ()).map_err(failed("importing a row"))
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let committed = sqlx::raw_sql("COMMIT").execute(&mut self.connection).await;
        committed.map(|_done| ()).map_err(failed("committing an import"))
    }
}
