//! Somebody enters, or says something new of oneself (§7.2, §7.6, §7.7).

use calypte::prelude::*;

use crate::records::{CROWD, NICKS, OCCUPANTS, Occupant, ROOM_KEY, SEATS, Seat};
use crate::room::{Room, affiliation, crowd, fold, member, seated};
use crate::rules::Affiliation;
use crate::show::{Note, announce, dismiss, greet, not_in, show_own, shown};
use crate::{Config, cancel, hats, history, limits, settings, who};

/// The most clients of one occupant.
const SEATS_MAX: usize = 16;
/// How many admins and owners find room where there is none for others.
const EXTRA: u32 = 20;

/// Somebody who wants to be in the room.
struct Guest<'a> {
    full: &'a str,
    bare: &'a str,
    nick: &'a str,
    /// The folded nickname.
    key: String,
    shown: String,
    id: Option<&'a str>,
    x: Option<Node<'a>>,
}

/// A client is available in the room, or wants to be.
pub(crate) fn available(
    config: &Config,
    presence: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let (Some(from), Some(to)) = (presence.from, presence.to) else { return Ok(Flow::Handled) };
    let nick = to.resource().ok_or(StanzaError::JID_MALFORMED)?;
    if from.is_bare() {
        return Err(StanzaError::BAD_REQUEST);
    }
    let shown = shown(**presence, config.presence_bytes)?;
    let guest = Guest {
        full: from.as_str(),
        bare: from.bare_str(),
        nick,
        key: fold(nick),
        shown,
        id: presence.id,
        x: presence.child(ns::MUC, "x"),
    };
    if guest.key.is_empty() {
        // Nobody would see it.
        return Err(StanzaError::JID_MALFORMED);
    }
    if nick.len() > config.nick_bytes {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This nickname is too long."));
    }
    let room = Room::load(cx)?;
    let seat = if room.is_some() { seated(from.as_str(), cx)? } else { None };
    match (room, seat) {
        (Some(room), Some((seat, occupant))) => {
            limits::spend(config, guest.bare, presence.content.root(), cx)?;
            if occupant.nick == nick {
                update(&room, &guest, seat, occupant, cx)?;
            } else {
                rename(&room, &guest, seat, occupant, cx)?;
            }
        }
        // §7.2.16. A client that only thinks that it is there has to learn that it is not.
        _ if guest.x.is_none() => not_in(nick, guest.full, cx)?,
        (room, _) => join(config, room, &guest, cx)?,
    }
    Ok(Flow::Handled)
}

/// Somebody enters.
fn join(config: &Config, room: Option<Room>, guest: &Guest<'_>, cx: &mut Context<'_, '_>) -> Done {
    let is_new = room.is_none();
    let room = match room {
        Some(room) => room,
        None => Room::create(config, guest.bare, cx)?,
    };
    limits::spend_entering(config, guest.bare, cx)?;
    let affiliation = affiliation(guest.bare, cx)?;
    if let Err(error) = admit(config, &room, affiliation, guest, cx) {
        if is_new {
            return Err(error);
        }
        // What a call that fails counted is forgotten, and passwords could be tried without end.
        return refuse(guest, &error, cx);
    }
    let (occupant, own) = take_seat(&room, affiliation, guest, cx)?;
    greet(&room, &guest.key, &occupant, guest.full, cx)?;
    let mut codes = vec![];
    if room.is_open() {
        codes.push(100);
    }
    if room.flag(settings::LOGGING) {
        codes.push(170);
    }
    if is_new {
        codes.push(201);
    }
    if own {
        codes.push(210);
    }
    let note = Note { own_codes: &codes, id: guest.id, ..Note::default() };
    announce(&room, &guest.key, &occupant, &note, cx)?;
    history::show(&room, guest.x, guest.full, cx)?;
    history::show_subject(&room, guest.full, cx)
}

/// Tells somebody that this is no way in, or no nickname.
fn refuse(guest: &Guest<'_>, error: &StanzaError, cx: &mut Context<'_, '_>) -> Done {
    let mut answer = Element::new(ns::CLIENT, "presence")
        .with_attr("from", &format!("{}/{}", cx.owner(), guest.nick))
        .with_attr("to", guest.full)
        .with_attr("type", "error");
    if let Some(id) = guest.id {
        answer.push_attr("id", id);
    }
    cx.send(&answer.with_child(Element::new(ns::MUC, "x")).with_child(error.to_element()))
}

