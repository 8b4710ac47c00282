//! Files that people send each other: sealed, in a folder beside the store.
//!
//! A file is written under a name that nobody chose, and is there when it is whole and on disk. Which
//! there should be the store says, in [`FILE_BLOBS`]: a row is written after its file and deleted
//! before it, so what a kill leaves is a file too many, which goes at the next start.
//!
//! A file is a line, then chunks of 64 KiB, sealed with a key of its own that is derived from
//! `secret.key`: who has the disk without that has nothing, and what was changed, moved or cut off is
//! noticed when it is read.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use calypte::tables::{FILE_BLOBS, FileBlob};
use crypto::{CHUNK_BYTES, ChunkKey, KeyedHasher, Secret, TAG_BYTES};
use table::Storage;

use crate::metrics::Gauge;
use crate::{hex, start};

mod check;
mod copy;

pub(crate) use check::check;
pub(crate) use copy::{back_up, beside, look, restore};

/// The folder, in the folder of data.
const FOLDER: &str = "files";
/// What each file begins with.
const FIRST_LINE: &[u8; 16] = b"calypte-file 1\n\n";
/// What the name of a file ends with that is not whole.
const PART: &str = ".part";
/// Rows read at a time.
const PAGE: usize = 1000;

/// The name of a file.
pub(crate) type Name = [u8; 16];

/// See the file.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    key: [u8; 32],
    /// How many there are.
    pub(crate) count: Gauge,
    /// What they take on disk, in bytes.
    pub(crate) bytes: Gauge,
    held: Mutex<Held>,
}

/// What is deleted when nobody copies files any more.
#[derive(Debug, Default)]
struct Held {
    copies: usize,
    names: Vec<Name>,
}

/// As long as it lives, no file is deleted.
#[derive(Debug)]
pub(crate) struct Hold<'a>(&'a Files);

impl Files {
    /// Returns the folder below `data`, made when there is none, without what stands in no row of
    /// `rows`.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) fn open(data: &Path, secret: &Secret, rows: &dyn Storage) -> Result<Self, String> {
        let folder = data.join(FOLDER);
        start::make_folder(&folder)?;
        let files = Self::at(folder, secret);
        let told = files.folder.display().to_string();
        let unreadable = |error: io::Error| format!("{told} cannot be read: {error}");
        let (known, is_all) = known(rows);
        if !is_all {
            let table = FILE_BLOBS.name;
            tracing::error!(
                table,
                "A row that names a file cannot be read. No file is deleted before that is mended; \
                 `calypte verify` tells more."
            );
        }
        let mut swept = 0_u64;
        for (path, name, bytes) in list(&files.folder).map_err(unreadable)? {
            if name.is_some_and(|name| known.contains(&name) || !is_all) {
                files.count.add(1);
                files.bytes.add(of(bytes));
            } else {
                fs::remove_file(&path).map_err(unreadable)?;
                swept = swept.saturating_add(1);
            }
        }
        if swept > 0 {
            tracing::info!(swept, "Files that were not whole, or deleted as the server stopped.");
        }
        Ok(files)
    }

    fn at(folder: PathBuf, secret: &Secret) -> Self {
        let key = crypto::derive_key("calypte v0 files", secret.expose());
        let (count, bytes) = (Gauge::default(), Gauge::default());
        Self { folder, key, count, bytes, held: Mutex::default() }
    }

    /// Lets files stay that are deleted from now on, until the last of these is dropped. Who is killed
    /// before that leaves them to the next start.
    pub(crate) fn hold(&self) -> Hold<'_> {
        let mut held = self.held();
        held.copies = held.copies.saturating_add(1);
        Hold(self)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing under the lock can panic half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a file. `key` is what its content is hashed with.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn begin(&self, key: &[u8; 32]) -> io::Result<Writing> {
        let mut name = [0; 16];
        crypto::random(&mut name);
        let path = self.path(&name);
        let part = path.with_extension(PART.trim_start_matches('.'));
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
        let mut writing = Writing {
            name,
            part: Some(part),
            path,
            key: ChunkKey::new(&self.key, &name),
            hasher: KeyedHasher::new(key),
            waiting: Vec::with_capacity(CHUNK_BYTES),
            chunks: 0,
            bytes: 0,
            file: None,
        };
        file.write_all(FIRST_LINE)?;
        writing.file = Some(file);
        Ok(writing)
    }

    /// Counts a file that was finished.
    pub(crate) fn count(&self, whole: &Whole) {
        self.count.add(1);
        self.bytes.add(of(sealed_bytes(whole.bytes)));
    }

    /// Tells whether there is such a file.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.path(name).exists()
    }

    /// Deletes a file, when nobody copies files. One that is not there is no error.
    pub(crate) fn remove(&self, name: &Name) {
        {
            let mut held = self.held();
            if held.copies > 0 {
                return held.names.push(*name);
            }
        }
        let path = self.path(name);
        let bytes = path.metadata().map_or(0, |facts| facts.len());
        match fs::remove_file(&path) {
            Ok(()) => {
                self.count.add(-1);
                self.bytes.add(of(bytes).saturating_neg());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, "A file cannot be deleted. It is tried again at the next start.");
            }
        }
    }

    /// Opens a file of so many bytes.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` when it is no such file.
    pub(crate) fn read(&self, name: &Name, bytes: u64) -> io::Result<Reading> {
        let file = File::open(self.path(name))?;
        let mut line = [0; FIRST_LINE.len()];
        file.read_exact_at(&mut line, 0)?;
        if line != *FIRST_LINE || file.metadata()?.len() != sealed_bytes(bytes) {
            return Err(changed());
        }
        Ok(Reading { file, key: ChunkKey::new(&self.key, name), bytes })
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(hex::write(name))
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let names = {
            let mut held = self.0.held();
            held.copies = held.copies.saturating_sub(1);
            if held.copies > 0 {
                return;
            }
            std::mem::take(&mut held.names)
        };
        for name in &names {
            self.0.remove(name);
        }
    }
}

