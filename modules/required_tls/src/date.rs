//! Days and times as policies write them.

/// Returns year, month and day (UTC) of a time in milliseconds since 1970.
fn date(ms: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, so that a leap day is the last of its year.
    let days = ms / 86_400_000 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Returns `2026-11-25T00:00:00Z`.
pub(crate) fn stamp(ms: u64) -> String {
    let (year, month, day) = date(ms);
    let seconds = ms / 1000 % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns the first serial number of a day: `2026112500`.
pub(crate) fn first_serial(ms: u64) -> u64 {
    let (year, month, day) = date(ms);
    ((year * 100 + month) * 100 + day) * 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(stamp(951_782_399_000), "2000-02-28T23:59:59Z");
        assert_eq!(stamp(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(stamp(1_767_225_600_000), "2026-01-01T00:00:00Z");
        assert_eq!(stamp(4_107_542_400_000), "2100-03-01T00:00:00Z");
        assert_eq!(first_serial(1_767_225_600_000), 2_026_010_100);
    }
}
