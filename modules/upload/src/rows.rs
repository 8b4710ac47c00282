//! What is kept: slots, files and when they end, and what all that takes.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;
use tables::{FILE_BLOBS, FILE_LINKS, FileLink, file_link};

use crate::Upload;

/// Letters of a token: 160 bits.
const TOKEN_LETTERS: u32 = 32;
/// A day, in milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;
/// How long the sum of all accounts is good for, in milliseconds: what other shards gave meanwhile is not in
/// it.
const SUM_MS: u64 = 10_000;
/// The only key of a table with one row.
const ONE: &str = "";

/// Files that may come, by their link.
pub(crate) const SLOTS: Table<[u8], Slot> = Table::account("upload.slots");
/// Files that are there, by their link.
pub(crate) const FILES: Table<[u8], File> = Table::account("upload.files");
/// When slots and files end: the time, 8 bytes big-endian, and the link.
pub(crate) const ENDS: Table<[u8], End> = Table::account("upload.ends");
/// What the account takes: one row.
pub(crate) const USED: Table<str, Used> = Table::account("upload.used");
/// What each account takes, by its address.
pub(crate) const SPACE: Table<str, Space> = Table::domain("upload.space");
/// What the slots of each account may still bring, by its address.
pub(crate) const EXPECTED: Table<str, Expected> = Table::domain("upload.expected");
/// What all accounts together take and may still bring: one row of each shard.
const SUM: Table<str, Sum> = Table::volatile_domain("upload.sum");

/// A file that may come.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Slot {
    /// The name in the address.
    pub(crate) name: String,
    /// How many bytes it has.
    pub(crate) bytes: u64,
    /// What it is said to be.
    pub(crate) kind: Option<String>,
    /// When the slot was given, in milliseconds since 1970.
    pub(crate) made_ms: u64,
    /// When the slot ends.
    pub(crate) ends_ms: u64,
    /// When the file ends.
    pub(crate) file_ends_ms: u64,
    /// Whether somebody began to send the file.
    pub(crate) is_begun: bool,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct File {
    /// The name in the address.
    pub(crate) name: String,
    /// How many bytes it has.
    pub(crate) bytes: u64,
    /// What it is said to be.
    pub(crate) kind: String,
    /// When it came, in milliseconds since 1970.
    pub(crate) made_ms: u64,
    /// When it ends.
    pub(crate) ends_ms: u64,
    /// Its key in [`FILE_BLOBS`].
    pub(crate) digest: Vec<u8>,
}

/// Something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct End {
    /// A slot, or else a file.
    pub(crate) is_slot: bool,
}

/// What an account takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Used {
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Files; two may be one on disk.
    pub(crate) files: u64,
    /// A day since 1970.
    pub(crate) day: u64,
    /// Bytes of slots that were given on it, without those that ended unused.
    pub(crate) day_bytes: u64,
}

/// What an account takes, for the operator and for the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Space {
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Files.
    pub(crate) files: u64,
}

/// What the slots of an account may still bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Expected {
    /// Bytes of files that may come, and of those that come.
    pub(crate) bytes: u64,
}

/// What all accounts together take and may still bring.
#[derive(Clone, Copy, Debug, Encode, Decode)]
struct Sum {
    at_ms: u64,
    bytes: u64,
}

record!(Slot, 1);
record!(File, 1);
record!(End, 1);
record!(Used, 1);
record!(Space, 1);
record!(Expected, 1);
record!(Sum, 1);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Keeps a slot and returns the token of its link.
pub(crate) fn give(cx: &mut Context<'_, '_>, slot: &Slot) -> Result<String, StanzaError> {
    let token = cx.random_name(TOKEN_LETTERS)?;
    let link = file_link(&token);
    let account = cx.owner().as_str().to_owned();
    cx.put(&FILE_LINKS, &*link, &FileLink { account })?;
    cx.put(&SLOTS, &*link, slot)?;
    cx.put(&ENDS, &*end_key(slot.ends_ms, &link), &End { is_slot: true })?;
    set_expected(cx)?;
    add_to_sum(cx, slot.bytes)?;
    Ok(token)
}

/// Notes that the file of a slot begins to come, and lets the slot end later.
pub(crate) fn begin_slot(
    cx: &mut Context<'_, '_>,
    link: &[u8],
    slot: &mut Slot,
    ends_ms: u64,
) -> Done {
    slot.is_begun = true;
    if ends_ms <= slot.ends_ms {
        return cx.put(&SLOTS, link, slot);
    }
    cx.delete(&ENDS, &*end_key(slot.ends_ms, link))?;
    slot.ends_ms = ends_ms;
    cx.put(&SLOTS, link, slot)?;
    cx.put(&ENDS, &*end_key(ends_ms, link), &End { is_slot: true })?;
    set_timer(cx)
}

/// A slot ends without a file: what it would have taken of the day is free again, unless bytes came.
pub(crate) fn end_slot(cx: &mut Context<'_, '_>, link: &[u8]) -> Done {
    let Some(slot) = cx.get(&SLOTS, link)? else { return Ok(()) };
    let mut used = used(cx)?;
    if !slot.is_begun && used.day == slot.made_ms / DAY_MS {
        used.day_bytes = used.day_bytes.saturating_sub(slot.bytes);
        cx.put(&USED, ONE, &used)?;
    }
    cx.delete(&FILE_LINKS, link)?;
    drop_slot(cx, link, &slot)
}

