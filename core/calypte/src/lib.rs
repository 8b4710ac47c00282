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
//! # Where a module acts
//!
//! [`Module::HOOKS`] is a constant list, so that the manifest can be read from a file without running
//! it. Each entry names what it wants and is called for nothing else.
//!
//! | entry | is called | for |
//! |---|---|---|
//! | [`Hook::message`], [`presence`](Hook::presence), [`iq`](Hook::iq), [`stanza`](Hook::stanza) | for each stanza of the kind at a [`Place`] and [`Phase`] | the owner of the place |
//! | [`Hook::payload`] | for stanzas with such a child element | the owner of the place |
//! | [`Hook::message_when_away`] | for messages that no session of the owner is going to get | the recipient |
//! | [`Hook::iq_get`], [`Hook::iq_set`] | for requests to an account or to the domain, see [`On`] | who was asked |
//! | [`Hook::stranger_get`], [`stranger_set`](Hook::stranger_set) | for requests of clients before they log in, with [`Stranger`] | the domain |
//! | [`Hook::serve`], [`Hook::serve_as`] | for each stanza to an address at `label.domain` | that bare address |
//! | [`Hook::claim`] | for stanzas to a bare address of the domain that is no account | that address |
//! | [`Hook::channel`], [`Hook::authenticated`] | at each login and resumption, with [`Login`] | the account |
//! | [`Hook::token`] | when a client shows a token in place of a password, with [`TokenProof`] | the account that it says it is |
//! | [`Hook::grant`] | when a client that logged in may get a token, with [`TokenWish`] | the account |
//! | [`Hook::started`] | when the server has started, and after each reload of modules | the domain |
//! | [`Hook::opened`], [`Hook::resumed`], [`Hook::closed`] | when a session begins, comes back, ends | the account |
//! | [`Hook::bound`] | when a client binds while it logs in, with what it asks for: [`Bind`] | the account |
//! | [`Hook::lost`] | when the connection of a session is lost and its client may come back | the account |
//! | [`Hook::inactive`] | for messages and presence to a client that is not looked at (XEP-0352): [`When`] | its account |
//! | [`Hook::acked`] | when a client has a message (XEP-0198) | its account |
//! | [`Hook::wake`] | at a time asked for with [`Context::wake_at`] | who asked |
//! | [`Hook::notice`] | when a module [tells](Context::tell) something | whom it happened to |
//! | [`Hook::answer`] | when a [request](Context::request) is answered, or is not in 30 s | who asked |
//! | [`Hook::verify`] | by `calypte verify`, while the server is stopped | each account |
//! | [`Hook::peer`] | at each stage of a stream with another domain, with [`PeerFacts`] | the domain |
//! | [`Hook::looked`] | when the host has found what [`Context::look`] asked for | who asked |
//! | [`Hook::domain_info`], [`domain_items`](Hook::domain_items), [`account_info`](Hook::account_info), [`account_items`](Hook::account_items) | when service discovery is asked, with [`Discovery`] | who was asked |
//! | [`Hook::account_done`] | when the host has done what [`Context::change_account`] asked for | who asked |
//! | [`Hook::early_feature`], [`stream_feature`](Hook::stream_feature) | when streams are set up | nobody |
//! | [`Hook::http`], [`Hook::web`] | for HTTP requests below a path | the domain |
//! | [`Hook::files`] | when a file is sent or fetched, with [`FileAsked`] | the account that sent it |
//! | [`Hook::command`] | when a command is run: XEP-0050 and `calypte command` | the user's account, or the domain |
//!
//! The way of a message to another account here is `Sent` (owner: the sender's account), then
//! `Received` (owner: the recipient's); to another domain `Sent`, `Leaving`, and there `Arriving`
//! (owner: that domain), `Received`. Inside a place the phases run in the order `Admit`, `Rewrite`,
//! `Record`, `Copy`; inside a phase, modules in the operator's order (`calypte module order` shows it)
//! and a module's own functions in the order of its list. For the domain, for served and for claimed
//! addresses `Received` runs `Admit` and `Rewrite` only. All functions of one owner run one after
//! another, in one shard.
//!
//! Two legs are the exception, since their owner is the domain while they run in the shard of an
//! account: `Arriving` runs in the shard of the recipient, and `Leaving` of what a function sent in
//! the name of the domain runs where it was sent. Of functions there:
//!
//! - A row of a domain table may be changed by two shards at the same time, and the later write
//!   counts. Make the account or the peer part of the key, or write what does not depend on what
//!   was read: never count up in one row.
//! - A volatile table of the domain is the shard's own: what is counted there is counted by each
//!   shard.
//! - A [timer](Context::wake_at) fires in the shard where it was asked for; after a restart in that
//!   of the domain.
//! - A [request](Context::request) is refused where its answer would not come: send it from a timer
//!   of the domain.
//!
//! A stanza hook says with [`Flow`] what becomes of the stanza, and may change it through [`Passing`]:
//! later functions see the change, which is applied when the function returns and read again by the
//! strict reader. An error goes back to the sender, unless the stanza is itself an error or a result.
//!
//! ```
//! use calypte::prelude::*;
//!
//! # #[derive(Debug)]
//! # struct Counting;
//! /// How often somebody wrote, by day since 1970.
//! #[derive(Clone, Copy, Debug, Default, bincode::Encode, bincode::Decode)]
//! struct Count(u64);
//!
//! record!(Count, 1);
//!
//! /// Of each account; outlives the process.
//! const DAYS: Table<u64, Count> = Table::account("counting.days");
//!
//! impl Counting {
//!     /// `Hook::message(Place::Sent, Phase::Record, Self::count)`
//!     fn count(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
//!         if message.message_kind() != MessageKind::Chat {
//!             return Ok(Flow::Pass);
//!         }
//!         let day = cx.now_ms() / 86_400_000;
//!         let Count(before) = cx.get(&DAYS, &day)?.unwrap_or_default();
//!         if before >= 1000 {
//!             return Err(StanzaError::POLICY_VIOLATION.with_text("Enough for today."));
//!         }
//!         cx.put(&DAYS, &day, &Count(before + 1))?;
//!         cx.wake_at((day + 7) * 86_400_000, "forget")?;
//!         Ok(Flow::Pass)
//!     }
//!
//!     /// `Hook::wake(Self::forget)`
//!     fn forget(&self, _name: &str, cx: &mut Context<'_, '_>) -> Done {
//!         for (day, _) in cx.all(&DAYS, 100)? {
//!             cx.delete(&DAYS, &day)?;
//!         }
//!         Ok(())
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! # What a module keeps
//!
//! Nothing that changes in itself: one instance runs in each shard, behind `&self`. Instead:
//!
//! | what | where | outlives |
//! |---|---|---|
//! | [`Table::account`](table::Table::account), [`Table::domain`](table::Table::domain) | the store | the process |
//! | [`Table::volatile_account`](table::Table::volatile_account), [`Table::volatile_domain`](table::Table::volatile_domain) | the shard's memory | a reload of the module |
//! | [`Context::set_value`] | a session | the connection, and a restart of the server; ends with the session |
//!
//! A table is a constant: `Table<Key, Record>`. Its name starts with the module's name, a dot and a
//! word; others may read it and never write it. Keys sort by their bytes, which is what
//! [`Context::scan`] goes by. A record is a type with `bincode::Encode` and `Decode` and a version,
//! `record!(Type, 1)`; a new shape is a new version whose `decode` takes the old one too. Tables of an
//! account belong to the owner of the call, whoever that is. A durable table of the domain is one for
//! all shards, and what another shard wrote is seen when it is on disk; a volatile one is each shard's
//! own. [`tables`] has what modules share.
//!
//! # What a module does
//!
//! [`Context`] has it all: send, deliver to one session, request, wake, tell, close, count. It happens
//! after the function has returned, in that order, and leaves the server when what was written is on
//! disk. When the function fails, nothing of it happens: writes are taken back too.
//!
//! - **Timers** are kept by owner and name over a restart, until they come or are
//!   [forgotten](Context::no_wake). A time that is past means as soon as possible. The name comes back to [`Hook::wake`].
//! - **Requests** are given an id of ours. Only an answer from whom was asked counts, once. An answer
//!   that does not come in 30 s is an error, `remote-server-timeout`. After a restart nobody waits any
//!   more: keep what must not be lost in a table and a timer.
//! - **Looks** are what takes time: a page, a certificate, a record of DNS. The host does it elsewhere;
//!   256 may be under way in a shard.
//! - **Accounts** are made, changed and removed by the host: hashing a password is slow work. 256
//!   changes may be under way in a shard.
//! - **Answers** can wait for all that: [`Context::later`] puts the answer to a request off.
//! - **Notices** go to all modules that listen, in this step, for the same owner; see [`notice`].
//! - **Randomness** comes with the event, [`Context::random`], so that a run can be replayed.
//!
//! # When something is wrong
//!
//! `?` is right everywhere: a [`StanzaError`](xmpp::StanzaError) is what the peer is told, and faults
//! of the store, broken records and spent budgets become `internal-server-error` or
//! `resource-constraint`, with a line in the log that names the module.
//!
//! | what fails | what happens |
//! |---|---|
//! | a function of `Admit` or `Rewrite` panics | the stanza bounces with `internal-server-error` |
//! | one of `Record` or `Copy` panics | the stanza passes; with a security module it bounces |
//! | a request's function panics | the asker gets `internal-server-error` |
//! | a login's function refuses or panics | there is no session |
//! | `peer` refuses; panics in a security module | the stream ends with `policy-violation` |
//! | a `token` function refuses or panics | the token is wrong |
//! | `opened` refuses; panics in a security module | the session is closed |
//! | a module panics three times in a minute | it is switched off until the next reload, as if it were not there; a security module ([`Module::SECURITY`]) never is |
//! | settings that [`Module::setup`] refuses | the server starts without the module, or not at all for a security module |
//!
//! One event may cause 100 000 calls and 1 000 000 operations. A record has at most 1 MiB, a session
//! value 64 KiB, one call of `random` 4 KiB, the volatile tables of a shard 256 MiB together
//! and those of one module three quarters of that, an HTTP body 1 MiB.
//!
//! # Testing and shipping
//!
//! Tests are scenes: plain text of what clients send and receive, played in milliseconds with the
//! module bundled and loaded, in one shard and in three. The README of `core/testkit` has the language.
//!
//! A module crate has `crate-type = ["rlib", "cdylib"]`. `calypte module new NAME` writes one;
//! `calypte module check FILE` says what is in a file without running it; `calypte module add FILE`
//! puts it into the configuration with its blake3 hash and the rights that its hooks need. A file with
//! another hash is refused, so a changed module has to be added again.
//!
//! # Why nothing is async
//!
//! A function that waits would hold up its shard, or would see its own state changed while it waits.
//! Here each event is worked through at once, in microseconds, and what takes time is an effect whose
//! answer is an event of its own. So there are no locks, order is kept, and a run can be replayed from
//! its events.

