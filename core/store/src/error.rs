//! What the operator is told.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The store could not do what was asked.
///
/// Peers only ever see `internal-server-error`; the operator sees this text.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Two servers on one store would undo each other's writes.
    #[error("{} is in use by another calypte; stop that one first", path.display())]
    InUse {
        /// The folder of the store.
        path: PathBuf,
    },

    /// Nothing more fits on the disk.
    #[error("the disk of {} is full; make room, and writing goes on by itself", path.display())]
    Full {
        /// The folder of the store.
        path: PathBuf,
    },

    /// A newer calypte wrote it.
    #[error(
        "{} has format {found}, and this calypte knows formats up to {known}; \
         start the newer calypte, or restore a backup of that time",
        path.display()
    )]
    Newer {
        /// The folder of the store.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },

    /// What was committed is not there any more.
    #[error(
        "{} lost commits: it ends at {found}, and {promised} were promised; \
         restore the newest backup with `calypte restore`",
        path.display()
    )]
    Lost {
        /// The folder of the store.
        path: PathBuf,
        /// The last commit that is there.
        found: u64,
        /// The last commit that was promised.
        promised: u64,
    },

    /// Bytes that no version of the table wrote.
    #[error("table {table} holds a broken record; restore the newest backup")]
    Broken {
        /// The name of the table.
        table: String,
    },

    /// The files cannot be read at all.
    #[error("{} is damaged and cannot be opened; restore the newest backup with `calypte restore`", path.display())]
    Damaged {
        /// The folder of the store, or the file.
        path: PathBuf,
    },

    /// A backup goes into an empty folder only.
    #[error("{} holds a store already; move it away first", path.display())]
    NotEmpty {
        /// The folder of the store.
        path: PathBuf,
    },

    /// A backup replaces nothing.
    #[error("{} is there already; choose another name", path.display())]
    Taken {
        /// Where the backup was to be.
        path: PathBuf,
    },

    /// There is nothing to look at.
    #[error("there is neither a store nor a backup at {}", path.display())]
    Nothing {
        /// The place.
        path: PathBuf,
    },

    /// The files belong to somebody else.
    #[error("{} may not be used by this user; run calypte as the user that it belongs to (sudo -u …)", path.display())]
    Forbidden {
        /// The file or folder.
        path: PathBuf,
    },

    /// The store stopped writing after an error. What was acknowledged before is safe.
    #[error("the store stopped writing after an error of the disk; restart calypte")]
    Stopped,

    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn disk(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull => Self::Full { path },
                io::ErrorKind::PermissionDenied => Self::Forbidden { path },
                _ => Self::Disk { path, source },
            }
        }
    }
}
