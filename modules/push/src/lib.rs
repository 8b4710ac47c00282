//! Wakes phones whose connection is gone (XEP-0357).
//!
//! A client names the service of its vendor that can wake it. When something comes that a person would
//! want to know of, and the client has no connection or does not say that it has it, the account publishes
//! a notification there. A registration belongs to the installation of a client that made it, outlives its
//! session, and ends when the client or the service says so.

mod publish;
mod rooms;
mod services;
mod watch;

use calypte::config::Span;
use calypte::prelude::*;
use serde::Deserialize;

pub use rooms::InRooms;

/// The operator's settings, `[modules.push]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many registrations an account may have.
    pub services: u32,
    /// What a notification says.
    pub content: Content,
    /// What stands for the text of a message in a notification.
    pub placeholder: String,
    /// Which messages of rooms wake a client that is in them.
    pub rooms: InRooms,
    /// After how long a message that a connected client has not acknowledged counts as not there.
    pub unacked: Span,
    /// The shortest time between two notifications for one registration.
    pub pause: Span,
}

/// What a notification says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// That there is something.
    None,
    /// How many messages.
    Count,
    /// And who sent the last.
    Sender,
    /// And its text, when it is not encrypted.
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            services: 10,
            content: Content::Count,
            placeholder: "New message!".to_owned(),
            rooms: InRooms::Mentions,
            unacked: Span { ms: 30_000 },
            pause: Span { ms: 2_000 },
        }
    }
}

/// Wakes phones whose connection is gone.
#[derive(Debug)]
pub struct Push(Config);

calypte::export!(Push);

impl Module for Push {
    const NAME: &'static str = "push";
    const ABOUT: &'static str = "Wakes phones whose connection is gone.";
    const XEPS: &'static [Xep] = &[Xep("0357", "0.4.1")];
    const FEATURES: &'static [Feature] = &[Feature::Account(ns::PUSH)];
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "services",
            kind: "number",
            default: "10",
            about: "How many registrations an account may have, 1 to 100; the oldest without a session \
                    gives way.",
        },
        ConfigKey {
            name: "content",
            kind: "text",
            default: "\"count\"",
            about: "What a notification says to the vendor's service: none (that there is something), \
                    count (how many messages), sender (and from whom the last is), text (and what it \
                    says, if it is not encrypted).",
        },
        ConfigKey {
            name: "placeholder",
            kind: "text",
            default: "\"New message!\"",
            about: "What stands for the text of a message, unless content is none: some services show \
                    nothing without. Empty: nothing stands for it.",
        },
        ConfigKey {
            name: "rooms",
            kind: "text",
            default: "\"mentions\"",
            about: "What wakes a client that is in a room: mentions (of its nickname, and what is encrypted) \
                    or all (each message).",
        },
        ConfigKey {
            name: "unacked",
            kind: "time",
            default: "\"30 seconds\"",
            about: "After how long a message that a connected client does not acknowledge is told to \
                    its service; \"0\": never.",
        },
        ConfigKey {
            name: "pause",
            kind: "time",
            default: "\"2 seconds\"",
            about: "The shortest time between two notifications for one registration; what comes \
                    between is told together.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::iq_set(On::Account, ns::PUSH, "enable", Self::enable),
        Hook::iq_set(On::Account, ns::PUSH, "disable", Self::disable),
        Hook::payload(Place::Received, Phase::Rewrite, ns::PUBSUB, "pubsub", Self::ended),
        Hook::presence(Place::Received, Phase::Admit, Self::asked),
        Hook::message(Place::Received, Phase::Copy, Self::received),
        Hook::payload(Place::Received, Phase::Copy, ns::JINGLE, "jingle", Self::called),
        Hook::authenticated(Self::authenticated),
        Hook::opened(Self::opened),
        Hook::resumed(Self::resumed),
        Hook::lost(Self::lost),
        Hook::wake(Self::wake),
        Hook::answer(Self::answered),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        if !(1..=100).contains(&config.services) {
            return Err(SetupError("services must be a number from 1 to 100".to_owned()));
        }
        if config.placeholder.len() > 200 {
            return Err(SetupError("placeholder must be at most 200 bytes".to_owned()));
        }
        Ok(Self(config))
    }
}
