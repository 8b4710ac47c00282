//! The photo of a card: reading it, and writing it (XEP-0153 §4.4, §4.5).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use calypte::crypto::{Hash, digest};
use calypte::prelude::*;

/// The longest media type that is taken over from a client.
const TYPE_BYTES_MAX: usize = 64;

/// Some clients leave out what stands at the end for nothing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Photo {
    /// What kind of image it is, as far as somebody knows: `image/png`.
    pub media_type: String,
    /// The image.
    pub data: Vec<u8>,
}

impl Photo {
    /// Returns the name that others know it by: its SHA-1, in hexadecimal.
    pub(crate) fn id(&self) -> String {
        digest(Hash::Sha1, &self.data).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the image as text.
    pub(crate) fn text(&self) -> String {
        general_purpose::STANDARD.encode(&self.data)
    }

    /// Returns width and height in pixels, of a PNG.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        let number = |at: usize| {
            let bytes = self.data.get(at..at.checked_add(4)?)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        let is_png = self.media_type == "image/png" && self.data.get(12..16)? == b"IHDR";
        if is_png { Some((number(16)?, number(20)?)) } else { None }
    }

    /// Writes it as it stands in a card.
    pub(crate) fn to_element(&self) -> Element {
        let part = |name: &str, text: &str| Element::new(ns::VCARD, name).with_text(text);
        let mut photo = Element::new(ns::VCARD, "PHOTO");
        if !self.media_type.is_empty() {
            photo.push_child(part("TYPE", &self.media_type));
        }
        photo.with_child(part("BINVAL", &self.text()))
    }
}

/// Tells whether an element of a card is an image, or says that there is none. A photo that stands
/// elsewhere, named by its address, is none.
pub(crate) fn is_image(child: Node<'_>) -> bool {
    child.is(ns::VCARD, "PHOTO")
        && (child.has_child(ns::VCARD, "BINVAL") || child.children().next().is_none())
}

/// Reads the photo of a card; the first counts.
pub(crate) fn read(card: Node<'_>, bytes_max: u64) -> Result<Option<Photo>, StanzaError> {
    for child in card.children().filter(|child| is_image(*child)) {
        let Some(text) = child.child_text(ns::VCARD, "BINVAL") else { continue };
        let Some(data) = decode(&text, bytes_max)? else { continue };
        let said = child.child_text(ns::VCARD, "TYPE").unwrap_or_default();
        let media_type = media_type(&data, said.trim());
        return Ok(Some(Photo { media_type, data }));
    }
    Ok(None)
}

/// Reads an image that is written as text; `None` when there is nothing.
pub(crate) fn decode(text: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, StanzaError> {
    let packed: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if packed.is_empty() {
        return Ok(None);
    }
    let data = LENIENT
        .decode(packed)
        .map_err(|_| StanzaError::BAD_REQUEST.with_text("The photo is no base64."))?;
    if u64::try_from(data.len()).unwrap_or(u64::MAX) > bytes_max {
        let text = "The photo is larger than this server keeps.";
        return Err(StanzaError::POLICY_VIOLATION.with_text(text));
    }
    Ok(Some(data).filter(|data| !data.is_empty()))
}

/// Returns what kind of image it is. The image itself counts (§5), and where it says nothing what the
/// client said; empty when nobody knows.
pub(crate) fn media_type(data: &[u8], said: &str) -> String {
    let found = match data {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => "image/png",
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ if is_image_type(said) => said,
        _ => "",
    };
    found.to_owned()
}

fn is_image_type(said: &str) -> bool {
    let is_right = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let name = said.strip_prefix("image/").unwrap_or_default();
    !name.is_empty() && said.len() <= TYPE_BYTES_MAX && name.chars().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_says_what_it_is() {
        assert_eq!(media_type(b"\x89PNG\r\n\x1a\n....", "image/jpeg"), "image/png");
        assert_eq!(media_type(b"\xff\xd8\xff\xe0", ""), "image/jpeg");
        assert_eq!(media_type(b"GIF89a", "text/html"), "image/gif");
        assert_eq!(media_type(b"RIFF\0\0\0\0WEBPVP8", "image/png"), "image/webp");
        assert_eq!(media_type(b"<svg/>", "image/svg+xml"), "image/svg+xml");
        for said in ["", "text/html", "image/", "image/<x>", &format!("image/{}", "x".repeat(60))] {
            assert_eq!(media_type(b"else", said), "", "{said}");
        }
    }

    #[test]
    fn a_png_says_how_large_it_is() {
        let data = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x40\0\0\x01\0".to_vec();
        let photo = Photo { media_type: "image/png".to_owned(), data };
        assert_eq!(photo.size(), Some((64, 256)));
        let cut = |bytes: usize| Photo { data: photo.data[..bytes].to_vec(), ..photo.clone() };
        assert_eq!((cut(23).size(), cut(9).size()), (None, None));
    }

    #[test]
    fn base64_has_white_space_and_may_end_early() {
        assert_eq!(decode("aGVs\n bG8=", 5), Ok(Some(b"hello".to_vec())));
        assert_eq!(decode("aGVsbG8", 5), Ok(Some(b"hello".to_vec())));
        assert_eq!(decode(" \n", 5), Ok(None));
        assert!(decode("aGVsbG8=", 4).is_err());
        for bad in ["aGVs-G8=", "a", "=", "aGVsbG8=aGVs"] {
            assert!(decode(bad, 100).is_err(), "{bad}");
        }
    }
}
