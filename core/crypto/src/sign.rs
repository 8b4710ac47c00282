//! Ed25519 (RFC 8032), and what our protocols sign and derive.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::Secret;

/// Bytes of a public key, and of what a private key is made from.
pub const SIGN_KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

/// It is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no key: 32 random bytes")
    }
}

impl std::error::Error for NoKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Makes the key that belongs to 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`NoKey`] when there are not 32.
    pub fn from_seed(seed: &Secret) -> Result<Self, NoKey> {
        Ed25519KeyPair::from_seed_unchecked(seed.expose()).map(Self).map_err(|_| NoKey)
    }

    /// Returns the key that others check with.
    #[must_use]
    pub fn public(&self) -> [u8; SIGN_KEY_BYTES] {
        self.0.public_key().as_ref().try_into().unwrap_or([0; SIGN_KEY_BYTES])
    }

    /// Signs. The same text has the same signature.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(text).as_ref().try_into().unwrap_or([0; SIGNATURE_BYTES])
    }
}

/// Tells whether the private key of `public` signed `text`.
#[must_use]
pub fn is_signed(public: &[u8], text: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(text, signature).is_ok()
}

/// Returns the hash of fields for one purpose, which is what our protocols sign: BLAKE3 `derive_key`
/// with the context `calypte v0 ` and `label`, over each field behind its length (four bytes,
/// little-endian).
#[must_use]
pub fn transcript(label: &str, fields: &[&[u8]]) -> [u8; 32] {
    let mut input = Vec::new();
    for field in fields {
        // No field comes near 4 GiB: limits at the border.
        input.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
        input.extend_from_slice(field);
    }
    derive(label, &input)
}

/// Derives a key of our protocols: BLAKE3 `derive_key` with the context `calypte v0 ` and `label`.
#[must_use]
pub fn derive(label: &str, material: &[u8]) -> [u8; 32] {
    blake3::derive_key(&format!("calypte v0 {label}"), material)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hex(text: &str) -> Vec<u8> {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        text.as_bytes().chunks(2).map(|pair| byte(pair).unwrap()).collect()
    }

    /// RFC 8032 §7.1, TEST 2.
    #[test]
    fn rfc_8032() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let key = SigningKey::from_seed(&Secret::new(from_hex(seed))).unwrap();
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(hex(&key.public()), public);
        let signature = key.sign(&[0x72]);
        let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                        085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(hex(&signature), expected);
        assert!(is_signed(&key.public(), &[0x72], &signature));
        assert!(!is_signed(&key.public(), &[0x73], &signature));
        assert!(!is_signed(&[7; 32], &[0x72], &signature));
        assert!(!is_signed(&[], &[0x72], &signature) && !is_signed(&key.public(), &[0x72], &[]));
        assert_eq!(format!("{key:?}"), "SigningKey");
        assert_eq!(SigningKey::from_seed(&Secret::new(vec![1; 31])).unwrap_err(), NoKey);
    }

    /// Computed with another binding (the Python package `blake3`).
    #[test]
    fn transcripts_are_what_others_compute() {
        let expected = "311b2f2cdff8ae179aa87c0793128b046c5ae4fed1fb87b573808aa400bb0286";
        assert_eq!(hex(&transcript("test", &[b"a", b"bc"])), expected);
        assert_ne!(transcript("test", &[b"ab", b"c"]), transcript("test", &[b"a", b"bc"]));
        assert_ne!(transcript("other", &[b"a", b"bc"]), transcript("test", &[b"a", b"bc"]));
        assert_eq!(derive("test", b"\x01\0\0\0a\x02\0\0\0bc"), transcript("test", &[b"a", b"bc"]));
    }
}
