//! Somebody enters, or says something new of oneself (§7.2, §7.6, §7.7).

use calypte::prelude::*;

use crate::history::Wish;
use crate::records::{COMING_KEY, CROWD, NICKS, OCCUPANTS, Occupant, ROOM_KEY, SEATS, Seat};
use crate::room::{Room, affiliation, crowd, fold, member, seated};
use crate::rules::{Affiliation, Role};
use crate::show::{Note, announce, dismiss, not_in, show_own, shown};
use crate::turn::{self, TURNS, Turn, Why};
use crate::{Config, cancel, hats, history, limits, probe, settings, who};

/// The most clients of one occupant, and of one person on their way in.
const SEATS_MAX: usize = 16;
/// How many admins and owners find room where there is none for others.
const EXTRA: u32 = 20;

/// Somebody who wants to be in the room.
pub(crate) struct Guest<'a> {
    pub(crate) full: &'a str,
    bare: &'a str,
    pub(crate) nick: &'a str,
    /// The folded nickname.
    key: String,
    pub(crate) shown: String,
    pub(crate) id: Option<&'a str>,
    x: Option<Node<'a>>,
}

impl<'a> Guest<'a> {
    /// Returns who is on the way in.
    pub(crate) fn of(full: &'a str, turn: &'a Turn) -> Self {
        let bare = JidRef::trusted(full).bare_str();
        let (nick, key, id) = (&*turn.nick, fold(&turn.nick), turn.id.as_deref());
        Self { full, bare, nick, key, shown: turn.shown.clone(), id, x: None }
    }
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
        // It is out in a moment.
        (Some(_), Some((_, occupant))) if occupant.role == Role::None => {}
        (Some(room), Some((seat, occupant))) => {
            match guest.x {
                Some(_) => limits::spend_entering(config, guest.bare, cx)?,
                None => limits::spend(config, guest.bare, presence.content.root(), cx)?,
            }
            if occupant.nick == nick {
                update(&room, &guest, seat, occupant, cx)?;
            } else {
                rename(&room, &guest, seat, occupant, cx)?;
            }
        }
        // §7.2.16. A client that only thinks that it is there has to learn that it is not.
        (room, _) if guest.x.is_none() => {
            let turn = if room.is_some() { cx.get(&TURNS, guest.full)? } else { None };
            match turn.filter(Turn::enters) {
                Some(turn) => {
                    limits::spend(config, guest.bare, presence.content.root(), cx)?;
                    turn::change(&guest, turn, cx)?;
                }
                None => not_in(nick, guest.full, cx)?,
            }
        }
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
        turn::end(guest.full, cx)?;
        return refuse(guest, &error, cx);
    }
    let role = role_of(&room, affiliation, guest, cx)?;
    let wish = history::wish(&room, guest.x, cx.now_ms());
    let turn = Turn::new(Why::Enters { is_new }, guest.nick, &guest.shown, guest.id, wish);
    turn::show_next(&room, guest.full, turn, (affiliation, role), cx)
}

/// Somebody was shown who is there, and is in the room from now on.
pub(crate) fn arrive(
    room: &Room,
    affiliation: Affiliation,
    guest: &Guest<'_>,
    (is_new, wish): (bool, &Wish),
    cx: &mut Context<'_, '_>,
) -> Done {
    let (occupant, own) = take_seat(room, affiliation, guest, cx)?;
    let mut codes = codes_of(room);
    if is_new {
        codes.push(201);
    }
    if own {
        codes.push(210);
    }
    let note = Note { own_codes: &codes, id: guest.id, ..Note::default() };
    announce(room, &guest.key, &occupant, &note, cx)?;
    history::show(room, wish, guest.full, cx)?;
    history::show_subject(room, guest.full, cx)
}

/// Returns the codes that say what who enters has to know of the room (§7.2.3, §7.2.12).
fn codes_of(room: &Room) -> Vec<u16> {
    let open = room.is_open().then_some(100);
    let logging = room.flag(settings::LOGGING).then_some(170);
    open.into_iter().chain(logging).collect()
}

/// Tells somebody that this is no way in, or no nickname.
pub(crate) fn refuse(guest: &Guest<'_>, error: &StanzaError, cx: &mut Context<'_, '_>) -> Done {
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
    admit_person(room, affiliation)?;
    if room.flag(settings::PROTECTED) {
        let given = guest.x.and_then(|x| x.child_text(ns::MUC, "password"));
        let secret = room.text(settings::SECRET).as_bytes();
        let given = given.unwrap_or_default();
        if !calypte::crypto::equal(given.as_bytes(), secret) {
            return Err(StanzaError::NOT_AUTHORIZED);
        }
    }
    admit_nick(guest, cx)?;
    if !turn::has_place(guest, SEATS_MAX, cx)? {
        let why = "So many of your clients are on their way in.";
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
    }
    let coming = cx.get(&CROWD, COMING_KEY)?.unwrap_or_default();
    has_place(config, room, affiliation, (guest, coming.seats), cx)
}

