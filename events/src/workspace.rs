//! Events of a workspace's life. Keys appear hashed only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::envelope::{EncodedEvent, Position};
use crate::id::{KeyId, WebhookId};
use crate::upcast::{DecodeError, decode_data, encode_data};

/// A past fact about a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceEvent {
    /// It exists.
    WorkspaceCreated(WorkspaceCreated),
    /// Its settings are others from now on.
    WorkspaceChanged(WorkspaceChanged),
    /// A key opens it.
    ApiKeyCreated(ApiKeyCreated),
    /// A key opens it no more.
    ApiKeyRevoked(ApiKeyRevoked),
    /// An endpoint is told of its events.
    WebhookCreated(WebhookCreated),
    /// An endpoint's settings are others from now on.
    WebhookChanged(WebhookChanged),
    /// An endpoint is told of nothing more.
    WebhookDeleted(WebhookDeleted),
    /// An endpoint is told of nothing until somebody enables it again.
    WebhookDisabled(WebhookDisabled),
    /// An endpoint is sent a message to try it.
    WebhookTested(WebhookTested),
    /// An endpoint is told once more of what has happened.
    WebhookReplayed(WebhookReplayed),
}

/// See [`WorkspaceEvent::WebhookTested`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTested {
    /// Which one.
    pub webhook_id: WebhookId,
}

/// See [`WorkspaceEvent::WebhookReplayed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookReplayed {
    /// Which one.
    pub webhook_id: WebhookId,
    /// The first event's place in the log.
    pub from: Position,
    /// The last one's.
    pub to: Position,
    /// Of which types; empty: of all it is told of.
    pub types: Vec<String>,
    /// How many events are told of.
    pub events: u32,
    /// The digest of the Idempotency-Key it was asked for with, where one was given.
    pub idempotency_key_hash: Option<Sha256>,
}

impl WebhookReplayed {
    /// Whether events of a type are told of once more to an endpoint with these settings.
    #[must_use]
    pub fn tells(&self, settings: &WebhookSettings, event_type: &str) -> bool {
        let types = if self.types.is_empty() { &settings.events } else { &self.types };
        types.is_empty() || types.iter().any(|wanted| wanted == event_type)
    }
}

/// See [`WorkspaceEvent::WebhookCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookCreated {
    /// The endpoint's name in the API.
    pub webhook_id: WebhookId,
    /// Its settings.
    #[serde(flatten)]
    pub settings: WebhookSettings,
    /// The digest of the Idempotency-Key it was asked for with, where one was given.
    pub idempotency_key_hash: Option<Sha256>,
}

/// See [`WorkspaceEvent::WebhookChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookChanged {
    /// Which one.
    pub webhook_id: WebhookId,
    /// All settings as they are now.
    #[serde(flatten)]
    pub settings: WebhookSettings,
}

/// What an endpoint is told, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSettings {
    /// The digest of its address, which lies encrypted beside the log: it may hold secrets.
    pub address: Sha256,
    /// The types it is told of; empty: all.
    pub events: Vec<String>,
    /// Whether it is told of anything.
    pub enabled: bool,
}

/// See [`WorkspaceEvent::WebhookDeleted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDeleted {
    /// Which one.
    pub webhook_id: WebhookId,
}

/// See [`WorkspaceEvent::WebhookDisabled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDisabled {
    /// Which one.
    pub webhook_id: WebhookId,
    /// Why.
    pub reason: DisableReason,
}

/// The types that an endpoint can be told of.
pub const WEBHOOK_EVENTS: [&str; 14] = [
    "render.queued",
    "render.processing",
    "render.progress",
    "render.completed",
    "render.failed",
    "render.cancelled",
    "task.queued",
    "task.processing",
    "task.progress",
    "task.completed",
    "task.failed",
    "task.cancelled",
    "asset.ready",
    "asset.failed",
];

/// The types that an endpoint is told of which asks for none by name.
pub const WEBHOOK_EVENTS_DEFAULT: [&str; 5] =
    ["render.completed", "render.failed", "task.completed", "task.failed", "asset.ready"];

impl WebhookSettings {
    /// Whether the endpoint is told of an event of this type.
    #[must_use]
    pub fn hears(&self, event_type: &str) -> bool {
        self.enabled && (self.events.is_empty() || self.events.iter().any(|wanted| wanted == event_type))
    }
}

