//! Addresses as links (RFC 5122), and the escapes of links (RFC 3986 §2.1).

use crate::Jid;

/// Writes an address as a URI has it (§2.3), `xmpp:juliet@capulet.example`, to be followed by a query.
#[must_use]
pub fn of(jid: &Jid) -> String {
    format!("xmpp:{}", escaped_but(jid.as_str(), b"@!$'()*+,"))
}

/// Escapes all but what never needs it (RFC 3986 §2.3), so that the text can be any part of a link.
#[must_use]
pub fn escaped(text: &str) -> String {
    escaped_but(text, b"")
}

fn escaped_but(text: &str, as_it_is: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || as_it_is.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Undoes escapes. `None` when one is no two hexadecimal digits, or the whole is not UTF-8.
#[must_use]
pub fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
        let byte = high.to_digit(16)? << 4 | low.to_digit(16)?;
        bytes.push(u8::try_from(byte).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_an_address_is_escaped() {
        let jid: Jid = "jos\u{e9};x#y?z@capulet.example".parse().unwrap();
        assert_eq!(of(&jid), "xmpp:jos%C3%A9%3Bx%23y%3Fz@capulet.example");
    }

    #[test]
    fn escapes_are_undone() {
        let text = "tr\u{e8}s cool/a+b%.jpg";
        assert_eq!(escaped(text), "tr%C3%A8s%20cool%2Fa%2Bb%25.jpg");
        assert_eq!(unescaped(&escaped(text)).as_deref(), Some(text));
        for wrong in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(unescaped(wrong), None, "{wrong}");
        }
    }
}
