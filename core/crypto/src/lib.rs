//! Hashes, keyed hashes, what SCRAM needs, signatures, sealing. The only crate that knows ciphers.

mod chunks;
mod hash;
mod scram;
mod seal;
mod secret;
mod sign;

pub use chunks::{CHUNK_BYTES, ChunkKey, TAG_BYTES};
pub use hash::{KeyedHasher, derive_key, hash, keyed_hash};
pub use scram::{Hash, digest, equal, hmac, pbkdf2};
pub use seal::{KEY_BYTES, NONCE_BYTES, Unsealed, open, seal};
pub use secret::{Secret, random};
pub use sign::{NoKey, SIGN_KEY_BYTES, SIGNATURE_BYTES, SigningKey, derive, is_signed, transcript};
