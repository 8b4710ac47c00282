//! XMPP's vocabulary: addresses, stanzas, errors and namespaces (RFC 6120, 6121, 7622).

pub mod caps;
mod error;
mod jid;
pub mod ns;
mod stanza;
pub mod uri;
mod view;
pub mod xep;

pub use error::{Condition, ErrorKind, StanzaError, StreamError};
pub use jid::{BadJid, Jid, JidRef};
pub use stanza::{Stanza, Summary};
pub use view::{IqKind, Kind, MessageKind, PresenceKind, StanzaRef};
