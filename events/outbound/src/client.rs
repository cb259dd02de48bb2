//! The client itself: how it is built, and what its failures mean.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use thiserror::Error;

use crate::allowed::AllowedNetworks;
use crate::resolver::{ForbiddenName, GuardedResolver, NameLookup, SystemLookup, UnknownName};
use crate::target::TargetError;

/// Resolving, connecting and the TLS handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Idle connections kept for each host, and for how long.
const IDLE_PER_HOST: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const USER_AGENT: &str = concat!("framelane/", env!("CARGO_PKG_VERSION"));

/// The safe HTTP client. Clones share connections.
#[derive(Debug, Clone)]
pub struct Outbound {
    pub(crate) client: reqwest::Client,
    pub(crate) allowed: Arc<AllowedNetworks>,
}

/// The client can't be made.
#[derive(Debug, Error)]
#[error(
    "could not make the HTTP client; are the system's root certificates installed (package ca-certificates)?"
)]
pub struct BuildError(#[source] reqwest::Error);

impl Outbound {
    /// A client that reaches global addresses and the networks allowed by name.
    ///
    /// # Errors
    /// Where the system has no root certificates.
    pub fn new(allowed: AllowedNetworks) -> Result<Outbound, BuildError> {
        Outbound::with_lookup(allowed, Arc::new(SystemLookup))
    }

    /// The same with names resolved by `lookup`.
    ///
    /// # Errors
    /// As [`Outbound::new`].
    pub fn with_lookup(
        allowed: AllowedNetworks,
        lookup: Arc<dyn NameLookup>,
    ) -> Result<Outbound, BuildError> {
        // Whoever comes second finds the same provider in place.
        drop(rustls::crypto::ring::default_provider().install_default());
        let allowed = Arc::new(allowed);
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .dns_resolver(GuardedResolver { lookup, allowed: Arc::clone(&allowed) })
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(BuildError)?;
        Ok(Outbound { client, allowed })
    }
}

/// A client for addresses that the operator has named: it goes where it is told, also to private networks.
///
/// # Errors
/// Where the system has no root certificates.
pub fn operators_client() -> Result<reqwest::Client, BuildError> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().user_agent(USER_AGENT).redirect(Policy::none());
    client.connect_timeout(CONNECT_TIMEOUT).build().map_err(BuildError)
}

/// What kept a request from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The URL or one of its addresses is forbidden.
    Forbidden,
    /// The host has no address.
    UnknownHost,
    /// Nothing came in time.
    TimedOut,
    /// Refused, broken, or not HTTP.
    Broken,
    /// No URL.
    Invalid,
}

/// An obstacle and its reason, in words that end "could not fetch …: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) obstacle: Obstacle,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(obstacle: Obstacle, reason: impl Into<String>) -> Failure {
        Failure { obstacle, reason: reason.into() }
    }

    /// Reads the chain of causes that the HTTP client wraps around ours. Its own words name the whole URL, and a query
    /// may be a secret: it is taken out first.
    pub(crate) fn of(error: reqwest::Error) -> Failure {
        let error = error.without_url();
        let mut innermost: &dyn Error = &error;
        while let Some(cause) = innermost.source() {
            innermost = cause;
            if let Some(forbidden) = cause.downcast_ref::<ForbiddenName>() {
                return Failure::new(Obstacle::Forbidden, forbidden.to_string());
            }
            if let Some(unknown) = cause.downcast_ref::<UnknownName>() {
                return Failure::new(Obstacle::UnknownHost, unknown.to_string());
            }
        }
        if error.is_timeout() {
            let what =
                if error.is_connect() { "connecting took more than 5 s" } else { "the answer took too long" };
            return Failure::new(Obstacle::TimedOut, what);
        }
        let what = if error.is_connect() { "the connection failed" } else { "the connection broke" };
        Failure::new(Obstacle::Broken, format!("{what} ({innermost})"))
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Failure {
        let obstacle = match error {
            TargetError::Invalid(_) => Obstacle::Invalid,
            TargetError::Scheme(_) | TargetError::Userinfo | TargetError::Address { .. } => {
                Obstacle::Forbidden
            }
        };
        Failure::new(obstacle, error.to_string())
    }
}
