//! Objects in a bucket of an S3 store: Amazon's, or any that speaks the same and honours conditional writes.
//!
//! ```text
//! s3://bucket/prefix/<key>             whole objects, never replaced; their digest in x-amz-meta-sha256
//! s3://bucket/prefix/probe/<random>    written, read and deleted at every start
//! ```
//! A put carries `If-None-Match: *`, so that the first one wins at the store itself; large files go in parts and appear when
//! the last one has. Uploads that a dead process left in parts are the bucket's to remove (a lifecycle rule).

mod cache;
mod place;
mod probe;
mod trouble;
mod upload;
mod wire;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::Sha256;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Location;
use object_store::signer::{Method, SignedUrlOptions, Signer as _};
use object_store::{
    Attribute, BackoffConfig, ClientOptions, GetOptions, GetRange, GetResult, ObjectStore as _,
    ObjectStoreExt as _, RetryConfig,
};
use sha2::Digest as _;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::StreamReader;

use crate::key;
use crate::port::{Moved, ObjectReader, Storage, StorageError, View};
use crate::s3::cache::Cache;
pub use crate::s3::place::{PlaceError, S3Credentials, S3Place};
use crate::s3::trouble::{Trouble, said};
use crate::s3::upload::Source;
use crate::s3::wire::Wire;

/// The digest's place among an object's own headers.
const DIGEST: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("sha256"));

/// The longest a signed address works: enough to begin a download, which then lasts as long as it lasts.
const ADDRESS_SECONDS_MAX: u64 = 15 * 60;

/// Requests are tried again for so long; a failure beyond that is one of the work's attempts.
const RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    },
    max_retries: 4,
    retry_timeout: Duration::from_secs(30),
};

/// How to reach an S3 store.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// Where the objects lie.
    pub place: S3Place,
    /// The server, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// The same server as clients reach it, where that is another address.
    pub public_endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// The bucket's name goes into the path, not into the host's name.
    pub path_style: bool,
    /// Hosts that may be spoken to without TLS.
    pub allow_http: Vec<String>,
    /// Clients are sent to the store for the bytes.
    pub redirect: bool,
    /// Who we are.
    pub credentials: S3Credentials,
    /// The folder of local copies.
    pub cache: PathBuf,
    /// Disk for them.
    pub cache_bytes_max: u64,
}

/// The store can't be used.
#[derive(Debug, Error)]
pub enum OpenS3Error {
    /// What was given makes no sense.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// No HTTP client.
    #[error(
        "could not make the HTTP client; are the system's root certificates installed (package ca-certificates)?"
    )]
    Client(#[source] reqwest::Error),
    /// The folder of copies can't be used.
    #[error("could not use the folder {} for copies of objects", .folder.display())]
    Cache {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The store was tried and something did not work.
    #[error("could not use {place} at {endpoint}: could not {doing} a trial object: {said}")]
    Unusable {
        /// Where the objects should lie.
        place: S3Place,
        /// The server.
        endpoint: String,
        /// What was being done.
        doing: &'static str,
        /// What was said.
        said: String,
    },
    /// The store replaces what is there although it is told not to.
    #[error(
        "could not use {place} at {endpoint}: it ignores conditional writes (If-None-Match: *) and replaced a trial object \
         that was there already, so two workers could overwrite each other's films; use a store that honours them, or a folder"
    )]
    Replaces {
        /// Where the objects should lie.
        place: S3Place,
        /// The server.
        endpoint: String,
    },
}

/// Storage in a bucket. Clones share connections and copies.
#[derive(Clone)]
pub struct S3Storage {
    place: S3Place,
    credentials: S3Credentials,
    store: Arc<AmazonS3>,
    /// Signs addresses for clients, where they are sent to the store.
    signer: Option<Arc<AmazonS3>>,
    cache: Arc<Cache>,
    uploads: Arc<upload::Uploads>,
}

