//! Where media bytes lie: sources by digest, parts, artifacts; and the signed links that serve them.
//!
//! Promises: an object is whole or absent, and never replaced; keys are paths of a closed alphabet.
//! Must not know: what the bytes mean, events, databases.

pub mod key;
pub mod link;
pub mod local;
pub mod port;
pub mod s3;

pub use link::{ARTIFACT_RETENTION_MS, Grant, LinkSigner, Refusal};
pub use local::LocalStorage;
pub use port::{Moved, ObjectReader, Storage, StorageError, View};
pub use s3::{OpenS3Error, S3Credentials, S3Options, S3Place, S3Storage};
