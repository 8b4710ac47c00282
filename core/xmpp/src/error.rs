//! What a peer is told when something is wrong (RFC 6120 §4.9, §8.3).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use xml::Element;

use crate::ns;

/// What the sender of a stanza can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ErrorKind {
    Auth,
    Cancel,
    Continue,
    Modify,
    Wait,
}

impl ErrorKind {
    /// Returns the name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

macro_rules! conditions {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are the RFC's")]
        pub enum $enum { $($variant),* }

        impl $enum {
            /// Returns the name of the element that stands for it on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Finds a condition by the name of its element.
            #[must_use]
            pub fn of(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

conditions! {
    /// What went wrong with a stanza (RFC 6120 §8.3.3).
    Condition {
        BadRequest = "bad-request",
        Conflict = "conflict",
        FeatureNotImplemented = "feature-not-implemented",
        Forbidden = "forbidden",
        Gone = "gone",
        InternalServerError = "internal-server-error",
        ItemNotFound = "item-not-found",
        JidMalformed = "jid-malformed",
        NotAcceptable = "not-acceptable",
        NotAllowed = "not-allowed",
        NotAuthorized = "not-authorized",
        PolicyViolation = "policy-violation",
        RecipientUnavailable = "recipient-unavailable",
        Redirect = "redirect",
        RegistrationRequired = "registration-required",
        RemoteServerNotFound = "remote-server-not-found",
        RemoteServerTimeout = "remote-server-timeout",
        ResourceConstraint = "resource-constraint",
        ServiceUnavailable = "service-unavailable",
        SubscriptionRequired = "subscription-required",
        UndefinedCondition = "undefined-condition",
        UnexpectedRequest = "unexpected-request",
    }
}

conditions! {
    /// Why a stream ends (RFC 6120 §4.9.3).
    StreamError {
        BadFormat = "bad-format",
        BadNamespacePrefix = "bad-namespace-prefix",
        Conflict = "conflict",
        ConnectionTimeout = "connection-timeout",
        HostGone = "host-gone",
        HostUnknown = "host-unknown",
        ImproperAddressing = "improper-addressing",
        InternalServerError = "internal-server-error",
        InvalidFrom = "invalid-from",
        InvalidNamespace = "invalid-namespace",
        InvalidXml = "invalid-xml",
        NotAuthorized = "not-authorized",
        NotWellFormed = "not-well-formed",
        PolicyViolation = "policy-violation",
        RemoteConnectionFailed = "remote-connection-failed",
        Reset = "reset",
        ResourceConstraint = "resource-constraint",
        RestrictedXml = "restricted-xml",
        SeeOtherHost = "see-other-host",
        SystemShutdown = "system-shutdown",
        UndefinedCondition = "undefined-condition",
        UnsupportedEncoding = "unsupported-encoding",
        UnsupportedFeature = "unsupported-feature",
        UnsupportedStanzaType = "unsupported-stanza-type",
        UnsupportedVersion = "unsupported-version",
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error to send back to the entity that sent a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender can do about it.
    pub kind: ErrorKind,
    /// What went wrong.
    pub condition: Condition,
    /// A sentence for people. Never file names, module names or internal text.
    pub text: Option<Cow<'static, str>>,
    /// What a protocol adds for programs (RFC 6120 §8.3.4), as XML that says its namespace.
    pub detail: Option<Arc<str>>,
}

impl StanzaError {
    /// The stanza breaks the protocol.
    pub const BAD_REQUEST: Self = Self::new(ErrorKind::Modify, Condition::BadRequest);
    /// Somebody else has that name.
    pub const CONFLICT: Self = Self::new(ErrorKind::Cancel, Condition::Conflict);
    /// The protocol has it, this server does not.
    pub const FEATURE_NOT_IMPLEMENTED: Self =
        Self::new(ErrorKind::Cancel, Condition::FeatureNotImplemented);
    /// The sender may not do that.
    pub const FORBIDDEN: Self = Self::new(ErrorKind::Auth, Condition::Forbidden);
    /// Our own failure.
    pub const INTERNAL: Self = Self::new(ErrorKind::Wait, Condition::InternalServerError);
    /// No such thing.
    pub const ITEM_NOT_FOUND: Self = Self::new(ErrorKind::Cancel, Condition::ItemNotFound);
    /// An address in it is none.
    pub const JID_MALFORMED: Self = Self::new(ErrorKind::Modify, Condition::JidMalformed);
    /// The content is refused.
    pub const NOT_ACCEPTABLE: Self = Self::new(ErrorKind::Modify, Condition::NotAcceptable);
    /// Nobody may do that.
    pub const NOT_ALLOWED: Self = Self::new(ErrorKind::Cancel, Condition::NotAllowed);
    /// Only for logged-in users.
    pub const NOT_AUTHORIZED: Self = Self::new(ErrorKind::Auth, Condition::NotAuthorized);
    /// A rule of this server.
    pub const POLICY_VIOLATION: Self = Self::new(ErrorKind::Modify, Condition::PolicyViolation);
    /// The recipient is away and nothing keeps the stanza.
    pub const RECIPIENT_UNAVAILABLE: Self =
        Self::new(ErrorKind::Wait, Condition::RecipientUnavailable);
    /// The other server cannot be found.
    pub const REMOTE_SERVER_NOT_FOUND: Self =
        Self::new(ErrorKind::Cancel, Condition::RemoteServerNotFound);
    /// Too much of something; try later.
    pub const RESOURCE_CONSTRAINT: Self = Self::new(ErrorKind::Wait, Condition::ResourceConstraint);
    /// Nobody answers this here.
    pub const SERVICE_UNAVAILABLE: Self =
        Self::new(ErrorKind::Cancel, Condition::ServiceUnavailable);
    /// Only for contacts.
    pub const SUBSCRIPTION_REQUIRED: Self =
        Self::new(ErrorKind::Auth, Condition::SubscriptionRequired);
    /// Asked at the wrong time.
    pub const UNEXPECTED_REQUEST: Self = Self::new(ErrorKind::Wait, Condition::UnexpectedRequest);

    /// Returns an error without a sentence.
    #[must_use]
    pub const fn new(kind: ErrorKind, condition: Condition) -> Self {
        Self { kind, condition, text: None, detail: None }
    }

    /// Adds a sentence for people.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Adds an element of a protocol, for programs.
    #[must_use]
    pub fn with_detail(mut self, element: &Element) -> Self {
        self.detail = Some(element.to_xml("").into());
        self
    }

    /// Returns the `<error/>` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let condition = Element::new(ns::STANZA_ERRORS, self.condition.name());
        let error = Element::new(ns::CLIENT, "error")
            .with_attr("type", self.kind.name())
            .with_child(condition);
        let error = match &self.text {
            Some(text) => error.with_child(Element::new(ns::STANZA_ERRORS, "text").with_text(text)),
            None => error,
        };
        match &self.detail {
            Some(detail) => error.with_raw(detail.to_string()),
            None => error,
        }
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.name())
    }
}

impl std::error::Error for StanzaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_error_stand_in_order() {
        let detail = Element::new("urn:x", "quota").with_attr("left", "0");
        let error = StanzaError::RESOURCE_CONSTRAINT.with_text("Full.").with_detail(&detail);
        assert_eq!(
            error.to_element().to_xml(ns::CLIENT),
            "<error type=\"wait\"><resource-constraint xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/>\
             <text xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\">Full.</text>\
             <quota xmlns=\"urn:x\" left=\"0\"/></error>"
        );
    }
}
