//! The room of a circle, as module `rooms` is asked for it: the domain is an owner of all its rooms, so its
//! requests are those of any owner (XEP-0045 §9, §10).

use calypte::prelude::*;
use tables::ROOM_SERVICE;

use crate::known::Change;

/// How much of a circle's name stands in the address of its room, in characters.
const NAME_CHARS_MAX: usize = 30;
/// Letters of chance in the address: nobody has a room there already, or makes one before.
const CHANCE_LETTERS: u32 = 10;

/// How the room is: its people see each other's addresses, as they are contacts, and clients encrypt in
/// such rooms only.
const SETTINGS: [(&str, &str); 5] = [
    ("muc#roomconfig_membersonly", "1"),
    ("muc#roomconfig_persistentroom", "1"),
    ("muc#roomconfig_publicroom", "0"),
    ("muc#roomconfig_whois", "anyone"),
    ("muc#roomconfig_changesubject", "1"),
];

/// Returns a new address for the room of a circle; `None` where there are no rooms.
pub(crate) fn address(
    cx: &mut Context<'_, '_>,
    circle: &str,
) -> Result<Option<String>, StanzaError> {
    let Some(service) = cx.get(&ROOM_SERVICE, "")? else { return Ok(None) };
    let word = |c: char| if c.is_alphanumeric() { c } else { '-' };
    let name: String = circle.chars().take(NAME_CHARS_MAX).map(word).collect();
    let chance = cx.random_name(CHANCE_LETTERS)?;
    let with = |name: &str| Jid::parse(&format!("{name}-{chance}@{}", service.address));
    let address = with(name.trim_matches('-')).or_else(|_| with("circle"));
    address.map(|jid| Some(jid.to_string())).map_err(|_| StanzaError::INTERNAL)
}

/// Returns the request that makes the room, or makes it anew what it is.
pub(crate) fn make(circle: &str) -> Element {
    let field = |name: &str, value: &str| {
        let value = Element::new(ns::DATA_FORMS, "value").with_text(value);
        Element::new(ns::DATA_FORMS, "field").with_attr("var", name).with_child(value)
    };
    let mut form = Element::new(ns::DATA_FORMS, "x")
        .with_attr("type", "submit")
        .with_child(field("FORM_TYPE", ns::MUC_ROOMCONFIG))
        .with_child(field("muc#roomconfig_roomname", circle));
    for (name, value) in SETTINGS {
        form.push_child(field(name, value));
    }
    Element::new(ns::MUC_OWNER, "query").with_child(form)
}

/// Returns the request that ends the room.
pub(crate) fn end() -> Element {
    let destroy = Element::new(ns::MUC_OWNER, "destroy");
    Element::new(ns::MUC_OWNER, "query").with_child(destroy)
}

/// Returns the request that makes people members of the room, or nobody there.
pub(crate) fn seats(domain: &str, people: &[String], change: Change) -> Element {
    let affiliation = if change == Change::In { "member" } else { "none" };
    let mut query = Element::new(ns::MUC_ADMIN, "query");
    for name in people {
        let item = Element::new(ns::MUC_ADMIN, "item").with_attr("affiliation", affiliation);
        query.push_child(item.with_attr("jid", &format!("{name}@{domain}")));
    }
    query
}