/// Tells whether somebody may still enter who was let in, and is on the way; and what it is to the room.
pub(crate) fn admit_again(
    config: &Config,
    room: &Room,
    guest: &Guest<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Affiliation, StanzaError> {
    let affiliation = is_let_in(room, guest, cx)?;
    admit_nick(guest, cx)?;
    has_place(config, room, affiliation, (guest, 0), cx)?;
    Ok(affiliation)
}

/// Tells whether somebody on the way in is one who may enter, and what it is to the room.
pub(crate) fn is_let_in(
    room: &Room,
    guest: &Guest<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Affiliation, StanzaError> {
    let affiliation = affiliation(guest.bare, cx)?;
    admit_person(room, affiliation)?;
    Ok(affiliation)
}

/// Returns the role of somebody on the way in.
pub(crate) fn role_of(
    room: &Room,
    affiliation: Affiliation,
    guest: &Guest<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Role, StanzaError> {
    // Another client of the same person has one already.
    let own = cx.get(&OCCUPANTS, &*guest.key)?.filter(|occupant| occupant.bare == guest.bare);
    let first = affiliation.first_role(room.flag(settings::MODERATED));
    Ok(own.map_or(first, |occupant| occupant.role))
}

fn admit_person(room: &Room, affiliation: Affiliation) -> Done {
    if room.row.is_locked && affiliation < Affiliation::Owner {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    if affiliation == Affiliation::Outcast {
        return Err(StanzaError::FORBIDDEN);
    }
    if room.flag(settings::MEMBERS_ONLY) && affiliation < Affiliation::Member {
        return Err(StanzaError::new(ErrorKind::Auth, Condition::RegistrationRequired));
    }
    Ok(())
}

/// Tells whether there is a place for one more, beside those who are `coming`.
fn has_place(
    config: &Config,
    room: &Room,
    affiliation: Affiliation,
    (guest, coming): (&Guest<'_>, u32),
    cx: &mut Context<'_, '_>,
) -> Done {
    let is_there = cx.get(&OCCUPANTS, &*guest.key)?.is_some();
    let of_room = room.text(settings::MAX_USERS).parse().unwrap_or(config.occupants);
    let extra = if affiliation >= Affiliation::Admin { EXTRA } else { 0 };
    let crowd = crowd(cx)?;
    let is_full = crowd.occupants >= of_room.min(config.occupants).saturating_add(extra);
    let seats = config.occupants.saturating_mul(2).saturating_add(extra);
    if (is_full && !is_there) || crowd.seats.saturating_add(coming) >= seats {
        return Err(StanzaError::new(ErrorKind::Wait, Condition::ServiceUnavailable));
    }
    Ok(())
}

/// Tells whether somebody may have a nickname: nobody else has it, or has it reserved.
fn admit_nick(guest: &Guest<'_>, cx: &mut Context<'_, '_>) -> Done {
    if let Some(occupant) = cx.get(&OCCUPANTS, &*guest.key)? {
        let is_own = occupant.bare == guest.bare;
        let has_room = occupant.seats.len() < SEATS_MAX && occupant.role > Role::None;
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
    probe::begin(guest.full, cx)?;
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
    // What a client said that is still being shown who is there, the others do not know yet.
    let is_known =
        cx.get(&TURNS, guest.full)?.is_none_or(|turn| turn.why != Why::Again { is_same: false });
    let is_same = is_known
        && seat.shown == guest.shown
        && occupant.seats.last().map(String::as_str) == Some(guest.full);
    seat.shown.clone_from(&guest.shown);
    cx.put(&SEATS, guest.full, &seat)?;
    // What was said last is what others see.
    occupant.seats.retain(|full| full != guest.full);
    occupant.seats.push(guest.full.to_owned());
    cx.put(&OCCUPANTS, &*key, &occupant)?;
    if guest.x.is_some() {
        let wish = history::wish(room, guest.x, cx.now_ms());
        let why = Why::Again { is_same };
        let turn = Turn::new(why, &occupant.nick, "", guest.id, wish);
        let standing = (occupant.affiliation, occupant.role);
        return turn::show_next(room, guest.full, turn, standing, cx);
    }
    announce(room, &key, &occupant, &Note { id: guest.id, ..Note::default() }, cx)
}

/// A client that asked for everything again was shown who is there: the rest follows.
pub(crate) fn greeted(
    room: &Room,
    full: &str,
    turn: &Turn,
    is_same: bool,
    cx: &mut Context<'_, '_>,
) -> Done {
    let Some((seat, occupant)) = seated(full, cx)? else { return Ok(()) };
    let codes = codes_of(room);
    let note = Note { own_codes: &codes, id: turn.id.as_deref(), ..Note::default() };
    if is_same {
        let one = Occupant { seats: vec![full.to_owned()], ..occupant };
        show_own(&one, &seat.shown, &note, cx)?;
    } else {
        announce(room, &seat.key, &occupant, &note, cx)?;
    }
    history::show(room, &turn.wish, full, cx)?;
    history::show_subject(room, full, cx)
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
