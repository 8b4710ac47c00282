//! The names of messages in the archive (XEP-0359).

use calypte::prelude::*;
pub(crate) use xep::archive::Name as Id;

/// Makes the name of a new message.
pub(crate) fn new(place: u64, cx: &mut Context<'_, '_>) -> Result<Id, StanzaError> {
    let tail = cx.random(8)?.try_into().map_err(|_| StanzaError::INTERNAL)?;
    Ok(Id { place, tail: u64::from_le_bytes(tail) })
}
