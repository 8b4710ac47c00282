//! Which messages are kept, and the tables that they wait in.

use bincode::{Decode, Encode};
use calypte::notice::ArchiveRead;
use calypte::prelude::*;
use calypte::wire::Range;

use crate::Offline;

/// What waits, in the order in which it is handed out: by time, then by number.
const MESSAGES: Table<(u64, u64), Kept> = Table::account("offline.messages");
/// How much waits; one row.
const TOTAL: Table<str, Total> = Table::account("offline.total");
/// The key of the row.
const TOTAL_KEY: &str = "total";
/// The name of the timer that deletes what nobody came for.
const EXPIRE: &str = "expire";
/// How long it looks away at most, in milliseconds: the operator may have made `keep` shorter.
const LOOK_MS: u64 = 24 * 3_600_000;
/// Rows deleted at a time.
const EXPIRE_ROWS_MAX: u32 = 500;
/// The largest message: each has to fit into a client's queue.
const MESSAGE_BYTES_MAX: usize = 48 << 10;

/// The place of a message in the order.
pub(crate) type Place = (u64, u64);

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Kept {
    /// When it came, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// The stanza, as it came.
    pub(crate) xml: String,
}

record!(Kept, 1);

/// How much waits for an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Total {
    messages: u32,
    bytes: u64,
}

record!(Total, 1);

impl Offline {
    /// Keeps a message that no client can get.
    pub(crate) fn keep(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let own_kinds = [MessageKind::Normal, MessageKind::Chat];
        if !own_kinds.contains(&message.message_kind()) {
            return Ok(Flow::Pass);
        }
        if !is_worth_keeping(message) {
            // Somebody who is being given what waited is there all the same.
            let flow = self.pass_by(message, cx)?;
            // An error would look as if the words that follow had failed: they are kept.
            return Ok(if is_typing(message) { Flow::Handled } else { flow });
        }
        let (Some(from), Some(to)) = (message.from, message.to) else { return Ok(Flow::Pass) };
        let mut xml = message.readdressed(from.as_str(), to.as_str());
        for delay in message.payloads().filter(|node| is_own_delay(*node, cx)) {
            xml = xml.replacen(delay.raw(), "", 1);
        }
        let waited = cx.since_ms()?;
        let since_ms = waited.unwrap_or_else(|| cx.now_ms());
        let kept = Kept { since_ms, xml };
        if waited.is_some() && is_kept_already(&kept, cx)? {
            return Ok(Flow::Kept);
        }
        let mut total = cx.get(&TOTAL, TOTAL_KEY)?.unwrap_or_default();
        total.add(&kept);
        // What waited in a session was promised to be kept.
        if waited.is_none() && (self.is_too_much(total) || kept.xml.len() > MESSAGE_BYTES_MAX) {
            if is_archived(message, cx)? {
                // It is not lost: it is read in the archive.
                cx.count("left_to_archive", 1)?;
                return Ok(Flow::Kept);
            }
            cx.count("refused", 1)?;
            let why = "This message cannot be kept for the recipient, who is away.";
            return Err(StanzaError::SERVICE_UNAVAILABLE.with_text(why));
        }
        let place = next_place(since_ms, waited.is_some(), cx)?;
        cx.put(&MESSAGES, &place, &kept)?;
        cx.put(&TOTAL, TOTAL_KEY, &total)?;
        cx.count("kept", 1)?;
        if total.messages == 1 {
            let due_ms = since_ms.saturating_add(self.0.keep.ms);
            cx.wake_at(look_ms(due_ms, cx.now_ms()), EXPIRE)?;
        }
        Ok(Flow::Kept)
    }

    fn is_too_much(&self, total: Total) -> bool {
        total.messages > self.0.messages || total.bytes > self.0.bytes.bytes
    }

