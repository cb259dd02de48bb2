//! From stored bytes of any version to today's event: stored bytes never change, readers do.
//!
//! How to change an event's shape: raise its version in `encode`, add a file under `upcast/` with a pure function from
//! the old JSON value to the new one, call it in [`upcast`], and add the new version's sample to `wire/`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::envelope::EncodedEvent;

/// Stored bytes that are not what their type and version promise.
#[derive(Debug, Error)]
#[error("could not decode a stored {event_type} of version {schema_version}")]
pub struct DecodeError {
    /// The stored type.
    pub event_type: String,
    /// The stored version.
    pub schema_version: u16,
    /// What the reader objected to.
    #[source]
    pub source: serde_json::Error,
}

/// Writes an event's data for the log.
pub(crate) fn encode_data<T: Serialize>(event_type: &str, schema_version: u16, data: &T) -> EncodedEvent {
    // Events hold strings, numbers, lists and maps with string keys only: those always have a JSON form.
    let data = serde_json::to_vec(data).expect("an event is always representable in JSON");
    EncodedEvent { event_type: event_type.to_owned(), schema_version, data }
}

/// Reads an event's data, through the upcasters.
pub(crate) fn decode_data<T: DeserializeOwned>(stored: &EncodedEvent) -> Result<T, DecodeError> {
    serde_json::from_slice(upcast(stored)).map_err(|source| DecodeError {
        event_type: stored.event_type.clone(),
        schema_version: stored.schema_version,
        source,
    })
}

/// Today's form of the stored bytes. Every event is still in its first version: they pass unchanged.
fn upcast(stored: &EncodedEvent) -> &[u8] {
    &stored.data
}
