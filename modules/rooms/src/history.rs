//! What was said: kept in order, and shown to those who enter (§7.2.13, §7.2.14).

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;
use xep::archive::Name;
use xep::delay::{delay, read_date_time};

use crate::Config;
use crate::records::{ARCHIVE, KEPT, Line, ROOM_KEY};
use crate::room::Room;
use crate::settings::{ARCHIVING, MAX_HISTORY};

/// The most bytes that somebody who enters is shown. Much more of what comes at once a slow client
/// could not take.
const BYTES_MAX: usize = 64 << 10;
/// The timer for what is too old or too much.
pub(crate) const EXPIRE: &str = "expire";
/// Messages deleted at a time.
const EXPIRED_MAX: u32 = 100;
/// How long others have their turn before it goes on, in milliseconds.
const PAUSE_MS: u64 = 50;
/// How long it looks away at most, in milliseconds.
const LOOK_MS: u64 = 24 * 3_600_000;
/// Ids of one millisecond.
const PER_MS: u64 = 1 << 12;

/// Returns the place and the name of the next message.
fn next_name(cx: &mut Context<'_, '_>) -> Result<Name, StanzaError> {
    let kept = cx.get(&KEPT, ROOM_KEY)?.unwrap_or_default();
    let tail = cx.random(8)?.try_into().map(u64::from_le_bytes);
    let tail = tail.map_err(|_| StanzaError::INTERNAL)?;
    Ok(Name { place: place_at(cx.now_ms()).max(kept.last.saturating_add(1)), tail })
}

/// Returns the first place of a time.
pub(crate) fn place_at(ms: u64) -> u64 {
    ms.saturating_mul(PER_MS)
}

/// Writes the name of a message (XEP-0359) as people's clients see it.
pub(crate) fn name_of(place: u64, line: &Line) -> String {
    Name { place, tail: line.tail }.write()
}

/// Returns what a message takes, about.
pub(crate) fn bytes(line: &Line) -> u64 {
    u64::try_from(line.xml.len()).unwrap_or(u64::MAX)
}

/// Names a message that somebody says to all, keeps it and returns it with its name. One of the room
/// itself has neither a nickname nor an address.
pub(crate) fn new_line(
    config: &Config,
    room: &Room,
    (nick, bare): (&str, &str),
    said: Element,
    cx: &mut Context<'_, '_>,
) -> Result<Element, StanzaError> {
    let Name { place, tail } = next_name(cx)?;
    let name = Element::new(ns::STANZA_ID, "stanza-id")
        .with_attr("by", cx.owner().as_str())
        .with_attr("id", &Name { place, tail }.write());
    let said = said.with_child(name);
    let line = Line {
        at_ms: cx.now_ms(),
        nick: nick.to_owned(),
        from: bare.to_owned(),
        tail,
        is_open: room.is_open(),
        is_retracted: false,
        xml: said.to_xml(ns::CLIENT),
    };
    keep(config, place, &line, cx)?;
    Ok(said)
}

/// Keeps a message. The oldest are forgotten in the background.
fn keep(config: &Config, place: u64, line: &Line, cx: &mut Context<'_, '_>) -> Done {
    let mut kept = cx.get(&KEPT, ROOM_KEY)?.unwrap_or_default();
    cx.put(&ARCHIVE, &place, line)?;
    kept.lines = kept.lines.saturating_add(1);
    kept.bytes = kept.bytes.saturating_add(bytes(line));
    kept.last = place;
    cx.put(&KEPT, ROOM_KEY, &kept)?;
    cx.count("kept", 1)?;
    if kept.lines > config.messages || kept.bytes > config.size.bytes {
        cx.wake_at(cx.now_ms(), EXPIRE)?;
    } else if kept.lines == 1 {
        cx.wake_at(look_ms(line.at_ms.saturating_add(config.keep.ms), cx.now_ms()), EXPIRE)?;
    }
    Ok(())
}

/// Returns when to look for what is due at a time: the operator may have made `keep` shorter.
fn look_ms(due_ms: u64, now_ms: u64) -> u64 {
    due_ms.min(now_ms.saturating_add(LOOK_MS))
}

