//! Where media bytes lie: sources by digest, parts, artifacts; and the signed links that serve them.
//!
//! Promises: an object is whole or absent (written aside, then linked into place); keys are paths of a closed alphabet.
//! Must not know: what the bytes mean, events, databases.

pub mod key;
pub mod link;
pub mod local;
pub mod port;

pub use link::{ARTIFACT_RETENTION_MS, Grant, LinkSigner, Refusal};
pub use local::LocalStorage;
pub use port::{ObjectReader, Storage, StorageError};
