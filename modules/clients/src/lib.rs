//! The apps of an account: they log in by tokens in place of the password (XEP-0484), and their user
//! can list them and throw them out (XEP-0494).
//!
//! An app is known by the id that it gives itself (XEP-0388). Its token is not kept: it derives from
//! a secret of the server and a number in the app's record.

mod list;
mod rows;
mod seen;
mod tokens;

use calypte::config::Span;
use calypte::prelude::*;
use serde::Deserialize;

/// How long a token is used before the app gets another, in milliseconds.
const ROTATE_MS: u64 = 24 * 3_600_000;

/// The operator's settings, `[modules.clients]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long an app that does not come back is remembered, and its token good.
    pub keep: Span,
    /// Whether what apps say they are called is kept.
    pub names: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep: Span { ms: 30 * 24 * 3_600_000 }, names: true }
    }
}

/// Lets apps log in by tokens, and their user list them and throw them out.
#[derive(Debug)]
pub struct Clients(Config);

calypte::export!(Clients);

impl Module for Clients {
    const NAME: &'static str = "clients";
    const ABOUT: &'static str =
        "Apps log in by tokens, and their user can list them and throw them out.";
    const XEPS: &'static [Xep] = &[Xep("0484", "0.2.0"), Xep("0494", "0.1.0")];
    const FEATURES: &'static [Feature] = &[Feature::Account(ns::CLIENTS)];
    const KEYS: &'static [ConfigKey] = &[
        ConfigKey {
            name: "keep",
            kind: "time",
            default: "\"30 days\"",
            about: "How long an app that does not come back is remembered, and can log in without \
                    the password.",
        },
        ConfigKey {
            name: "names",
            kind: "yes/no",
            default: "true",
            about: "Whether what an app says it and its device are called is kept, for the list that \
                    its user sees.",
        },
    ];
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::token(Self::check),
        Hook::authenticated(Self::logged_in),
        Hook::opened(Self::opened),
        Hook::grant(Self::grant),
        Hook::closed(Self::closed),
        Hook::wake(Self::forget),
        Hook::iq_get(On::Account, ns::CLIENTS, "list", Self::list),
        Hook::iq_set(On::Account, ns::CLIENTS, "revoke", Self::revoke),
    ];
    type Config = Config;

    fn setup(config: Config) -> Result<Self, SetupError> {
        if config.keep.ms < 3_600_000 {
            return Err(SetupError("keep must be at least \"1 hour\"".to_owned()));
        }
        Ok(Self(config))
    }
}

impl Clients {
    /// Returns how long a token is used before the app gets another, in milliseconds.
    fn rotate_ms(&self) -> u64 {
        ROTATE_MS.min(self.0.keep.ms / 2)
    }
}
