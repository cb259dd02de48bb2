//! The one safe HTTP client: whatever goes out to an address that a caller named goes through here.
//!
//! Promises: only http and https, no userinfo, no proxies, no cookies; every address is checked before it is dialled and
//! exactly the checked addresses are dialled; everything is bounded in bytes and time; sources follow at most five
//! redirects, each checked anew, webhooks none. Must not know: what is fetched or sent, storage, databases.

pub mod address;
pub mod allowed;
pub mod client;
pub mod fetch;
pub mod post;
pub mod resolver;
pub mod target;

pub use allowed::{AllowedNetworks, ParseNetworkError};
pub use client::{BuildError, Outbound, operators_client};
pub use fetch::{FetchError, FetchLimits, Fetched};
pub use post::{PostError, PostReply};
pub use resolver::NameLookup;
