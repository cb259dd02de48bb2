//! What callers wrote is sealed in the read models, and gone with the workspace's key.

use std::os::unix::fs::PermissionsExt as _;

use event_store::documents::DOCUMENT_KEY;
use event_store::{Append, EventStore as _, SideRow};
use serde_json::json;

use crate::lives::{Document, completed, leased};
use crate::receiver::{Receiver, Reply};
use crate::service::{OWNER, Service};

#[tokio::test]
async fn the_file_holds_no_word_of_the_callers_and_nobody_else_may_read_it() {
    let mut service = Service::start().await;
    let mut receiver = Receiver::start(&[Reply::Status(200)]).await;
    let url = receiver.url();
    let mut document = Document::with_metadata(&[("client-name", "Confidential Ltd")]);
    document.webhook_url = Some(format!("{url}?token=t0psecret"));
    let mut life = service.submit(&document).await;
    life.append(service.store.as_ref(), &[leased(), completed("renders/a/1", b"film", "film.mp4")]).await;
    receiver.next().await;
    let path = format!("/v1/renders/{}", life.id);
    assert_eq!(service.get(&path).await.json()["metadata"], json!({ "client-name": "Confidential Ltd" }));
    service.stop().await;
    for name in ["read.db", "read.db-wal"] {
        let file = service.directory.path().join(name);
        let Ok(bytes) = std::fs::read(&file) else { continue };
        for word in ["Confidential", "client-name", "t0psecret", &url] {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} is not in {name}");
        }
        let mode = std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name} is its owner's alone");
    }
}

#[tokio::test]
async fn without_its_workspaces_key_a_job_is_only_what_the_log_tells() {
    let service = Service::start().await;
    let life = service.submit(&Document::with_metadata(&[("a", "b")])).await;
    let path = format!("/v1/renders/{}", life.id);
    assert_eq!(service.get(&path).await.json()["metadata"], json!({ "a": "b" }));
    let (_, another) = service.vault.new_workspace_key();
    let row = SideRow::PutSecret { workspace: OWNER, name: DOCUMENT_KEY.to_owned(), bytes: another };
    service.store.append(Append { rows: vec![row], ..Append::default() }).await.expect("puts it");
    let job = service.get(&path).await.json();
    assert_eq!((&job["metadata"], &job["status"]), (&json!({}), &json!("queued")), "{job}");
}
