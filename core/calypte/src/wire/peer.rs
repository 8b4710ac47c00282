//! What is known of a stream with another domain, what modules say to it, and slow work for the host.

use std::fmt;

use bincode::{Decode, Encode};

/// A stream with another domain at one moment of its life, as `peer` hooks see it.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct PeerFacts {
    /// The moment.
    pub stage: PeerStage,
    /// Whether we connected.
    pub is_outgoing: bool,
    /// The name that we are spoken to as: the domain, or one that modules serve below it.
    pub local: String,
    /// The other domain. An incoming stream may not say before it authenticates: empty.
    pub remote: String,
    /// `TLSv1.3`; empty before TLS.
    pub tls: String,
    /// TLS 1.3 only: 32 bytes under the label `EXPORTER-calypte-s2s-v0`; the context is initiator,
    /// NUL, receiver.
    pub exporter: Option<Vec<u8>>,
    /// BLAKE3 of the SubjectPublicKeyInfo (DER) of our certificate; empty: none.
    pub own_spki: Vec<u8>,
    /// The same of the peer's certificate.
    pub peer_spki: Vec<u8>,
    /// What the peer's certificate proves.
    pub identity: PeerIdentity,
    /// Whether the receiver offers SASL EXTERNAL.
    pub external: bool,
    /// Whether the receiver offers dialback.
    pub dialback: bool,
    /// The feature `<calypte xmlns='urn:calypte:core:0'/>` that the receiver offers, as text.
    pub calypte: Option<String>,
    /// [`PeerStage::Extension`]: the element that came, as text.
    pub element: Option<String>,
    /// [`PeerStage::Authenticated`]: `external`, `dialback` or `extension`.
    pub how: String,
    /// [`PeerStage::Failed`]: `dns`, `connect`, `no-starttls`, `tls`, `certificate`, `refused` (the
    /// peer's stream error), `auth`, `timeout`, `closed`.
    pub failure: String,
}

/// A moment in the life of a stream with another domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum PeerStage {
    /// We are about to look it up and to connect.
    Connecting,
    /// Incoming: its header came over TLS, features are about to be offered.
    Opened,
    /// Outgoing: its features came over TLS, and we choose how to authenticate.
    Offered,
    /// An element of a `urn:calypte:*` namespace came before authentication.
    Extension,
    /// A pair of domains is authenticated, and stanzas may follow.
    Authenticated,
    /// Outgoing: it did not come so far.
    Failed,
    /// No stream: our certificate is in force, at the start and when it was replaced.
    Serving,
}

/// What a peer's certificate proves about its name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PeerIdentity {
    /// A trusted authority vouches for the name.
    Valid,
    /// DNSSEC does (RFC 7673).
    Dane,
    /// It proves nothing, for this reason.
    Invalid(String),
    /// There is none.
    None,
}

impl PeerIdentity {
    /// Tells whether the name is proved.
    #[must_use]
    pub const fn is_proved(&self) -> bool {
        matches!(self, Self::Valid | Self::Dane)
    }
}

/// What a module says to [`PeerFacts`]. The default changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PeerVerdict {
    /// Whether SASL EXTERNAL may be used, where the host allows it.
    pub external: bool,
    /// Whether dialback may be used, where the host allows it.
    pub dialback: bool,
    /// [`PeerStage::Offered`]: an element to send instead of authenticating;
    /// [`PeerStage::Extension`]: the answer.
    pub say: Option<String>,
    /// [`PeerStage::Extension`]: the peer is who it says, nothing else is needed.
    pub proved: bool,
    /// [`PeerStage::Opened`]: features to offer, as text.
    pub features: Vec<String>,
    /// [`PeerStage::Connecting`]: what to try first, such as `xmpps://xmpp.example.org:5270`.
    pub endpoints: Vec<String>,
    /// End the stream, or do not connect: the stream error's condition, and the word for who waits.
    pub refuse: Option<(String, String)>,
    /// Do not try again before this time, in milliseconds since 1970.
    pub hold_until_ms: Option<u64>,
}

