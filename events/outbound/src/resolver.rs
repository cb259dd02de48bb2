//! Names to addresses: a name is refused if *any* of its addresses may not be dialled.
//!
//! The HTTP client dials what this resolver returned and asks nobody again, so that an address cannot be exchanged
//! between the check and the connection (DNS rebinding).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use crate::address::Special;
use crate::allowed::AllowedNetworks;

/// Asks for a name's addresses. The system's resolver in service; a script in tests.
pub trait NameLookup: Send + Sync + fmt::Debug {
    /// All addresses of the name.
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemLookup;

impl NameLookup for SystemLookup {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A name that must not be dialled. The address itself is not told: it would map the inner network for whoever asks.
#[derive(Debug, Error)]
#[error("its host resolves to {0}, not to public ones only")]
pub(crate) struct ForbiddenName(pub(crate) Special);

/// A name without an address.
#[derive(Debug, Error)]
#[error("its host is unknown")]
pub(crate) struct UnknownName(#[source] io::Error);

/// What the HTTP client resolves names with.
#[derive(Debug, Clone)]
pub(crate) struct GuardedResolver {
    pub(crate) lookup: Arc<dyn NameLookup>,
    pub(crate) allowed: Arc<AllowedNetworks>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (looking_up, allowed) = (self.lookup.lookup(name.as_str()), Arc::clone(&self.allowed));
        Box::pin(async move {
            let found = looking_up.await.map_err(UnknownName)?;
            if found.is_empty() {
                return Err(UnknownName(io::ErrorKind::NotFound.into()).into());
            }
            if let Some(kind) = found.iter().find_map(|address| allowed.forbids(*address)) {
                return Err(ForbiddenName(kind).into());
            }
            // Port 0 stands for the URL's own port.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
