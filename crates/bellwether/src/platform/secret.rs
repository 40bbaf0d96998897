//! Encryption at rest (XChaCha20-Poly1305). A ciphertext names the key it was made with and is bound to the row and
//! column it stands in, so that one moved elsewhere, or met by a node with another key, is refused, not misread.

use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

const NONCE: usize = 24;
const KEY_NAME: usize = 8;

/// Seals and opens what must not be read from the database's files. While a key is rotated it has two; one of them seals.
pub struct Vault {
    ring: RwLock<Ring>,
}

struct Ring {
    sealing: usize,
    keys: Vec<NamedKey>,
}

struct NamedKey {
    cipher: XChaCha20Poly1305,
    name: [u8; KEY_NAME],
}

impl NamedKey {
    fn of(key: [u8; 32]) -> Self {
        let digest = Sha256::digest([b"bellwether secret key name".as_slice(), &key].concat());
        let mut name = [0; KEY_NAME];
        name.copy_from_slice(&digest[..KEY_NAME]);
        Self { cipher: XChaCha20Poly1305::new(&Key::from(key)), name }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(
        "it was encrypted with another key ({found}) than this node's ({expected}); give the node the secret.key that belongs to this database"
    )]
    OtherKey { found: String, expected: String },
    #[error("it does not decrypt: it was altered, cut off or moved from another row")]
    Altered,
    #[error(
        "secret_key: it must be 64 hexadecimal digits, as in a data folder's secret.key; while it is rotated, two of these with a comma between"
    )]
    KeyText,
    #[error("there is no key {0} here; give it with secret_key")]
    NoSuchKey(String),
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
        Self::with_keys(vec![key])
    }

    fn with_keys(keys: Vec<[u8; 32]>) -> Self {
        Self { ring: RwLock::new(Ring { sealing: 0, keys: keys.into_iter().map(NamedKey::of).collect() }) }
    }

    /// With keys as they are written: 64 hexadecimal digits each, the first of which seals until it is told otherwise.
    pub fn with_key_text(text: &str) -> Result<Self, VaultError> {
        let texts = text.split(|letter: char| letter == ',' || letter.is_whitespace()).filter(|text| !text.is_empty());
        let keys: Vec<_> = texts.map(unhex).collect::<Option<_>>().ok_or(VaultError::KeyText)?;
        if keys.is_empty() { Err(VaultError::KeyText) } else { Ok(Self::with_keys(keys)) }
    }

    /// With the keys of a file; `None`: there is no such file.
    pub fn read(path: &Path) -> Result<Option<Self>, VaultError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(VaultError::of_file(path, error.to_string())),
        };
        let vault = Self::with_key_text(&text);
        vault.map(Some).map_err(|_| VaultError::of_file(path, "it must hold 64 hexadecimal digits".to_owned()))
    }

    /// With a new key, which is written into a file (mode 0600).
    pub fn make(path: &Path, key: [u8; 32]) -> Result<Self, VaultError> {
        write_private(path, &hex(&key)).map_err(|error| VaultError::of_file(path, error.to_string()))?;
        Ok(Self::with_key(key))
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_to_change(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the key that seals without telling it.
    pub fn key_name(&self) -> String {
        let ring = self.ring();
        ring.keys.get(ring.sealing).map(|key| hex(&key.name)).unwrap_or_default()
    }

    /// The others that open, by name.
    pub fn other_key_names(&self) -> Vec<String> {
        let ring = self.ring();
        let others = ring.keys.iter().enumerate().filter(|(i, _)| *i != ring.sealing);
        others.map(|(_, key)| hex(&key.name)).collect()
    }

    pub fn has_key(&self, name: &str) -> bool {
        self.ring().keys.iter().any(|key| hex(&key.name) == name)
    }

    /// Has the key of this name seal from now on.
    pub fn seal_with(&self, name: &str) -> Result<(), VaultError> {
        let mut ring = self.ring_to_change();
        let found = ring.keys.iter().position(|key| hex(&key.name) == name);
        ring.sealing = found.ok_or_else(|| VaultError::NoSuchKey(name.to_owned()))?;
        Ok(())
    }

    /// One more key that opens; gives its name.
    pub fn add(&self, key: [u8; 32]) -> String {
        let key = NamedKey::of(key);
        let name = hex(&key.name);
        if !self.has_key(&name) {
            self.ring_to_change().keys.push(key);
        }
        name
    }

    /// Leaves the key that seals alone: nothing is sealed with another any more.
    pub fn forget_others(&self) {
        let mut ring = self.ring_to_change();
        let sealing = ring.sealing;
        let keys = std::mem::take(&mut ring.keys);
        ring.keys = keys.into_iter().skip(sealing).take(1).collect();
        ring.sealing = 0;
    }

    /// Whether this was sealed with the key that seals now.
    pub fn is_sealed_anew(&self, ciphertext: &[u8]) -> bool {
        let ring = self.ring();
        ring.keys.get(ring.sealing).is_some_and(|key| ciphertext.starts_with(&key.name))
    }

    /// `place` names table, column and row; the same one opens it again.
    pub fn seal(&self, place: &str, plaintext: &[u8], randomness: [u8; 32]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&randomness[..NONCE]);
        let payload = Payload { msg: plaintext, aad: place.as_bytes() };
        let ring = self.ring();
        let key = ring.keys.get(ring.sealing).ok_or(VaultError::KeyText)?;
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Altered)?;
        Ok([key.name.as_slice(), &nonce, &sealed].concat())
    }

    pub fn open(&self, place: &str, ciphertext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (key_name, rest) = ciphertext.split_at_checked(KEY_NAME).ok_or(VaultError::Altered)?;
        let expected = self.key_name();
        let ring = self.ring();
        let key = ring.keys.iter().find(|key| key.name == key_name);
        let key = key.ok_or_else(|| VaultError::OtherKey { found: hex(key_name), expected })?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(VaultError::Altered)?;
        let nonce = <[u8; NONCE]>::try_from(nonce).map_err(|_| VaultError::Altered)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        key.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Altered)
    }
}

