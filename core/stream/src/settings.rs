//! What a stream is told about the server and its channel.

use std::fmt;

use crypto::Secret;

/// What all streams of a domain share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The domain.
    pub domain: String,
    /// Bytes of a stanza after login. At least 10 000 (RFC 6120 §13.12).
    pub stanza_bytes: usize,
    /// Whether PLAIN is offered inside TLS.
    pub plain_allowed: bool,
    /// How often passwords were hashed: what strangers are told about users who do not exist.
    pub iterations: u32,
    /// How long a lost connection may come back, in seconds. 0: not at all.
    pub resume_seconds: u32,
    /// What the made-up salts of unknown users derive from. The same at each start.
    pub salt_secret: Secret,
    /// Stream features that modules add, as XML.
    pub more_features: Vec<String>,
    /// Whether clients can log in by tokens (XEP-0484).
    pub takes_tokens: bool,
    /// Stream features that modules add before login, as XML. With any, clients may ask something before
    /// they log in.
    pub early_features: Vec<String>,
    /// Names of features that Bind 2 offers inline (XEP-0386).
    pub inline_features: Vec<String>,
}

/// What the stream runs over.
#[derive(Clone, Debug)]
pub enum Channel {
    /// Nothing but STARTTLS is possible.
    Plain,
    /// TLS.
    Tls(Facts),
}

/// What is known of a TLS channel.
#[derive(Clone, Default)]
pub struct Facts {
    /// `tls-exporter` (RFC 9266): TLS 1.3 only.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929): the hash of our certificate.
    pub end_point: Option<Vec<u8>>,
    /// `TLSv1.3`, for the log.
    pub version: String,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The exporter value is a secret of the two ends.
        f.debug_struct("Facts").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Facts {
    /// Returns the types of channel binding that can be used, best first.
    pub(crate) fn bindings(&self) -> Vec<&'static str> {
        let exporter = self.exporter.as_ref().map(|_| "tls-exporter");
        let end_point = self.end_point.as_ref().map(|_| "tls-server-end-point");
        exporter.into_iter().chain(end_point).collect()
    }

    pub(crate) fn binding(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.exporter.as_deref(),
            "tls-server-end-point" => self.end_point.as_deref(),
            _ => None,
        }
    }
}