/// Deletes what is too old or too much, the oldest first; the rest after a pause.
pub(crate) fn expire(config: &Config, cx: &mut Context<'_, '_>) -> Done {
    if Room::load(cx)?.is_none() {
        return Ok(());
    }
    let now_ms = cx.now_ms();
    let mut kept = cx.get(&KEPT, ROOM_KEY)?.unwrap_or_default();
    let range = Range { to: None, limit: EXPIRED_MAX, reverse: false };
    let mut next_ms = None;
    let mut gone = 0_u64;
    for (place, line) in cx.scan(&ARCHIVE, &[], &range)? {
        let due_ms = line.at_ms.saturating_add(config.keep.ms);
        if due_ms > now_ms && kept.lines <= config.messages && kept.bytes <= config.size.bytes {
            next_ms = Some(look_ms(due_ms, now_ms));
            break;
        }
        cx.delete(&ARCHIVE, &place)?;
        kept.lines = kept.lines.saturating_sub(1);
        kept.bytes = kept.bytes.saturating_sub(bytes(&line));
        gone = gone.saturating_add(1);
    }
    cx.count("expired", gone)?;
    cx.put(&KEPT, ROOM_KEY, &kept)?;
    if kept.lines == 0 {
        return Ok(());
    }
    cx.wake_at(next_ms.unwrap_or_else(|| now_ms.saturating_add(PAUSE_MS)), EXPIRE)
}

/// What a client that enters wants to be shown.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Wish {
    stanzas: u32,
    chars: usize,
    since_ms: u64,
}

/// Reads that, within what the room allows.
pub(crate) fn wish(room: &Room, x: Option<Node<'_>>, now_ms: u64) -> Wish {
    let of_room = room.text(MAX_HISTORY).parse().unwrap_or(0);
    let mut wish = Wish { stanzas: of_room, chars: usize::MAX, since_ms: 0 };
    let Some(history) = x.and_then(|x| x.child(ns::MUC, "history")) else { return wish };
    let number = |name: &str| history.attr(name)?.trim().parse::<u64>().ok();
    if let Some(stanzas) = number("maxstanzas") {
        wish.stanzas = wish.stanzas.min(u32::try_from(stanzas).unwrap_or(u32::MAX));
    }
    if let Some(chars) = number("maxchars") {
        wish.chars = wish.chars.min(usize::try_from(chars).unwrap_or(usize::MAX));
    }
    if let Some(seconds) = number("seconds") {
        wish.since_ms = now_ms.saturating_sub(seconds.saturating_mul(1000));
    }
    let since = history.attr("since").and_then(|since| read_date_time(since.trim()));
    wish.since_ms = wish.since_ms.max(since.unwrap_or(0));
    wish
}

/// Shows a client what was said before it came.
pub(crate) fn show(room: &Room, wish: &Wish, full: &str, cx: &mut Context<'_, '_>) -> Done {
    if wish.stanzas == 0 || wish.chars == 0 || !room.flag(ARCHIVING) {
        return Ok(());
    }
    let from = wish.since_ms.saturating_mul(PER_MS).to_be_bytes();
    let range = Range { to: None, limit: wish.stanzas, reverse: true };
    let lines = cx.scan(&ARCHIVE, &from, &range)?;
    let (mut all, mut bytes, mut chars) = (Vec::new(), 0_usize, 0_usize);
    for (_, line) in lines {
        if line.is_retracted {
            continue;
        }
        let Some(late) = late(&line, cx) else { continue };
        chars = chars.saturating_add(late.chars().count());
        bytes = bytes.saturating_add(late.len());
        // One message alone can be longer: it went to all as well.
        if chars > wish.chars || (bytes > BYTES_MAX && !all.is_empty()) {
            break;
        }
        all.push(late);
    }
    for late in all.iter().rev() {
        cx.show_each(late, &[full])?;
    }
    Ok(())
}

/// Returns a message of the past as somebody who enters gets it.
fn late(line: &Line, cx: &Context<'_, '_>) -> Option<String> {
    let mark = delay(cx.owner(), line.at_ms).to_xml(ns::CLIENT);
    let (start, name) = line.xml.rsplit_once("<stanza-id ")?;
    Some(format!("{start}{mark}<stanza-id {name}"))
}

/// Shows a client what the room is about (§7.2.15).
pub(crate) fn show_subject(room: &Room, full: &str, cx: &mut Context<'_, '_>) -> Done {
    let mut message = Element::new(ns::CLIENT, "message").with_attr("type", "groupchat");
    match &room.row.subject {
        Some(subject) => {
            message.push_attr("from", &format!("{}/{}", cx.owner(), subject.nick));
            if let Some(id) = &subject.id {
                message.push_attr("id", id);
            }
            message.push_raw(subject.xml.clone());
            message.push_child(delay(cx.owner(), subject.at_ms));
        }
        None => message.push_child(Element::new(ns::CLIENT, "subject")),
    }
    cx.show_each(&message.to_xml(ns::CLIENT), &[full])
}
