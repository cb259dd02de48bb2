//! The vault: seals what must not be readable in the database, under keys that can be thrown away.
//!
//! ```text
//! master key (a file) ─┬─▶ sealing key ──▶ secrets of the service
//!                      ├─▶ wrapping key ─▶ one key per workspace, stored wrapped ─▶ its documents
//!                      └─▶ derived keys ─▶ signing links, …
//! ```
//!
//! Throwing away a workspace's wrapped key makes everything sealed under it unreadable for ever, while the
//! log, which holds digests only, still verifies. Sealing is XChaCha20-Poly1305 with a random nonce: 192 bits
//! of it, so that random ones never meet. Must not know: what is sealed, where it is stored.

use std::fmt;
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead as _, Generate as _, KeyInit as _, Nonce, Payload};
use hmac::{Hmac, Mac as _};
use thiserror::Error;
use zeroize::Zeroizing;

mod master_key;

/// The first byte of everything sealed: the format, should it ever change.
const FORMAT: u8 = 1;

/// Bytes of an XChaCha20-Poly1305 nonce.
const NONCE: usize = 24;

/// A vault could not be opened, or something sealed could not be read.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The master key's file can be read by others.
    #[error("could not open the vault: others may use {path} (mode {mode:03o}); run `chmod 600` on it")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no master key.
    #[error(
        "could not open the vault: {path} holds {found} bytes, a master key has 32; restore it from a \
         backup, since nothing sealed with it can be read otherwise"
    )]
    WrongLength {
        /// Which file.
        path: PathBuf,
        /// How many bytes it has.
        found: u64,
    },
    /// The file could not be read or made.
    #[error("could not open the vault: could not {doing} {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// `read`, `create`.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Sealed with another key or for another context, or altered since.
    #[error("could not unseal: the bytes were sealed with another key or context, or have been altered")]
    Unsealable,
}

/// The installation's master key, in use.
pub struct Vault {
    master: Zeroizing<[u8; 32]>,
    sealing: XChaCha20Poly1305,
    wrapping: XChaCha20Poly1305,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(redacted)")
    }
}

impl Vault {
    /// Opens the vault whose master key lies in the file at `path`. Where there is none it is made, readable
    /// by its owner only; its folder must exist.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn open(path: &Path) -> Result<Vault, VaultError> {
        Ok(Vault::with_master_key(master_key::read_or_create(path)?))
    }

    /// A vault over a master key that is kept elsewhere.
    #[must_use]
    pub fn with_master_key(master: Zeroizing<[u8; 32]>) -> Vault {
        let cipher = |purpose: &[u8]| XChaCha20Poly1305::new((&*mac(&master, purpose)).into());
        Vault { sealing: cipher(b"vault/seal"), wrapping: cipher(b"vault/wrap"), master }
    }

    /// A new workspace's key, and its sealed form to keep (as the workspace's secret `document_key`).
    #[must_use]
    pub fn new_workspace_key(&self) -> (WorkspaceKey, Vec<u8>) {
        let key = Zeroizing::new(<[u8; 32]>::generate());
        let sealed = seal(&self.wrapping, b"workspace key", key.as_slice());
        (WorkspaceKey::new(&key), sealed)
    }

    /// A workspace's key from its sealed form.
    ///
    /// # Errors
    /// [`VaultError::Unsealable`].
    pub fn workspace_key(&self, sealed: &[u8]) -> Result<WorkspaceKey, VaultError> {
        let plain = Zeroizing::new(open(&self.wrapping, b"workspace key", sealed)?);
        let key: &[u8; 32] = plain.as_slice().try_into().map_err(|_length| VaultError::Unsealable)?;
        Ok(WorkspaceKey::new(key))
    }

    /// Seals a secret of the service itself. `context` (what and whose it is) is not stored, and must be the
    /// same when unsealing.
    #[must_use]
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        seal(&self.sealing, context, plain)
    }

    /// Reads what [`Vault::seal`] made.
    ///
    /// # Errors
    /// [`VaultError::Unsealable`].
    pub fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        open(&self.sealing, context, sealed)
    }

    /// Names the master key without telling it: the same key, the same name.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.derive("fingerprint").iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// A key of its own for one purpose, the same at every start: HMAC-SHA-256 (RFC 2104) of the label.
    #[must_use]
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        // The prefix keeps labels apart from the vault's own purposes.
        mac(&self.master, format!("derive/{label}").as_bytes())
    }
}

