//! `[modules.register]`

use calypte::prelude::*;
use serde::Deserialize;

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Nobody.
    #[default]
    Closed,
    /// Who was invited.
    Invite,
    /// Everybody.
    Open,
}

impl Policy {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Invite => 1,
            Self::Open => 2,
        }
    }
}

/// Settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who may register.
    pub policy: Policy,
    /// Names that strangers cannot take, besides those that are always kept back.
    pub reserved: Vec<String>,
    /// The shortest name that a stranger can take, in characters.
    pub name_min: u32,
    /// The longest, in bytes.
    pub name_max: u32,
    /// The shortest password, in characters.
    pub password_min: u32,
    /// Attempts of one address in an hour.
    pub per_address: u32,
    /// Attempts of all addresses in an hour.
    pub per_hour: u32,
    /// Whether users may change their passwords.
    pub change_password: bool,
    /// Whether the other devices have to log in anew when the password was changed.
    pub close_others: bool,
    /// Whether users may remove their accounts.
    pub remove: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::Closed,
            reserved: Vec::new(),
            name_min: 2,
            name_max: 64,
            password_min: 8,
            per_address: 5,
            per_hour: 100,
            change_password: true,
            close_others: false,
            remove: true,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let wrong = |what: &str| Err(SetupError(what.to_owned()));
        if self.name_max > 1023 || self.name_min > self.name_max {
            return wrong("`name_min` must not be above `name_max`, nor that above 1023");
        }
        if self.password_min > 128 {
            return wrong("`password_min` must not be above 128");
        }
        if self.policy != Policy::Closed && (self.per_address == 0 || self.per_hour == 0) {
            return wrong("with 0 attempts nobody can register; say `policy = \"closed\"` instead");
        }
        Ok(())
    }
}

pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "policy",
        kind: "text",
        default: "\"closed\"",
        about: "Who may register with a client: nobody (`closed`), who was invited (`invite`) or everybody (`open`).",
    },
    ConfigKey {
        name: "reserved",
        kind: "list",
        default: "[]",
        about: "Names that strangers cannot take, besides admin, postmaster and the like.",
    },
    ConfigKey {
        name: "name_min",
        kind: "number",
        default: "2",
        about: "The shortest name that a stranger can take, in characters.",
    },
    ConfigKey {
        name: "name_max",
        kind: "number",
        default: "64",
        about: "The longest name that a stranger can take, in bytes, at most 1023.",
    },
    ConfigKey {
        name: "password_min",
        kind: "number",
        default: "8",
        about: "The shortest password, in characters, at most 128.",
    },
    ConfigKey {
        name: "per_address",
        kind: "number",
        default: "5",
        about: "Attempts to register from one address (IPv6: one /64) in an hour.",
    },
    ConfigKey {
        name: "per_hour",
        kind: "number",
        default: "100",
        about: "Attempts to register from all addresses together in an hour.",
    },
    ConfigKey {
        name: "change_password",
        kind: "yes/no",
        default: "true",
        about: "Whether users may change their passwords with a client.",
    },
    ConfigKey {
        name: "close_others",
        kind: "yes/no",
        default: "false",
        about: "Whether the other devices have to log in anew when the password was changed.",
    },
    ConfigKey {
        name: "remove",
        kind: "yes/no",
        default: "true",
        about: "Whether users may remove their accounts with a client.",
    },
];
