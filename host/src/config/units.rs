//! Sizes and times as the operator writes them: "256 KiB", "5 minutes".

use std::fmt;
use std::time::Duration;

/// A number of bytes, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

/// A length of time, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

/// Names of a unit, the one we write first, with what it is worth.
type Unit = (&'static [&'static str], u64);

const SIZES: &[Unit] = &[
    (&["GiB"], 1 << 30),
    (&["GB"], 1_000_000_000),
    (&["MiB"], 1 << 20),
    (&["MB"], 1_000_000),
    (&["KiB"], 1 << 10),
    (&["kB", "KB"], 1_000),
    (&["bytes", "byte", "B"], 1),
];

const SPANS: &[Unit] = &[
    (&["weeks", "week"], 604_800_000),
    (&["days", "day", "d"], 86_400_000),
    (&["hours", "hour", "h"], 3_600_000),
    (&["minutes", "minute", "min"], 60_000),
    (&["seconds", "second", "s"], 1_000),
    (&["milliseconds", "millisecond", "ms"], 1),
];

impl Size {
    /// Reads `"256 KiB"`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse(text, SIZES).map(Self)
    }

    /// Returns the number of bytes as a length in memory.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Span {
    /// Reads `"5 minutes"`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        parse(text, SPANS).map(|ms| Self(Duration::from_millis(ms)))
    }

    /// Returns whole seconds, or the largest number that fits.
    pub(crate) fn seconds(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, SIZES)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), SPANS)
    }
}

fn parse(text: &str, units: &[Unit]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'_').count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.replace('_', "").parse().ok()?;
    let unit = unit.trim_start();
    let (_, worth) = units.iter().find(|(names, _)| names.contains(&unit))?;
    number.checked_mul(*worth)
}

fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[Unit]) -> fmt::Result {
    // The largest unit that says it without a fraction.
    let whole = |worth: u64| value != 0 && value.is_multiple_of(worth);
    let unit = units.iter().find(|(_, worth)| whole(*worth)).or_else(|| units.last());
    let Some((names, worth)) = unit else { return write!(f, "{value}") };
    let count = value / worth;
    let name = match names {
        [_, one, ..] if count == 1 && one.len() > 2 => one,
        [name, ..] => name,
        [] => "",
    };
    write!(f, "{count} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn size(text: &str, expected: Option<(u64, &str)>) {
        let read = Size::parse(text);
        assert_eq!(read.map(|size| size.0), expected.map(|(bytes, _)| bytes));
        assert_eq!(read.map(|size| size.to_string()).as_deref(), expected.map(|(_, text)| text));
    }

    #[test]
    fn sizes_have_units() {
        size("256 KiB", Some((262_144, "256 KiB")));
        size("256KiB", Some((262_144, "256 KiB")));
        size("10_000 bytes", Some((10_000, "10 kB")));
        size("1 byte", Some((1, "1 byte")));
        size("0 bytes", Some((0, "0 bytes")));
        size("1 GiB", Some((1 << 30, "1 GiB")));
        size("256", None);
        size("KiB", None);
        size("1.5 MiB", None);
        size("-1 MiB", None);
        size("99999999999 GiB", None);
    }

    #[track_caller]
    fn span(text: &str, expected: Option<(u64, &str)>) {
        let read = Span::parse(text);
        let ms = read.map(|span| u64::try_from(span.0.as_millis()).unwrap());
        assert_eq!(ms, expected.map(|(ms, _)| ms));
        assert_eq!(read.map(|span| span.to_string()).as_deref(), expected.map(|(_, text)| text));
    }

    #[test]
    fn spans_have_units() {
        span("5 minutes", Some((300_000, "5 minutes")));
        span("5min", Some((300_000, "5 minutes")));
        span("1 day", Some((86_400_000, "1 day")));
        span("90 s", Some((90_000, "90 seconds")));
        span("1500 ms", Some((1500, "1500 milliseconds")));
        span("0 s", Some((0, "0 milliseconds")));
        span("soon", None);
    }
}
