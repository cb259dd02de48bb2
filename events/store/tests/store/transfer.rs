//! Carrying a log from one database to another: nothing is lost or altered on the way, and what was altered is refused.

use std::path::Path;

use event_store::{
    ApiKeyRow, Append, Archive, EventStore, ExportError, IdempotencyRow, IdempotencyScope, ImportError,
    LeaseKey, NewQueueRow, PostgresOptions, PostgresStore, Route, SideRow, SqliteStore, export, import,
};
use events::{KeyId, Position, Sha256, Slot, StreamVersion, Timestamp, Token, WorkspaceId};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use crate::server::Database;
use crate::words::{OTHER, OWNER, events, put, render, stream};

async fn sqlite(folder: &Path, name: &str) -> SqliteStore {
    SqliteStore::open(&folder.join(name)).await.unwrap()
}

async fn postgres(database: &Database) -> PostgresStore {
    let options = PostgresOptions::parse(&database.address(), Route::Direct).unwrap();
    PostgresStore::open(options).await.unwrap()
}

async fn exported(archive: &dyn Archive, after: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    export(archive, Position(after), Some("key".to_owned()), &mut bytes, |_| {}).await.unwrap();
    bytes
}

async fn imported(archive: &dyn Archive, mut bytes: &[u8]) -> Result<(), ImportError> {
    import(archive, Some("key"), &mut bytes, |_| {}).await.map(|_carried| ())
}

fn lease() -> LeaseKey {
    LeaseKey { render: render(1), slot: Slot::Plan, token: Token(StreamVersion(2)) }
}

fn scope() -> IdempotencyScope {
    IdempotencyScope { workspace: OWNER, path: "/v1/renders".to_owned(), key_sha256: Sha256([5; 32]) }
}

fn waiting(number: u128, workspace: WorkspaceId) -> SideRow {
    SideRow::Enqueue(NewQueueRow {
        render: render(number),
        slot: Slot::Part(1),
        workspace,
        priority: -7,
        fingerprint: Some("engine ü\0".to_owned()),
        not_before: Some(Timestamp(1)),
        begun: true,
    })
}

/// A log of more than a page, with a row in every table.
async fn fill(store: &dyn EventStore) {
    store.append(events(1, 0, 1300)).await.unwrap();
    let mut odd = events(2, 0, 1);
    let event = &mut odd.streams[0].events[0];
    event.event.data = "{\"a\": \"\\u0000 \u{2028}ü\"}  ".as_bytes().to_vec();
    event.traceparent = Some(String::new());
    event.causation_id = Some(event.event_id);
    "quoted \" \\ \n ü".clone_into(&mut event.correlation_id);
    store.append(odd).await.unwrap();
    let key = ApiKeyRow { key_sha256: Sha256([4; 32]), key_id: KeyId::new(1), workspace: OWNER };
    let stream = stream(1);
    let open = |number, deadline| SideRow::OpenRender { render: render(number), workspace: OWNER, deadline };
    let secret =
        SideRow::PutSecret { workspace: OWNER, name: "document_key".to_owned(), bytes: vec![0, 255] };
    let document =
        |n: u8| SideRow::PutDocument { workspace: OWNER, sha256: Sha256([n; 32]), bytes: vec![n; 9000] };
    let rows = vec![
        SideRow::PutWorkspace(OTHER),
        SideRow::PutWorkspace(OWNER),
        SideRow::SetConcurrency(OWNER, Some(3)),
        SideRow::PutApiKey(key),
        secret,
        document(9),
        document(3),
        SideRow::PutIdempotency {
            scope: scope(),
            row: IdempotencyRow { body_sha256: Sha256([6; 32]), stream },
            keep_ms: 3_600_000,
        },
        open(1, Some(Timestamp(99))),
        open(2, None),
        SideRow::BeginRender(render(1), OWNER),
        waiting(2, OWNER),
        waiting(1, OTHER),
        SideRow::PutLease(lease(), 3_600_000),
        SideRow::PutArtifact(render(3)),
    ];
    put(store, rows).await;
}

