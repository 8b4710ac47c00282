//! Whether files and rows agree, for `calypte verify`.

use std::collections::BTreeMap;
use std::path::Path;

use table::Storage;

use super::{FOLDER, Files, each_row, list};
use crate::{hex, secret_key};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// How many files are whole.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What is wrong, a sentence each.
    pub(crate) wrong: Vec<String>,
}

/// Reads every file of the folder below `data` and every row.
///
/// # Errors
///
/// A sentence.
pub(crate) fn check(
    data: &Path,
    rows: &dyn Storage,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Checked, String> {
    let folder = data.join(FOLDER);
    let mut wanted = BTreeMap::new();
    let mut checked = Checked::default();
    each_row(rows, &mut |account, blob| match blob {
        Some(blob) => drop(wanted.insert(blob.name, (account.to_owned(), blob.bytes))),
        None => {
            checked.wrong.push(format!("a file of {account}, of which the row cannot be read"));
        }
    })
    .map_err(|_| "what the store says of files cannot be read".to_owned())?;
    if wanted.is_empty() && !folder.exists() {
        return Ok(checked);
    }
    let files = Files::at(folder, &secret_key::read(data)?);
    let there = match list(&files.folder) {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("{} cannot be read: {error}", files.folder.display())),
    };
    let stray =
        there.iter().filter(|(_, name, _)| name.is_none_or(|name| !wanted.contains_key(&name)));
    let stray = stray.count();
    if stray > 0 {
        // The next start deletes them.
        checked.wrong.push(format!("{stray} files stand in no row of the store"));
    }
    let all = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
    for (number, (name, (account, bytes))) in (1_u64..).zip(wanted) {
        progress(number, all);
        let shown = hex::write(&name);
        let Err(error) = read_all(&files, &name, bytes) else {
            checked.files = checked.files.saturating_add(1);
            checked.bytes = checked.bytes.saturating_add(bytes);
            continue;
        };
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "it is not there".to_owned(),
            _ => error.to_string(),
        };
        checked.wrong.push(format!("a file of {account}, {shown}: {why}"));
    }
    Ok(checked)
}

fn read_all(files: &Files, name: &super::Name, bytes: u64) -> std::io::Result<()> {
    let reading = files.read(name, bytes)?;
    let mut at = 0_u64;
    while at < bytes {
        let part = reading.from(at)?;
        at = at.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX).max(1));
    }
    Ok(())
}