/// Tells whether somebody may enter (§7.2.17).
fn admit(
    config: &Config,
    room: &Room,
    affiliation: Affiliation,
    guest: &Guest<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    if room.row.is_locked && affiliation < Affiliation::Owner {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    if affiliation == Affiliation::Outcast {
        return Err(StanzaError::FORBIDDEN);
    }
    if room.flag(settings::MEMBERS_ONLY) && affiliation < Affiliation::Member {
        return Err(StanzaError::new(ErrorKind::Auth, Condition::RegistrationRequired));
    }
    if room.flag(settings::PROTECTED) {
        let given = guest.x.and_then(|x| x.child_text(ns::MUC, "password"));
        let secret = room.text(settings::SECRET).as_bytes();
        let given = given.unwrap_or_default();
        if !calypte::crypto::equal(given.as_bytes(), secret) {
            return Err(StanzaError::NOT_AUTHORIZED);
        }
    }
    admit_nick(guest, cx)?;
    let is_there = cx.get(&OCCUPANTS, &*guest.key)?.is_some();
    let of_room = room.text(settings::MAX_USERS).parse().unwrap_or(config.occupants);
    let extra = if affiliation >= Affiliation::Admin { EXTRA } else { 0 };
    let crowd = crowd(cx)?;
    let is_full = crowd.occupants >= of_room.min(config.occupants).saturating_add(extra);
    let seats = config.occupants.saturating_mul(2).saturating_add(extra);
    if (is_full && !is_there) || crowd.seats >= seats {
        return Err(StanzaError::new(ErrorKind::Wait, Condition::ServiceUnavailable));
    }
    Ok(())
}

/// Tells whether somebody may have a nickname: nobody else has it, or has it reserved.
fn admit_nick(guest: &Guest<'_>, cx: &mut Context<'_, '_>) -> Done {
    if let Some(occupant) = cx.get(&OCCUPANTS, &*guest.key)? {
        let is_own = occupant.bare == guest.bare;
        let has_room = occupant.seats.len() < SEATS_MAX;
        return if is_own && has_room { Ok(()) } else { Err(StanzaError::CONFLICT) };
    }
    if reserved_by_other(&guest.key, guest.bare, cx)? {
        return Err(StanzaError::CONFLICT);
    }
    Ok(())
}

/// Tells whether a nickname is kept for somebody else.
pub(crate) fn reserved_by_other(
    key: &str,
    bare: &str,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let holder = cx.get(&NICKS, key)?.filter(|holder| holder.bare != bare);
    let Some(holder) = holder else { return Ok(false) };
    Ok(member(&holder.bare, cx)?.is_some())
}

/// Makes somebody an occupant, or adds a client to one, and tells whether the nickname is another
/// than the one asked for.
fn take_seat(
    room: &Room,
    affiliation: Affiliation,
    guest: &Guest<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<(Occupant, bool), StanzaError> {
    let mut crowd = crowd(cx)?;
    crowd.seats = crowd.seats.saturating_add(1);
    let occupant = match cx.get(&OCCUPANTS, &*guest.key)? {
        Some(mut occupant) => {
            occupant.seats.push(guest.full.to_owned());
            occupant
        }
        None => {
            crowd.occupants = crowd.occupants.saturating_add(1);
            Occupant {
                nick: guest.nick.to_owned(),
                bare: guest.bare.to_owned(),
                role: affiliation.first_role(room.flag(settings::MODERATED)),
                affiliation,
                seats: vec![guest.full.to_owned()],
                id: who::id_of(guest.bare, cx)?,
                hats: hats::of(guest.bare, cx)?,
            }
        }
    };
    cx.put(&CROWD, ROOM_KEY, &crowd)?;
    cx.put(&OCCUPANTS, &*guest.key, &occupant)?;
    let seat = Seat { key: guest.key.clone(), shown: guest.shown.clone() };
    cx.put(&SEATS, guest.full, &seat)?;
    let is_other = occupant.nick != guest.nick;
    Ok((occupant, is_other))
}

/// A client that is there shows something else, or asks for everything again (§17.3).
fn update(
    room: &Room,
    guest: &Guest<'_>,
    mut seat: Seat,
    mut occupant: Occupant,
    cx: &mut Context<'_, '_>,
) -> Done {
    let key = seat.key.clone();
    let is_same =
        seat.shown == guest.shown && occupant.seats.last().map(String::as_str) == Some(guest.full);
    seat.shown.clone_from(&guest.shown);
    cx.put(&SEATS, guest.full, &seat)?;
    // What was said last is what others see.
    occupant.seats.retain(|full| full != guest.full);
    occupant.seats.push(guest.full.to_owned());
    cx.put(&OCCUPANTS, &*key, &occupant)?;
    let is_again = guest.x.is_some();
    let mut codes = vec![];
    if is_again {
        greet(room, &key, &occupant, guest.full, cx)?;
        if room.is_open() {
            codes.push(100);
        }
        if room.flag(settings::LOGGING) {
            codes.push(170);
        }
    }
    let note = Note { own_codes: &codes, id: guest.id, ..Note::default() };
    if is_again && is_same {
        let one = Occupant { seats: vec![guest.full.to_owned()], ..occupant };
        show_own(&one, &guest.shown, &note, cx)?;
    } else {
        announce(room, &key, &occupant, &note, cx)?;
    }
    if is_again {
        history::show(room, guest.x, guest.full, cx)?;
        history::show_subject(room, guest.full, cx)?;
    }
    Ok(())
}

/// An occupant wants another nickname (§7.6). All its clients have it then.
fn rename(
    room: &Room,
    guest: &Guest<'_>,
    seat: Seat,
    mut occupant: Occupant,
    cx: &mut Context<'_, '_>,
) -> Done {
    // Only in case: it is the own one.
    let is_own = seat.key == guest.key;
    if (!is_own && cx.get(&OCCUPANTS, &*guest.key)?.is_some())
        || reserved_by_other(&guest.key, guest.bare, cx)?
    {
        return refuse(guest, &cancel(Condition::Conflict), cx);
    }
    let note = Note { codes: &[303], next_nick: Some(guest.nick), id: guest.id, ..Note::default() };
    dismiss(room, &seat.key, &occupant, ("", &note), |_| Ok(()), cx)?;
    cx.delete(&OCCUPANTS, &*seat.key)?;
    for full in &occupant.seats {
        let shown = cx.get(&SEATS, &**full)?.map(|seat| seat.shown).unwrap_or_default();
        let shown = if full == guest.full { guest.shown.clone() } else { shown };
        cx.put(&SEATS, &**full, &Seat { key: guest.key.clone(), shown })?;
    }
    guest.nick.clone_into(&mut occupant.nick);
    occupant.seats.retain(|full| full != guest.full);
    occupant.seats.push(guest.full.to_owned());
    cx.put(&OCCUPANTS, &*guest.key, &occupant)?;
    announce(room, &guest.key, &occupant, &Note { id: guest.id, ..Note::default() }, cx)
}
