//! What becomes of an account by circles.

use bincode::{Decode, Encode};
use calypte::notice::{AccountEnds, CircleChange, Circled, PepPublish};
use calypte::prelude::*;
use tables::{PEP_ITEMS, ROSTER};

use crate::{Circles, NS};

/// Contacts that the account has by circles, by their bare address.
const CONTACTS: Table<str, ByCircles> = Table::account("circles.contacts");

/// Rooms of the account's circles, by their address.
const ROOMS: Table<str, Room> = Table::account("circles.rooms");

/// A room of circles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Room {
    /// Whose room it is, of the circles that the account is in.
    circles: Vec<String>,
    /// Which of them its bookmark is by. One that was there before is the account's own.
    made_by: Option<String>,
}

record!(Room, 1);

/// A contact by circles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct ByCircles {
    /// In which circles it is with the account.
    circles: Vec<String>,
    /// Whether it was a contact before.
    was_there: bool,
}

record!(ByCircles, 1);

/// How contacts were before the first circle, by their bare address.
const BEFORE: Table<str, Before> = Table::account("circles.before");

/// How a contact was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Before {
    /// Whether it saw the account.
    from: bool,
    /// Whether the account saw it.
    to: bool,
}

record!(Before, 1);

impl Circles {
    /// An account hears from the domain what becomes of its contacts and of its bookmarks.
    pub(crate) fn told(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        if request.from.is_none_or(|from| from.as_str() != cx.domain()) {
            return Err(StanzaError::SERVICE_UNAVAILABLE);
        }
        let word = request.query()?;
        let circle = word.attr("name").unwrap_or_default().into_owned();
        let is_in = word.attr("state").as_deref() == Some("in");
        for who in word.children().filter(|who| who.is(NS, "who")) {
            let contact = who.text().into_owned();
            if is_in { begin(cx, &circle, contact)? } else { end(cx, &circle, contact)? }
        }
        if let Some(room) = word.attr("room") {
            bookmark(cx, &circle, room.into_owned(), is_in)?;
        }
        Ok(Reply::Empty)
    }

    /// The account is about to be removed.
    pub(crate) fn account_ends(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let AccountEnds = notified.read()?;
        let domain = cx.domain().to_owned();
        let message = Element::new(ns::CLIENT, "message").with_attr("to", &domain);
        cx.send(&message.with_attr("type", "headline").with_child(Element::new(NS, "gone")))
    }
}

fn begin(cx: &mut Context<'_, '_>, circle: &str, contact: String) -> Done {
    let mut by = match cx.get(&CONTACTS, &*contact)? {
        Some(by) => by,
        None => {
            let before = cx.get(&ROSTER, &*contact)?.filter(|before| before.listed);
            if let Some(before) = &before {
                let before = Before { from: before.from, to: before.to };
                cx.put(&BEFORE, &*contact, &before)?;
            }
            ByCircles { circles: Vec::new(), was_there: before.is_some() }
        }
    };
    if !by.circles.iter().any(|one| one == circle) {
        by.circles.push(circle.to_owned());
    }
    cx.put(&CONTACTS, &*contact, &by)?;
    cx.tell(&Circled { contact, group: circle.to_owned(), change: CircleChange::In })
}

fn end(cx: &mut Context<'_, '_>, circle: &str, contact: String) -> Done {
    let Some(mut by) = cx.get(&CONTACTS, &*contact)? else { return Ok(()) };
    by.circles.retain(|one| one != circle);
    let is_last = by.circles.is_empty();
    if !is_last {
        cx.put(&CONTACTS, &*contact, &by)?;
        let (group, change) = (circle.to_owned(), CircleChange::Out);
        return cx.tell(&Circled { contact, group, change });
    }
    let before = cx.get(&BEFORE, &*contact)?;
    cx.delete(&CONTACTS, &*contact)?;
    cx.delete(&BEFORE, &*contact)?;
    let change = match before {
        Some(Before { from, to }) => CircleChange::AsBefore { from, to },
        // It is from when that was not noted.
        None if by.was_there => CircleChange::Out,
        None => CircleChange::Gone,
    };
    cx.tell(&Circled { contact, group: circle.to_owned(), change })
}

/// Puts the room of a circle among the bookmarks (XEP-0402), or takes it away when no other circle of
/// the account has it. A bookmark that the account made or changed is its own, and stays.
fn bookmark(cx: &mut Context<'_, '_>, circle: &str, room: String, is_in: bool) -> Done {
    let fields = [
        ("pubsub#access_model", "whitelist"),
        ("pubsub#persist_items", "true"),
        ("pubsub#max_items", "max"),
        ("pubsub#send_last_published_item", "never"),
    ];
    let config = fields.map(|(field, value)| (field.to_owned(), value.to_owned())).to_vec();
    let node = ns::BOOKMARKS.to_owned();
    let there = cx.get(&PEP_ITEMS, &(node.clone(), room.clone()))?.map(|item| item.payload);
    let mut by = cx.get(&ROOMS, &*room)?.unwrap_or_default();
    by.circles.retain(|one| one != circle);
    if is_in {
        by.circles.push(circle.to_owned());
        if there.is_none() {
            by.made_by = Some(circle.to_owned());
        }
        cx.put(&ROOMS, &*room, &by)?;
        if there.is_some() {
            return Ok(());
        }
        let publish = vec![(room, conference(circle))];
        return cx.tell(&PepPublish { node, config, publish, retract: Vec::new() });
    }
    if !by.circles.is_empty() {
        return cx.put(&ROOMS, &*room, &by);
    }
    cx.delete(&ROOMS, &*room)?;
    let made = by.made_by.map(|circle| conference(&circle));
    if made.is_none() || made != there {
        return Ok(());
    }
    cx.tell(&PepPublish { node, config, publish: Vec::new(), retract: vec![room] })
}

/// Returns the bookmark of a circle's room.
fn conference(circle: &str) -> String {
    let item = Element::new(ns::BOOKMARKS, "conference")
        .with_attr("name", circle)
        .with_attr("autojoin", "true");
    item.to_xml("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let by = ByCircles { circles: vec!["a".into()], was_there: true };
        assert_eq!(CONTACTS.encode(&by), b"\x01\x01\x01a\x01");
        assert_eq!(BEFORE.encode(&Before { from: true, to: false }), b"\x01\x01\x00");
        let by = Room { circles: vec!["a".into()], made_by: Some("b".into()) };
        assert_eq!(ROOMS.encode(&by), b"\x01\x01\x01a\x01\x01b");
    }
}
