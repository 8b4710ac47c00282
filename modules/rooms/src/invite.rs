//! People are invited, decline, and ask for voice (§7.8, §7.13, §8.6).

use calypte::prelude::*;

use crate::admin::set_role;
use crate::limits::Place;
use crate::records::{INVITED, Made, OCCUPANTS, Occupant};
use crate::room::{Room, affiliation, fold, occupants_of, seated, set_member};
use crate::rules::{Affiliation, Role};
use crate::show::Note;
use crate::{Config, cancel, form, limits, register, settings};

/// The most people that one message invites.
const INVITED_MAX: usize = 20;
/// The most invitations of a room that can be declined.
const PENDING_MAX: u32 = 1000;
/// How long they can when there are so many, in milliseconds.
const PENDING_MS: u64 = 30 * 86_400_000;
/// The longest name of a conversation, in bytes.
const THREAD_MAX: usize = 256;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// A message that is not for everybody came to the room.
pub(crate) fn message(
    config: &Config,
    message: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let from = message.from.ok_or(StanzaError::BAD_REQUEST)?;
    let room = Room::load(cx)?;
    if let Some(x) = message.child(ns::MUC_USER, "x") {
        if x.has_child(ns::MUC_USER, "invite") {
            invite(config, room, message, x, cx)?;
            return Ok(Flow::Handled);
        }
        if let Some(answer) = x.child(ns::MUC_USER, "decline") {
            decline(from, answer, message.id, cx)?;
            return Ok(Flow::Handled);
        }
    }
    let room = room.ok_or(StanzaError::ITEM_NOT_FOUND)?;
    if let Some(x) = message.child(ns::DATA_FORMS, "x") {
        if register::is_answer(x) {
            register::answered(config, &room, from, x, cx)?;
        } else {
            voice(config, &room, from, x, cx)?;
        }
        return Ok(Flow::Handled);
    }
    // §17.2. What is for all has its own type.
    if message.has(ns::CLIENT, "body") {
        return Err(StanzaError::BAD_REQUEST);
    }
    Ok(Flow::Handled)
}

/// Somebody invites others.
fn invite(
    config: &Config,
    room: Option<Room>,
    message: &Passing<'_>,
    x: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let from = message.from.ok_or(StanzaError::BAD_REQUEST)?;
    let invites: Vec<_> = x.children().filter(|node| node.is(ns::MUC_USER, "invite")).collect();
    if invites.len() > INVITED_MAX {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("These are too many at once."));
    }
    let mut people = Vec::new();
    for one in &invites {
        let to = one.attr("to").ok_or(StanzaError::BAD_REQUEST)?;
        let to = Jid::parse(&to).map_err(|_| StanzaError::JID_MALFORMED)?;
        let reason = one.child_text(ns::MUC_USER, "reason");
        if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("This reason is too long."));
        }
        people.push(to);
    }
    let room = match room {
        Some(room) if !room.row.is_locked => room,
        room => make_private(config, room, from.bare_str(), cx)?,
    };
    limits::spend(config, from.bare_str(), message.content.root(), cx)?;
    let others = people.len().saturating_sub(1);
    limits::spend_some(config, from.bare_str(), u64::try_from(others).unwrap_or(0), cx)?;
    let own = affiliation(from.bare_str(), cx)?;
    let is_there = seated(from.as_str(), cx)?.is_some();
    if !is_there && own < Affiliation::Member {
        return Err(cancel(Condition::NotAcceptable));
    }
    let is_closed = room.flag(settings::MEMBERS_ONLY);
    let least = match room.flag(settings::ALLOW_INVITES) {
        true => Affiliation::Member,
        false => Affiliation::Admin,
    };
    if is_closed && own < least {
        return Err(StanzaError::FORBIDDEN);
    }
    for (one, to) in invites.iter().zip(&people) {
        let bare = to.bare();
        match affiliation(bare.as_str(), cx)? {
            Affiliation::Outcast => return Err(StanzaError::FORBIDDEN),
            Affiliation::None if is_closed => {
                let place = match own {
                    Affiliation::Admin | Affiliation::Owner => Place::Member,
                    _ => Place::ByThemselves,
                };
                limits::has_place(config, place, 1, cx)?;
                set_member(bare.as_str(), Affiliation::Member, None, None, cx)?;
            }
            _ => {}
        }
        let inner = inner_of(*one);
        remember(bare.as_str(), from.bare_str(), cx)?;
        send(&room, from.bare_str(), to.as_str(), (message.id, &inner), cx)?;
    }
    Ok(())
}

