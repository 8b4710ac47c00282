//! What the room shows of its occupants.

use calypte::prelude::*;

use crate::records::{
    COMING_SEEING, COMING_UNSEEING, CROWD, EXPELLED, HIDDEN, OCCUPANTS, OPEN, Occupant, PRIVATE,
    Place, ROOM_KEY, SEATS, SEEING, SHUT, UNSEEING,
};
use crate::room::{Room, crowd};
use crate::rules::Role;
use crate::{turn, who};

/// What is said of a change, beside who it is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note<'a> {
    /// Codes for everybody.
    pub(crate) codes: &'a [u16],
    /// Codes for who it is about, besides 110.
    pub(crate) own_codes: &'a [u16],
    /// The nickname of who did it.
    pub(crate) actor: Option<&'a str>,
    /// Why.
    pub(crate) reason: Option<&'a str>,
    /// The nickname that it is about to have.
    pub(crate) next_nick: Option<&'a str>,
    /// The id of the presence that caused it.
    pub(crate) id: Option<&'a str>,
}

/// Returns the children of a stanza that `keep` wants, as text that stands alone.
///
/// # Errors
///
/// `not-acceptable` when that is longer than `limit` bytes.
pub(crate) fn inside(
    stanza: StanzaRef<'_>,
    limit: usize,
    keep: impl Fn(Node<'_>) -> bool,
) -> Result<String, StanzaError> {
    let too_long = || StanzaError::NOT_ACCEPTABLE.with_text("This is too long.");
    let declared = stanza.content.root().extra_root(&["from", "to", "id", "type"]);
    let mut out = String::new();
    for node in stanza.payloads().filter(|node| keep(*node)) {
        if declared.contains("xmlns") {
            // What it means was said outside of it. Each element says it again, which can make much
            // out of little.
            if out.len().saturating_add(namespace_bytes(node, ns::CLIENT)) > limit {
                return Err(too_long());
            }
            Element::from_node(node).write(&mut out, ns::CLIENT);
        } else {
            out.push_str(node.raw());
        }
        if out.len() > limit {
            return Err(too_long());
        }
    }
    Ok(out)
}

/// Counts the bytes of the namespaces that an element says when it is written anew.
fn namespace_bytes(node: Node<'_>, outer: &str) -> usize {
    let own = if node.ns() == outer { 0 } else { node.ns().len() };
    let own = node.attrs().fold(own, |sum, (ns, ..)| sum.saturating_add(ns.len()));
    node.children().fold(own, |sum, child| sum.saturating_add(namespace_bytes(child, node.ns())))
}

/// Returns what of somebody's presence others are shown: all but what only the room may say (§17.3).
///
/// # Errors
///
/// `not-acceptable` when that is longer than `limit` bytes.
pub(crate) fn shown(presence: StanzaRef<'_>, limit: usize) -> Result<String, StanzaError> {
    inside(presence, limit, |node| !is_ours(node))
}

/// Tells whether an element is one that only rooms and servers write.
pub(crate) fn is_ours(node: Node<'_>) -> bool {
    matches!(node.ns(), ns::MUC | ns::MUC_USER | ns::OCCUPANT_ID | ns::HATS | ns::MODERATE)
        || node.ns().starts_with("http://jabber.org/protocol/muc#")
        || node.is(ns::DELAY, "delay")
}

/// Returns `<item/>` of an occupant.
pub(crate) fn item(occupant: &Occupant, role: Role, sees: bool, note: &Note<'_>) -> Element {
    let mut item = Element::new(ns::MUC_USER, "item")
        .with_attr("affiliation", occupant.affiliation.name())
        .with_attr("role", role.name());
    if let Some(full) = occupant.seats.last().filter(|_| sees) {
        item.push_attr("jid", full);
    }
    if let Some(nick) = note.next_nick {
        item.push_attr("nick", nick);
    }
    if let Some(nick) = note.actor {
        item.push_child(Element::new(ns::MUC_USER, "actor").with_attr("nick", nick));
    }
    if let Some(reason) = note.reason {
        item.push_child(Element::new(ns::MUC_USER, "reason").with_text(reason));
    }
    item
}

/// Returns an element with status codes, each once and in order.
pub(crate) fn with_codes(mut x: Element, codes: &[&[u16]]) -> Element {
    let mut all = codes.concat();
    all.sort_unstable();
    all.dedup();
    for code in all {
        let status = Element::new(ns::MUC_USER, "status").with_attr("code", &code.to_string());
        x.push_child(status);
    }
    x
}

/// Returns the presence of an occupant as somebody sees it.
fn presence(
    occupant: &Occupant,
    shown: &str,
    item: Element,
    (id, codes): (Option<&str>, &[&[u16]]),
    cx: &Context<'_, '_>,
) -> Element {
    let from = format!("{}/{}", cx.owner(), occupant.nick);
    let x = with_codes(Element::new(ns::MUC_USER, "x").with_child(item), codes);
    let mut presence = Element::new(ns::CLIENT, "presence").with_attr("from", &from);
    if let Some(id) = id {
        presence.push_attr("id", id);
    }
    presence = presence.with_raw(shown.to_owned()).with_child(x);
    // Who is not in has none.
    match occupant.id.is_empty() {
        true => presence,
        false => presence.with_child(who::element(&occupant.id)).with_raw(occupant.hats.clone()),
    }
}

/// Shows everybody an occupant: as it came, or as it is now.
pub(crate) fn announce(
    room: &Room,
    key: &str,
    occupant: &Occupant,
    note: &Note<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    if occupant.role == Role::None {
        // It is out in a moment, and there is no more to say of it.
        return Ok(());
    }
    let shown = shown_of(occupant, cx)?;
    let of = |sees, codes: &[&[u16]], cx: &Context<'_, '_>| {
        let item = item(occupant, occupant.role, sees, note);
        presence(occupant, &shown, item, (note.id, codes), cx)
    };
    let (open, shut) = (of(true, &[note.codes], cx), of(false, &[note.codes], cx));
    let (open, shut) = (open.to_xml(ns::CLIENT), shut.to_xml(ns::CLIENT));
    stand_aside(occupant, cx)?;
    keep(room, key, occupant, &shown, cx)?;
    tell(room, (key, occupant), &open, &shut, cx)?;
    show_own(occupant, &shown, note, cx)?;
    take_places(room, occupant, cx)
}

/// Shows each client of an occupant the occupant itself.
pub(crate) fn show_own(
    occupant: &Occupant,
    shown: &str,
    note: &Note<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    for full in &occupant.seats {
        // Nobody's own address is a secret.
        let own = Occupant { seats: vec![full.clone()], ..occupant.clone() };
        let item = item(&own, occupant.role, true, note);
        let codes: &[&[u16]] = &[note.codes, note.own_codes, &[110]];
        let own = presence(occupant, shown, item, (note.id, codes), cx);
        cx.show_each(&own.to_xml(ns::CLIENT), &[full])?;
    }
    Ok(())
}

/// Tells those who may see an occupant: everybody, or moderators only.
fn tell(
    room: &Room,
    (key, occupant): (&str, &Occupant),
    open: &str,
    shut: &str,
    cx: &mut Context<'_, '_>,
) -> Done {
    if room.broadcasts(occupant.role) {
        cx.send_to_keys(&SEEING, "", open)?;
        cx.send_to_keys(&COMING_SEEING, "", open)?;
        cx.send_to_keys(&COMING_UNSEEING, "", shut)?;
        return cx.send_to_keys(&UNSEEING, "", shut);
    }
    for full in turn::that_see_all(cx)? {
        cx.show_each(open, &[&full])?;
    }
    for (other, moderator) in cx.all(&OCCUPANTS, u32::MAX)? {
        if moderator.role == Role::Moderator && other != key {
            let seats: Vec<_> = moderator.seats.iter().map(String::as_str).collect();
            cx.show_each(open, &seats)?;
        }
    }
    Ok(())
}

/// Tells everybody that an occupant is gone, or that one of its clients is. Who it is about is told
/// first, then `between` happens.
pub(crate) fn dismiss(
    room: &Room,
    key: &str,
    occupant: &Occupant,
    (shown, note): (&str, &Note<'_>),
    between: impl FnOnce(&mut Context<'_, '_>) -> Done,
    cx: &mut Context<'_, '_>,
) -> Done {
    let role = if note.next_nick.is_some() { occupant.role } else { Role::None };
    let of = |sees, cx: &Context<'_, '_>| {
        let item = item(occupant, role, sees, note);
        let gone = presence(occupant, shown, item, (note.id, &[note.codes]), cx);
        gone.with_attr("type", "unavailable").to_xml(ns::CLIENT)
    };
    stand_aside(occupant, cx)?;
    hide(key, cx)?;
    for full in &occupant.seats {
        dismiss_one(occupant, full, (shown, role, note), cx)?;
    }
    between(cx)?;
    let (open, shut) = (of(true, cx), of(false, cx));
    tell(room, (key, occupant), &open, &shut, cx)
}

/// Tells one client of an occupant that it is gone, while others stay.
pub(crate) fn dismiss_one(
    occupant: &Occupant,
    full: &str,
    (shown, role, note): (&str, Role, &Note<'_>),
    cx: &mut Context<'_, '_>,
) -> Done {
    let one = Occupant { seats: vec![full.to_owned()], ..occupant.clone() };
    let item = item(&one, role, true, note);
    let codes: &[&[u16]] = &[note.codes, note.own_codes, &[110]];
    let gone = presence(&one, shown, item, (note.id, codes), cx).with_attr("type", "unavailable");
    cx.show_each(&gone.to_xml(ns::CLIENT), &[full])
}

/// Keeps the presence of an occupant ready for those who come later.
fn keep(
    room: &Room,
    key: &str,
    occupant: &Occupant,
    shown: &str,
    cx: &mut Context<'_, '_>,
) -> Done {
    let note = Note::default();
    let of = |sees, cx: &Context<'_, '_>| {
        let item = item(occupant, occupant.role, sees, &note);
        presence(occupant, shown, item, (None, &[]), cx).to_xml(ns::CLIENT)
    };
    let (open, shut) = (of(true, cx), of(false, cx));
    let is_shown = room.broadcasts(occupant.role);
    cx.keep_ready(&OPEN, key, Some(&*open).filter(|_| is_shown))?;
    cx.keep_ready(&SHUT, key, Some(&*shut).filter(|_| is_shown))?;
    cx.keep_ready(&HIDDEN, key, Some(&*open).filter(|_| !is_shown))
}

/// Forgets what was kept ready of an occupant.
pub(crate) fn hide(key: &str, cx: &mut Context<'_, '_>) -> Done {
    for table in [&OPEN, &SHUT, &HIDDEN] {
        cx.keep_ready(table, key, None)?;
    }
    Ok(())
}

/// Returns what the client of an occupant shows that others see.
pub(crate) fn shown_of(
    occupant: &Occupant,
    cx: &mut Context<'_, '_>,
) -> Result<String, StanzaError> {
    let Some(full) = occupant.seats.last() else { return Ok(String::new()) };
    Ok(cx.get(&SEATS, &**full)?.map(|seat| seat.shown).unwrap_or_default())
}

/// Takes an occupant's clients out of those who are told.
pub(crate) fn stand_aside(occupant: &Occupant, cx: &mut Context<'_, '_>) -> Done {
    for full in &occupant.seats {
        cx.delete(&SEEING, &**full)?;
        cx.delete(&UNSEEING, &**full)?;
    }
    Ok(())
}

/// Puts them back, where the role says.
pub(crate) fn take_places(room: &Room, occupant: &Occupant, cx: &mut Context<'_, '_>) -> Done {
    if occupant.role == Role::None {
        // It is out in a moment, and hears nothing any more.
        return Ok(());
    }
    for full in &occupant.seats {
        let (table, other) = match room.shows_to(occupant.role) {
            true => (&SEEING, &UNSEEING),
            false => (&UNSEEING, &SEEING),
        };
        cx.put(table, &**full, &Place)?;
        cx.delete(other, &**full)?;
    }
    Ok(())
}

/// Keeps an occupant, and shows everybody what became of the role and the affiliation.
pub(crate) fn change(
    room: &Room,
    key: &str,
    occupant: &Occupant,
    note: &Note<'_>,
    before: Role,
    cx: &mut Context<'_, '_>,
) -> Done {
    cx.put(&OCCUPANTS, key, occupant)?;
    if room.broadcasts(before) && !room.broadcasts(occupant.role) {
        // To the others it looks as if it were gone.
        let item = item(occupant, Role::None, false, note);
        let gone = presence(occupant, "", item, (None, &[]), cx);
        let gone = gone.with_attr("type", "unavailable").to_xml(ns::CLIENT);
        stand_aside(occupant, cx)?;
        for table in [&SEEING, &UNSEEING, &COMING_SEEING, &COMING_UNSEEING] {
            cx.send_to_keys(table, "", &gone)?;
        }
    }
    announce(room, key, occupant, note, cx)?;
    if before < Role::Moderator && occupant.role == Role::Moderator && !room.is_open() {
        // §9.6. It sees who the others are from now on.
        turn::show_addresses(room, occupant, cx)?;
    }
    Ok(())
}

/// Deletes an occupant with its clients.
pub(crate) fn remove(key: &str, occupant: &Occupant, cx: &mut Context<'_, '_>) -> Done {
    for full in &occupant.seats {
        cx.delete(&SEATS, &**full)?;
        cx.delete(&PRIVATE, &**full)?;
        turn::end(full, cx)?;
    }
    cx.delete(&OCCUPANTS, key)?;
    cx.delete(&EXPELLED, key)?;
    let mut crowd = crowd(cx)?;
    crowd.occupants = crowd.occupants.saturating_sub(1);
    let seats = u32::try_from(occupant.seats.len()).unwrap_or(u32::MAX);
    crowd.seats = crowd.seats.saturating_sub(seats);
    cx.put(&CROWD, ROOM_KEY, &crowd)
}

/// Sends everybody in the room a message of the room itself.
pub(crate) fn say(message: &Element, cx: &mut Context<'_, '_>) -> Done {
    let xml = message.to_xml(ns::CLIENT);
    cx.send_to_keys(&SEEING, "", &xml)?;
    cx.send_to_keys(&UNSEEING, "", &xml)
}

/// Makes anew what was kept ready and who is told what, after a setting changed what is seen.
pub(crate) fn refresh(room: &Room, cx: &mut Context<'_, '_>) -> Done {
    for (key, occupant) in cx.all(&OCCUPANTS, u32::MAX)? {
        if occupant.role == Role::None {
            continue;
        }
        let shown = shown_of(&occupant, cx)?;
        keep(room, &key, &occupant, &shown, cx)?;
        take_places(room, &occupant, cx)?;
    }
    Ok(())
}

/// Tells somebody who is not in the room that this is so, as a kick (§7.2.16).
pub(crate) fn not_in(nick: &str, to: &str, cx: &mut Context<'_, '_>) -> Done {
    let stranger = Occupant::stranger(nick);
    let note = Note { reason: Some("You are not in the room."), ..Note::default() };
    let item = item(&stranger, Role::None, false, &note);
    let gone = presence(&stranger, "", item, (None, &[&[110, 307, 333]]), cx);
    cx.send(&gone.with_attr("type", "unavailable").with_attr("to", to))
}
