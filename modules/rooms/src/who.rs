//! Occupant ids (XEP-0421): that somebody is the same person as before, whatever the nickname.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::records::ROOM_KEY;
use crate::room::made_ms;

/// What the ids of the room are made with: one row, [`ROOM_KEY`].
pub(crate) const SECRET: Table<str, Secret> = Table::account("rooms.secret");
/// How many bytes of a hash are told.
const ID_BYTES: usize = 20;

/// Another one for each room, and for each that is made under the name of an earlier one: so the ids
/// of somebody in two rooms have nothing in common.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Secret([u8; 32]);

record!(Secret, 1);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Returns the id of somebody in this room.
pub(crate) fn id_of(bare: &str, cx: &mut Context<'_, '_>) -> Result<String, StanzaError> {
    let secret = match cx.get(&SECRET, ROOM_KEY)? {
        Some(secret) => secret,
        None => {
            let bytes = cx.random(32)?.try_into().map_err(|_| StanzaError::INTERNAL)?;
            let secret = Secret(bytes);
            cx.put(&SECRET, ROOM_KEY, &secret)?;
            secret
        }
    };
    // Who has the address of an account that was removed is somebody else.
    let whose = [bare.as_bytes(), &made_ms(bare, cx)?.to_le_bytes()].concat();
    let hash = calypte::crypto::keyed_hash(&secret.0, &whose);
    Ok(hash.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect())
}

/// Returns the element that says it.
pub(crate) fn element(id: &str) -> Element {
    Element::new(ns::OCCUPANT_ID, "occupant-id").with_attr("id", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_keeps_its_bytes_and_is_not_shown() {
        let secret = Secret([7; 32]);
        assert_eq!(SECRET.encode(&secret), [&[1_u8][..], &[7; 32]].concat());
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
