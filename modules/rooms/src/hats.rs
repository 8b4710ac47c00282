//! Hats (XEP-0317): what else somebody is to the room, as a title that others see.
//!
//! Owners make and destroy them, owners and admins give them, by commands of the room (XEP-0050).

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::table;
use calypte::wire::Range;

use crate::records::OCCUPANTS;
use crate::room::{Room, affiliation, is_same, made_ms, occupants_of};
use crate::rules::Affiliation;
use crate::show::{Note, announce, say, with_codes};
use crate::{Config, form, limits, result};

/// The hats of the room, by their URI.
pub(crate) const HATS: Table<str, Hat> = Table::account("rooms.hats");
/// Who wears which, by bare address and URI.
pub(crate) const WORN: Table<(String, String), Worn> = Table::account("rooms.hats-worn");

/// The most hats of a room.
const HATS_MAX: u32 = 50;
/// The most hats that one person wears.
const WORN_MAX: u32 = 10;
/// The most pairs of a hat and who wears it.
const ALL_WORN_MAX: u32 = 2000;
/// The longest URI, in bytes.
const URI_BYTES_MAX: usize = 512;
/// The longest title, in bytes.
const TITLE_BYTES_MAX: usize = 128;

/// A hat.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Hat {
    title: String,
    /// Its colour: an angle in degrees, as it was written.
    hue: Option<String>,
}

record!(Hat, 1);

/// That somebody wears a hat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Worn {
    /// Since when, in milliseconds since 1970.
    since_ms: u64,
}

impl Record for Worn {
    const VERSION: u8 = 2;

    fn encode(&self) -> Vec<u8> {
        table::encode_body(self)
    }

    fn decode(version: u8, body: &[u8]) -> Result<Self, table::Broken> {
        match version {
            // Nobody knows since when.
            1 => Ok(Self { since_ms: u64::MAX }),
            2 => table::decode_body(body),
            _ => Err(table::Broken { table: "" }),
        }
    }
}

/// The commands, and what they are called.
const COMMANDS: &[(&str, &str)] = &[
    ("create", "Make or change a hat"),
    ("destroy", "Destroy a hat"),
    ("list", "List the hats"),
    ("assign", "Give somebody a hat"),
    ("unassign", "Take a hat from somebody"),
    ("list-assigned", "List who wears which hat"),
];

fn node(name: &str) -> String {
    format!("{}:{name}", ns::HATS_COMMANDS)
}

/// Lists the commands for those who may run them.
pub(crate) fn commands(from: JidRef<'_>, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let mut query = Element::new(ns::DISCO_ITEMS, "query").with_attr("node", ns::COMMANDS);
    let affiliation = affiliation(from.bare_str(), cx)?;
    let room = cx.owner_jid();
    for (name, title) in COMMANDS.iter().filter(|(name, _)| affiliation >= least(name)) {
        query.push_child(
            Element::new(ns::DISCO_ITEMS, "item")
                .with_attr("jid", room.as_str())
                .with_attr("node", &node(name))
                .with_attr("name", title),
        );
    }
    Ok(query)
}

fn least(command: &str) -> Affiliation {
    match command {
        "create" | "destroy" => Affiliation::Owner,
        _ => Affiliation::Admin,
    }
}

