//! Where a test's read models are: in a database.

use event_store::{PostgresOptions, Route};
use query::read_db::ReadPlace;

use crate::server::Database;

/// A database of a test's own.
#[derive(Debug)]
pub(crate) struct Place(Database);

impl Place {
    pub(crate) async fn new() -> Place {
        Place(Database::create().await)
    }

    pub(crate) fn read_db(&self) -> ReadPlace {
        let options = PostgresOptions::parse(&self.0.address(), Route::Direct).expect("an address");
        ReadPlace::Postgres(Box::new(options))
    }
}