/// A file that comes. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Writing {
    name: Name,
    part: Option<PathBuf>,
    path: PathBuf,
    key: ChunkKey,
    hasher: KeyedHasher,
    waiting: Vec<u8>,
    chunks: u64,
    bytes: u64,
    file: Option<File>,
}

/// A file that is whole and on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    /// Its name.
    pub(crate) name: Name,
    /// The hash of its content.
    pub(crate) digest: [u8; 32],
    /// How many bytes it has.
    pub(crate) bytes: u64,
}

impl Writing {
    /// Writes what follows.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        self.hasher.update(data);
        self.bytes = self.bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        while !data.is_empty() {
            // What is full goes only when something follows: the last chunk is sealed as that.
            if self.waiting.len() == CHUNK_BYTES {
                self.seal(false)?;
            }
            let room = CHUNK_BYTES.saturating_sub(self.waiting.len()).min(data.len());
            let (now, later) = data.split_at(room);
            self.waiting.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }

    /// Puts the whole file onto the disk, under its name.
    ///
    /// # Errors
    ///
    /// What the system says; nothing is left then.
    pub(crate) fn finish(self) -> io::Result<Whole> {
        self.finish_by(|folder| File::open(folder)?.sync_all())
    }

    fn finish_by(mut self, keep: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Whole> {
        self.seal(true)?;
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        if let Some(part) = &self.part {
            fs::rename(part, &self.path)?;
        }
        // Until its name is on disk as well, it goes under that when something fails.
        self.part = Some(self.path.clone());
        if let Some(folder) = self.path.parent() {
            keep(folder)?;
        }
        self.part = None;
        Ok(Whole { name: self.name, digest: self.hasher.finish(), bytes: self.bytes })
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let sealed = self.key.seal(self.chunks, is_last, &self.waiting);
        self.chunks = self.chunks.saturating_add(1);
        self.waiting.clear();
        match &mut self.file {
            Some(file) => file.write_all(&sealed),
            None => Ok(()),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            // What stays goes at the next start.
            drop(fs::remove_file(part));
        }
    }
}

/// A file that is read, from anywhere.
#[derive(Debug)]
pub(crate) struct Reading {
    file: File,
    key: ChunkKey,
    bytes: u64,
}

impl Reading {
    /// Returns what stands from `at` to the end of its chunk; nothing behind the end of the file.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` when it was changed.
    pub(crate) fn from(&self, at: u64) -> io::Result<Vec<u8>> {
        if at >= self.bytes {
            return Ok(Vec::new());
        }
        let chunk = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
        let tag = u64::try_from(TAG_BYTES).unwrap_or(u64::MAX);
        let line = u64::try_from(FIRST_LINE.len()).unwrap_or(u64::MAX);
        let (number, within) = (at / chunk, at % chunk);
        let begins = number.saturating_mul(chunk);
        let left = self.bytes.saturating_sub(begins);
        let is_last = left <= chunk;
        let sealed = usize::try_from(left.min(chunk).saturating_add(tag)).unwrap_or(0);
        let mut buffer = vec![0; sealed];
        let place = line.saturating_add(number.saturating_mul(chunk.saturating_add(tag)));
        self.file.read_exact_at(&mut buffer, place)?;
        let opened = self.key.open(number, is_last, &buffer).map_err(|_| changed())?;
        let within = usize::try_from(within).unwrap_or(usize::MAX);
        Ok(opened.expose().get(within..).unwrap_or_default().to_vec())
    }
}

fn changed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the file was changed, or secret.key is another one")
}

