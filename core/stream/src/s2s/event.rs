//! What a stream between servers tells its caller, and what it is answered.

use std::fmt;

use xml::{Element, Flat};
use xmpp::{Stanza, StanzaError, StreamError};

/// Something happened on the stream. Those marked *question* stop it until they are answered.
///
/// `local` is always a domain of ours and `remote` one of the peer's, both prepared.
#[derive(Debug)]
pub enum PeerEvent {
    /// Write the output, make TLS, then call [`crate::s2s::Peering::secured`].
    StartTls,
    /// *Question*, receiver, over TLS: what is this peer offered?
    /// [`crate::s2s::Peering::answer_opened`].
    Opened {
        /// The domain that the peer wants to speak to.
        local: String,
        /// Who it says it is; old servers do not say it here.
        remote: Option<String>,
    },
    /// *Question*, initiator, over TLS: how do we go on?
    /// [`crate::s2s::Peering::answer_offered`].
    ///
    /// Asked again after EXTERNAL failed, and after [`Extended::Again`].
    Offered(Offered),
    /// *Question*, receiver: may the channel speak for this name?
    /// [`crate::s2s::Peering::answer_external`].
    External {
        /// The name.
        remote: String,
    },
    /// Receiver: ask the authoritative server of `remote`, then call
    /// [`crate::s2s::Peering::answer_dialback`], any time later.
    Dialback {
        /// The domain that the peer wants to speak to.
        local: String,
        /// Who it says it is.
        remote: String,
        /// What the authoritative server of `remote` has to recognise.
        key: Key,
        /// The name of the stream that the key is for.
        id: String,
    },
    /// The answer to [`crate::s2s::Peering::verify`], whose arguments come back.
    Verified {
        /// The domain of ours that asked.
        from: String,
        /// The domain that the peer answers for.
        to: String,
        /// The name of the stream that the key was for.
        id: String,
        /// Its answer.
        outcome: DialbackOutcome,
    },
    /// *Question*: an element of a `urn:calypte:…` namespace came before authentication.
    /// [`crate::s2s::Peering::answer_extension`].
    Extension(Flat),
    /// Stanzas may pass between these two domains: from the initiator to the receiver, and back
    /// when both sides said so before (XEP-0288).
    Authenticated {
        /// The domain of ours.
        local: String,
        /// The domain of the peer.
        remote: String,
        /// What proved it.
        how: How,
        /// Whether stanzas pass both ways.
        is_bidi: bool,
    },
    /// No stanza may pass between these two domains.
    PairRefused {
        /// The domain of ours.
        local: String,
        /// The domain of the peer.
        remote: String,
        /// Why.
        why: Refusal,
    },
    /// A stanza with checked addresses, in `jabber:client`.
    Stanza(Stanza),
    /// A stanza with an address that is none, or that breaks a limit: without its content, counted
    /// like any other. It has a `from` when it can be answered, and as `to` at least a domain.
    Malformed(Stanza, StanzaError),
    /// Stanzas are counted from here on, in both directions.
    AcksOn,
    /// The peer counted what it received.
    Acked {
        /// How many, modulo 2³².
        h: u32,
    },
    /// The peer wants to know how many stanzas were handled: [`crate::s2s::Peering::ack`].
    AckRequested,
    /// The peer closed the stream; ours is closed in the output.
    Closed,
    /// We closed the stream with this error, in the output.
    Failed(StreamError, PeerFailure),
    /// The peer closed the stream with an error; ours is closed in the output.
    Ended(Received),
}

/// Why we closed a stream, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerFailure {
    /// The peer offers no TLS or refuses it, or somebody between us removed it.
    NoTls,
    /// Something was sent in clear behind the start of TLS: by whom is not known.
    Injected,
    /// The peer answers for another domain.
    OtherDomain,
    /// The peer broke a rule of the protocol or a limit.
    Protocol,
}

/// The error that a peer closed the stream with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The condition, when RFC 6120 knows it.
    pub condition: Option<StreamError>,
    /// What the peer says to people, at most 256 characters. From a stranger.
    pub text: Option<String>,
}

/// How a pair of domains was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// SASL EXTERNAL (XEP-0178).
    External,
    /// Dialback (XEP-0220).
    Dialback,
    /// An element of ours ([`Extended::Proved`]).
    Extension,
}

/// Why a pair of domains may not speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The key is not what the authoritative server made.
    Invalid,
    /// The key was not checked.
    Error(StanzaError),
}

/// What came of checking a dialback key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialbackOutcome {
    /// The authoritative server made it.
    Valid,
    /// It did not.
    Invalid,
    /// That could not be found out.
    Error(StanzaError),
}

/// A dialback key. Never shown: on its stream it proves who the peer is.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub(crate) String);

impl Key {
    /// Returns the text, for [`crate::s2s::Peering::verify`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// What a peer that opened a stream is offered.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// SASL EXTERNAL: only when the certificate may be good for the name in the header.
    pub external: bool,
    /// Dialback, also for further pairs after the first is authenticated.
    pub dialback: bool,
    /// Stanzas both ways (XEP-0288).
    pub bidi: bool,
    /// Acknowledgements (XEP-0198).
    pub acks: bool,
    /// Features of our own, such as `<calypte/>`.
    pub more: Vec<Element>,
}

/// What the peer offers.
#[derive(Clone, Debug, Default)]
pub struct Offered {
    /// SASL EXTERNAL.
    pub external: bool,
    /// Dialback: said by a feature or, by old servers, by a prefix in the header.
    pub dialback: bool,
    /// Stanzas both ways (XEP-0288).
    pub bidi: bool,
    /// Acknowledgements (XEP-0198). They are switched on before the first stanza.
    pub acks: bool,
    /// The most bytes that a stanza may have (XEP-0478).
    pub limits: Option<usize>,
    /// What SASL EXTERNAL was refused with on this stream, as the peer named it.
    pub refused: Option<String>,
    /// Features that the stream does not know.
    pub more: Vec<Flat>,
}

/// How an initiator goes on.
#[derive(Clone, Debug)]
pub enum Choice {
    /// SASL EXTERNAL.
    External {
        /// Whether to ask for stanzas both ways. Only asked where it is offered.
        bidi: bool,
    },
    /// Dialback for the two domains of the stream.
    Dialback {
        /// Whether to ask for stanzas both ways. Only asked where it is offered.
        bidi: bool,
    },
    /// An element of ours; the peer answers with another.
    Extension {
        /// The element, of a `urn:calypte:…` namespace.
        element: Element,
        /// Whether to ask for stanzas both ways. Only asked where it is offered.
        bidi: bool,
    },
    /// Nothing for now: [`crate::s2s::Peering::verify`] and [`crate::s2s::Peering::add_pair`] come
    /// any time.
    Nothing,
    /// Close the stream with this error.
    Refuse(StreamError),
}

/// What an element of ours means for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// The two domains of the stream are authenticated.
    Proved,
    /// It goes on: a receiver waits for what comes next, an initiator is asked again.
    Again,
    /// Close the stream with this error.
    Refused(StreamError),
}
