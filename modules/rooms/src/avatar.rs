//! The picture of a room (XEP-0486): a card with a photo (XEP-0054), that owners set.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::records::ROOM_KEY;
use crate::room::{Room, affiliation};
use crate::rules::Affiliation;
use crate::show::{say, with_codes};
use crate::{Config, form, limits, result};

/// The card of the room: one row, [`ROOM_KEY`].
pub(crate) const CARD: Table<str, Card> = Table::account("rooms.card");

/// How pictures are written: some clients leave out the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The longest card, in bytes: a photo takes a third more as text.
const CARD_BYTES_MAX: usize = 192 << 10;
/// How many bytes of a card that is given count as one more stanza.
const GIVEN_BYTES: usize = 16 << 10;
/// The most photos in a card.
const PHOTOS_MAX: usize = 4;

/// A card.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Card {
    xml: String,
    /// The hashes of its photos.
    hashes: Vec<String>,
}

record!(Card, 1);

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card").field("hashes", &self.hashes).finish_non_exhaustive()
    }
}

/// Somebody wants the card.
pub(crate) fn get(
    config: &Config,
    room: &Room,
    from: JidRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Result<Element, StanzaError> {
    if room.row.is_locked {
        return Err(StanzaError::ITEM_NOT_FOUND);
    }
    let Some(card) = cx.get(&CARD, ROOM_KEY)? else {
        return Ok(Element::new(ns::VCARD, "vCard"));
    };
    let cost = card.xml.len() / GIVEN_BYTES;
    limits::spend_some(config, from.bare_str(), u64::try_from(cost).unwrap_or(u64::MAX), cx)?;
    let card = Flat::parse_ours(&card.xml, ns::CLIENT).map_err(|_| StanzaError::INTERNAL)?;
    Ok(Element::from_node(card.root()))
}

/// An owner sets the card, or takes it away.
pub(crate) fn set(config: &Config, iq: &Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
    let card = iq.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let from = iq.from.ok_or(StanzaError::BAD_REQUEST)?;
    if affiliation(from.bare_str(), cx)? < Affiliation::Owner {
        let why = "Only owners set the picture of a room.";
        return Err(StanzaError::FORBIDDEN.with_text(why));
    }
    limits::spend(config, from.bare_str(), iq.content.root(), cx)?;
    let before = cx.get(&CARD, ROOM_KEY)?;
    let next = match card.children().next() {
        Some(_) => Some(read(card)?),
        None => None,
    };
    match &next {
        Some(card) => cx.put(&CARD, ROOM_KEY, card)?,
        None => cx.delete(&CARD, ROOM_KEY)?,
    }
    result(iq, None, cx)?;
    if before != next {
        let x = with_codes(Element::new(ns::MUC_USER, "x"), &[&[104]]);
        let message = Element::new(ns::CLIENT, "message")
            .with_attr("from", cx.owner().as_str())
            .with_attr("type", "groupchat");
        say(&message.with_child(x), cx)?;
    }
    Ok(Flow::Handled)
}

fn read(card: Node<'_>) -> Result<Card, StanzaError> {
    let xml = Element::from_node(card).to_xml(ns::CLIENT);
    let photos: Vec<_> = card.children().filter(|node| node.is(ns::VCARD, "PHOTO")).collect();
    if xml.len() > CARD_BYTES_MAX || photos.len() > PHOTOS_MAX {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("This picture is too large."));
    }
    let mut hashes = Vec::new();
    for photo in photos {
        let data = photo.child_text(ns::VCARD, "BINVAL").unwrap_or_default();
        let data: String = data.split_whitespace().collect();
        let image = BASE64.decode(&data).ok().filter(|image| !image.is_empty());
        let image = image
            .ok_or_else(|| StanzaError::NOT_ACCEPTABLE.with_text("The picture is no base64."))?;
        let hash = calypte::crypto::digest(calypte::crypto::Hash::Sha1, &image);
        hashes.push(hash.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    Ok(Card { xml, hashes })
}

/// Returns the field that says which picture the room has.
pub(crate) fn field(cx: &mut Context<'_, '_>) -> Result<Option<Element>, StanzaError> {
    let hashes = cx.get(&CARD, ROOM_KEY)?.map(|card| card.hashes).unwrap_or_default();
    let field = form::field("muc#roominfo_avatarhash", &hashes);
    let field = field.with_attr("type", "text-multi").with_attr("label", "Avatar hash");
    Ok(Some(field).filter(|_| !hashes.is_empty()))
}
