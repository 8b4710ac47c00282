//! Everything a module author needs.
//!
//! A module is an ordinary safe Rust crate: one type, one list of hooks, one macro line. It has no
//! lifecycle callbacks, no clock, no I/O and nothing that changes in itself. What it decides leaves
//! the server only after what it wrote is on disk.
//!
//! # A whole module
//!
//! ```
//! //! Answers whoever says hello.
//! use calypte::prelude::*;
//!
//! /// The operator's settings, `[modules.hello]`.
//! #[derive(Debug, serde::Deserialize)]
//! #[serde(deny_unknown_fields, default)]
//! pub struct Config {
//!     /// The text to answer with.
//!     pub greeting: String,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { greeting: "Hello!".to_owned() }
//!     }
//! }
//!
//! /// Greets.
//! #[derive(Debug)]
//! pub struct Hello(Config);
//!
//! calypte::export!(Hello);
//!
//! impl Module for Hello {
//!     const NAME: &'static str = "hello";
//!     const ABOUT: &'static str = "Answers whoever says hello.";
//!     const FEATURES: &'static [Feature] = &[Feature::Domain("urn:example:hello:0")];
//!     const HOOKS: &'static [Hook<Self>] =
//!         &[Hook::iq_get(On::Domain, "urn:example:hello:0", "hello", Self::greet)];
//!     type Config = Config;
//!
//!     fn setup(config: Config) -> Result<Self, SetupError> {
//!         Ok(Self(config))
//!     }
//! }
//!
//! impl Hello {
//!     fn greet(&self, _: &Request<'_>, _: &mut Context<'_, '_>) -> IqResult {
//!         Ok(Reply::With(Element::new("urn:example:hello:0", "hello").with_text(&self.0.greeting)))
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! # Where to read on
//!
//! - [`Hook`]: all places where a module can act, and the signature of each function.
//! - [`Context`]: what a function can ask for and do.
//! - [`Table`](table::Table): what is kept. `const NOTES: Table<str, Note> =
//!   Table::account("hello.notes");` with `record!(Note, 1)`. The first word is the module's name.
//! - [`tables`] and [`notice`]: what modules share.
//! - The README of `core/testkit`: scenes, the tests of a module in plain text.

pub mod config;
mod context;
#[doc(hidden)]
pub mod glue;
mod hooks;
mod module;
pub mod notice;
mod passing;
pub mod tables;
pub mod wire;

#[doc(hidden)]
pub use abi;
pub use context::Context;
pub use glue::{Asked, Login};
pub use hooks::{
    AckedFn, AnswerFn, AskedFn, Command, Done, FeatureFn, Flow, Hook, HookResult, IqFn, IqResult,
    LoginFn, NoticeFn, On, Phase, Place, Reply, SessionFn, StanzaFn, WakeFn, Who,
};
pub use module::{ConfigKey, Feature, Module, NoConfig, SetupError, Xep};
pub use notice::Notified;
pub use passing::{Passing, Request};

/// What nearly every module uses.
pub mod prelude {
    pub use crate::tables;
    pub use crate::{
        Asked, Command, ConfigKey, Context, Done, Feature, Flow, Hook, HookResult, IqResult, Login,
        Module, NoConfig, Notified, On, Passing, Phase, Place, Reply, Request, SetupError, Who,
        Xep,
    };
    pub use table::{Table, record};
    pub use xml::{Element, Node};
    pub use xmpp::{
        Condition, ErrorKind, IqKind, Jid, JidRef, Kind, MessageKind, PresenceKind, StanzaError,
        StanzaRef, StreamError, ns, xep,
    };
}

/// Makes a module of a type: bundled in a binary and loadable as `.so`, with its manifest.
#[macro_export]
macro_rules! export {
    ($module:ty) => {
        const _: () = {
            assert!(!<$module as $crate::Module>::NAME.is_empty(), "a module needs a name");
        };
        $crate::abi::abi_export!(
            $crate::glue::Glue<$module>,
            <$module as $crate::Module>::NAME,
            env!("CARGO_PKG_VERSION"),
            &$crate::glue::manifest_pieces::<$module, { $crate::glue::manifest_count::<$module>() }>()
        );
    };
}
