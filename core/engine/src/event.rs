//! What happens to a shard, and what comes of it.

use std::fmt;

use calypte::wire::{
    AccountFault, AccountWork, Head, LoginFacts, Look, PeerFacts, PeerVerdict, Question, Stranger,
    Token, TokenProof, TokenVerdict, TokenWish,
};
use crypto::Secret;
use table::Batch;
use xmpp::{Jid, Stanza, StanzaError, StreamError};

/// What a shard is made of, besides its modules.
#[derive(Clone)]
pub struct Setup {
    /// The domain.
    pub domain: Jid,
    /// The number of this shard, from 0.
    pub shard: u16,
    /// How many shards there are.
    pub shards: u16,
    /// What is refused.
    pub limits: Limits,
    /// The name and version that clients are told.
    pub software: (String, String),
    /// When the server started, in milliseconds since 1970.
    pub started_ms: u64,
    /// Who may run the operator's commands: bare addresses.
    pub admins: Vec<Jid>,
    /// The domains of components, which the host connects: items of the domain (XEP-0030).
    pub components: Vec<String>,
    /// Under which address the world reaches public paths, `https://chat.example`.
    pub web_url: Option<String>,
    /// Where all randomness comes from. Must be unpredictable and different at each start.
    pub seed: [u8; 32],
    /// What the secrets of modules derive from: the same at each start, and not in the store.
    pub secret: Secret,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who knows the seed knows all randomness.
        f.debug_struct("Setup")
            .field("domain", &self.domain)
            .field("shard", &self.shard)
            .finish_non_exhaustive()
    }
}

