//! What is kept of an account.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;
use tables::{PEP_ITEMS, PEP_MEMBERS as MEMBERS, PEP_NODES, PepItem, PepMember as Member, PepNode};

/// The ids of a node's items by their places.
pub(crate) const ORDER: Table<(String, u64), Placed> = Table::account("pep.order");
/// Who asked to be told of a node, by node and address.
pub(crate) const SUBSCRIBERS: Table<(String, String), Subscriber> =
    Table::account("pep.subscribers");
/// How much the account has; one row.
pub(crate) const TOTAL: Table<str, Total> = Table::account("pep.total");
/// The key of the row.
pub(crate) const TOTAL_KEY: &str = "total";
/// What an item takes besides its content and its names, about.
const ROW_BYTES: usize = 64;

/// An item at a place.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Placed {
    pub(crate) id: String,
}

record!(Placed, 1);

/// Somebody who asked to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Subscriber {
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: u64,
}

record!(Subscriber, 1);

/// How much an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Total {
    pub(crate) nodes: u32,
    /// Of all items.
    pub(crate) bytes: u64,
}

record!(Total, 1);

/// Returns the node, or says that there is none.
pub(crate) fn node(name: &str, cx: &mut Context<'_, '_>) -> Result<PepNode, StanzaError> {
    cx.get(&PEP_NODES, name)?.ok_or(StanzaError::ITEM_NOT_FOUND)
}

pub(crate) fn total(cx: &mut Context<'_, '_>) -> Result<Total, StanzaError> {
    Ok(cx.get(&TOTAL, TOTAL_KEY)?.unwrap_or_default())
}

/// Makes a node.
///
/// # Errors
///
/// `resource-constraint` when the account has as many as it may.
pub(crate) fn add_node(name: &str, node: &PepNode, max: u32, cx: &mut Context<'_, '_>) -> Done {
    let mut total = total(cx)?;
    if total.nodes >= max {
        let why = "You have as many nodes as you can. Delete one of them.";
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
    }
    total.nodes = total.nodes.saturating_add(1);
    cx.put(&TOTAL, TOTAL_KEY, &total)?;
    cx.put(&PEP_NODES, name, node)
}

/// Deletes a node with all that belongs to it.
pub(crate) fn delete_node(name: &str, cx: &mut Context<'_, '_>) -> Done {
    let mut node = node(name, cx)?;
    empty(name, &mut node, cx)?;
    for (jid, _) in of_node(&MEMBERS, name, cx)? {
        cx.delete(&MEMBERS, &(name.to_owned(), jid))?;
    }
    for (jid, _) in of_node(&SUBSCRIBERS, name, cx)? {
        cx.delete(&SUBSCRIBERS, &(name.to_owned(), jid))?;
    }
    let mut total = total(cx)?;
    total.nodes = total.nodes.saturating_sub(1);
    cx.put(&TOTAL, TOTAL_KEY, &total)?;
    cx.delete(&PEP_NODES, name)
}

/// Takes their place at a node from all who were given one to see it.
pub(crate) fn clear_members(name: &str, cx: &mut Context<'_, '_>) -> Done {
    for (jid, member) in of_node(&MEMBERS, name, cx)? {
        if member == Member::Member {
            cx.delete(&MEMBERS, &(name.to_owned(), jid))?;
        }
    }
    Ok(())
}

/// Reads the rows of a table that belong to a node, by address.
pub(crate) fn of_node<V: Record>(
    table: &Table<(String, String), V>,
    name: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, V)>, StanzaError> {
    let from = [name.as_bytes(), &[0]].concat();
    let to = [name.as_bytes(), &[1]].concat();
    let rows = cx.scan(table, &from, &Range { to: Some(to), limit: u32::MAX, reverse: false })?;
    Ok(rows.into_iter().map(|((_, jid), value)| (jid, value)).collect())
}

