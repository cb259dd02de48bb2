//! The command side's other tables.

use std::sync::Arc;

use event_store::{ApiKeyRow, Append, AppendError, EventStore, IdempotencyRow, IdempotencyScope, SideRow};
use events::{KeyId, Sha256, WorkspaceId};

use crate::words::{OTHER, OWNER, part, put, render, stream, streams};

fn scope(path: &str, key: u8) -> IdempotencyScope {
    IdempotencyScope { workspace: OWNER, path: path.to_owned(), key_sha256: Sha256([key; 32]) }
}

fn used_for(number: u128) -> IdempotencyRow {
    IdempotencyRow { body_sha256: Sha256([9; 32]), stream: stream(number) }
}

fn submission(number: u128, keep_ms: u64) -> Append {
    let row = SideRow::PutIdempotency { scope: scope("/v1/renders", 1), row: used_for(number), keep_ms };
    Append { rows: vec![row], ..streams(vec![part(stream(number), 0, 1)]) }
}

pub(crate) async fn one_of_two_racing_requests_takes_the_idempotency_key(store: Arc<dyn EventStore>) {
    for round in 0..10_u8 {
        let race = [1, 2].map(|lane| {
            let store = store.clone();
            tokio::spawn(async move {
                let number = u128::from(round) * 10 + lane;
                let mut append = submission(number, 3_600_000);
                let row = SideRow::PutIdempotency {
                    scope: scope("/v1/renders", round),
                    row: used_for(number),
                    keep_ms: 3_600_000,
                };
                append.rows = vec![row];
                store.append(append).await.map(|recorded| recorded[0].stream_id.clone())
            })
        });
        let mut winner = None;
        for lane in race {
            match lane.await.unwrap() {
                Ok(stream) => assert_eq!(winner.replace(stream), None, "both were made"),
                Err(AppendError::IdempotencyKeyTaken) => {}
                Err(other) => panic!("got {other:?}"),
            }
        }
        let row = store.idempotent(&scope("/v1/renders", round)).await.unwrap().unwrap();
        assert_eq!(Some(row.stream), winner, "the loser finds the winner");
    }
    assert_eq!(store.head().await.unwrap().position.0, 10);
}

pub(crate) async fn an_idempotency_key_lapses(store: Arc<dyn EventStore>) {
    store.append(submission(1, 0)).await.unwrap();
    assert_eq!(store.idempotent(&scope("/v1/renders", 1)).await.unwrap(), None, "kept for no time at all");
    store.append(submission(2, 3_600_000)).await.unwrap();
    assert_eq!(store.idempotent(&scope("/v1/renders", 1)).await.unwrap(), Some(used_for(2)));
    assert!(matches!(store.append(submission(3, 0)).await, Err(AppendError::IdempotencyKeyTaken)));
    assert_eq!(store.idempotent(&scope("/v1/tasks", 1)).await.unwrap(), None, "another path");
    assert_eq!(store.idempotent(&scope("/v1/renders", 2)).await.unwrap(), None, "another key");
}

pub(crate) async fn a_document_is_kept_once_per_workspace(store: Arc<dyn EventStore>) {
    let document = |workspace: WorkspaceId, bytes: &[u8]| SideRow::PutDocument {
        workspace,
        sha256: Sha256([1; 32]),
        bytes: bytes.to_vec(),
    };
    put(&*store, vec![document(OWNER, b"first"), document(OWNER, b"second")]).await;
    put(&*store, vec![document(OWNER, b"third")]).await;
    assert_eq!(store.document(OWNER, Sha256([1; 32])).await.unwrap().as_deref(), Some(b"first".as_slice()));
    assert_eq!(store.document(OTHER, Sha256([1; 32])).await.unwrap(), None);
    assert_eq!(store.document(OWNER, Sha256([2; 32])).await.unwrap(), None);
}

pub(crate) async fn a_key_opens_its_workspace_until_it_is_deleted(store: Arc<dyn EventStore>) {
    let key = ApiKeyRow { key_sha256: Sha256([5; 32]), key_id: KeyId::new(7), workspace: OWNER };
    put(&*store, vec![SideRow::PutApiKey(key)]).await;
    assert_eq!(store.api_key(key.key_sha256).await.unwrap(), Some(key));
    assert_eq!(store.api_key(Sha256([6; 32])).await.unwrap(), None);
    put(&*store, vec![SideRow::DeleteApiKey(key.key_sha256)]).await;
    assert_eq!(store.api_key(key.key_sha256).await.unwrap(), None);
}

pub(crate) async fn a_secret_is_replaced(store: Arc<dyn EventStore>) {
    let secret = |bytes: &[u8]| SideRow::PutSecret {
        workspace: OWNER,
        name: "webhook_secret".to_owned(),
        bytes: bytes.to_vec(),
    };
    put(&*store, vec![secret(b"old")]).await;
    put(&*store, vec![secret(b"new")]).await;
    assert_eq!(store.secret(OWNER, "webhook_secret").await.unwrap().as_deref(), Some(b"new".as_slice()));
    assert_eq!(store.secret(OWNER, "document_key").await.unwrap(), None);
    assert_eq!(store.secret(OTHER, "webhook_secret").await.unwrap(), None);
}

pub(crate) async fn workspaces_are_listed_oldest_first(store: Arc<dyn EventStore>) {
    assert_eq!(store.workspaces().await.unwrap(), []);
    for workspace in [OTHER, OWNER, OTHER] {
        put(&*store, vec![SideRow::PutWorkspace(workspace)]).await;
    }
    assert_eq!(store.workspaces().await.unwrap(), [OTHER, OWNER]);
}

pub(crate) async fn a_deadline_passes_while_its_render_lives(store: Arc<dyn EventStore>) {
    let now = store.now().await.unwrap();
    let open = |number, deadline| SideRow::OpenRender { render: render(number), workspace: OWNER, deadline };
    let rows = vec![
        open(1, None),
        open(2, Some(now.plus_ms(3_600_000))),
        open(3, Some(now.plus_ms(-1))),
        open(4, Some(now.plus_ms(-2))),
    ];
    put(&*store, rows).await;
    assert_eq!(store.overdue_renders(10).await.unwrap(), [render(4), render(3)]);
    assert_eq!(store.overdue_renders(1).await.unwrap(), [render(4)], "at most as many as asked for");
    put(&*store, vec![SideRow::CloseRender(render(4))]).await;
    assert_eq!(store.overdue_renders(10).await.unwrap(), [render(3)]);
}

pub(crate) async fn an_artifact_is_kept_until_it_is_deleted(store: Arc<dyn EventStore>) {
    put(&*store, vec![SideRow::PutArtifact(render(1))]).await;
    put(&*store, vec![SideRow::PutArtifact(render(2))]).await;
    let now = store.now().await.unwrap();
    assert_eq!(store.artifacts_finished_by(now.plus_ms(-3_600_000), 10).await.unwrap(), [], "too young");
    assert_eq!(store.artifacts_finished_by(now, 10).await.unwrap(), [render(1), render(2)]);
    assert_eq!(store.artifacts_finished_by(now, 1).await.unwrap(), [render(1)], "the oldest first");
    put(&*store, vec![SideRow::DeleteArtifact(render(1))]).await;
    assert_eq!(store.artifacts_finished_by(now, 10).await.unwrap(), [render(2)]);
}
