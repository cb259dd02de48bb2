//! The tables beside the log, as data: what of each travels, and in which order. Must not know: SQL dialects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// A table beside the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name in the database and in an export.
    pub name: &'static str,
    /// What travels of it.
    pub columns: &'static [Column],
    /// SQL: the order of its rows, the same in every database.
    pub order: &'static str,
    /// A column that does not travel, and arrives as 0.
    pub zeroed: Option<&'static str>,
}

/// A column that travels.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the database.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number of up to 64 bits.
    Number,
    /// One of up to 32 bits.
    Small,
    /// Yes or no.
    Flag,
    /// A text.
    Text,
    /// A text that some databases keep as bytes.
    AnyText,
    /// Bytes.
    Bytes,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// None.
    Absent,
    /// See [`Kind::Number`] and [`Kind::Small`].
    Number(i64),
    /// See [`Kind::Flag`].
    Flag(bool),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Bytes`].
    Bytes(Vec<u8>),
}

impl Cell {
    /// As JSON: bytes are Base64.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Cell::Absent => Value::Null,
            Cell::Number(number) => Value::from(*number),
            Cell::Flag(flag) => Value::from(*flag),
            Cell::Text(text) => Value::from(text.as_str()),
            Cell::Bytes(bytes) => Value::from(BASE64.encode(bytes)),
        }
    }

    /// What [`Cell::to_json`] made of a value of this kind; `None` where it can't have.
    pub(super) fn from_json(kind: Kind, value: &Value) -> Option<Cell> {
        Some(match (kind, value) {
            (_, Value::Null) => Cell::Absent,
            (Kind::Number, Value::Number(number)) => Cell::Number(number.as_i64()?),
            (Kind::Small, Value::Number(number)) => {
                Cell::Number(i32::try_from(number.as_i64()?).ok()?.into())
            }
            (Kind::Flag, Value::Bool(flag)) => Cell::Flag(*flag),
            (Kind::Text | Kind::AnyText, Value::String(text)) => Cell::Text(text.clone()),
            (Kind::Bytes, Value::String(text)) => Cell::Bytes(BASE64.decode(text).ok()?),
            _ => return None,
        })
    }
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

/// Every table beside the log, in the order in which they are exported.
pub static TABLES: [Table; 9] = [
    Table {
        name: "workspaces",
        columns: &[column("workspace_id", Kind::Text), column("concurrency", Kind::Number)],
        order: "arrival",
        zeroed: None,
    },
    Table {
        name: "api_keys",
        columns: &[
            column("key_sha256", Kind::Bytes),
            column("key_id", Kind::Text),
            column("workspace_id", Kind::Text),
        ],
        order: "key_sha256",
        zeroed: None,
    },
    Table {
        name: "secrets",
        columns: &[
            column("workspace_id", Kind::Text),
            column("name", Kind::Text),
            column("bytes", Kind::Bytes),
        ],
        order: "workspace_id, name",
        zeroed: None,
    },
    Table {
        name: "documents",
        columns: &[
            column("workspace_id", Kind::Text),
            column("sha256", Kind::Bytes),
            column("bytes", Kind::Bytes),
        ],
        order: "workspace_id, sha256",
        zeroed: None,
    },
    Table {
        name: "idempotency",
        columns: &[
            column("workspace_id", Kind::Text),
            column("path", Kind::Text),
            column("key_sha256", Kind::Bytes),
            column("body_sha256", Kind::Bytes),
            column("stream_id", Kind::Text),
            column("expires_at", Kind::Number),
        ],
        order: "workspace_id, path, key_sha256",
        zeroed: None,
    },
    Table {
        name: "renders",
        columns: &[
            column("render_id", Kind::Text),
            column("workspace_id", Kind::Text),
            column("deadline", Kind::Number),
            column("begun", Kind::Flag),
        ],
        order: "render_id",
        zeroed: None,
    },
    Table {
        name: "work_queue",
        columns: &[
            column("render_id", Kind::Text),
            column("slot", Kind::Text),
            column("workspace_id", Kind::Text),
            column("priority", Kind::Small),
            column("fingerprint", Kind::AnyText),
            column("not_before", Kind::Number),
            column("begun", Kind::Flag),
            column("enqueued_at", Kind::Number),
        ],
        order: "arrival",
        zeroed: None,
    },
    // The reaper looks for leases that have ended: without a row nobody would offer the slot again.
    Table {
        name: "leases",
        columns: &[
            column("render_id", Kind::Text),
            column("slot", Kind::Text),
            column("token", Kind::Number),
            column("ttl_ms", Kind::Number),
        ],
        order: "render_id, slot",
        zeroed: Some("expires_at"),
    },
    Table {
        name: "artifacts",
        columns: &[column("render_id", Kind::Text), column("finished_at", Kind::Number)],
        order: "render_id",
        zeroed: None,
    },
];

impl Table {
    /// SQL that reads its rows.
    pub(crate) fn select(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.name, self.order)
    }

    /// SQL that adds a row; `place` spells the parameter of this number, from 1.
    pub(crate) fn insert(&self, place: impl Fn(usize) -> String) -> String {
        let places: Vec<_> = (1..=self.columns.len()).map(place).collect();
        let (names, places) = (self.names(), places.join(", "));
        match self.zeroed {
            Some(zeroed) => {
                format!("INSERT INTO {} ({names}, {zeroed}) VALUES ({places}, 0)", self.name)
            }
            None => format!("INSERT INTO {} ({names}) VALUES ({places})", self.name),
        }
    }

    /// SQL that empties it.
    pub(crate) fn delete(&self) -> String {
        format!("DELETE FROM {}", self.name)
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_what_it_was_after_json_and_nothing_else_passes_for_it() {
        for (kind, cell) in [
            (Kind::Number, Cell::Number(i64::MIN)),
            (Kind::Small, Cell::Number(-100)),
            (Kind::Flag, Cell::Flag(true)),
            (Kind::AnyText, Cell::Text("a\0ü".to_owned())),
            (Kind::Bytes, Cell::Bytes(vec![0, 255])),
            (Kind::Text, Cell::Absent),
        ] {
            assert_eq!(Cell::from_json(kind, &cell.to_json()), Some(cell));
        }
        assert_eq!(Cell::from_json(Kind::Small, &Value::from(1_i64 << 40)), None);
        assert_eq!(Cell::from_json(Kind::Bytes, &Value::from("AP9=")), None, "Base64 in one spelling only");
        assert_eq!(Cell::from_json(Kind::Flag, &Value::from(1)), None);
    }
}
