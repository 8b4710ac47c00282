//! Reading a stanza in place.

use std::borrow::Cow;
use std::fmt;

use xml::{FlatRef, Node, escape_attr};

use crate::{JidRef, ns};

/// What a stanza is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}

impl Kind {
    /// Returns the name of the element.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }

    /// Finds the kind by the name of the element.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "message" => Some(Self::Message),
            "presence" => Some(Self::Presence),
            "iq" => Some(Self::Iq),
            _ => None,
        }
    }
}

/// The `type` of a message (RFC 6121 §5.2.2). What is unknown counts as `Normal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MessageKind {
    Normal,
    Chat,
    Groupchat,
    Headline,
    Error,
}

/// The `type` of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PresenceKind {
    Available,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    Error,
}

/// The `type` of a request or answer (RFC 6120 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IqKind {
    Get,
    Set,
    Result,
    Error,
}

/// A stanza that somebody else keeps.
#[derive(Clone, Copy)]
pub struct StanzaRef<'a> {
    /// What it is.
    pub kind: Kind,
    /// Who sent it.
    pub from: Option<JidRef<'a>>,
    /// Who is to get it.
    pub to: Option<JidRef<'a>>,
    /// The sender's name for it.
    pub id: Option<&'a str>,
    /// The raw `type`.
    pub ty: Option<&'a str>,
    /// The language of its texts.
    pub lang: Option<&'a str>,
    /// The element with its content; its own attributes may be older than the fields above.
    pub content: FlatRef<'a>,
}

impl fmt::Debug for StanzaRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} B", self.kind.name(), self.content.root().raw().len())
    }
}

impl<'a> StanzaRef<'a> {
    /// Returns the child elements.
    pub fn payloads(self) -> impl Iterator<Item = Node<'a>> {
        self.content.root().children()
    }

    /// Finds a child element.
    #[must_use]
    pub fn child(self, ns: &str, name: &str) -> Option<Node<'a>> {
        self.content.root().child(ns, name)
    }

    /// Tells whether there is such a child element.
    #[must_use]
    pub fn has(self, ns: &str, name: &str) -> bool {
        self.child(ns, name).is_some()
    }

    /// Returns the text of `<body/>`.
    #[must_use]
    pub fn body(self) -> Option<Cow<'a, str>> {
        self.child(ns::CLIENT, "body").map(|body| body.text())
    }

    /// Writes it with another sender and recipient: what a fan-out does for each.
    #[must_use]
    pub fn readdressed(self, from: &str, to: &str) -> String {
        let root = self.content.root();
        let mut out = String::with_capacity(root.raw().len().saturating_add(128));
        out.push('<');
        out.push_str(self.kind.name());
        let fields = [
            (" from=\"", Some(from)),
            (" to=\"", Some(to)),
            (" id=\"", self.id),
            (" type=\"", self.ty),
            (" xml:lang=\"", self.lang),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                out.push_str(name);
                escape_attr(value, &mut out);
                out.push('"');
            }
        }
        out.push_str(&root.extra_root(&["from", "to", "id", "type"]));
        out.push('>');
        out.push_str(root.inner());
        out.push_str("</");
        out.push_str(self.kind.name());
        out.push('>');
        out
    }

    /// Returns the payload of a request: its only child element.
    #[must_use]
    pub fn payload(self) -> Option<Node<'a>> {
        self.payloads().next()
    }

    /// Returns the type of a message.
    #[must_use]
    pub fn message_kind(self) -> MessageKind {
        match self.ty {
            Some("chat") => MessageKind::Chat,
            Some("groupchat") => MessageKind::Groupchat,
            Some("headline") => MessageKind::Headline,
            Some("error") => MessageKind::Error,
            _ => MessageKind::Normal,
        }
    }

    /// Returns the type of a presence, `None` when RFC 6121 knows no such type.
    #[must_use]
    pub fn presence_kind(self) -> Option<PresenceKind> {
        Some(match self.ty {
            None => PresenceKind::Available,
            Some("unavailable") => PresenceKind::Unavailable,
            Some("subscribe") => PresenceKind::Subscribe,
            Some("subscribed") => PresenceKind::Subscribed,
            Some("unsubscribe") => PresenceKind::Unsubscribe,
            Some("unsubscribed") => PresenceKind::Unsubscribed,
            Some("probe") => PresenceKind::Probe,
            Some("error") => PresenceKind::Error,
            Some(_) => return None,
        })
    }

    /// Returns the type of a request or answer, `None` when RFC 6120 knows no such type.
    #[must_use]
    pub fn iq_kind(self) -> Option<IqKind> {
        Some(match self.ty? {
            "get" => IqKind::Get,
            "set" => IqKind::Set,
            "result" => IqKind::Result,
            "error" => IqKind::Error,
            _ => return None,
        })
    }

    /// Tells whether it is an error, which must never be answered by another (RFC 6120 §8.3.1).
    #[must_use]
    pub fn is_error(self) -> bool {
        self.ty == Some("error")
    }
}
