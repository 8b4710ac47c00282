//! The card: kept, and shown.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::avatar::{self, Audience};
use crate::photo::{self, Photo};
use crate::{Vcard, shown};

/// The card without the photo; one row.
const CARD: Table<str, Card> = Table::account("vcard.card");
/// The key of the row.
const KEY: &str = "card";

/// A card.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Card {
    /// The element as text, which says its own namespaces.
    xml: String,
}

record!(Card, 1);

impl Vcard {
    /// Shows a card (XEP-0054 §3.1, §3.3).
    pub(crate) fn show(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let is_own = cx.is_own(request.from);
        let is_shown = self.may_see(request.from, Audience::Everyone, cx)?;
        let has_photo = is_shown && self.may_see_photo(request.from, cx)?;
        let card = if is_shown { read(has_photo, cx)? } else { None };
        // Old clients ask for the own card before they set another, and go on only if there is one.
        let card = card.or_else(|| is_own.then(|| Element::new(ns::VCARD, "vCard")));
        // Who asks learns nothing of whether the address is an account.
        card.map(Reply::With).ok_or(StanzaError::SERVICE_UNAVAILABLE)
    }

    /// Keeps the card that takes the place of the last (§3.2).
    pub(crate) fn keep(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let query = request.query()?;
        let photo = photo::read(query, self.0.photo.bytes)?;
        let card = without_photo(query, self.0.bytes.bytes)?;
        if card == Element::new(ns::VCARD, "vCard") {
            cx.delete(&CARD, KEY)?;
        } else {
            cx.put(&CARD, KEY, &Card { xml: card.to_xml("") })?;
        }
        let id = photo.as_ref().map(Photo::id).unwrap_or_default();
        let is_new = id != shown::id(cx)?;
        shown::keep(photo.clone(), cx)?;
        // Who sends back the photo that the card had says nothing of it. What is published may be
        // another one, that is too large for a card.
        if is_new || avatar::is_unpublished(cx)? {
            self.publish(photo.as_ref(), cx)?;
        }
        Ok(Reply::Empty)
    }
}

/// Returns the owner's card with its photo, as far as there is either.
fn read(has_photo: bool, cx: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
    let card = cx.get(&CARD, KEY)?;
    let photo = if has_photo { shown::photo(cx)? } else { None };
    if card.is_none() && photo.is_none() {
        return Ok(None);
    }
    let mut whole = match &card {
        Some(card) => {
            let card = Flat::parse_ours(&card.xml, "").map_err(|_| StanzaError::INTERNAL)?;
            Element::from_node(card.root())
        }
        None => Element::new(ns::VCARD, "vCard"),
    };
    if let Some(photo) = &photo {
        whole.push_child(Photo::to_element(photo));
    }
    Ok(Some(whole))
}

/// Copies a card as far as it is no image.
fn without_photo(card: Node<'_>, bytes_max: u64) -> Result<Element, StanzaError> {
    let mut left = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut copy = Element::new(ns::VCARD, "vCard");
    for (ns, name, value) in card.attrs() {
        if ns.is_empty() {
            left = left.checked_sub(value.len()).ok_or_else(too_long)?;
            copy.push_attr(name, &value);
        }
    }
    for child in card.children().filter(|child| !photo::is_image(*child)) {
        let child = Element::from_node(child);
        left = left.checked_sub(child.to_xml(ns::VCARD).len()).ok_or_else(too_long)?;
        copy.push_child(child);
    }
    Ok(copy)
}

fn too_long() -> StanzaError {
    StanzaError::POLICY_VIOLATION.with_text("The card is longer than this server keeps.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_keeps_its_bytes() {
        let card = Card { xml: "<v/>".to_owned() };
        assert_eq!(CARD.encode(&card), b"\x01\x04<v/>");
        assert_eq!((CARD.name, KEY), ("vcard.card", "card"));
    }
}
