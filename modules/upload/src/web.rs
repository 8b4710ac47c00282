//! Files that come and go by HTTPS (XEP-0363 §7).

use calypte::prelude::*;
use calypte::wire::{FileAnswer, FileAsked, upload_ms};
use tables::{FILE_BLOBS, FileBlob};

use crate::Upload;
use crate::names::{UNKNOWN, media_type, shown};
use crate::rows::{self, ENDS, End, FILES, File, SLOTS, Slot, end_key};

/// How long a slot waits on after the latest moment at which its file can be there, in milliseconds.
const GRACE_MS: u64 = 60_000;
/// What is said of an address that is good for nothing.
const NO_SLOT: &str = "there is no such slot, or not any more";
/// How long others may keep a file, in seconds.
const MAX_AGE: u64 = 86_400;

/// A file that the host has.
struct Stored<'a> {
    link: &'a [u8],
    blob: [u8; 16],
    digest: &'a [u8],
    bytes: u64,
    kind: Option<&'a str>,
    is_lost: bool,
}

type Answered = Result<FileAnswer, StanzaError>;

impl Upload {
    /// Decides about a file.
    pub(crate) fn file(&self, asked: &FileAsked, cx: &mut Context<'_, '_>) -> Answered {
        match asked {
            FileAsked::Put { link, name, bytes, kind } => {
                put(cx, link, name, *bytes, kind.as_deref())
            }
            FileAsked::Stored { link, blob, digest, bytes, kind, is_lost } => {
                let blob = (&**blob).try_into().map_err(|_| StanzaError::INTERNAL)?;
                let (bytes, kind, is_lost) = (*bytes, kind.as_deref(), *is_lost);
                stored(cx, &Stored { link, blob, digest, bytes, kind, is_lost })
            }
            FileAsked::Get { link, name } => get(cx, link, name),
        }
    }
}

fn refuse(status: u16, text: &str) -> Answered {
    Ok(FileAnswer::Refuse { status, text: text.to_owned() })
}

/// Returns the slot of a link, or why there is none.
fn slot(
    cx: &mut Context<'_, '_>,
    link: &[u8],
    name: Option<&str>,
) -> Result<Result<Slot, FileAnswer>, StanzaError> {
    let no = |status, text: &str| FileAnswer::Refuse { status, text: text.to_owned() };
    if let Some(file) = cx.get(&FILES, link)? {
        let is_it = name.is_none_or(|name| file.name == name);
        return Ok(Err(if is_it {
            no(409, "the file is there already")
        } else {
            no(404, NO_SLOT)
        }));
    }
    let now_ms = cx.now_ms();
    let is_it = |slot: &Slot| slot.ends_ms > now_ms && name.is_none_or(|name| slot.name == name);
    let slot = cx.get(&SLOTS, link)?.filter(is_it);
    Ok(slot.ok_or_else(|| no(404, NO_SLOT)))
}

/// Somebody wants to send a file.
fn put(
    cx: &mut Context<'_, '_>,
    link: &[u8],
    name: &str,
    bytes: u64,
    kind: Option<&str>,
) -> Answered {
    let mut slot = match slot(cx, link, Some(name))? {
        Ok(slot) => slot,
        Err(refused) => return Ok(refused),
    };
    if bytes > slot.bytes {
        return refuse(413, "the file is larger than the slot");
    }
    if bytes < slot.bytes {
        return refuse(400, "the file is smaller than the slot");
    }
    let is_same = |wanted: &String| kind.and_then(media_type).as_ref() == Some(wanted);
    if kind.is_some() && slot.kind.as_ref().is_some_and(|wanted| !is_same(wanted)) {
        return refuse(415, "the slot is for another content type");
    }
    let latest = cx.now_ms().saturating_add(upload_ms(bytes)).saturating_add(GRACE_MS);
    rows::begin_slot(cx, link, &mut slot, latest)?;
    Ok(FileAnswer::Take { key: Upload::content_key(cx)?.to_vec() })
}

/// The file is whole, and on disk.
fn stored(cx: &mut Context<'_, '_>, stored: &Stored<'_>) -> Answered {
    let Stored { link, blob: own, digest, bytes, kind, is_lost } = *stored;
    // The account may have been removed meanwhile, with its slots.
    let slot = match slot(cx, link, None)? {
        Ok(slot) if slot.bytes == bytes => slot,
        Ok(_) => return refuse(400, "the file is not as large as the slot"),
        Err(refused) => return Ok(refused),
    };
    let mut used = rows::used(cx)?;
    let blob = match cx.get(&FILE_BLOBS, digest)? {
        Some(mut blob) => {
            if is_lost {
                blob.name = own;
            }
            blob.links = blob.links.saturating_add(1);
            blob
        }
        None => {
            used.bytes = used.bytes.saturating_add(bytes);
            FileBlob { name: own, bytes, links: 1 }
        }
    };
    cx.put(&FILE_BLOBS, digest, &blob)?;
    let kind = slot.kind.clone().or_else(|| media_type(kind?));
    let file = File {
        name: slot.name.clone(),
        bytes,
        kind: kind.unwrap_or_else(|| UNKNOWN.to_owned()),
        made_ms: cx.now_ms(),
        ends_ms: slot.file_ends_ms,
        digest: digest.to_vec(),
    };
    cx.put(&FILES, link, &file)?;
    rows::drop_slot(cx, link, &slot)?;
    cx.put(&ENDS, &*end_key(file.ends_ms, link), &End { is_slot: false })?;
    used.files = used.files.saturating_add(1);
    rows::set_used(cx, &used)?;
    rows::set_timer(cx)?;
    cx.count("files", 1)?;
    cx.count("bytes", bytes)?;
    Ok(FileAnswer::Kept { blob: blob.name.to_vec() })
}

/// Somebody wants to have a file.
fn get(cx: &mut Context<'_, '_>, link: &[u8], name: &str) -> Answered {
    let now_ms = cx.now_ms();
    let is_it = |file: &File| file.name == name && file.ends_ms > now_ms;
    let Some(file) = cx.get(&FILES, link)?.filter(is_it) else {
        return refuse(404, "there is no such file, or not any more");
    };
    let blob = cx.get(&FILE_BLOBS, &*file.digest)?.ok_or(StanzaError::INTERNAL)?;
    let (kind, is_inline) = shown(&file.kind);
    Ok(FileAnswer::Give {
        blob: blob.name.to_vec(),
        bytes: blob.bytes,
        kind: kind.to_owned(),
        is_inline,
        tag: file.digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        max_age: (file.ends_ms.saturating_sub(now_ms) / 1000).min(MAX_AGE),
        name: file.name,
    })
}
