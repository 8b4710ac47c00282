//! The photo of an account, and the presence that tells of it (XEP-0153 §3.1).

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::Vcard;
use crate::avatar::{self, Audience};
use crate::photo::Photo;

/// What presence tells of the photo; one row, that is there once there was a photo.
const SHOWN: Table<str, Shown> = Table::account("vcard.shown");
/// The image; one row.
const IMAGE: Table<str, Image> = Table::account("vcard.image");
/// The key of both rows.
const KEY: &str = "photo";

/// The photo without the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Shown {
    /// The SHA-1 of the image, in hexadecimal; empty when there is no photo any more.
    id: String,
    /// `image/png`; empty when nobody knows.
    media_type: String,
}

record!(Shown, 1);

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Image {
    data: Vec<u8>,
}

record!(Image, 1);

/// Keeps the photo that takes the place of the last.
pub(crate) fn keep(photo: Option<Photo>, cx: &mut Context<'_, '_>) -> Done {
    match photo {
        Some(photo) => {
            let shown = Shown { id: photo.id(), media_type: photo.media_type };
            cx.put(&SHOWN, KEY, &shown)?;
            cx.put(&IMAGE, KEY, &Image { data: photo.data })
        }
        None if cx.get(&SHOWN, KEY)?.is_some() => {
            cx.put(&SHOWN, KEY, &Shown::default())?;
            cx.delete(&IMAGE, KEY)
        }
        None => Ok(()),
    }
}

/// Returns the name of the owner's photo, empty when there is none.
pub(crate) fn id(cx: &mut Context<'_, '_>) -> Result<String, StanzaError> {
    Ok(cx.get(&SHOWN, KEY)?.unwrap_or_default().id)
}

/// Returns the owner's photo.
pub(crate) fn photo(cx: &mut Context<'_, '_>) -> Result<Option<Photo>, StanzaError> {
    let Some(image) = cx.get(&IMAGE, KEY)? else { return Ok(None) };
    let shown = cx.get(&SHOWN, KEY)?.unwrap_or_default();
    Ok(Some(Photo { media_type: shown.media_type, data: image.data }))
}

impl Vcard {
    /// A client shows itself. Where it says nothing of the photo itself, we do (XEP-0398 §4).
    pub(crate) fn add_hash(
        &self,
        presence: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        if presence.presence_kind() != Some(PresenceKind::Available) {
            return Ok(Flow::Pass);
        }
        let is_update = |node: &Node<'_>| node.is(ns::VCARD_UPDATE, "x");
        let mut said = presence.payloads().filter(is_update);
        if said.any(|said| said.has_child(ns::VCARD_UPDATE, "photo")) {
            return Ok(Flow::Pass);
        }
        // Of a photo that was never there nothing has to be said.
        let Some(shown) = cx.get(&SHOWN, KEY)? else { return Ok(Flow::Pass) };
        let is_shown = match presence.to {
            Some(to) => self.may_see_photo(Some(to), cx)?,
            // It goes to those who may see the presence.
            None => avatar::audience(cx)? != Audience::Own,
        };
        if !is_shown {
            return Ok(Flow::Pass);
        }
        presence.remove(ns::VCARD_UPDATE, "x");
        let photo = Element::new(ns::VCARD_UPDATE, "photo");
        let photo = if shown.id.is_empty() { photo } else { photo.with_text(&shown.id) };
        presence.append(Element::new(ns::VCARD_UPDATE, "x").with_child(photo));
        Ok(Flow::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let shown = Shown { id: "ab".to_owned(), media_type: "image/png".to_owned() };
        assert_eq!(SHOWN.encode(&shown), b"\x01\x02ab\x09image/png");
        assert_eq!(IMAGE.encode(&Image { data: vec![7] }), b"\x01\x01\x07");
        assert_eq!((SHOWN.name, IMAGE.name, KEY), ("vcard.shown", "vcard.image", "photo"));
    }
}
