//! TLS as every webhook uses it: the web's certificate authorities and the operator's own, a certificate to show, HTTP/2
//! before HTTP/1.1. Made once, at the start.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{CertificateFiles, OutboundSettings};

/// The error names the setting, and the file that it gives.
pub fn client_config(settings: &OutboundSettings) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = &settings.ca_file {
        let wrong = |reason: String| format!("outbound_ca_file: {}: {reason}", file.display());
        for certificate in certificates(file).map_err(wrong)? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots);
    let mut config = match &settings.client_certificate {
        None => builder.with_no_client_auth(),
        Some(CertificateFiles { certificate, key }) => {
            let wrong = |reason: String| format!("outbound_client_cert_file: {}: {reason}", certificate.display());
            let chain = certificates(certificate).map_err(wrong)?;
            let wrong_key = |reason: String| format!("outbound_client_key_file: {}: {reason}", key.display());
            let key = PrivateKeyDer::from_pem_slice(&contents(key).map_err(wrong_key)?)
                .map_err(|error| wrong_key(format!("no private key in PEM can be read from it ({error})")))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                wrong(format!("it cannot be used with the key of outbound_client_key_file: {error}"))
            })?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&contents(file)?).collect();
    let read = read.map_err(|error| format!("it is not PEM ({error})"))?;
    if read.is_empty() { Err("there is no certificate in PEM in it".to_owned()) } else { Ok(read) }
}

fn contents(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("it cannot be read: {error}"))
}
