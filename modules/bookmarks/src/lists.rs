//! Where bookmarks are: the items, the two lists, and what the lists last were.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use calypte::notice::{Notice, PepPublish, PrivateKeep};
use calypte::prelude::*;
use calypte::wire::Range;
use tables::{PEP_ITEMS, PRIVATE};

use crate::forms::{Bookmark, LIST_BYTES_MAX, room, room_of};

/// What both lists last were; a row that is there once the doors were united, and another one for what
/// the old node has, while module `pep` has no room for the list.
const LIST: Table<str, List> = Table::account("bookmarks.list");
/// The key of the first row.
const KEY: &str = "list";
/// The key of the other row.
const NODE_KEY: &str = "node";
/// The id of the item with the list (XEP-0048 §3.1).
pub(crate) const CURRENT: &str = "current";

/// A list.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
struct List {
    xml: String,
}

record!(List, 1);

/// Until when long lists are not written anew for a change of the items; one row.
const RESTS: Table<str, Rests> = Table::volatile_account("bookmarks.rests");
/// How much of a list is written at once whenever something changes.
const SHORT_BYTES: usize = 16 << 10;
/// How long the lists rest for each as much that they have, in milliseconds.
const REST_MS: u64 = 1000;

/// When it is over, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Rests {
    until_ms: u64,
}

record!(Rests, 1);

/// We tell it ourselves behind what module `pep` has to do first: it has the list, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Written;

impl Notice for Written {
    const NAME: &'static str = "bookmarks.written";
}

/// A room of the items.
pub(crate) struct Room {
    pub(crate) bookmark: Bookmark,
    /// The id of its item, as the client wrote it.
    pub(crate) id: String,
    pub(crate) payload: Flat,
    place: u64,
}

/// Returns what both lists last were.
pub(crate) fn last(cx: &mut Context<'_, '_>) -> Result<Option<String>, StanzaError> {
    Ok(cx.get(&LIST, KEY)?.map(|list| list.xml))
}

/// Returns what the list in the old node last was.
pub(crate) fn last_of_node(cx: &mut Context<'_, '_>) -> Result<Option<String>, StanzaError> {
    let held = cx.get(&LIST, NODE_KEY)?.map(|list| list.xml);
    if held.is_some() { Ok(held) } else { last(cx) }
}

/// Notes what the old node has where that is not the list: who then changes what is there has never
/// seen the rest.
pub(crate) fn note_node(cx: &mut Context<'_, '_>) -> Done {
    let newest = items(ns::OLD_BOOKMARKS, cx)?.into_iter().max_by_key(|(_, item)| item.place);
    let held = newest.map(|(_, item)| item.payload).filter(|text| {
        Flat::parse_ours(text, "").is_ok_and(|list| list.root().is(ns::OLD_BOOKMARKS, "storage"))
    });
    let held = held.unwrap_or_else(|| Element::new(ns::OLD_BOOKMARKS, "storage").to_xml(""));
    if last(cx)?.is_none_or(|last| last == held) {
        return cx.delete(&LIST, NODE_KEY);
    }
    cx.put(&LIST, NODE_KEY, &List { xml: held })
}

/// Returns the list in private storage.
pub(crate) fn private(cx: &mut Context<'_, '_>) -> Result<Option<String>, StanzaError> {
    let key = (ns::OLD_BOOKMARKS.to_owned(), "storage".to_owned());
    Ok(cx.get(&PRIVATE, &key)?.map(|kept| kept.xml))
}

/// Returns an item of the old node.
pub(crate) fn published(id: &str, cx: &mut Context<'_, '_>) -> Result<Option<String>, StanzaError> {
    let key = (ns::OLD_BOOKMARKS.to_owned(), id.to_owned());
    Ok(cx.get(&PEP_ITEMS, &key)?.map(|item| item.payload))
}

/// Returns the items of a node, by id.
pub(crate) fn items(
    node: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, tables::PepItem)>, StanzaError> {
    let from = [node.as_bytes(), &[0]].concat();
    let to = [node.as_bytes(), &[1]].concat();
    let range = Range { to: Some(to), limit: u32::MAX, reverse: false };
    let rows = cx.scan(&PEP_ITEMS, &from, &range)?;
    Ok(rows.into_iter().map(|((_, id), item)| (id, item)).collect())
}

/// Returns the items that are bookmarks, by room. What else is in the node is left alone.
pub(crate) fn rooms(cx: &mut Context<'_, '_>) -> Result<BTreeMap<String, Room>, StanzaError> {
    let mut rooms = BTreeMap::new();
    for (id, item) in items(ns::BOOKMARKS, cx)? {
        let Ok(payload) = Flat::parse_ours(&item.payload, "") else { continue };
        let Some(room) = room(&id) else { continue };
        if payload.root().is(ns::BOOKMARKS, "conference") {
            let bookmark = Bookmark::read(payload.root());
            rooms.entry(room).or_insert(Room { bookmark, id, payload, place: item.place });
        }
    }
    Ok(rooms)
}

