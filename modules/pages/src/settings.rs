//! `[modules.pages]`

use calypte::config::Span;
use calypte::prelude::*;
use serde::Deserialize;

/// Settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long somebody stays logged in to the own page.
    pub session: Span,
    /// Wrong passwords or tokens from one address in an hour.
    pub tries: u32,
    /// Wrong passwords for one account in an hour, from all addresses together.
    pub tries_per_account: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { session: Span { ms: 3_600_000 }, tries: 10, tries_per_account: 100 }
    }
}

/// The longest session, in milliseconds: a day.
const SESSION_MAX_MS: u64 = 86_400_000;

impl Config {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let wrong = |what: &str| Err(SetupError(what.to_owned()));
        if self.session.ms < 60_000 || self.session.ms > SESSION_MAX_MS {
            return wrong("`session` is between 1 minute and 1 day");
        }
        if self.tries == 0 || self.tries_per_account == 0 {
            return wrong("with 0 tries nobody can log in");
        }
        Ok(())
    }
}

pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "session",
        kind: "time",
        default: "\"1 hour\"",
        about: "How long somebody stays logged in to the own page, from 1 minute to 1 day.",
    },
    ConfigKey {
        name: "tries",
        kind: "number",
        default: "10",
        about: "Wrong passwords or invitations from one address (IPv6: one /64) in an hour; more are not looked at.",
    },
    ConfigKey {
        name: "tries_per_account",
        kind: "number",
        default: "100",
        about: "Wrong passwords for one account in an hour from all addresses together; more are not looked at.",
    },
];
