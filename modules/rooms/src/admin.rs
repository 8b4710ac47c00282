//! Roles and affiliations, read and changed (§8.2 to §9.8, §10.3 to §10.8).

use calypte::prelude::*;

use crate::leave::{expel, expel_all};
use crate::limits::Place;
use crate::records::{Member, OCCUPANTS, Occupant};
use crate::room::{
    Room, affiliation, fold, is_there, member, members, occupants_of, seated, set_member,
};
use crate::rules::{Affiliation, Role, Standing, may_set_affiliation, may_set_role};
use crate::show::{Note, change};
use crate::{Config, enter, invite, limits, result, settings, show, turn};

/// The most changes of one request.
const ITEMS_MAX: usize = 500;
/// The most of them that may be about people who are in the room, since everybody hears of each.
const THERE_MAX: usize = 50;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// Who asks.
struct Actor<'a> {
    bare: &'a str,
    standing: Standing,
    nick: Option<String>,
}

/// A change that was asked for.
enum Change {
    Role { key: String, role: Role, reason: Option<String> },
    Affiliation(Wanted),
}

impl Change {
    fn is_about_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Role { key, .. }, Self::Role { key: other, .. }) => key == other,
            (Self::Affiliation(one), Self::Affiliation(other)) => one.bare == other.bare,
            _ => false,
        }
    }
}

/// What somebody is to become.
pub(crate) struct Wanted {
    pub(crate) bare: String,
    pub(crate) before: Affiliation,
    pub(crate) after: Affiliation,
    pub(crate) nick: Option<String>,
    pub(crate) reason: Option<String>,
}

fn actor<'a>(iq: &Passing<'a>, cx: &mut Context<'_, '_>) -> Result<Actor<'a>, StanzaError> {
    let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
    let affiliation = affiliation(from.bare_str(), cx)?;
    let occupant = seated(from.as_str(), cx)?.map(|(_, occupant)| occupant);
    // Admins and owners need not be there.
    let from_outside = if affiliation >= Affiliation::Admin { Role::Moderator } else { Role::None };
    let role = occupant.as_ref().map_or(from_outside, |occupant| occupant.role);
    let standing = Standing { affiliation, role };
    Ok(Actor { bare: from.bare_str(), standing, nick: occupant.map(|occupant| occupant.nick) })
}

/// Somebody asks for a list.
pub(crate) fn get(room: &Room, iq: &Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
    let query = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let item = query.child(ns::MUC_ADMIN, "item").ok_or(StanzaError::BAD_REQUEST)?;
    let actor = actor(iq, cx)?;
    let mut list = Element::new(ns::MUC_ADMIN, "query");
    match (item.attr("role"), item.attr("affiliation")) {
        (Some(role), None) => {
            let role = Role::of(&role).ok_or(StanzaError::BAD_REQUEST)?;
            let is_allowed = match role {
                Role::Moderator => actor.standing.affiliation >= Affiliation::Admin,
                _ => actor.standing.role == Role::Moderator,
            };
            if !is_allowed {
                return Err(StanzaError::FORBIDDEN);
            }
            for (_, occupant) in cx.all(&OCCUPANTS, u32::MAX)? {
                if occupant.role == role {
                    list.push_child(occupant_item(&occupant));
                }
            }
        }
        (None, Some(name)) => {
            let wanted = Affiliation::of(&name).ok_or(StanzaError::BAD_REQUEST)?;
            if !may_read(room, &actor, wanted) {
                return Err(StanzaError::FORBIDDEN);
            }
            for (bare, kept) in members(wanted, cx)? {
                if member(&bare, cx)?.is_some() {
                    list.push_child(member_item(&bare, &kept));
                }
            }
        }
        _ => return Err(StanzaError::BAD_REQUEST),
    }
    result(iq, Some(list), cx)?;
    Ok(Flow::Handled)
}

/// Tells whether somebody may read a list of affiliations (§9.5, §10.5, §10.8).
fn may_read(room: &Room, actor: &Actor<'_>, wanted: Affiliation) -> bool {
    let Standing { affiliation, role } = actor.standing;
    let is_near = affiliation >= Affiliation::Member || role > Role::None;
    let may_list = role == Role::None || room.has(settings::MEMBER_LIST, role.name());
    let as_guest = room.is_open() && is_near && may_list;
    match wanted {
        Affiliation::Outcast => affiliation >= Affiliation::Admin,
        Affiliation::None => false,
        Affiliation::Member => affiliation >= Affiliation::Admin || as_guest,
        Affiliation::Admin | Affiliation::Owner => affiliation == Affiliation::Owner || as_guest,
    }
}