/// Whatever the port tells of what [`fill`] made.
async fn told(store: &dyn EventStore) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        store.head().await.unwrap(),
        store.read_after(Position(0), 5000).await.unwrap(),
        store.workspaces().await.unwrap(),
        store.loads().await.unwrap(),
        store.api_key(Sha256([4; 32])).await.unwrap(),
        store.secret(OWNER, "document_key").await.unwrap(),
        store.document(OWNER, Sha256([9; 32])).await.unwrap().map(|bytes| bytes.len()),
        store.idempotent(&scope()).await.unwrap(),
        store.due_work(10, 10).await.unwrap(),
        store.artifacts_finished_by(Timestamp(i64::MAX), 10).await.unwrap(),
    )
}

#[tokio::test]
async fn a_log_goes_from_sqlite_to_postgres_and_back_without_losing_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create().await;
    let first = sqlite(folder.path(), "first.db").await;
    fill(&first).await;
    let export_of_first = exported(&first, 0).await;
    let second = postgres(&database).await;
    imported(&second, &export_of_first).await.unwrap();
    assert_eq!(told(&second).await, told(&first).await, "PostgreSQL tells the same");
    let export_of_second = exported(&second, 0).await;
    assert!(export_of_second == export_of_first, "PostgreSQL exports the same bytes");
    let third = sqlite(folder.path(), "third.db").await;
    imported(&third, &export_of_second).await.unwrap();
    assert_eq!(told(&third).await, told(&first).await, "SQLite tells the same again");
    assert!(exported(&third, 0).await == export_of_first, "and exports the same bytes");
    for store in [&second as &dyn EventStore, &third] {
        let ended: Vec<_> = store.expired_leases(10).await.unwrap().iter().map(|lease| lease.key).collect();
        assert_eq!(ended, [lease()], "whoever holds the log next offers the lease's work again");
        let more = store.append(events(1, 1300, 1)).await.unwrap();
        assert_eq!(more[0].position, Position(1302), "the log goes on");
    }
}

#[tokio::test]
async fn a_follower_takes_what_it_lacks_and_nothing_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create().await;
    let (leader, follower) = (postgres(&database).await, sqlite(folder.path(), "follower.db").await);
    leader.append(events(1, 0, 3)).await.unwrap();
    imported(&follower, &exported(&leader, 0).await).await.unwrap();
    leader.append(Append { rows: vec![SideRow::PutWorkspace(OWNER)], ..events(1, 3, 4) }).await.unwrap();
    let twice = imported(&follower, &exported(&leader, 0).await).await;
    assert!(matches!(twice, Err(ImportError::Elsewhere { .. })), "a log with events: got {twice:?}");
    let gap = imported(&follower, &exported(&leader, 4).await).await;
    assert!(matches!(gap, Err(ImportError::Elsewhere { .. })), "a gap: got {gap:?}");
    imported(&follower, &exported(&leader, 3).await).await.unwrap();
    assert_eq!(follower.head().await.unwrap(), leader.head().await.unwrap());
    assert_eq!(follower.workspaces().await.unwrap(), [OWNER], "its rows are the leader's");
    let stranger = sqlite(folder.path(), "stranger.db").await;
    stranger.append(events(8, 0, 3)).await.unwrap();
    let other = imported(&stranger, &exported(&leader, 3).await).await;
    assert!(matches!(other, Err(ImportError::Elsewhere { .. })), "another log's end: got {other:?}");
    let far = export(&leader, Position(8), None, &mut Vec::new(), |_| {}).await;
    assert!(matches!(far, Err(ExportError::NotThatFar { head: Position(7), .. })), "got {far:?}");
}

/// What becomes of an import into an empty log after `alter` was done to the lines of an export.
async fn refusal(alter: impl FnOnce(&mut Vec<String>)) -> ImportError {
    let folder = tempfile::tempdir().unwrap();
    let from = sqlite(folder.path(), "from.db").await;
    from.append(events(1, 0, 20)).await.unwrap();
    put(&from, vec![SideRow::PutWorkspace(OWNER), SideRow::PutWorkspace(OTHER)]).await;
    let text = String::from_utf8(exported(&from, 0).await).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 24, "a header, 20 events, 2 rows, an end");
    alter(&mut lines);
    let to = sqlite(folder.path(), "to.db").await;
    let refused = imported(&to, (lines.join("\n") + "\n").as_bytes()).await.unwrap_err();
    assert_eq!(to.head().await.unwrap().position, Position(0), "nothing of it is left: {refused}");
    assert_eq!(to.workspaces().await.unwrap(), []);
    refused
}

