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

    /// Checks an endpoint's URL as far as it can be without resolving its name.
    pub fn vet_url(&self, text: &str) -> Result<Url, String> {
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
            return Err(
                "it has a user name or password in it; let the receiver verify the signature instead".to_owned()
            );
        }
        if url.fragment().is_some() {
            return Err("it has a fragment (#…), which is never sent; leave it out".to_owned());
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.vet(address.into(), is_tls)?,
            Some(Host::Ipv6(address)) => self.vet(address.into(), is_tls)?,
            Some(Host::Domain("localhost")) => self.vet(Ipv4Addr::LOCALHOST.into(), is_tls)?,
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
    fn urls_are_refused_with_the_reason() {
        let refused = |text: &str| policy(&[]).vet_url(text).unwrap_err();
        assert!(refused("http://0x7f.1/").contains("127.0.0.1"));
        assert!(refused("https://[::ffff:10.0.0.1]/").contains("private"));
        assert!(refused("https://user:pw@example.com/").contains("password"));
        assert!(refused("ftp://example.com/").contains("ftp"));
        assert!(refused("http://example.com/").contains("https"));
        assert!(refused("http://localhost:9/").contains("loopback"));
        assert!(policy(&[]).vet_url("https://example.com/hooks?x=1").is_ok());
    }
}