/// Returns what an invitation says besides: why, and which conversation goes on (§7.9).
fn inner_of(invite: Node<'_>) -> Vec<Element> {
    let mut inner = Vec::new();
    if let Some(reason) = invite.child_text(ns::MUC_USER, "reason") {
        inner.push(Element::new(ns::MUC_USER, "reason").with_text(&reason));
    }
    if let Some(goes_on) = invite.child(ns::MUC_USER, "continue") {
        let mut element = Element::new(ns::MUC_USER, "continue");
        if let Some(thread) = goes_on.attr("thread").filter(|thread| thread.len() <= THREAD_MAX) {
            element.push_attr("thread", &thread);
        }
        inner.push(element);
    }
    inner
}

/// A room that begins with an invitation is for those who are invited: members only, in no list, and it
/// stays.
fn make_private(
    config: &Config,
    room: Option<Room>,
    by: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Room, StanzaError> {
    let mut room = match room {
        Some(room) => room,
        None => Room::create(config, by, cx)?,
    };
    if affiliation(by, cx)? < Affiliation::Owner {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    for (name, value) in
        [(settings::MEMBERS_ONLY, "1"), (settings::PUBLIC, "0"), (settings::PERSISTENT, "1")]
    {
        room.set(name, vec![value.to_owned()]);
    }
    room.row.is_locked = false;
    room.save(cx)?;
    Ok(room)
}

/// Sends an invitation in somebody's name.
pub(crate) fn send(
    room: &Room,
    from: &str,
    to: &str,
    (id, inner): (Option<&str>, &[Element]),
    cx: &mut Context<'_, '_>,
) -> Done {
    let mut invite = Element::new(ns::MUC_USER, "invite").with_attr("from", from);
    for element in inner {
        invite.push_child(element.clone());
    }
    let mut x = Element::new(ns::MUC_USER, "x").with_child(invite);
    if room.flag(settings::PROTECTED) {
        let secret = room.text(settings::SECRET);
        x.push_child(Element::new(ns::MUC_USER, "password").with_text(secret));
    }
    let mut message = Element::new(ns::CLIENT, "message").with_attr("to", to);
    if let Some(id) = id {
        message.push_attr("id", id);
    }
    cx.count("invitations", 1)?;
    cx.send(&message.with_child(x))
}

/// Notes that somebody was invited, and may decline.
fn remember(invited: &str, by: &str, cx: &mut Context<'_, '_>) -> Done {
    let now = cx.now_ms();
    let all = cx.all(&INVITED, PENDING_MAX)?;
    if all.len() >= usize::try_from(PENDING_MAX).unwrap_or(usize::MAX) {
        for (key, _) in all.iter().filter(|(_, kept)| kept.at_ms.saturating_add(PENDING_MS) < now) {
            cx.delete(&INVITED, key)?;
        }
        return Ok(());
    }
    cx.put(&INVITED, &(invited.to_owned(), by.to_owned()), &Made { at_ms: now })
}

/// Somebody who was invited does not come. Only who invited is told, once, or anybody could have the
/// room write to anybody.
fn decline(from: JidRef<'_>, answer: Node<'_>, id: Option<&str>, cx: &mut Context<'_, '_>) -> Done {
    let to = answer.attr("to").ok_or(StanzaError::BAD_REQUEST)?;
    let to = Jid::parse(&to).map_err(|_| StanzaError::JID_MALFORMED)?;
    let reason = answer.child_text(ns::MUC_USER, "reason").unwrap_or_default();
    if reason.len() > REASON_BYTES_MAX {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This reason is too long."));
    }
    let mut by = to.bare().as_str().to_owned();
    if let Some(nick) = to.resource().filter(|_| to.bare() == cx.owner_jid()) {
        let occupant = cx.get(&OCCUPANTS, &*fold(nick))?;
        by = occupant.ok_or(StanzaError::ITEM_NOT_FOUND)?.bare;
    }
    let key = (from.bare_str().to_owned(), by);
    if cx.get(&INVITED, &key)?.is_none() {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    cx.delete(&INVITED, &key)?;
    let (_, by) = key;
    let there = occupants_of(&by, cx)?;
    let mut told: Vec<_> = there.into_iter().flat_map(|(_, occupant)| occupant.seats).collect();
    if told.is_empty() {
        told.push(by);
    }
    let mut declined = Element::new(ns::MUC_USER, "decline").with_attr("from", from.bare_str());
    if !reason.is_empty() {
        declined.push_child(Element::new(ns::MUC_USER, "reason").with_text(&reason));
    }
    let x = Element::new(ns::MUC_USER, "x").with_child(declined);
    let mut message = Element::new(ns::CLIENT, "message").with_child(x);
    if let Some(id) = id {
        message.push_attr("id", id);
    }
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    cx.send_each(&message.to_xml(ns::CLIENT), &told)
}

/// A visitor asks for voice, or a moderator gives it.
fn voice(
    config: &Config,
    room: &Room,
    from: JidRef<'_>,
    x: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let (_, occupant) =
        seated(from.as_str(), cx)?.ok_or_else(|| cancel(Condition::NotAcceptable))?;
    if x.attr("type").as_deref() == Some("cancel") {
        return Ok(());
    }
    let fields = form::read(x, ns::MUC_REQUEST)?;
    limits::spend(config, from.bare_str(), x, cx)?;
    let Some(allow) = form::value(&fields, "muc#request_allow") else {
        return ask_for_voice(&occupant, from, &fields, cx);
    };
    if occupant.role < Role::Moderator {
        return Err(StanzaError::FORBIDDEN);
    }
    let nick = form::value(&fields, "muc#roomnick").ok_or(StanzaError::BAD_REQUEST)?;
    let key = fold(nick);
    if !matches!(allow, "1" | "true") {
        return Ok(());
    }
    let target = cx.get(&OCCUPANTS, &*key)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
    if target.role != Role::Visitor {
        return Ok(());
    }
    set_role(room, (&key, target, Role::Participant), Note::default(), &mut None, cx)
}

fn ask_for_voice(
    occupant: &Occupant,
    from: JidRef<'_>,
    fields: &form::Fields,
    cx: &mut Context<'_, '_>,
) -> Done {
    if form::value(fields, "muc#role") != Some("participant") {
        return Err(StanzaError::BAD_REQUEST);
    }
    if occupant.role != Role::Visitor {
        return Ok(());
    }
    let title = Element::new(ns::DATA_FORMS, "title").with_text("Voice request");
    let text = "To let this person speak, tick the box and send the form.";
    let text = Element::new(ns::DATA_FORMS, "instructions").with_text(text);
    let role = form::labelled("muc#role", "Requested role", "participant");
    let jid = form::labelled("muc#jid", "User ID", from.as_str());
    let nick = form::labelled("muc#roomnick", "Room Nickname", &occupant.nick);
    let allow = form::labelled("muc#request_allow", "Grant voice to this person?", "0");
    let form_type = form::field("FORM_TYPE", &[ns::MUC_REQUEST.to_owned()]);
    let x = Element::new(ns::DATA_FORMS, "x")
        .with_attr("type", "form")
        .with_child(title)
        .with_child(text)
        .with_child(form_type.with_attr("type", "hidden"))
        .with_child(role.with_attr("type", "list-single"))
        .with_child(jid.with_attr("type", "jid-single"))
        .with_child(nick.with_attr("type", "text-single"))
        .with_child(allow.with_attr("type", "boolean"));
    let id = cx.random_name(16)?;
    let message = Element::new(ns::CLIENT, "message").with_attr("id", &id).with_child(x);
    let message = message.to_xml(ns::CLIENT);
    for (_, moderator) in cx.all(&OCCUPANTS, u32::MAX)? {
        if moderator.role == Role::Moderator {
            let seats: Vec<_> = moderator.seats.iter().map(String::as_str).collect();
            cx.send_each(&message, &seats)?;
        }
    }
    Ok(())
}
