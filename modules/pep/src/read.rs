//! Reading what was published (XEP-0060 §6.5).

use calypte::prelude::*;
use tables::PepItem;
use xep::rsm::{Part, given};

use crate::errors::unsupported;
use crate::{access, node_name, rows};

/// The most bytes of an answer, where it is more than one item: it has to fit into a client's queue
/// beside what else comes.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// Items with their ids, in the order in which they were published.
type Items = Vec<(String, PepItem)>;

/// Gives items to somebody who may see them.
pub(crate) fn items(request: &Request<'_>, action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let name = node_name(action)?;
    let node = rows::node(&name, cx)?;
    access::admit(&name, &node, request.from, cx)?;
    if !node.persist {
        return Err(unsupported("persistent-items"));
    }
    let ids = action.children().filter(|child| child.is(ns::PUBSUB, "item"));
    let ids: Vec<_> = ids.filter_map(|item| item.attr("id")).collect();
    let set = request.query()?.child(ns::RSM, "set");
    let (found, has_more) = if ids.is_empty() {
        let mut part = set.map(Part::read).transpose()?.unwrap_or_default();
        if let Some(max) = action.attr("max_items") {
            part.max = Some(max.parse().map_err(|_| StanzaError::BAD_REQUEST)?);
            part.before.get_or_insert_default();
        }
        if set.is_none() {
            // What has no room is the oldest (§6.5.7).
            part.before = Some(String::new());
        }
        page(&name, &part, cx)?
    } else {
        (by_id(&name, &ids, cx)?, false)
    };
    let mut list = Element::new(ns::PUBSUB, "items").with_attr("node", &name);
    for (id, item) in &found {
        let element = Element::new(ns::PUBSUB, "item").with_attr("id", id);
        list.push_child(element.with_raw(item.payload.clone()));
    }
    let mut answer = Element::new(ns::PUBSUB, "pubsub").with_child(list);
    if set.is_some() || has_more {
        let ends = found.first().zip(found.last());
        let ends = ends.map(|((first, _), (last, _))| (first.as_str(), last.as_str()));
        answer.push_child(given(ends, Some(node.items.into())));
    }
    Ok(Reply::With(answer))
}

/// Returns the items with these ids that are there; none is an error (§6.5.9.11).
fn by_id(
    name: &str,
    ids: &[std::borrow::Cow<'_, str>],
    cx: &mut Context<'_, '_>,
) -> Result<Items, StanzaError> {
    let (mut found, mut bytes) = (Items::new(), 0_usize);
    for id in ids {
        if found.iter().any(|(known, _)| known == id) {
            continue;
        }
        let Some(item) = rows::item(name, id, cx)? else { continue };
        bytes = bytes.saturating_add(item.payload.len());
        if bytes > ANSWER_BYTES_MAX && !found.is_empty() {
            let why = "Ask for fewer items at a time.";
            return Err(StanzaError::POLICY_VIOLATION.with_text(why));
        }
        found.push((id.to_string(), item));
    }
    if found.is_empty() { Err(StanzaError::ITEM_NOT_FOUND) } else { Ok(found) }
}

/// Returns a part of the items, and whether there are more in the direction that was read.
fn page(name: &str, part: &Part, cx: &mut Context<'_, '_>) -> Result<(Items, bool), StanzaError> {
    let place = |id: &str, cx: &mut Context<'_, '_>| {
        let item = rows::item(name, id, cx)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
        Ok::<_, StanzaError>(item.place)
    };
    let (mut from, mut to) = (0, u64::MAX);
    if let Some(after) = &part.after {
        from = place(after, cx)?.saturating_add(1);
    }
    if let Some(before) = part.before.as_ref().filter(|before| !before.is_empty()) {
        to = place(before, cx)?;
    }
    let is_backwards = part.before.is_some();
    let max = part.max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
    let limit = u32::try_from(max.saturating_add(1)).unwrap_or(u32::MAX);
    let (mut found, mut bytes, mut has_more) = (Items::new(), 0_usize, false);
    for (_, id) in rows::places(name, (from, to), limit, is_backwards, cx)? {
        let Some(item) = rows::item(name, &id, cx)? else { continue };
        bytes = bytes.saturating_add(item.payload.len());
        if found.len() >= max || (bytes > ANSWER_BYTES_MAX && !found.is_empty()) {
            has_more = true;
            break;
        }
        found.push((id, item));
    }
    if is_backwards {
        found.reverse();
    }
    // Who asked for so many at most is not told that there are more.
    Ok((found, has_more && bytes > ANSWER_BYTES_MAX))
}