/// Bounds of a shard.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions of one account.
    pub sessions: usize,
    /// Bytes of stanzas that wait for one session.
    pub queue_bytes: usize,
    /// Calls of modules in one step.
    pub calls: u32,
    /// Operations of modules in one step.
    pub operations: u32,
    /// Bytes of all volatile tables; one module has three quarters of them at most.
    pub volatile_bytes: usize,
    /// Bytes of stanzas that wait for one other domain.
    pub leaving_bytes: usize,
    /// Bytes of stanzas that wait for all other domains together.
    pub leaving_all_bytes: usize,
    /// How long a lost connection may come back, in milliseconds.
    pub resume_ms: u64,
    /// How long a request of ours waits for its answer, in milliseconds.
    pub answer_ms: u64,
    /// Looks of modules that are under way; and so many changes of accounts.
    pub looks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 32,
            queue_bytes: 1 << 20,
            calls: 100_000,
            operations: 1_000_000,
            volatile_bytes: 256 << 20,
            leaving_bytes: 4 << 20,
            leaving_all_bytes: 256 << 20,
            resume_ms: 300_000,
            answer_ms: 30_000,
            looks: 256,
        }
    }
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client was bound to its resource.
    Opened {
        /// The number of its connection, never used twice.
        session: u64,
        /// Its full address.
        jid: Jid,
        /// How it logged in.
        login: Box<LoginFacts>,
    },
    /// A client sent a stanza. `from` is stamped.
    Sent {
        /// Who.
        session: u64,
        /// What.
        stanza: Stanza,
    },
    /// A client sent a stanza that cannot be passed on.
    Malformed {
        /// Who.
        session: u64,
        /// What, without its addresses.
        stanza: Stanza,
        /// Why.
        error: StanzaError,
    },
    /// A stanza crossed from another shard.
    Leg(Leg),
    /// A stanza crossed from another domain. It goes to the shard of the recipient's bare address.
    Arriving(Stanza),
    /// Another domain has what left.
    Left {
        /// The rows of [`Effect::Leaving`].
        rows: Vec<Vec<u8>>,
    },
    /// A stanza that left cannot be delivered.
    Undeliverable {
        /// Its row. One that is gone already says that this was dealt with.
        row: Option<Vec<u8>>,
        /// What left.
        stanza: Stanza,
        /// What its sender is told, if it may be answered at all.
        error: StanzaError,
    },
    /// A client shows a token in place of a password (XEP-0484).
    Token {
        /// The number of its connection, which has no session yet.
        session: u64,
        /// Who it says it is.
        account: Jid,
        /// What it shows.
        proof: Box<TokenProof>,
    },
    /// A client that was just bound did that while it logged in (XEP-0386).
    Bind {
        /// Who.
        session: u64,
        /// What else it asks for: elements that say their own namespaces.
        wishes: Vec<String>,
        /// Whether it wants acknowledgements, and to come back after a lost connection (XEP-0198).
        enable: Option<bool>,
        /// Whether it may get a token.
        token: Option<Box<TokenWish>>,
    },
    /// A client turned acknowledgements on (XEP-0198).
    Enable {
        /// Who.
        session: u64,
        /// Whether it wants to come back after a lost connection.
        resume: bool,
    },
    /// A client counted what it received.
    Acked {
        /// Who.
        session: u64,
        /// How many, modulo 2³².
        h: u32,
    },
    /// A client is looked at, or not (XEP-0352).
    Active {
        /// Whose.
        session: u64,
        /// Whether it is.
        active: bool,
    },
    /// A connection is lost.
    Detached {
        /// Whose.
        session: u64,
    },
    /// A client ended its stream.
    Closed {
        /// Who.
        session: u64,
    },
    /// A client wants to go on with an earlier session.
    Resume {
        /// The number of the new connection.
        session: u64,
        /// Who it proved to be.
        account: Jid,
        /// The name of the earlier session.
        token: String,
        /// How many stanzas it received then.
        h: u32,
        /// How it logged in over the new connection.
        login: Box<LoginFacts>,
        /// Whether it may get a token for the next time.
        fresh: Option<Box<TokenWish>>,
    },
    /// An account was changed, disabled or deleted.
    Account {
        /// Its address.
        account: Jid,
        /// Whether its sessions have to go.
        is_gone: bool,
    },
    /// An account is about to be removed: its contacts have to be told.
    AccountEnds {
        /// Its address.
        account: Jid,
    },
    /// What a module asked for was done to an account, or was not.
    AccountDone {
        /// The token of [`Effect::Account`].
        token: u64,
        /// Why it was not done.
        fault: Option<AccountFault>,
    },
    /// Somebody asks a module by HTTP or command.
    Ask(Ask),
    /// A client that has not logged in asks something, over TLS. For the shard of the domain; answered
    /// by [`Effect::Answer`], with the content of the result.
    Stranger {
        /// Comes back with the answer.
        token: u64,
        /// Who.
        stranger: Stranger,
        /// What: an iq, `get` or `set`.
        request: Stanza,
    },
    /// A stream with another domain came to a stage at which modules decide. For the shard of the
    /// domain.
    Peer {
        /// Comes back with the verdict.
        token: u64,
        /// What is known.
        facts: Box<PeerFacts>,
    },
    /// A client was refused since it believed that we offer no channel binding. For the shard of
    /// the domain.
    BindingHidden,
    /// Slow work is done.
    Looked {
        /// The token of [`Effect::Look`].
        token: u64,
        /// What was found, or why not, in words.
        found: Result<Vec<u8>, String>,
    },
    /// Time passed; see [`Outcome::wake_at`].
    Tick,
}

/// A question for a module.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Comes back with the answer.
    pub token: u64,
    /// `http`, `command` or `files`.
    pub kind: &'static str,
    /// The path or node; `-` for files.
    pub name: String,
    /// For whom.
    pub owner: Jid,
    /// What is asked.
    pub question: Question,
}

/// A stanza on its way to an owner.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The stanza; `to` is set.
    pub stanza: Stanza,
    /// Whether the sender was or will be promised that it is kept.
    pub is_assured: bool,
    /// When it was first received, for one that waited.
    pub since_ms: Option<u64>,
    /// The row that keeps it while it crosses.
    pub transit: Option<Vec<u8>>,
}

