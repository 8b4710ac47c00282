//! What is for one occupant: private messages (§7.5) and requests (§17.4).

use calypte::prelude::*;

use crate::records::{ALL_KEY, ASKING, Count, OCCUPANTS, Occupant, PRIVATE};
use crate::room::{Room, fold, seated};
use crate::rules::Role;
use crate::show::inside;
use crate::{Config, cancel, leave, limits, settings, who};

/// How many private messages to a client are remembered, to know what an error is about.
const REMEMBERED_MAX: usize = 32;
/// How many questions of one person wait for answers at a time.
const ASKING_MAX: u32 = 30;
/// How many of all.
const ALL_ASKING_MAX: u32 = 500;
/// The longest id of those.
const ID_BYTES_MAX: usize = 256;

/// Finds the occupant that a stanza is for.
fn target(nick: &str, cx: &mut Context<'_, '_>) -> Result<Occupant, StanzaError> {
    cx.get(&OCCUPANTS, &*fold(nick))?.ok_or(StanzaError::ITEM_NOT_FOUND)
}

/// Somebody writes to one occupant. It goes to all of its clients.
pub(crate) fn message(
    config: &Config,
    message: &Passing<'_>,
    nick: &str,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let Some(from) = message.from else { return Ok(Flow::Handled) };
    let not_in = || cancel(Condition::NotAcceptable);
    let room = Room::load(cx)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
    let (seat, occupant) = seated(from.as_str(), cx)?.ok_or_else(not_in)?;
    limits::spend(config, from.bare_str(), message.content.root(), cx)?;
    let target = target(nick, cx)?;
    if !message.is_error() {
        may_write(&room, &occupant)?;
        if message.content.root().raw().len() > config.message_bytes {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("This message is too long."));
        }
    }
    let inner = match message.is_error() {
        true => bare_error(**message).to_xml(ns::CLIENT),
        false => inside(**message, config.message_bytes, |node| {
            !matches!(node.ns(), ns::MUC | ns::MUC_USER | ns::OCCUPANT_ID)
        })?,
    };
    let mut said = Element::new(ns::CLIENT, "message")
        .with_attr("from", &format!("{}/{}", cx.owner(), occupant.nick));
    for (name, value) in [("type", message.ty), ("xml:lang", message.lang)] {
        if let Some(value) = value {
            said.push_attr(name, value);
        }
    }
    let id = message.id.filter(|id| id.len() <= ID_BYTES_MAX);
    let id = id.map_or_else(|| cx.random_name(16), |id| Ok(id.to_owned()))?;
    let said = said
        .with_attr("id", &id)
        .with_raw(inner)
        .with_child(Element::new(ns::MUC_USER, "x"))
        .with_child(who::element(&occupant.id));
    for full in target.seats.iter().filter(|_| !message.is_error()) {
        remember(full, format!("{}\0{id}", seat.key), cx)?;
    }
    let seats: Vec<_> = target.seats.iter().map(String::as_str).collect();
    cx.send_each(&said.to_xml(ns::CLIENT), &seats)?;
    Ok(Flow::Handled)
}

/// Returns what went wrong, and no more: texts and addresses of servers may tell who somebody is.
fn bare_error(stanza: StanzaRef<'_>) -> Element {
    const KINDS: [ErrorKind; 5] = [
        ErrorKind::Auth,
        ErrorKind::Cancel,
        ErrorKind::Continue,
        ErrorKind::Modify,
        ErrorKind::Wait,
    ];
    let error = stanza.child(ns::CLIENT, "error");
    let condition = error.and_then(|error| {
        let mut nodes = error.children().filter(|node| node.ns() == ns::STANZA_ERRORS);
        nodes.find_map(|node| Condition::of(node.name()))
    });
    let kind = error.and_then(|error| {
        let name = error.attr("type")?;
        KINDS.into_iter().find(|kind| kind.name() == name)
    });
    let kind = kind.unwrap_or(ErrorKind::Cancel);
    let condition = condition.unwrap_or(Condition::UndefinedCondition);
    StanzaError::new(kind, condition).to_element()
}

/// Tells whether an occupant may write to one other.
fn may_write(room: &Room, occupant: &Occupant) -> Done {
    let is_allowed = match room.text(settings::ALLOW_PM) {
        _ if occupant.role == Role::None => false,
        "anyone" => true,
        "participants" => occupant.role >= Role::Participant,
        "moderators" => occupant.role >= Role::Moderator,
        _ => false,
    };
    if is_allowed { Ok(()) } else { Err(StanzaError::FORBIDDEN) }
}

/// Notes which private messages a client was sent last.
fn remember(full: &str, id: String, cx: &mut Context<'_, '_>) -> Done {
    let mut sent = cx.get(&PRIVATE, full)?.unwrap_or_default();
    if sent.ids.len() >= REMEMBERED_MAX {
        sent.ids.remove(0);
    }
    sent.ids.push(id);
    cx.put(&PRIVATE, full, &sent)
}

