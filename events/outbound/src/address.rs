//! Which addresses lie in the public internet, after the IANA special-purpose address registries (RFC 6890).
//!
//! What is in doubt is refused: nothing that serves media or takes webhooks lives in the ranges given up here.

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

/// Whether the address can be reached over the public internet, and only there.
#[must_use]
pub fn is_global(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0, ..] => true,                              // this network (RFC 791)
        [10, ..] => true,                             // private (RFC 1918)
        [100, 64..=127, ..] => true,                  // carrier-grade NAT (RFC 6598)
        [127, ..] => true,                            // loopback (RFC 1122)
        [169, 254, ..] => true,                       // link-local, cloud metadata (RFC 3927)
        [172, 16..=31, ..] => true,                   // private (RFC 1918)
        [192, 0, 0, _] => true,                       // protocol assignments (RFC 6890)
        [192, 0, 2, _] => true,                       // documentation (RFC 5737)
        [192, 88, 99, _] => true,                     // 6to4 relays (RFC 7526)
        [192, 168, ..] => true,                       // private (RFC 1918)
        [198, 18..=19, ..] => true,                   // benchmarks (RFC 2544)
        [198, 51, 100, _] | [203, 0, 113, _] => true, // documentation (RFC 5737)
        [224..=255, ..] => true,                      // multicast, reserved, broadcast (RFC 1112, RFC 919)
        _ => false,
    };
    !special
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Protocol assignments (RFC 2928): Teredo, benchmarks, ORCHID and more below 2001::/23.
        [0x2001, 0..=0x01ff, ..] => false,
        [0x2001, 0x0db8, ..] => false,     // documentation (RFC 3849)
        [0x2002, ..] => false,             // 6to4 (RFC 7526): leads to any IPv4 address
        [0x3fff, 0..=0x0fff, ..] => false, // documentation (RFC 9637)
        // Global unicast is 2000::/3 (RFC 4291). All else is loopback, unspecified, IPv4-compatible, local translation
        // (RFC 8215), unique local, link-local, site-local, multicast, or not yet given out.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
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
            assert!(is_global(address(text)), "{text}");
        }
        for text in
            ["2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
        {
            assert!(is_global(address(text)), "{text}");
        }
    }

    #[test]
    fn every_special_range_is_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!is_global(address(text)), "{text}");
        }
        for text in [
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!is_global(address(text)), "{text}");
        }
    }
}
