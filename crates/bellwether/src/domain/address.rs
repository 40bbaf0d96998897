//! Which addresses webhooks may go to. Pure: the delivery client asks it for every address it is about to connect to,
//! the registry asks it when an endpoint is written, so that a refusal comes early where it can.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// An address range like `127.0.0.0/8` or `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let bits = 32 - u32::from(self.prefix);
                (u32::from(network) ^ u32::from(address)).checked_shr(bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let bits = 128 - u32::from(self.prefix);
                (u128::from(network) ^ u128::from(address)).checked_shr(bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a network; write it like 127.0.0.0/8, 10.1.2.3 or fd00::/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).map_err(|_| wrong())?;
        if prefix > longest { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the operator allows beyond `https` to public addresses.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Private addresses that may be reached, also by plain `http`.
    pub allow_networks: Vec<Network>,
    /// Plain `http` to public addresses.
    pub allow_http: bool,
}

impl AddressPolicy {
    /// Whether a connection to `address` may be made; the error says which rule forbids it.
    pub fn vet(&self, address: IpAddr, is_tls: bool) -> Result<(), String> {
        if self.allow_networks.iter().any(|network| network.contains(address.to_canonical())) {
            return Ok(());
        }
        if let Some(kind) = forbidden_kind(address) {
            return Err(format!("{address} is {kind}; the operator can allow it with allow_networks"));
        }
        if !is_tls && !self.allow_http {
            return Err(format!(
                "plain http to {address} is not allowed; use https, or the operator allows it with allow_http"
            ));
        }
        Ok(())
    }

    /// The loopback addresses that may be connected to. The name `localhost` means these, and is never looked up (RFC 6761).
    pub fn localhost(&self, is_tls: bool) -> Result<Vec<IpAddr>, String> {
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let allowed: Vec<_> = both.into_iter().filter(|address| self.vet(*address, is_tls).is_ok()).collect();
        if allowed.is_empty() { self.vet(both[0], is_tls).map(|()| allowed) } else { Ok(allowed) }
    }

    /// Checks an endpoint's URL as far as it can be without resolving its name.
    pub fn vet_url(&self, text: &str) -> Result<Url, String> {
        check_text(text)?;
        let url = Url::parse(text)
            .map_err(|error| format!("'{text}' is not a URL ({error}); write it like https://example.com/hooks"))?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => {
                return Err(format!(
                    "the scheme '{other}' was given; only https, or http where the operator allows it"
                ));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user name or password in it, which would be shown; give them as a header instead: \
                 \"headers\": {\"Authorization\": \"Basic <base64 of user:password>\"}"
                .to_owned());
        }
        if url.fragment().is_some() {
            return Err("it has a fragment (#…), which is never sent; leave it out".to_owned());
        }
        if url.port() == Some(0) {
            return Err("port 0 cannot be connected to; give the receiver's port, or leave it out".to_owned());
        }
        if let Some(Host::Domain(name)) = url.host() {
            check_name(name)?;
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.vet(address.into(), is_tls)?,
            Some(Host::Ipv6(address)) => self.vet(address.into(), is_tls)?,
            Some(Host::Domain(name)) if is_localhost(name) => drop(self.localhost(is_tls)?),
            Some(Host::Domain(_)) if is_tls || self.allow_http || !self.allow_networks.is_empty() => {}
            Some(Host::Domain(_)) => {
                return Err(
                    "plain http is not allowed; use https, or the operator allows it with allow_http".to_owned()
                );
            }
            None => return Err("it names no host".to_owned()),
        }
        Ok(url)
    }
}

