//! What a stream tells its caller.

use crypto::{Hash, Secret};
use xml::Flat;
use xmpp::{Jid, Stanza, StanzaError, StreamError};

use crate::scram::Verifier;
use crate::{TokenProof, TokenWish};

/// Something happened on the stream. Those marked *question* stop it until they are answered.
#[derive(Debug)]
pub enum StreamEvent {
    /// Write the output, make TLS, then call [`crate::Stream::secured`].
    StartTls,
    /// *Question*: what checks the password of this user? [`crate::Stream::answer_account`].
    Account {
        /// The local part, prepared.
        username: String,
    },
    /// *Question*: is this the password? [`crate::Stream::answer_password`].
    Password {
        /// The local part, prepared.
        username: String,
        /// The password as the client sent it.
        password: Secret,
    },
    /// *Question*: does the user have this token? [`crate::Stream::answer_token`].
    Token {
        /// The local part, prepared.
        username: String,
        /// What the client shows.
        proof: TokenProof,
    },
    /// *Question*: what is answered to a request before login? [`crate::Stream::answer_early`].
    Early(Stanza),
    /// *Question*: in which forms is the password of this user known? Nobody has proved to be that
    /// user. [`crate::Stream::answer_offer`].
    Offer {
        /// The local part, prepared.
        username: String,
    },
    /// *Question*: keep the password in one more form (XEP-0480). [`crate::Stream::answer_upgrade`].
    Upgrade {
        /// The local part, prepared; its password was proved.
        username: String,
        /// The form.
        hash: Hash,
        /// What to check it against from now on.
        verifier: Verifier,
    },
    /// The client proved who it is.
    Authenticated {
        /// Its bare address.
        jid: Jid,
        /// `SCRAM-SHA-256-PLUS`.
        mechanism: &'static str,
        /// Whether the proof includes the channel.
        channel_bound: bool,
        /// The SCRAM client key; for PLAIN that of SCRAM-SHA-256.
        client_key: Option<Secret>,
        /// What the client says of itself (XEP-0388).
        user_agent: Option<UserAgent>,
    },
    /// A proof or a password was wrong.
    LoginFailed,
    /// A client believes that we offer no channel binding, which we do (RFC 5802 §6): somebody
    /// between us took the offer away, or pretends that. Its login fails.
    BindingHidden,
    /// *Question*: which address does the session get? [`crate::Stream::answer_bind`].
    Bind {
        /// What the client asks for, `None`: the server's choice.
        resource: Option<String>,
        /// A name of the software to begin the resource with (XEP-0386).
        tag: Option<String>,
        /// What else is to be done when bound; `None` when the client does not bind while it logs
        /// in.
        inline: Option<Vec<Inline>>,
        /// Together with the login: whether acknowledgements are asked for, and to come back.
        enable: Option<bool>,
        /// Whether the client may get a token for the next login.
        token: Option<TokenWish>,
    },
    /// *Question*: acknowledgements? [`crate::Stream::answer_enable`].
    Enable {
        /// Whether the client wants to come back after a lost connection.
        resume: bool,
    },
    /// *Question*: go on with an earlier session? [`crate::Stream::answer_resume`].
    Resume {
        /// The account that was proved.
        account: Jid,
        /// The name of the session.
        token: String,
        /// How many stanzas the client received.
        h: u32,
        /// Whether the client may get a token for the next login.
        fresh: Option<TokenWish>,
    },
    /// A stanza, `from` stamped.
    Stanza(Stanza),
    /// A stanza that cannot be passed on, without its addresses, and why.
    Malformed(Stanza, StanzaError),
    /// The client counted what it received.
    Acked {
        /// How many, modulo 2³².
        h: u32,
    },
    /// The client wants to know how many stanzas were handled: [`crate::Stream::ack`].
    AckRequested,
    /// The client is looked at, or not (XEP-0352).
    Active(bool),
    /// The client closed the stream; ours is closed in the output.
    Closed,
    /// We closed the stream with this error, in the output.
    Failed(StreamError),
}

/// Something that a client asks for together with its resource.
#[derive(Clone, Debug)]
pub struct Inline(pub Flat);

/// What a client says of itself (XEP-0388 §2.3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAgent {
    /// The stable id of this installation.
    pub id: Option<String>,
    /// The name of the program.
    pub software: Option<String>,
    /// The name of the device.
    pub device: Option<String>,
}