/// An error comes back. Of a private message its sender is told, and nobody is gone for that: it may
/// well be that who wrote is blocked. Of anything else, the client may be gone.
pub(crate) fn error(
    config: &Config,
    stanza: &Passing<'_>,
    nick: &str,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let (Some(from), id) = (stanza.from, stanza.id.unwrap_or("")) else {
        return Ok(Flow::Handled);
    };
    let mut sent = cx.get(&PRIVATE, from.as_str())?.unwrap_or_default();
    let mark = format!("{}\0{id}", fold(nick));
    if let Some(at) = sent.ids.iter().position(|known| *known == mark) {
        // Once: or it could be said again and again.
        sent.ids.remove(at);
        cx.put(&PRIVATE, from.as_str(), &sent)?;
        // Nobody hears when it goes nowhere.
        drop(message(config, stanza, nick, cx));
    } else if !sent.ids.iter().any(|known| known.ends_with(&format!("\0{id}"))) {
        // Who wrote it may have another nickname by now.
        leave::bounced(stanza, cx)?;
    }
    Ok(Flow::Handled)
}

/// Somebody asks an occupant something. Neither learns the other's address by it.
pub(crate) fn request(
    config: &Config,
    iq: &Passing<'_>,
    nick: &str,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let (Some(from), Some(id), Some(payload)) = (iq.from, iq.id, iq.payload()) else {
        return Err(StanzaError::BAD_REQUEST);
    };
    let seated = if Room::load(cx)?.is_some() { seated(from.as_str(), cx)? } else { None };
    let Some((seat, occupant)) = seated else {
        // §6.6, and XEP-0410.
        let is_disco = matches!(payload.ns(), ns::DISCO_INFO | ns::DISCO_ITEMS);
        return Err(match is_disco {
            true => StanzaError::BAD_REQUEST,
            false => cancel(Condition::NotAcceptable),
        });
    };
    limits::spend(config, from.bare_str(), iq.content.root(), cx)?;
    let target = target(nick, cx)?;
    if seat.key == fold(nick) && payload.is(ns::PING, "ping") {
        // XEP-0410 §3. It only wants to know whether it is there.
        let result = Element::new(ns::CLIENT, "iq").with_attr("type", "result");
        let from_nick = format!("{}/{}", cx.owner(), occupant.nick);
        let result = result.with_attr("from", &from_nick).with_attr("to", from.as_str());
        cx.send(&result.with_attr("id", id))?;
        return Ok(Flow::Handled);
    }
    // A card is kept by the account, which answers for its clients.
    let to = match payload.is(ns::VCARD, "vCard") {
        true => target.bare.clone(),
        false => target.seats.last().cloned().unwrap_or_default(),
    };
    let asked = Element::new(ns::CLIENT, "iq")
        .with_attr("type", iq.ty.unwrap_or("get"))
        .with_attr("from", &format!("{}/{}", cx.owner(), occupant.nick))
        .with_attr("to", &to)
        .with_raw(inside(**iq, config.message_bytes, |_| true)?);
    ask(from.bare_str(), cx)?;
    let cookie = [from.as_str(), id, &target.nick].join("\0");
    cx.request(&asked, cookie.as_bytes())?;
    Ok(Flow::Handled)
}

/// Counts a question that waits for its answer.
///
/// # Errors
///
/// `resource-constraint` when too many of somebody wait, or of all.
fn ask(bare: &str, cx: &mut Context<'_, '_>) -> Done {
    for (key, most) in [(bare, ASKING_MAX), (ALL_KEY, ALL_ASKING_MAX)] {
        let Count(before) = cx.get(&ASKING, key)?.unwrap_or_default();
        if before >= most {
            let why = "Too many questions wait for their answers.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
        cx.put(&ASKING, key, &Count(before.saturating_add(1)))?;
    }
    Ok(())
}

/// An occupant answered: who asked is told.
pub(crate) fn answered(
    config: &Config,
    cookie: &[u8],
    answer: StanzaRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let text = std::str::from_utf8(cookie).unwrap_or_default();
    let mut words = text.splitn(3, '\0');
    let (Some(asker), Some(id), Some(nick)) = (words.next(), words.next(), words.next()) else {
        return Ok(());
    };
    for key in [JidRef::trusted(asker).bare_str(), ALL_KEY] {
        let Count(before) = cx.get(&ASKING, key)?.unwrap_or_default();
        match before {
            0 | 1 => cx.delete(&ASKING, key)?,
            _ => cx.put(&ASKING, key, &Count(before.saturating_sub(1)))?,
        }
    }
    // Who left meanwhile is told nothing more of what is in the room.
    if cx.get(&crate::records::SEATS, asker)?.is_none() {
        return Ok(());
    }
    let result = Element::new(ns::CLIENT, "iq")
        .with_attr("from", &format!("{}/{nick}", cx.owner()))
        .with_attr("to", asker)
        .with_attr("id", id);
    // A card with a picture is longer than a message, but nothing is made longer here.
    let limit = config.message_bytes.max(answer.content.root().raw().len());
    let inner = match answer.is_error() {
        true => Ok(bare_error(answer).to_xml(ns::CLIENT)),
        false => inside(answer, limit, |_| true),
    };
    let result = match inner {
        Ok(inner) => result.with_attr("type", answer.ty.unwrap_or("error")).with_raw(inner),
        Err(error) => result.with_attr("type", "error").with_child(error.to_element()),
    };
    cx.send(&result)
}
