//! A workspace as its callers read it: settings, keys, and what it has used.

use axum::http::StatusCode;
use event_store::{Append, EventStore, StreamAppend};
use events::workspace::{ApiKeyCreated, WorkspaceChanged, WorkspaceCreated};
use events::{
    Actor, EventId, KeyId, NewEvent, Sha256, StreamId, StreamVersion, Timestamp, WorkspaceEvent, WorkspaceId,
};
use serde_json::{Value, json};
use storage::{LinkSigner, Storage as _};

use crate::lives::{self, Document};
use crate::service::{OWNER, STRANGER, Service};

const FILM: &[u8] = b"0123456789";

/// A workspace with a name, a limit, and this many keys besides.
async fn begin(service: &Service, workspace: WorkspaceId, keys: u128) {
    let mut life = vec![
        WorkspaceEvent::WorkspaceCreated(WorkspaceCreated { name: "default".to_owned() }),
        WorkspaceEvent::WorkspaceChanged(WorkspaceChanged {
            name: format!("studio of {workspace}"),
            ingest_external: false,
            concurrency: Some(3),
        }),
    ];
    life.extend((1..=keys).map(|number| {
        WorkspaceEvent::ApiKeyCreated(ApiKeyCreated {
            key_id: KeyId::new(workspace.bits() << 64 | number),
            name: format!("key {number}"),
            key_sha256: Sha256::of(format!("{workspace} {number}").as_bytes()),
            key_prefix: "fl_live_abcd".to_owned(),
            idempotency_key_hash: None,
        })
    }));
    let events = life.iter().map(|event| NewEvent {
        event_id: EventId::new(lives::fresh()),
        event: event.encode(),
        workspace_id: workspace,
        correlation_id: "test".to_owned(),
        causation_id: None,
        actor: Actor::system(),
        traceparent: None,
    });
    let stream = StreamAppend {
        stream: StreamId::from(workspace),
        expected: StreamVersion(0),
        events: events.collect(),
    };
    service.store.append(Append { streams: vec![stream], ..Append::default() }).await.expect("to append");
}

async fn json_of(service: &Service, key: &str, path: &str) -> Value {
    let answer = service.get_as(key, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_workspace_is_read_as_it_is_now() {
    let service = Service::start().await;
    begin(&service, OWNER, 1).await;
    let read = json_of(&service, "fl_live_owner", "/v1/workspace").await;
    let expected = json!({
        "id": OWNER, "name": format!("studio of {OWNER}"), "ingest_external": false, "concurrency": 3,
        "created_at": read["created_at"], "updated_at": read["updated_at"],
    });
    assert_eq!(read, expected);
    assert!(read["created_at"].as_str().is_some_and(|at| Timestamp::parse(at).is_some()), "{read}");
}

#[tokio::test]
async fn keys_are_listed_newest_first_without_the_keys_themselves() {
    let service = Service::start().await;
    begin(&service, OWNER, 5).await;
    begin(&service, STRANGER, 2).await;
    let mut names = Vec::new();
    let mut path = "/v1/api-keys?limit=2".to_owned();
    loop {
        let page = json_of(&service, "fl_live_owner", &path).await;
        for key in page["data"].as_array().expect("a page") {
            let fields: Vec<_> = key.as_object().expect("a key").keys().map(String::as_str).collect();
            assert_eq!(fields, ["created_at", "id", "key_prefix", "name"], "and nothing else");
            names.push(key["name"].as_str().expect("a name").to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(page["has_more"], false);
            break;
        };
        path = format!("/v1/api-keys?limit=2&cursor={cursor}");
    }
    assert_eq!(names, ["key 5", "key 4", "key 3", "key 2", "key 1"]);
    let refused = service.get("/v1/api-keys?limit=0&cursor=nonsense").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.json()["error"]["details"].as_array().map(Vec::len), Some(2), "{}", refused.text());
}

#[tokio::test]
async fn usage_is_minutes_of_film_and_bytes_sent_in_this_month() {
    let mut service = Service::start().await;
    let before = json_of(&service, "fl_live_owner", "/v1/workspace/usage").await;
    let nothing = json!({
        "period_start": before["period_start"], "period_end": before["period_end"],
        "render_minutes": 0.0, "task_count": 0, "egress_bytes": 0,
    });
    assert_eq!(before, nothing);
    let (start, end) =
        Timestamp::parse(before["period_start"].as_str().expect("text")).expect("an instant").month();
    assert_eq!(
        (&before["period_start"], &before["period_end"]),
        (&json!(start.to_string()), &json!(end.to_string()))
    );

    for _ in 0..3 {
        let mut life = service.submit(&Document::default()).await;
        life.append(service.store.as_ref(), &[lives::completed("a", FILM, "film.mp4")]).await;
    }
    let mut life = service.submit(&Document::default()).await;
    life.append(service.store.as_ref(), &[lives::cancelled()]).await;
    let used = json_of(&service, "fl_live_owner", "/v1/workspace/usage").await;
    assert_eq!(used["render_minutes"], 3.0 * 2.0 / 60.0, "three films of two seconds: {used}");

    let key = format!("renders/{}/assemble/9", life.id);
    service.storage.put_bytes(&key, FILM).await.expect("stores");
    let signer = LinkSigner::new("http://films.example", [3; 32]);
    let link = signer.link(&key, "film.mp4", None, Timestamp(4_000_000_000_000_000));
    let link = link.strip_prefix("http://films.example").expect("below the public URL").to_owned();
    for (method, range) in [("GET", None), ("GET", Some("bytes=0-3")), ("HEAD", None)] {
        let request = axum::http::Request::builder().method(method).uri(&link);
        let request = if let Some(range) = range { request.header("range", range) } else { request };
        assert!(service.ask(request).await.status.is_success(), "{method} {range:?}");
    }
    let used = json_of(&service, "fl_live_owner", "/v1/workspace/usage").await;
    assert_eq!(used["egress_bytes"], 14, "what was sent, and no more: {used}");

    service.stop().await;
    service.is_elsewhere = true;
    service.run(crate::service::fast_webhooks()).await;
    for (method, range) in [("GET", None), ("GET", Some("bytes=0-3")), ("HEAD", None)] {
        let request = axum::http::Request::builder().method(method).uri(&link);
        let request = if let Some(range) = range { request.header("range", range) } else { request };
        assert!(service.ask(request).await.status.is_redirection(), "{method} {range:?}");
    }
    let used = json_of(&service, "fl_live_owner", "/v1/workspace/usage").await;
    assert_eq!(used["egress_bytes"], 28, "what was asked for counts as sent: {used}");
    assert_eq!(json_of(&service, "fl_live_stranger", "/v1/workspace/usage").await["egress_bytes"], 0);

    service.stop().await;
    service.run(crate::service::fast_webhooks()).await;
    assert_eq!(
        json_of(&service, "fl_live_owner", "/v1/workspace/usage").await,
        used,
        "nothing is counted twice"
    );
    service.stop().await;
    query::rebuild(service.store.clone(), service.vault.clone(), &service.read_db(), |_| ())
        .await
        .expect("rebuilds");
    service.run(crate::service::fast_webhooks()).await;
    assert_eq!(json_of(&service, "fl_live_owner", "/v1/workspace/usage").await, used, "nor lost");
}
