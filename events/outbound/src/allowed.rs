//! The networks that an operator allows by name although they are not global: a media server next door, a test's loopback.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use crate::address::{Special, canonical, special};

/// Which addresses may be dialled besides the global ones. The default allows none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<Network>);

/// A network in CIDR form (RFC 4632).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "could not read {found:?} as a network: expected an address, optionally with a prefix length, like 10.1.0.0/16"
)]
pub struct ParseNetworkError {
    /// The item at fault.
    pub found: String,
}

impl AllowedNetworks {
    /// Reads a comma-separated list: `127.0.0.0/8, ::1/128, 10.1.2.3`; an empty text allows nothing more.
    ///
    /// # Errors
    /// Names the first item that is no network.
    pub fn parse(text: &str) -> Result<AllowedNetworks, ParseNetworkError> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(str::parse).collect::<Result<_, _>>().map(AllowedNetworks)
    }

    /// What the address is that must not be dialled; `None` where it may be.
    #[must_use]
    pub fn forbids(&self, address: IpAddr) -> Option<Special> {
        let reached = canonical(address);
        special(reached).filter(|_| !self.0.iter().any(|network| network.contains(reached)))
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix_bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Network, ParseNetworkError> {
        let fault = || ParseNetworkError { found: text.to_owned() };
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_no_address| fault())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= bits_max).ok_or_else(fault)?,
        };
        Ok(Network { address, prefix_bits })
    }
}

impl fmt::Display for AllowedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.0.iter().map(|n| format!("{}/{}", n.address, n.prefix_bits)).collect();
        f.write_str(&items.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(networks: &str, address: &str) -> bool {
        let networks = AllowedNetworks::parse(networks).expect("networks");
        networks.forbids(address.parse().expect("an address")).is_none()
    }

    #[test]
    fn without_a_list_only_global_addresses_are_permitted() {
        assert!(permits("", "8.8.8.8"));
        assert!(!permits("", "127.0.0.1"));
        assert!(!permits("", "::1"));
    }

    #[test]
    fn a_named_network_is_permitted_to_its_last_bit() {
        let networks = "127.0.0.0/8, ::1/128,10.1.2.128/25,fd00::/8";
        for inside in
            ["127.0.0.1", "127.255.255.255", "::1", "10.1.2.128", "10.1.2.255", "fd12::9", "::ffff:127.0.0.1"]
        {
            assert!(permits(networks, inside), "{inside}");
        }
        for outside in ["10.1.2.127", "10.1.3.0", "::2", "fc00::1", "192.168.0.1"] {
            assert!(!permits(networks, outside), "{outside}");
        }
        assert!(permits("0.0.0.0/0", "192.168.1.1"), "everything of one family");
    }

    #[test]
    fn what_is_no_network_is_named() {
        for item in
            ["10.0.0.0/33", "::/129", "10.0.0/8", "localhost", "10.0.0.0/", "10.0.0.0/x", "fe80::1%eth0"]
        {
            let error = AllowedNetworks::parse(&format!("127.0.0.1,{item}")).expect_err(item);
            assert_eq!(error.found, item);
        }
    }
}