/// What standard parsing of URLs would mend or drop without a word: what is stored is to be what was meant.
fn check_text(text: &str) -> Result<(), String> {
    if let Some(odd) = text.chars().find(|odd| odd.is_whitespace() || odd.is_control()) {
        return Err(format!(
            "it has a blank or control character in it ({}); leave it out, or write it as %20",
            odd.escape_default()
        ));
    }
    if text.contains('\\') {
        return Err("it has a backslash in it; write / instead".to_owned());
    }
    let rest = text.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    let Some((_, rest)) = rest.filter(|(scheme, _)| matches!(scheme.as_str(), "http" | "https")) else {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        return Err(if matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https" | "") {
            format!("'{text}' is not a URL; write it like https://example.com/hooks")
        } else {
            format!("the scheme '{scheme}' was given; only https, or http where the operator allows it")
        });
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.is_empty() {
        return Err("it names no host; write it like https://example.com/hooks".to_owned());
    }
    let is_odd = |odd: &char| odd.is_ascii() && !odd.is_ascii_alphanumeric() && !".-_:[]".contains(*odd);
    match host.chars().find(is_odd) {
        Some(odd @ ('{' | '}' | '$' | '<' | '>')) => Err(format!(
            "the host '{host}' has '{odd}' in it, as a placeholder has that was not filled in; give the receiver's own name"
        )),
        Some('*') => Err(format!("the host '{host}' is a pattern; give one receiver's own name")),
        Some(odd) => Err(format!("the host '{host}' has '{odd}' in it; letters, digits, - _ and . are allowed")),
        None => Ok(()),
    }
}

/// A name that can be looked up: labels of 1 to 63 characters between dots, 253 in all (RFC 1035).
fn check_name(name: &str) -> Result<(), String> {
    if name.len() > 253 {
        return Err(format!("the host has {} characters; at most 253 are allowed", name.len()));
    }
    for label in name.split('.') {
        match label.len() {
            0 if name.ends_with('.') => {
                return Err(format!("the host '{name}' ends with a dot; leave it out"));
            }
            0 => return Err(format!("the host '{name}' has nothing between two dots")),
            1..=63 => {}
            length => {
                return Err(format!(
                    "'{label}' in the host has {length} characters; at most 63 are allowed between dots"
                ));
            }
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(format!("'{label}' in the host begins or ends with a hyphen, which no name does"));
        }
    }
    Ok(())
}

/// Whether a host's name means this machine.
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

/// Why an address is not a public one; `None` if it is.
fn forbidden_kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| forbidden_v6(v6), forbidden_v4),
    }
}

