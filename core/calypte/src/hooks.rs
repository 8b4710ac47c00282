//! Where a module acts: places, phases and the other registrations.

use xmpp::StanzaError;

use crate::functions::{
    AccountFn, AckedFn, AnswerFn, AskedFn, BoundFn, CommandFn, DiscoveryFn, FeatureFn, FileFn,
    GrantFn, InactiveFn, IqFn, LoginFn, LookedFn, NoticeFn, PeerFn, SessionFn, StanzaFn,
    StrangerFn, TokenFn, VerifyFn, WakeFn, WebFn,
};

mod more;

/// A place on the way of a stanza. Each runs for one owner: an account, a room or the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A local client sent it; the owner is the client's account.
    Sent,
    /// It crossed from another domain; the owner is our domain.
    Arriving,
    /// It reached a local address; the owner is that account or room.
    Received,
    /// It is about to cross to another domain; the owner is the sender's account.
    Leaving,
}

/// The order inside a place, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Decide whether it may pass: blocking, limits, channel policy. Fails closed.
    Admit,
    /// Change it: aliases, stanza ids. Fails closed.
    Rewrite,
    /// Write it down: archive, offline queue, outcome rows.
    Record,
    /// Tell others: other devices, push services.
    Copy,
}

impl Place {
    /// All of them, in the order of a stanza's way.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Arriving, Self::Received, Self::Leaving];

    /// Returns the name in manifests and lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "Sent",
            Self::Arriving => "Arriving",
            Self::Received => "Received",
            Self::Leaving => "Leaving",
        }
    }
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Admit, Self::Rewrite, Self::Record, Self::Copy];

    /// Returns the name in manifests and lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admit => "Admit",
            Self::Rewrite => "Rewrite",
            Self::Record => "Record",
            Self::Copy => "Copy",
        }
    }
}

/// What happens to a stanza after a hook function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next function sees it.
    Pass,
    /// It ends here; the function did what was needed.
    Handled,
    /// The next function sees it. It is kept for later: when nobody gets it now, its sender hears
    /// of no error. For `Received`, `Record`; elsewhere as `Pass`.
    Kept,
    /// It ends here without an answer, for the reason given to the log.
    Drop(&'static str),
}

/// When a client that is not looked at gets a stanza (XEP-0352).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At once, behind all that waits.
    Now,
    /// When it is looked at again, or with the next stanza that it gets at once.
    Later,
    /// As [`When::Later`], and in place of the one that waits under the same name.
    Newest(String),
}

/// What happens after a stanza hook; an error goes back to the stanza's sender.
pub type HookResult = Result<Flow, StanzaError>;

/// The answer to a request, or the error to send instead.
pub type IqResult = Result<Reply, StanzaError>;

/// What a function that answers no stanza returns; an error is logged with the module's name.
pub type Done = Result<(), StanzaError>;

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An empty result.
    Empty,
    /// A result with this payload.
    With(xml::Element),
    /// No answer now: the module sends it itself, later.
    Later,
}

/// What a page of HTTP is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Status and headers.
    pub head: crate::wire::Head,
    /// The body.
    pub body: Vec<u8>,
}

/// The answer to an HTTP request.
#[derive(Clone, Debug)]
pub enum Served {
    /// This page.
    Page(Page),
    /// No answer now: the module gives it itself, with
    /// [`Context::answer_page`](crate::Context::answer_page).
    Later,
}

/// Whom a request is addressed to, and who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The account, asked by its own clients only. Others get `service-unavailable`.
    Account,
    /// The account, asked by anyone. The function decides what a stranger may know.
    AccountFromAnyone,
    /// The domain.
    Domain,
    /// The account of the client that asks, whether it asks its account or the domain. The function
    /// runs for the account, and the request crosses to no other shard: for what is secret.
    Own,
}

/// Who may run an ad-hoc command (XEP-0050).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Each user, for the own account.
    User,
    /// The operator.
    Admin,
}

/// A command that a module offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its name, unique among the commands of a server.
    pub node: String,
    /// Who may run it.
    pub who: Who,
    /// What people are shown.
    pub title: String,
    /// Whether it may ask for more with forms.
    pub has_forms: bool,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

impl Command {
    /// Reads a manifest line: node, who, title, and `forms` where it has any.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split('\t');
        let node = words.next()?.to_owned();
        let who = match words.next()? {
            "user" => Who::User,
            _ => Who::Admin,
        };
        let title = words.next()?.to_owned();
        Some(Self { node, who, title, has_forms: words.next() == Some("forms") })
    }
}

