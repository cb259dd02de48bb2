//! Sources as local files, named by the digest of their bytes.
//!
//! The plan fetches an address and pins what it got; parts read by digest. A worker that has not fetched a source itself
//! fetches the address again and refuses other bytes (`source_changed`).
//!
//! What was fetched is kept, each workspace's for itself: the same address is asked under the validator of what is there,
//! and comes again only if it has changed. No workspace is ever given what only another has fetched.

mod flight;
mod shelf;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use composition::element::SourceUrl;
use events::fault::FaultCode;
use events::{Sha256, WorkspaceId};
use outbound::{FetchError, FetchLimits, Fetched, Outbound};
use tokio::runtime::Handle;

use self::flight::{Flights, Landing, Moved};
use self::shelf::{Arriving, Hold, Shelf};
use crate::control::Control;
use crate::failure::Failure;

/// A source on this machine. It stays there while this lives.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Where it lies.
    pub path: PathBuf,
    /// What its bytes are.
    pub content: Sha256,
    /// How many.
    pub size_bytes: u64,
    /// `None` for a local file, which is not ours to keep.
    _hold: Option<Arc<Hold>>,
}

/// How sources are fetched and kept.
#[derive(Debug, Clone)]
pub struct AssetsConfig {
    /// Where they are kept.
    pub folder: PathBuf,
    /// How much of them; what is in use may go beyond it.
    pub kept_bytes_max: u64,
    /// Bounds of each fetch.
    pub limits: FetchLimits,
    /// Whether paths and `file://` addresses are sources, too: for rendering without a server only.
    pub local_files: bool,
}

/// Fetches sources and keeps them in a folder.
#[derive(Debug)]
pub struct Assets {
    courier: Arc<Courier>,
    flights: Flights,
    runtime: Handle,
    local_files: bool,
}

/// What a fetch works with.
#[derive(Debug)]
struct Courier {
    outbound: Outbound,
    limits: FetchLimits,
    shelf: Arc<Shelf>,
    /// For files on their way to the shelf.
    fetching: PathBuf,
    fetches: AtomicU64,
}

impl Assets {
    /// Opens the folder with what an earlier process kept; what it left half-fetched is removed.
    ///
    /// # Errors
    /// Where the folder can't be made or read.
    pub fn open(config: AssetsConfig, outbound: Outbound, runtime: Handle) -> io::Result<Assets> {
        let AssetsConfig { folder, kept_bytes_max, limits, local_files } = config;
        let fetching = folder.join("fetching");
        if fetching.is_dir() {
            fs::remove_dir_all(&fetching)?;
        }
        fs::create_dir_all(&fetching)?;
        let shelf = Shelf::open(folder.join("sources"), kept_bytes_max)?;
        let courier = Courier { outbound, limits, shelf, fetching, fetches: AtomicU64::new(0) };
        Ok(Assets { courier: Arc::new(courier), flights: Flights::default(), runtime, local_files })
    }

    /// Gets the source at an address for a workspace, whatever it holds now.
    ///
    /// # Errors
    /// In the API's source codes; the message names the address without its secrets.
    pub fn fetch(
        &self,
        workspace: WorkspaceId,
        url: &SourceUrl,
        control: &Control,
    ) -> Result<Asset, Failure> {
        if let Some(path) = self.local_path(url) {
            return local_asset(&path);
        }
        let (courier, address) = (Arc::clone(&self.courier), url.clone());
        let fetch = |moved| async move { courier.fetch(workspace, &address, moved).await };
        let flight = self.flights.join((workspace, url.clone()), &self.runtime, fetch);
        self.runtime.block_on(flight.wait(control))
    }

    /// The source whose bytes were pinned, as it is kept or from its address.
    ///
    /// # Errors
    /// As [`Assets::fetch`], and `source_changed` where the address holds other bytes now.
    pub fn pinned(
        &self,
        workspace: WorkspaceId,
        url: &SourceUrl,
        content: Sha256,
        control: &Control,
    ) -> Result<Asset, Failure> {
        if self.local_path(url).is_none()
            && let Some(hold) = self.courier.shelf.hold((workspace, content))
        {
            return Ok(Asset::held(hold));
        }
        let asset = self.fetch(workspace, url, control)?;
        if asset.content == content {
            return Ok(asset);
        }
        let message = format!("{} holds other bytes than when the job was planned", url.redacted());
        Err(Failure::new(FaultCode::SourceChanged, message))
    }