fn replace(line: usize, from: &str, to: &str) -> impl FnOnce(&mut Vec<String>) {
    let (from, to) = (from.to_owned(), to.to_owned());
    move |lines| {
        let changed = lines[line - 1].replacen(&from, &to, 1);
        assert_ne!(changed, lines[line - 1], "the change must change something");
        lines[line - 1] = changed;
    }
}

#[tokio::test]
async fn an_altered_event_is_refused_by_its_line_and_position() {
    let altered = |error: ImportError| match error {
        ImportError::Altered { line, position } => (line, position.0),
        other => panic!("got {other}"),
    };
    assert_eq!(altered(refusal(replace(14, "\\\"n\\\":12", "\\\"n\\\":13")).await), (14, 13));
    assert_eq!(altered(refusal(replace(14, "\"actor\":\"s", "\"actor\":\"t")).await), (14, 13));
    assert_eq!(altered(refusal(|lines| lines.swap(5, 6)).await), (6, 5));
    assert_eq!(altered(refusal(|lines| drop(lines.remove(8))).await), (9, 8));
    assert_eq!(altered(refusal(|lines| lines[3] = lines[2].clone()).await), (4, 3));
}

#[tokio::test]
async fn an_altered_header_row_or_end_is_refused_by_its_line() {
    let line = |error: ImportError| match error {
        ImportError::Line { line, .. } => line,
        other => panic!("got {other}"),
    };
    assert_eq!(line(refusal(replace(22, "ws_0", "ws_1")).await), 22, "a row");
    assert_eq!(line(refusal(|lines| lines.swap(21, 22)).await), 22, "rows in another order");
    assert_eq!(line(refusal(|lines| drop(lines.remove(21))).await), 22, "a row less");
    assert_eq!(line(refusal(|lines| drop(lines.remove(22))).await), 23, "the last row less");
    assert_eq!(line(refusal(|lines| drop(lines.remove(20))).await), 23, "the last event less");
    assert_eq!(line(refusal(replace(1, "master_key", "mister_key")).await), 22, "the header");
    assert_eq!(line(refusal(|lines| drop(lines.pop())).await), 24, "no end");
    assert_eq!(line(refusal(|lines| lines.push("{}".to_owned())).await), 24, "something after the end");
    assert_eq!(line(refusal(replace(5, "{", "(")).await), 5, "no JSON");
    let newer = refusal(replace(1, "\"format\":1", "\"format\":2")).await;
    assert!(matches!(newer, ImportError::Format { found: 2 }), "got {newer}");
}

#[tokio::test]
async fn what_another_master_key_sealed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(folder.path(), "from.db").await, sqlite(folder.path(), "to.db").await);
    from.append(events(1, 0, 1)).await.unwrap();
    let bytes = exported(&from, 0).await;
    let refused = import(&to, Some("another"), &mut bytes.as_slice(), |_| {}).await;
    assert!(matches!(refused, Err(ImportError::OtherMasterKey)), "got {refused:?}");
    import(&to, None, &mut bytes.as_slice(), |_| {}).await.unwrap();
}

#[tokio::test]
async fn an_altered_log_is_not_exported_beyond_the_last_sound_event() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path(), "log.db").await;
    store.append(events(1, 0, 20)).await.unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("log.db"));
    let sql = "DROP TRIGGER events_are_never_updated; UPDATE events SET actor = 'x' WHERE position = 13";
    sqlx::raw_sql(sql).execute(&mut options.connect().await.unwrap()).await.unwrap();
    let mut bytes = Vec::new();
    let refused = export(&store, Position(0), None, &mut bytes, |_| {}).await;
    assert!(matches!(refused, Err(ExportError::Altered { position: Position(13) })), "got {refused:?}");
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, 13, "a header and twelve events");
}
