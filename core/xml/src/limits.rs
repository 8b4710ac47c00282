//! What is refused, and how it is named.

use std::fmt;

/// Why input is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlError {
    /// It is no XML, for the reason given: `not-well-formed`.
    NotWellFormed(&'static str),
    /// XML that XMPP does not allow (RFC 6120 §11.1): `restricted-xml`.
    Restricted(&'static str),
    /// A prefix that nobody declared: `bad-namespace-prefix`.
    BadNamespacePrefix,
    /// Too much of something: `policy-violation`.
    Limit(&'static str),
    /// Not UTF-8, or another encoding was announced: `unsupported-encoding`.
    Utf8,
    /// The text ends inside an element.
    Incomplete,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWellFormed(what) => write!(f, "not well-formed: {what}"),
            Self::Restricted(what) => write!(f, "not allowed in XMPP: {what}"),
            Self::BadNamespacePrefix => f.write_str("a prefix is not declared"),
            Self::Limit(what) => write!(f, "too large: {what}"),
            Self::Utf8 => f.write_str("not UTF-8"),
            Self::Incomplete => f.write_str("the text ends inside an element"),
        }
    }
}

impl std::error::Error for XmlError {}

/// Bounds of one stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a stanza. At least 10 000 (RFC 6120 §13.12).
    pub stanza_bytes: usize,
    /// Elements inside each other.
    pub depth: usize,
    /// Attributes of one element.
    pub attrs: usize,
    /// Elements and texts.
    pub nodes: usize,
    /// Bytes of one tag.
    pub tag_bytes: usize,
    /// Namespace declarations that hold at one place.
    pub decls: usize,
}

impl Limits {
    /// Returns the bounds for a peer that has not proved who it is.
    #[must_use]
    pub const fn before_login() -> Self {
        Self { stanza_bytes: 10_000, depth: 16, attrs: 32, nodes: 64, tag_bytes: 8_192, decls: 16 }
    }

    /// Returns the bounds for a client that is logged in.
    #[must_use]
    pub const fn client() -> Self {
        Self {
            stanza_bytes: 262_144,
            depth: 64,
            attrs: 64,
            nodes: 8_192,
            tag_bytes: 65_536,
            decls: 32,
        }
    }

    /// Returns the bounds for another server: what its clients may send at most, with the marks that
    /// servers add.
    #[must_use]
    pub const fn server(stanza_bytes: usize) -> Self {
        Self {
            stanza_bytes: stanza_bytes.saturating_add(65_536),
            depth: 72,
            attrs: 72,
            nodes: 8_448,
            tag_bytes: 65_536,
            decls: 40,
        }
    }

    /// Returns the bounds for what we write ourselves: a whole roster, or what a client may send at
    /// most with the marks that were added to it, inside another stanza, or from the store.
    #[must_use]
    pub const fn ours() -> Self {
        Self {
            stanza_bytes: 17 << 20,
            depth: 96,
            attrs: 72,
            nodes: 131_072,
            tag_bytes: 1 << 20,
            decls: 48,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::client()
    }
}
