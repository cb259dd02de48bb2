//! Statements that run on both databases, SQLite and PostgreSQL, and the rows they answer with.
//!
//! A text is written once, in what the two have in common: `$1` names a value, flags are integers, a list of texts is
//! `LIST($1)`. What they don't have in common is asked of [`Dialect`]. Must not know: what the rows mean.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    AssertSqlSafe, Database, Decode, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection, Transaction,
    Type,
};

/// Which of the two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// One file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Dialect {
    /// The text for the one that answers.
    #[must_use]
    pub fn pick<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
        }
    }
}

/// A value in a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, a flag, an instant.
    Integer(Option<i64>),
    /// A word.
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
    /// Words, for `LIST($n)`.
    List(Vec<String>),
}

macro_rules! value_from {
    ($($from:ty => $value:ident, $read:expr;)+) => {
        $(
            impl From<$from> for Value {
                fn from(value: $from) -> Value {
                    let read: fn($from) -> _ = $read;
                    Value::$value(Some(read(value)))
                }
            }

            impl From<Option<$from>> for Value {
                fn from(value: Option<$from>) -> Value {
                    let read: fn($from) -> _ = $read;
                    Value::$value(value.map(read))
                }
            }
        )+
    };
}

value_from! {
    i64 => Integer, |it| it;
    u32 => Integer, i64::from;
    u16 => Integer, i64::from;
    bool => Integer, i64::from;
    String => Text, |it| it;
    &str => Text, str::to_owned;
    Vec<u8> => Bytes, |it| it;
    &[u8] => Bytes, <[u8]>::to_vec;
}

/// A statement and its values.
#[derive(Debug, Clone)]
pub struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement of this text, which must not hold anything that a caller of ours wrote.
pub fn sql(text: impl Into<Cow<'static, str>>) -> Statement {
    Statement { text: text.into(), values: Vec::new() }
}

impl Statement {
    /// Gives the next value: the first call gives `$1`.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Statement {
        self.values.push(value.into());
        self
    }

    /// Gives the next value, which is a list.
    #[must_use]
    pub fn bind_list(mut self, words: Vec<String>) -> Statement {
        self.values.push(Value::List(words));
        self
    }

    /// Adds to the text.
    pub fn push(&mut self, text: &str) -> &mut Statement {
        self.text.to_mut().push_str(text);
        self
    }

    /// Adds a value and its name to the text.
    pub fn push_bind(&mut self, value: impl Into<Value>) -> &mut Statement {
        self.values.push(value.into());
        let name = format!("${}", self.values.len());
        self.push(&name)
    }

    /// The text as the database reads it.
    fn text_for(text: Cow<'static, str>, dialect: Dialect) -> Cow<'static, str> {
        const LIST: &str = "LIST($";
        if !text.contains(LIST) {
            return text;
        }
        let (before, after) =
            dialect.pick(("(SELECT value FROM json_each($", "))"), ("(SELECT unnest($", "::text[]))"));
        let mut pieces = text.split(LIST);
        let mut made = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (number, rest) = piece.split_once(')').unwrap_or((piece, ""));
            made.push_str(before);
            made.push_str(number);
            made.push_str(after);
            made.push_str(rest);
        }
        Cow::Owned(made)
    }

    fn for_sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        let text = Statement::text_for(self.text, Dialect::Sqlite);
        self.values.into_iter().fold(query(text), |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
            Value::List(words) => query.bind(serde_json::json!(words).to_string()),
        })
    }

    fn for_postgres(self, named: bool) -> Query<'static, Postgres, PgArguments> {
        let text = Statement::text_for(self.text, Dialect::Postgres);
        let query = self.values.into_iter().fold(query(text), |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
            Value::List(words) => query.bind(words),
        });
        query.persistent(named)
    }
}

fn query<DB: Database>(text: Cow<'static, str>) -> Query<'static, DB, DB::Arguments> {
    match text {
        Cow::Borrowed(text) => sqlx::query(text),
        // Made of texts of ours only: see `sql`.
        Cow::Owned(text) => sqlx::query(AssertSqlSafe(text)),
    }
}

/// What a column can be read as.
pub trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

/// A row that was found.
#[derive(Debug)]
pub enum Row {
    /// In the file.
    Sqlite(SqliteRow),
    /// On the server.
    Postgres(PgRow),
}

impl Row {
    /// A column, by its name.
    ///
    /// # Errors
    /// Where there is none of that name, or it holds something else.
    pub fn get<T: Column>(&self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Row::Sqlite(row) => row.try_get(column),
            Row::Postgres(row) => row.try_get(column),
        }
    }

    /// A column that holds what one of our types was written as.
    ///
    /// # Errors
    /// As [`Row::get`], and where the text is none of ours.
    pub fn parse<T>(&self, column: &str) -> Result<T, sqlx::Error>
    where
        T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        self.get::<String>(column)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }

    /// A column that counts something.
    ///
    /// # Errors
    /// As [`Row::get`], and where the number is out of range.
    pub fn count(&self, column: &str) -> Result<u32, sqlx::Error> {
        self.get::<i64>(column)?.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))
    }
}