/// Returns how many bytes a file of `bytes` takes on disk.
fn sealed_bytes(bytes: u64) -> u64 {
    let of = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let chunks = bytes.div_ceil(of(CHUNK_BYTES)).max(1);
    bytes.saturating_add(chunks.saturating_mul(of(TAG_BYTES))).saturating_add(of(FIRST_LINE.len()))
}

fn of(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Returns the names of all files that stand in rows, and whether all rows could be read.
fn known(rows: &dyn Storage) -> (BTreeSet<Name>, bool) {
    let (mut names, mut is_all) = (BTreeSet::new(), true);
    let read = each_row(rows, &mut |_, blob| match blob {
        Some(blob) => drop(names.insert(blob.name)),
        None => is_all = false,
    });
    (names, is_all && read.is_ok())
}

/// Gives each row of files to `f`, with its account; one that cannot be read as `None`.
fn each_row(
    rows: &dyn Storage,
    f: &mut dyn FnMut(&str, Option<FileBlob>),
) -> Result<(), table::Fault> {
    let mut from = [FILE_BLOBS.name.as_bytes(), &[0]].concat();
    let to = [FILE_BLOBS.name.as_bytes(), &[1]].concat();
    loop {
        let page = rows.scan(&from, &to, PAGE, false)?;
        for (key, value) in &page {
            if let Some((account, blob)) = row(key, value) {
                f(&account, blob);
            }
        }
        let Some((last, _)) = page.last() else { return Ok(()) };
        from.clone_from(last);
        from.push(0);
    }
}

/// Reads a row of any table: for one of files the account, and the file unless it cannot be read.
fn row(key: &[u8], value: &[u8]) -> Option<(String, Option<FileBlob>)> {
    let rest = key.strip_prefix(FILE_BLOBS.name.as_bytes())?.strip_prefix(&[0])?;
    let account = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    Some((String::from_utf8_lossy(account).into_owned(), FILE_BLOBS.decode(value).ok()))
}

/// Lists a folder: paths, the names of files that are whole, and what they take.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, Option<Name>, u64)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        let text = entry.file_name();
        let name = text.to_str().filter(|text| text.len() == 32).and_then(hex::read_all);
        let name = name.and_then(|name| name.try_into().ok());
        let is_part = text.to_str().is_some_and(|text| text.ends_with(PART));
        // What somebody else put there is none of ours.
        if facts.is_file() && (name.is_some() || is_part) {
            all.push((entry.path(), name, facts.len()));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
