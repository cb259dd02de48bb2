//! `DELETE /v1/renders/{id}`.

use axum::http::{Method, StatusCode};
use domain::workspace::Command;
use events::work::{HeartbeatReply, Outcome, ReportReply};
use events::workspace::ApiKeyCreated;
use events::{KeyId, RenderId, Sha256, StreamId, WorkspaceId};

use super::service::{Service, film, part, request};
use crate::handler::{Along, Origin};

#[tokio::test]
async fn a_cancelled_job_is_over_in_the_answer() {
    let service = Service::start().await;
    let render = service.submit().await;
    let answer = service.delete(render).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["status"], "cancelled");
    assert_eq!(answer.body["metadata"]["customer"], "7");
    assert_eq!(answer.body["completed_at"], answer.body["updated_at"]);
    let history = service.history(render).await;
    assert_eq!(history, ["RenderSubmitted", "RenderQueued", "CancelRequested", "RenderCancelled"]);
    assert_eq!(service.claim_with("lavapipe").await, None, "nothing of it is left to do");
}

#[tokio::test]
async fn whoever_is_at_it_is_told_and_refused() {
    let service = Service::start().await;
    let render = service.planned(false).await;
    let order = service.claim().await;
    service.delete(render).await;
    assert_eq!(service.bus.cancelled(), [render], "told at once");
    assert_eq!(service.beat(&order, 1, 1).await, HeartbeatReply::Stop, "and again by heartbeat");
    let reply = service.report(&order, Outcome::Stored(part(&order))).await;
    assert!(matches!(reply, ReportReply::Refused { .. }), "{reply:?}");
}

#[tokio::test]
async fn what_is_over_can_not_be_cancelled() {
    let service = Service::start().await;
    let render = service.submit().await;
    service.delete(render).await;
    let again = service.delete(render).await;
    assert_eq!((again.status, again.error()), (StatusCode::CONFLICT, ("conflict", vec![])));
    let completed = service.complete().await;
    let answer = service.delete(completed).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let message = answer.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("completed"), "{message}");
}

#[tokio::test]
async fn a_render_of_nobody_and_one_of_another_workspace_are_not_there_alike() {
    let service = Service::start().await;
    let render = service.submit().await;
    let stranger = "fl_live_the_strangers_key";
    add_workspace(&service, stranger).await;
    let authorization = format!("Bearer {stranger}");
    let headers = [("authorization", authorization.as_str())];
    let mut messages = Vec::new();
    for id in
        [render.to_string(), RenderId::new(999).to_string(), "render_nonsense".to_owned(), "x".to_owned()]
    {
        let answer = service.send(request(Method::DELETE, &format!("/v1/renders/{id}"), &headers, "")).await;
        assert_eq!((answer.status, answer.error()), (StatusCode::NOT_FOUND, ("not_found", vec![])), "{id}");
        messages.push(answer.body["error"]["message"].as_str().expect("a message").replace(&id, "…"));
    }
    assert!(
        messages.windows(2).all(|pair| pair[0] == pair[1]),
        "no answer tells that it exists: {messages:?}"
    );
    assert_eq!(service.history(render).await.len(), 2, "and it was left alone");
    let own = service.post_with(&headers, &film()).await;
    assert_ne!(own.body["workspace_id"], service.delete(render).await.body["workspace_id"]);
}

async fn add_workspace(service: &Service, key: &str) {
    let workspace = WorkspaceId::new(4242);
    let origin = Origin { workspace: Some(workspace), ..Origin::system() };
    let workspaces = service.role.workspaces();
    let (_, document_key) = workspaces.vault.new_workspace_key();
    let name = event_store::documents::DOCUMENT_KEY.to_owned();
    let secret = event_store::SideRow::PutSecret { workspace, name, bytes: document_key };
    let created = ApiKeyCreated {
        key_id: KeyId::new(4242),
        name: "stranger".to_owned(),
        key_sha256: Sha256::of(key.as_bytes()),
        key_prefix: "fl_live_".to_owned(),
        idempotency_key_hash: None,
    };
    let stream = StreamId::from(workspace);
    let create = |_: &domain::Workspace| Command::Create { name: "another".to_owned() };
    workspaces.handler.execute(&stream, &origin, Along::rows(vec![secret]), create).await.expect("it is new");
    let add = |_: &domain::Workspace| Command::AddKey(created.clone());
    workspaces.handler.execute(&stream, &origin, Along::default(), add).await.expect("it is new");
}
