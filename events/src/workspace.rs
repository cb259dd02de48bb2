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
}

/// See [`WorkspaceEvent::ApiKeyRevoked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRevoked {
    /// Which one.
    pub key_id: KeyId,
}

impl WorkspaceEvent {
    /// Type, current version and bytes, for the log.
    #[must_use]
    pub fn encode(&self) -> EncodedEvent {
        match self {
            WorkspaceEvent::WorkspaceCreated(data) => encode_data("WorkspaceCreated", 1, data),
            WorkspaceEvent::ApiKeyCreated(data) => encode_data("ApiKeyCreated", 1, data),
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
            "ApiKeyCreated" => WorkspaceEvent::ApiKeyCreated(decode_data(stored)?),
            "ApiKeyRevoked" => WorkspaceEvent::ApiKeyRevoked(decode_data(stored)?),
            _ => return Ok(None),
        }))
    }
}
