//! What the operator can set, `[modules.roster]`.

use calypte::{ConfigKey, SetupError};
use serde::Deserialize;

/// The most contacts that may be allowed: what one step of the server can deal with.
const CONTACTS_MAX: u32 = 10_000;

/// The operator's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most contacts of an account.
    pub contacts: u32,
    /// The most requests of strangers that wait for an answer of the account.
    pub requests: u32,
    /// The most groups of a contact.
    pub groups: u32,
    /// The longest name of a contact or group, in bytes.
    pub name_bytes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { contacts: 1000, requests: 100, groups: 50, name_bytes: 1023 }
    }
}

pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "contacts",
        kind: "number",
        default: "1000",
        about: "The most contacts of an account, from 1 to 10000",
    },
    ConfigKey {
        name: "requests",
        kind: "number",
        default: "100",
        about: "The most subscription requests of strangers that wait for an answer; more are dropped",
    },
    ConfigKey {
        name: "groups",
        kind: "number",
        default: "50",
        about: "The most groups of a contact",
    },
    ConfigKey {
        name: "name_bytes",
        kind: "number",
        default: "1023",
        about: "The longest name of a contact or group, in bytes",
    },
];

impl Config {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        if (1..=CONTACTS_MAX).contains(&self.contacts) && self.requests <= CONTACTS_MAX {
            return Ok(());
        }
        let text = "`contacts` must be from 1 to 10000 and `requests` at most 10000";
        Err(SetupError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_work() {
        assert_eq!(Config::default().check(), Ok(()));
        assert!(Config { contacts: 0, ..Config::default() }.check().is_err());
        assert!(Config { contacts: 10_001, ..Config::default() }.check().is_err());
        assert!(Config { requests: 10_001, ..Config::default() }.check().is_err());
    }

    #[test]
    fn the_list_shows_the_defaults() {
        let Config { contacts, requests, groups, name_bytes } = Config::default();
        let defaults = [contacts, requests, groups, name_bytes].map(|value| value.to_string());
        assert!(KEYS.iter().map(|key| key.default).eq(defaults.iter().map(String::as_str)));
    }
}
