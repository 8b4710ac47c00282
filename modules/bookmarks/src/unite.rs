//! What changed behind one door goes to the others.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use bincode::{Decode, Encode};
use calypte::notice::Notice;
use calypte::prelude::*;

use crate::forms::{self, Bookmarks};
use crate::lists;

/// Where bookmarks changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Door {
    /// The node with an item for each room.
    Items,
    /// The node with the list; the id of the item.
    Node(String),
    /// Private storage.
    Private,
    /// All of them: they meet for the first time.
    All,
}

/// We tell it ourselves behind what module `pep` has to do first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Settle {
    pub(crate) door: Door,
}

impl Notice for Settle {
    const NAME: &'static str = "bookmarks.settle";
}

/// Tells whether the doors were not united yet, and there is something to unite.
pub(crate) fn is_new(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    if lists::last(cx)?.is_some() {
        return Ok(false);
    }
    Ok(lists::private(cx)?.is_some()
        || !lists::items(ns::OLD_BOOKMARKS, cx)?.is_empty()
        || !lists::items(ns::BOOKMARKS, cx)?.is_empty())
}

/// Changes the items as a list was changed, and then all that has to be the same.
pub(crate) fn begin(door: Door, cx: &mut Context<'_, '_>) -> Done {
    // Without module `pep` there is only one door.
    if !cx.features(false)?.iter().any(|feature| feature == ns::PUBSUB) {
        return Ok(());
    }
    let last = lists::last(cx)?;
    let door = if last.is_some() { door } else { Door::All };
    if door == Door::Items {
        return settle(&door, cx);
    }
    let Some(list) = list(&door, cx)? else { return Ok(()) };
    if old(&door, cx)?.as_deref() == Some(list.raw()) {
        return Ok(());
    }
    let changes = changes(&door, &list, cx)?;
    if !changes.publish.is_empty() || !changes.retract.is_empty() {
        lists::change_items(changes.publish, changes.retract, cx)?;
    }
    cx.tell(&Settle { door })
}

/// Writes to the lists what the items are.
pub(crate) fn settle(door: &Door, cx: &mut Context<'_, '_>) -> Done {
    let Some(base) = list(door, cx)? else { return Ok(()) };
    if *door != Door::Items && !changes(door, &base, cx)?.publish.is_empty() {
        // What could not be published is kept where it is.
        cx.warn("a list of bookmarks is not published, as module pep did not take all of it");
        return Ok(());
    }
    let list = lists::rebuilt(base.root(), &lists::rooms(cx)?);
    // What was written before is on its way.
    let is_so = lists::last(cx)?.as_deref() == Some(&*list) && *door == Door::Items;
    if is_so { Ok(()) } else { lists::write(&list, cx) }
}

/// Writes the lists where they are not as they were.
pub(crate) fn restore(cx: &mut Context<'_, '_>) -> Done {
    lists::last(cx)?.map_or(Ok(()), |last| lists::write(&last, cx))
}

/// What a list changes in the items.
struct Changes {
    /// Ids and contents.
    publish: Vec<(String, String)>,
    /// Ids.
    retract: Vec<String>,
}

/// Returns the items to publish and to take back for what a list says anew.
fn changes(door: &Door, list: &Flat, cx: &mut Context<'_, '_>) -> Result<Changes, StanzaError> {
    let old = match old(door, cx)? {
        Some(last) => forms::rooms(read(&last)?.root()),
        None => Bookmarks::new(),
    };
    let new = forms::rooms(list.root());
    let rooms = lists::rooms(cx)?;
    let mut publish = Vec::new();
    for (jid, bookmark) in new.iter().filter(|(jid, bookmark)| old.get(*jid) != Some(*bookmark)) {
        let (id, before) = match rooms.get(jid) {
            // Where the doors meet for the first time the items know better.
            Some(room) if room.bookmark == *bookmark || *door == Door::All => continue,
            Some(room) => (room.id.as_str(), Some(room.payload.root())),
            None => (jid.as_str(), None),
        };
        publish.push((id.to_owned(), bookmark.to_item(before).to_xml("")));
    }
    let gone = old.keys().filter(|jid| !new.contains_key(*jid));
    let retract = gone.filter_map(|jid| rooms.get(jid)).map(|room| room.id.clone()).collect();
    Ok(Changes { publish, retract })
}

/// Returns what the list of a door last was.
fn old(door: &Door, cx: &mut Context<'_, '_>) -> Result<Option<String>, StanzaError> {
    if matches!(door, Door::Node(_)) { lists::last_of_node(cx) } else { lists::last(cx) }
}

/// Returns the list of a door; an empty one where there is none, and nothing where it is no list.
fn list(door: &Door, cx: &mut Context<'_, '_>) -> Result<Option<Flat>, StanzaError> {
    let text = match door {
        Door::Items => lists::last(cx)?,
        // A node that keeps nothing says nothing of what is gone.
        Door::Node(id) => match lists::published(id, cx)? {
            Some(text) => Some(text),
            None => return Ok(None),
        },
        Door::Private => lists::private(cx)?,
        Door::All => Some(all(cx)?),
    };
    let empty = || Element::new(ns::OLD_BOOKMARKS, "storage").to_xml("");
    let Ok(flat) = Flat::parse_ours(&text.unwrap_or_else(empty), "") else { return Ok(None) };
    Ok(Some(flat).filter(|flat| flat.root().is(ns::OLD_BOOKMARKS, "storage")))
}

/// Puts the lists of both doors together; what was published comes first.
fn all(cx: &mut Context<'_, '_>) -> Result<String, StanzaError> {
    let (mut both, mut seen) = (Element::new(ns::OLD_BOOKMARKS, "storage"), BTreeSet::new());
    let mut published = lists::items(ns::OLD_BOOKMARKS, cx)?;
    published.sort_unstable_by_key(|(_, item)| Reverse(item.place));
    let published = published.into_iter().map(|(_, item)| item.payload);
    for text in published.chain(lists::private(cx)?) {
        let Ok(flat) = Flat::parse_ours(&text, "") else { continue };
        let is_list = flat.root().is(ns::OLD_BOOKMARKS, "storage");
        for child in flat.root().children().filter(|_| is_list) {
            let child = Element::from_node(child);
            if seen.insert(child.to_xml("")) {
                both.push_child(child);
            }
        }
    }
    Ok(both.to_xml(""))
}

fn read(text: &str) -> Result<Flat, StanzaError> {
    Flat::parse_ours(text, "").map_err(|_| StanzaError::INTERNAL)
}
