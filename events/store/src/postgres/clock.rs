//! The store's clock: the server's, so that every node agrees.

/// SQL: microseconds since 1970 when the statement began. Fit to be compared with an index.
macro_rules! now {
    () => {
        "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    };
}

/// SQL: microseconds since 1970 right now, also after having waited for a lock.
macro_rules! this_moment {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}
pub(super) use now as NOW;
pub(super) use this_moment as THIS_MOMENT;
