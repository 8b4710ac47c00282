//! What modules tell each other.

use bincode::{Decode, Encode};
use xmpp::StanzaError;

use crate::wire::{self, Password};

/// Something that happened to the owner, of interest to other modules.
pub trait Notice: Encode + Decode<()> {
    /// The name, as in [`crate::Hook::notice`].
    const NAME: &'static str;
}

/// Notices that only the module can tell with whose name they begin: accounts are made and removed by them.
pub const GUARDED: [&str; 4] =
    [Registration::NAME, AccountWish::NAME, AccountWished::NAME, CircleWish::NAME];

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

/// The account is about to be removed with everything that is kept for it (the engine). Its sessions
/// are still there; it is the time to tell its contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccountEnds;

impl Notice for AccountEnds {
    const NAME: &'static str = "engine.account-ends";
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

/// What an account published has changed (module `pep`). The rows of [`PEP_ITEMS`] are as they are
/// now.
///
/// [`PEP_ITEMS`]: crate::tables::PEP_ITEMS
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PepChanged {
    /// The node.
    pub node: String,
    /// The ids of items that are new or have other content. A node may keep none of them.
    pub published: Vec<String>,
    /// The ids of items that were taken back. Not those that had to make room for newer ones.
    pub retracted: Vec<String>,
    /// Whether all items are gone that were not published just now: the node was purged or deleted.
    pub is_emptied: bool,
}

impl Notice for PepChanged {
    const NAME: &'static str = "pep.changed";
}

/// A module publishes something for the account: module `pep` does it in the same step, as if a
/// client of the account had, and tells [`PepChanged`]. What cannot be done is logged and left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PepPublish {
    /// The node. It is made when there is none.
    pub node: String,
    /// How the node is from now on: fields of its configuration (XEP-0060 §16.4.4) with their
    /// values, such as `pubsub#access_model` and `whitelist`. What is not named stays.
    pub config: Vec<(String, String)>,
    /// Ids and contents, each one element that says its own namespace.
    pub publish: Vec<(String, String)>,
    /// Ids of items to take back. Those that are not there are left out.
    pub retract: Vec<String>,
}

impl Notice for PepPublish {
    const NAME: &'static str = "pep.publish";
}

/// A client replaced something in private storage (module `private`). The row of [`PRIVATE`] is as it
/// is now, or gone.
///
/// [`PRIVATE`]: crate::tables::PRIVATE
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PrivateChanged {
    /// The namespace.
    pub ns: String,
    /// The name.
    pub name: String,
}

impl Notice for PrivateChanged {
    const NAME: &'static str = "private.changed";
}

/// A module replaces something in private storage: module `private` does it in the same step, and
/// tells nobody.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct PrivateKeep {
    /// The namespace.
    pub ns: String,
    /// The name.
    pub name: String,
    /// One element that says its own namespace; empty to forget what is there.
    pub xml: String,
}

impl Notice for PrivateKeep {
    const NAME: &'static str = "private.keep";
}

impl std::fmt::Debug for PrivateKeep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKeep").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An account is being made for a stranger (module `register`). The owner is the domain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Registration {
    /// The local part.
    pub name: String,
    /// The key of the invitation in [`crate::tables::INVITATIONS`].
    pub invitation: Option<String>,
    /// How far it is.
    pub stage: RegistrationStage,
}

/// How far the making of an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RegistrationStage {
    /// The host is about to make it. When the server stops now, it may be there all the same.
    Begun,
    /// It is there.
    Done,
    /// It was not made.
    Failed,
}

impl Notice for Registration {
    const NAME: &'static str = "register.account";
}

/// Somebody whom the owner invited, or who invited it, becomes a contact without being asked (module
/// `invites`); module `roster` does it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Introduced {
    /// The contact's bare address.
    pub contact: String,
    /// Whether both see each other now. Otherwise the contact asked and may see the owner, and is asked
    /// in return.
    pub is_mutual: bool,
}

impl Notice for Introduced {
    const NAME: &'static str = "invites.introduced";
}

/// An account is to be made, changed or removed for somebody who asks by other means than a client
/// (module `pages`, and nobody else): module `register` does it as far as the operator lets people, and
/// tells [`AccountWished`]. The owner is the domain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccountWish {
    /// The module that wants it, and what it gets back.
    pub by: (String, Vec<u8>),
    /// What is wanted.
    pub wish: Wish,
}

/// What is wanted of an account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Wish {
    /// A stranger wants one.
    Make {
        /// Where the stranger comes from: see [`crate::Stranger::address`].
        address: String,
        /// The name, as it was typed.
        name: String,
        /// The password.
        password: Password,
        /// The key of the invitation in [`crate::tables::INVITATIONS`].
        invitation: Option<String>,
    },
    /// The user, who has proved the old one, wants another password.
    SetPassword {
        /// The local part.
        name: String,
        /// The new password.
        password: Password,
    },
    /// The user, who has proved it, wants it removed.
    Remove {
        /// The local part.
        name: String,
    },
}

/// What became of an [`AccountWish`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccountWished {
    /// As it stood there.
    pub by: (String, Vec<u8>),
    /// The local part of the account, or what is wrong and why.
    pub result: Result<String, (WrongPart, wire::WireError)>,
}

/// What of a wish is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum WrongPart {
    /// The name.
    Name,
    /// The password.
    Password,
    /// The invitation.
    Invitation,
    /// Nothing that another name or password would change.
    Else,
}

impl Notice for AccountWish {
    const NAME: &'static str = "pages.wish";
}

impl Notice for AccountWished {
    const NAME: &'static str = "register.wished";
}

/// An account begins or ends to have a contact by a circle (module `circles`); module `roster` does it.
/// Both sides are of this domain, and each is told.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Circled {
    /// The contact's bare address.
    pub contact: String,
    /// The group that is named after the circle.
    pub group: String,
    /// What becomes of it.
    pub change: CircleChange,
}

/// What becomes of a contact by a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CircleChange {
    /// It is in the group from now on, and both see each other.
    In,
    /// It is not in the group any more, and else as it is: another circle has it.
    Out,
    /// It is as it was before the first circle: whether it saw the owner, and the owner it.
    AsBefore {
        /// Whether the contact saw the owner's presence.
        from: bool,
        /// Whether the owner saw the contact's presence.
        to: bool,
    },
    /// It is no contact any more.
    Gone,
}

impl Notice for Circled {
    const NAME: &'static str = "circles.circled";
}

/// Somebody has made an account with an invitation to a circle (module `invites`); module `circles`
/// takes them in. The owner is the domain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CircleWish {
    /// The name of the circle.
    pub circle: String,
    /// The local part of the account.
    pub member: String,
}

impl Notice for CircleWish {
    const NAME: &'static str = "invites.circle";
}
