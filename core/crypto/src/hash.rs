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

/// Makes a [`keyed_hash`] of what comes in parts.
pub struct KeyedHasher(blake3::Hasher);

impl std::fmt::Debug for KeyedHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHasher")
    }
}

impl KeyedHasher {
    /// Begins with nothing.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(key))
    }

    /// Adds a part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// Returns the hash of all parts.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn matches_the_published_vector() {
        let empty = super::hash(b"");
        assert_eq!(empty[..4], [0xaf, 0x13, 0x49, 0xb9]);
    }

    #[test]
    fn parts_hash_as_the_whole_does() {
        let mut hasher = super::KeyedHasher::new(&[1; 32]);
        hasher.update(b"who ");
        hasher.update(b"goes there");
        assert_eq!(hasher.finish(), super::keyed_hash(&[1; 32], b"who goes there"));
    }
}
