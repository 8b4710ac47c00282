//! What the module remembers while the host works. Nothing secret: it is kept in memory only, and
//! still.

use bincode::{Decode, Encode};
use calypte::wire;
use calypte::{Ticket, prelude::*};

/// For whom the host works.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Cookie {
    /// A stranger's account.
    Made { ticket: Ticket, name: String, invitation: Option<String> },
    /// Another password, asked for by this session.
    Changed { ticket: Ticket, resource: String },
    /// The end of an account.
    Removed { ticket: Ticket },
    /// Another password, asked for by a command; no session on the command line.
    Commanded { ticket: Ticket, resource: String },
    /// What another module wants: what that gets back.
    Wished { by: (String, Vec<u8>), what: What },
}

/// What another module wants.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum What {
    Made { name: String, invitation: Option<String> },
    Changed { name: String },
    Removed { name: String },
}

impl Cookie {
    pub(crate) fn write(&self) -> Vec<u8> {
        wire::encode(self)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, StanzaError> {
        wire::decode(bytes).ok_or(StanzaError::INTERNAL)
    }
}
