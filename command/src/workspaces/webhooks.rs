//! What callers ask of their workspace's webhook endpoints. An address may hold secrets: it lies with the documents, sealed,
//! and the log names it by digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Workspace;
use domain::workspace::Command;
use event_store::documents::DOCUMENT_KEY;
use event_store::{
    SideRow, VaultError, WebhookSecretError, read_document, replace_webhook_secret, seal_document,
};
use events::workspace::{DisableReason, WebhookCreated, WebhookSettings};
use events::workspace_view::WebhookView;
use events::{Sha256, StreamId, Timestamp, WebhookId, WorkspaceId};
use thiserror::Error;

use super::requests::{RequestError, WorkspaceError};
use super::{SECRET_PREFIX, Workspaces};
use crate::handler::{Along, ExecuteError, Origin};
use crate::idempotency::Idempotency;

/// What an endpoint is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) url: Option<String>,
    pub(crate) events: Option<Vec<String>>,
    pub(crate) enabled: Option<bool>,
}

/// An endpoint as it is after a request, and where it is.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) webhook: WebhookView,
    pub(crate) url: Option<String>,
    /// It was made before, by the same request.
    pub(crate) replayed: bool,
}

/// A webhook request that was not carried out.
#[derive(Debug, Error)]
pub(crate) enum WebhookError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("could not seal a webhook's address: the workspace has no document key")]
    NoKey,
    #[error("could not seal a webhook's address")]
    Vault(#[from] VaultError),
    #[error("could not replace the webhook secret")]
    Secret(#[from] WebhookSecretError),
    #[error("there is no webhook {0}")]
    Unknown(WebhookId),
}

impl Workspaces {
    /// Makes an endpoint, once for each idempotency key.
    pub(crate) async fn create_webhook(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        url: &str,
        wanted: Wanted,
        idempotency: Option<&Idempotency>,
        keep_ms: u64,
    ) -> Result<Told, WebhookError> {
        let stream = StreamId::from(workspace);
        let (address, put_address) = self.seal_address(workspace, url).await?;
        loop {
            if let Some(idempotency) = idempotency {
                let made = idempotency.made(self.store.as_ref()).await.map_err(RequestError::from)?;
                if made.is_some() {
                    return self.webhook_made_before(workspace, idempotency).await;
                }
            }
            let events = wanted.events.clone().unwrap_or_default();
            let enabled = wanted.enabled.unwrap_or(true);
            let created = WebhookCreated {
                webhook_id: WebhookId::new(self.world.id()),
                settings: WebhookSettings { address, events, enabled },
                idempotency_key_hash: idempotency.map(Idempotency::key_sha256),
            };
            let mut rows = vec![put_address.clone()];
            rows.extend(idempotency.map(|it| it.row(stream.clone(), keep_ms)));
            let ask = |_: &Workspace| Command::CreateWebhook(created.clone());
            match self.handler.execute(&stream, origin, Along::rows(rows), ask).await {
                Ok(_) => return self.webhook(workspace, created.webhook_id).await,
                // Someone was faster with the same idempotency key: theirs is the endpoint.
                Err(ExecuteError::KeyTaken) => {}
                Err(error) => return Err(RequestError::from(error).into()),
            }
        }
    }

    /// Changes an endpoint; what is not given stays.
    pub(crate) async fn change_webhook(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        webhook_id: WebhookId,
        wanted: Wanted,
    ) -> Result<Told, WebhookError> {
        let mut rows = Vec::new();
        let mut address = None;
        if let Some(url) = &wanted.url {
            let (sha256, put_address) = self.seal_address(workspace, url).await?;
            rows.push(put_address);
            address = Some(sha256);
        }
        let Wanted { events, enabled, .. } = wanted;
        let change = Command::ChangeWebhook { webhook_id, address, events, enabled };
        let ask = |_: &Workspace| change.clone();
        let changed = self.handler.execute(&StreamId::from(workspace), origin, Along::rows(rows), ask).await;
        changed.map_err(RequestError::from)?;
        self.webhook(workspace, webhook_id).await
    }

    /// Tells an endpoint nothing more.
    pub(crate) async fn delete_webhook(
        &self,
        workspace: WorkspaceId,
        origin: &Origin,
        webhook_id: WebhookId,
    ) -> Result<(), WorkspaceError> {
        let ask = |_: &Workspace| Command::DeleteWebhook { webhook_id };
        self.handler.execute(&StreamId::from(workspace), origin, Along::default(), ask).await.map(drop)
    }

    /// Tells an endpoint nothing until somebody enables it. What the service decides itself.
    pub(crate) async fn disable_webhook(
        &self,
        workspace: WorkspaceId,
        webhook_id: WebhookId,
        reason: DisableReason,
    ) -> Result<(), WorkspaceError> {
        let origin = Origin { workspace: Some(workspace), ..Origin::system() };
        let ask = |_: &Workspace| Command::DisableWebhook { webhook_id, reason };
        self.handler.execute(&StreamId::from(workspace), &origin, Along::default(), ask).await.map(drop)
    }

    /// Puts a new secret in the place of the current one, which signs beside it for `overlap_ms` more; the new one, and
    /// when the older one ends.
    pub(crate) async fn rotate_secret(
        &self,
        workspace: WorkspaceId,
        webhook_id: WebhookId,
        overlap_ms: i64,
    ) -> Result<(String, Timestamp), WebhookError> {
        self.webhook(workspace, webhook_id).await?;
        let secret = format!("{SECRET_PREFIX}{}", STANDARD.encode(self.random()));
        replace_webhook_secret(&self.store, &self.vault, workspace, &secret, overlap_ms).await?;
        let now = self.store.now().await.map_err(RequestError::from)?;
        Ok((secret, now.plus_ms(overlap_ms)))
    }

    async fn seal_address(
        &self,
        workspace: WorkspaceId,
        url: &str,
    ) -> Result<(Sha256, SideRow), WebhookError> {
        let wrapped = self.store.secret(workspace, DOCUMENT_KEY).await.map_err(RequestError::from)?;
        let key = self.vault.workspace_key(&wrapped.ok_or(WebhookError::NoKey)?)?;
        Ok(seal_document(&key, workspace, url.as_bytes()))
    }

    pub(crate) async fn webhook(
        &self,
        workspace: WorkspaceId,
        webhook_id: WebhookId,
    ) -> Result<Told, WebhookError> {
        let webhooks = self.view(workspace).await?.map(|view| view.webhooks).unwrap_or_default();
        let webhook = webhooks.into_iter().find(|webhook| webhook.id == webhook_id);
        self.told(workspace, webhook.ok_or(WebhookError::Unknown(webhook_id))?, false).await
    }

    async fn webhook_made_before(
        &self,
        workspace: WorkspaceId,
        idempotency: &Idempotency,
    ) -> Result<Told, WebhookError> {
        let webhooks = self.view(workspace).await?.map(|view| view.webhooks).unwrap_or_default();
        let hash = Some(idempotency.key_sha256());
        let webhook = webhooks.into_iter().rfind(|webhook| webhook.idempotency_key_hash == hash);
        self.told(workspace, webhook.ok_or(RequestError::Revoked)?, true).await
    }

    async fn told(
        &self,
        workspace: WorkspaceId,
        webhook: WebhookView,
        replayed: bool,
    ) -> Result<Told, WebhookError> {
        let address = webhook.settings.address;
        let url = read_document(self.store.as_ref(), &self.vault, workspace, address).await;
        let url = url.inspect_err(|error| tracing::error!(%error, "a webhook's address can't be read")).ok();
        let url = url.flatten().and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(Told { webhook, url, replayed })
    }
}
