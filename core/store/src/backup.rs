//! Backup, verification and restoring.
//!
//! A backup is a file that no engine is needed to read: a line, then frames of rows with a hash
//! each, then a frame that counts them.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sled::Db;
use table::Batch;

use crate::open::{MARK_KEY, Options, Store};
use crate::row::{self, Row};
use crate::{StoreError, mark::Mark};

const FIRST_LINE: &[u8] = b"calypte-backup 1\n";
/// Bytes of rows in one frame.
const FRAME_BYTES: usize = 1 << 20;
/// The largest frame that is read.
const FRAME_BYTES_MAX: u32 = 16 << 20;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Rows.
    pub records: u64,
    /// The last commit that is in it.
    pub commit: u64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Rows.
    pub records: u64,
    /// The last commit that is in it.
    pub commit: u64,
}

/// Told how many rows are done, and of how many (0: not known).
type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Store {
    /// Writes a backup of one moment, which only this user may read. Commits wait meanwhile;
    /// reading does not.
    ///
    /// # Errors
    ///
    /// Something is there already, the disk, or a broken record, which is named. Nothing is left
    /// behind then.
    pub fn backup(&self, to: &Path, progress: Progress<'_>) -> Result<Summary, StoreError> {
        if to.symlink_metadata().is_ok() {
            return Err(StoreError::Taken { path: to.to_owned() });
        }
        let part = beside(to, "part");
        let finished = self.write_backup(&part, progress).and_then(|summary| {
            fs::rename(&part, to).map_err(StoreError::disk(to))?;
            sync_parent(to)?;
            Ok(summary)
        });
        if finished.is_err() {
            // What went wrong is told; that a rest stays is the smaller harm.
            fs::remove_file(&part).ok();
        }
        finished
    }

    fn write_backup(&self, to: &Path, progress: Progress<'_>) -> Result<Summary, StoreError> {
        let path = to.to_owned();
        let (tell, told) = std::sync::mpsc::channel();
        let written = std::thread::scope(|scope| {
            let job = scope.spawn(move || {
                self.between_commits(move |db| {
                    write_rows(db, &path, &|done, all| {
                        // Nobody listening is no reason to stop.
                        tell.send((done, all)).ok();
                    })
                })
            });
            for (done, all) in told {
                progress(done, all);
            }
            job.join()
        });
        written.map_err(|_| StoreError::Stopped)??
    }
}

/// Returns the path of what is not finished, in the same folder.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Makes sure that a new name is there after a power loss.
fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(StoreError::disk(parent))
}

/// Makes a file that only this user may read: a backup holds what passwords are checked against.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn write_rows(db: &Db, path: &Path, tell: &dyn Fn(u64, u64)) -> Result<Summary, StoreError> {
    let file = create(path).map_err(StoreError::disk(path))?;
    let mut out = BufWriter::new(file);
    out.write_all(FIRST_LINE).map_err(StoreError::disk(path))?;
    let all = u64::try_from(db.len()).unwrap_or(0);
    let (mut frame, mut records) = (Vec::new(), 0_u64);
    for (key, value) in values(db) {
        let value = value.ok_or_else(|| StoreError::Broken { table: row::table_of(&key) })?;
        put(&mut frame, &key);
        put(&mut frame, &value);
        records = records.saturating_add(1);
        if frame.len() >= FRAME_BYTES {
            write_frame(&mut out, &frame).map_err(StoreError::disk(path))?;
            frame.clear();
            tell(records, all);
        }
    }
    write_frame(&mut out, &frame).map_err(StoreError::disk(path))?;
    let mark = db.get(MARK_KEY).ok().flatten().and_then(|bytes| Mark::decode(&bytes));
    let commit = mark.unwrap_or_default().number;
    let end = [&records.to_le_bytes()[..], &commit.to_le_bytes()].concat();
    // An empty frame says that the next one is the last.
    write_frame(&mut out, &[]).map_err(StoreError::disk(path))?;
    write_frame(&mut out, &end).map_err(StoreError::disk(path))?;
    let file = out.into_inner().map_err(|error| StoreError::disk(path)(error.into_error()))?;
    file.sync_all().map_err(StoreError::disk(path))?;
    Ok(Summary { records, commit })
}

/// Returns all rows of tables; `None` stands for a broken value.
fn values(db: &Db) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
    let tables = db.range([1]..[row::PIECES]).flatten();
    tables.map(|(key, bytes)| {
        let value = match row::decode(&key, &bytes) {
            Some(Row::Whole(value)) => Some(value),
            Some(Row::Cut(pieces, length)) => {
                let piece = |index| {
                    let key = row::piece_key(&key, index);
                    match row::decode(&key, &db.get(&key).ok()??) {
                        Some(Row::Whole(piece)) => Some(piece),
                        _ => None,
                    }
                };
                let value: Option<Vec<Vec<u8>>> = (0..pieces).map(piece).collect();
                let value = value.map(|pieces| pieces.concat());
                value.filter(|value| u64::try_from(value.len()) == Ok(length))
            }
            None => None,
        };
        (key.to_vec(), value)
    })
}

fn put(frame: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (bytes, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(bytes)
}

fn write_frame(out: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&crypto::hash(frame))?;
    out.write_all(frame)
}