impl S3Storage {
    /// Opens the storage and tries it: it is refused where it can't keep our promises.
    ///
    /// # Errors
    /// [`OpenS3Error`], with what to do about it.
    pub async fn open(options: S3Options) -> Result<S3Storage, OpenS3Error> {
        let wire = Wire::new().map_err(OpenS3Error::Client)?;
        let (store, endpoint) = client(&options, options.endpoint.as_deref(), &wire)?;
        let signer = if options.redirect {
            let public = options.public_endpoint.as_deref().or(options.endpoint.as_deref());
            Some(Arc::new(client(&options, public, &wire)?.0))
        } else {
            None
        };
        let S3Options { place, credentials, cache: folder, cache_bytes_max, .. } = options;
        let cache = Cache::open(&folder, cache_bytes_max)
            .map_err(|source| OpenS3Error::Cache { folder: folder.clone(), source })?;
        let (store, uploads) = (Arc::new(store), Arc::default());
        let storage = S3Storage { place, credentials, store, signer, cache: Arc::new(cache), uploads };
        probe::try_out(&storage, &endpoint).await?;
        Ok(storage)
    }

    fn location(&self, key: &str) -> Result<Location, StorageError> {
        key::check(key)?;
        Ok(Location::from(self.place.key(key)))
    }

    fn told(&self, doing: &'static str, key: &str, trouble: impl Into<Trouble>) -> StorageError {
        trouble.into().told(doing, self.place.name(key), &self.credentials)
    }

    /// Fetches the object into a file of the cache; the file's digest and size.
    async fn fetch(
        &self,
        location: &Location,
        file: &Path,
        expected: Option<Sha256>,
        moved: Moved<'_>,
    ) -> Result<(Sha256, u64), Trouble> {
        let found = self.store.get(location).await?;
        let (size, expected) = (found.meta.size, expected.or_else(|| kept_digest(&found)));
        let mut bytes = found.into_stream();
        let (mut file, mut hasher, mut length) =
            (tokio::fs::File::create_new(file).await?, sha2::Sha256::new(), 0);
        while let Some(chunk) = bytes.try_next().await? {
            hasher.update(&chunk);
            file.write_all(&chunk).await?;
            length += chunk.len() as u64;
            if !moved(chunk.len() as u64) {
                return Err(Trouble::GivenUp);
            }
        }
        file.flush().await?;
        let digest = Sha256(hasher.finalize().into());
        if length != size || expected.is_some_and(|expected| expected != digest) {
            return Err(Trouble::Changed);
        }
        Ok((digest, size))
    }
}