/// A connection of one of the two.
#[derive(Debug)]
pub(super) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection, Named),
}

/// Whether statements may have names: over a transaction pooler the next one may meet another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named(pub(super) bool);

impl Connection<'_> {
    pub(super) async fn fetch_all(self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Connection::Sqlite(on) => {
                statement.for_sqlite().fetch_all(on).await?.into_iter().map(Row::Sqlite).collect()
            }
            Connection::Postgres(on, Named(named)) => {
                statement.for_postgres(named).fetch_all(on).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(super) async fn fetch_optional(self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        Ok(match self {
            Connection::Sqlite(on) => statement.for_sqlite().fetch_optional(on).await?.map(Row::Sqlite),
            Connection::Postgres(on, Named(named)) => {
                statement.for_postgres(named).fetch_optional(on).await?.map(Row::Postgres)
            }
        })
    }

    pub(super) async fn execute(self, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Connection::Sqlite(on) => statement.for_sqlite().execute(on).await?.rows_affected(),
            Connection::Postgres(on, Named(named)) => {
                statement.for_postgres(named).execute(on).await?.rows_affected()
            }
        })
    }
}

/// A transaction that writes; dropped, it has done nothing.
#[derive(Debug)]
pub struct Writing(pub(super) Inside);

#[derive(Debug)]
pub(super) enum Inside {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>, Named),
}

/// Rows written by one statement: few sizes, so that their texts stay prepared.
const ROWS_AT_ONCE: [usize; 3] = [64, 8, 1];

impl Writing {
    /// Which database it is in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self.0 {
            Inside::Sqlite(_) => Dialect::Sqlite,
            Inside::Postgres(..) => Dialect::Postgres,
        }
    }

    fn connection(&mut self) -> Connection<'_> {
        match &mut self.0 {
            Inside::Sqlite(transaction) => Connection::Sqlite(transaction),
            Inside::Postgres(transaction, named) => Connection::Postgres(transaction, *named),
        }
    }

    /// Runs a statement; how many rows it changed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        self.connection().execute(statement).await
    }

    /// Runs a statement; the rows it answers with.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        self.connection().fetch_all(statement).await
    }

    /// Runs a statement; the row it answers with, if any.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn fetch_optional(&mut self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        self.connection().fetch_optional(statement).await
    }

    /// Runs a statement for many rows at once. `before` and `after` stand around `VALUES (…), (…)`; `$1` is `first`, where
    /// one is given.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn execute_rows(
        &mut self,
        before: &'static str,
        first: Option<i64>,
        rows: Vec<Vec<Value>>,
        after: &'static str,
    ) -> Result<(), sqlx::Error> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let left = rows.len();
            let size = ROWS_AT_ONCE.into_iter().find(|size| *size <= left).unwrap_or(1);
            let mut statement = sql(before);
            statement.values.extend(first.map(Value::from));
            for (number, row) in rows.by_ref().take(size).enumerate() {
                statement.push(if number == 0 { " VALUES (" } else { ", (" });
                for (column, value) in row.into_iter().enumerate() {
                    statement.push(if column == 0 { "" } else { ", " }).push_bind(value);
                }
                statement.push(")");
            }
            statement.push(after);
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Makes it all last.
    ///
    /// # Errors
    /// Where the database fails; then nothing was done, or, where the connection broke, all of it.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self.0 {
            Inside::Sqlite(transaction) => transaction.commit().await,
            Inside::Postgres(transaction, _) => transaction.commit().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_each_database_reads_it() {
        let text = || Cow::Borrowed("a IN LIST($2) AND b NOT IN LIST($13) AND c = $1");
        assert_eq!(
            Statement::text_for(text(), Dialect::Sqlite),
            "a IN (SELECT value FROM json_each($2)) AND b NOT IN (SELECT value FROM json_each($13)) AND c = $1"
        );
        assert_eq!(
            Statement::text_for(text(), Dialect::Postgres),
            "a IN (SELECT unnest($2::text[])) AND b NOT IN (SELECT unnest($13::text[])) AND c = $1"
        );
    }
}
