//! Logging in by a token in place of the password: XEP-0484, draft-schmaus-kitten-sasl-ht.

use std::fmt;

use crypto::Secret;
use xml::{Element, Node};
use xmpp::{ns, xep};

use crate::machine::{Question, Stream};
use crate::mechanism;
use crate::sasl::Failure;
use crate::sm::is_true;
use crate::{Channel, StreamEvent};

/// Bytes of a proof: HMAC-SHA-256.
const PROOF_BYTES: usize = 32;

/// What a client shows to prove that it has a token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenProof {
    /// The id that it gives itself (XEP-0388).
    pub client: String,
    /// `HT-SHA-256-EXPR`.
    pub mechanism: &'static str,
    /// The value of the channel for that mechanism; without binding nothing.
    pub channel: Vec<u8>,
    /// HMAC-SHA-256, with the token as the key, of `Initiator` and the channel's value.
    pub proof: Vec<u8>,
    /// How often it used the token, when it counts.
    pub count: Option<u64>,
    /// Whether the token is to end with this login.
    pub invalidate: bool,
}

/// That a client may get a token with the answer to its login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenWish {
    /// The id that it gives itself (XEP-0388).
    pub client: String,
    /// The mechanism that it asks for; `None`: it logged in by a token and asks for nothing.
    pub wanted: Option<&'static str>,
}

/// A token for the next login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub token: Secret,
    /// When it is over, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// The proof was not made with it.
    Wrong,
    /// It is over.
    Expired,
}

/// What a login says of tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenUse {
    /// The mechanism that it wants one for.
    pub(crate) wanted: Option<&'static str>,
    count: Option<u64>,
    invalidate: bool,
}

impl fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without a channel the proof is as good as the token.
        f.debug_struct("TokenProof").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl Stream {
    /// Reads what a login says of tokens.
    ///
    /// # Errors
    ///
    /// A count that is none: the client believes that it counts.
    pub(crate) fn read_tokens(&self, login: Node<'_>) -> Result<TokenUse, Failure> {
        let mut tokens = TokenUse::default();
        if let Some(request) = login.child(ns::FAST, "request-token") {
            let wanted = request.attr("mechanism");
            tokens.wanted = mechanism::for_tokens(&self.settings, &self.channel)
                .map(|(_, name)| name)
                .find(|name| wanted.as_deref() == Some(*name));
        }
        if let Some(fast) = login.child(ns::FAST, "fast") {
            tokens.invalidate = is_true(fast.attr("invalidate").as_deref());
            let count = fast.attr("count").map(|count| count.parse().map_err(|_| count));
            tokens.count = count.transpose().map_err(|_| Failure::Way("malformed-request"))?;
        }
        Ok(tokens)
    }

    /// The client shows a token: its name, NUL, the proof.
    pub(crate) fn token(
        &mut self,
        data: &[u8],
        binding: Option<&'static str>,
    ) -> Result<(), Failure> {
        let malformed = Failure::Way("malformed-request");
        let mut parts = data.splitn(2, |byte| *byte == 0);
        let (Some(name), Some(proof)) = (parts.next(), parts.next()) else { return Err(malformed) };
        let Ok(name) = std::str::from_utf8(name) else { return Err(malformed) };
        if name.is_empty() || proof.len() != PROOF_BYTES {
            return Err(malformed);
        }
        let channel = match (&self.channel, binding) {
            (Channel::Plain, _) => return Err(Failure::Way("encryption-required")),
            (Channel::Tls(facts), Some(name)) => facts.binding(name).ok_or(malformed)?.to_vec(),
            (Channel::Tls(_), None) => Vec::new(),
        };
        let jid = self.account_of(name, None)?.ok_or(Failure::Condition("not-authorized"))?;
        let username = jid.local().unwrap_or("").to_owned();
        let Some((mechanism, client, tokens)) = self.begin_checking() else {
            return Err(Failure::Way("malformed-request"));
        };
        self.claimed = Some(jid);
        let TokenUse { count, invalidate, .. } = tokens;
        let proof = proof.to_vec();
        let proof = TokenProof { client, mechanism, channel, proof, count, invalidate };
        self.ask(Question::Token, StreamEvent::Token { username, proof });
        Ok(())
    }

    /// Answers [`StreamEvent::Token`]: what proves us to the client, or why not.
    pub fn answer_token(&mut self, checked: Result<Vec<u8>, TokenRefusal>) {
        if !matches!(self.question, Some(Question::Token)) {
            return;
        }
        self.question = None;
        match checked {
            Ok(word) => self.proved(word),
            Err(TokenRefusal::Wrong) => self.fail_login(Failure::Condition("not-authorized")),
            Err(TokenRefusal::Expired) => {
                self.fail_login(Failure::Condition("credentials-expired"));
            }
        }
    }
}

impl Token {
    pub(crate) fn to_element(&self) -> Element {
        // It is letters.
        let token = std::str::from_utf8(self.token.expose()).unwrap_or_default();
        Element::new(ns::FAST, "token")
            .with_attr("token", token)
            .with_attr("expiry", &xep::delay::date_time(self.expires_ms))
    }
}
