//! From whom a request comes, and how. Behind a proxy only the proxy knows, and says it in headers that anybody may send: they
//! count where the operator trusts who sent them, and nowhere else.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::domain::address::Network;

/// From whom a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// It went by https all the way that is known.
    pub is_https: bool,
}

/// The networks of proxies whose word on their clients counts.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<Network>);

impl From<Vec<Network>> for TrustedProxies {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks)
    }
}

/// What a proxy says of who asked it.
struct Hop {
    address: Option<IpAddr>,
    is_https: Option<bool>,
}

impl TrustedProxies {
    /// Who stands behind the other side of a connection, if that is a proxy. Each proxy adds whom it was asked by at the end:
    /// the last one there that is no trusted proxy is the client, and what stands before it is the client's own word.
    pub fn client(&self, connection: Peer, headers: &HeaderMap) -> Peer {
        let mut client = Peer { address: connection.address.to_canonical(), ..connection };
        if !self.trusts(client.address) {
            return client;
        }
        let hops = if headers.contains_key(FOR) { hops_of_list(headers) } else { hops_of_elements(headers) };
        let mut is_https = None;
        for hop in hops.into_iter().rev() {
            let Some(address) = hop.address else { break };
            (client.address, is_https) = (address, hop.is_https);
            if !self.trusts(address) {
                break;
            }
        }
        let is_https = is_https.or_else(|| items(headers, PROTO).last().and_then(scheme));
        Peer { is_https: is_https.unwrap_or(connection.is_https), ..client }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";

/// What stands between the commas of all headers of a name.
fn items<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter();
    // What is no text is not left out: what stands before it must not be taken for what stands behind it.
    lines.flat_map(|line| line.to_str().unwrap_or("?").split(',')).map(str::trim)
}

/// `X-Forwarded-For`
fn hops_of_list(headers: &HeaderMap) -> Vec<Hop> {
    items(headers, FOR).map(|item| Hop { address: address(item), is_https: None }).collect()
}

/// `Forwarded` (RFC 7239). A comma in quotes is taken for one between elements: no address has one, and so no quote that a
/// client leaves open reaches into what the proxy adds.
fn hops_of_elements(headers: &HeaderMap) -> Vec<Hop> {
    let element = |item: &str| {
        let value = |wanted: &str| {
            let mut pairs = item.split(';').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let (address, is_https) =
            (value("for").and_then(|text| address(&text)), value("proto").and_then(|text| scheme(&text)));
        Hop { address, is_https }
    };
    items(headers, "forwarded").map(element).collect()
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn scheme(text: &str) -> Option<bool> {
    let is = |scheme| text.eq_ignore_ascii_case(scheme);
    if is("https") { Some(true) } else { is("http").then_some(false) }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    /// Of a request over plain http from `from`; `10.0.0.0/8` and `fd00::/8` are trusted.
    fn client(from: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let connection = Peer { address: from.parse().unwrap(), is_https: false };
        let client = proxies.client(connection, &headers.iter().map(line).collect());
        (client.address.to_string(), client.is_https)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let headers = [(FOR, "192.0.2.7"), (PROTO, "https"), ("forwarded", "for=192.0.2.8;proto=https")];
        assert_eq!(client("192.0.2.1", &headers), ("192.0.2.1".to_owned(), false));
        assert_eq!(client("10.0.0.1", &headers), ("192.0.2.7".to_owned(), true));
        assert_eq!(client("::ffff:10.0.0.1", &headers), ("192.0.2.7".to_owned(), true));
        assert_eq!(client("10.0.0.1", &[]), ("10.0.0.1".to_owned(), false));
    }

    #[test]
    fn what_a_client_says_of_itself_is_passed_over() {
        for (lines, expected) in [
            (vec![(FOR, "192.0.2.99, 192.0.2.7")], "192.0.2.7"),
            (vec![(FOR, "192.0.2.99, 192.0.2.7, 10.0.0.2")], "192.0.2.7"),
            (vec![(FOR, "192.0.2.99"), (FOR, "192.0.2.7")], "192.0.2.7"),
            (vec![(FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            (vec![(FOR, "192.0.2.7:4711")], "192.0.2.7"),
            (vec![(FOR, "[2001:db8::7]:4711")], "2001:db8::7"),
            (vec![(FOR, "[2001:db8::7]")], "2001:db8::7"),
            (vec![(FOR, "::ffff:192.0.2.7")], "192.0.2.7"),
            (vec![(FOR, "192.0.2.99, unknown")], "10.0.0.1"),
            (vec![(FOR, "192.0.2.99, unknown, 10.0.0.2")], "10.0.0.2"),
            (vec![(FOR, "192.0.2.99"), (FOR, "\u{e9}")], "10.0.0.1"),
            (vec![(FOR, "")], "10.0.0.1"),
            (vec![("forwarded", "for=192.0.2.99, for=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1")], "2001:db8::7"),
            (vec![("forwarded", "for=\"192.0.2.99, For=192.0.2.7")], "192.0.2.7"),
            (vec![("forwarded", "for=_hidden")], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", &lines).0, expected, "{lines:?}");
        }
    }

    #[test]
    fn the_scheme_is_that_between_client_and_proxy() {
        for (lines, is_https) in [
            (vec![("forwarded", "for=192.0.2.7;proto=https, for=10.0.0.2;proto=http")], true),
            (vec![("forwarded", "for=192.0.2.99;proto=https, for=192.0.2.7;proto=http")], false),
            (vec![("forwarded", "for=192.0.2.7"), (PROTO, "https")], true),
            (vec![(PROTO, "https")], true),
            (vec![(PROTO, "https, http")], false),
            (vec![(PROTO, "wss")], false),
        ] {
            assert_eq!(client("fd00::1", &lines).1, is_https, "{lines:?}");
        }
    }
}
