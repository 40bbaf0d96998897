//! How webhooks leave the operator's network: through which proxy, trusting which authorities, with which certificate.
//! What is in the files is read when delivery starts (see `tls`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::platform::pem::CertificateFiles;

/// The settings that all webhooks share.
#[derive(Debug, Clone, Default)]
pub struct OutboundSettings {
    pub proxy: Option<Proxy>,
    /// The proxy is given names, and so decides alone which addresses are reached.
    pub proxy_resolves: bool,
    /// PEM: certificate authorities trusted beside the web's.
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate, and its key, that receivers are shown if they ask for one.
    pub client_certificate: Option<CertificateFiles>,
}

/// The settings that name the certificate, and its key, that receivers are shown.
pub const CLIENT_CERTIFICATE: [&str; 2] = ["outbound_client_cert_file", "outbound_client_key_file"];

/// A proxy, written like `http://user:password@host:3128` or `socks5://host:1080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    pub protocol: ProxyProtocol,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    pub credentials: Option<ProxyCredentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// HTTP `CONNECT`, also for targets with plain http.
    Http,
    Socks5,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ProxyCredentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for ProxyCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyCredentials(redacted)")
    }
}

impl OutboundSettings {
    /// Settings as given; the error names the one that cannot be used.
    pub fn from_given(
        proxy: Option<&str>,
        proxy_resolves: bool,
        ca_file: Option<PathBuf>,
        client_cert_file: Option<PathBuf>,
        client_key_file: Option<PathBuf>,
    ) -> Result<Self, String> {
        let proxy =
            proxy.map(Proxy::from_str).transpose().map_err(|error| format!("outbound_proxy: the URL given {error}"))?;
        if proxy_resolves && proxy.is_none() {
            return Err("proxy_resolves: true was given without outbound_proxy; set that too".to_owned());
        }
        let client_certificate = CertificateFiles::from_given([client_cert_file, client_key_file], CLIENT_CERTIFICATE)?;
        Ok(Self { proxy, proxy_resolves, ca_file, client_certificate })
    }
}

impl FromStr for Proxy {
    type Err = String;

    /// The error does not show what was given: there may be a password in it.
    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = "write it like http://user:password@proxy.example:3128 or socks5://proxy.example:1080";
        let url = Url::parse(text).map_err(|error| format!("cannot be read ({error}); {allowed}"))?;
        let (protocol, usual_port) = match url.scheme() {
            "http" => (ProxyProtocol::Http, 80),
            "socks5" => (ProxyProtocol::Socks5, 1080),
            other => return Err(format!("has the scheme '{other}'; http and socks5 are allowed: {allowed}")),
        };
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(format!("names no host; {allowed}")),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("has more than a host and a port; {allowed}"));
        }
        let credentials = credentials(&url)?;
        let is_too_long = |text: &str| text.is_empty() || text.len() > 255;
        let too_long = credentials.as_ref().is_some_and(|of| is_too_long(&of.user) || is_too_long(&of.password));
        if protocol == ProxyProtocol::Socks5 && too_long {
            return Err("has a user or password that SOCKS5 cannot carry; from 1 to 255 bytes are allowed".to_owned());
        }
        // A scheme that the URL standard does not know keeps the host's case.
        Ok(Self { protocol, host: host.to_ascii_lowercase(), port: url.port().unwrap_or(usual_port), credentials })
    }
}

fn credentials(url: &Url) -> Result<Option<ProxyCredentials>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().map_err(|_| "has a user or password that is not UTF-8")?;
        Ok::<_, String>(text.into_owned())
    };
    let user = decoded(url.username())?;
    if user.contains(':') {
        return Err("has a user with a colon, which HTTP cannot carry; give another user".to_owned());
    }
    Ok(Some(ProxyCredentials { user, password: decoded(url.password().unwrap_or(""))? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_with_their_credentials() {
        let proxy: Proxy = "http://us%40er:p%3Aw@Proxy.example:3128".parse().unwrap();
        assert_eq!((proxy.protocol, proxy.host.as_str(), proxy.port), (ProxyProtocol::Http, "proxy.example", 3128));
        let credentials = proxy.credentials.clone().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("us@er", "p:w"));
        assert!(!format!("{proxy:?}").contains("p:w"));
        let proxy: Proxy = "socks5://[::1]".parse().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port, proxy.credentials), ("::1", 1080, None));
        assert_eq!("http://10.0.0.1/".parse::<Proxy>().unwrap().port, 80);
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_its_password() {
        for text in ["proxy:3128", "https://u:hunter2@p:1", "http://u:hunter2@p:1/path", "socks5://", "socks5://u@p"] {
            let error = text.parse::<Proxy>().unwrap_err();
            assert!(!error.contains("hunter2") && error.contains("allowed") || error.contains("like http"), "{error}");
        }
    }

    #[test]
    fn settings_that_belong_together_are_asked_for_by_name() {
        let refused = |resolves, cert: Option<&str>, key: Option<&str>| {
            let (cert, key) = (cert.map(PathBuf::from), key.map(PathBuf::from));
            OutboundSettings::from_given(None, resolves, None, cert, key).unwrap_err()
        };
        assert!(refused(true, None, None).starts_with("proxy_resolves"));
        assert!(refused(false, Some("a"), None).starts_with("outbound_client_key_file"));
        assert!(refused(false, None, Some("a")).starts_with("outbound_client_cert_file"));
    }
}
