//! `[modules.invites]`

use calypte::config::Span;
use calypte::prelude::*;
use serde::Deserialize;

/// Settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many invitations of one user may be open.
    pub per_user: u32,
    /// How long an invitation is good for.
    pub expires: Span,
    /// Whether users may invite people to make an account here.
    pub users_register: bool,
    /// Wrong tokens from one address in an hour.
    pub tries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { per_user: 10, expires: Span { ms: 7 * 86_400_000 }, users_register: true, tries: 10 }
    }
}

/// The longest life of an invitation, in milliseconds: a year.
pub(crate) const EXPIRES_MAX_MS: u64 = 366 * 86_400_000;

impl Config {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        if self.expires.ms < 60_000 || self.expires.ms > EXPIRES_MAX_MS {
            return Err(SetupError("`expires` is between 1 minute and 366 days".to_owned()));
        }
        if self.tries == 0 || self.per_user > 1000 {
            return Err(SetupError("`tries` is at least 1, `per_user` at most 1000".to_owned()));
        }
        Ok(())
    }
}

pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "per_user",
        kind: "number",
        default: "10",
        about: "How many invitations of one user may be open, at most 1000; 0: users do not invite.",
    },
    ConfigKey {
        name: "expires",
        kind: "time",
        default: "\"7 days\"",
        about: "How long an invitation is good for, from 1 minute to 366 days.",
    },
    ConfigKey {
        name: "users_register",
        kind: "yes/no",
        default: "true",
        about: "Whether whom a user invites may make an account here, where `register` lets who is invited.",
    },
    ConfigKey {
        name: "tries",
        kind: "number",
        default: "10",
        about: "Wrong tokens from one address (IPv6: one /64) in an hour; more are not looked at.",
    },
];