/// Somebody runs a command.
pub(crate) fn command(
    config: &Config,
    room: &Room,
    iq: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> HookResult {
    let command = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
    let wanted = command.attr("node").unwrap_or_default();
    let name = wanted.strip_prefix(ns::HATS_COMMANDS).and_then(|name| name.strip_prefix(':'));
    let known = COMMANDS.iter().find(|(known, _)| Some(*known) == name);
    let (name, title) = known.ok_or(StanzaError::ITEM_NOT_FOUND)?;
    if affiliation(from.bare_str(), cx)? < least(name) {
        return Err(StanzaError::FORBIDDEN);
    }
    limits::spend(config, from.bare_str(), iq.content.root(), cx)?;
    let answer = |status: &str| {
        let id = command.attr("sessionid").unwrap_or_else(|| "hats".into());
        Element::new(ns::COMMANDS, "command")
            .with_attr("node", &wanted)
            .with_attr("sessionid", &id)
            .with_attr("status", status)
    };
    if command.attr("action").as_deref() == Some("cancel") {
        result(iq, Some(answer("canceled")), cx)?;
        return Ok(Flow::Handled);
    }
    let done = match *name {
        "list" => Some(list(cx)?),
        "list-assigned" => Some(list_worn(cx)?),
        _ => None,
    };
    if let Some(list) = done {
        result(iq, Some(answer("completed").with_child(list)), cx)?;
        return Ok(Flow::Handled);
    }
    let Some(x) = command.child(ns::DATA_FORMS, "x") else {
        let form = to_fill(name, title, cx)?;
        result(iq, Some(answer("executing").with_child(form)), cx)?;
        return Ok(Flow::Handled);
    };
    let fields = form::read(x, ns::HATS_COMMANDS)?;
    let changed = change(name, &fields, cx)?;
    result(iq, Some(answer("completed")), cx)?;
    refresh(room, &changed, cx)?;
    Ok(Flow::Handled)
}

/// Whose hats are others now.
#[derive(Default)]
struct Changed {
    people: Vec<String>,
    /// Whether the list of hats is another.
    is_list: bool,
}

fn change(
    name: &str,
    fields: &form::Fields,
    cx: &mut Context<'_, '_>,
) -> Result<Changed, StanzaError> {
    let bad = |why: &'static str| StanzaError::NOT_ACCEPTABLE.with_text(why);
    let uri = form::value(fields, "hats#uri").unwrap_or_default().to_owned();
    if uri.len() > URI_BYTES_MAX || !uri.contains(':') || has_space(&uri) {
        return Err(bad("A hat has a URI."));
    }
    let known = cx.get(&HATS, &*uri)?;
    match name {
        "create" => {
            let hat = read_hat(fields)?;
            if known.is_none() && cx.all(&HATS, HATS_MAX)?.len() >= usize_of(HATS_MAX) {
                return Err(StanzaError::RESOURCE_CONSTRAINT.with_text("There are too many hats."));
            }
            if known.as_ref() == Some(&hat) {
                return Ok(Changed::default());
            }
            cx.put(&HATS, &*uri, &hat)?;
            Ok(Changed { people: wearers(&uri, cx)?, is_list: true })
        }
        "destroy" => {
            known.ok_or(StanzaError::ITEM_NOT_FOUND)?;
            let people = wearers(&uri, cx)?;
            for bare in &people {
                cx.delete(&WORN, &(bare.clone(), uri.clone()))?;
            }
            cx.delete(&HATS, &*uri)?;
            Ok(Changed { people, is_list: true })
        }
        _ => {
            let jid = form::value(fields, "hats#jid").ok_or(StanzaError::BAD_REQUEST)?;
            let bare = Jid::parse(jid).map_err(|_| StanzaError::JID_MALFORMED)?.bare();
            let key = (bare.as_str().to_owned(), uri);
            forget_old(&key.0, cx)?;
            let is_worn = cx.get(&WORN, &key)?.is_some();
            if name == "unassign" {
                cx.delete(&WORN, &key)?;
            } else {
                known.ok_or(StanzaError::ITEM_NOT_FOUND)?;
                let is_much = worn_by(bare.as_str(), cx)?.len() >= usize_of(WORN_MAX)
                    || cx.all(&WORN, ALL_WORN_MAX)?.len() >= usize_of(ALL_WORN_MAX);
                if !is_worn && is_much {
                    let why = "Nobody can wear more hats here.";
                    return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
                }
                cx.put(&WORN, &key, &Worn { since_ms: cx.now_ms() })?;
            }
            let is_same = is_worn == (name == "assign");
            let people = if is_same { Vec::new() } else { vec![key.0] };
            Ok(Changed { people, is_list: false })
        }
    }
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn has_space(text: &str) -> bool {
    text.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn read_hat(fields: &form::Fields) -> Result<Hat, StanzaError> {
    let bad = |why: &'static str| StanzaError::NOT_ACCEPTABLE.with_text(why);
    let title = form::value(fields, "hats#title").unwrap_or_default();
    if title.is_empty() || title.len() > TITLE_BYTES_MAX || title.chars().any(char::is_control) {
        return Err(bad("A hat has a title, and not a long one."));
    }
    let hue = form::value(fields, "hats#hue").filter(|hue| !hue.is_empty());
    let is_angle = |hue: &str| {
        hue.len() <= 20 && hue.parse::<f64>().is_ok_and(|hue| (0.0..=360.0).contains(&hue))
    };
    if hue.is_some_and(|hue| !is_angle(hue)) {
        return Err(bad("A hue is a number from 0 to 360."));
    }
    Ok(Hat { title: title.to_owned(), hue: hue.map(str::to_owned) })
}

/// Lists the people who wear a hat.
fn wearers(uri: &str, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
    let worn = cx.all(&WORN, ALL_WORN_MAX)?;
    Ok(worn.into_iter().filter(|((_, hat), _)| hat == uri).map(|((bare, _), _)| bare).collect())
}

/// Lists the hats that somebody wears, by URI.
fn worn_by(bare: &str, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
    let from = WORN.encode_key(&(bare.to_owned(), String::new()));
    let range = Range { to: None, limit: WORN_MAX, reverse: false };
    let worn = cx.scan(&WORN, &from, &range)?;
    let own = worn.into_iter().take_while(|((wearer, _), _)| wearer == bare);
    let since_ms = made_ms(bare, cx)?;
    // Who wore others had the address before an account of this name was made anew.
    let own = own.filter(|(_, worn)| worn.since_ms >= since_ms);
    Ok(own.map(|((_, uri), _)| uri).collect())
}

/// Forgets the hats of who had an address before.
fn forget_old(bare: &str, cx: &mut Context<'_, '_>) -> Done {
    let from = WORN.encode_key(&(bare.to_owned(), String::new()));
    let since_ms = made_ms(bare, cx)?;
    let range = Range { to: None, limit: WORN_MAX, reverse: false };
    let worn = cx.scan(&WORN, &from, &range)?;
    for (key, worn) in worn.into_iter().take_while(|((wearer, _), _)| wearer == bare) {
        if worn.since_ms < since_ms {
            cx.delete(&WORN, &key)?;
        }
    }
    Ok(())
}

/// Returns the element with somebody's hats; nothing for who wears none.
pub(crate) fn of(bare: &str, cx: &mut Context<'_, '_>) -> Result<String, StanzaError> {
    let mut hats = Element::new(ns::HATS, "hats");
    for uri in worn_by(bare, cx)? {
        let Some(hat) = cx.get(&HATS, &*uri)? else { continue };
        let mut element =
            Element::new(ns::HATS, "hat").with_attr("title", &hat.title).with_attr("uri", &uri);
        if let Some(hue) = &hat.hue {
            element.push_attr("hue", hue);
        }
        hats.push_child(element);
    }
    Ok(match hats.children().next() {
        Some(_) => hats.to_xml(ns::CLIENT),
        None => String::new(),
    })
}

/// Shows everybody who wears what now.
fn refresh(room: &Room, changed: &Changed, cx: &mut Context<'_, '_>) -> Done {
    for bare in &changed.people {
        let hats = of(bare, cx)?;
        for (key, mut occupant) in occupants_of(bare, cx)? {
            occupant.hats.clone_from(&hats);
            cx.put(&OCCUPANTS, &*key, &occupant)?;
            announce(room, &key, &occupant, &Note::default(), cx)?;
        }
    }
    if !changed.is_list {
        return Ok(());
    }
    let x = with_codes(Element::new(ns::MUC_USER, "x"), &[&[104]]);
    let message = Element::new(ns::CLIENT, "message")
        .with_attr("from", cx.owner().as_str())
        .with_attr("type", "groupchat");
    say(&message.with_child(x), cx)
}

fn to_fill(name: &str, title: &str, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let required = || Element::new(ns::DATA_FORMS, "required");
    let text = |var: &str, label: &str, kind: &str| {
        form::field(var, &[]).with_attr("type", kind).with_attr("label", label)
    };
    let title = Element::new(ns::DATA_FORMS, "title").with_text(title);
    let mut x = form::start("form", ns::HATS_COMMANDS).with_child(title);
    if name == "create" {
        x.push_child(text("hats#title", "Title", "text-single").with_child(required()));
        x.push_child(text("hats#uri", "URI", "text-single").with_child(required()));
        x.push_child(text("hats#hue", "Hue, from 0 to 360", "text-single"));
        return Ok(x);
    }
    if name != "destroy" {
        x.push_child(text("hats#jid", "Address", "jid-single").with_child(required()));
    }
    let mut hats = text("hats#uri", "Hat", "list-single");
    for (uri, hat) in cx.all(&HATS, HATS_MAX)? {
        let value = Element::new(ns::DATA_FORMS, "value").with_text(&uri);
        let option = Element::new(ns::DATA_FORMS, "option").with_attr("label", &hat.title);
        hats.push_child(option.with_child(value));
    }
    Ok(x.with_child(hats.with_child(required())))
}

fn reported(names: &[&str]) -> Element {
    let fields = names.iter().map(|name| form::field(name, &[]));
    let reported = fields.fold(Element::new(ns::DATA_FORMS, "reported"), Element::with_child);
    Element::new(ns::DATA_FORMS, "x").with_attr("type", "result").with_child(reported)
}

fn item(fields: &[(&str, &str)]) -> Element {
    let fields = fields.iter().map(|(name, value)| form::field(name, &[(*value).to_owned()]));
    fields.fold(Element::new(ns::DATA_FORMS, "item"), Element::with_child)
}

fn list(cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let mut x = reported(&["hats#title", "hats#uri", "hats#hue"]);
    for (uri, hat) in cx.all(&HATS, HATS_MAX)? {
        let hue = hat.hue.as_deref().unwrap_or_default();
        x.push_child(item(&[("hats#title", &hat.title), ("hats#uri", &uri), ("hats#hue", hue)]));
    }
    Ok(x)
}

fn list_worn(cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let mut x = reported(&["hats#jid", "hats#uri", "hats#title", "hats#hue"]);
    for ((bare, uri), worn) in cx.all(&WORN, ALL_WORN_MAX)? {
        let Some(hat) = cx.get(&HATS, &*uri)? else { continue };
        if !is_same(&bare, worn.since_ms, cx)? {
            continue;
        }
        let hue = hat.hue.as_deref().unwrap_or_default();
        x.push_child(item(&[
            ("hats#jid", &bare),
            ("hats#uri", &uri),
            ("hats#title", &hat.title),
            ("hats#hue", hue),
        ]));
    }
    Ok(x)
}

/// Returns what tells one list of hats from another; nothing when there are none.
pub(crate) fn hash(cx: &mut Context<'_, '_>) -> Result<Option<String>, StanzaError> {
    let mut text = String::new();
    for (uri, hat) in cx.all(&HATS, HATS_MAX)? {
        let hue = hat.hue.as_deref().unwrap_or_default();
        text.push_str(&format!("{uri}\n{}\n{hue}\n", hat.title));
    }
    let hash = calypte::crypto::hash(text.as_bytes());
    let hash: String = hash.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(hash).filter(|_| !text.is_empty()))
}

/// Forgets all hats.
pub(crate) fn forget(cx: &mut Context<'_, '_>) -> Done {
    for (uri, _) in cx.all(&HATS, u32::MAX)? {
        cx.delete(&HATS, &*uri)?;
    }
    for (key, _) in cx.all(&WORN, u32::MAX)? {
        cx.delete(&WORN, &key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let hat = Hat { title: "t".into(), hue: Some("1".into()) };
        assert_eq!(HATS.encode(&hat), b"\x01\x01t\x01\x011");
        assert_eq!(WORN.encode(&Worn { since_ms: 4 }), b"\x02\x04");
        assert!(WORN.decode(b"\x01").is_ok_and(|worn| worn.since_ms == u64::MAX));
    }
}
