//! Domains as DNS and certificates know them.

use std::net::IpAddr;

/// Returns `domain` in lower case with A-labels (`xn--…`), without a dot at the end; nothing when
/// it is no name of DNS: an IP address, a label that is empty or too long, or a letter that no host
/// has. One label is enough.
pub(crate) fn ascii(domain: &str) -> Option<String> {
    let bare = domain.trim_matches(['[', ']']);
    if bare.parse::<IpAddr>().is_ok() {
        return None;
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    // What is left with digits alone at the end is read as an IPv4 address by some (`127.1`).
    let last = ascii.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    (!ascii.is_empty() && !is_number).then_some(ascii)
}

/// Returns the last two labels of `domain`: whoever has them can make up any number of names below.
/// Domains that share a public suffix of two labels count as one, so no bound by this name may keep
/// anybody out while there is room.
pub(crate) fn parent(domain: &str) -> &str {
    let mut dots = domain.rmatch_indices('.').map(|(at, _)| at.saturating_add(1));
    dots.nth(1).and_then(|at| domain.get(at..)).unwrap_or(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(domain: &str, expected: Option<&str>) {
        assert_eq!(ascii(domain).as_deref(), expected);
    }

    #[test]
    fn parents_have_two_labels() {
        assert_eq!(parent("a.b.evil.example"), "evil.example");
        assert_eq!(parent("evil.example"), "evil.example");
        assert_eq!(parent("localhost"), "localhost");
        assert_eq!(parent(""), "");
    }

    #[test]
    fn domains_become_what_dns_has() {
        check("Chat.Example", Some("chat.example"));
        check("chat.example.", Some("chat.example"));
        check("b\u{FC}cher.example", Some("xn--bcher-kva.example"));
        check("xn--bcher-kva.example", Some("xn--bcher-kva.example"));
        check("localhost", Some("localhost"));
    }

    #[test]
    fn what_is_no_name_is_nothing() {
        check("", None);
        check("a..example", None);
        check("a.example..", None);
        check("127.0.0.1", None);
        check("127.1", None);
        check("::1", None);
        check("[::1]", None);
        check("a_b.example", None);
        check("a\0.example", None);
        check("*.example", None);
        check("xn--a.example", None);
        check(&"a".repeat(64), None);
        check(&["a"; 200].join("."), None);
    }
}