/// Deletes a slot, of which there is a file now or nothing.
pub(crate) fn drop_slot(cx: &mut Context<'_, '_>, link: &[u8], slot: &Slot) -> Done {
    cx.delete(&SLOTS, link)?;
    cx.delete(&ENDS, &*end_key(slot.ends_ms, link))?;
    set_expected(cx)
}

/// Notes what the slots of the account may still bring. They are few.
fn set_expected(cx: &mut Context<'_, '_>) -> Done {
    let slots = cx.all(&SLOTS, u32::MAX)?;
    let account = cx.owner().as_str().to_owned();
    if slots.is_empty() {
        return cx.delete(&EXPECTED, &*account);
    }
    let bytes = slots.iter().fold(0_u64, |sum, (_, slot)| sum.saturating_add(slot.bytes));
    cx.put(&EXPECTED, &*account, &Expected { bytes })
}

/// Deletes a file, and its content with the last one that has it.
pub(crate) fn end_file(cx: &mut Context<'_, '_>, link: &[u8]) -> Done {
    let Some(file) = cx.get(&FILES, link)? else { return Ok(()) };
    cx.delete(&FILES, link)?;
    cx.delete(&FILE_LINKS, link)?;
    cx.delete(&ENDS, &*end_key(file.ends_ms, link))?;
    let mut used = used(cx)?;
    used.files = used.files.saturating_sub(1);
    if let Some(mut blob) = cx.get(&FILE_BLOBS, &*file.digest)? {
        blob.links = blob.links.saturating_sub(1);
        if blob.links == 0 {
            cx.delete(&FILE_BLOBS, &*file.digest)?;
            cx.drop_file(&blob.name)?;
            used.bytes = used.bytes.saturating_sub(blob.bytes);
        } else {
            cx.put(&FILE_BLOBS, &*file.digest, &blob)?;
        }
    }
    set_used(cx, &used)
}

/// Returns what the account takes.
pub(crate) fn used(cx: &mut Context<'_, '_>) -> Result<Used, StanzaError> {
    Ok(cx.get(&USED, ONE)?.unwrap_or_default())
}

/// Notes what the account takes.
pub(crate) fn set_used(cx: &mut Context<'_, '_>, used: &Used) -> Done {
    cx.put(&USED, ONE, used)?;
    let account = cx.owner().as_str().to_owned();
    if used.files == 0 && used.bytes == 0 {
        return cx.delete(&SPACE, &*account);
    }
    cx.put(&SPACE, &*account, &Space { bytes: used.bytes, files: used.files })
}

/// Notes the bytes of a slot that is given, for the day.
pub(crate) fn count_day(cx: &mut Context<'_, '_>, used: &Used) -> Done {
    cx.put(&USED, ONE, used)
}

/// Returns what all accounts together take and may still bring: that of a moment ago, with what this shard
/// gave since.
pub(crate) fn sum(cx: &mut Context<'_, '_>) -> Result<u64, StanzaError> {
    let now_ms = cx.now_ms();
    // One of later is of before the clock was set back.
    let is_good = |sum: &Sum| (sum.at_ms..sum.at_ms.saturating_add(SUM_MS)).contains(&now_ms);
    if let Some(sum) = cx.get(&SUM, ONE)?.filter(is_good) {
        return Ok(sum.bytes);
    }
    let all = cx.all(&SPACE, u32::MAX)?;
    let bytes = all.iter().fold(0_u64, |sum, (_, space)| sum.saturating_add(space.bytes));
    let slots = cx.all(&EXPECTED, u32::MAX)?;
    let bytes = slots.iter().fold(bytes, |sum, (_, slots)| sum.saturating_add(slots.bytes));
    cx.put(&SUM, ONE, &Sum { at_ms: now_ms, bytes })?;
    Ok(bytes)
}

/// Adds what this shard gave.
fn add_to_sum(cx: &mut Context<'_, '_>, bytes: u64) -> Done {
    let Some(mut sum) = cx.get(&SUM, ONE)? else { return Ok(()) };
    sum.bytes = sum.bytes.saturating_add(bytes);
    cx.put(&SUM, ONE, &sum)
}

/// Wakes the account when the first slot or file ends.
pub(crate) fn set_timer(cx: &mut Context<'_, '_>) -> Done {
    let first = cx.scan(&ENDS, &[], &Range { to: None, limit: 1, reverse: false })?;
    match first.first().and_then(|(key, _)| read_end(key)) {
        Some((ends_ms, _)) => cx.wake_at(ends_ms, "expire"),
        None => Ok(()),
    }
}

/// Returns the key of the end of something.
pub(crate) fn end_key(ends_ms: u64, link: &[u8]) -> Vec<u8> {
    [&ends_ms.to_be_bytes(), link].concat()
}

/// Reads the key of an end: when, and the link.
pub(crate) fn read_end(key: &[u8]) -> Option<(u64, &[u8])> {
    let (at, link) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*at), link))
}

impl Upload {
    /// Returns what the content of the account's files is hashed with: the same content has another
    /// hash in each account, so nobody learns whether somebody else has it.
    pub(crate) fn content_key(cx: &mut Context<'_, '_>) -> Result<[u8; 32], StanzaError> {
        let secret = cx.secret()?;
        Ok(calypte::crypto::keyed_hash(&secret, cx.owner().as_str().as_bytes()))
    }
}
