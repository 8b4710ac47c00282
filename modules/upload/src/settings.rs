//! `[modules.upload]`

use calypte::config::{Size, Span};
use calypte::prelude::*;
use serde::Deserialize;

/// What clients add to a file that they encrypt (XEP-0454): the tag of its cipher, in bytes.
const TAG_BYTES: u64 = 16;
/// The longest that files are kept, in milliseconds: ten years.
const EXPIRE_MAX_MS: u64 = 3660 * 86_400_000;

/// Settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The largest file.
    pub size: Size,
    /// How much an account sends in a day.
    pub per_day: Size,
    /// How much is kept of an account.
    pub per_account: Size,
    /// How many files are kept of an account.
    pub files: u32,
    /// How much is kept of all accounts together.
    pub total: Size,
    /// How long a file is kept.
    pub expire: Span,
    /// How long a file is kept that belongs to a profile.
    pub expire_profile: Span,
}

impl Default for Config {
    fn default() -> Self {
        let gib = |count: u64| Size { bytes: count << 30 };
        let days = |count: u64| Span { ms: count * 86_400_000 };
        Self {
            size: Size { bytes: 100 << 20 },
            per_day: gib(1),
            per_account: gib(2),
            files: 10_000,
            total: gib(10),
            expire: days(30),
            expire_profile: days(366),
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let no = |text: &str| Err(SetupError(text.to_owned()));
        let sizes = [self.size, self.per_day, self.per_account, self.total];
        if sizes.iter().any(|size| size.bytes == 0 || size.bytes > 1 << 50) {
            return no(
                "the sizes are more than nothing and at most 1048576 GiB; to take no files \
                       disable the module",
            );
        }
        if sizes.iter().any(|size| *size < self.size) {
            return no("`size` is at most `per_day`, `per_account` and `total`");
        }
        if !(1..=100_000).contains(&self.files) {
            return no("`files` is a number from 1 to 100000");
        }
        if [self.expire, self.expire_profile]
            .iter()
            .any(|span| !(60_000..=EXPIRE_MAX_MS).contains(&span.ms))
        {
            return no("`expire` and `expire_profile` are between 1 minute and 3660 days");
        }
        Ok(())
    }

    /// Returns the bytes of the largest file, with what encryption adds to it.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.size.bytes.saturating_add(TAG_BYTES)
    }
}

pub(crate) const KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "size",
        kind: "size",
        default: "\"100 MiB\"",
        about: "The largest file; 16 bytes more are taken, for what encryption adds to it.",
    },
    ConfigKey {
        name: "per_day",
        kind: "size",
        default: "\"1 GiB\"",
        about: "How much an account can send in a day (UTC).",
    },
    ConfigKey {
        name: "per_account",
        kind: "size",
        default: "\"2 GiB\"",
        about: "How much is kept for one account; the same content counts once.",
    },
    ConfigKey {
        name: "files",
        kind: "number",
        default: "10000",
        about: "How many files are kept for one account, from 1 to 100000.",
    },
    ConfigKey {
        name: "total",
        kind: "size",
        default: "\"10 GiB\"",
        about: "How much is kept for all accounts together.",
    },
    ConfigKey {
        name: "expire",
        kind: "time",
        default: "\"30 days\"",
        about: "How long a file is kept, 1 minute to 3660 days.",
    },
    ConfigKey {
        name: "expire_profile",
        kind: "time",
        default: "\"366 days\"",
        about: "How long pictures of profiles are kept, which are at most 1 MiB.",
    },
];