/// Writes the list that the items make of `base`: what is no room of it stays, rooms are as the items
/// have them, new ones come last. Those for which there is no room any more are left out.
pub(crate) fn rebuilt(base: Node<'_>, rooms: &BTreeMap<String, Room>) -> String {
    let mut left: BTreeMap<&str, &Room> = rooms.iter().map(|(jid, room)| (&**jid, room)).collect();
    let mut list = Element::new(ns::OLD_BOOKMARKS, "storage");
    for child in base.children() {
        let Some(jid) = room_of(child) else {
            list.push_child(Element::from_node(child));
            continue;
        };
        let Some(room) = left.remove(&*jid) else { continue };
        list.push_child(if room.bookmark == Bookmark::read(child) {
            Element::from_node(child)
        } else {
            room.bookmark.to_listed(&jid, Some(child))
        });
    }
    let mut bytes = list.to_xml("").len();
    let mut new: Vec<_> = left.into_iter().collect();
    new.sort_unstable_by_key(|(_, room)| room.place);
    for (jid, room) in new {
        let listed = room.bookmark.to_listed(jid, None);
        bytes = bytes.saturating_add(listed.to_xml(ns::OLD_BOOKMARKS).len());
        if bytes <= LIST_BYTES_MAX {
            list.push_child(listed);
        }
    }
    list.to_xml("")
}

/// Changes items. Nobody but the account may see them (XEP-0411 §5).
pub(crate) fn change_items(
    publish: Vec<(String, String)>,
    retract: Vec<String>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let config = config("max", "never");
    cx.tell(&PepPublish { node: ns::BOOKMARKS.to_owned(), config, publish, retract })
}

/// Returns until when the lists rest, if they do.
pub(crate) fn rests_until(cx: &mut Context<'_, '_>) -> Result<Option<u64>, StanzaError> {
    let rests = cx.get(&RESTS, KEY)?.map(|rests| rests.until_ms);
    let now_ms = cx.now_ms();
    Ok(rests.filter(|until_ms| *until_ms > now_ms))
}

/// Writes both lists where they are not so already.
pub(crate) fn write(list: &str, cx: &mut Context<'_, '_>) -> Done {
    let is_empty = Element::new(ns::OLD_BOOKMARKS, "storage").to_xml("") == list;
    if last(cx)?.as_deref() != Some(list) {
        let parts = u64::try_from(list.len() / SHORT_BYTES).unwrap_or(u64::MAX);
        if parts > 0 {
            let until_ms = cx.now_ms().saturating_add(parts.saturating_mul(REST_MS));
            cx.put(&RESTS, KEY, &Rests { until_ms })?;
        }
        cx.put(&LIST, KEY, &List { xml: list.to_owned() })?;
    }
    let there = private(cx)?;
    if there.as_deref() != Some(list) && !(is_empty && there.is_none()) {
        let xml = if is_empty { String::new() } else { list.to_owned() };
        let (ns, name) = (ns::OLD_BOOKMARKS.to_owned(), "storage".to_owned());
        cx.tell(&PrivateKeep { ns, name, xml })?;
    }
    let there = items(ns::OLD_BOOKMARKS, cx)?;
    let is_so = matches!(&*there, [(id, item)] if id == CURRENT && item.payload == list);
    if is_so || (is_empty && there.is_empty()) {
        return note_node(cx);
    }
    // Clients that know of the conversion do not ask for the list: they are told of it (XEP-0411).
    let config = config("1", "on_sub_and_presence");
    let publish = vec![(CURRENT.to_owned(), list.to_owned())];
    let node = ns::OLD_BOOKMARKS.to_owned();
    // Where a client used another id its item makes room.
    cx.tell(&PepPublish { node, config, publish, retract: vec![] })?;
    cx.tell(&Written)
}

fn config(max_items: &str, send_last: &str) -> Vec<(String, String)> {
    let fields = [
        ("pubsub#access_model", "whitelist"),
        ("pubsub#persist_items", "true"),
        ("pubsub#max_items", max_items),
        ("pubsub#send_last_published_item", send_last),
    ];
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_keeps_its_bytes() {
        assert_eq!(LIST.encode(&List { xml: "<s/>".to_owned() }), b"\x01\x04<s/>");
        assert_eq!((LIST.name, KEY, NODE_KEY), ("bookmarks.list", "list", "node"));
    }
}
