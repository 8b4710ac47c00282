//! What SCRAM is made of (RFC 5802 §2.2).

use std::num::NonZeroU32;

use aws_lc_rs::{digest as d, hmac as h, pbkdf2 as p};
use subtle::ConstantTimeEq as _;

/// A hash function of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// 20 bytes. Broken for signatures, not for this.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

impl Hash {
    /// Returns the length of its output in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// Returns the hash of `data`.
#[must_use]
pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => &d::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &d::SHA256,
        Hash::Sha512 => &d::SHA512,
    };
    d::digest(algorithm, data).as_ref().to_vec()
}

/// Returns the HMAC of `data` (RFC 2104).
#[must_use]
pub fn hmac(hash: Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => h::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => h::HMAC_SHA256,
        Hash::Sha512 => h::HMAC_SHA512,
    };
    h::sign(&h::Key::new(algorithm, key), data).as_ref().to_vec()
}

/// Hashes a password (RFC 8018 §5.2). Takes about 0.1 µs for each iteration; 0 counts as 1.
#[must_use]
pub fn pbkdf2(hash: Hash, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => p::PBKDF2_HMAC_SHA1,
        Hash::Sha256 => p::PBKDF2_HMAC_SHA256,
        Hash::Sha512 => p::PBKDF2_HMAC_SHA512,
    };
    let mut out = vec![0; hash.bytes()];
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    p::derive(algorithm, iterations, salt, password, &mut out);
    out
}

/// Compares without telling by its time where the difference is.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn rfc_6070() {
        let key = pbkdf2(Hash::Sha1, b"password", b"salt", 2);
        assert_eq!(hex(&key), "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
    }

    #[test]
    fn rfc_4231() {
        let mac = hmac(Hash::Sha256, b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn lengths() {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            assert_eq!(digest(hash, b"").len(), hash.bytes());
        }
        assert!(equal(b"a", b"a") && !equal(b"a", b"b") && !equal(b"a", b"aa"));
    }
}
