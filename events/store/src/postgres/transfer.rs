//! Carrying a log out of the database and into it. Every statement is inside a transaction: over a pooler, too, they go
//! to one session.

use async_trait::async_trait;
use events::{Position, Recorded};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _, Transaction};

use super::record::{self, columns, stored};
use super::{PostgresStore, failed, tables};
use crate::store::{Head, StoreError};
use crate::transfer::{Archive, Cell, Column, Intake, Kind, Snapshot, Table};

#[async_trait]
impl Archive for PostgresStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let doing = "beginning to export";
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let transaction = self.readers.begin_with(begin).await.map_err(failed(doing))?;
        Ok(Box::new(PostgresSnapshot { transaction }))
    }

    async fn intake(&self) -> Result<Box<dyn Intake>, StoreError> {
        let doing = "beginning to import";
        let mut transaction = self.readers.begin().await.map_err(failed(doing))?;
        // Whoever appends waits for this lock, and gives up after ten seconds.
        let lock = "SET LOCAL lock_timeout = '10s'; SELECT the_only_one FROM log_head FOR UPDATE";
        sqlx::raw_sql(lock).execute(&mut *transaction).await.map_err(failed(doing))?;
        let head = tables::head_of(&mut transaction, false).await.map_err(failed(doing))?;
        Ok(Box::new(PostgresIntake { transaction, head }))
    }
}

struct PostgresSnapshot {
    transaction: Transaction<'static, Postgres>,
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    async fn head(&mut self) -> Result<Head, StoreError> {
        tables::head_of(&mut self.transaction, false).await.map_err(failed("reading its head"))
    }

    async fn events(&mut self, after: Position, limit: u32) -> Result<Vec<Recorded>, StoreError> {
        let query = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM events WHERE position > $1 ORDER BY position LIMIT $2"
        ));
        let query = query.bind(stored(after.0)).bind(i64::from(limit)).persistent(false);
        record::fetch(&mut self.transaction, query, "reading a page to export").await
    }

    fn rows<'s>(&'s mut self, table: &'static Table) -> BoxStream<'s, Result<Vec<Cell>, StoreError>> {
        let connection: &mut PgConnection = &mut self.transaction;
        let rows = sqlx::query(AssertSqlSafe(table.select())).persistent(false).fetch(connection);
        rows.and_then(move |row| std::future::ready(cells(table, &row)))
            .map_err(|error| failed("reading rows to export")(error))
            .boxed()
    }
}

fn cells(table: &Table, row: &PgRow) -> Result<Vec<Cell>, sqlx::Error> {
    let cell = |(at, column): (usize, &Column)| {
        Ok(match column.kind {
            Kind::Number => row.try_get::<Option<i64>, _>(at)?.map(Cell::Number),
            Kind::Small => row.try_get::<Option<i32>, _>(at)?.map(|number| Cell::Number(number.into())),
            Kind::Flag => row.try_get::<Option<bool>, _>(at)?.map(Cell::Flag),
            Kind::Text => row.try_get::<Option<String>, _>(at)?.map(Cell::Text),
            Kind::AnyText => {
                let text = row.try_get::<Option<Vec<u8>>, _>(at)?.map(String::from_utf8).transpose();
                text.map_err(|error| sqlx::Error::Decode(error.into()))?.map(Cell::Text)
            }
            Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Cell::Bytes),
        }
        .unwrap_or(Cell::Absent))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

/// Dropped in the middle, the transaction is rolled back.
struct PostgresIntake {
    transaction: Transaction<'static, Postgres>,
    head: Head,
}

#[async_trait]
impl Intake for PostgresIntake {
    fn head(&self) -> Head {
        self.head
    }

    async fn add_events(&mut self, events: &[Recorded]) -> Result<(), StoreError> {
        let events: Vec<_> = events.iter().collect();
        record::insert(&mut self.transaction, false, &events).await.map_err(failed("importing events"))
    }

    async fn clear(&mut self, table: &'static Table) -> Result<(), StoreError> {
        let delete = sqlx::query(AssertSqlSafe(table.delete())).persistent(false);
        let deleted = delete.execute(&mut *self.transaction).await;
        deleted.map(|_done| ()).map_err(failed("emptying a table"))
    }

    async fn add_row(&mut self, table: &'static Table, cells: Vec<Cell>) -> Result<(), StoreError> {
        let insert = table.insert(|number| format!("${number}"));
        let mut query = sqlx::query(AssertSqlSafe(insert)).persistent(false);
        for (column, cell) in table.columns.iter().zip(cells) {
            query = match (column.kind, cell) {
                (Kind::Number, Cell::Number(number)) => query.bind(number),
                (Kind::Number, _) => query.bind(None::<i64>),
                (Kind::Small, Cell::Number(number)) => query.bind(i32::try_from(number).ok()),
                (Kind::Small, _) => query.bind(None::<i32>),
                (Kind::Flag, Cell::Flag(flag)) => query.bind(flag),
                (Kind::Flag, _) => query.bind(None::<bool>),
                (Kind::Text, Cell::Text(text)) => query.bind(text),
                (Kind::Text, _) => query.bind(None::<String>),
                (Kind::AnyText, Cell::Text(text)) => query.bind(text.into_bytes()),
                (Kind::Bytes, Cell::Bytes(bytes)) => query.bind(bytes),
                (Kind::AnyText | Kind::Bytes, _) => query.bind(None::<Vec<u8>>),
            };
        }
        let inserted = query.execute(&mut *self.transaction).await;
        inserted.map(|_done| ()).map_err(failed("importing a row"))
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(failed("committing an import"))
    }
}
