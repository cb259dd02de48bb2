//! Where a test's read models are: in a file.

use query::read_db::ReadPlace;

/// A place of a test's own.
#[derive(Debug)]
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) async fn new() -> Place {
        Place(tempfile::tempdir().expect("a scratch directory"))
    }

    pub(crate) fn read_db(&self) -> ReadPlace {
        ReadPlace::File(self.0.path().join("read.db"))
    }
}
