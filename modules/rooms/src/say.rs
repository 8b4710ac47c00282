//! What is said to all (§7.4), and what the room is about (§8.1).

use calypte::prelude::*;

use crate::records::{Occupant, Subject};
use crate::room::{Room, seated};
use crate::rules::Role;
use crate::show::{inside, is_ours, say};
use crate::{Config, away, cancel, history, limits, retract, settings, slow, who};

/// The longest subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 4096;

/// Somebody says something to all.
pub(crate) fn groupchat(
    config: &Config,
    message: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let (Some(from), Some(to)) = (message.from, message.to) else { return Ok(Flow::Handled) };
    if !to.is_bare() {
        // §7.5. It would look as if everybody had got it.
        return Err(StanzaError::BAD_REQUEST);
    }
    let room = Room::load(cx)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
    let seated = seated(from.as_str(), cx)?;
    let Some((_, occupant)) = seated else {
        let is_hidden = room.row.is_locked;
        return Err(cancel(match is_hidden {
            true => Condition::ItemNotFound,
            false => Condition::NotAcceptable,
        }));
    };
    limits::spend(config, from.bare_str(), message.content.root(), cx)?;
    if message.content.root().raw().len() > config.message_bytes {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This message is too long."));
    }
    let has = |name| message.has(ns::CLIENT, name);
    if has("subject") && !has("body") && !has("thread") {
        set_subject(config, room, &occupant, message, cx)?;
    } else {
        may_speak(&occupant)?;
        slow::wait(&room, &occupant, message, cx)?;
        speak(config, &room, &occupant, message, cx)?;
    }
    Ok(Flow::Handled)
}

/// Tells whether an occupant may say something.
fn may_speak(occupant: &Occupant) -> Done {
    if occupant.role < Role::Participant { Err(StanzaError::FORBIDDEN) } else { Ok(()) }
}

fn speak(
    config: &Config,
    room: &Room,
    occupant: &Occupant,
    message: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let owner = cx.owner_jid();
    let is_forged = |node: Node<'_>| {
        let by = node.attr("by").and_then(|by| Jid::parse(&by).ok());
        node.is(ns::STANZA_ID, "stanza-id") && by.is_none_or(|by| by == owner)
    };
    let takes_back = retract::by_author(occupant, message, cx)?;
    let inner = inside(**message, config.message_bytes, |node| !is_ours(node) && !is_forged(node))?;
    let mut said = start(occupant, message, cx).with_raw(inner);
    said.push_child(who::element(&occupant.id));
    let says_something = calypte::is_important(**message) && !is_fleeting(message);
    if room.flag(settings::ARCHIVING) && (says_something || takes_back) {
        said = history::new_line(config, room, (&occupant.nick, &occupant.bare), said, cx)?;
    }
    cx.count("messages", 1)?;
    say(&said, cx)?;
    away::tell(room, message, &said, cx)
}

/// Tells whether the sender wants a message not to be kept (XEP-0334).
fn is_fleeting(message: &Passing<'_>) -> bool {
    message.has(ns::HINTS, "no-store") || message.has(ns::HINTS, "no-permanent-store")
}

/// Returns the start of a message as the others get it.
fn start(occupant: &Occupant, message: &Passing<'_>, cx: &Context<'_, '_>) -> Element {
    let mut said = Element::new(ns::CLIENT, "message")
        .with_attr("from", &format!("{}/{}", cx.owner(), occupant.nick))
        .with_attr("type", "groupchat");
    for (name, value) in [("id", message.id), ("xml:lang", message.lang)] {
        if let Some(value) = value {
            said.push_attr(name, value);
        }
    }
    said
}

/// Somebody says what the room is about.
fn set_subject(
    config: &Config,
    mut room: Room,
    occupant: &Occupant,
    message: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let least = match room.flag(settings::CHANGE_SUBJECT) {
        true => Role::Participant,
        false => Role::Moderator,
    };
    if occupant.role < least {
        return Err(StanzaError::FORBIDDEN);
    }
    let mut xml = inside(**message, SUBJECT_BYTES_MAX, |node| node.is(ns::CLIENT, "subject"))?;
    who::element(&occupant.id).write(&mut xml, ns::CLIENT);
    let text = message.child(ns::CLIENT, "subject").map(|subject| subject.text().into_owned());
    let inner = inside(**message, config.message_bytes, |node| {
        !is_ours(node) && !node.is(ns::STANZA_ID, "stanza-id")
    })?;
    let said = start(occupant, message, cx).with_raw(inner);
    let said = said.with_child(who::element(&occupant.id));
    room.row.subject = Some(Subject {
        xml,
        text: text.unwrap_or_default(),
        nick: occupant.nick.clone(),
        id: message.id.map(str::to_owned),
        at_ms: cx.now_ms(),
    });
    room.save(cx)?;
    say(&said, cx)
}