/// A client of the store at this address, and the address.
fn client(
    options: &S3Options,
    endpoint: Option<&str>,
    wire: &Wire,
) -> Result<(AmazonS3, String), OpenS3Error> {
    let S3Options { place, region, path_style, allow_http, credentials, .. } = options;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_virtual_hosted_style_request(!path_style)
        // Deleting many at once is not spoken everywhere.
        .with_disable_bulk_delete(true)
        // Whether the address may be one in clear was decided when it was read.
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(RETRIES)
        .with_http_connector(wire.clone());
    for (setting, value) in credentials.settings() {
        builder = builder.with_config(setting, value);
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    let mut shown = "Amazon S3".to_owned();
    if let Some(endpoint) = endpoint {
        shown = place::endpoint(endpoint, &place.bucket, *path_style, allow_http)?;
        builder = builder.with_endpoint(&shown);
    }
    let store = builder.build().map_err(|error| OpenS3Error::Unusable {
        place: place.clone(),
        endpoint: shown.clone(),
        doing: "sign requests for",
        said: said(&error, credentials),
    })?;
    Ok((store, shown))
}

/// The digest that was stored with an object.
fn kept_digest(found: &GetResult) -> Option<Sha256> {
    found.attributes.get(&DIGEST).and_then(|kept| Sha256::parse(kept))
}

#[async_trait]
impl Storage for S3Storage {
    async fn put_file(
        &self,
        key: &str,
        file: &Path,
        sha256: Sha256,
        moved: Moved<'_>,
    ) -> Result<(), StorageError> {
        let location = self.location(key)?;
        let told = |trouble: Trouble| self.told("store", key, trouble);
        let source = Source::open(file).await.map_err(|error| told(error.into()))?;
        self.uploads.send(&self.store, &location, source, sha256, moved).await.map_err(told)?;
        tokio::fs::remove_file(file).await.map_err(|error| told(error.into()))
    }

    async fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let (location, digest) = (self.location(key)?, Sha256::of(bytes));
        let source = Source::Bytes(bytes.to_vec().into());
        let sent = self.uploads.send(&self.store, &location, source, digest, &|_bytes| true).await;
        sent.map_err(|trouble| self.told("store", key, trouble))
    }

    async fn local_file(
        &self,
        key: &str,
        expected: Option<Sha256>,
        moved: Moved<'_>,
    ) -> Result<PathBuf, StorageError> {
        let location = self.location(key)?;
        if let Some((path, digest)) = self.cache.find(key) {
            let is_expected = expected.is_none_or(|expected| expected == digest);
            return if is_expected { Ok(path) } else { Err(self.told("read", key, Trouble::Changed)) };
        }
        let file = self.cache.aside();
        match self.fetch(&location, &file, expected, moved).await {
            Ok((digest, size_bytes)) => {
                self.cache.keep(key, file.clone(), digest, size_bytes);
                Ok(file)
            }
            Err(trouble) => {
                cache::remove(&file);
                Err(self.told("read", key, trouble))
            }
        }
    }

    async fn size(&self, key: &str) -> Result<u64, StorageError> {
        let found = self.store.head(&self.location(key)?).await;
        found.map(|found| found.size).map_err(|error| self.told("read", key, error))
    }

    async fn read(&self, key: &str, offset: u64) -> Result<ObjectReader, StorageError> {
        let location = self.location(key)?;
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let found = match self.store.get_opts(&location, GetOptions { range, ..GetOptions::default() }).await
        {
            Ok(found) => found,
            Err(error) if offset > 0 => {
                // Beyond the end there are no bytes, which is no error here.
                let size_bytes = self.size(key).await?;
                if offset < size_bytes {
                    return Err(self.told("read", key, error));
                }
                return Ok(ObjectReader { size_bytes, bytes: Box::pin(tokio::io::empty()) });
            }
            Err(error) => return Err(self.told("read", key, error)),
        };
        let (size_bytes, credentials) = (found.meta.size, self.credentials.clone());
        let bytes = found.into_stream().map_err(move |error| io::Error::other(said(&error, &credentials)));
        Ok(ObjectReader { size_bytes, bytes: Box::pin(StreamReader::new(bytes)) })
    }

    async fn address(&self, key: &str, view: &View<'_>) -> Result<Option<String>, StorageError> {
        let location = self.location(key)?;
        let Some(signer) = &self.signer else { return Ok(None) };
        let method = if view.head { Method::HEAD } else { Method::GET };
        let valid = Duration::from_secs(view.seconds.clamp(1, ADDRESS_SECONDS_MAX));
        let shown = SignedUrlOptions::new().with_query([
            ("response-content-disposition", view.disposition),
            ("response-content-type", view.content_type),
        ]);
        let address = signer.signed_url_opts(method, &location, valid, &shown).await;
        address
            .map(|address| Some(address.into()))
            .map_err(|error| self.told("sign an address of", key, error))
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let location = self.location(key)?;
        self.cache.forget(key);
        match self.store.delete(&location).await {
            Ok(()) => Ok(()),
            Err(error) => match self.told("delete", key, error) {
                StorageError::NotFound { .. } => Ok(()),
                other => Err(other),
            },
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        if !prefix.is_empty() {
            key::check(prefix)?;
        }
        let below = self.place.key(prefix);
        let below = (!below.is_empty()).then(|| Location::from(below));
        let listed = self.store.list(below.as_ref()).map(|found| {
            let found = found?;
            Ok(self.place.ours(found.location.as_ref()).map(str::to_owned))
        });
        let keys: Result<Vec<Option<String>>, object_store::Error> = listed.try_collect().await;
        let mut keys: Vec<String> =
            keys.map_err(|error| self.told("list", prefix, error))?.into_iter().flatten().collect();
        keys.sort_unstable();
        Ok(keys)
    }
}

impl fmt::Debug for S3Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Storage").field("place", &self.place.to_string()).finish_non_exhaustive()
    }
}
