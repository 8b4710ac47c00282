//! Why there is no way to a domain, and what its senders are told.

use xml::Element;
use xmpp::{Condition, ErrorKind, StanzaError};

/// The namespace of the element that names the reason to programs.
const TLS_POLICY: &str = "urn:calypte:tls:0";

/// Where an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failed {
    /// No address was found.
    Dns,
    /// Nobody answered there.
    Connect,
    /// The connection ended.
    Closed,
    /// It took too long.
    Timeout,
    /// TLS could not be negotiated.
    Tls,
    /// The server offered no TLS. That says more than TLS that failed at another port: somebody may have
    /// taken the offer away.
    NoStartTls,
    /// The certificate proves nothing.
    Certificate,
    /// The server does not believe that we are who we are.
    Auth,
    /// The server ended the stream with an error.
    Refused,
    /// Our own policy refuses the server.
    Policy,
}

impl Failed {
    /// All of them, for figures.
    pub(crate) const NAMES: &[&str] = &[
        "dns",
        "connect",
        "closed",
        "timeout",
        "tls",
        "no-starttls",
        "certificate",
        "auth",
        "refused",
        "policy",
    ];

    /// Returns its word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::NoStartTls => "no-starttls",
            Self::Certificate => "certificate",
            Self::Auth => "auth",
            Self::Refused => "refused",
            Self::Policy => "policy",
        }
    }
}

/// See the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Where the attempt failed.
    pub(crate) failed: Failed,
    /// What happened, for people: the end of "example.org cannot be reached: …". Never an address
    /// of a user.
    pub(crate) text: String,
    /// There is no such server: nothing is worth waiting for.
    pub(crate) is_unknown: bool,
    /// The word of a policy for programs.
    pub(crate) reason: Option<String>,
    /// Not to be tried again before then, in milliseconds since 1970.
    pub(crate) hold_until_ms: Option<u64>,
}

impl Trouble {
    /// Returns one that may pass.
    pub(crate) fn new(failed: Failed, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { failed, text, is_unknown: false, reason: None, hold_until_ms: None }
    }

    /// Returns that of a server which is not there.
    pub(crate) fn unknown(failed: Failed, text: impl Into<String>) -> Self {
        Self { is_unknown: true, ..Self::new(failed, text) }
    }

    /// Tells whether the attempt went as far as that of `other`, and it is as sure what it means.
    pub(crate) fn says_as_much_as(&self, other: &Self) -> bool {
        (self.failed, self.is_unknown) >= (other.failed, other.is_unknown)
    }

    /// Tells whether waiting is of no use.
    pub(crate) fn is_final(&self) -> bool {
        self.is_unknown
    }

    /// Tells whether the peer is there and one side does not trust the other.
    pub(crate) fn is_refusal(&self) -> bool {
        self.failed >= Failed::Tls
    }

    /// Returns what the sender of a stanza to `domain` is told.
    pub(crate) fn error(&self, domain: &str) -> StanzaError {
        let error = if self.is_unknown {
            StanzaError::REMOTE_SERVER_NOT_FOUND
        } else {
            StanzaError::new(ErrorKind::Wait, Condition::RemoteServerTimeout)
        };
        let error = error.with_text(format!("{domain} cannot be reached: {}", self.text));
        match &self.reason {
            Some(reason) => {
                let policy = Element::new(TLS_POLICY, "tls-policy").with_attr("reason", reason);
                error.with_detail(&policy)
            }
            None => error,
        }
    }
}

/// Returns what the sender is told when too much waits for `domain`.
pub(crate) fn full(domain: &str) -> StanzaError {
    StanzaError::RESOURCE_CONSTRAINT.with_text(format!("too much waits for {domain}; try later"))
}

/// Returns what the sender is told when the operator does not want to talk to `domain`.
pub(crate) fn not_allowed(domain: &str) -> StanzaError {
    StanzaError::NOT_ALLOWED.with_text(format!("this server does not talk to {domain}"))
}

/// Returns what the sender is told of a stanza that is larger than `domain` takes.
pub(crate) fn too_large(domain: &str) -> StanzaError {
    StanzaError::POLICY_VIOLATION.with_text(format!("{domain} takes nothing as large as this"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sure_outweighs_what_is_not() {
        let sure = Trouble::unknown(Failed::Refused, "over TLS");
        let unsure = Trouble::new(Failed::Refused, "in clear");
        assert!(sure.says_as_much_as(&unsure) && !unsure.says_as_much_as(&sure));
        assert!(sure.says_as_much_as(&sure));
        let further = Trouble::new(Failed::Policy, "its proof is wrong");
        assert!(further.says_as_much_as(&sure) && !sure.says_as_much_as(&further));
    }

    #[test]
    fn senders_are_told_the_truth() {
        let xml = |trouble: &Trouble| trouble.error("b.example").to_element().to_xml("");
        let gone = xml(&Trouble::unknown(Failed::Dns, "there is no such domain"));
        assert!(gone.contains("<remote-server-not-found"), "{gone}");
        assert!(gone.contains("type=\"cancel\""), "{gone}");
        assert!(gone.contains("b.example cannot be reached: there is no such domain"), "{gone}");
        let held = Trouble {
            reason: Some("proof".to_owned()),
            ..Trouble::new(Failed::Policy, "its proof is missing")
        };
        let held = xml(&held);
        assert!(held.contains("<remote-server-timeout"), "{held}");
        assert!(
            held.contains("<tls-policy xmlns=\"urn:calypte:tls:0\" reason=\"proof\"/>"),
            "{held}"
        );
    }
}
