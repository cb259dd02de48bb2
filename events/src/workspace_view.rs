//! The one fold from a workspace's events to what its clients see. Answers to requests that change it and to those that
//! read it both use it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::digest::Sha256;
use crate::envelope::Recorded;
use crate::id::{KeyId, WebhookId, WorkspaceId};
use crate::time::Timestamp;
use crate::upcast::DecodeError;
use crate::workspace::{DisableReason, WebhookSettings, WorkspaceEvent};

/// Everything about a workspace that its events tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceView {
    /// Its name in the API.
    pub id: WorkspaceId,
    /// For people.
    pub name: String,
    /// Whether foreign sources are copied first where a request does not say.
    pub ingest_external: bool,
    /// Renders in work at once; `None`: as many as the installation's setting says.
    pub concurrency: Option<u32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its settings last changed.
    pub updated_at: Timestamp,
    /// The keys that open it, oldest first.
    pub keys: Vec<KeyView>,
    /// The endpoints that are told of its events, oldest first.
    pub webhooks: Vec<WebhookView>,
}

/// An endpoint of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookView {
    /// Its name in the API.
    pub id: WebhookId,
    /// Where, what and whether.
    pub settings: WebhookSettings,
    /// Why the service told it nothing more, where it did.
    pub disabled: Option<DisableReason>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The digest of the Idempotency-Key it was asked for with.
    pub idempotency_key_hash: Option<Sha256>,
}

/// An endpoint as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Webhook {
    /// Its name in the API.
    pub id: WebhookId,
    /// Where events are posted to; `null` where it can't be read any more.
    pub url: Option<String>,
    /// The types it is told of; empty: all.
    pub events: Vec<String>,
    /// Whether it is told of anything.
    pub enabled: bool,
    /// ISO 8601, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// ISO 8601, UTC, milliseconds: when it was last sent something; `null`: never.
    #[schemars(extend("format" = "date-time"))]
    pub last_delivery_at: Option<String>,
    /// Why the service disabled it: it answered 410, or nothing has arrived for five days.
    #[schemars(extend("x-extension" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<DisableReason>,
}

impl WebhookView {
    /// The public endpoint.
    #[must_use]
    pub fn present(&self, url: Option<String>, last_delivery_at: Option<Timestamp>) -> Webhook {
        Webhook {
            id: self.id,
            url,
            events: self.settings.events.clone(),
            enabled: self.settings.enabled,
            created_at: self.created_at.to_string(),
            last_delivery_at: last_delivery_at.map(|at| at.to_string()),
            disabled_reason: self.disabled,
        }
    }
}

/// A key that opens a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Its name in the API.
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// The first characters, so that people recognise it.
    pub key_prefix: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The digest of the Idempotency-Key it was asked for with.
    pub idempotency_key_hash: Option<Sha256>,
}

/// A workspace as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Workspace {
    /// Its name in the API.
    pub id: WorkspaceId,
    /// For people.
    pub name: String,
    /// ISO 8601, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// ISO 8601, UTC, milliseconds: when its settings last changed.
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
    /// Whether foreign sources are copied into storage first where a request does not say.
    pub ingest_external: bool,
    /// How many of its renders may be in work at once; `null`: as many as the installation allows.
    pub concurrency: Option<u32>,
}

/// An API key as clients see it. The key itself is told once, when it is made, and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApiKey {
    /// Its name in the API.
    pub id: KeyId,
    /// For people.
    pub name: String,
    /// The key's first characters, so that people recognise it.
    pub key_prefix: String,
    /// ISO 8601, UTC, milliseconds.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
}

impl WorkspaceView {
    /// Folds the whole life of a workspace; `None` for an empty stream or one that is not a workspace's.
    ///
    /// # Errors
    /// Where a stored event can't be decoded.
    pub fn fold<'e>(
        events: impl IntoIterator<Item = &'e Recorded>,
    ) -> Result<Option<WorkspaceView>, DecodeError> {
        let mut view = None;
        for recorded in events {
            if let Some(event) = WorkspaceEvent::decode(&recorded.event)? {
                view = WorkspaceView::apply(view, &event, recorded);
            }
        }
        Ok(view)
    }

    /// The view after one more event. Total: an event that makes no sense here changes nothing.
    #[must_use]
    pub fn apply(
        view: Option<WorkspaceView>,
        event: &WorkspaceEvent,
        recorded: &Recorded,
    ) -> Option<WorkspaceView> {
        let Some(mut view) = view else {
            let WorkspaceEvent::WorkspaceCreated(created) = event else { return None };
            return Some(WorkspaceView {
                id: recorded.workspace_id,
                name: created.name.clone(),
                ingest_external: false,
                concurrency: None,
                created_at: recorded.recorded_at,
                updated_at: recorded.recorded_at,
                keys: Vec::new(),
                webhooks: Vec::new(),
            });
        };
        match event {
            WorkspaceEvent::WorkspaceCreated(_)
            | WorkspaceEvent::WebhookTested(_)
            | WorkspaceEvent::WebhookReplayed(_) => {}
            WorkspaceEvent::WorkspaceChanged(changed) => {
                view.name.clone_from(&changed.name);
                view.ingest_external = changed.ingest_external;
                view.concurrency = changed.concurrency;
                view.updated_at = recorded.recorded_at;
            }
            WorkspaceEvent::ApiKeyCreated(created) => view.keys.push(KeyView {
                id: created.key_id,
                name: created.name.clone(),
                key_prefix: created.key_prefix.clone(),
                created_at: recorded.recorded_at,
                idempotency_key_hash: created.idempotency_key_hash,
            }),
            WorkspaceEvent::ApiKeyRevoked(revoked) => view.keys.retain(|key| key.id != revoked.key_id),
            WorkspaceEvent::WebhookCreated(created) => view.webhooks.push(WebhookView {
                id: created.webhook_id,
                settings: created.settings.clone(),
                disabled: None,
                created_at: recorded.recorded_at,
                idempotency_key_hash: created.idempotency_key_hash,
            }),
            WorkspaceEvent::WebhookChanged(changed) => {
                if let Some(webhook) = view.webhook(changed.webhook_id) {
                    webhook.settings.clone_from(&changed.settings);
                    webhook.disabled = webhook.disabled.filter(|_| !changed.settings.enabled);
                }
            }
            WorkspaceEvent::WebhookDeleted(deleted) => {
                view.webhooks.retain(|webhook| webhook.id != deleted.webhook_id);
            }
            WorkspaceEvent::WebhookDisabled(disabled) => {
                if let Some(webhook) = view.webhook(disabled.webhook_id) {
                    webhook.settings.enabled = false;
                    webhook.disabled = Some(disabled.reason);
                }
            }
        }
        Some(view)
    }

    fn webhook(&mut self, id: WebhookId) -> Option<&mut WebhookView> {
        self.webhooks.iter_mut().find(|webhook| webhook.id == id)
    }

    /// The public workspace.
    #[must_use]
    pub fn present(&self) -> Workspace {
        Workspace {
            id: self.id,
            name: self.name.clone(),
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
            ingest_external: self.ingest_external,
            concurrency: self.concurrency,
        }
    }
}

impl KeyView {
    /// The public key.
    #[must_use]
    pub fn present(&self) -> ApiKey {
        ApiKey {
            id: self.id,
            name: self.name.clone(),
            key_prefix: self.key_prefix.clone(),
            created_at: self.created_at.to_string(),
        }
    }
}
