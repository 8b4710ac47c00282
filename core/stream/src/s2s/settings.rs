//! What a stream is told about this server and its part in it.

use crypto::Secret;

/// What all streams to other servers share.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// The domains served here, prepared (RFC 7622): the domain first, then its subdomains.
    pub domains: Vec<String>,
    /// Bytes of a stanza from an authenticated peer. At least 10 000 (RFC 6120 §13.12).
    pub stanza_bytes: usize,
    /// What dialback keys are made from (XEP-0185). The same at each start and for all streams.
    pub dialback_secret: Secret,
}

/// Who opened the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// We did.
    Initiator {
        /// The domain of ours that speaks.
        local: String,
        /// The domain that is spoken to, prepared.
        remote: String,
    },
    /// The peer did.
    Receiver,
}
