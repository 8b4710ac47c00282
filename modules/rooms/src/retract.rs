//! Messages that are taken back, by who said them (XEP-0424) or by a moderator (XEP-0425).
//!
//! What is left in the archive is a tombstone, and the word that took it back.

use calypte::prelude::*;

use crate::history::{self, new_line};
use crate::records::{ARCHIVE, KEPT, Line, Occupant, ROOM_KEY};
use crate::room::{Room, affiliation, is_same, seated};
use crate::rules::Role;
use crate::show::say;
use crate::{Config, limits, mam, result, settings, who};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// An occupant takes back a message of its own. Tells whether the message does such a thing, so that
/// it is kept whatever else it says.
///
/// # Errors
///
/// `forbidden` when somebody else said it, `bad-request` when it looks like the word of a moderator.
pub(crate) fn by_author(
    occupant: &Occupant,
    message: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let Some(retract) = message.child(ns::RETRACT, "retract") else { return Ok(false) };
    if retract.has_child(ns::MODERATE, "moderated") {
        return Err(StanzaError::BAD_REQUEST);
    }
    let id = retract.attr("id").ok_or(StanzaError::BAD_REQUEST)?;
    // What is not here any more others may still have.
    let Some((place, line)) = mam::find(&id, cx)? else { return Ok(true) };
    if line.from != occupant.bare || !is_same(&line.from, line.at_ms, cx)? {
        return Err(StanzaError::FORBIDDEN);
    }
    let retracted = Element::new(ns::RETRACT, "retracted");
    let retracted = match message.id {
        Some(id) => retracted.with_attr("id", id),
        None => retracted,
    };
    bury(place, line, retracted, cx)?;
    Ok(true)
}

/// A moderator takes back what somebody said.
pub(crate) fn by_moderator(
    config: &Config,
    room: &Room,
    iq: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let moderate = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
    let (_, moderator) = seated(from.as_str(), cx)?.ok_or(StanzaError::FORBIDDEN)?;
    limits::spend(config, from.bare_str(), iq.content.root(), cx)?;
    if moderator.role < Role::Moderator {
        let why = "Only moderators take back what others said.";
        return Err(StanzaError::FORBIDDEN.with_text(why));
    }
    if !moderate.has_child(ns::RETRACT, "retract") {
        return Err(StanzaError::FEATURE_NOT_IMPLEMENTED);
    }
    let id = moderate.attr("id").ok_or(StanzaError::BAD_REQUEST)?;
    let reason = moderate.child_text(ns::MODERATE, "reason").map(|text| text.trim().to_owned());
    let reason = reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This reason is too long."));
    }
    let (place, line) = mam::find(&id, cx)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
    if line.nick.is_empty() || affiliation(&line.from, cx)? > moderator.affiliation {
        return Err(StanzaError::NOT_ALLOWED);
    }
    let by = format!("{}/{}", cx.owner(), moderator.nick);
    let moderated = Element::new(ns::MODERATE, "moderated")
        .with_attr("by", &by)
        .with_child(who::element(&moderator.id));
    let reason = reason.map(|reason| Element::new(ns::RETRACT, "reason").with_text(&reason));
    let name = cx.random_name(16)?;
    let inside = |outer: Element| {
        let outer = outer.with_child(moderated.clone());
        reason.iter().cloned().fold(outer, Element::with_child)
    };
    bury(place, line, inside(Element::new(ns::RETRACT, "retracted").with_attr("id", &name)), cx)?;
    let retract = inside(Element::new(ns::RETRACT, "retract").with_attr("id", &id));
    let said = Element::new(ns::CLIENT, "message")
        .with_attr("from", cx.owner().as_str())
        .with_attr("type", "groupchat")
        .with_attr("id", &name)
        .with_child(retract);
    // Who did it is in the message; the row is of the room.
    let said = match room.flag(settings::ARCHIVING) {
        true => new_line(config, room, ("", ""), said, cx)?,
        false => said,
    };
    cx.count("moderated", 1)?;
    result(iq, None, cx)?;
    say(&said, cx)?;
    Ok(Flow::Handled)
}

/// Puts a tombstone in the place of a message.
fn bury(place: u64, mut line: Line, retracted: Element, cx: &mut Context<'_, '_>) -> Done {
    if line.is_retracted {
        return Ok(());
    }
    let message = Flat::parse_ours(&line.xml, ns::CLIENT).map_err(|_| StanzaError::INTERNAL)?;
    let message = message.root();
    let mut stone = Element::new(ns::CLIENT, "message");
    for name in ["from", "type", "id"] {
        if let Some(value) = message.attr(name) {
            stone.push_attr(name, &value);
        }
    }
    for child in message.children() {
        let is_name = child.is(ns::STANZA_ID, "stanza-id")
            && child.attr("by").as_deref() == Some(cx.owner().as_str());
        if is_name || child.is(ns::OCCUPANT_ID, "occupant-id") {
            stone.push_child(Element::from_node(child));
        }
    }
    let stamp = xep::delay::date_time(cx.now_ms());
    stone.push_child(retracted.with_attr("stamp", &stamp));
    let before = history::bytes(&line);
    line.xml = stone.to_xml(ns::CLIENT);
    line.is_retracted = true;
    let mut kept = cx.get(&KEPT, ROOM_KEY)?.unwrap_or_default();
    kept.bytes = kept.bytes.saturating_sub(before).saturating_add(history::bytes(&line));
    cx.put(&KEPT, ROOM_KEY, &kept)?;
    cx.put(&ARCHIVE, &place, &line)
}

/// Tells whether moderators can take back messages here.
pub(crate) fn features(room: &Room) -> &'static [&'static str] {
    match room.flag(settings::ARCHIVING) {
        true => {
            &[ns::ARCHIVE, ns::ARCHIVE_EXTENDED, ns::RETRACT, ns::RETRACT_TOMBSTONE, ns::MODERATE]
        }
        false => &[ns::RETRACT],
    }
}