    /// The path that an address names where paths are sources. Every other scheme goes out, and is judged there.
    fn local_path(&self, url: &SourceUrl) -> Option<PathBuf> {
        let path = if url.0.contains("://") { file_path(&url.0) } else { Some(PathBuf::from(&url.0)) };
        path.filter(|_| self.local_files)
    }
}

impl Asset {
    fn held(hold: Hold) -> Asset {
        let (path, content, size_bytes) = (hold.path(), hold.content(), hold.size());
        Asset { path, content, size_bytes, _hold: Some(Arc::new(hold)) }
    }
}

impl Courier {
    /// One fetch: asks for what is new since the last one.
    async fn fetch(self: Arc<Self>, workspace: WorkspaceId, url: &SourceUrl, moved: Moved) -> Landing {
        let address = Sha256::of(url.0.as_bytes());
        let shelf = Arc::clone(&self.shelf);
        // What an earlier process kept is read through once: not on the threads that wait for others.
        let known = blocking(move || shelf.known(workspace, address)).await?;
        let etag = known.as_ref().map(|(_, etag)| etag.as_str());
        let aside = Aside(self.fetching.join(self.fetches.fetch_add(1, Ordering::Relaxed).to_string()));
        let mut arriving = self.shelf.arriving();
        let mut progress = |bytes| {
            // A try that has brought nothing yet is a movement, too: its own limits bound it.
            moved.fetch_add(arriving.is_at(bytes).max(1), Ordering::Relaxed);
        };
        let fetched =
            self.outbound.fetch_if_changed(&url.0, etag, &aside.0, &self.limits, &mut progress).await;
        match (fetched, known) {
            (Ok(Some(fetched)), _) => self.keep(workspace, address, fetched, aside, arriving).await,
            (Ok(None), Some((hold, _))) => Ok(Asset::held(hold)),
            (Ok(None), None) => {
                Err(Failure::new(FaultCode::Internal, "nothing was known, and it has not changed"))
            }
            (Err(error @ FetchError::Disk { .. }), _) => {
                Err(Failure::internal("keep a fetched source", &error))
            }
            (Err(error), _) => Err(Failure::new(error.fault_code(), error.to_string())),
        }
    }

    async fn keep(
        &self,
        workspace: WorkspaceId,
        address: Sha256,
        fetched: Fetched,
        aside: Aside,
        arriving: Arriving,
    ) -> Landing {
        let Fetched { sha256, size, .. } = fetched;
        let etag = fetched.validator().map(str::to_owned);
        let shelf = Arc::clone(&self.shelf);
        let kept = blocking(move || {
            // From here on its bytes count as kept ones.
            drop(arriving);
            shelf.keep((workspace, sha256), size, &aside.0, address, etag)
        });
        let hold = kept.await?.map_err(|error| Failure::internal("keep a fetched source", &error))?;
        Ok(Asset::held(hold))
    }
}

/// A file in the making; nothing of it stays behind, however the fetch ends.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a half-fetched source could not be removed; the next start does it");
        }
    }
}

/// Does what waits for the disk beside the async runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal("look after the kept sources", &error))
}

/// The path in a `file://` address.
fn file_path(address: &str) -> Option<PathBuf> {
    url::Url::parse(address).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// A local file as it lies there. It is named by path, length and time of change: reading it all to digest it would
/// cost as much as decoding it, and nothing outlives this process that a changed file could spoil.
fn local_asset(path: &Path) -> Result<Asset, Failure> {
    let absent = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => FaultCode::SourceNotFound,
            io::ErrorKind::PermissionDenied => FaultCode::SourceForbidden,
            _ => FaultCode::InvalidSource,
        };
        Failure::new(code, format!("could not read {}: {error}", path.display()))
    };
    let facts = fs::metadata(path).map_err(absent)?;
    if !facts.is_file() {
        return Err(Failure::new(FaultCode::InvalidSource, format!("{} is not a file", path.display())));
    }
    let described = format!("{} {} {:?}", path.display(), facts.len(), facts.modified().ok());
    let content = Sha256::of(described.as_bytes());
    Ok(Asset { path: path.to_owned(), content, size_bytes: facts.len(), _hold: None })
}
