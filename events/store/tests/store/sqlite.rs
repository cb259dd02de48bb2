//! What the file promises beyond the port: it outlives the process, refuses changes, and shows those made
//! behind its back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use event_store::audit::Finding;
use event_store::{Append, AppendError, EventStore, SideRow, SqliteStore, StoreError, Verdict, verify};
use events::{Position, Sha256, StreamVersion, WorkspaceId};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};

use crate::words::events;

struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Scratch {
        Scratch { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(SqliteStore::open(&self.path()).await.unwrap())
    }
}

/// A connection past all of the store's own care.
async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(|_done| ())
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let scratch = Scratch::new();
    let store = scratch.open().await;
    let secret = SideRow::PutSecret { workspace: WorkspaceId::new(1), name: "a".to_owned(), bytes: vec![1] };
    let recorded = store.append(Append { rows: vec![secret], ..events(1, 0, 40) }).await.unwrap();
    let head = store.head().await.unwrap();
    // Dropped, not closed: what was answered is on the disk already.
    drop(store);
    let store = scratch.open().await;
    assert_eq!(store.read_after(Position(0), 100).await.unwrap(), recorded);
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(*store.committed().borrow(), head.position);
    assert_eq!(store.secret(WorkspaceId::new(1), "a").await.unwrap(), Some(vec![1]));
    let refused = store.append(events(1, 0, 1)).await;
    assert!(
        matches!(refused, Err(AppendError::Conflict { actual: StreamVersion(40), .. })),
        "got {refused:?}"
    );
    store.append(events(1, 40, 1)).await.unwrap();
    assert!(matches!(verify(&store, None, |_| {}).await.unwrap(), Verdict::Intact(_)), "the chain goes on");
}

#[tokio::test]
async fn the_copy_of_a_file_in_use_is_a_log_that_opens() {
    let scratch = Scratch::new();
    let store = scratch.open().await;
    store.append(events(1, 0, 40)).await.unwrap();
    // What a power cut leaves: the files as they are, nothing closed.
    let copy = Scratch::new();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(scratch.folder.path().join(name), copy.folder.path().join(name)).unwrap();
    }
    let restored = copy.open().await;
    assert_eq!(restored.head().await.unwrap(), store.head().await.unwrap());
    assert!(matches!(verify(&restored, None, |_| {}).await.unwrap(), Verdict::Intact(_)));
}

#[tokio::test]
async fn two_processes_share_one_log() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.open().await, scratch.open().await);
    one.append(events(1, 0, 1)).await.unwrap();
    two.append(events(1, 1, 1)).await.unwrap();
    let refused = one.append(events(1, 1, 1)).await;
    assert!(
        matches!(refused, Err(AppendError::Conflict { actual: StreamVersion(2), .. })),
        "got {refused:?}"
    );
    one.append(events(2, 0, 1)).await.unwrap();
    let head = two.head().await.unwrap();
    assert_eq!(head.position, Position(3));
    assert_eq!(verify(&two, None, |_| {}).await.unwrap(), Verdict::Intact(head));
}

#[tokio::test]
async fn stored_events_refuse_to_be_changed() {
    let scratch = Scratch::new();
    let store = scratch.open().await;
    store.append(events(1, 0, 3)).await.unwrap();
    let mut connection = raw(&scratch.path()).await;
    for sql in [
        "UPDATE events SET data = X'00' WHERE position = 2",
        "DELETE FROM events WHERE position = 2",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE position = 2",
        "INSERT INTO events SELECT position + 7, zeroblob(16), 'x', 1, type, schema_version, workspace_id, \
         correlation_id, causation_id, actor, traceparent, recorded_at, data, hash FROM events LIMIT 1",
    ] {
        assert!(execute(&mut connection, sql).await.is_err(), "{sql}");
    }
    assert_eq!(store.read_after(Position(0), 10).await.unwrap().len(), 3);
    assert!(matches!(verify(&store, None, |_| {}).await.unwrap(), Verdict::Intact(_)));
}

