//! Somebody leaves, vanishes or is removed (§7.14, §14).

use calypte::prelude::*;
use calypte::wire::Range;

use crate::records::{CROWD, EXPELLED, Expelled, OCCUPANTS, Occupant, ROOM_KEY, SEATS};
use crate::room::{Room, crowd, seated};
use crate::rules::Role;
use crate::show::{Note, announce, dismiss, dismiss_one, remove, shown, stand_aside};
use crate::turn::TURNS;
use crate::{Config, settings, turn};

/// The timer for those who are to be removed.
pub(crate) const EXPEL: &str = "expel";
/// The most that are removed at a time.
const EXPELLED_MAX: u32 = 25;
/// How long others have their turn before it goes on, in milliseconds.
const PAUSE_MS: u64 = 250;

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
    if turn::turn_back(full, note, cx)? {
        return Ok(());
    }
    let Some((seat, mut occupant)) = seated(full, cx)? else { return Ok(()) };
    if let Some(expelled) = cx.get(&EXPELLED, &*seat.key)? {
        return expel_now(&room, &seat.key, &occupant, &expelled, |_| Ok(()), cx);
    }
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
    let expelled = cx.get(&EXPELLED, key)?;
    let role = expelled.map_or(occupant.role, |expelled| expelled.role);
    let occupant = &Occupant { role, ..occupant.clone() };
    dismiss(room, key, occupant, (shown, note), between, cx)?;
    remove(key, occupant, cx)?;
    if crowd(cx)?.occupants == 0 && (room.row.is_locked || !room.flag(settings::PERSISTENT)) {
        return room.forget(cx);
    }
    Ok(())
}

/// Removes many: the first ones now, after the first `between` happens, and the rest when others had
/// their turn, so that nobody gets more at once than a client can take. None of them hears of the others.
pub(crate) fn expel_all(
    room: &Room,
    occupants: Vec<(String, Occupant)>,
    (code, note): (u16, &Note<'_>),
    mut between: impl FnMut(&mut Context<'_, '_>) -> Done,
    cx: &mut Context<'_, '_>,
) -> Done {
    let mut occupants = occupants;
    // Who waits for it already goes for the reason that was given first.
    occupants.retain(|(_, occupant)| occupant.role > Role::None);
    for (_, occupant) in &occupants {
        stand_aside(occupant, cx)?;
    }
    let (actor, reason) = (note.actor.map(str::to_owned), note.reason.map(str::to_owned));
    let mut left = EXPELLED_MAX;
    for (key, mut occupant) in occupants {
        let (actor, reason) = (actor.clone(), reason.clone());
        let expelled = Expelled { role: occupant.role, code, actor, reason };
        if let Some(less) = left.checked_sub(1) {
            left = less;
            expel_now(room, &key, &occupant, &expelled, &mut between, cx)?;
            continue;
        }
        occupant.role = Role::None;
        cx.put(&OCCUPANTS, &*key, &occupant)?;
        cx.put(&EXPELLED, &*key, &expelled)?;
        cx.wake_at(cx.now_ms().saturating_add(PAUSE_MS), EXPEL)?;
    }
    Ok(())
}

fn expel_now(
    room: &Room,
    key: &str,
    occupant: &Occupant,
    expelled: &Expelled,
    between: impl FnOnce(&mut Context<'_, '_>) -> Done,
    cx: &mut Context<'_, '_>,
) -> Done {
    let (actor, reason) = (expelled.actor.as_deref(), expelled.reason.as_deref());
    let note = Note { codes: &[expelled.code], actor, reason, ..Note::default() };
    expel(room, key, occupant, ("", &note), between, cx)
}

/// Goes on with those who are to be removed.
pub(crate) fn expel_more(cx: &mut Context<'_, '_>) -> Done {
    let range = Range { to: None, limit: EXPELLED_MAX, reverse: false };
    let rows = cx.scan(&EXPELLED, &[], &range)?;
    let is_all = rows.len() < usize::try_from(EXPELLED_MAX).unwrap_or(usize::MAX);
    for (key, expelled) in rows {
        let Some(room) = Room::load(cx)? else { return Ok(()) };
        match cx.get(&OCCUPANTS, &*key)? {
            Some(occupant) => expel_now(&room, &key, &occupant, &expelled, |_| Ok(()), cx)?,
            None => cx.delete(&EXPELLED, &*key)?,
        }
    }
    if is_all { Ok(()) } else { cx.wake_at(cx.now_ms().saturating_add(PAUSE_MS), EXPEL) }
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
    let is_here = is_gone
        && (cx.get(&SEATS, from.as_str())?.is_some() || cx.get(&TURNS, from.as_str())?.is_some());
    if !is_here {
        return Ok(false);
    }
    cx.count("vanished", 1)?;
    go(from.as_str(), "", &Note { codes: &[333], ..Note::default() }, cx)?;
    Ok(true)
}

/// Tells whether the answer to a request says for sure that nobody is there. A client may answer
/// `service-unavailable` to what it does not know, and nothing to what it is too slow for.
pub(crate) fn is_nobody(answer: StanzaRef<'_>) -> bool {
    let Some(error) = answer.child(ns::CLIENT, "error").filter(|_| answer.is_error()) else {
        return false;
    };
    let mut nodes = error.children().filter(|node| node.ns() == ns::STANZA_ERRORS);
    nodes.any(|node| {
        let condition = Condition::of(node.name());
        condition.is_some_and(|condition| {
            let is_unsure =
                matches!(condition, Condition::ServiceUnavailable | Condition::RemoteServerTimeout);
            says_gone(condition) && !is_unsure
        })
    })
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
