//! What people and the operator see of files, and how people delete them.

use std::cmp::Reverse;

use calypte::prelude::*;
use xep::delay::date_time;

use crate::Upload;
use crate::rows::{self, FILES, File, SPACE};
use crate::slots::shown;

/// How many files or accounts are shown at most.
const SHOWN_MAX: usize = 200;

impl Upload {
    /// Shows the files of an account.
    pub(crate) fn list_own(
        &self,
        _: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<u8>, StanzaError> {
        let used = rows::used(cx)?;
        let files = newest(cx)?;
        let (count, takes) = (used.files, shown(used.bytes));
        let room = shown(self.0.per_account.bytes);
        let mut text = format!("{count} files take {takes} of {room}.");
        for (_, file) in &files {
            text.push_str(&format!("\n{}", line(file)));
        }
        if u64::try_from(files.len()).unwrap_or(u64::MAX) < count {
            text.push_str("\nand older ones");
        }
        Ok(text.into_bytes())
    }

    /// Deletes a file of an account.
    pub(crate) fn delete_own(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(wanted) = asked.field("file") else {
            let files = newest(cx)?;
            if files.is_empty() {
                return Ok(Outcome::said("You have no files here.").into());
            }
            let choice = |(link, file): &(Vec<u8>, File)| (hex(link), line(file));
            let kind = FieldKind::Choice(files.iter().map(choice).collect());
            let form = Form::new(
                "Delete a file",
                "Nobody can fetch it any more. Who has fetched it keeps it.",
            );
            return Ok(form.with(Field::new("file", "File", kind).required()).into());
        };
        let all = cx.all(&FILES, u32::MAX)?;
        let found = all.into_iter().find(|(link, _)| hex(link) == wanted);
        let Some((link, file)) = found else {
            return Err(StanzaError::ITEM_NOT_FOUND.with_text("there is no such file any more"));
        };
        rows::end_file(cx, &link)?;
        cx.count("deleted", 1)?;
        Ok(Outcome::said(format!("{} is deleted.", file.name)).into())
    }

    /// Shows the operator what files take, and of whom the most.
    pub(crate) fn space(
        &self,
        _: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Vec<u8>, StanzaError> {
        let mut all = cx.all(&SPACE, u32::MAX)?;
        let sum = |of: fn(&rows::Space) -> u64| {
            all.iter().fold(0_u64, |sum, (_, space)| sum.saturating_add(of(space)))
        };
        let (bytes, files) = (sum(|space| space.bytes), sum(|space| space.files));
        let mut text = format!(
            "{files} files of {} accounts take {} of {}.",
            all.len(),
            shown(bytes),
            shown(self.0.total.bytes)
        );
        all.sort_by_key(|(account, space)| (Reverse(space.bytes), account.clone()));
        for (account, space) in all.iter().take(SHOWN_MAX) {
            text.push_str(&format!("\n{account}: {} files, {}", space.files, shown(space.bytes)));
        }
        Ok(text.into_bytes())
    }
}

/// Returns the newest files of the account, with their links.
fn newest(cx: &mut Context<'_, '_>) -> Result<Vec<(Vec<u8>, File)>, StanzaError> {
    let mut files = cx.all(&FILES, u32::MAX)?;
    files.sort_by_key(|(_, file)| Reverse(file.made_ms));
    files.truncate(SHOWN_MAX);
    Ok(files)
}

fn line(file: &File) -> String {
    let (came, until) = (date_time(file.made_ms), date_time(file.ends_ms));
    format!("{}, {}, {came}, until {until}", file.name, shown(file.bytes))
}

fn hex(link: &[u8]) -> String {
    link.iter().map(|byte| format!("{byte:02x}")).collect()
}
