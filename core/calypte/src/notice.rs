//! What modules tell each other.

use bincode::{Decode, Encode};
use xmpp::StanzaError;

use crate::wire;

/// Something that happened to the owner, of interest to other modules.
pub trait Notice: Encode + Decode<()> {
    /// The name, as in [`crate::Hook::notice`].
    const NAME: &'static str;
}

/// A notice that was received.
#[derive(Clone, Copy, Debug)]
pub struct Notified<'a> {
    pub(crate) name: &'a str,
    pub(crate) payload: &'a [u8],
}

impl Notified<'_> {
    /// Reads it as what its name says it is.
    ///
    /// # Errors
    ///
    /// Our own fault: another notice, or one of a newer module.
    pub fn read<N: Notice>(&self) -> Result<N, StanzaError> {
        if self.name != N::NAME {
            return Err(StanzaError::INTERNAL);
        }
        wire::decode(self.payload).ok_or(StanzaError::INTERNAL)
    }
}

/// A roster item changed (module `roster`).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RosterChanged {
    /// The contact's bare address.
    pub contact: String,
    /// Whether the contact may see the owner's presence, before and now.
    pub from: (bool, bool),
    /// Whether the owner may see the contact's presence, before and now.
    pub to: (bool, bool),
}

impl Notice for RosterChanged {
    const NAME: &'static str = "roster.changed";
}

/// A client believed that we offer no channel binding, which we do: somebody between it and us took
/// the offer away (RFC 5802 §6). Anybody can pretend that, also without an account. The owner is the
/// domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BindingHidden;

impl Notice for BindingHidden {
    const NAME: &'static str = "engine.binding-hidden";
}

/// A session for which there had been no room for presence has room again (the engine): what its
/// client believes of others is old. The call is for that session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PresenceMissed;

impl Notice for PresenceMissed {
    const NAME: &'static str = "engine.presence-missed";
}

/// A client of the account was given messages from its archive (module `archive`).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ArchiveRead {
    /// When each came, in milliseconds since 1970, and its id in the archive.
    pub messages: Vec<(u64, String)>,
}

impl Notice for ArchiveRead {
    const NAME: &'static str = "archive.read";
}
