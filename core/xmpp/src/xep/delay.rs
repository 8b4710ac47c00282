//! XEP-0203: delayed delivery, and the times of XEP-0082.

use xml::Element;

use crate::{JidRef, ns};

/// Returns the mark that `from` held a stanza since `stamp_ms`.
#[must_use]
pub fn delay(from: JidRef<'_>, stamp_ms: u64) -> Element {
    Element::new(ns::DELAY, "delay")
        .with_attr("from", from.as_str())
        .with_attr("stamp", &date_time(stamp_ms))
}

/// Writes a time in milliseconds since 1970 as `2026-11-24T08:30:00.123Z` (XEP-0082 §3.2).
#[must_use]
pub fn date_time(ms: u64) -> String {
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The date of a day counted from 1970-01-01: years start in March, so leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times() {
        assert_eq!(date_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date_time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(date_time(1_795_508_999_123), "2026-11-24T08:29:59.123Z");
        assert_eq!(date_time(4_102_444_800_000), "2100-01-01T00:00:00.000Z");
    }
}
