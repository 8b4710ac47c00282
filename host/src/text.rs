//! Numbers for people.

/// Returns `3 days`, `5 hours`, `2 minutes`, `1 second`: the largest unit that fits.
pub(crate) fn duration(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let fits = |(worth, _): &&(u64, &str)| seconds >= *worth;
    let (worth, name) = units.iter().find(fits).copied().unwrap_or((1, "second"));
    let count = seconds / worth;
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// Returns `1 stanza`, `2 stanzas`.
pub(crate) fn count(count: usize, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// Returns `12.3 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = |(worth, _): &&(u64, &str)| bytes >= *worth;
    match units.iter().find(fits) {
        Some((worth, name)) => format!("{}.{} {name}", bytes / worth, bytes % worth * 10 / worth),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_unit_first() {
        assert_eq!(duration(0), "0 seconds");
        assert_eq!(duration(60), "1 minute");
        assert_eq!(duration(200_000), "2 days");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(10), "10 bytes");
    }
}
