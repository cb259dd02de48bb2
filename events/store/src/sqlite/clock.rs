//! The store's clock: the database's, so that every process that shares the file agrees.

/// SQL: microseconds since 1970. SQLite's clock ticks in milliseconds; rounding undoes its detour through a
/// float.
macro_rules! now {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000"
    };
}
pub(super) use now as NOW;
