//! Somebody leaves, vanishes or is removed (§7.14, §14).

use calypte::prelude::*;

use crate::records::{CROWD, OCCUPANTS, Occupant, ROOM_KEY, SEATS};
use crate::room::{Room, crowd, seated};
use crate::rules::Role;
use crate::show::{Note, announce, dismiss, dismiss_one, remove, shown};
use crate::{Config, settings};

/// A client leaves, or its server says that it is gone.
pub(crate) fn unavailable(
    config: &Config,
    presence: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let Some(from) = presence.from else { return Ok(()) };
    let shown = shown(**presence, config.presence_bytes).unwrap_or_default();
    go(from.as_str(), &shown, &Note { id: presence.id, ..Note::default() }, cx)
}

/// A client of an occupant is gone.
pub(crate) fn go(full: &str, shown: &str, note: &Note<'_>, cx: &mut Context<'_, '_>) -> Done {
    let Some(room) = Room::load(cx)? else { return Ok(()) };
    let Some((seat, mut occupant)) = seated(full, cx)? else { return Ok(()) };
    if occupant.seats.len() == 1 {
        return expel(&room, &seat.key, &occupant, (shown, note), |_| Ok(()), cx);
    }
    let was_seen = occupant.seats.last().is_some_and(|last| last == full);
    dismiss_one(&occupant, full, ("", Role::None, note), cx)?;
    occupant.seats.retain(|seat| seat != full);
    cx.delete(&SEATS, full)?;
    cx.delete(&crate::records::PRIVATE, full)?;
    cx.delete(&crate::records::SEEING, full)?;
    cx.delete(&crate::records::UNSEEING, full)?;
    let mut crowd = crowd(cx)?;
    crowd.seats = crowd.seats.saturating_sub(1);
    cx.put(&CROWD, ROOM_KEY, &crowd)?;
    cx.put(&OCCUPANTS, &*seat.key, &occupant)?;
    if was_seen {
        announce(&room, &seat.key, &occupant, &Note::default(), cx)?;
    }
    Ok(())
}

/// An occupant is gone with all its clients: it is told, then `between` happens, then the others are
/// told. A room that does not stay ends with the last one.
pub(crate) fn expel(
    room: &Room,
    key: &str,
    occupant: &Occupant,
    (shown, note): (&str, &Note<'_>),
    between: impl FnOnce(&mut Context<'_, '_>) -> Done,
    cx: &mut Context<'_, '_>,
) -> Done {
    dismiss(room, key, occupant, (shown, note), between, cx)?;
    remove(key, occupant, cx)?;
    if crowd(cx)?.occupants == 0 && (room.row.is_locked || !room.flag(settings::PERSISTENT)) {
        return room.forget(cx);
    }
    Ok(())
}

/// Something that the room sent comes back. A client that cannot be reached any more is gone (§14.1).
pub(crate) fn bounced(stanza: &Passing<'_>, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let Some(from) = stanza.from else { return Ok(false) };
    let error = stanza.child(ns::CLIENT, "error");
    // Presence that comes back without a word says that it could not be shown.
    let is_gone = error.map_or(stanza.kind == Kind::Presence, |error| {
        let mut nodes = error.children().filter(|node| node.ns() == ns::STANZA_ERRORS);
        nodes.any(|node| Condition::of(node.name()).is_some_and(says_gone))
    });
    if !is_gone || cx.get(&SEATS, from.as_str())?.is_none() {
        return Ok(false);
    }
    cx.count("vanished", 1)?;
    go(from.as_str(), "", &Note { codes: &[333], ..Note::default() }, cx)?;
    Ok(true)
}

/// Tells whether an error says that nobody is there any more (§18.1.2 and what servers answer).
const fn says_gone(condition: Condition) -> bool {
    matches!(
        condition,
        Condition::Gone
            | Condition::ItemNotFound
            | Condition::JidMalformed
            | Condition::RecipientUnavailable
            | Condition::Redirect
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::ServiceUnavailable
    )
}