    /// A client read in the archive what waits here too: it does not come twice (XEP-0313 §6.1.1).
    pub(crate) fn read(&self, notice: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        if cx.get(&TOTAL, TOTAL_KEY)?.is_none() {
            return Ok(());
        }
        let read: ArchiveRead = notice.read()?;
        let mut places = Vec::new();
        for (since_ms, id) in read.messages {
            let rows = at(since_ms, u32::MAX, false, cx)?;
            let is_it = |(_, kept): &&(Place, Kept)| kept.xml.contains(&id);
            places.extend(rows.iter().filter(is_it).map(|(place, _)| *place));
        }
        delete(&places, cx)
    }

    /// Counts what waits for an account.
    pub(crate) fn verify(&self, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
        let says = cx.get(&TOTAL, TOTAL_KEY)?.unwrap_or_default();
        let mut has = Total::default();
        for (_, kept) in cx.all(&MESSAGES, u32::MAX)? {
            has.add(&kept);
        }
        Ok(if says == has { Vec::new() } else { vec![disagreement(says, has)] })
    }

    /// Deletes what waited too long.
    pub(crate) fn expire(&self, _: &str, cx: &mut Context<'_, '_>) -> Done {
        let rows = cx.all(&MESSAGES, EXPIRE_ROWS_MAX)?;
        let now_ms = cx.now_ms();
        let due_ms = |kept: &Kept| kept.since_ms.saturating_add(self.0.keep.ms);
        let is_due = |(_, kept): &&(Place, Kept)| due_ms(kept) <= now_ms;
        let due: Vec<_> = rows.iter().take_while(is_due).map(|(place, _)| *place).collect();
        delete(&due, cx)?;
        if !due.is_empty() {
            cx.count("expired", u64::try_from(due.len()).unwrap_or(0))?;
        }
        if let Some((_, next)) = rows.get(due.len()) {
            cx.wake_at(look_ms(due_ms(next), now_ms), EXPIRE)?;
        } else if rows.len() == due.len() && !due.is_empty() {
            // There may be more than were read.
            let more = cx.all(&MESSAGES, 1)?;
            if let Some((_, next)) = more.first() {
                cx.wake_at(look_ms(due_ms(next), now_ms), EXPIRE)?;
            }
        }
        Ok(())
    }
}

fn disagreement(says: Total, has: Total) -> String {
    format!(
        "offline.total says {} messages of {} bytes, there are {} of {}",
        says.messages, says.bytes, has.messages, has.bytes
    )
}

/// Returns when to look for what is due at a time.
fn look_ms(due_ms: u64, now_ms: u64) -> u64 {
    due_ms.clamp(now_ms, now_ms.saturating_add(LOOK_MS))
}

impl Total {
    fn add(&mut self, kept: &Kept) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes(kept));
    }

    fn remove(&mut self, kept: &Kept) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes(kept));
    }
}

/// Returns the oldest messages, `limit` at most.
pub(crate) fn oldest(
    limit: u32,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(Place, Kept)>, StanzaError> {
    cx.all(&MESSAGES, limit)
}

/// Deletes messages. Those that are gone already are passed over.
pub(crate) fn delete(places: &[Place], cx: &mut Context<'_, '_>) -> Done {
    let mut total = cx.get(&TOTAL, TOTAL_KEY)?.unwrap_or_default();
    for place in places {
        if let Some(kept) = cx.get(&MESSAGES, place)? {
            total.remove(&kept);
            cx.delete(&MESSAGES, place)?;
        }
    }
    if total.messages == 0 {
        cx.delete(&TOTAL, TOTAL_KEY)
    } else {
        cx.put(&TOTAL, TOTAL_KEY, &total)
    }
}

fn bytes(kept: &Kept) -> u64 {
    u64::try_from(kept.xml.len()).unwrap_or(u64::MAX)
}

/// XEP-0160 §3, XEP-0334 §4: typing and the like are of no use later, whatever they come with.
fn is_worth_keeping(message: &Passing<'_>) -> bool {
    if message.has(ns::HINTS, "no-store") {
        return false;
    }
    let says_something = |node: Node<'_>| {
        let is_aside =
            matches!(node.ns(), ns::CHAT_STATES | ns::HINTS | ns::STANZA_ID | ns::DELAY | ns::NICK);
        !is_aside && !node.is(ns::CLIENT, "thread")
    };
    message.has(ns::HINTS, "store") || message.payloads().any(says_something)
}

