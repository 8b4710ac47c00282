//! Sealing what is too long for one piece: chunk by chunk, so that it can be written as it comes and
//! read from anywhere.

use crate::{KEY_BYTES, NONCE_BYTES, Secret, Unsealed, open, seal};

/// Bytes of a chunk before it is sealed; the last one may be shorter.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Bytes that sealing adds to a chunk.
pub const TAG_BYTES: usize = 16;

/// Seals the chunks of one text. The key must never be used for another one.
///
/// A chunk opens only as the one that it was, and as the last one only if it was that: chunks that are
/// moved, left out, repeated or cut off are noticed.
pub struct ChunkKey([u8; KEY_BYTES]);

impl std::fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkKey")
    }
}

impl ChunkKey {
    /// Derives the key of the text with this name, which no other has.
    #[must_use]
    pub fn new(secret: &[u8; KEY_BYTES], name: &[u8]) -> Self {
        Self(crate::keyed_hash(secret, name))
    }

    /// Seals the chunk with this number, from 0.
    #[must_use]
    pub fn seal(&self, number: u64, is_last: bool, data: &[u8]) -> Vec<u8> {
        seal(&self.0, &nonce(number, is_last), &[], data)
    }

    /// Opens a chunk.
    ///
    /// # Errors
    ///
    /// [`Unsealed`] when it is not that chunk of that text as it was.
    pub fn open(&self, number: u64, is_last: bool, sealed: &[u8]) -> Result<Secret, Unsealed> {
        open(&self.0, &nonce(number, is_last), &[], sealed)
    }
}

/// Each chunk of a key has its own.
fn nonce(number: u64, is_last: bool) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    let (first, rest) = nonce.split_at_mut(8);
    first.copy_from_slice(&number.to_le_bytes());
    if let Some(mark) = rest.first_mut() {
        *mark = u8::from(is_last);
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_opens_only_where_it_was() {
        let key = ChunkKey::new(&[1; 32], b"one");
        let sealed = key.seal(3, false, b"text");
        assert_eq!(sealed.len(), 4 + TAG_BYTES);
        assert_eq!(key.open(3, false, &sealed).unwrap().expose(), b"text");
        assert!(key.open(2, false, &sealed).is_err());
        assert!(key.open(3, true, &sealed).is_err());
        assert!(key.open(3, false, &sealed[..sealed.len() - 1]).is_err());
        assert!(ChunkKey::new(&[1; 32], b"two").open(3, false, &sealed).is_err());
        assert!(ChunkKey::new(&[2; 32], b"one").open(3, false, &sealed).is_err());
    }
}