/// Ranges of the IANA special-purpose registry that are not globally reachable.
fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some("of this network (0.0.0.0/8)"),
        (127, ..) => Some("a loopback address"),
        (169, 254, _) => Some("a link-local address, where clouds keep their metadata"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("a private address"),
        (100, 64..=127, _) => Some("a carrier-grade NAT address"),
        (192, 0, 0) | (192, 0, 2) | (198, 51, 100) | (203, 0, 113) | (198, 18..=19, _) | (192, 88, 99) => {
            Some("reserved for documentation, benchmarks or protocols")
        }
        (224..=239, ..) => Some("a multicast address"),
        (240..=255, ..) => Some("a reserved address"),
        _ => None,
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    match segments[0] {
        _ if address.is_unspecified() => Some("the unspecified address"),
        _ if address.is_loopback() => Some("a loopback address"),
        0xfe80..=0xfebf => Some("a link-local address"),
        0xfec0..=0xfeff | 0xfc00..=0xfdff => Some("a private address"),
        0xff00..=0xffff => Some("a multicast address"),
        0x2001 if segments[1] < 0x200 || segments[1] == 0xdb8 => Some("reserved for protocols or documentation"),
        0x3fff if segments[1] < 0x1000 => Some("reserved for documentation"),
        0x2000..=0x3fff => None,
        _ => Some("not a global unicast address"),
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address: it decides, for that is where packets end.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] if !(address.is_loopback() || address.is_unspecified()) => {
            Some(join(high, low))
        }
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(join(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x64, 0xff9b, 1, ..] => Some(Ipv4Addr::UNSPECIFIED),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str]) -> AddressPolicy {
        AddressPolicy { allow_networks: networks.iter().map(|text| text.parse().unwrap()).collect(), allow_http: false }
    }

    #[test]
    fn refuses_every_form_of_an_inner_address() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "::ffff:0:10.0.0.1",
        ] {
            assert!(policy(&[]).vet(text.parse().unwrap(), true).is_err(), "{text}");
        }
        for text in ["1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "172.32.0.1", "100.128.0.1"] {
            assert!(policy(&[]).vet(text.parse().unwrap(), true).is_ok(), "{text}");
            assert!(policy(&[]).vet(text.parse().unwrap(), false).is_err(), "plain http to {text}");
        }
    }

    #[test]
    fn allowed_networks_open_just_themselves() {
        let policy = policy(&["127.0.0.0/8", "fd00::/8"]);
        assert!(policy.vet("127.9.9.9".parse().unwrap(), false).is_ok());
        assert!(policy.vet("::ffff:127.0.0.1".parse().unwrap(), false).is_ok());
        assert!(policy.vet("fd12::1".parse().unwrap(), true).is_ok());
        assert!(policy.vet("10.0.0.1".parse().unwrap(), true).is_err());
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("9.9.9.9".parse().unwrap()));
    }

    #[test]
    fn localhost_is_what_is_allowed_of_the_loopback_addresses() {
        let reached = |networks: &[&str]| policy(networks).localhost(false).map(|addresses| addresses.len());
        assert_eq!(reached(&["127.0.0.0/8"]), Ok(1));
        assert_eq!(reached(&["::1"]), Ok(1));
        assert_eq!(reached(&["127.0.0.0/8", "::1"]), Ok(2));
        assert!(reached(&["10.0.0.0/8"]).unwrap_err().contains("loopback"));
        for name in ["localhost", "LOCALHOST.", "app.localhost"] {
            assert!(is_localhost(name), "{name}");
        }
        assert!(!is_localhost("localhost.example.com") && !is_localhost("notlocalhost"));
        assert!(policy(&["127.0.0.0/8"]).vet_url("http://localhost:1/").is_ok());
    }

    #[test]
    fn urls_are_refused_with_the_reason() {
        let refused = |text: &str| policy(&[]).vet_url(text).unwrap_err();
        assert!(refused("http://0x7f.1/").contains("127.0.0.1"));
        assert!(refused("https://[::ffff:10.0.0.1]/").contains("private"));
        assert!(refused("https://user:pw@example.com/").contains("password"));
        assert!(refused("ftp://example.com/").contains("ftp"));
        assert!(refused("http://example.com/").contains("https"));
        assert!(refused("http://localhost:9/").contains("loopback"));
        assert!(policy(&[]).vet_url("https://example.com/hooks?x=1").is_ok());
        assert!(refused("https://user:pw@example.com/").contains("Authorization"));
    }

    #[test]
    fn what_could_not_be_sent_or_would_be_changed_without_a_word_is_refused() {
        let long = format!("https://{}.example.com/", "a".repeat(64));
        for text in [
            "https://${WEBHOOK_HOST}/hooks",
            "https://{tenant}.example.com",
            "https://ex'ample.com/",
            "https://ex\"ample.com/",
            "https://`id`.example.com/",
            "https://a..b/",
            "https://.example.com/",
            "https://*.example.com/",
            "https://-a.example.com/",
            "https://example.com./",
            long.as_str(),
            "https:///x",
            "http:/x",
            "https:x",
            "http:\\\\x",
            "https://example.com\\x",
            "https://example.com:0/",
            "https://exa%6dple.com/",
            "https://example.com/a\tb",
            "https://example.com/a\nb",
            " https://example.com/",
            "https://example.com/a b",
            "https://?x",
            "//example.com",
            "example.com",
            "",
        ] {
            let reason = policy(&["127.0.0.0/8"]).vet_url(text);
            assert!(reason.is_err(), "{text}: {reason:?}");
        }
        for text in [
            "HTTPS://EXAMPLE.com/{id}?a={b}",
            "https://my_service.internal/",
            "https://bücher.example/",
            "https://a.b:8443",
        ] {
            assert!(policy(&[]).vet_url(text).is_ok(), "{text}");
        }
    }
}
