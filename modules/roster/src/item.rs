//! Contacts as clients read and write them (RFC 6121 §2.1.2).

use std::collections::BTreeSet;

use calypte::prelude::*;
use calypte::tables::Contact;

use crate::Config;

/// What a client asks to be done with a contact.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Keep it under this name and in these groups.
    Keep { name: Option<String>, groups: Vec<String> },
    /// Forget it.
    Remove,
}

/// Reads the item of a roster set, with the bare address of the contact.
///
/// Only name, groups and removal are the client's to say; the rest comes from stanzas (§2.1.2).
///
/// # Errors
///
/// As §2.3.3 says: `bad-request`, `jid-malformed`, `not-acceptable`.
pub(crate) fn read(query: Node<'_>, config: &Config) -> Result<(String, Wish), StanzaError> {
    let mut items = query.children().filter(|child| child.is(ns::ROSTER, "item"));
    let (Some(item), None) = (items.next(), items.next()) else {
        return Err(StanzaError::BAD_REQUEST);
    };
    let jid = item.attr("jid").ok_or(StanzaError::BAD_REQUEST)?;
    let jid = Jid::parse(&jid).map_err(|_| StanzaError::JID_MALFORMED)?;
    let contact = jid.bare().as_str().to_owned();
    if item.attr("subscription").as_deref() == Some("remove") {
        return Ok((contact, Wish::Remove));
    }
    let name = item.attr("name").filter(|name| !name.is_empty()).map(std::borrow::Cow::into_owned);
    check_length(name.as_deref().unwrap_or(""), config)?;
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for group in item.children().filter(|child| child.is(ns::ROSTER, "group")) {
        let group = group.text().into_owned();
        if group.is_empty() {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("a group needs a name"));
        }
        check_length(&group, config)?;
        if !seen.insert(group.clone()) {
            return Err(StanzaError::BAD_REQUEST.with_text("a group is named twice"));
        }
        groups.push(group);
        if groups.len() > usize::try_from(config.groups).unwrap_or(usize::MAX) {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("too many groups"));
        }
    }
    Ok((contact, Wish::Keep { name, groups }))
}

fn check_length(name: &str, config: &Config) -> Result<(), StanzaError> {
    if name.len() > usize::try_from(config.name_bytes).unwrap_or(usize::MAX) {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("the name is too long"));
    }
    Ok(())
}

/// Writes a contact as an item; one that is not listed is shown as removed.
pub(crate) fn write(jid: &str, contact: &Contact) -> Element {
    let mut item = Element::new(ns::ROSTER, "item").with_attr("jid", jid);
    if !contact.listed {
        return item.with_attr("subscription", "remove");
    }
    if let Some(name) = &contact.name {
        item.push_attr("name", name);
    }
    let subscription = match (contact.to, contact.from) {
        (false, false) => "none",
        (true, false) => "to",
        (false, true) => "from",
        (true, true) => "both",
    };
    item.push_attr("subscription", subscription);
    if contact.asked {
        item.push_attr("ask", "subscribe");
    }
    if contact.approved {
        item.push_attr("approved", "true");
    }
    for group in &contact.groups {
        item.push_child(Element::new(ns::ROSTER, "group").with_text(group));
    }
    item
}

/// Tells whether two states of a contact look the same to clients.
pub(crate) fn is_same(a: &Contact, b: &Contact) -> bool {
    let shown = |contact: &Contact| {
        let Contact { to, from, asked, approved, listed, .. } = *contact;
        // What is not listed shows nothing of itself.
        if listed { (to, from, asked, approved, listed) } else { Default::default() }
    };
    shown(a) == shown(b) && (!a.listed || (a.name == b.name && a.groups == b.groups))
}
