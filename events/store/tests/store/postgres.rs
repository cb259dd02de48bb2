//! What the database promises beyond the port: several nodes, one log; it refuses changes and shows those made behind
//! its back; servers may stop and start, and a proxy may lie between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::audit::Finding;
use event_store::{
    Append, AppendError, EventStore, OpenPostgresError, PostgresOptions, PostgresStore, Route, SideRow,
    StoreError, Subscription, Verdict, verify,
};
use events::{Position, Sha256, StreamVersion, WorkspaceId};

use crate::server::{Database, Pooler, execute};
use crate::words::{events, part, stream, streams};

async fn try_open(address: &str, route: Route) -> Result<Arc<dyn EventStore>, OpenPostgresError> {
    Ok(Arc::new(PostgresStore::open(PostgresOptions::parse(address, route)?).await?))
}

async fn open(database: &Database) -> Arc<dyn EventStore> {
    try_open(&database.address(), Route::Direct).await.unwrap()
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let database = Database::create().await;
    let store = open(&database).await;
    let secret = SideRow::PutSecret { workspace: WorkspaceId::new(1), name: "a".to_owned(), bytes: vec![1] };
    let recorded = store.append(Append { rows: vec![secret], ..events(1, 0, 40) }).await.unwrap();
    let head = store.head().await.unwrap();
    drop(store);
    let store = open(&database).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_that_start_at_once_make_the_schema_once() {
    let database = Database::create().await;
    let starting: Vec<_> = (0..8)
        .map(|_| {
            let address = database.address();
            tokio::spawn(async move { try_open(&address, Route::Direct).await })
        })
        .collect();
    let mut nodes = Vec::new();
    for node in starting {
        nodes.push(node.await.unwrap().unwrap());
    }
    for (number, node) in (0..).zip(&nodes) {
        node.append(events(number, 0, 1)).await.unwrap();
    }
    assert_eq!(nodes[0].head().await.unwrap().position, Position(8));
}

#[tokio::test]
async fn nodes_share_one_log() {
    let database = Database::create().await;
    let (one, two) = (open(&database).await, open(&database).await);
    one.append(events(1, 0, 1)).await.unwrap();
    two.append(events(1, 1, 1)).await.unwrap();
    let refused = one.append(events(1, 1, 1)).await;
    assert!(
        matches!(refused, Err(AppendError::Conflict { actual: StreamVersion(2), .. })),
        "what a node remembers is checked: got {refused:?}"
    );
    one.append(events(2, 0, 1)).await.unwrap();
    let head = two.head().await.unwrap();
    assert_eq!(head.position, Position(3));
    assert_eq!(verify(&two, None, |_| {}).await.unwrap(), Verdict::Intact(head));
}

#[tokio::test]
async fn a_commit_of_one_node_wakes_the_readers_of_another() {
    let database = Database::create().await;
    let (one, two) = (open(&database).await, open(&database).await);
    let mut told = two.committed();
    let mut quickest = Duration::MAX;
    for version in 0..5 {
        let mut reader = Subscription::new(two.clone(), Position(version), 10);
        let waiting = tokio::spawn(async move { reader.next_page().await.unwrap().len() });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        one.append(events(1, version, 1)).await.unwrap();
        assert_eq!(waiting.await.unwrap(), 1);
        quickest = quickest.min(started.elapsed());
    }
    assert!(quickest < Duration::from_millis(300), "readers only look by themselves: {quickest:?}");
    tokio::time::timeout(Duration::from_secs(10), told.wait_for(|head| *head == Position(5)))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn stored_events_refuse_to_be_changed() {
    let database = Database::create().await;
    let store = open(&database).await;
    store.append(events(1, 0, 3)).await.unwrap();
    let mut connection = database.raw().await;
    for sql in [
        "UPDATE events SET data = '' WHERE position = 2",
        "UPDATE events SET data = '' WHERE position = 99",
        "DELETE FROM events WHERE position = 2",
        "DELETE FROM events",
        "TRUNCATE events",
        "DELETE FROM log_head",
        "INSERT INTO log_head VALUES (FALSE)",
        "INSERT INTO events SELECT * FROM events WHERE position = 2",
        "INSERT INTO events SELECT * FROM events WHERE position = 2 \
         ON CONFLICT (position) DO UPDATE SET data = excluded.data",
        "INSERT INTO events SELECT position + 7, decode(repeat('00', 16), 'hex'), 'x', 1, type, schema_version, \
         workspace_id, correlation_id, causation_id, actor, traceparent, recorded_at, data, hash \
         FROM events LIMIT 1",
    ] {
        assert!(execute(&mut connection, sql).await.is_err(), "{sql}");
    }
    assert_eq!(store.read_after(Position(0), 10).await.unwrap().len(), 3);
    assert!(matches!(verify(&store, None, |_| {}).await.unwrap(), Verdict::Intact(_)));
}

/// The verdict on a log of 20 events after `sql` was done to it without its triggers.
async fn verdict_after(sql: &str, anchored: bool) -> Verdict {
    let database = Database::create().await;
    let store = open(&database).await;
    store.append(events(1, 0, 20)).await.unwrap();
    let head = store.head().await.unwrap();
    let mut connection = database.raw().await;
    execute(&mut connection, "ALTER TABLE events DISABLE TRIGGER ALL").await.unwrap();
    execute(&mut connection, sql).await.unwrap();
    verify(&store, anchored.then_some((head.position, head.hash)), |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_flipped_byte_is_named_by_its_position() {
    for sql in [
        "UPDATE events SET data = '{\"a\":2}' WHERE position IN (13, 17)",
        "UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 13",
        "UPDATE events SET actor = 'someone' WHERE position = 13",
        "UPDATE events SET traceparent = '' WHERE position = 13",
        "UPDATE events SET hash = decode(repeat('00', 32), 'hex') WHERE position = 13",
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
        "UPDATE events SET actor = '\\xff' WHERE position = 13",
        "UPDATE events SET schema_version = 70000 WHERE position = 13",
        "DELETE FROM events WHERE position = 13; \
         UPDATE events SET workspace_id = 'nobody' WHERE position = 15",
    ] {
        let verdict = verdict_after(sql, false).await;
        assert!(
            matches!(verdict, Verdict::Altered { position: Position(13), finding: Finding::Unreadable(_) }),
            "{sql}: {verdict:?}"
        );
    }
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
async fn the_head_outlives_a_failed_batch() {
    let database = Database::create().await;
    let store = open(&database).await;
    store.append(events(1, 0, 1)).await.unwrap();
    let mut connection = database.raw().await;
    let trouble = "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$; \
         CREATE TRIGGER trouble BEFORE INSERT ON events EXECUTE FUNCTION trouble()";
    execute(&mut connection, trouble).await.unwrap();
    let refused = store.append(events(1, 1, 1)).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Full { .. }))), "got {refused:?}");
    execute(&mut connection, "DROP TRIGGER trouble ON events").await.unwrap();
    let recorded = store.append(events(1, 1, 1)).await.unwrap();
    assert_eq!(recorded[0].position, Position(2), "the failed append left no gap");
    assert_eq!(store.head().await.unwrap().hash, recorded[0].hash);
    assert_ne!(recorded[0].hash, Sha256([0; 32]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_cannot_hold_disturbs_no_neighbour() {
    let database = Database::create().await;
    let store = open(&database).await;
    let secret = |name: String| SideRow::PutSecret { workspace: WorkspaceId::new(1), name, bytes: vec![1] };
    // A name with a character that TEXT cannot hold, and one that no index takes.
    let mut noise = String::new();
    for number in 0..2_000_u64 {
        noise.push_str(&Sha256::of(&number.to_be_bytes()).to_string());
    }
    for bad in ["a\u{0}b".to_owned(), noise] {
        let neighbours: Vec<_> = (0..20_u128)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    let version = store.load(&stream(number)).await.unwrap().len() as u64;
                    store.append(events(number, version, 1)).await
                })
            })
            .collect();
        let refused = store.append(Append { rows: vec![secret(bad)], ..Append::default() }).await;
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Database { .. }))), "got {refused:?}");
        for neighbour in neighbours {
            neighbour.await.unwrap().expect("an append in the same batch suffers for it");
        }
    }
}