/// One registration of a module: what it wants, and its function.
///
/// The list of hooks is a constant, so that a manifest can be read from a file without running it.
#[derive(Debug)]
pub struct Hook<M> {
    pub(crate) words: [&'static str; 6],
    pub(crate) run: Run<M>,
}

#[derive(Debug)]
pub(crate) enum Run<M> {
    Stanza(StanzaFn<M>),
    Iq(IqFn<M>),
    Stranger(StrangerFn<M>),
    Session(SessionFn<M>),
    Login(LoginFn<M>),
    Wake(WakeFn<M>),
    Notice(NoticeFn<M>),
    Answer(AnswerFn<M>),
    Acked(AckedFn<M>),
    Feature(FeatureFn<M>),
    Asked(AskedFn<M>),
    Web(WebFn<M>),
    Command(CommandFn<M>),
    Peer(PeerFn<M>),
    Looked(LookedFn<M>),
    AccountDone(AccountFn<M>),
    Bound(BoundFn<M>),
    Discovery(DiscoveryFn<M>),
    Inactive(InactiveFn<M>),
    Token(TokenFn<M>),
    Grant(GrantFn<M>),
    Verify(VerifyFn<M>),
    Files(FileFn<M>),
}

/// A word of a hook that says nothing.
const ANY: &str = "-";

impl<M> Hook<M> {
    const fn of(words: [&'static str; 6], run: Run<M>) -> Self {
        Self { words, run }
    }

    /// Every message at a place.
    pub const fn message(place: Place, phase: Phase, f: StanzaFn<M>) -> Self {
        let words = ["message", place.name(), phase.name(), ANY, ANY, ANY];
        Self::of(words, Run::Stanza(f))
    }

    /// Messages that no session of the owner is going to get.
    pub const fn message_when_away(place: Place, phase: Phase, f: StanzaFn<M>) -> Self {
        let words = ["message", place.name(), phase.name(), ANY, ANY, "away"];
        Self::of(words, Run::Stanza(f))
    }

    /// Every presence at a place.
    pub const fn presence(place: Place, phase: Phase, f: StanzaFn<M>) -> Self {
        let words = ["presence", place.name(), phase.name(), ANY, ANY, ANY];
        Self::of(words, Run::Stanza(f))
    }

    /// Every request and answer at a place.
    pub const fn iq(place: Place, phase: Phase, f: StanzaFn<M>) -> Self {
        Self::of(["iq", place.name(), phase.name(), ANY, ANY, ANY], Run::Stanza(f))
    }

    /// Every stanza at a place.
    pub const fn stanza(place: Place, phase: Phase, f: StanzaFn<M>) -> Self {
        Self::of(["stanza", place.name(), phase.name(), ANY, ANY, ANY], Run::Stanza(f))
    }

    /// Stanzas at a place that have such a child element.
    pub const fn payload(
        place: Place,
        phase: Phase,
        ns: &'static str,
        name: &'static str,
        f: StanzaFn<M>,
    ) -> Self {
        Self::of(["stanza", place.name(), phase.name(), ns, name, ANY], Run::Stanza(f))
    }

    /// Answers `get` requests with this payload.
    pub const fn iq_get(on: On, ns: &'static str, name: &'static str, f: IqFn<M>) -> Self {
        Self::of(["iq-get", on.name(), ns, name, ANY, ANY], Run::Iq(f))
    }

    /// Answers `set` requests with this payload.
    pub const fn iq_set(on: On, ns: &'static str, name: &'static str, f: IqFn<M>) -> Self {
        Self::of(["iq-set", on.name(), ns, name, ANY, ANY], Run::Iq(f))
    }

    /// Is asked about stanzas to addresses of the domain that are no account: aliases.
    ///
    /// `Pass` says that the address is not ours; when all pass, the sender sees what an unknown
    /// address looks like.
    pub const fn claim(f: StanzaFn<M>) -> Self {
        Self::of(["claim", ANY, ANY, ANY, ANY, ANY], Run::Stanza(f))
    }

    /// The server runs, or the modules were loaded anew. The owner is the domain; it runs in the
    /// shard of the domain only. It is the time to make what the domain needs and to set its first
    /// timer.
    pub const fn started(f: SessionFn<M>) -> Self {
        Self::of(["started", ANY, ANY, ANY, ANY, ANY], Run::Session(f))
    }

    /// A session was opened: its client is bound to a resource. An error closes it.
    ///
    /// Hand it nothing here: a client that binds while it logs in (XEP-0386) still waits for the
    /// answer to its login. Its first presence is the time for that.
    pub const fn opened(f: SessionFn<M>) -> Self {
        Self::of(["opened", ANY, ANY, ANY, ANY, ANY], Run::Session(f))
    }

    /// A client bound to its resource while it logged in (XEP-0386), and may have asked for more in
    /// the same breath: see [`Bind`](crate::Bind). It follows `opened`; what is returned stands in the answer.
    ///
    /// `feature` is offered as something that can be asked for so. An error is logged, and the
    /// client is bound without. Hand the session nothing here, as in [`Hook::opened`].
    pub const fn bound(feature: Option<&'static str>, f: BoundFn<M>) -> Self {
        let feature = match feature {
            Some(feature) => feature,
            None => ANY,
        };
        Self::of(["bound", feature, ANY, ANY, ANY, ANY], Run::Bound(f))
    }

    /// A session came back after its connection was lost (XEP-0198).
    pub const fn resumed(f: SessionFn<M>) -> Self {
        Self::of(["resumed", ANY, ANY, ANY, ANY, ANY], Run::Session(f))
    }

    /// The connection of a session is lost; its client may come back (XEP-0198). Until then what it
    /// gets is kept.
    pub const fn lost(f: SessionFn<M>) -> Self {
        Self::of(["lost", ANY, ANY, ANY, ANY, ANY], Run::Session(f))
    }

    /// Says when a client that is not looked at (XEP-0352) gets a message or presence that is for
    /// it. It is called for the sessions of such clients only; requests and their answers never
    /// wait. Of several modules each must let the stanza wait.
    ///
    /// What waits is at most 64 KiB, and then goes on. It survives what its session survives.
    pub const fn inactive(f: InactiveFn<M>) -> Self {
        Self::of(["inactive", ANY, ANY, ANY, ANY, ANY], Run::Inactive(f))
    }

    /// Reads what the module keeps of an account and says what does not agree: an index and its
    /// records, a count and what is counted. A sentence each, without addresses of others and
    /// content. It is called by `calypte verify`, for each account of a server that is stopped; what
    /// it writes is lost, and it may read as much as it has to.
    pub const fn verify(f: VerifyFn<M>) -> Self {
        Self::of(["verify", ANY, ANY, ANY, ANY, ANY], Run::Verify(f))
    }

    /// A session is over. It can still be read with [`Context::session`](crate::Context::session).
    pub const fn closed(f: SessionFn<M>) -> Self {
        Self::of(["closed", ANY, ANY, ANY, ANY, ANY], Run::Session(f))
    }

    /// Sees the channel of a new session and may refuse it: TLS version, binding. It may only
    /// tighten: an error ends the stream with `policy-violation`.
    pub const fn channel(f: LoginFn<M>) -> Self {
        Self::of(["channel", ANY, ANY, ANY, ANY, ANY], Run::Login(f))
    }

    /// Sees how a client proved who it is, with the SCRAM client key where there is one.
    pub const fn authenticated(f: LoginFn<M>) -> Self {
        Self::of(["authenticated", ANY, ANY, ANY, ANY, ANY], Run::Login(f))
    }

    /// Checks a token that a client shows in place of the password (XEP-0484). The owner is the account
    /// that it says it is, which may not exist. With such a hook, clients are offered mechanisms for
    /// tokens.
    ///
    /// An error counts as [`Wrong`](crate::TokenVerdict::Wrong); then nothing that was written counts, so a
    /// function that notes wrong proofs returns that verdict.
    pub const fn token(f: TokenFn<M>) -> Self {
        Self::of(["token", ANY, ANY, ANY, ANY, ANY], Run::Token(f))
    }

    /// May give a token to a client that has logged in, and was bound or came back in the same breath.
    /// It follows `opened` and `bound`, or `resumed`; the first token that a module gives counts.
    pub const fn grant(f: GrantFn<M>) -> Self {
        Self::of(["grant", ANY, ANY, ANY, ANY, ANY], Run::Grant(f))
    }

    /// A time asked for with [`Context::wake_at`](crate::Context::wake_at) has come. It is forgotten before the call, also
    /// of one that fails.
    pub const fn wake(f: WakeFn<M>) -> Self {
        Self::of(["wake", ANY, ANY, ANY, ANY, ANY], Run::Wake(f))
    }

    /// Hears a notice of another module, such as [`crate::notice::RosterChanged`].
    pub const fn notice(name: &'static str, f: NoticeFn<M>) -> Self {
        Self::of(["notice", name, ANY, ANY, ANY, ANY], Run::Notice(f))
    }

    /// Gets the answers to requests sent with [`Context::request`](crate::Context::request), with the cookie given there:
    /// a result, the peer's error, or `remote-server-timeout`.
    pub const fn answer(f: AnswerFn<M>) -> Self {
        Self::of(["answer", ANY, ANY, ANY, ANY, ANY], Run::Answer(f))
    }

    /// A client said that it has a message which was handed to its session (XEP-0198). The owner is
    /// its account.
    pub const fn acked(f: AckedFn<M>) -> Self {
        Self::of(["acked", ANY, ANY, ANY, ANY, ANY], Run::Acked(f))
    }

    /// Adds to the stream features that a client sees after login. It runs once, when modules are
    /// set up, for no owner; what it writes is lost.
    pub const fn stream_feature(f: FeatureFn<M>) -> Self {
        Self::of(["stream-feature", ANY, ANY, ANY, ANY, ANY], Run::Feature(f))
    }

    /// Adds forms (XEP-0128) to what service discovery says of the domain, or owns nodes of it.
    ///
    /// Features and identities that do not change are [`Module::FEATURES`](crate::Module::FEATURES)
    /// and [`Module::IDENTITIES`](crate::Module::IDENTITIES). What is shown without a node must not
    /// change as long as the module is loaded, and is the same for everybody: its hash is told at
    /// login (XEP-0115, XEP-0390). So nobody is said to ask then.
    ///
    /// A function of service discovery reads and counts only; to write or send in it is refused.
    pub const fn domain_info(f: DiscoveryFn<M>) -> Self {
        Self::of(["disco-info", "domain", ANY, ANY, ANY, ANY], Run::Discovery(f))
    }

    /// Adds items to those of the domain, or owns nodes with items. See [`Hook::domain_info`].
    pub const fn domain_items(f: DiscoveryFn<M>) -> Self {
        Self::of(["disco-items", "domain", ANY, ANY, ANY, ANY], Run::Discovery(f))
    }

    /// Adds forms to what service discovery says of an account, or owns nodes of it.
    ///
    /// It is called for the account's own clients and for contacts that see its presence; a stranger
    /// cannot tell the account from an address that is none. See [`Hook::domain_info`].
    pub const fn account_info(f: DiscoveryFn<M>) -> Self {
        Self::of(["disco-info", "account", ANY, ANY, ANY, ANY], Run::Discovery(f))
    }

    /// Adds items to those of an account, or owns nodes with items. See [`Hook::account_info`].
    pub const fn account_items(f: DiscoveryFn<M>) -> Self {
        Self::of(["disco-items", "account", ANY, ANY, ANY, ANY], Run::Discovery(f))
    }

    /// Answers HTTP requests to a path, such as `/invite`, and below it; the longest path is meant.
    ///
    /// The owner is the domain. Method, query and body are in [`Asked`](crate::Asked); the answer is status 200
    /// and of the type that [`Context::set_content_type`](crate::Context::set_content_type) says. An error is the status that says
    /// the same: `item-not-found` 404, `forbidden` 403, `not-allowed` 405. It is served on the
    /// port of the figures, and leaves when what was written is on disk.
    pub const fn http(path: &'static str, f: AskedFn<M>) -> Self {
        Self::of(["http", path, ANY, ANY, ANY, ANY], Run::Asked(f))
    }

    /// As [`Hook::http`], and the world may ask as well: by HTTPS with the server's certificate, where
    /// the operator opened a port for it (`listen.https`). Bodies are at most 64 KiB there.
    ///
    /// Who asks is not known and may be hostile. Of two paths that fit, the longer one decides
    /// whether the world may ask.
    pub const fn http_public(path: &'static str, f: AskedFn<M>) -> Self {
        Self::of(["http", path, "public", ANY, ANY, ANY], Run::Asked(f))
    }

    /// Decides about streams with other domains, at each [`PeerStage`](crate::PeerStage). The owner
    /// is the domain.
    ///
    /// Several modules may: each can only tighten. An error ends the stream with
    /// `policy-violation`, and so does a panic in a security module.
    pub const fn peer(f: PeerFn<M>) -> Self {
        Self::of(["peer", ANY, ANY, ANY, ANY, ANY], Run::Peer(f))
    }

    /// Offers a command: ad-hoc (XEP-0050) and as `calypte command` on the command line.
    ///
    /// Commands for [`Who::User`] run with the asker's account as the owner, those for
    /// [`Who::Admin`] with the domain, for accounts under `admins` in the configuration. There is
    /// one stage: the fields of a submitted form, or `name=value` on the command line, are read
    /// with [`Asked::field`](crate::Asked::field), and the answer is a text.
    pub const fn command(node: &'static str, title: &'static str, who: Who, f: AskedFn<M>) -> Self {
        Self::of(["command", node, who.name(), title, ANY, ANY], Run::Asked(f))
    }
}

impl On {
    const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::AccountFromAnyone => "account-anyone",
            Self::Domain => "domain",
            Self::Own => "own",
        }
    }
}