fn occupant_item(occupant: &Occupant) -> Element {
    let item = Element::new(ns::MUC_ADMIN, "item")
        .with_attr("affiliation", occupant.affiliation.name())
        .with_attr("nick", &occupant.nick)
        .with_attr("role", occupant.role.name());
    match occupant.seats.last() {
        Some(full) => item.with_attr("jid", full),
        None => item,
    }
}

fn member_item(bare: &str, member: &Member) -> Element {
    let mut item = Element::new(ns::MUC_ADMIN, "item")
        .with_attr("affiliation", member.affiliation.name())
        .with_attr("jid", bare);
    if let Some(nick) = &member.nick {
        item.push_attr("nick", nick);
    }
    if let Some(reason) =
        member.reason.as_ref().filter(|_| member.affiliation == Affiliation::Outcast)
    {
        item.push_child(Element::new(ns::MUC_ADMIN, "reason").with_text(reason));
    }
    item
}

/// Somebody changes roles or affiliations: all that is asked for, or nothing.
pub(crate) fn set(
    config: &Config,
    room: &Room,
    iq: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let query = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let actor = actor(iq, cx)?;
    let items: Vec<_> = query.children().filter(|node| node.is(ns::MUC_ADMIN, "item")).collect();
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(StanzaError::BAD_REQUEST);
    }
    let mut changes = Vec::new();
    for item in items {
        let change = read(config, &actor, item, cx)?;
        // What comes of two words about one would depend on which is heard first.
        if changes.iter().any(|other| change.is_about_the_same(other)) {
            return Err(StanzaError::BAD_REQUEST);
        }
        changes.push(change);
    }
    let affiliations = changes.iter().filter_map(|change| match change {
        Change::Affiliation(wanted) => Some(wanted),
        Change::Role { .. } => None,
    });
    check_there(&changes, cx)?;
    check_owners(&affiliations.clone().collect::<Vec<_>>(), cx)?;
    check_places(config, affiliations, cx)?;
    // §8.2. Who asked hears that it is done before all hear what was done.
    let mut answer = Some(iq);
    for wanted in changes {
        match wanted {
            Change::Role { key, role, reason } => {
                // Another change of the same request may have been about them.
                let Some(occupant) = cx.get(&OCCUPANTS, &*key)? else { continue };
                let reason = reason.as_deref();
                let note = Note { actor: actor.nick.as_deref(), reason, ..Note::default() };
                set_role(room, (&key, occupant, role), note, &mut answer, cx)?;
            }
            Change::Affiliation(wanted) => {
                // Whom the domain makes a member hears of it by other means.
                let invites = room.flag(settings::MEMBERS_ONLY)
                    && actor.bare != cx.domain()
                    && wanted.after == Affiliation::Member
                    && wanted.before == Affiliation::None;
                apply(room, &wanted, actor.nick.as_deref(), &mut answer, cx)?;
                if invites && !is_there(&wanted.bare, cx)? {
                    invite::send(room, actor.bare, &wanted.bare, (None, &[]), cx)?;
                }
            }
        }
    }
    give(&mut answer, cx)?;
    if Room::load(cx)?.is_none() {
        // The last one was removed from a room that does not stay.
        room.forget(cx)?;
    }
    Ok(Flow::Handled)
}

/// Nobody in the room is told more at once than a client can take.
fn check_there(changes: &[Change], cx: &mut Context<'_, '_>) -> Done {
    let mut there = 0_usize;
    for change in changes {
        let is_counted = match change {
            Change::Role { .. } => true,
            Change::Affiliation(wanted) => is_there(&wanted.bare, cx)?,
        };
        there = there.saturating_add(usize::from(is_counted));
    }
    if there > THERE_MAX {
        let why = "These are too many people at once who are in the room.";
        return Err(StanzaError::NOT_ACCEPTABLE.with_text(why));
    }
    Ok(())
}

/// Sends the result, if it was not sent yet.
fn give(answer: &mut Option<&Passing<'_>>, cx: &mut Context<'_, '_>) -> Done {
    answer.take().map_or(Ok(()), |iq| result(iq, None, cx))
}