fn read_frame(from: &mut impl Read) -> Option<Vec<u8>> {
    let (mut length, mut hash) = ([0; 4], [0; 32]);
    from.read_exact(&mut length).ok()?;
    from.read_exact(&mut hash).ok()?;
    let length = u32::from_le_bytes(length);
    if length > FRAME_BYTES_MAX {
        return None;
    }
    let mut frame = vec![0; usize::try_from(length).ok()?];
    from.read_exact(&mut frame).ok()?;
    (crypto::hash(&frame) == hash).then_some(frame)
}

/// Takes a row of a backup: key and value.
type TakeRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Reads a backup and gives each row to `f`: key and value.
///
/// # Errors
///
/// The backup is damaged, or the disk refuses.
pub fn each_row(backup: &Path, f: &mut dyn FnMut(&[u8], &[u8])) -> Result<Report, StoreError> {
    read_backup(backup, &mut |key, value| {
        f(key, value);
        Ok(())
    })
}

/// Reads a backup and gives each row to `f`.
fn read_backup(path: &Path, f: &mut TakeRow<'_>) -> Result<Report, StoreError> {
    let damaged = || StoreError::Damaged { path: path.to_owned() };
    let mut from = BufReader::new(File::open(path).map_err(StoreError::disk(path))?);
    let mut line = [0; FIRST_LINE.len()];
    from.read_exact(&mut line).map_err(|_| damaged())?;
    if line != FIRST_LINE {
        return Err(damaged());
    }
    let mut records = 0_u64;
    loop {
        let frame = read_frame(&mut from).ok_or_else(damaged)?;
        if frame.is_empty() && records_end(&mut from, records).is_some() {
            break;
        }
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let key = take(&mut rest).ok_or_else(damaged)?;
            let value = take(&mut rest).ok_or_else(damaged)?;
            f(key, value)?;
            records = records.saturating_add(1);
        }
        if frame.is_empty() {
            return Err(damaged());
        }
    }
    Ok(Report { records, commit: 0 })
}

fn records_end(from: &mut impl Read, records: u64) -> Option<u64> {
    let end = read_frame(from)?;
    let (counted, commit) = end.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*counted) == records)
        .then(|| commit.try_into().ok().map(u64::from_le_bytes))
        .flatten()
}

/// Reads a store or a backup to its end and checks every record.
///
/// # Errors
///
/// The first thing that is wrong, with its place.
pub fn verify(path: &Path, progress: Progress<'_>) -> Result<Report, StoreError> {
    if path.is_file() {
        let mut done = 0_u64;
        return read_backup(path, &mut |_, _| {
            done = done.saturating_add(1);
            if done.is_multiple_of(10_000) {
                progress(done, 0);
            }
            Ok(())
        });
    }
    match path.join("sled").symlink_metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Nothing { path: path.to_owned() });
        }
        Err(error) => return Err(StoreError::disk(path)(error)),
    }
    let store = Store::open(path, Options { ballast_bytes: 0, ..Options::default() })?;
    let (tell, told) = std::sync::mpsc::channel();
    let found = store.between_commits(move |db| {
        let mut records = 0_u64;
        for (key, value) in values(db) {
            value.ok_or_else(|| StoreError::Broken { table: row::table_of(&key) })?;
            records = records.saturating_add(1);
            if records.is_multiple_of(10_000) {
                // Nobody listening is no reason to stop.
                tell.send(records).ok();
            }
        }
        Ok::<_, StoreError>(records)
    });
    for done in told {
        progress(done, 0);
    }
    let records = found??;
    Ok(Report { records, commit: store.health().last_commit })
}

/// Makes a store from a backup, in a folder that has none.
///
/// # Errors
///
/// The folder has a store, the backup is damaged, or the disk refuses; no half a store is left
/// behind then.
pub fn restore(backup: &Path, into: &Path, progress: Progress<'_>) -> Result<Summary, StoreError> {
    if Store::is_at(into) {
        return Err(StoreError::NotEmpty { path: into.to_owned() });
    }
    // A damaged backup is found before anything is made.
    let all = verify(backup, &mut |_, _| {})?.records;
    // A store gets its name when it is whole, so that nobody starts on half of one.
    let part = beside(into, "part");
    remove_folder(&part)?;
    let restored = fill(backup, &part, all, progress).and_then(|summary| {
        fs::rename(&part, into).map_err(|error| match error.kind() {
            io::ErrorKind::DirectoryNotEmpty => StoreError::NotEmpty { path: into.to_owned() },
            _ => StoreError::disk(into)(error),
        })?;
        sync_parent(into)?;
        Ok(summary)
    });
    if restored.is_err() {
        // What went wrong is told; that a rest stays is the smaller harm.
        remove_folder(&part).ok();
    }
    restored
}

fn fill(
    backup: &Path,
    into: &Path,
    all: u64,
    progress: Progress<'_>,
) -> Result<Summary, StoreError> {
    let store = Store::open(into, Options::default())?;
    let (mut batch, mut done) = (Batch::default(), 0_u64);
    read_backup(backup, &mut |key, value| {
        batch.put(key.to_vec(), value.to_vec());
        done = done.saturating_add(1);
        if batch.ops.len() >= 512 {
            store.commit(std::mem::take(&mut batch))?;
            progress(done, all);
        }
        Ok(())
    })?;
    store.commit(batch)?;
    let commit = store.health().last_commit;
    store.close();
    Ok(Summary { records: done, commit })
}

fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::disk(path)(error)),
        _ => Ok(()),
    }
}