/// XEP-0085 §5.8: a notification that stands alone may be treated unlike other messages.
fn is_typing(message: &Passing<'_>) -> bool {
    let is_part = |node: Node<'_>| {
        matches!(node.ns(), ns::CHAT_STATES | ns::HINTS) || node.is(ns::CLIENT, "thread")
    };
    message.payloads().any(|node| node.ns() == ns::CHAT_STATES) && message.payloads().all(is_part)
}

/// Tells whether module `archive` has the message that is on its way.
fn is_archived(message: &Passing<'_>, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let archived = cx.get(&tables::ARCHIVED, tables::ARCHIVED_KEY)?;
    let Some(archived) = archived.filter(|row| row.at_ms == cx.now_ms()) else { return Ok(false) };
    let mut names = message.payloads().filter(|node| node.is(ns::STANZA_ID, "stanza-id"));
    Ok(names.any(|name| name.attr("id").as_deref() == Some(&*archived.id)))
}

/// Ours says when a message came; only we may say that.
fn is_own_delay(node: Node<'_>, cx: &Context<'_, '_>) -> bool {
    node.is(ns::DELAY, "delay") && node.attr("from").as_deref() == Some(cx.domain())
}

/// Two sessions of one account that both end may both bring back the message that both had.
fn is_kept_already(kept: &Kept, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let rows = at(kept.since_ms, u32::MAX, false, cx)?;
    Ok(rows.iter().any(|(_, other)| other == kept))
}

/// Returns the place behind the messages of its time. A new message comes behind all that wait,
/// even when the clock was put back.
fn next_place(
    since_ms: u64,
    has_waited: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Place, StanzaError> {
    if !has_waited {
        let last = cx.scan(&MESSAGES, &[], &Range { to: None, limit: 1, reverse: true })?;
        let last = last.first().map(|(place, _)| *place).filter(|(time, _)| *time >= since_ms);
        return Ok(last.map_or((since_ms, 0), |(time, number)| (time, number.saturating_add(1))));
    }
    let last = at(since_ms, 1, true, cx)?;
    Ok((since_ms, last.first().map_or(0, |((_, number), _)| number.saturating_add(1))))
}

/// Returns the messages of one millisecond.
fn at(
    since_ms: u64,
    limit: u32,
    reverse: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(Place, Kept)>, StanzaError> {
    let from = MESSAGES.encode_key(&(since_ms, 0));
    let to = Some(MESSAGES.encode_key(&(since_ms.saturating_add(1), 0)));
    cx.scan(&MESSAGES, &from, &Range { to, limit, reverse })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let kept = Kept { since_ms: 300, xml: "<a/>".to_owned() };
        assert_eq!(MESSAGES.encode(&kept), b"\x01\xfb\x2c\x01\x04<a/>");
        let total = Total { messages: 2, bytes: 300 };
        assert_eq!(TOTAL.encode(&total), b"\x01\x02\xfb\x2c\x01");
        let place = MESSAGES.encode_key(&(258, 3));
        assert_eq!(place, b"\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03");
        assert_eq!((MESSAGES.name, TOTAL.name), ("offline.messages", "offline.total"));
    }

    #[test]
    fn what_is_due_later_is_looked_for_each_day() {
        let now_ms = 1_000 * LOOK_MS;
        assert_eq!(look_ms(5, now_ms), now_ms);
        assert_eq!(look_ms(now_ms + 5, now_ms), now_ms + 5);
        assert_eq!(look_ms(now_ms + 60 * LOOK_MS, now_ms), now_ms + LOOK_MS);
    }
}
