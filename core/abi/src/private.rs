//! Files: who could change one, and a copy that nobody else can.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::LoadError;

/// How large a library may be, in bytes. Debug builds of modules have some 20 MiB.
const FILE_BYTES: u64 = 128 * 1024 * 1024;

/// Anybody may write.
const OTHERS_WRITE: u32 = 0o002;
/// Anybody of the group may write.
const GROUP_WRITES: u32 = 0o020;
/// In a folder: only the owner of a file removes it.
const STICKY: u32 = 0o1000;

/// A file's bytes, read once.
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    metadata: Metadata,
}

/// Reads an ordinary file that is not larger than a module can be.
pub(crate) fn read(path: &Path) -> Result<Contents, LoadError> {
    // Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => LoadError::NotFound,
        _ => LoadError::Unreadable(error.to_string()),
    })?;
    let unreadable = |error: std::io::Error| LoadError::Unreadable(error.to_string());
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(LoadError::Unreadable("it is a folder or a device".to_owned()));
    }
    let too_big = LoadError::TooBig { what: "the file", limit: FILE_BYTES };
    if metadata.len() > FILE_BYTES {
        return Err(too_big);
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(too_big);
    }
    Ok(Contents { bytes, metadata })
}

/// Refuses a file that others could have written. With a hash, its owner does not matter.
pub(crate) fn check(path: &Path, contents: &Contents, has_hash: bool) -> Result<(), LoadError> {
    if contents.metadata.mode() & OTHERS_WRITE != 0 {
        let text = "everybody can write to the file; take that right away (`chmod o-w`)";
        return Err(LoadError::Permissions(text.to_owned()));
    }
    if has_hash {
        return Ok(());
    }
    if !is_trusted(contents.metadata.uid()) {
        let text = "the file belongs to another user; change its owner to root or to the \
                    server's user, or give its blake3 hash in the configuration";
        return Err(LoadError::Permissions(text.to_owned()));
    }
    let folder = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    let folder = folder.and_then(|folder| fs::metadata(folder).ok());
    let is_open = |folder: &Metadata| {
        !is_trusted(folder.uid())
            || (folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0)
    };
    if folder.as_ref().is_none_or(is_open) {
        let text = "others can replace the file, since its folder is not root's or the server's; \
                    move it to one that is, or give its blake3 hash in the configuration";
        return Err(LoadError::Permissions(text.to_owned()));
    }
    Ok(())
}

/// Writes bytes to a new file that only this user can read or change, and returns its path.
pub(crate) fn copy(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, LoadError> {
    let failed = |error: std::io::Error| LoadError::PrivateCopy(error.to_string());
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let metadata = fs::symlink_metadata(folder).map_err(failed)?;
    let is_own = metadata.is_dir()
        && metadata.uid() == user()
        && metadata.mode() & (OTHERS_WRITE | GROUP_WRITES) == 0;
    if !is_own {
        let text = "the folder for loaded modules must belong to the server's user and to nobody \
                    else; remove it, and the server makes it anew";
        return Err(LoadError::Permissions(text.to_owned()));
    }
    let path = folder.join(name);
    // One that is left of a server which was killed: a full disk has no room for another.
    if is_own_copy(&path, bytes) {
        return Ok(path);
    }
    // The system keeps what is loaded from the old file; the new one is another file to it.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    if let Err(error) = file.write_all(bytes) {
        remove(&path);
        return Err(failed(error));
    }
    drop::<File>(file);
    Ok(path)
}

/// Tells whether there is a file with these bytes that nobody else can read or change.
fn is_own_copy(path: &Path, bytes: &[u8]) -> bool {
    let is_own = |metadata: Metadata| {
        metadata.is_file() && metadata.uid() == user() && metadata.mode() & 0o077 == 0
    };
    fs::symlink_metadata(path).is_ok_and(is_own)
        && read(path).is_ok_and(|contents| contents.bytes == bytes)
}

/// Removes a copy that is of no use. That it stays is no harm.
pub(crate) fn remove(path: &Path) {
    drop(fs::remove_file(path));
}

fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == user()
}

fn user() -> u32 {
    // SAFETY: it has no conditions and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_killed_server_is_used_if_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("modules");
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        let path = copy(&folder, "one.so", b"library").unwrap();
        let first = inode(&path);
        assert_eq!(inode(&copy(&folder, "one.so", b"library").unwrap()), first);
        fs::write(&path, b"changed").unwrap();
        copy(&folder, "one.so", b"library").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"library");
    }
}
