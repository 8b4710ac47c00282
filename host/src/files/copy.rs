//! Files in backups: a folder beside the backup of the store, with a copy of each file that a row of it
//! names, sealed as it is. A file never changes and its name is never given again, so one folder can
//! serve many backups, and only what is new is copied.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use store::Store;

use super::{FOLDER, Files, PART, row, sealed_bytes};
use crate::{hex, start};

/// What the name of the folder ends with that has the files of a backup.
const BESIDE: &str = ".files";
/// How many files that are not there are named.
const NAMED_MAX: usize = 20;
/// How much is copied at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// What became of the files that a backup names.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How many there are.
    pub(crate) files: u64,
    /// What they take, in bytes.
    pub(crate) bytes: u64,
    /// How many of them were copied just now.
    copied: u64,
    /// How many are not there, or not as long as they were.
    pub(crate) missing: u64,
    /// Some of those, a sentence each.
    named: Vec<String>,
}

impl Found {
    /// Says what is missing; empty when nothing is.
    pub(crate) fn wrong(&self) -> String {
        if self.missing == 0 {
            return String::new();
        }
        let more = self.missing.saturating_sub(u64::try_from(self.named.len()).unwrap_or(0));
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        format!("{} files are missing:\n  {}{more}", self.missing, self.named.join("\n  "))
    }

    fn miss(&mut self, account: &str, what: &str) {
        self.missing = self.missing.saturating_add(1);
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("a file of {account}, {what}"));
        }
    }
}

/// Returns where the files of a backup are unless somebody says otherwise.
pub(crate) fn beside(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(BESIDE);
    name.into()
}

/// Writes a backup of the store to `to`, and of the files below `data` that it names to `into`, where that
/// is wanted. `files` are those of the server that runs.
///
/// # Errors
///
/// A sentence.
pub(crate) fn back_up(
    (store, files): (&Store, Option<&Files>),
    data: &Path,
    to: &Path,
    into: Option<&Path>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String, String> {
    // What the backup names stays until it is copied.
    let _hold = files.map(Files::hold);
    let summary = store.backup(to, progress).map_err(|error| error.to_string())?;
    let store = format!("{} holds {} records", to.display(), summary.records);
    let Some(into) = into else {
        let found = look(to, &data.join(FOLDER))?;
        let all = found.files.saturating_add(found.missing);
        let without = format!("\nThe {all} files that people sent are left out");
        return Ok(if all == 0 { store } else { store + &without });
    };
    let found = copy(to, &data.join(FOLDER), into, progress)
        .map_err(|why| format!("{store}, but files that people sent are not in it: {why}"))?;
    if found.files == 0 && found.missing == 0 {
        return Ok(store);
    }
    let Found { files, bytes, copied, .. } = found;
    let (into, secret) = (into.display(), data.join("secret.key"));
    let mut text = format!(
        "{store}\n{into} holds the {files} files of it, {bytes} bytes; {copied} are new there.\n\
         Keep {} at another place: nobody can open them without it",
        secret.display()
    );
    if found.missing > 0 {
        text.push_str(&format!("\n{}", found.wrong()));
    }
    Ok(text)
}

/// Copies the files that a backup names from `folder` to where a server of `data` has them.
///
/// # Errors
///
/// A sentence.
pub(crate) fn restore(
    backup: &Path,
    folder: &Path,
    data: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found, String> {
    copy(backup, folder, &data.join(FOLDER), progress)
}

/// Looks which files a backup names and whether `folder` has them, as long as they should be.
///
/// # Errors
///
/// A sentence.
pub(crate) fn look(backup: &Path, folder: &Path) -> Result<Found, String> {
    each(backup, &mut |name, bytes| Ok(facts(&folder.join(name), bytes)))
}

/// Tells whether a file is there, as long as it should be.
fn facts(path: &Path, bytes: u64) -> Done {
    match fs::metadata(path) {
        Ok(facts) if facts.is_file() && facts.len() == bytes => Done::There,
        Ok(_) => changed(),
        Err(error) => unreadable(&error),
    }
}

fn copy(
    backup: &Path,
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Found, String> {
    let Found { files, missing, .. } = look(backup, from)?;
    let (all, mut done) = (files.saturating_add(missing), 0_u64);
    if all == 0 {
        return Ok(Found::default());
    }
    make(to)?;
    let found = each(backup, &mut |name, bytes| {
        done = done.saturating_add(1);
        progress(done, all);
        if let Done::There = facts(&to.join(name), bytes) {
            return Ok(Done::There);
        }
        copy_one(&from.join(name), to, name, bytes).map_err(|error| told(to, &error))
    })?;
    // Also when nothing was copied now: who did may not have come to this.
    sync(to)?;
    Ok(found)
}

/// Makes a folder that only this user may read. One that is there stays as it is: it may be for more than
/// files of ours, which only their owner may read, and which are sealed.
fn make(folder: &Path) -> Result<(), String> {
    if folder.is_dir() {
        return Ok(());
    }
    start::make_folder(folder)?;
    folder.parent().map_or(Ok(()), sync)
}

fn sync(folder: &Path) -> Result<(), String> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| told(folder, &error))
}

/// Copies a file into a folder; it has its name when it is whole and on disk. Until then it has a name that
/// nobody else has: another backup may write to the same folder.
///
/// # Errors
///
/// What the system says of the folder; what is wrong with the file is no error.
fn copy_one(from: &Path, to: &Path, name: &str, bytes: u64) -> io::Result<Done> {
    let source = match (facts(from, bytes), File::open(from)) {
        (Done::There, Ok(source)) => source,
        (Done::There, Err(error)) => return Ok(unreadable(&error)),
        (other, _) => return Ok(other),
    };
    let mut chance = [0; 16];
    crypto::random(&mut chance);
    let part = to.join(format!("{}{PART}", hex::write(&chance)));
    let mut copied = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
    let written = write(source, &mut copied, bytes).and_then(|done| {
        if let Done::Copied = done {
            copied.sync_all()?;
            fs::rename(&part, to.join(name))?;
        }
        Ok(done)
    });
    if !matches!(written, Ok(Done::Copied)) {
        // What went wrong is told; that a rest stays is the smaller harm.
        drop(fs::remove_file(&part));
    }
    written
}

/// Writes what is read; an error is one of writing.
fn write(source: File, copied: &mut File, bytes: u64) -> io::Result<Done> {
    let mut source = source.take(bytes.saturating_add(1));
    let (mut buffer, mut count) = (vec![0; BUFFER_BYTES], 0_u64);
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ok(unreadable(&error)),
        };
        copied.write_all(buffer.get(..read).unwrap_or_default())?;
        count = count.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    Ok(if count == bytes { Done::Copied } else { changed() })
}