/// What to do once the writes of the step are on disk.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Write a stanza to a client.
    ToSession {
        /// Whom.
        session: u64,
        /// What.
        stanza: Stanza,
    },
    /// Hand a stanza to another shard.
    Leg {
        /// Which.
        shard: u16,
        /// What.
        leg: Leg,
    },
    /// Hand a stanza to another domain. Answered by [`Event::Left`] or [`Event::Undeliverable`], at
    /// the shard that it came from; what is not answered comes again after a restart.
    ///
    /// When it is let go, [`crate::Engine::waits`] says whether it is still to leave: a shard that was
    /// made anew hands out its rows again, and may have had an answer since.
    Leaving {
        /// Which.
        domain: String,
        /// What.
        stanza: Stanza,
        /// The row that keeps it until then. `None`: presence of the moment, or a request of a
        /// module, which waits for an answer no longer than the process lives.
        row: Option<Vec<u8>>,
        /// When it was decided, in milliseconds since 1970.
        since_ms: u64,
    },
    /// A token was checked.
    TokenChecked {
        /// The connection.
        session: u64,
        /// What it is worth.
        verdict: TokenVerdict,
    },
    /// What a client asked for while it bound is done.
    Bound {
        /// Whose.
        session: u64,
        /// What to tell the client of it: elements that say their own namespaces.
        answers: Vec<String>,
        /// With acknowledgements: the name to come back by, where that is possible.
        enabled: Option<Option<String>>,
        /// A token for the next time.
        token: Option<Token>,
    },
    /// Acknowledgements are on.
    Enabled {
        /// Whose.
        session: u64,
        /// The name to come back by, where that is possible.
        token: Option<String>,
    },
    /// An earlier session goes on over a new connection.
    Resumed {
        /// The new connection.
        session: u64,
        /// Who it is.
        jid: Jid,
        /// The name of the session.
        token: String,
        /// How many stanzas we handled, modulo 2³².
        handled: u32,
        /// The connection it had, if that is still there.
        before: Option<u64>,
        /// What the client has not received.
        unacked: Vec<Stanza>,
        /// A token for the next time.
        fresh: Option<Token>,
    },
    /// The earlier session is gone.
    ResumeRefused {
        /// The new connection.
        session: u64,
    },
    /// End a client's stream.
    Close {
        /// Whose.
        session: u64,
        /// Why.
        why: StreamError,
    },
    /// A question is answered.
    Answer {
        /// The token of the question.
        token: u64,
        /// The answer.
        answer: Result<Vec<u8>, StanzaError>,
        /// Status and headers of an answer by HTTP, when the module said any.
        head: Option<Head>,
    },
    /// A stream with another domain is judged.
    PeerAnswer {
        /// The token of [`Event::Peer`].
        token: u64,
        /// The verdict.
        verdict: Box<PeerVerdict>,
    },
    /// Do slow work, elsewhere, and say what was found with [`Event::Looked`].
    Look {
        /// Comes back with what was found; unique in the shard, from its start.
        token: u64,
        /// What.
        look: Look,
    },
    /// Change an account, and say what came of it with [`Event::AccountDone`].
    Account {
        /// Comes back; unique in the shard, from its start.
        token: u64,
        /// What.
        work: AccountWork,
    },
    /// Delete a file of the host's folder.
    DropFile {
        /// Its name there.
        name: [u8; 16],
    },
    /// Count something of a module.
    Count {
        /// The module.
        module: String,
        /// The counter.
        name: String,
        /// How much.
        by: u64,
    },
    /// Write a line to the log.
    Log {
        /// 1 error, 2 warning, 3 information, 4 debugging.
        level: u32,
        /// Who says it.
        module: String,
        /// What. No addresses, no content.
        text: String,
    },
}

/// What comes of an event.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What to write, all or nothing.
    pub writes: Batch,
    /// What to do after that.
    pub effects: Vec<Effect>,
    /// When to send [`Event::Tick`], in milliseconds since 1970.
    pub wake_at: Option<u64>,
}
