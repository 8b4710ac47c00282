//! Where pages come from: scheme, host and port (RFC 6454 §4).

use std::fmt;

use toml::Spanned;
use toml::de::DeValue;

use super::value::{Value, Wrong};

/// Such as `https://chat.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `https` or `http`.
    pub(crate) scheme: &'static str,
    /// In small letters, as DNS has it.
    pub(crate) host: String,
    /// The port, if it is not that of the scheme.
    pub(crate) port: Option<u16>,
}

/// The pages that may use the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// All.
    Any,
    /// Those of one place.
    Of(Origin),
}

impl Origin {
    /// Reads it; nothing may follow but one slash.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, usual, rest) = match text.split_once("://")? {
            ("https", rest) => ("https", 443, rest),
            ("http", rest) => ("http", 80, rest),
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, Some(port.parse::<u16>().ok()?))
            }
            _ => (rest, None),
        };
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_ip6 = inside.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
        let host = host.to_ascii_lowercase();
        let is_name =
            host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if host.is_empty() || !(is_ip6 || is_name) {
            return None;
        }
        Some(Self { scheme, host, port: port.filter(|port| *port != usual) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Value for Origin {
    const KIND: &'static str = "where pages come from, such as \"https://chat.example.org\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let text = String::read(value)?;
        let hint = "write https://, a name as DNS has it and, if need be, a port; no path";
        let wrong = || Wrong { at: None, is: format!("{text:?}"), hint: hint.to_owned() };
        Self::parse(&text).ok_or_else(wrong)
    }
}

impl Value for Pages {
    const KIND: &'static str = "where pages come from, such as \"https://app.example.org\"";

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        if value.get_ref().as_str() == Some("*") {
            return Ok(Self::Any);
        }
        Origin::read(value).map(Self::Of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Origin::parse(text).map(|origin| origin.to_string()).as_deref(), expected);
    }

    #[test]
    fn reads_where_pages_come_from() {
        check("https://Chat.example:443/", Some("https://chat.example"));
        check("http://localhost:5281", Some("http://localhost:5281"));
        check("https://[::1]:8443", Some("https://[::1]:8443"));
        for wrong in ["null", "chat.example", "https://", "https://a/b", "https://a@b", "ftp://a"] {
            check(wrong, None);
        }
        check("https://a:99999", None);
    }
}
