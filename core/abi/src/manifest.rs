//! What a module says about itself: put together while it compiles, read without loading it.

use core::fmt;

/// The first line of every manifest.
pub const FIRST_LINE: &str = "calypte-manifest 1";

/// Returns how long the pieces are together.
#[must_use]
pub const fn len(pieces: &[&str]) -> usize {
    let (mut i, mut sum) = (0, 0);
    while i < pieces.len() {
        #[expect(clippy::indexing_slicing, reason = "`i` is less than the length")]
        let piece = pieces[i];
        sum += piece.len();
        i += 1;
    }
    sum
}

/// Puts the pieces behind each other. `N` is their [`len`].
///
/// # Panics
///
/// While compiling, when `N` is another number.
#[must_use]
pub const fn bytes<const N: usize>(pieces: &[&str]) -> [u8; N] {
    let mut all = [0; N];
    assert!(copy(pieces, &mut all).is_empty(), "N is not the length of the pieces");
    all
}

/// Puts the pieces of a manifest and then more of them behind each other.
///
/// # Panics
///
/// While compiling, when it is no manifest.
#[doc(hidden)]
#[must_use]
pub const fn join<const N: usize>(pieces: &[&str], more: &[&str]) -> [u8; N] {
    let mut all = [0; N];
    let rest = copy(pieces, &mut all);
    let rest = copy(more, rest);
    assert!(rest.is_empty(), "N is not the length of the pieces");
    assert!(N > FIRST_LINE.len(), "a manifest begins with its first line");
    let (start, behind) = all.split_at(FIRST_LINE.len());
    assert!(is_same(start, FIRST_LINE.as_bytes()), "a manifest begins with its first line");
    let (_, last) = all.split_at(len(pieces).saturating_sub(1));
    let has_ends = matches!(behind, [b'\n', .., b'\n']) && matches!(last, [b'\n', ..]);
    assert!(has_ends, "each line of a manifest has an end");
    let mut i = 0;
    while i < N {
        #[expect(clippy::indexing_slicing, reason = "`i` is less than the length")]
        let byte = all[i];
        assert!(byte != 0 && byte != b'\r', "a manifest is lines of text");
        i += 1;
    }
    all
}

const fn copy<'a>(pieces: &[&str], mut to: &'a mut [u8]) -> &'a mut [u8] {
    let mut i = 0;
    while i < pieces.len() {
        #[expect(clippy::indexing_slicing, reason = "`i` is less than the length")]
        let piece = pieces[i].as_bytes();
        let (now, behind) = to.split_at_mut(piece.len());
        now.copy_from_slice(piece);
        to = behind;
        i += 1;
    }
    to
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([a, one @ ..], [b, other @ ..]) => *a == *b && is_same(one, other),
        _ => false,
    }
}

/// A manifest: lines of `key value`, the first of them [`FIRST_LINE`].
#[derive(Clone, PartialEq, Eq)]
pub struct ManifestText(String);

impl ManifestText {
    /// Takes a text that begins as a manifest does.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        (text.lines().next() == Some(FIRST_LINE)).then_some(Self(text))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the value of the first line with a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.lines().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Returns the values of all lines with a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines().filter(move |(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Returns keys and values in their order, without the first line.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().skip(1).map(|line| line.split_once(' ').unwrap_or((line, "")))
    }
}

impl fmt::Debug for ManifestText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
