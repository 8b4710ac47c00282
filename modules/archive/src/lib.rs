//! The history of each account, for all its devices (XEP-0313, XEP-0359, XEP-0441).
//!
//! A message that says something is written down before it is handed on, and given the name that it
//! has here (XEP-0359), so that a client knows the same message again. A client asks for pages of it.
//!
//! Rows are in the order in which they came, and once more by the person at the other end. A page is
//! read from where the last one ended, so it costs the same however long the history is.

mod expire;
mod forged;
mod id;
mod keep;
mod page;
mod prefs;
mod query;
mod rows;
mod verify;

use calypte::config::{Size, Span};
use calypte::prelude::*;
use serde::Deserialize;

/// The operator's settings, `[modules.archive]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a message stays.
    pub keep: Span,
    /// The most bytes of an account.
    pub bytes: Size,
    /// Whose messages are kept, for those who do not say it themselves.
    pub default: prefs::Default,
    /// The most messages of a page.
    pub page: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            keep: Span { ms: 365 * 24 * 3_600_000 },
            bytes: Size { bytes: 512 << 20 },
            default: prefs::Default::Always,
            page: 100,
        }
    }
}

/// The history of each account, for all its devices.
#[derive(Debug)]
pub struct Archive(Config);

calypte::export!(Archive);

impl Module for Archive {
    const NAME: &'static str = "archive";
    const ABOUT: &'static str = "The history of each account, for all its devices.";
    const XEPS: &'static [Xep] = &[
        Xep("0313", "1.1.3"),
        Xep("0059", "1.0"),
        Xep("0334", "1.0.0"),
        Xep("0359", "0.7.0"),
        Xep("0386", "1.1.0"),
        Xep("0441", "0.2.0"),
    ];
    const FEATURES: &'static [Feature] = &[
        Feature::Account(ns::ARCHIVE),
        Feature::Account(ns::ARCHIVE_EXTENDED),
        Feature::Account(ns::ARCHIVE_GROUPCHAT),
        Feature::Account(ns::STANZA_ID),
    ];
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "keep",
            kind: "time",
            default: "\"365 days\"",
            about: "How long a message stays before it is deleted.",
        },
        ConfigKey {
            name: "bytes",
            kind: "size",
            default: "\"512 MiB\"",
            about: "How much is kept for one account; the oldest messages go first.",
        },
        ConfigKey {
            name: "default",
            kind: "text",
            default: "\"always\"",
            about: "Whose messages are kept unless a user says otherwise: always (everybody's), \
                    roster (those of contacts) or never.",
        },
        ConfigKey {
            name: "page",
            kind: "number",
            default: "100",
            about: "How many messages a client is given at a time, 1 to 250; never more than \
                    128 KiB, but for a single message.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::payload(Place::Sent, Phase::Rewrite, ns::STANZA_ID, "stanza-id", Self::forged_id),
        Hook::message(Place::Sent, Phase::Record, Self::sent),
        // In front of the names: what is left may say nothing.
        Hook::payload(Place::Received, Phase::Rewrite, ns::ARCHIVE, "result", Self::forged_result),
        Hook::message(Place::Received, Phase::Rewrite, Self::name),
        Hook::message(Place::Received, Phase::Record, Self::received),
        Hook::payload(Place::Sent, Phase::Record, ns::ARCHIVE, "query", Self::asks_another),
        Hook::iq_get(On::AccountFromAnyone, ns::ARCHIVE, "query", Self::form),
        Hook::iq_set(On::AccountFromAnyone, ns::ARCHIVE, "query", Self::query),
        Hook::iq_get(On::AccountFromAnyone, ns::ARCHIVE, "metadata", Self::metadata),
        Hook::iq_get(On::AccountFromAnyone, ns::ARCHIVE, "prefs", Self::prefs),
        Hook::iq_set(On::AccountFromAnyone, ns::ARCHIVE, "prefs", Self::set_prefs),
        Hook::bound(None, Self::bound),
        Hook::closed(Self::closed),
        Hook::wake(Self::expire),
        Hook::verify(Self::verify),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        if config.keep.ms == 0 || config.bytes.bytes == 0 {
            let why = "keep and bytes must be more than nothing; to keep no history disable the \
                       module";
            return Err(SetupError(why.to_owned()));
        }
        if !(1..=250).contains(&config.page) {
            return Err(SetupError("page must be a number from 1 to 250".to_owned()));
        }
        Ok(Self(config))
    }
}

/// Refuses everybody but the account's own clients with what an address without an account answers;
/// `forbidden`, as the XEP has it, would tell them apart.
fn own(request: &Request<'_>, cx: &Context<'_, '_>) -> Done {
    if cx.is_own(request.from) { Ok(()) } else { Err(StanzaError::SERVICE_UNAVAILABLE) }
}
