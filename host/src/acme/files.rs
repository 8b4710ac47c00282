//! What is kept between starts: the key of the account, and the certificate with its key.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::{hex, start};

/// Returns the folder for what comes from the configured authority. Each authority has its own, so
/// that one that was tried first does not get in the way of the one that is meant.
pub(crate) fn folder(config: &Config) -> PathBuf {
    let hash = crypto::hash(config.acme.directory.as_bytes());
    config.data.join("acme").join(hex::write(hash.get(..8).unwrap_or_default()))
}

/// Makes the folder, and those above it.
///
/// # Errors
///
/// A sentence.
pub(super) fn make(folder: &Path) -> Result<(), String> {
    let above = folder.parent().map(|acme| (acme.parent(), acme));
    if let Some((data, acme)) = above {
        data.map_or(Ok(()), start::make_folder)?;
        start::make_folder(acme)?;
    }
    start::make_folder(folder)
}

/// Writes a file that only this user may read: all of it, or the old one stays.
///
/// # Errors
///
/// A sentence.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error| format!("{} cannot be written: {error}", path.display());
    try_write(path, bytes).map_err(failed)
}

fn try_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // A leftover of a start that was killed may have any mode.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_private_and_whole() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("data/acme/0011");
        make(&folder).unwrap();
        make(&folder).unwrap();
        let path = folder.join("account.json");
        std::fs::write(path.with_extension("new"), "left").unwrap();
        for text in ["one", "two"] {
            write(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
