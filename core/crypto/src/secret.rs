//! Bytes that must not be shown, and randomness.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that are wiped when dropped and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Shows the bytes to who needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Fills `out` from the operating system.
///
/// # Panics
///
/// When the operating system has no randomness, nothing can be done safely.
#[expect(clippy::expect_used, reason = "without randomness every key would be known")]
pub fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives randomness");
}