/// What became of one file.
enum Done {
    There,
    Copied,
    /// What is wrong with it.
    Not(String),
}

fn changed() -> Done {
    Done::Not("it is not as long as it was".to_owned())
}

fn unreadable(error: &io::Error) -> Done {
    Done::Not(match error.kind() {
        ErrorKind::NotFound => "it is not there".to_owned(),
        _ => format!("it cannot be read: {error}"),
    })
}

/// Gives the name of each file that a backup names to `f`, and how long it is on disk, until that fails.
fn each(
    backup: &Path,
    f: &mut dyn FnMut(&str, u64) -> Result<Done, String>,
) -> Result<Found, String> {
    let (mut found, mut failed) = (Found::default(), None);
    let read = store::each_row(backup, &mut |key, value| {
        let Some((account, blob)) = row(key, value).filter(|_| failed.is_none()) else { return };
        let Some(blob) = blob else {
            return found.miss(&account, "of which the row cannot be read");
        };
        let (name, bytes) = (hex::write(&blob.name), sealed_bytes(blob.bytes));
        let done = f(&name, bytes);
        match done {
            Ok(Done::Not(why)) => return found.miss(&account, &format!("{name}: {why}")),
            Ok(Done::Copied) => found.copied = found.copied.saturating_add(1),
            Ok(Done::There) => {}
            Err(why) => failed = Some(why),
        }
        found.files = found.files.saturating_add(1);
        found.bytes = found.bytes.saturating_add(bytes);
    });
    match (read, failed) {
        (Err(error), _) => Err(error.to_string()),
        (_, Some(why)) => Err(why),
        (Ok(_), None) => Ok(found),
    }
}

fn told(folder: &Path, error: &io::Error) -> String {
    format!("{}: {error}", folder.display())
}

#[cfg(test)]
mod tests;
