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

/// Reads a time of XEP-0082 §3.2 as milliseconds since 1970; one before that is 0.
///
/// `None` when it is no such time, or none that the calendar has.
#[must_use]
pub fn read_date_time(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, parts.next()?);
    let day = digits(day, 2)?;
    if !(1..=12).contains(&month) || day == 0 || day > days_of(year, month) {
        return None;
    }
    let at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(at)?;
    let (clock, fraction) = clock.split_once('.').map_or((clock, "0"), |parts| parts);
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = digits(parts.next()?, 2)?;
    if hour > 23 || minute > 59 || second > 60 || fraction.is_empty() {
        return None;
    }
    let is_number = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let milli: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok().filter(|_| is_number)?;
    let offset_ms = offset_ms(zone)?;
    let days = i64::try_from(days_since_1970(year, month, day)?).ok()?;
    let in_day = i64::try_from(((hour * 60 + minute) * 60 + second) * 1000 + milli).ok()?;
    Some(u64::try_from(days * 86_400_000 + in_day - offset_ms).unwrap_or(0))
}

/// Reads `Z`, `+02:00` or `-05:30`.
fn offset_ms(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hour, minute) = rest.split_once(':')?;
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
    let minutes = i64::try_from(hour * 60 + minute).ok().filter(|_| hour < 24 && minute < 60)?;
    Some(sign * minutes * 60_000)
}

fn digits(text: &str, count: usize) -> Option<u64> {
    let is_right = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_right)
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The opposite of [`civil`]; 0 before 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    Some(days.saturating_sub(719_468))
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

    #[test]
    fn reads_times() {
        for ms in [0, 951_782_400_000, 1_795_508_999_123, 4_102_444_800_000] {
            assert_eq!(read_date_time(&date_time(ms)), Some(ms));
        }
        assert_eq!(read_date_time("2000-02-29T00:00:00Z"), Some(951_782_400_000));
        assert_eq!(read_date_time("2000-02-29T02:30:00.5+02:30"), Some(951_782_400_500));
        assert_eq!(read_date_time("2000-02-28T19:00:00.1234567-05:00"), Some(951_782_400_123));
        assert_eq!(read_date_time("1869-01-01T00:00:00Z"), Some(0));
        for bad in [
            "",
            "T",
            "2000-02-30T00:00:00Z",
            "2001-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-02-29T24:00:00Z",
            "2000-02-29T00:00:00",
            "2000-02-29",
            "2000-02-29T00:00:00.Z",
            "2000-02-29T00:00:00.xZ",
            "2000-02-29T00:00Z",
            "+000-02-29T00:00:00Z",
            "2000-02-29T00:00:00+2:00",
            "2000-02-29T00:00:00Zjunk",
            "20000229T00:00:00Z",
        ] {
            assert_eq!(read_date_time(bad), None, "{bad}");
        }
    }
}