pub mod command;
pub mod config;
mod context;
mod discovery;
mod functions;
#[doc(hidden)]
pub mod glue;
mod hooks;
mod important;
mod module;
pub mod notice;
pub mod pages;
mod passing;
pub mod tables;
pub mod wire;

#[doc(hidden)]
pub use abi;
pub use context::{Context, Ready, Ticket};
/// Hashes, signatures and secrets, for modules that define a protocol.
pub use crypto;
pub use discovery::{Discovery, Shown};
pub use functions::{
    AccountFn, AckedFn, AnswerFn, AskedFn, BoundFn, CommandFn, DiscoveryFn, FeatureFn, FileFn,
    GrantFn, InactiveFn, IqFn, LoginFn, LookedFn, NoticeFn, PeerFn, SessionFn, StanzaFn,
    StrangerFn, TokenFn, VerifyFn, WakeFn, WebFn,
};
pub use glue::{Asked, Bind, Login};
pub use hooks::{
    Command, Done, Flow, Hook, HookResult, IqResult, On, Page, Phase, Place, Reply, Served, When,
    Who,
};
pub use important::is_important;
pub use module::{ConfigKey, Feature, Identity, Module, NoConfig, SetupError, Xep};
pub use notice::Notified;
pub use passing::{Passing, Request};
/// Tables and records, for records of several versions.
pub use table;
pub use wire::{
    AccountFault, AccountWork, FileAnswer, FileAsked, Look, PeerFacts, PeerIdentity, PeerStage,
    PeerVerdict, Stranger, Token, TokenProof, TokenVerdict, TokenWish,
};

/// What nearly every module uses.
pub mod prelude {
    pub use crate::command::{CommandReply, CommandResult, Field, FieldKind, Form, Outcome};
    pub use crate::tables;
    pub use crate::{
        AccountFault, AccountWork, Asked, Bind, Command, ConfigKey, Context, Discovery, Done,
        Feature, Flow, Hook, HookResult, Identity, IqResult, Login, Look, Module, NoConfig,
        Notified, On, Page, Passing, PeerFacts, PeerIdentity, PeerStage, PeerVerdict, Phase, Place,
        Ready, Reply, Request, Served, SetupError, Shown, Token, TokenProof, TokenVerdict,
        TokenWish, When, Who, Xep,
    };
    pub use table::{Record, Table, record};
    pub use xml::{Element, Flat, Node};
    pub use xmpp::{
        Condition, ErrorKind, IqKind, Jid, JidRef, Kind, MessageKind, PresenceKind, StanzaError,
        StanzaRef, StreamError, caps, ns, uri, xep,
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
