//! Whether files, links, ends and counts agree. Whether the content is there the host looks itself.

use std::collections::{BTreeMap, BTreeSet};

use calypte::prelude::*;
use tables::{FILE_BLOBS, FILE_LINKS};

use crate::Upload;
use crate::rows::{self, ENDS, EXPECTED, FILES, SLOTS, SPACE, end_key};

impl Upload {
    /// Reads all that is kept of the files of an account.
    pub(crate) fn verify(&self, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
        let account = cx.owner().as_str().to_owned();
        let mut found = Vec::new();
        let mut links = BTreeMap::<Vec<u8>, u32>::new();
        let mut ends = BTreeSet::new();
        let mut unlinked = 0_u64;
        let files = cx.all(&FILES, u32::MAX)?;
        let slots = cx.all(&SLOTS, u32::MAX)?;
        for (link, file) in &files {
            let count = links.entry(file.digest.clone()).or_default();
            *count = count.saturating_add(1);
            ends.insert(end_key(file.ends_ms, link));
        }
        for (link, slot) in &slots {
            ends.insert(end_key(slot.ends_ms, link));
        }
        for link in files.iter().map(|(link, _)| link).chain(slots.iter().map(|(link, _)| link)) {
            let whose = cx.get(&FILE_LINKS, &**link)?;
            if whose.is_none_or(|whose| whose.account != account) {
                unlinked = unlinked.saturating_add(1);
            }
        }
        if unlinked > 0 {
            found.push(format!("{unlinked} files or slots have no row in upload.links"));
        }
        let mut bytes = 0_u64;
        for (digest, blob) in cx.all(&FILE_BLOBS, u32::MAX)? {
            let counted = links.remove(&digest).unwrap_or(0);
            bytes = bytes.saturating_add(blob.bytes);
            if counted != blob.links {
                let says = blob.links;
                found.push(format!(
                    "upload.blobs counts {says} files of a content, there are {counted}"
                ));
            }
        }
        if !links.is_empty() {
            found.push(format!("{} contents have no row in upload.blobs", links.len()));
        }
        let has: BTreeSet<_> = cx.all(&ENDS, u32::MAX)?.into_iter().map(|(key, _)| key).collect();
        if has != ends {
            found.push("upload.ends does not list what ends".to_owned());
        }
        let used = rows::used(cx)?;
        let count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        if (used.files, used.bytes) != (count, bytes) {
            let (says, of) = (used.files, used.bytes);
            found.push(format!(
                "upload.used says {says} files of {of} bytes, there are {count} of {bytes}"
            ));
        }
        let space = cx.get(&SPACE, &*account)?.map_or((0, 0), |space| (space.files, space.bytes));
        if space != (used.files, used.bytes) {
            found.push("upload.space does not say what upload.used does".to_owned());
        }
        let slots = slots.iter().fold(0_u64, |sum, (_, slot)| sum.saturating_add(slot.bytes));
        if slots != cx.get(&EXPECTED, &*account)?.map_or(0, |expected| expected.bytes) {
            found.push("upload.expected does not say what upload.slots does".to_owned());
        }
        Ok(found)
    }
}
