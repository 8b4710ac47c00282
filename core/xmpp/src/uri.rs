//! Addresses as links: RFC 5122.

use crate::Jid;

/// Writes an address as a URI has it (§2.3), `xmpp:juliet@capulet.example`, to be followed by a query.
#[must_use]
pub fn of(jid: &Jid) -> String {
    let mut out = "xmpp:".to_owned();
    for byte in jid.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@!$'()*+,".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_an_address_is_escaped() {
        let jid: Jid = "jos\u{e9};x#y?z@capulet.example".parse().unwrap();
        assert_eq!(of(&jid), "xmpp:jos%C3%A9%3Bx%23y%3Fz@capulet.example");
    }
}
