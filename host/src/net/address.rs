//! Which addresses belong to everybody, and which only mean something from where this server stands.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address as it is connected to: an IPv4 address in the clothes of IPv6 is what it stands for.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What keeps an address from being public; none: it is. From the registries of special-purpose addresses.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match canonical(address) {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let octets = address.octets();
    match octets {
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [10, ..] | [192, 168, ..] => Some("a private address"),
        [172, second, ..] if (16..32).contains(&second) => Some("a private address"),
        [100, second, ..] if (64..128).contains(&second) => Some("a private address"),
        [224..=239, ..] => Some("a multicast address"),
        // This network; protocol assignments; relays; benchmarks; documentation; reserved.
        [0 | 240..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Some("a reserved address"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if address.is_loopback() {
        return Some("a loopback address");
    }
    match segments[0] {
        0xfe80..=0xfebf => Some("a link-local address"),
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Some("a private address"),
        0xff00..=0xffff => Some("a multicast address"),
        // Global unicast, of which some ranges stand for others (tunnels) or for nobody.
        0x2000..=0x3fff => match segments {
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => {
                Some("a reserved address")
            }
            _ => None,
        },
        // Among them those that carry an IPv4 address (64:ff9b::/96).
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_told_from_all_others() {
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.1.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert_eq!(special(public.parse().unwrap()), None, "{public}");
        }
        for (address, why) in [
            ("127.0.0.1", "a loopback address"),
            ("127.8.9.1", "a loopback address"),
            ("::1", "a loopback address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("169.254.169.254", "a link-local address"),
            ("::ffff:169.254.169.254", "a link-local address"),
            ("fe80::1", "a link-local address"),
            ("10.1.2.3", "a private address"),
            ("172.16.0.1", "a private address"),
            ("172.31.255.255", "a private address"),
            ("192.168.1.1", "a private address"),
            ("100.100.100.200", "a private address"),
            ("fd00:ec2::254", "a private address"),
            ("::ffff:10.0.0.1", "a private address"),
            ("224.0.0.1", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("0.0.0.0", "a reserved address"),
            ("::", "a reserved address"),
            ("::7f00:1", "a reserved address"),
            ("255.255.255.255", "a reserved address"),
            ("198.19.0.1", "a reserved address"),
            ("64:ff9b::7f00:1", "a reserved address"),
            ("2002:7f00:1::", "a reserved address"),
            ("2001:0:1::", "a reserved address"),
            ("2001:db8::1", "a reserved address"),
        ] {
            assert_eq!(special(address.parse().unwrap()), Some(why), "{address}");
        }
    }
}
