//! Pages by HTTP.

use bincode::{Decode, Encode};

/// How the answer to an HTTP request begins.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The status: 200 to 599.
    pub status: u16,
    /// Names and values, at most 32 and 8 KiB together.
    pub headers: Vec<(String, String)>,
}

/// The most headers of an answer.
const HEADERS_MAX: usize = 32;
/// The longest headers of an answer together, in bytes.
const HEADER_BYTES_MAX: usize = 8192;

impl Head {
    /// Returns that of an answer of this media type.
    #[must_use]
    pub fn of_type(media_type: &str) -> Self {
        Self { status: 200, headers: vec![("Content-Type".to_owned(), media_type.to_owned())] }
    }

    /// Tells whether it can be sent: nothing in it ends a line.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let is_value =
            |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        (200..600).contains(&self.status)
            && self.headers.len() <= HEADERS_MAX
            && bytes <= HEADER_BYTES_MAX
            && self.headers.iter().all(|(name, value)| is_name(name) && is_value(value))
    }

    /// Returns the value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_head_ends_a_line() {
        let head = |status, name: &str, value: &str| {
            Head { status, headers: vec![(name.to_owned(), value.to_owned())] }.is_sound()
        };
        assert!(head(303, "Location", "/account?a=b"));
        assert!(!head(100, "Location", "/"));
        assert!(!head(600, "Location", "/"));
        assert!(!head(200, "Loc ation", "/"));
        assert!(!head(200, "", "/"));
        assert!(!head(200, "Location", "/\r\nSet-Cookie: a=b"));
        assert!(!head(200, "Location", "/\u{e9}"));
        assert!(!head(200, "Location", &"a".repeat(HEADER_BYTES_MAX)));
        let many = vec![("A".to_owned(), "b".to_owned()); HEADERS_MAX + 1];
        assert!(!Head { status: 200, headers: many }.is_sound());
    }
}