/// Returns the addresses of somebody that are told of a node: the bare one, and devices.
pub(crate) fn addresses(
    name: &str,
    bare: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<String>, StanzaError> {
    let key = |jid: String| (name.to_owned(), jid);
    let mut found = Vec::new();
    if cx.get(&SUBSCRIBERS, &key(bare.to_owned()))?.is_some() {
        found.push(bare.to_owned());
    }
    // What follows a slash: the sign behind it is a nought.
    let from = SUBSCRIBERS.encode_key(&key(format!("{bare}/")));
    let to = Some(SUBSCRIBERS.encode_key(&key(format!("{bare}0"))));
    let rows = cx.scan(&SUBSCRIBERS, &from, &Range { to, limit: u32::MAX, reverse: false })?;
    found.extend(rows.into_iter().map(|((_, jid), _)| jid));
    Ok(found)
}

/// Reads where items are, from one end, between two places.
pub(crate) fn places(
    name: &str,
    (from, to): (u64, u64),
    limit: u32,
    reverse: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(u64, String)>, StanzaError> {
    let key = |place| ORDER.encode_key(&(name.to_owned(), place));
    let rows = cx.scan(&ORDER, &key(from), &Range { to: Some(key(to)), limit, reverse })?;
    Ok(rows.into_iter().map(|((_, place), placed)| (place, placed.id)).collect())
}

/// Returns an item.
pub(crate) fn item(
    name: &str,
    id: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<PepItem>, StanzaError> {
    cx.get(&PEP_ITEMS, &(name.to_owned(), id.to_owned()))
}

/// Returns the item that was published last, with its id.
pub(crate) fn last_item(
    name: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<(String, PepItem)>, StanzaError> {
    let Some((_, id)) = places(name, (0, u64::MAX), 1, true, cx)?.pop() else { return Ok(None) };
    Ok(item(name, &id, cx)?.map(|item| (id, item)))
}

/// Writes an item behind all others of the node, in the place of one with the same id.
pub(crate) fn put_item(
    name: &str,
    node: &mut PepNode,
    (id, publisher, payload): (&str, &str, &str),
    cx: &mut Context<'_, '_>,
) -> Done {
    take_item(name, node, id, cx)?;
    node.last = node.last.saturating_add(1);
    let item = PepItem {
        place: node.last,
        stamp_ms: cx.now_ms(),
        publisher: publisher.to_owned(),
        payload: payload.to_owned(),
    };
    node.items = node.items.saturating_add(1);
    count(node, bytes(id, &item), true, cx)?;
    cx.put(&ORDER, &(name.to_owned(), item.place), &Placed { id: id.to_owned() })?;
    cx.put(&PEP_ITEMS, &(name.to_owned(), id.to_owned()), &item)?;
    cx.put(&PEP_NODES, name, node)
}

/// Deletes an item and says whether it was there.
pub(crate) fn take_item(
    name: &str,
    node: &mut PepNode,
    id: &str,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let Some(item) = item(name, id, cx)? else { return Ok(false) };
    cx.delete(&ORDER, &(name.to_owned(), item.place))?;
    cx.delete(&PEP_ITEMS, &(name.to_owned(), id.to_owned()))?;
    node.items = node.items.saturating_sub(1);
    count(node, bytes(id, &item), false, cx)?;
    cx.put(&PEP_NODES, name, node)?;
    Ok(true)
}

/// Deletes the oldest items until no more are left than may be.
pub(crate) fn trim(name: &str, node: &mut PepNode, max: u32, cx: &mut Context<'_, '_>) -> Done {
    let too_many = node.items.saturating_sub(max);
    if too_many == 0 {
        return Ok(());
    }
    for (_, id) in places(name, (0, u64::MAX), too_many, false, cx)? {
        take_item(name, node, &id, cx)?;
    }
    Ok(())
}

/// Deletes all items.
pub(crate) fn empty(name: &str, node: &mut PepNode, cx: &mut Context<'_, '_>) -> Done {
    trim(name, node, 0, cx)
}

fn count(node: &mut PepNode, bytes: u64, is_more: bool, cx: &mut Context<'_, '_>) -> Done {
    let mut total = total(cx)?;
    let changed = |before: u64| {
        if is_more { before.saturating_add(bytes) } else { before.saturating_sub(bytes) }
    };
    node.bytes = changed(node.bytes);
    total.bytes = changed(total.bytes);
    cx.put(&TOTAL, TOTAL_KEY, &total)
}

/// Returns how many bytes an item counts as.
pub(crate) fn bytes(id: &str, item: &PepItem) -> u64 {
    let names = id.len().saturating_add(item.publisher.len());
    let all = item.payload.len().saturating_add(names).saturating_add(ROW_BYTES);
    u64::try_from(all).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::default_node;

    #[test]
    fn records_keep_their_bytes() {
        assert_eq!(ORDER.encode(&Placed { id: "a".to_owned() }), b"\x01\x01a");
        assert_eq!(MEMBERS.encode(&Member::Outcast), b"\x01\x01");
        assert_eq!(SUBSCRIBERS.encode(&Subscriber { since_ms: 300 }), b"\x01\xfb\x2c\x01");
        assert_eq!(TOTAL.encode(&Total { nodes: 2, bytes: 300 }), b"\x01\x02\xfb\x2c\x01");
        let node = default_node(300);
        let bytes = b"\x01\x01\0\x01\x01\x01\x02\x01\x01\x01\x01\0\0\0\0\xfb\x2c\x01\0\0\0";
        assert_eq!(PEP_NODES.encode(&node), bytes);
        let item = PepItem {
            place: 7,
            stamp_ms: 300,
            publisher: "a@b/c".to_owned(),
            payload: "<a/>".to_owned(),
        };
        assert_eq!(PEP_ITEMS.encode(&item), b"\x01\x07\xfb\x2c\x01\x05a@b/c\x04<a/>");
        let names = [ORDER.name, MEMBERS.name, SUBSCRIBERS.name, TOTAL.name];
        assert_eq!(names, ["pep.order", "pep.members", "pep.subscribers", "pep.total"]);
        assert_eq!([PEP_NODES.name, PEP_ITEMS.name], ["pep.nodes", "pep.items"]);
    }
}
