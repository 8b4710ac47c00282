//! Sealing at rest: XChaCha20-Poly1305.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};

use crate::Secret;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce. Random ones never meet.
pub const NONCE_BYTES: usize = 24;

/// It was sealed with another key, for another place, or was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealed;

impl fmt::Display for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was sealed with another key, or changed")
    }
}

impl std::error::Error for Unsealed {}

/// Seals `data` for the place that `bound` names. The nonce must never be used again.
#[must_use]
pub fn seal(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    bound: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let payload = Payload { msg: data, aad: bound };
    // Only a text of more than 2³⁸ bytes fails.
    cipher.encrypt(&XNonce::from(*nonce), payload).unwrap_or_default()
}

/// Opens what [`seal`] sealed.
///
/// # Errors
///
/// [`Unsealed`] when anything is not as it was.
pub fn open(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    bound: &[u8],
    sealed: &[u8],
) -> Result<Secret, Unsealed> {
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let payload = Payload { msg: sealed, aad: bound };
    let data = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Unsealed)?;
    Ok(Secret::new(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_is_unchanged() {
        let (key, nonce) = ([1; 32], [2; 24]);
        let sealed = seal(&key, &nonce, b"place", b"text");
        assert_eq!(open(&key, &nonce, b"place", &sealed).unwrap().expose(), b"text");
        assert!(open(&key, &nonce, b"elsewhere", &sealed).is_err());
        assert!(open(&[9; 32], &nonce, b"place", &sealed).is_err());
        let mut changed = sealed;
        changed[0] ^= 1;
        assert!(open(&key, &nonce, b"place", &changed).is_err());
    }
}
