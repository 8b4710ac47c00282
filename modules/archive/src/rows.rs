//! The tables of the archive.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::id::Id;

/// The messages, by their places.
pub(crate) const MESSAGES: Table<u64, Kept> = Table::account("archive.messages");
/// The places of the messages with somebody, by bare address.
pub(crate) const WITH: Table<(String, u64), Mark> = Table::account("archive.with");
/// What is known of the whole; one row.
const STATE: Table<str, State> = Table::account("archive.state");
/// The key of the row.
const STATE_KEY: &str = "state";

/// Bits of a place below the time: messages of one millisecond.
const COUNT_BITS: u32 = 20;
/// What a message takes besides its text and the address of the other end, about.
const ROW_BYTES: u64 = 96;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Kept {
    /// When it came, in milliseconds since 1970.
    pub(crate) stamp_ms: u64,
    /// The random part of its name.
    pub(crate) tail: u64,
    /// The full address at the other end, as it was.
    pub(crate) peer: String,
    /// The stanza.
    pub(crate) xml: String,
}

record!(Kept, 1);

/// Says that there is a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Mark;

record!(Mark, 1);

/// The archive of an account as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct State {
    /// The last place that was ever taken. It is never taken again.
    pub(crate) last: u64,
    /// How many messages there are.
    pub(crate) messages: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

record!(State, 1);

impl Kept {
    pub(crate) fn bytes(&self) -> u64 {
        let text = self.xml.len().saturating_add(self.peer.len().saturating_mul(2));
        u64::try_from(text).unwrap_or(u64::MAX).saturating_add(ROW_BYTES)
    }

    pub(crate) fn bare_peer(&self) -> String {
        JidRef::trusted(&self.peer).bare_str().to_owned()
    }
}

/// Returns the first place of a time.
pub(crate) fn place_at(ms: u64) -> u64 {
    ms.saturating_mul(1 << COUNT_BITS)
}

pub(crate) fn state(cx: &mut Context<'_, '_>) -> Result<State, StanzaError> {
    Ok(cx.get(&STATE, STATE_KEY)?.unwrap_or_default())
}

/// Returns the next place: behind all others, also when the clock was put back.
pub(crate) fn next_place(cx: &mut Context<'_, '_>) -> Result<u64, StanzaError> {
    let last = state(cx)?.last;
    Ok(place_at(cx.now_ms()).max(last.saturating_add(1)))
}

/// Writes a message down and returns what the archive is now.
pub(crate) fn add(id: Id, kept: &Kept, cx: &mut Context<'_, '_>) -> Result<State, StanzaError> {
    let mut state = state(cx)?;
    state.last = id.place;
    state.messages = state.messages.saturating_add(1);
    state.bytes = state.bytes.saturating_add(kept.bytes());
    cx.put(&MESSAGES, &id.place, kept)?;
    cx.put(&WITH, &(kept.bare_peer(), id.place), &Mark)?;
    cx.put(&STATE, STATE_KEY, &state)?;
    Ok(state)
}

/// Deletes messages.
pub(crate) fn delete(rows: &[(u64, Kept)], cx: &mut Context<'_, '_>) -> Result<State, StanzaError> {
    let mut state = state(cx)?;
    for (place, kept) in rows {
        cx.delete(&MESSAGES, place)?;
        cx.delete(&WITH, &(kept.bare_peer(), *place))?;
        state.messages = state.messages.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(kept.bytes());
    }
    cx.put(&STATE, STATE_KEY, &state)?;
    Ok(state)
}

/// Returns the oldest messages, or the newest.
pub(crate) fn outermost(
    limit: u32,
    reverse: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(u64, Kept)>, StanzaError> {
    cx.scan(&MESSAGES, &[], &Range { to: None, limit, reverse })
}

/// Returns the message with this name.
pub(crate) fn find(text: &str, cx: &mut Context<'_, '_>) -> Result<(u64, Kept), StanzaError> {
    let id = Id::read(text).ok_or(StanzaError::ITEM_NOT_FOUND)?;
    let kept = cx.get(&MESSAGES, &id.place)?.filter(|kept| kept.tail == id.tail);
    Ok((id.place, kept.ok_or(StanzaError::ITEM_NOT_FOUND)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let kept =
            Kept { stamp_ms: 300, tail: 7, peer: "a@b/c".to_owned(), xml: "<a/>".to_owned() };
        assert_eq!(MESSAGES.encode(&kept), b"\x01\xfb\x2c\x01\x07\x05a@b/c\x04<a/>");
        assert_eq!(WITH.encode(&Mark), b"\x01");
        let state = State { last: 300, messages: 2, bytes: 300 };
        assert_eq!(STATE.encode(&state), b"\x01\xfb\x2c\x01\x02\xfb\x2c\x01");
        assert_eq!(MESSAGES.encode_key(&258), b"\0\0\0\0\0\0\x01\x02");
        assert_eq!(WITH.encode_key(&("a@b".to_owned(), 3)), b"a@b\0\0\0\0\0\0\0\0\x03");
        let names = [MESSAGES.name, WITH.name, STATE.name];
        assert_eq!(names, ["archive.messages", "archive.with", "archive.state"]);
    }

    #[test]
    fn places_go_with_time() {
        assert!(place_at(1_795_508_999_123) < place_at(1_795_508_999_124));
        assert_eq!(place_at(u64::MAX), u64::MAX);
    }
}
