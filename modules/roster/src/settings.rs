//! What the operator can set, `[modules.roster]`.

use calypte::{ConfigKey, SetupError};
use serde::Deserialize;

/// The most contacts that may be allowed: what one step of the server can deal with.
const CONTACTS_MAX: u32 = 10_000;

/// The most bytes of the groups of a contact.
const GROUP_BYTES_MAX: u32 = 16_384;

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
        Self { contacts: 1000, requests: 100, groups: 30, name_bytes: 511 }
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
        default: "30",
        about: "The most groups of a contact; times `name_bytes` at most 16384",
    },
    ConfigKey {
        name: "name_bytes",
        kind: "number",
        default: "511",
        about: "The longest name of a contact or group, in bytes",
    },
];

impl Config {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let refuse = |text: &str| Err(SetupError(text.to_owned()));
        if !(1..=CONTACTS_MAX).contains(&self.contacts) || self.requests > CONTACTS_MAX {
            return refuse("`contacts` must be from 1 to 10000 and `requests` at most 10000");
        }
        if self.groups.saturating_mul(self.name_bytes) > GROUP_BYTES_MAX {
            return refuse("`groups` times `name_bytes` must be at most 16384");
        }
        Ok(())
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
        assert!(Config { groups: 33, name_bytes: 500, ..Config::default() }.check().is_err());
        assert_eq!(Config { groups: 32, name_bytes: 512, ..Config::default() }.check(), Ok(()));
    }

    #[test]
    fn the_list_shows_the_defaults() {
        let Config { contacts, requests, groups, name_bytes } = Config::default();
        let defaults = [contacts, requests, groups, name_bytes].map(|value| value.to_string());
        assert!(KEYS.iter().map(|key| key.default).eq(defaults.iter().map(String::as_str)));
    }
}
