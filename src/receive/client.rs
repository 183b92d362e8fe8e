//! Who asks, for the log: the address of the connection, or what a trusted proxy says.
//!
//! Anyone can write a header. So it is read only where the connection comes from a configured network, and from its
//! right end, which the nearest proxy wrote: addresses of trusted proxies are passed over, and the first that is none of
//! theirs is the client's. What stands further left is the client's own word.
//!
//! Nothing here costs anything until a line is written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;

use crate::config::{ClientHeader, Proxies};

/// The client of a request; its address is worked out when it is shown.
pub(super) struct Client<'a> {
    pub(super) peer: SocketAddr,
    pub(super) headers: &'a HeaderMap,
    pub(super) proxies: &'a Proxies,
}

impl Client<'_> {
    /// The client's address, or that of the last one of whom a trusted proxy told.
    fn address(&self) -> IpAddr {
        let peer = self.peer.ip().to_canonical();
        let mut nearest = peer;
        if !self.is_trusted(nearest) {
            return nearest;
        }
        for hop in self.hops() {
            match hop {
                Some(address) => nearest = address,
                // Hidden on purpose, or no address at all: what stands left of it proves nothing.
                None => break,
            }
            if !self.is_trusted(nearest) {
                break;
            }
        }
        nearest
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        let networks = &self.proxies.networks;
        networks.iter().any(|network| network.contains(&address))
    }

    /// For whom each proxy asked, the nearest first.
    fn hops(&self) -> Vec<Option<IpAddr>> {
        let mut hops: Vec<Option<IpAddr>> = match self.proxies.header {
            ClientHeader::XForwardedFor => self.values("x-forwarded-for").map(node).collect(),
            ClientHeader::Forwarded => self.values(FORWARDED.as_str()).map(forwarded).collect(),
        };
        hops.reverse();
        hops
    }

    /// The items of a list that may stand in several headers, the farthest first.
    fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let lines = self.headers.get_all(name).iter();
        lines.flat_map(|line| line.to_str().unwrap_or_default().split(','))
    }
}

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

/// The `for` of one element of `Forwarded`.
fn forwarded(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_for = name.trim().eq_ignore_ascii_case("for");
        is_for.then(|| node(value.trim().trim_matches('"')))?
    })
}

/// An address, with or without a port, IPv6 with or without brackets.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    address
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn seen(header: ClientHeader, peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            header,
        };
        let name = match header {
            ClientHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ClientHeader::Forwarded => FORWARDED,
        };
        let mut headers = HeaderMap::new();
        // What is written into the other header is nobody's word.
        headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        headers.append(FORWARDED, HeaderValue::from_static("for=6.6.6.6"));
        headers.remove(&name);
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).unwrap());
        }
        let client = Client {
            peer: peer.parse().unwrap(),
            headers: &headers,
            proxies: &proxies,
        };
        client.to_string()
    }

    #[test]
    fn x_forwarded_for_is_believed_from_the_right_and_only_of_trusted_proxies() {
        for (peer, lines, expected) in [
            ("203.0.113.9:1", &["198.51.100.7"][..], "203.0.113.9"),
            ("10.1.2.3:1", &["198.51.100.7"], "198.51.100.7"),
            ("[::ffff:10.1.2.3]:1", &["198.51.100.7"], "198.51.100.7"),
            ("[fd00::1]:1", &["2001:db8::7"], "2001:db8::7"),
            ("10.1.2.3:1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            (
                "10.1.2.3:1",
                &["1.1.1.1", "198.51.100.7, 10.9.9.9"],
                "198.51.100.7",
            ),
            (
                "10.1.2.3:1",
                &["1.1.1.1, 198.51.100.7 , 10.9.9.9,10.8.8.8"],
                "198.51.100.7",
            ),
            ("10.1.2.3:1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.1.2.3:1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.1.2.3:1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.1.2.3:1", &["10.4.4.4"], "10.4.4.4"),
            ("10.1.2.3:1", &[], "10.1.2.3"),
            ("10.1.2.3:1", &["198.51.100.7, unknown"], "10.1.2.3"),
            (
                "10.1.2.3:1",
                &["198.51.100.7, x\" client=\"1.1.1.1, 10.9.9.9"],
                "10.9.9.9",
            ),
        ] {
            assert_eq!(
                seen(ClientHeader::XForwardedFor, peer, lines),
                expected,
                "{peer} {lines:?}"
            );
        }
    }

    #[test]
    fn forwarded_is_believed_where_it_is_what_the_proxies_write() {
        for (peer, lines, expected) in [
            ("203.0.113.9:1", &["for=198.51.100.7"][..], "203.0.113.9"),
            (
                "10.1.2.3:1",
                &["for=1.1.1.1, for=198.51.100.7;proto=https;by=10.1.2.3"],
                "198.51.100.7",
            ),
            (
                "10.1.2.3:1",
                &["proto=https; For=\"[2001:db8::7]:4711\""],
                "2001:db8::7",
            ),
            (
                "10.1.2.3:1",
                &["for=198.51.100.7", "for=10.9.9.9"],
                "198.51.100.7",
            ),
            ("10.1.2.3:1", &["for=198.51.100.7, for=_hidden"], "10.1.2.3"),
            ("10.1.2.3:1", &["for=198.51.100.7, proto=https"], "10.1.2.3"),
        ] {
            assert_eq!(
                seen(ClientHeader::Forwarded, peer, lines),
                expected,
                "{peer} {lines:?}"
            );
        }
    }
}
