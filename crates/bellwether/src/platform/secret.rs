//! Encryption at rest (XChaCha20-Poly1305). A ciphertext names the key it was made with and is bound to the row and
//! column it stands in, so that one moved elsewhere, or met by a node with another key, is refused, not misread.

use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

const NONCE: usize = 24;
const KEY_NAME: usize = 8;

/// Seals and opens what must not be read from the database's files.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    key_name: [u8; KEY_NAME],
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(
        "it was encrypted with another key ({found}) than this node's ({expected}); give the node the secret.key that belongs to this database"
    )]
    OtherKey { found: String, expected: String },
    #[error("it does not decrypt: it was altered, cut off or moved from another row")]
    Altered,
    #[error("secret_key: it must be 64 hexadecimal digits, as in a data folder's secret.key")]
    KeyText,
    #[error("cannot use the key file {path}: {reason}")]
    KeyFile { path: String, reason: String },
    #[error(
        "the key file {path} is missing, and secrets in the database are encrypted with the key {name}; put the secret.key of this database there, from a backup, or give its contents as secret_key"
    )]
    KeyMissing { path: String, name: String },
}

impl VaultError {
    fn of_file(path: &Path, reason: String) -> Self {
        Self::KeyFile { path: path.display().to_string(), reason }
    }
}

impl Vault {
    pub fn with_key(key: [u8; 32]) -> Self {
        let digest = Sha256::digest([b"bellwether secret key name".as_slice(), &key].concat());
        let mut key_name = [0; KEY_NAME];
        key_name.copy_from_slice(&digest[..KEY_NAME]);
        Self { cipher: XChaCha20Poly1305::new(&Key::from(key)), key_name }
    }

    /// With a key as it is written: 64 hexadecimal digits.
    pub fn with_key_text(text: &str) -> Result<Self, VaultError> {
        unhex(text.trim()).map(Self::with_key).ok_or(VaultError::KeyText)
    }

    /// With the key of a file; `None`: there is no such file.
    pub fn read(path: &Path) -> Result<Option<Self>, VaultError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VaultError::of_file(path, error.to_string())),
        };
        let vault = unhex(text.trim()).map(Self::with_key);
        vault.map(Some).ok_or_else(|| VaultError::of_file(path, "it must hold 64 hexadecimal digits".to_owned()))
    }

    /// With a new key, which is written into a file (mode 0600).
    pub fn make(path: &Path, key: [u8; 32]) -> Result<Self, VaultError> {
        write_private(path, &hex(&key)).map_err(|error| VaultError::of_file(path, error.to_string()))?;
        Ok(Self::with_key(key))
    }

    /// Names this key without telling it.
    pub fn key_name(&self) -> String {
        hex(&self.key_name)
    }

    /// `place` names table, column and row; the same one opens it again.
    pub fn seal(&self, place: &str, plaintext: &[u8], randomness: [u8; 32]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&randomness[..NONCE]);
        let payload = Payload { msg: plaintext, aad: place.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Altered)?;
        Ok([self.key_name.as_slice(), &nonce, &sealed].concat())
    }

    pub fn open(&self, place: &str, ciphertext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (key_name, rest) = ciphertext.split_at_checked(KEY_NAME).ok_or(VaultError::Altered)?;
        if key_name != self.key_name {
            return Err(VaultError::OtherKey { found: hex(key_name), expected: self.key_name() });
        }
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(VaultError::Altered)?;
        let nonce = <[u8; NONCE]>::try_from(nonce).map_err(|_| VaultError::Altered)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        self.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Altered)
    }
}

/// Writes a file that only its owner can read, and that is whole or absent after a crash.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let part = path.with_extension("part");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    writeln!(file, "{text}")?;
    // The mode is that of a file that is made; one that a crash has left may have another.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    sync_folder_of(path)
}

/// Has a file that was made stay in its folder.
pub fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => std::fs::File::open(".")?.sync_all(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_in_its_place_with_its_key_and_unaltered() {
        let vault = Vault::with_key([1; 32]);
        let mut sealed = vault.seal("endpoints.secret/ep_1", b"whsec_x", [9; 32]).unwrap();
        assert_eq!(vault.open("endpoints.secret/ep_1", &sealed).unwrap(), b"whsec_x");
        assert!(matches!(vault.open("endpoints.secret/ep_2", &sealed), Err(VaultError::Altered)));
        let other = Vault::with_key([2; 32]);
        assert!(matches!(other.open("endpoints.secret/ep_1", &sealed), Err(VaultError::OtherKey { .. })));
        *sealed.last_mut().unwrap() ^= 1;
        assert!(matches!(vault.open("endpoints.secret/ep_1", &sealed), Err(VaultError::Altered)));
        assert!(matches!(vault.open("x", &sealed[..3]), Err(VaultError::Altered)));
    }

    #[test]
    fn the_key_file_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        assert!(Vault::read(&path).unwrap().is_none());
        let made = Vault::make(&path, [3; 32]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Vault::read(&path).unwrap().unwrap().key_name(), made.key_name());
        std::fs::write(&path, "too short").unwrap();
        assert!(matches!(Vault::read(&path), Err(VaultError::KeyFile { .. })));
    }
}
