//! Files that people send each other: the host keeps them, a module decides.

use bincode::{Decode, Encode};

/// Where files are, on the web: `/upload/TOKEN/NAME`.
pub const FILES_PATH: &str = "/upload";

/// What the host asks about a file. The owner of the call is the account that sent it, which the host
/// finds in [`FILE_LINKS`](crate::tables::FILE_LINKS).
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum FileAsked {
    /// Somebody wants to send it.
    Put {
        /// The key of the link.
        link: Vec<u8>,
        /// The name in the address.
        name: String,
        /// How many bytes follow.
        bytes: u64,
        /// What it is said to be: a media type.
        kind: Option<String>,
    },
    /// It is whole and on disk.
    Stored {
        /// The key of the link.
        link: Vec<u8>,
        /// Its name on disk.
        blob: Vec<u8>,
        /// Its hash, under the key of [`FileAnswer::Take`].
        digest: Vec<u8>,
        /// How many bytes it has.
        bytes: u64,
        /// What it is said to be.
        kind: Option<String>,
        /// Of the same content there is one already in the rows that is not on disk any more.
        is_lost: bool,
    },
    /// Somebody wants to have it.
    Get {
        /// The key of the link.
        link: Vec<u8>,
        /// The name in the address.
        name: String,
    },
}

/// What a module answers.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum FileAnswer {
    /// It may come.
    Take {
        /// What its content is hashed with, 32 bytes.
        key: Vec<u8>,
    },
    /// It is kept, under this name on disk: its own, or that of one with the same content.
    Kept {
        /// The name.
        blob: Vec<u8>,
    },
    /// This is it.
    Give {
        /// Its name on disk.
        blob: Vec<u8>,
        /// How many bytes it has.
        bytes: u64,
        /// What it is, for the header.
        kind: String,
        /// Whether a browser may show it; otherwise it is to be saved.
        is_inline: bool,
        /// What it is called.
        name: String,
        /// Changes when the content does.
        tag: String,
        /// How long it may be kept by others, in seconds.
        max_age: u64,
    },
    /// No.
    Refuse {
        /// The status of HTTP.
        status: u16,
        /// A sentence.
        text: String,
    },
}

impl std::fmt::Debug for FileAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Who knows the link of a file has the file; its name may tell what it is.
        f.write_str(match self {
            Self::Put { .. } => "Put",
            Self::Stored { .. } => "Stored",
            Self::Get { .. } => "Get",
        })
    }
}

impl std::fmt::Debug for FileAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refuse { status, .. } => write!(f, "Refuse({status})"),
            Self::Take { .. } => f.write_str("Take"),
            Self::Kept { .. } => f.write_str("Kept"),
            Self::Give { .. } => f.write_str("Give"),
        }
    }
}

/// Returns how long the host lets a file come, in milliseconds: longer for a larger one.
#[must_use]
pub const fn upload_ms(bytes: u64) -> u64 {
    /// What the slowest connection has to manage, in bytes a second.
    const RATE: u64 = 8 << 10;
    60_000_u64.saturating_add((bytes / RATE).saturating_mul(1000))
}