/// The verdict on a log of 20 events after `sql` was done to it without its triggers.
async fn verdict_after(sql: &'static str, anchored: bool) -> Verdict {
    let scratch = Scratch::new();
    let store = scratch.open().await;
    store.append(events(1, 0, 20)).await.unwrap();
    let head = store.head().await.unwrap();
    let mut connection = raw(&scratch.path()).await;
    execute(&mut connection, "DROP TRIGGER events_are_never_updated; DROP TRIGGER events_are_never_deleted")
        .await
        .unwrap();
    execute(&mut connection, sql).await.unwrap();
    verify(&store, anchored.then_some((head.position, head.hash)), |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_flipped_byte_is_named_by_its_position() {
    for sql in [
        "UPDATE events SET data = X'7b2261223a327d' WHERE position IN (13, 17)",
        "UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 13",
        "UPDATE events SET actor = 'someone' WHERE position = 13",
        "UPDATE events SET hash = zeroblob(32) WHERE position = 13",
    ] {
        let verdict = verdict_after(sql, false).await;
        assert_eq!(verdict, Verdict::Altered { position: Position(13), finding: Finding::Changed }, "{sql}");
    }
}

#[tokio::test]
async fn what_is_missing_or_unreadable_is_named_by_its_position() {
    for sql in [
        "DELETE FROM events WHERE position = 13",
        "UPDATE events SET workspace_id = 'nobody' WHERE position = 13",
        "DELETE FROM events WHERE position = 13; \
         UPDATE events SET workspace_id = 'nobody' WHERE position = 15",
    ] {
        let verdict = verdict_after(sql, false).await;
        assert!(
            matches!(verdict, Verdict::Altered { position: Position(13), finding: Finding::Unreadable(_) }),
            "{sql}: {verdict:?}"
        );
    }
    let earlier = verdict_after(
        "DELETE FROM events WHERE position = 13; UPDATE events SET actor = 'someone' WHERE position = 5",
        false,
    );
    assert_eq!(earlier.await, Verdict::Altered { position: Position(5), finding: Finding::Changed });
}

#[tokio::test]
async fn a_cut_off_end_shows_against_an_anchor() {
    let cut = "DELETE FROM events WHERE position > 15";
    assert!(
        matches!(verdict_after(cut, false).await, Verdict::Intact(head) if head.position == Position(15))
    );
    let verdict = verdict_after(cut, true).await;
    assert_eq!(verdict, Verdict::Altered { position: Position(16), finding: Finding::CutOff });
}

#[tokio::test]
async fn a_reader_stops_at_a_hole() {
    let scratch = Scratch::new();
    let store = scratch.open().await;
    store.append(events(1, 0, 5)).await.unwrap();
    let mut connection = raw(&scratch.path()).await;
    execute(&mut connection, "DROP TRIGGER events_are_never_deleted; DELETE FROM events WHERE position = 3")
        .await
        .unwrap();
    let refused = store.read_after(Position(0), 10).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { position: Position(3), .. })), "got {refused:?}");
    let refused = store.read_after(Position(2), 10).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { position: Position(3), .. })), "got {refused:?}");
}

#[tokio::test]
async fn the_head_outlives_a_failed_batch() {
    let scratch = Scratch::new();
    let store = scratch.open().await;
    store.append(events(1, 0, 1)).await.unwrap();
    let mut connection = raw(&scratch.path()).await;
    execute(
        &mut connection,
        "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk full'); END",
    )
    .await
    .unwrap();
    assert!(matches!(store.append(events(1, 1, 1)).await, Err(AppendError::Store(_))));
    execute(&mut connection, "DROP TRIGGER full").await.unwrap();
    let recorded = store.append(events(1, 1, 1)).await.unwrap();
    assert_eq!(recorded[0].position, Position(2), "the failed append left no gap");
    assert_eq!(store.head().await.unwrap().hash, recorded[0].hash);
    assert_ne!(recorded[0].hash, Sha256([0; 32]));
}