/// Why the service stops telling an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisableReason {
    /// It answered 410.
    Gone,
    /// For five days nothing has arrived.
    Failing,
}

/// See [`WorkspaceEvent::WorkspaceCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceCreated {
    /// For people.
    pub name: String,
}

/// See [`WorkspaceEvent::WorkspaceChanged`]: all settings as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceChanged {
    /// For people.
    pub name: String,
    /// Whether foreign sources are copied first where a request does not say.
    pub ingest_external: bool,
    /// Renders in work at once; `None`: as many as the installation's setting says.
    pub concurrency: Option<u32>,
}

/// See [`WorkspaceEvent::ApiKeyCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// The key's name in the API.
    pub key_id: KeyId,
    /// For people.
    pub name: String,
    /// The digest of the whole key.
    pub key_sha256: Sha256,
    /// The first characters, so that people recognise it.
    pub key_prefix: String,
    /// The digest of the Idempotency-Key it was asked for with, where one was given. Since version 2.
    #[serde(default)]
    pub idempotency_key_hash: Option<Sha256>,
}

/// See [`WorkspaceEvent::ApiKeyRevoked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {
    /// Which one.
    pub key_id: KeyId,
}

impl WorkspaceEvent {
    /// Every type of this stream with its current version: `wire/` holds a sample of each.
    pub const TYPES: &'static [(&'static str, u16)] = &[
        ("WorkspaceCreated", 1),
        ("WorkspaceChanged", 1),
        ("ApiKeyCreated", 2),
        ("ApiKeyRevoked", 1),
        ("WebhookCreated", 1),
        ("WebhookChanged", 1),
        ("WebhookDeleted", 1),
        ("WebhookDisabled", 1),
        ("WebhookTested", 1),
        ("WebhookReplayed", 1),
    ];

    /// Type, current version and bytes, for the log.
    #[must_use]
    pub fn encode(&self) -> EncodedEvent {
        match self {
            WorkspaceEvent::WorkspaceCreated(data) => encode_data("WorkspaceCreated", 1, data),
            WorkspaceEvent::WorkspaceChanged(data) => encode_data("WorkspaceChanged", 1, data),
            WorkspaceEvent::ApiKeyCreated(data) => encode_data("ApiKeyCreated", 2, data),
            WorkspaceEvent::ApiKeyRevoked(data) => encode_data("ApiKeyRevoked", 1, data),
            WorkspaceEvent::WebhookCreated(data) => encode_data("WebhookCreated", 1, data),
            WorkspaceEvent::WebhookChanged(data) => encode_data("WebhookChanged", 1, data),
            WorkspaceEvent::WebhookDeleted(data) => encode_data("WebhookDeleted", 1, data),
            WorkspaceEvent::WebhookDisabled(data) => encode_data("WebhookDisabled", 1, data),
            WorkspaceEvent::WebhookTested(data) => encode_data("WebhookTested", 1, data),
            WorkspaceEvent::WebhookReplayed(data) => encode_data("WebhookReplayed", 1, data),
        }
    }

    /// Reads a stored event of any version; `Ok(None)` where the type belongs to another kind of stream.
    ///
    /// # Errors
    /// Where the bytes are not what that type and version promise.
    pub fn decode(stored: &EncodedEvent) -> Result<Option<WorkspaceEvent>, DecodeError> {
        Ok(Some(match stored.event_type.as_str() {
            "WorkspaceCreated" => WorkspaceEvent::WorkspaceCreated(decode_data(stored)?),
            "WorkspaceChanged" => WorkspaceEvent::WorkspaceChanged(decode_data(stored)?),
            "ApiKeyCreated" => WorkspaceEvent::ApiKeyCreated(decode_data(stored)?),
            "ApiKeyRevoked" => WorkspaceEvent::ApiKeyRevoked(decode_data(stored)?),
            "WebhookCreated" => WorkspaceEvent::WebhookCreated(decode_data(stored)?),
            "WebhookChanged" => WorkspaceEvent::WebhookChanged(decode_data(stored)?),
            "WebhookDeleted" => WorkspaceEvent::WebhookDeleted(decode_data(stored)?),
            "WebhookDisabled" => WorkspaceEvent::WebhookDisabled(decode_data(stored)?),
            "WebhookTested" => WorkspaceEvent::WebhookTested(decode_data(stored)?),
            "WebhookReplayed" => WorkspaceEvent::WebhookReplayed(decode_data(stored)?),
            _ => return Ok(None),
        }))
    }
}
