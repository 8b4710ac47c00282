//! One XMPP stream, without I/O: of a client (headers, STARTTLS, SASL, bind, resumption, limits)
//! between two servers ([`s2s`]), or of a component.
//!
//! The caller feeds bytes, polls events, answers the questions among them and writes the output.
//! While a question is open, input waits, within the limits.

mod bind;
mod component;
mod early;
mod event;
mod features;
mod machine;
mod mechanism;
pub mod s2s;
mod sasl;
pub mod scram;
mod settings;
mod sm;
mod token;
mod upgrade;
mod wire;

pub use bind::Bound;
pub use component::{ComponentEvent, ComponentSettings, ComponentStream};
pub use event::{Inline, StreamEvent, UserAgent};
pub use machine::Stream;
pub use settings::{Channel, Facts, Settings};
pub use sm::Resumed;
pub use token::{Token, TokenProof, TokenRefusal, TokenWish};
