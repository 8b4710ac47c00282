//! Writing text so that it is read back the same.

/// Appends text for between tags.
pub fn escape_text(text: &str, out: &mut String) {
    escape(text, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// Appends text for an attribute in either kind of quotes.
pub fn escape_attr(text: &str, out: &mut String) {
    escape(text, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&apos;"),
        b'\t' => Some("&#9;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

fn escape(text: &str, out: &mut String, replacement: impl Fn(u8) -> Option<&'static str>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let is_plain = byte >= 0x20 && !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'');
        if is_plain {
            continue;
        }
        let replacement = match replacement(byte) {
            Some(replacement) => replacement,
            // Control characters cannot be written in XML at all.
            None if byte < 0x20 && !matches!(byte, b'\t' | b'\n') => "\u{FFFD}",
            None => continue,
        };
        out.push_str(text.get(from..at).unwrap_or(""));
        out.push_str(replacement);
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or(""));
}
