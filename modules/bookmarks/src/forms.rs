//! The two forms of a bookmark (XEP-0048 §2.1, XEP-0402 §2), and what both say.

use std::collections::BTreeMap;

use calypte::prelude::*;

/// The most bookmarks of a list.
const LIST_MAX: usize = 1000;
/// The longest list, in bytes.
pub(crate) const LIST_BYTES_MAX: usize = 192 << 10;

/// What both forms say of a room.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Bookmark {
    name: String,
    autojoin: bool,
    nick: String,
    password: String,
}

/// Bookmarks by the address of the room.
pub(crate) type Bookmarks = BTreeMap<String, Bookmark>;

/// Refuses a list that is too long to be kept in both forms.
pub(crate) fn check(list: Option<Node<'_>>) -> Done {
    let Some(list) = list else { return Ok(()) };
    let is_short = list.children().count() <= LIST_MAX
        && Element::from_node(list).to_xml("").len() <= LIST_BYTES_MAX;
    if is_short {
        return Ok(());
    }
    let text = format!("A list has at most {LIST_MAX} bookmarks and {LIST_BYTES_MAX} bytes.");
    Err(StanzaError::POLICY_VIOLATION.with_text(text))
}

/// Returns the address of a room as it is compared, when it is one.
pub(crate) fn room(jid: &str) -> Option<String> {
    let jid = Jid::parse(jid).ok()?;
    Some(jid.bare().as_str().to_owned())
}

/// Returns the room of an element of a list.
pub(crate) fn room_of(child: Node<'_>) -> Option<String> {
    let jid = child.attr("jid").filter(|_| child.is(ns::OLD_BOOKMARKS, "conference"))?;
    room(&jid)
}

/// Reads the rooms of a list. The first of several with the same address counts.
pub(crate) fn rooms(list: Node<'_>) -> Bookmarks {
    let mut rooms = Bookmarks::new();
    for child in list.children() {
        if let Some(room) = room_of(child) {
            rooms.entry(room).or_insert_with(|| Bookmark::read(child));
        }
    }
    rooms
}

impl Bookmark {
    /// Reads either form.
    pub(crate) fn read(conference: Node<'_>) -> Self {
        let text = |name| conference.child_text(conference.ns(), name).unwrap_or_default();
        let autojoin = conference.attr("autojoin").unwrap_or_default();
        Self {
            name: conference.attr("name").unwrap_or_default().into_owned(),
            autojoin: matches!(autojoin.trim(), "true" | "1"),
            nick: text("nick").into_owned(),
            password: text("password").into_owned(),
        }
    }

    /// Writes it as an item, with all else that `before` has: extensions stay as they are.
    pub(crate) fn to_item(&self, before: Option<Node<'_>>) -> Element {
        self.write(ns::BOOKMARKS, None, before)
    }

    /// Writes it as an element of a list, with all else that `before` has.
    pub(crate) fn to_listed(&self, room: &str, before: Option<Node<'_>>) -> Element {
        self.write(ns::OLD_BOOKMARKS, Some(room), before)
    }

    fn write(&self, ns: &str, room: Option<&str>, before: Option<Node<'_>>) -> Element {
        let mut conference = Element::new(ns, "conference");
        if let Some(room) = room {
            conference.push_attr("jid", room);
        }
        if !self.name.is_empty() {
            conference.push_attr("name", &self.name);
        }
        if self.autojoin {
            conference.push_attr("autojoin", "true");
        }
        for (name, text) in [("nick", &self.nick), ("password", &self.password)] {
            if !text.is_empty() {
                conference.push_child(Element::new(ns, name).with_text(text));
            }
        }
        let Some(before) = before else { return conference };
        let is_ours = |name: &str| ["jid", "name", "autojoin"].contains(&name);
        for (attr_ns, name, value) in before.attrs() {
            if attr_ns.is_empty() && !is_ours(name) {
                conference.push_attr(name, &value);
            }
        }
        let is_said = |child: Node<'_>| child.is(ns, "nick") || child.is(ns, "password");
        for child in before.children().filter(|child| !is_said(*child)) {
            conference.push_child(Element::from_node(child));
        }
        conference
    }
}