/// The key that a workspace's documents are sealed with.
pub struct WorkspaceKey(XChaCha20Poly1305);

impl fmt::Debug for WorkspaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkspaceKey(redacted)")
    }
}

impl WorkspaceKey {
    fn new(key: &[u8; 32]) -> WorkspaceKey {
        WorkspaceKey(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals `plain`. `context` is not stored, and must be the same when opening.
    #[must_use]
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        seal(&self.0, context, plain)
    }

    /// Reads what [`WorkspaceKey::seal`] made.
    ///
    /// # Errors
    /// [`VaultError::Unsealable`].
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        open(&self.0, context, sealed)
    }
}

/// Format byte, nonce, ciphertext and tag.
fn seal(cipher: &XChaCha20Poly1305, context: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce = Nonce::<XChaCha20Poly1305>::generate();
    let payload = Payload { msg: plain, aad: context };
    // RFC 8439 2.8: the only limit is 256 GiB of plain text.
    let sealed =
        cipher.encrypt(&nonce, payload).expect("nothing sealed comes near the cipher's length limit");
    [&[FORMAT], nonce.as_slice(), &sealed].concat()
}

fn open(cipher: &XChaCha20Poly1305, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let rest = sealed.strip_prefix(&[FORMAT]).ok_or(VaultError::Unsealable)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(VaultError::Unsealable)?;
    cipher
        .decrypt(nonce.into(), Payload { msg: sealed, aad: context })
        .map_err(|_opaque| VaultError::Unsealable)
}

fn mac(key: &[u8; 32], message: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::with_master_key(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn what_was_sealed_opens_again_with_the_same_key_and_context() {
        let sealed = vault(1).seal(b"ws_1 webhook_secret", b"whsec_x");
        assert_eq!(vault(1).unseal(b"ws_1 webhook_secret", &sealed).expect("its own"), b"whsec_x");
        assert!(vault(2).unseal(b"ws_1 webhook_secret", &sealed).is_err(), "another master key");
        assert!(vault(1).unseal(b"ws_2 webhook_secret", &sealed).is_err(), "another context");
        assert!(vault(1).workspace_key(&sealed).is_err(), "another purpose");
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let (key, wrapped) = vault(1).new_workspace_key();
        let sealed = key.seal(b"context", b"plain");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open(b"context", &altered).is_err(), "byte {at}");
        }
        for short in 0..sealed.len() {
            assert!(key.open(b"context", &sealed[..short]).is_err(), "{short} bytes");
        }
        let again = vault(1).workspace_key(&wrapped).expect("its own");
        assert_eq!(again.open(b"context", &sealed).expect("the same key"), b"plain");
    }

    #[test]
    fn the_same_bytes_are_never_sealed_alike() {
        let (key, wrapped) = vault(1).new_workspace_key();
        assert_ne!(key.seal(b"", b"plain"), key.seal(b"", b"plain"), "the nonce is drawn anew");
        assert_ne!(vault(1).new_workspace_key().1, wrapped, "so is the key");
    }

    #[test]
    fn derived_keys_are_stable_and_differ_by_label() {
        assert_eq!(vault(1).derive("links"), vault(1).derive("links"));
        assert_ne!(vault(1).derive("links"), vault(1).derive("cursors"));
        assert_ne!(vault(1).derive("links"), vault(2).derive("links"));
    }

    #[test]
    fn keys_do_not_show_when_printed() {
        let vault = vault(0x41);
        let printed = format!("{vault:?} {:?}", vault.new_workspace_key().0);
        assert_eq!(printed, "Vault(redacted) WorkspaceKey(redacted)");
    }
}
