//! Events of a workspace's life. Keys appear hashed only.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::envelope::EncodedEvent;
use crate::id::KeyId;
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
    pub const TYPES: &'static [(&'static str, u16)] =
        &[("WorkspaceCreated", 1), ("WorkspaceChanged", 1), ("ApiKeyCreated", 2), ("ApiKeyRevoked", 1)];

    /// Type, current version and bytes, for the log.
    #[must_use]
    pub fn encode(&self) -> EncodedEvent {
        match self {
            WorkspaceEvent::WorkspaceCreated(data) => encode_data("WorkspaceCreated", 1, data),
            WorkspaceEvent::WorkspaceChanged(data) => encode_data("WorkspaceChanged", 1, data),
            WorkspaceEvent::ApiKeyCreated(data) => encode_data("ApiKeyCreated", 2, data),
            WorkspaceEvent::ApiKeyRevoked(data) => encode_data("ApiKeyRevoked", 1, data),
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
            _ => return Ok(None),
        }))
    }
}
