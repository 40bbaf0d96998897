//! TLS as webhooks use it: the web's certificate authorities and the operator's own, a certificate to show, HTTP/2 before
//! HTTP/1.1. Made once for the installation, and once for each endpoint that has authorities or a certificate of its own.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::settings::{CLIENT_CERTIFICATE, OutboundSettings};
use crate::domain::endpoint::OwnTls;
use crate::platform::pem::{Certificate, certificates, contents, private_key};

/// How connections are made secure, with HTTP/2 on offer and without.
#[derive(Debug, Clone)]
pub struct Tls {
    both: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    identity: Arc<Identity>,
}

/// Whom we trust, and what we show.
#[derive(Debug)]
struct Identity {
    roots: Arc<RootCertStore>,
    certificate: Option<Certificate>,
}

impl Tls {
    /// The error names the setting, and the file that it gives.
    pub fn from_settings(settings: &OutboundSettings) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = &settings.ca_file {
            let wrong = |reason: String| format!("outbound_ca_file: {}: {reason}", file.display());
            add_authorities(&mut roots, &contents(file).map_err(wrong)?).map_err(wrong)?;
        }
        let files = settings.client_certificate.as_ref();
        let certificate = files.map(|files| files.read(CLIENT_CERTIFICATE)).transpose()?;
        Self::with(Identity { roots: roots.into(), certificate }).map_err(|error| {
            format!("outbound_client_cert_file: it cannot be used with the key of outbound_client_key_file: {error}")
        })
    }

    /// With what an endpoint has of its own in place of the installation's. The error names the field.
    pub fn with_own(&self, own: &OwnTls) -> Result<Self, (&'static str, String)> {
        let roots = match &own.ca_pem {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                add_authorities(&mut roots, pem.as_bytes()).map_err(|reason| ("tls.ca_pem", reason))?;
                roots.into()
            }
            None => self.identity.roots.clone(),
        };
        let certificate = match (&own.client_cert_pem, &own.client_key_pem) {
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate.as_bytes()).map_err(|reason| ("tls.client_cert_pem", reason))?;
                Some((chain, private_key(key.as_bytes()).map_err(|reason| ("tls.client_key_pem", reason))?))
            }
            _ => self.identity.certificate.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key())),
        };
        Self::with(Identity { roots, certificate })
            .map_err(|error| ("tls.client_cert_pem", format!("it cannot be used with the key given: {error}")))
    }

    fn with(identity: Identity) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(identity.roots.clone());
        let mut config = match &identity.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { both: Arc::new(config), http1, identity: identity.into() })
    }

    pub fn offering(&self, is_http1: bool) -> Arc<ClientConfig> {
        if is_http1 { self.http1.clone() } else { self.both.clone() }
    }
}

fn add_authorities(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(())
}
