//! Messages wait for people who are away (XEP-0160, RFC 6121 §8.5.2.2).
//!
//! A message that no client can get is written down before its sender hears that it was taken. The
//! first client that can get messages is given them in pages, oldest first, each with the time when
//! it came (XEP-0203). A page is gone from here when the client has it: at once where the session
//! keeps what the client did not acknowledge (XEP-0198), and otherwise when the client answers a
//! ping that was sent behind the page. So none is lost when the connection is.

mod keep;
mod turn;

use calypte::config::{Size, Span};
use calypte::notice::{ArchiveRead, Notice};
use calypte::prelude::*;
use serde::Deserialize;

/// The operator's settings, `[modules.offline]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most messages that wait for one account.
    pub messages: u32,
    /// The most bytes that wait for one account.
    pub bytes: Size,
    /// How long a message waits.
    pub keep: Span,
    /// How many messages a client is given before it has to say that it has them.
    pub page: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            messages: 2000,
            bytes: Size { bytes: 4 << 20 },
            keep: Span { ms: 60 * 24 * 3_600_000 },
            page: 50,
        }
    }
}

/// Messages wait for people who are away.
#[derive(Debug)]
pub struct Offline(Config);

calypte::export!(Offline);

impl Module for Offline {
    const NAME: &'static str = "offline";
    const ABOUT: &'static str = "Keeps messages for people who are away.";
    const XEPS: &'static [Xep] = &[Xep("0160", "1.0.1"), Xep("0203", "2.0"), Xep("0334", "1.0.0")];
    const FEATURES: &'static [Feature] = &[Feature::Domain(ns::OFFLINE)];
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "messages",
            kind: "number",
            default: "2000",
            about: "How many messages wait for one account at most; senders of more hear that they \
                    were not kept.",
        },
        ConfigKey {
            name: "bytes",
            kind: "size",
            default: "\"4 MiB\"",
            about: "How many bytes of messages wait for one account at most.",
        },
        ConfigKey {
            name: "keep",
            kind: "time",
            default: "\"60 days\"",
            about: "How long a message waits before it is deleted unread.",
        },
        ConfigKey {
            name: "page",
            kind: "number",
            default: "50",
            about: "How many messages a client is given before it has to say that it has them, 1 \
                    to 500; never more than 32 KiB, but for a single message.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::message_when_away(Place::Received, Phase::Record, Self::keep),
        Hook::presence(Place::Sent, Phase::Copy, Self::presence),
        Hook::resumed(Self::resumed),
        Hook::closed(Self::closed),
        Hook::answer(Self::answered),
        Hook::notice(ArchiveRead::NAME, Self::read),
        Hook::wake(Self::expire),
        Hook::verify(Self::verify),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        if config.keep.ms == 0 {
            let why = "keep must be longer than nothing; to keep no messages disable the module";
            return Err(SetupError(why.to_owned()));
        }
        if !(1..=500).contains(&config.page) {
            return Err(SetupError("page must be a number from 1 to 500".to_owned()));
        }
        Ok(Self(config))
    }
}