fn read(
    config: &Config,
    actor: &Actor<'_>,
    item: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Change, StanzaError> {
    let reason = item.child_text(ns::MUC_ADMIN, "reason").map(|text| text.trim().to_owned());
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This reason is too long."));
    }
    let reason = reason.filter(|reason| !reason.is_empty());
    match (item.attr("role"), item.attr("affiliation")) {
        (Some(role), None) => {
            let role = Role::of(&role).ok_or(StanzaError::BAD_REQUEST)?;
            let nick = item.attr("nick").ok_or(StanzaError::BAD_REQUEST)?;
            if actor.standing.role < Role::Moderator {
                return Err(StanzaError::FORBIDDEN);
            }
            let key = fold(&nick);
            let occupant = cx.get(&OCCUPANTS, &*key)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
            let target = Standing { affiliation: occupant.affiliation, role: occupant.role };
            may_set_role(actor.standing, target, role)?;
            Ok(Change::Role { key, role, reason })
        }
        (None, Some(name)) => {
            let after = Affiliation::of(&name).ok_or(StanzaError::BAD_REQUEST)?;
            if actor.standing.affiliation < Affiliation::Admin {
                return Err(StanzaError::FORBIDDEN);
            }
            // §9.1. Who is banned has no nickname here; it only says who is meant.
            let nick = item.attr("nick").filter(|_| after != Affiliation::Outcast);
            let nick = nick.map(std::borrow::Cow::into_owned);
            let bare = whom(item, cx)?;
            if bare == actor.bare && after == Affiliation::Outcast {
                return Err(StanzaError::CONFLICT);
            }
            let before = member(&bare, cx)?.map_or(Affiliation::None, |kept| kept.affiliation);
            may_set_affiliation(actor.standing.affiliation, before, after)?;
            if let Some(nick) = nick.as_deref().filter(|nick| !nick.is_empty()) {
                check_nick(config, nick, &bare, cx)?;
            }
            Ok(Change::Affiliation(Wanted { bare, before, after, nick, reason }))
        }
        _ => Err(StanzaError::BAD_REQUEST),
    }
}

/// Tells whether a nickname can be kept for somebody.
fn check_nick(config: &Config, nick: &str, bare: &str, cx: &mut Context<'_, '_>) -> Done {
    let is_nick = cx.owner_jid().with_resource(nick).is_ok() && !fold(nick).is_empty();
    if !is_nick || nick.len() > config.nick_bytes {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This cannot be a nickname here."));
    }
    if enter::reserved_by_other(&fold(nick), bare, cx)? {
        return Err(StanzaError::CONFLICT);
    }
    Ok(())
}

/// Returns whose affiliation is to change: an address, or that of an occupant.
fn whom(item: Node<'_>, cx: &mut Context<'_, '_>) -> Result<String, StanzaError> {
    match (item.attr("jid"), item.attr("nick")) {
        (Some(jid), _) => {
            let jid = Jid::parse(jid.trim()).map_err(|_| StanzaError::JID_MALFORMED)?;
            Ok(jid.bare().as_str().to_owned())
        }
        (None, Some(nick)) => {
            let occupant = cx.get(&OCCUPANTS, &*fold(&nick))?;
            occupant.map(|occupant| occupant.bare).ok_or(StanzaError::ITEM_NOT_FOUND)
        }
        (None, None) => Err(StanzaError::BAD_REQUEST),
    }
}

/// A room has an owner as long as there is the room (§10.4).
pub(crate) fn check_owners(affiliations: &[&Wanted], cx: &mut Context<'_, '_>) -> Done {
    let is_owner = |affiliation| affiliation == Affiliation::Owner;
    if !affiliations.iter().any(|wanted| is_owner(wanted.before) && !is_owner(wanted.after)) {
        return Ok(());
    }
    let mut owners = members(Affiliation::Owner, cx)?;
    owners.retain(|(bare, _)| {
        !affiliations.iter().any(|wanted| wanted.bare == *bare && !is_owner(wanted.after))
    });
    let has_new = affiliations.iter().any(|wanted| is_owner(wanted.after));
    if owners.is_empty() && !has_new { Err(StanzaError::CONFLICT) } else { Ok(()) }
}

