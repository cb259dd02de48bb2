//! Sources as local files, named by the digest of their bytes.
//!
//! The plan fetches an address and pins what it got; parts read by digest. A worker that has not fetched a source itself
//! fetches the address again and refuses other bytes (`source_changed`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use composition::element::SourceUrl;
use events::Sha256;
use events::fault::FaultCode;
use outbound::{FetchLimits, Outbound};
use tokio::runtime::Handle;

use crate::control::Control;
use crate::failure::Failure;

/// How often a fetch in progress looks whether it should stop.
const STOP_CHECK: std::time::Duration = std::time::Duration::from_millis(50);

/// A source on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Where it lies.
    pub path: PathBuf,
    /// What its bytes are.
    pub content: Sha256,
    /// How many.
    pub size_bytes: u64,
}

/// Fetches sources and keeps them in a folder.
#[derive(Debug)]
pub struct Assets {
    folder: PathBuf,
    outbound: Outbound,
    runtime: Handle,
    /// Whether paths and `file://` addresses are sources, too: for rendering without a server only.
    local_files: bool,
    fetches: AtomicU64,
}

impl Assets {
    /// A cache in `folder`. What an earlier process left half-fetched there is removed.
    ///
    /// # Errors
    /// Where the folder can't be made.
    pub fn open(
        folder: PathBuf,
        outbound: Outbound,
        runtime: Handle,
        local_files: bool,
    ) -> io::Result<Assets> {
        let fetching = folder.join("fetching");
        if fetching.is_dir() {
            fs::remove_dir_all(&fetching)?;
        }
        fs::create_dir_all(&fetching)?;
        fs::create_dir_all(folder.join("sources"))?;
        Ok(Assets { folder, outbound, runtime, local_files, fetches: AtomicU64::new(0) })
    }

    /// Gets the source at an address, whatever it holds now.
    ///
    /// # Errors
    /// In the API's source codes; the message names the address without its secrets.
    pub fn fetch(&self, url: &SourceUrl, control: &Control) -> Result<Asset, Failure> {
        if let Some(path) = self.local_path(url) {
            return local_asset(&path);
        }
        let number = self.fetches.fetch_add(1, Ordering::Relaxed);
        let aside = self.folder.join("fetching").join(number.to_string());
        let fetched = self.runtime.block_on(async {
            let mut received = 0;
            let mut progress = |bytes: u64| {
                control.advance(bytes.saturating_sub(received));
                received = bytes;
            };
            let limits = FetchLimits::default();
            let fetch = self.outbound.fetch_to_file(&url.0, &aside, &limits, &mut progress);
            tokio::select! {
                fetched = fetch => fetched.map_err(|error| Failure::new(error.fault_code(), error.to_string())),
                stopped = stopped(control) => Err(stopped),
            }
        });
        let fetched = fetched.inspect_err(|_failure| remove(&aside))?;
        let path = self.kept(fetched.sha256);
        fs::rename(&aside, &path).map_err(|error| Failure::internal("keep a fetched source", &error))?;
        Ok(Asset { path, content: fetched.sha256, size_bytes: fetched.size })
    }

    /// The source whose bytes were pinned, from the cache or from its address.
    ///
    /// # Errors
    /// As [`Assets::fetch`], and `source_changed` where the address holds other bytes now.
    pub fn pinned(&self, url: &SourceUrl, content: Sha256, control: &Control) -> Result<PathBuf, Failure> {
        let kept = self.kept(content);
        if self.local_path(url).is_none() && kept.is_file() {
            return Ok(kept);
        }
        let asset = self.fetch(url, control)?;
        if asset.content == content {
            return Ok(asset.path);
        }
        let message = format!("{} holds other bytes than when the job was planned", url.redacted());
        Err(Failure::new(FaultCode::SourceChanged, message))
    }

    fn kept(&self, content: Sha256) -> PathBuf {
        self.folder.join("sources").join(content.to_string())
    }

    fn local_path(&self, url: &SourceUrl) -> Option<PathBuf> {
        let path = url.0.strip_prefix("file://").unwrap_or(&url.0);
        let is_remote = url.0.starts_with("http://") || url.0.starts_with("https://");
        (self.local_files && !is_remote).then(|| PathBuf::from(path))
    }
}

/// Returns once the work is told to stop.
async fn stopped(control: &Control) -> Failure {
    loop {
        if let Err(stopped) = control.go_on() {
            return Failure::Stopped(stopped);
        }
        tokio::time::sleep(STOP_CHECK).await;
    }
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
    Ok(Asset { path: path.to_owned(), content: Sha256::of(described.as_bytes()), size_bytes: facts.len() })
}

/// Removes a half-fetched file; one that is not there is as good.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a half-fetched source could not be removed; the next start does it");
    }
}
