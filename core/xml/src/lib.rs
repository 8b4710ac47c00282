//! Restricted XML as XMPP uses it: a flat stanza buffer, a strict reader with limits, a builder.

mod check;
mod element;
mod escape;
mod flat;
mod flatten;
mod frame;
mod header;
mod limits;
mod names;
mod reader;

pub use element::Element;
pub use escape::{escape_attr, escape_text};
pub use flat::{Children, Flat, FlatRef, Node};
pub use header::Header;
pub use limits::{Limits, XmlError};
pub use reader::{Item, Reader};