#[tokio::test]
async fn a_node_that_stops_in_the_middle_gives_the_lock_back() {
    let database = Database::create().await;
    let store = open(&database).await;
    let mut stopped = database.raw().await;
    // As the ledger begins: then nothing more comes.
    execute(
        &mut stopped,
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '1s'; SELECT 1 FROM log_head FOR UPDATE",
    )
    .await
    .unwrap();
    let started = Instant::now();
    store.append(events(1, 0, 1)).await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(500), "the lock excludes nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_survived() {
    let mut database = Database::create_on_own_server().await;
    let store = open(&database).await;
    store.append(events(1, 0, 2)).await.unwrap();
    database.server().stop();
    let refused = store.append(events(1, 2, 1)).await;
    assert!(matches!(refused, Err(AppendError::Store(_))), "got {refused:?}");
    assert!(store.head().await.is_err(), "nobody answers");
    database.server().restart().await;
    assert_eq!(store.head().await.unwrap().position, Position(2), "readers connect again");
    let recorded = store.append(events(1, 2, 1)).await.unwrap();
    assert_eq!(recorded[0].position, Position(3), "so does the writer");
    // A restart while nothing goes on is noticed by nobody.
    database.server().stop();
    database.server().restart().await;
    store.append(events(1, 3, 1)).await.unwrap();
    // Commits of others are heard again.
    let other = open(&database).await;
    let mut told = store.committed();
    let heard = async {
        for version in 4.. {
            other.append(events(1, version, 1)).await.unwrap();
            let wanted = Position(version + 1);
            let heard = told.wait_for(|head| *head >= wanted);
            if tokio::time::timeout(Duration::from_millis(500), heard).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("notifications come again");
}

#[tokio::test]
async fn a_pooler_that_nobody_spoke_of_is_named() {
    let database = Database::create().await;
    let pooler = Pooler::start(&database).await;
    let store = try_open(pooler.address(), Route::Direct).await.unwrap();
    let append = |number: u128| streams(vec![part(stream(number), 0, 1)]);
    // Statements of one name meet sessions that know it and sessions that do not, sooner or later.
    let mut told = None;
    for number in 0..200 {
        let other = try_open(pooler.address(), Route::Direct).await;
        let failures = [
            store.append(append(number)).await.err().map(|error| chain(&error)),
            store.now().await.err().map(|error| chain(&error)),
            other.err().map(|error| chain(&error)),
        ];
        told = failures.into_iter().flatten().find(|told| told.contains("--database-pooler"));
        if told.is_some() {
            break;
        }
    }
    assert!(told.is_some(), "the remedy is told");
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn what_is_no_good_database_is_refused_with_the_remedy() {
    let database = Database::create().await;
    let refused = |told: &str, error: OpenPostgresError| {
        let text = chain(&error);
        assert!(text.contains(told) && !text.contains("s3cret"), "{text}");
    };
    let mut raw = database.raw().await;
    let name = database.address().rsplit('/').next().unwrap().to_owned();
    execute(&mut raw, &format!("ALTER DATABASE {name} SET synchronous_commit = off")).await.unwrap();
    refused("turn it on", try_open(&database.address(), Route::Direct).await.unwrap_err());
    execute(&mut raw, &format!("ALTER DATABASE {name} RESET synchronous_commit")).await.unwrap();
    drop(open(&database).await);
    execute(&mut raw, "INSERT INTO framelane_schema VALUES (99, now())").await.unwrap();
    refused("has schema version 99", try_open(&database.address(), Route::Direct).await.unwrap_err());
    refused("expected postgres://", try_open("mysql:s3cret", Route::Direct).await.unwrap_err());
    let nobody = "postgres://ann:s3cret@127.0.0.1:1/log";
    refused("127.0.0.1:1/log: connecting", try_open(nobody, Route::Direct).await.unwrap_err());
}