/// A room can know so many people; who is banned, an admin or an owner finds a place in any case.
pub(crate) fn check_places<'a>(
    config: &Config,
    changes: impl Iterator<Item = &'a Wanted> + Clone,
    cx: &mut Context<'_, '_>,
) -> Done {
    let is_new = |wanted: &&Wanted| wanted.before == Affiliation::None;
    let is_member = |wanted: &&Wanted| wanted.after == Affiliation::Member;
    let new = changes.filter(is_new).filter(|wanted| wanted.after != Affiliation::None);
    limits::has_place(config, Place::Member, new.clone().filter(is_member).count(), cx)?;
    limits::has_place(config, Place::Reserved, new.count(), cx)
}

/// Gives an occupant a role, or removes it.
pub(crate) fn set_role(
    room: &Room,
    (key, mut occupant, role): (&str, Occupant, Role),
    note: Note<'_>,
    answer: &mut Option<&Passing<'_>>,
    cx: &mut Context<'_, '_>,
) -> Done {
    if role == Role::None {
        let note = Note { codes: &[307], ..note };
        expel(room, key, &occupant, ("", &note), |cx| give(answer, cx), cx)?;
        return turn::look_again(room, &occupant.bare, cx);
    }
    give(answer, cx)?;
    let before = occupant.role;
    if before == Role::None {
        // It is out in a moment.
        return Ok(());
    }
    occupant.role = role;
    change(room, key, &occupant, &note, before, cx)?;
    turn::look_again(room, &occupant.bare, cx)
}

/// Makes somebody what was asked for, with what follows for those who are there.
pub(crate) fn apply(
    room: &Room,
    wanted: &Wanted,
    actor: Option<&str>,
    answer: &mut Option<&Passing<'_>>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let Wanted { bare, before, after, nick, reason } = wanted;
    let reason = reason.as_deref();
    set_member(bare, *after, nick.as_deref(), reason, cx)?;
    let is_out = *after == Affiliation::Outcast;
    let is_left_out = room.flag(settings::MEMBERS_ONLY) && *after < Affiliation::Member;
    let mut affected = affected(bare, is_out, cx)?;
    if affected.is_empty() && *after >= Affiliation::Admin && before != after {
        tell_absent(bare, *after, cx)?;
    }
    // Who is out in a moment stays that.
    affected.retain(|(_, occupant)| occupant.role > Role::None);
    if is_out || is_left_out {
        for (_, occupant) in &mut affected {
            occupant.affiliation = *after;
        }
        let note = Note { actor, reason, ..Note::default() };
        let code = if is_out { 301 } else { 321 };
        expel_all(room, affected, (code, &note), |cx| give(answer, cx), cx)?;
        return turn::look_again(room, bare, cx);
    }
    for (key, mut occupant) in affected {
        occupant.affiliation = *after;
        give(answer, cx)?;
        let role = occupant.role;
        occupant.role = after.next_role(*before, role, room.flag(settings::MODERATED));
        change(room, &key, &occupant, &Note { actor, reason, ..Note::default() }, role, cx)?;
    }
    turn::look_again(room, bare, cx)
}

/// Tells somebody who is not there of a place that was given to them (§18.1).
fn tell_absent(bare: &str, affiliation: Affiliation, cx: &mut Context<'_, '_>) -> Done {
    let item = Element::new(ns::MUC_USER, "item")
        .with_attr("affiliation", affiliation.name())
        .with_attr("role", Role::None.name())
        .with_attr("jid", bare);
    let x = show::with_codes(Element::new(ns::MUC_USER, "x").with_child(item), &[&[101]]);
    cx.send(&Element::new(ns::CLIENT, "message").with_attr("to", bare).with_child(x))
}

/// Lists the occupants that a change is about: those of the address, and with a ban of a domain all
/// from there who are nothing else to the room.
fn affected(
    bare: &str,
    is_ban: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, Occupant)>, StanzaError> {
    if !is_ban || JidRef::trusted(bare).local().is_some() {
        return occupants_of(bare, cx);
    }
    let mut all = cx.all(&OCCUPANTS, u32::MAX)?;
    all.retain(|(_, occupant)| {
        let domain = JidRef::trusted(&occupant.bare).domain();
        domain == bare && occupant.affiliation <= Affiliation::None
    });
    Ok(all)
}
