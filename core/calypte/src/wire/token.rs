//! Logging in by a token in place of the password (XEP-0484).

use std::fmt;

use bincode::{Decode, Encode};

/// What a client shows to log in by a token. Nobody has logged in yet, so all of it may be made up.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct TokenProof {
    /// The client's own stable id (XEP-0388).
    pub client: String,
    /// `HT-SHA-256-EXPR`.
    pub mechanism: String,
    /// What the mechanism binds to: the value of the channel, or nothing.
    pub channel: Vec<u8>,
    /// The hash that only who has the token can make.
    pub proof: Vec<u8>,
    /// How often the client used the token, where it counts.
    pub count: Option<u64>,
    /// Whether the token is to end with this login.
    pub invalidate: bool,
}

/// What a proof is worth.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum TokenVerdict {
    /// It proves the client; this proves us to it.
    Right(Vec<u8>),
    /// It proves nothing.
    Wrong,
    /// It was made with a token that is over.
    Expired,
}

/// A client has logged in and may get a token.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TokenWish {
    /// The client's own stable id (XEP-0388).
    pub client: String,
    /// The mechanism that it wants a token for. Without it: it logged in by a token, which may be
    /// due for another.
    pub wanted: Option<String>,
    /// How it logged in: `SCRAM-SHA-256-PLUS`.
    pub mechanism: String,
    /// Whether that proved that nobody sits between the client and us.
    pub channel_bound: bool,
}

/// A token for a client.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Token {
    /// The token: letters and digits, at most 256.
    pub token: String,
    /// When it is over, in milliseconds since 1970.
    pub expires_ms: u64,
}

impl fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without a channel the proof is as good as the token.
        f.debug_struct("TokenProof").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Right(_) => "Right",
            Self::Wrong => "Wrong",
            Self::Expired => "Expired",
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}
