//! TLS of the API: the certificate that it shows, as the operator's files have it now. One that cannot be used does not take the
//! place of one that can. How connections are made secure by it: `secured`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::platform::pem::CertificateFiles;

/// The settings that name the files.
pub const SETTINGS: [&str; 2] = ["tls_cert", "tls_key"];
/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub struct ServerTls {
    files: CertificateFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// Of the files as they were when they were last tried.
    tried: Option<[u8; 32]>,
}

impl ServerTls {
    /// The error names the setting, and the file that it gives.
    pub fn of_files(files: CertificateFiles) -> Result<Self, String> {
        let tried = fingerprint(&files);
        let config = read(&files)?;
        Ok(Self { files, current: Mutex::new(Current { config, tried }) })
    }

    /// What the next connection is made secure by.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Reads the files again, if they are not as they were when they were last tried. Connections that are there stay.
    pub fn reload(&self) {
        // First, so that files which change meanwhile are tried once more.
        let found = fingerprint(&self.files);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if found == current.tried {
            return;
        }
        current.tried = found;
        match read(&self.files) {
            Ok(config) => {
                current.config = config;
                tracing::info!(file = %self.files.certificate.display(), "new connections are shown the new certificate");
            }
            Err(error) => tracing::error!(%error, "the certificate before stays in force"),
        }
    }

    /// Looks at the files now and then, until `stopping` turns true.
    pub async fn watch(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let tls = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || tls.reload()).await {
                tracing::error!(%error, "the files of the certificate could not be looked at");
            }
        }
    }
}

/// `None` where one cannot be read.
fn fingerprint(files: &CertificateFiles) -> Option<[u8; 32]> {
    let digest = Sha256::new().chain_update(std::fs::read(&files.certificate).ok()?);
    let digest = digest.chain_update([0]).chain_update(std::fs::read(&files.key).ok()?);
    Some(digest.finalize().into())
}

fn read(files: &CertificateFiles) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = files.read(SETTINGS)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| {
        let [certificate, key] = SETTINGS;
        format!("{certificate}: {}: it cannot be used with the key of {key}: {error}", files.certificate.display())
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
