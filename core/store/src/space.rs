//! Room on the disk.

use std::fs;
use std::io;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;

/// Returns the free bytes of the disk that `path` is on; plenty when that cannot be known.
pub(crate) fn free(path: &Path) -> u64 {
    match statvfs(path) {
        Ok(stat) => stat.blocks_available().saturating_mul(stat.fragment_size()),
        Err(_) => u64::MAX,
    }
}

/// Keeps room that can be given back when the disk is full: sled cannot be opened without some.
pub(crate) fn keep_ballast(path: &Path, bytes: u64) -> io::Result<()> {
    let file = fs::File::options().write(true).create(true).truncate(false).open(path)?;
    let length = i64::try_from(bytes).unwrap_or(0);
    if file.metadata()?.len() == bytes || length == 0 {
        return Ok(());
    }
    fallocate(&file, FallocateFlags::empty(), 0, length).map_err(io::Error::from)
}