/// Adds a new key to those of a file: a start in between finds them all.
pub fn add_to_file(path: &Path, key: [u8; 32]) -> Result<(), VaultError> {
    let failed = |error: std::io::Error| VaultError::of_file(path, error.to_string());
    let before = std::fs::read_to_string(path).map_err(failed)?;
    write_private(path, &format!("{}\n{}", before.trim(), hex(&key))).map_err(failed)
}

/// Leaves the key of this name alone in a file.
pub fn keep_in_file(path: &Path, name: &str) -> Result<(), VaultError> {
    let failed = |error: std::io::Error| VaultError::of_file(path, error.to_string());
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let is_it = |line: &&str| unhex(line).is_some_and(|key| hex(&NamedKey::of(key).name) == name);
    let line = text.split_whitespace().find(is_it).ok_or_else(|| VaultError::NoSuchKey(name.to_owned()))?;
    write_private(path, line).map_err(failed)
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
    fn while_a_key_is_rotated_both_open_and_one_seals() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let vault = Vault::make(&path, [1; 32]).unwrap();
        let old = vault.seal("place", b"x", [9; 32]).unwrap();
        add_to_file(&path, [2; 32]).unwrap();
        let name = vault.add([2; 32]);
        assert!(vault.is_sealed_anew(&old), "the old key seals yet");
        vault.seal_with(&name).unwrap();
        let anew = vault.seal("place", b"x", [9; 32]).unwrap();
        assert!(vault.is_sealed_anew(&anew) && !vault.is_sealed_anew(&old));
        let both = Vault::read(&path).unwrap().unwrap();
        assert_eq!((both.open("place", &old).unwrap(), both.open("place", &anew).unwrap()), (b"x".into(), b"x".into()));
        keep_in_file(&path, &name).unwrap();
        vault.forget_others();
        for vault in [vault, Vault::read(&path).unwrap().unwrap()] {
            assert_eq!(vault.key_name(), name);
            assert!(vault.open("place", &old).is_err() && vault.open("place", &anew).is_ok());
        }
        assert!(Vault::with_key_text(&format!("{},{}", "0".repeat(64), "1".repeat(64))).is_ok());
        assert!(Vault::with_key_text(" , ").is_err());
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