impl Default for PeerVerdict {
    fn default() -> Self {
        Self {
            external: true,
            dialback: true,
            say: None,
            proved: false,
            features: Vec::new(),
            endpoints: Vec::new(),
            refuse: None,
            hold_until_ms: None,
        }
    }
}

impl PeerVerdict {
    /// Returns one that ends the stream with `condition`, or keeps us from connecting. `reason` is
    /// the word that those whose stanzas wait are told.
    #[must_use]
    pub fn refused(condition: &str, reason: &str) -> Self {
        let refuse = Some((condition.to_owned(), reason.to_owned()));
        Self { external: false, dialback: false, refuse, ..Self::default() }
    }

    /// Adds what another module says. Each can only tighten: what one of them forbids is forbidden,
    /// and the first refusal counts.
    pub fn tighten(&mut self, other: Self) {
        self.external &= other.external;
        self.dialback &= other.dialback;
        self.say = self.say.take().or(other.say);
        self.proved |= other.proved;
        self.features.extend(other.features);
        self.endpoints.extend(other.endpoints);
        self.refuse = self.refuse.take().or(other.refuse);
        self.hold_until_ms = self.hold_until_ms.max(other.hold_until_ms);
        if self.refuse.is_some() {
            (self.external, self.dialback, self.proved) = (false, false, false);
            self.say = None;
        }
    }
}

/// Slow work that the host does for a module.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Look {
    /// Fetches a page: the body of an answer with status 200.
    Https {
        /// The address; begins with `https://`.
        url: String,
        /// The most bytes.
        limit: u32,
    },
    /// Connects as a client or a server would (STARTTLS on 5222 and 5269, TLS at once elsewhere):
    /// the 32-byte BLAKE3 of the SubjectPublicKeyInfo of the certificate.
    Spki {
        /// Where.
        domain: String,
        /// The port.
        port: u16,
    },
    /// Asks DNS for texts: one byte, 1 when DNSSEC says that they are right, then the texts, each
    /// behind its length (two bytes, little-endian).
    Txt {
        /// The name.
        name: String,
    },
}

/// What a `looked` hook is given.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Looked {
    /// What the module gave with the [`Look`].
    pub cookie: Vec<u8>,
    /// What was found, or why not, in words.
    pub found: Result<Vec<u8>, String>,
}

impl fmt::Debug for PeerFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The exporter value binds proofs to the channel; elements may hold keys.
        f.debug_struct("PeerFacts")
            .field("stage", &self.stage)
            .field("is_outgoing", &self.is_outgoing)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Default for PeerFacts {
    fn default() -> Self {
        Self {
            stage: PeerStage::Connecting,
            is_outgoing: true,
            local: String::new(),
            remote: String::new(),
            tls: String::new(),
            exporter: None,
            own_spki: Vec::new(),
            peer_spki: Vec::new(),
            identity: PeerIdentity::None,
            external: false,
            dialback: false,
            calypte: None,
            element: None,
            how: String::new(),
            failure: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_can_only_tighten() {
        let mut verdict = PeerVerdict { proved: true, ..PeerVerdict::default() };
        verdict.tighten(PeerVerdict { dialback: false, ..PeerVerdict::default() });
        verdict.tighten(PeerVerdict::default());
        assert!((verdict.external, verdict.dialback, verdict.proved) == (true, false, true));
        verdict.tighten(PeerVerdict::refused("policy-violation", "proof"));
        verdict.tighten(PeerVerdict::refused("not-authorized", "later"));
        verdict.tighten(PeerVerdict { proved: true, ..PeerVerdict::default() });
        let refuse = verdict.refuse.as_ref().map(|(_, reason)| reason.as_str());
        assert_eq!((refuse, verdict.proved, verdict.external), (Some("proof"), false, false));
    }

    #[test]
    fn facts_show_no_exporter() {
        let facts = PeerFacts { exporter: Some(vec![0xab]), ..PeerFacts::default() };
        assert!(!format!("{facts:?}").contains("171"));
    }
}
