//! The first start, and later ones.

use axum::http::StatusCode;
use event_store::EventStore as _;

use super::service::{KEY, Service, film};
use crate::{FirstKey, FirstWorkspaceError};
use event_store::documents::{WEBHOOK_SECRET, webhook_secret_context};

async fn opens(service: &Service, key: &str) -> bool {
    let answer = service.post_with(&[("authorization", &format!("Bearer {key}"))], &film()).await;
    answer.status == StatusCode::ACCEPTED
}

async fn webhook_secret(service: &Service) -> String {
    let workspace = service.store.workspaces().await.expect("memory")[0];
    let sealed =
        service.store.secret(workspace, WEBHOOK_SECRET).await.expect("memory").expect("there is one");
    let vault = &service.role.workspaces().vault;
    String::from_utf8(vault.unseal(&webhook_secret_context(workspace), &sealed).expect("ours"))
        .expect("a text")
}

#[tokio::test]
async fn the_first_start_makes_a_key_that_opens_the_workspace() {
    let service = Service::bare().await;
    let FirstKey::Made(key) = service.role.ensure_first_workspace(None, None).await.expect("an empty store")
    else {
        panic!("none was given")
    };
    assert!(key.starts_with("fl_live_") && key.len() > 40, "{key}");
    assert!(opens(&service, &key).await, "it works at once");
    assert!(webhook_secret(&service).await.starts_with("whsec_"));
    let later = service.role.ensure_first_workspace(None, None).await.expect("it exists");
    assert_eq!(later, FirstKey::Existing, "shown once, kept nowhere");
    assert_eq!(service.store.workspaces().await.expect("memory").len(), 1);
}

#[tokio::test]
async fn a_key_given_at_any_start_opens_the_workspace() {
    let service = Service::start().await;
    assert!(opens(&service, KEY).await);
    let second = "fl_live_another_key_of_ours";
    for _ in 0..2 {
        let first =
            service.role.ensure_first_workspace(Some(second.to_owned()), None).await.expect("a good key");
        assert_eq!(first, FirstKey::Given);
    }
    assert!(opens(&service, second).await && opens(&service, KEY).await, "the older one stays");
}

#[tokio::test]
async fn a_webhook_secret_given_at_a_later_start_replaces_the_stored_one() {
    let service = Service::start().await;
    let before = webhook_secret(&service).await;
    let given = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    service.role.ensure_first_workspace(None, Some(given.to_owned())).await.expect("a good secret");
    assert_ne!(before, given);
    assert_eq!(webhook_secret(&service).await, given);
}

#[tokio::test]
async fn keys_that_could_be_guessed_and_secrets_of_another_form_are_refused() {
    let service = Service::bare().await;
    let short = service.role.ensure_first_workspace(Some("fl_live_1".to_owned()), None).await;
    assert!(matches!(short, Err(FirstWorkspaceError::BadKey)), "{short:?}");
    for secret in ["whsec_", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "whsec_AAEC"] {
        let refused = service.role.ensure_first_workspace(None, Some(secret.to_owned())).await;
        assert!(matches!(refused, Err(FirstWorkspaceError::BadSecret)), "{secret}: {refused:?}");
    }
    assert_eq!(service.store.workspaces().await.expect("memory"), [], "and nothing was made");
}
