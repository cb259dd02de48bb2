//! The secrets that a workspace's webhooks are signed with: the current one, and for a while the one before it.
//!
//! A receiver takes a new secret when it can. Until then both sign, so that no message is refused in between; when the
//! overlap is over the older one signs no more. Both are kept sealed.

use std::sync::Arc;

use events::{Timestamp, WorkspaceId};
use thiserror::Error;

use crate::documents::{WEBHOOK_SECRET, webhook_secret_context};
use crate::store::{Append, AppendError, EventStore, SideRow, StoreError};
use crate::vault::{Vault, VaultError};

/// The name of the secret before the current one, with its end.
const PREVIOUS: &str = "webhook_secret_previous";

/// The secrets could not be read or replaced. Holds nothing of them.
#[derive(Debug, Error)]
pub enum WebhookSecretError {
    /// The store failed.
    #[error("could not read the workspace's webhook secret")]
    Store(#[from] StoreError),
    /// It was not written.
    #[error("could not replace the workspace's webhook secret")]
    Append(#[from] AppendError),
    /// It was sealed elsewhere.
    #[error("could not open the workspace's webhook secret")]
    Sealed(#[from] VaultError),
    /// The workspace has none.
    #[error("could not find the workspace's webhook secret")]
    Missing,
    /// It is no text.
    #[error("could not use the workspace's webhook secret: it is no text")]
    NoText,
}

/// What to sign with at `now`: the current secret first.
///
/// # Errors
/// [`WebhookSecretError`].
pub async fn webhook_secrets(
    store: &dyn EventStore,
    vault: &Vault,
    workspace: WorkspaceId,
    now: Timestamp,
) -> Result<Vec<String>, WebhookSecretError> {
    let current = store.secret(workspace, WEBHOOK_SECRET).await?.ok_or(WebhookSecretError::Missing)?;
    let mut secrets = vec![unsealed(vault, &webhook_secret_context(workspace), &current)?];
    if let Some(sealed) = store.secret(workspace, PREVIOUS).await? {
        let previous = unsealed(vault, &previous_context(workspace), &sealed)?;
        let (until, secret) = previous.split_once(' ').ok_or(WebhookSecretError::NoText)?;
        let until: i64 = until.parse().map_err(|_no_number| WebhookSecretError::NoText)?;
        if now < Timestamp(until) {
            secrets.push(secret.to_owned());
        }
    }
    Ok(secrets)
}

/// Puts `secret` in the place of the current one, which signs beside it for `overlap_ms` more.
///
/// # Errors
/// [`WebhookSecretError`].
pub async fn replace_webhook_secret(
    store: &Arc<dyn EventStore>,
    vault: &Vault,
    workspace: WorkspaceId,
    secret: &str,
    overlap_ms: i64,
) -> Result<(), WebhookSecretError> {
    let now = store.now().await?;
    let current = webhook_secrets(store.as_ref(), vault, workspace, now).await?.swap_remove(0);
    let previous = format!("{} {current}", now.plus_ms(overlap_ms).0);
    let put = |name: &str, context: Vec<u8>, plain: &str| SideRow::PutSecret {
        workspace,
        name: name.to_owned(),
        bytes: vault.seal(&context, plain.as_bytes()),
    };
    let rows = vec![
        put(WEBHOOK_SECRET, webhook_secret_context(workspace), secret),
        put(PREVIOUS, previous_context(workspace), &previous),
    ];
    store.append(Append { rows, ..Append::default() }).await?;
    Ok(())
}

fn previous_context(workspace: WorkspaceId) -> Vec<u8> {
    format!("{PREVIOUS} {workspace}").into_bytes()
}

fn unsealed(vault: &Vault, context: &[u8], sealed: &[u8]) -> Result<String, WebhookSecretError> {
    String::from_utf8(vault.unseal(context, sealed)?).map_err(|_bytes| WebhookSecretError::NoText)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use zeroize::Zeroizing;

    use super::*;
    use crate::memory::MemoryStore;

    #[tokio::test]
    async fn the_older_secret_signs_until_its_overlap_is_over() {
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let now = Arc::clone(&clock);
        let store: Arc<dyn EventStore> =
            Arc::new(MemoryStore::with_clock(move || Timestamp(now.load(Ordering::SeqCst))));
        let vault = Vault::with_master_key(Zeroizing::new([7; 32]));
        let workspace = WorkspaceId::new(1);
        let secrets = async || {
            let now = store.now().await.expect("a clock");
            webhook_secrets(store.as_ref(), &vault, workspace, now).await
        };
        assert!(matches!(secrets().await, Err(WebhookSecretError::Missing)), "there is none yet");

        let bytes = vault.seal(&webhook_secret_context(workspace), b"first");
        let rows = vec![SideRow::PutSecret { workspace, name: WEBHOOK_SECRET.to_owned(), bytes }];
        store.append(Append { rows, ..Append::default() }).await.expect("written");
        assert_eq!(secrets().await.expect("one"), ["first"]);

        replace_webhook_secret(&store, &vault, workspace, "second", 1000).await.expect("replaced");
        assert_eq!(secrets().await.expect("two"), ["second", "first"], "both sign for a while");
        clock.fetch_add(1_000_000, Ordering::SeqCst);
        assert_eq!(secrets().await.expect("one"), ["second"], "the overlap is over");
    }
}
