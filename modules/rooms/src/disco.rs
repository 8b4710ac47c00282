//! What service discovery tells of the service and of a room (§6).

use calypte::prelude::*;
use xep::rsm::{Part, given};

use crate::records::INDEX;
use crate::room::{Room, affiliation, crowd, member, members, seated};
use crate::rules::Affiliation;
use crate::{avatar, form, hats, retract, settings};

/// The node of a client's own nickname (§7.12).
const OWN_NICK: &str = "x-roomuser-item";
/// The most rooms in a list.
const ROOMS_MAX: usize = 1000;
/// What the service can do.
const SERVICE: &[&str] = &[
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::MUC,
    ns::MUC_STABLE_ID,
    ns::OCCUPANT_ID,
    ns::PING,
    ns::RSM,
    ns::SELF_PING,
    ns::SEARCH,
    ns::VCARD,
];

fn identity(name: &str) -> Element {
    Element::new(ns::DISCO_INFO, "identity")
        .with_attr("category", "conference")
        .with_attr("type", "text")
        .with_attr("name", name)
}

fn feature(name: &str) -> Element {
    Element::new(ns::DISCO_INFO, "feature").with_attr("var", name)
}

/// Says what the service is.
pub(crate) fn service_info(node: Option<&str>) -> Result<Element, StanzaError> {
    if node.is_some() {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    let query = Element::new(ns::DISCO_INFO, "query").with_child(identity("Rooms"));
    Ok(SERVICE.iter().map(|name| feature(name)).fold(query, Element::with_child))
}

/// Lists the rooms that want to be found, or a part of them (XEP-0059).
pub(crate) fn service_items(
    asked: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Element, StanzaError> {
    let part = asked.child(ns::RSM, "set").map(Part::read).transpose()?;
    let mut rooms = cx.all(&INDEX, u32::MAX)?;
    rooms.retain(|(_, listed)| listed.is_public);
    let count = u64::try_from(rooms.len()).ok();
    let wanted = part.clone().unwrap_or_default();
    if let Some(after) = &wanted.after {
        rooms.retain(|(local, _)| local > after);
    }
    let most = wanted.max.and_then(|max| usize::try_from(max).ok());
    let most = most.unwrap_or(ROOMS_MAX).min(ROOMS_MAX);
    if let Some(before) = &wanted.before {
        rooms.retain(|(local, _)| before.is_empty() || local < before);
        rooms.drain(..rooms.len().saturating_sub(most));
    }
    rooms.truncate(most);
    let mut query = Element::new(ns::DISCO_ITEMS, "query");
    for (local, listed) in &rooms {
        let jid = format!("{local}@{}", cx.owner());
        let mut item = Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", &jid);
        if !listed.name.is_empty() {
            item.push_attr("name", &listed.name);
        }
        query.push_child(item);
    }
    let is_cut = count != u64::try_from(rooms.len()).ok();
    if part.is_some() || is_cut {
        let ends = rooms.first().zip(rooms.last());
        let ends = ends.map(|((first, _), (last, _))| (first.as_str(), last.as_str()));
        query.push_child(given(ends, count));
    }
    Ok(query)
}

/// Says what a room is.
pub(crate) fn info(
    room: &Room,
    node: Option<&str>,
    from: JidRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Element, StanzaError> {
    match node {
        None => {}
        Some(OWN_NICK) => return own_nick(from, cx),
        // §18.1.1. Everything is let through.
        Some(ns::MUC_TRAFFIC) => return Err(StanzaError::SERVICE_UNAVAILABLE),
        Some(_) => return Err(StanzaError::ITEM_NOT_FOUND),
    }
    if room.row.is_locked && affiliation(from.bare_str(), cx)? < Affiliation::Owner {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    let local = crate::room::local(cx);
    let name = Some(room.text(settings::NAME)).filter(|name| !name.is_empty());
    let query = Element::new(ns::DISCO_INFO, "query").with_child(identity(name.unwrap_or(&local)));
    let query = features(room).into_iter().map(feature).fold(query, Element::with_child);
    let is_closed = room.flag(settings::MEMBERS_ONLY) || room.flag(settings::PROTECTED);
    let is_near = !is_closed
        || affiliation(from.bare_str(), cx)? >= Affiliation::Member
        || seated(from.as_str(), cx)?.is_some();
    Ok(query.with_child(more(room, is_near, cx)?))
}

/// Lists what a room can do and how it is.
fn features(room: &Room) -> Vec<&'static str> {
    let either = |name, on, off| if room.flag(name) { on } else { off };
    let mut all = vec![
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::MUC,
        ns::MUC_REQUEST,
        ns::MUC_STABLE_ID,
        ns::STANZA_ID,
        either(settings::MEMBERS_ONLY, "muc_membersonly", "muc_open"),
        either(settings::MODERATED, "muc_moderated", "muc_unmoderated"),
        either(settings::PERSISTENT, "muc_persistent", "muc_temporary"),
        either(settings::PROTECTED, "muc_passwordprotected", "muc_unsecured"),
        either(settings::PUBLIC, "muc_public", "muc_hidden"),
        if room.is_open() { "muc_nonanonymous" } else { "muc_semianonymous" },
        ns::OCCUPANT_ID,
        ns::SELF_PING,
        ns::COMMANDS,
        ns::HATS,
        ns::VCARD,
        ns::REGISTER,
    ];
    all.extend(retract::features(room));
    all
}

/// Returns the form with more about a room: what it is about only for those who may be there.
fn more(room: &Room, is_near: bool, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let mut x = form::start("result", ns::MUC_ROOMINFO);
    let mut add = |name: &str, label: &str, value: &str| {
        x.push_child(form::labelled(name, label, value).with_attr("type", "text-single"));
    };
    let subject = room.row.subject.as_ref().filter(|_| is_near);
    let subject = subject.map_or("", |subject| subject.text.as_str());
    add("muc#roominfo_description", "Description", room.text(settings::DESCRIPTION));
    add("muc#roominfo_subject", "Current subject", subject);
    let may_change = room.text(settings::CHANGE_SUBJECT);
    add("muc#roominfo_subjectmod", "Participants may change the subject", may_change);
    add("muc#roominfo_occupants", "People in the room", &crowd(cx)?.occupants.to_string());
    add("muc#roominfo_lang", "Language", room.text(settings::LANG));
    add("muc#maxhistoryfetch", "Messages of the past", room.text(settings::MAX_HISTORY));
    add("muc#roominfo_slow_mode_duration", "Slow mode, in seconds", room.text(settings::SLOW));
    add(settings::ALLOW_INVITES, "Members may invite", room.text(settings::ALLOW_INVITES));
    if let Some(field) = avatar::field(cx)? {
        x.push_child(field);
    }
    if let Some(hash) = hats::hash(cx)? {
        let field = form::labelled("hats#hash", "Hats hash", &hash);
        x.push_child(field.with_attr("type", "text-single"));
    }
    if room.is_open() {
        let owners: Vec<_> =
            members(Affiliation::Owner, cx)?.into_iter().map(|(bare, _)| bare).collect();
        let owners = form::field("muc#roominfo_contactjid", &owners);
        x.push_child(owners.with_attr("label", "Contact").with_attr("type", "jid-multi"));
    }
    Ok(x)
}

/// Tells somebody the own nickname that is kept.
fn own_nick(from: JidRef<'_>, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let query = Element::new(ns::DISCO_INFO, "query").with_attr("node", OWN_NICK);
    let kept = member(from.bare_str(), cx)?.and_then(|member| member.nick);
    Ok(match kept {
        Some(nick) => query.with_child(identity(&nick)),
        None => query,
    })
}

/// Lists nobody: who is in a room is told to those who are in it.
pub(crate) fn items() -> Element {
    Element::new(ns::DISCO_ITEMS, "query")
}
