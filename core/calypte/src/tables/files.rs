//! Files that people send each other.

use bincode::{Decode, Encode};
use table::{Table, record};

/// Whose file is behind a link, by [`file_link`]. Module `upload` writes it; the host reads it.
pub const FILE_LINKS: Table<[u8], FileLink> = Table::domain("upload.links");

/// Who sent a file, or may send one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileLink {
    /// The bare address of the account.
    pub account: String,
}

record!(FileLink, 1);

/// What an account keeps in the host's folder of files, by the hash of the content. Module `upload`
/// writes it; what stands in no row the host deletes when it starts.
pub const FILE_BLOBS: Table<[u8], FileBlob> = Table::account("upload.blobs");

/// A file in the host's folder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileBlob {
    /// Its name there.
    pub name: [u8; 16],
    /// How many bytes it has before it is sealed.
    pub bytes: u64,
    /// How many links lead to it.
    pub links: u32,
}

record!(FileBlob, 1);

/// Returns what the link with this token is kept under: the token itself is kept nowhere.
#[must_use]
pub fn file_link(token: &str) -> Vec<u8> {
    crypto::hash(token.as_bytes()).get(..16).unwrap_or_default().to_vec()
}
