//! Whether an address is a URI that somebody can write to.

use calypte::prelude::*;

/// The longest address in bytes.
const BYTES_MAX: usize = 512;

/// Checks the syntax of RFC 3986 as far as it matters here, and of the schemes that are used for it
/// (RFC 6068, RFC 5122, RFC 9110).
///
/// # Errors
///
/// What is wrong, for the operator: it follows the address.
pub(crate) fn check(address: &str) -> Result<(), &'static str> {
    if address.len() > BYTES_MAX {
        return Err("is longer than 512 bytes");
    }
    let Some((scheme, rest)) = address.split_once(':') else {
        return Err("has no scheme: write \"mailto:…\", \"xmpp:…\" or \"https://…\"");
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_word) {
        return Err("has no scheme: write \"mailto:…\", \"xmpp:…\" or \"https://…\"");
    }
    if !is_text(rest) {
        return Err("has a character that no URI has; such are written as %20");
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    match scheme.to_ascii_lowercase().as_str() {
        "mailto" => match path.split_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() => Ok(()),
            _ => Err("is no address of e-mail"),
        },
        "xmpp" => match Jid::parse(path) {
            Ok(_) => Ok(()),
            Err(_) => Err("is no XMPP address"),
        },
        "http" | "https" => {
            let host = path.strip_prefix("//").and_then(|path| path.split('/').next());
            match host {
                Some(host) if !host.is_empty() && !host.contains('@') => Ok(()),
                _ => Err("names no host"),
            }
        }
        _ if path.is_empty() => Err("says nothing after its scheme"),
        _ => Ok(()),
    }
}

/// Tells whether it has only what a URI may have, and each `%` two hexadecimal digits behind it.
fn is_text(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_fine = match byte {
            b'%' => bytes.by_ref().take(2).filter(u8::is_ascii_hexdigit).count() == 2,
            byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&byte),
        };
        if !is_fine {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_people_can_write_to() {
        for good in [
            "mailto:abuse@shakespeare.example",
            "mailto:xmpp@shakespeare.example?subject=XMPP%20server",
            "xmpp:abuse@shakespeare.example",
            "xmpp:admins@shakespeare.example?message",
            "xmpp:shakespeare.example",
            "https://status.shakespeare.example",
            "http://shakespeare.example/feedback.php?a=b#c",
            "HTTPS://shakespeare.example:8443/",
            "tel:+1-201-555-0123",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "",
            "abuse@shakespeare.example",
            ":abuse@shakespeare.example",
            "1x:abuse",
            "mailto:shakespeare.example",
            "mailto:@shakespeare.example",
            "mailto:a@b c",
            "mailto:a@b%2",
            "mailto:a@b%zz",
            "mailto:ä@b",
            "xmpp:",
            "xmpp:@shakespeare.example",
            "https:shakespeare.example",
            "https:///x",
            "https://user:word@shakespeare.example/",
            "tel:",
            "tel:?x",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&format!("https://{}", "a".repeat(512))).is_err());
    }
}
