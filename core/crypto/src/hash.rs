//! BLAKE3.

/// Returns the hash of `data`.
#[must_use]
pub fn hash(data: &[u8]) -> [u8; 32] {
    *blake3::hash(data).as_bytes()
}

/// Returns the hash of `data` under a key: a MAC, or randomness that can be replayed.
#[must_use]
pub fn keyed_hash(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, data).as_bytes()
}

/// Derives a key for one purpose. `context` is a constant of the program.
#[must_use]
pub fn derive_key(context: &str, material: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, material)
}

#[cfg(test)]
mod tests {
    #[test]
    fn matches_the_published_vector() {
        let empty = super::hash(b"");
        assert_eq!(empty[..4], [0xaf, 0x13, 0x49, 0xb9]);
    }
}
