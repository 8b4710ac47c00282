//! One stream between two servers, without I/O, in both roles (RFC 6120, XEP-0178, XEP-0220).
//!
//! The caller feeds bytes, polls events, answers the questions among them and writes the output, as
//! with [`crate::Stream`]. Nothing but headers and STARTTLS passes in clear.

mod acks;
mod dialback;
mod event;
mod external;
mod features;
mod header;
mod key;
mod pairs;
mod peering;
mod settings;
mod stanzas;

pub use event::{
    Choice, DialbackOutcome, Extended, How, Key, Offer, Offered, PeerEvent, PeerFailure, Received,
    Refusal,
};
pub use peering::Peering;
pub use settings::{PeerSettings, Role};
pub(crate) use stanzas::nearest;
