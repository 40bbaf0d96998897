//! Certificates and keys in PEM, as files hold them. Whom they are shown to, and who trusts them, is not known here.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate with its chain, and its key.
pub type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The files that hold a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl CertificateFiles {
    /// Both or neither, as given by the settings of these names; the error names the one that is missing.
    pub fn from_given([certificate, key]: [Option<PathBuf>; 2], settings: [&str; 2]) -> Result<Option<Self>, String> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(format!("{}: is missing; a certificate needs its key", settings[1])),
            (None, Some(_)) => Err(format!("{}: is missing; a key needs its certificate", settings[0])),
        }
    }

    /// Reads both. The error names the setting, and the file that it gives.
    pub fn read(&self, settings: [&str; 2]) -> Result<Certificate, String> {
        let wrong = |reason: String| format!("{}: {}: {reason}", settings[0], self.certificate.display());
        let chain = contents(&self.certificate).and_then(|pem| certificates(&pem)).map_err(wrong)?;
        let wrong = |reason: String| format!("{}: {}: {reason}", settings[1], self.key.display());
        Ok((chain, contents(&self.key).and_then(|pem| private_key(&pem)).map_err(wrong)?))
    }
}

pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| format!("it is not PEM ({error})"))?;
    if read.is_empty() { Err("there is no certificate in PEM in it".to_owned()) } else { Ok(read) }
}

pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("no private key in PEM can be read from it ({error})"))
}

pub fn contents(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("it cannot be read: {error}"))
}
