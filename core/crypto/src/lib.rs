//! Hashes, keyed hashes, what SCRAM needs, sealing. The only crate that knows ciphers.

mod hash;
mod scram;
mod seal;
mod secret;

pub use hash::{derive_key, hash, keyed_hash};
pub use scram::{Hash, digest, equal, hmac, pbkdf2};
pub use seal::{KEY_BYTES, NONCE_BYTES, Unsealed, open, seal};
pub use secret::{Secret, random};
