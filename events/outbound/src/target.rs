//! Where a request may go: the URL's side of the check. Names are judged by their addresses, in the resolver.

use std::net::IpAddr;

use thiserror::Error;
use url::{Host, Url};

use crate::address::Special;
use crate::allowed::AllowedNetworks;

/// The longest part of a path that messages show.
const SHOWN_PATH_CHARS: usize = 120;

/// Why a URL is not dialled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// It is no URL.
    #[error("it is no valid URL: {0}")]
    Invalid(url::ParseError),
    /// Neither http nor https.
    #[error("its scheme is {0:?}; only http and https are allowed")]
    Scheme(String),
    /// It carries a user name or a password.
    #[error("it carries a user name or password, which is not allowed")]
    Userinfo,
    /// Its host is an address that is not global and not allowed by name.
    #[error("its address {address} is {kind}, not a public one")]
    Address {
        /// As it would be dialled.
        address: IpAddr,
        /// What it is.
        kind: Special,
    },
}

/// Reads and checks a URL. The fragment is dropped: it is not the server's business.
///
/// # Errors
/// [`TargetError`]; nothing has been resolved or dialled then.
pub fn parse(text: &str, allowed: &AllowedNetworks) -> Result<Url, TargetError> {
    let mut url = Url::parse(text).map_err(TargetError::Invalid)?;
    url.set_fragment(None);
    check(&url, allowed)?;
    Ok(url)
}

/// Checks a URL, for redirects anew. Address literals are judged here because the HTTP client never asks a resolver for
/// them; `url` has brought every spelling (decimal, octal, hexadecimal, shortened, full-width) into one form (WHATWG URL).
///
/// # Errors
/// [`TargetError`].
pub fn check(url: &Url, allowed: &AllowedNetworks) -> Result<(), TargetError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TargetError::Scheme(url.scheme().chars().take(20).collect()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::Userinfo);
    }
    let literal = match url.host() {
        None => return Err(TargetError::Invalid(url::ParseError::EmptyHost)),
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
    };
    match allowed.forbids(literal) {
        None => Ok(()),
        Some(kind) => Err(TargetError::Address { address: literal, kind }),
    }
}

/// The URL as messages may show it: without userinfo, query and fragment, which may hold secrets.
#[must_use]
pub fn redacted(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return "the given URL".to_owned() };
    let Some(host) = url.host_str() else { return format!("{}:…", url.scheme()) };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path: String = url.path().chars().take(SHOWN_PATH_CHARS).collect();
    let rest = if url.query().is_some() || path.len() < url.path().len() { "…" } else { "" };
    format!("{}://{host}{port}{path}{rest}", url.scheme())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_secrets() {
        assert_eq!(redacted("https://user:pw@h.example:81/a/b?token=s#f"), "https://h.example:81/a/b…");
        assert_eq!(redacted("http://h.example"), "http://h.example/");
        assert_eq!(redacted("data:text/plain,secret"), "data:…");
        assert_eq!(redacted("nonsense secret"), "the given URL");
    }

    #[test]
    fn a_public_url_passes_without_its_fragment() {
        let url = parse("https://h.example/a?b#c", &AllowedNetworks::default()).expect("passes");
        assert_eq!(url.as_str(), "https://h.example/a?b");
    }
}
