//! One XMPP stream, without I/O: of a client (headers, STARTTLS, SASL, bind, resumption, limits)
//! between two servers ([`s2s`]), or of a component. A client's may come in messages: over
//! [`websocket`] or in the requests of [`bosh`].
//!
//! The caller feeds bytes, polls events, answers the questions among them and writes the output.
//! While a question is open, input waits, within the limits.

mod bind;
pub mod bosh;
mod component;
mod early;
mod event;
mod features;
mod machine;
mod mechanism;
mod messages;
pub mod s2s;
mod sasl;
pub mod scram;
mod settings;
mod sm;
mod token;
mod upgrade;
pub mod websocket;
mod wire;

pub use bind::Bound;
pub use component::{ComponentEvent, ComponentSettings, ComponentStream};
pub use event::{Inline, StreamEvent, UserAgent};
pub use machine::Stream;
pub use messages::Message;
pub use settings::{Channel, Facts, Settings};
pub use sm::Resumed;
pub use token::{Token, TokenProof, TokenRefusal, TokenWish};
