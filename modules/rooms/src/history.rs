//! What was said: kept in order, and shown to those who enter (§7.2.13, §7.2.14).

use calypte::prelude::*;
use calypte::wire::Range;
use xep::archive::Name;
use xep::delay::{delay, read_date_time};

use crate::Config;
use crate::records::{ARCHIVE, KEPT, Line, ROOM_KEY};
use crate::room::Room;
use crate::settings::{HISTORY_MAX, MAX_HISTORY};

/// The most bytes that somebody who enters is shown.
const BYTES_MAX: usize = 256 << 10;
/// Ids of one millisecond.
const PER_MS: u64 = 1 << 12;

/// Returns the place and the name of the next message.
pub(crate) fn next_name(cx: &mut Context<'_, '_>) -> Result<Name, StanzaError> {
    let kept = cx.get(&KEPT, ROOM_KEY)?.unwrap_or_default();
    let now = cx.now_ms().saturating_mul(PER_MS);
    let tail = cx.random(8)?.try_into().map(u64::from_le_bytes);
    let tail = tail.map_err(|_| StanzaError::INTERNAL)?;
    Ok(Name { place: now.max(kept.last.saturating_add(1)), tail })
}

/// Keeps a message, and forgets the oldest when there are too many.
pub(crate) fn keep(config: &Config, id: u64, line: &Line, cx: &mut Context<'_, '_>) -> Done {
    let size = |line: &Line| u64::try_from(line.xml.len()).unwrap_or(u64::MAX);
    let mut kept = cx.get(&KEPT, ROOM_KEY)?.unwrap_or_default();
    cx.put(&ARCHIVE, &id, line)?;
    kept.lines = kept.lines.saturating_add(1);
    kept.bytes = kept.bytes.saturating_add(size(line));
    kept.last = id;
    while kept.lines > config.messages || kept.bytes > config.bytes() {
        let range = Range { to: None, limit: 1, reverse: false };
        let Some((oldest, line)) = cx.scan(&ARCHIVE, &[], &range)?.pop() else { break };
        cx.delete(&ARCHIVE, &oldest)?;
        kept.lines = kept.lines.saturating_sub(1);
        kept.bytes = kept.bytes.saturating_sub(size(&line));
    }
    cx.put(&KEPT, ROOM_KEY, &kept)
}

/// What a client that enters wants to be shown.
struct Wish {
    stanzas: u32,
    chars: usize,
    since_ms: u64,
}

fn wish(room: &Room, x: Option<Node<'_>>, now_ms: u64) -> Wish {
    let of_room = room.text(MAX_HISTORY).parse().unwrap_or(0).min(HISTORY_MAX);
    let mut wish = Wish { stanzas: of_room, chars: BYTES_MAX, since_ms: 0 };
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
pub(crate) fn show(room: &Room, x: Option<Node<'_>>, full: &str, cx: &mut Context<'_, '_>) -> Done {
    let wish = wish(room, x, cx.now_ms());
    if wish.stanzas == 0 || wish.chars == 0 {
        return Ok(());
    }
    let from = wish.since_ms.saturating_mul(PER_MS).to_be_bytes();
    let range = Range { to: None, limit: wish.stanzas, reverse: true };
    let lines = cx.scan(&ARCHIVE, &from, &range)?;
    let (mut all, mut chars) = (Vec::new(), 0_usize);
    for (_, line) in lines {
        let Some(late) = late(&line, cx) else { continue };
        chars = chars.saturating_add(late.chars().count());
        if chars > wish.chars {
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
