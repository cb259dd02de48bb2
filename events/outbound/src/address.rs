//! Which addresses lie in the public internet, after the IANA special-purpose address registries (RFC 6890).
//!
//! What is in doubt is refused: nothing that serves media or takes webhooks lives in the ranges given up here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that is really reached: an IPv4 one written as IPv4-mapped (`::ffff:0:0/96`, RFC 4291) or translated
/// (`64:ff9b::/96`, RFC 6052, what DNS64 answers with) IPv6 address is that IPv4 address.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        _ => address,
    }
}

/// What an address is that does not lie in the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Special {
    /// `0.0.0.0/8` (RFC 791), `::`: this host or this network.
    ThisNetwork,
    /// `127.0.0.0/8` (RFC 1122), `::1`.
    Loopback,
    /// RFC 1918.
    Private,
    /// `100.64.0.0/10`, behind a carrier's NAT (RFC 6598).
    Shared,
    /// `169.254.0.0/16` (RFC 3927), `fe80::/10`.
    LinkLocal,
    /// Where clouds tell a machine its secrets.
    Metadata,
    /// For protocols, not for hosts (RFC 6890, RFC 2928).
    Protocol,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// RFC 2544, RFC 5180.
    Benchmark,
    /// IPv6 that leads to an IPv4 address which may be any: 6to4 (RFC 7526), Teredo (RFC 4380), IPv4-compatible.
    Tunnel,
    /// A site's own translation prefix, `64:ff9b:1::/48` (RFC 8215).
    LocalTranslation,
    /// `fc00::/7` (RFC 4193).
    UniqueLocal,
    /// `fec0::/10` (RFC 3879).
    SiteLocal,
    /// RFC 1112, RFC 4291.
    Multicast,
    /// `255.255.255.255` (RFC 919).
    Broadcast,
    /// Not given out.
    Reserved,
}

impl fmt::Display for Special {
    /// In words that finish "it is …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Special::ThisNetwork => "an address of this network",
            Special::Loopback => "a loopback address",
            Special::Private => "a private address",
            Special::Shared => "a carrier's shared address",
            Special::LinkLocal => "a link-local address",
            Special::Metadata => "a cloud's metadata address",
            Special::Protocol => "a protocol's address",
            Special::Documentation => "a documentation address",
            Special::Benchmark => "a benchmark address",
            Special::Tunnel => "a tunnel's address",
            Special::LocalTranslation => "a site's translation address",
            Special::UniqueLocal => "a unique local address",
            Special::SiteLocal => "a site-local address",
            Special::Multicast => "a multicast address",
            Special::Broadcast => "the broadcast address",
            Special::Reserved => "a reserved address",
        })
    }
}

/// What keeps the address out of the public internet; `None` where nothing does.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    match canonical(address) {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    Some(match address.octets() {
        // AWS, GCP, Azure and others; AWS containers; Alibaba; Oracle; Azure's host, which has a public number.
        [169, 254, 169, 254]
        | [169, 254, 170, 2]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192]
        | [168, 63, 129, 16] => Special::Metadata,
        [0, ..] => Special::ThisNetwork,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Special::Private,
        [100, 64..=127, ..] => Special::Shared,
        [127, ..] => Special::Loopback,
        [169, 254, ..] => Special::LinkLocal,
        [192, 0, 0, _] => Special::Protocol,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Special::Documentation,
        [192, 88, 99, _] => Special::Tunnel, // 6to4 relays (RFC 7526)
        [198, 18..=19, ..] => Special::Benchmark,
        [224..=239, ..] => Special::Multicast,
        [255, 255, 255, 255] => Special::Broadcast,
        [240..=255, ..] => Special::Reserved,
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    Some(match address.segments() {
        // AWS; GCP.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Special::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 0] => Special::ThisNetwork,
        [0, 0, 0, 0, 0, 0, 0, 1] => Special::Loopback,
        [0, 0, 0, 0, 0, 0, ..] | [0x2002, ..] | [0x2001, 0, ..] => Special::Tunnel,
        [0x64, 0xff9b, 1, ..] => Special::LocalTranslation,
        [0x2001, 2, 0, ..] => Special::Benchmark,
        // 2001::/23 (RFC 2928): ORCHID and more.
        [0x2001, 0..=0x01ff, ..] => Special::Protocol,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Special::Documentation,
        [0xfc00..=0xfdff, ..] => Special::UniqueLocal,
        [0xfe80..=0xfebf, ..] => Special::LinkLocal,
        [0xfec0..=0xfeff, ..] => Special::SiteLocal,
        [0xff00..=0xffff, ..] => Special::Multicast,
        // Global unicast is 2000::/3 (RFC 4291); all else is not given out, or not for hosts.
        [0x2000..=0x3fff, ..] => return None,
        _ => Special::Reserved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn public_addresses_are_global() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.0.1",
            "192.0.1.1",
            "223.255.255.255",
        ] {
            assert_eq!(special(address(text)), None, "{text}");
        }
        for text in
            ["2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
        {
            assert_eq!(special(address(text)), None, "{text}");
        }
    }

    #[test]
    fn every_special_range_is_refused_by_its_name() {
        let table = [
            (Special::ThisNetwork, &["0.0.0.0", "0.1.2.3", "::"][..]),
            (
                Special::Loopback,
                &["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"],
            ),
            (
                Special::Private,
                &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "::ffff:10.0.0.1"],
            ),
            (Special::Private, &["64:ff9b::10.0.0.1"]),
            (Special::Shared, &["100.64.0.1", "100.127.255.255"]),
            (Special::LinkLocal, &["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"]),
            (Special::Metadata, &["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192"]),
            (
                Special::Metadata,
                &["168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254"],
            ),
            (Special::Metadata, &["64:ff9b::169.254.169.254"]),
            (Special::Protocol, &["192.0.0.1", "2001:10::1", "2001:20::1", "2001:1ff::1"]),
            (Special::Documentation, &["192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::1", "3fff::1"]),
            (Special::Benchmark, &["198.18.0.1", "198.19.255.255", "2001:2::1"]),
            (Special::Tunnel, &["192.88.99.1", "2001::1", "2002:7f00:1::1", "2002:808:808::1"]),
            (Special::Tunnel, &["::127.0.0.1", "::8.8.8.8"]),
            (Special::LocalTranslation, &["64:ff9b:1::8.8.8.8"]),
            (Special::UniqueLocal, &["fc00::1", "fdff::1"]),
            (Special::SiteLocal, &["fec0::1"]),
            (Special::Multicast, &["224.0.0.1", "239.1.1.1", "ff02::1"]),
            (Special::Broadcast, &["255.255.255.255"]),
            (Special::Reserved, &["240.0.0.1", "100::1", "5f00::1", "4000::1", "64:ff9b:2::1"]),
        ];
        for (kind, texts) in table {
            for text in texts {
                assert_eq!(special(address(text)), Some(kind), "{text}");
            }
        }
    }
}
