//! Times and sizes in words, as operators write them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};

/// Tells whether a text can stand in front of the domain, as the name of a service (RFC 1123 §2.1).
#[must_use]
pub fn is_label(text: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_end = |c: char| is_inside(c) && c != '-';
    text.len() <= 63
        && text.chars().all(is_inside)
        && text.starts_with(is_end)
        && text.ends_with(is_end)
}

/// A length of time, such as `"30 days"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// In milliseconds.
    pub ms: u64,
}

/// A number of bytes, such as `"256 KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// In bytes.
    pub bytes: u64,
}

/// A text is no time or size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadQuantity {
    /// What would be right.
    pub expected: &'static str,
}

impl fmt::Display for BadQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for BadQuantity {}

const SPANS: &[(&str, u64)] = &[
    ("ms", 1),
    ("second", 1000),
    ("minute", 60_000),
    ("hour", 3_600_000),
    ("day", 86_400_000),
    ("week", 604_800_000),
];

const SIZES: &[(&str, u64)] =
    &[("B", 1), ("byte", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl std::str::FromStr for Span {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let expected = "a time such as \"30 seconds\", \"5 minutes\" or \"30 days\"";
        read(text, SPANS).map(|ms| Self { ms }).ok_or(BadQuantity { expected })
    }
}

impl std::str::FromStr for Size {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let expected = "a size such as \"256 KiB\" or \"10 MiB\"";
        read(text, SIZES).map(|bytes| Self { bytes }).ok_or(BadQuantity { expected })
    }
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let unit = unit.trim();
    let named = |name: &str| unit == name || unit.strip_suffix('s') == Some(name);
    let (_, factor) = units.iter().find(|(name, _)| named(name))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_and_sizes() {
        assert_eq!("30 days".parse(), Ok(Span { ms: 2_592_000_000 }));
        assert_eq!("1 minute".parse(), Ok(Span { ms: 60_000 }));
        assert_eq!("256 KiB".parse(), Ok(Size { bytes: 262_144 }));
        for bad in ["5", "5 moons", "-1 day", "day", "99999999999999999999 days"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
