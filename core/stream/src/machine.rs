//! The stream itself: headers, stages, what comes and what goes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use xml::{Element, Header, Item, Node};
use xmpp::{Jid, Kind, Stanza, StanzaError, StreamError, ns};

use crate::mechanism::Forms;
use crate::sasl::Attempt;
use crate::scram::Verifiers;
use crate::sm::Counts;
use crate::wire::{Opening, Wire, is_version_1, remains};
use crate::{Channel, Facts, Message, Settings, StreamEvent, features};

/// A stream between a client and us.
///
/// Call in this order: bytes that came go to [`Stream::feed`]; then [`Stream::poll`] until `None`,
/// answering each question as soon as its answer is known, and polling again after each; then
/// [`Stream::output`] is written and drained. [`Stream::send`] and [`Stream::close`] come any time.
pub struct Stream {
    pub(crate) settings: Arc<Settings>,
    pub(crate) channel: Channel,
    pub(crate) stage: Stage,
    pub(crate) question: Option<Question>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) failures: u8,
    /// How often it asked something before it logged in.
    pub(crate) early: u8,
    /// Who the client says it is, until that is proved.
    pub(crate) claimed: Option<Jid>,
    /// Who it is: a bare address.
    pub(crate) account: Option<Jid>,
    /// The full address.
    pub(crate) session: Option<Jid>,
    /// In which forms the password of who it says it is is known.
    pub(crate) forms: Forms,
    pub(crate) counts: Counts,
    pub(crate) resume_failure: Option<Element>,
    pub(crate) wire: Wire,
    events: VecDeque<StreamEvent>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What waits may hold a password, and who knows the seed knows all nonces.
        f.debug_struct("Stream").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Only STARTTLS is possible.
    Plain,
    /// Only logging in is possible.
    Login,
    /// Only binding or resuming is possible.
    Authenticated,
    /// Stanzas pass.
    Bound,
    /// Nothing is read any more.
    Over,
}

/// What the stream waits for before it reads on.
#[derive(Debug)]
pub(crate) enum Question {
    Tls,
    /// A request before login.
    Early,
    Account,
    Password,
    Bind {
        id: String,
    },
    Token,
    Offer,
    Upgrade,
    BindInline,
    Enable,
    Resume {
        inline: bool,
        h: u32,
    },
}

impl Stream {
    /// Returns a stream that expects a header. `chance` must be unpredictable and new each time.
    #[must_use]
    pub fn new(settings: Arc<Settings>, channel: Channel, chance: [u8; 32]) -> Self {
        let stage = match channel {
            Channel::Plain => Stage::Plain,
            Channel::Tls(_) => Stage::Login,
        };
        Self {
            settings,
            channel,
            stage,
            question: None,
            attempt: None,
            failures: 0,
            early: 0,
            claimed: None,
            account: None,
            session: None,
            forms: Forms::ALL,
            counts: Counts::default(),
            resume_failure: None,
            wire: Wire::new(ns::CLIENT, chance),
            events: VecDeque::new(),
        }
    }

    /// Returns a stream that expects a header and whose elements come and go one by one: use
    /// [`Stream::feed_message`] and [`Stream::next_message`] in place of bytes and output. What carries
    /// them is secured already; `facts` are those of a channel that ends here and at the client.
    #[must_use]
    pub fn of_messages(settings: Arc<Settings>, facts: Facts, chance: [u8; 32]) -> Self {
        let wire = Wire::of_messages(chance);
        Self { wire, ..Self::new(settings, Channel::Tls(facts), chance) }
    }

    /// Takes a message that came: one element. Too many end the stream.
    pub fn feed_message(&mut self, text: String) {
        if self.stage != Stage::Over
            && let Err(error) = self.wire.push_message(text)
        {
            self.fail(error);
        }
    }

    /// Takes the oldest message that is to be sent.
    pub fn next_message(&mut self) -> Option<Message> {
        self.wire.next_message()
    }

    /// Returns how many bytes of messages, or of the output, are to be sent.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.wire.unwritten()
    }

    /// Returns how long a message may be now, in bytes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.wire.message_bytes_max()
    }

    /// Takes bytes that came. Too many end the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Over || matches!(self.question, Some(Question::Tls)) {
            return;
        }
        if let Err(error) = self.wire.push(bytes) {
            self.fail(error);
        }
    }

    /// Returns the next event, `None` when more bytes or an answer are needed.
    pub fn poll(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.question.is_some() || self.stage == Stage::Over {
                return None;
            }
            match self.wire.next() {
                Ok(Some(item)) => self.take(item),
                Ok(None) => return None,
                Err(error) => self.fail(error),
            }
        }
    }

    /// Returns the bytes to write; the caller takes them out.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.wire.output
    }

    /// Returns the full address once the session is bound.
    #[must_use]
    pub fn session(&self) -> Option<&Jid> {
        self.session.as_ref()
    }

    /// Tells whether the client has logged in.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.account.is_some()
    }

    /// Tells whether nothing more is read or written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Tells whether acknowledgements are on.
    #[must_use]
    pub fn has_acks(&self) -> bool {
        self.counts.is_on
    }

    /// Goes on over TLS, after [`StreamEvent::StartTls`].
    pub fn secured(&mut self, facts: Facts) {
        if matches!(self.question, Some(Question::Tls)) {
            self.question = None;
            self.channel = Channel::Tls(facts);
            self.stage = Stage::Login;
            self.wire.start_anew();
        }
    }

    /// Writes a stanza and counts it.
    pub fn send(&mut self, stanza: &Stanza) {
        if self.stage == Stage::Bound {
            self.wire.write_stanza(stanza);
            self.counts.sent_one();
        }
    }

    /// Closes the stream, with an error where there is one.
    pub fn close(&mut self, error: Option<StreamError>) {
        match error {
            Some(error) => self.write_error(error, None),
            None => self.write_close(),
        }
        self.stage = Stage::Over;
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Open(header) => self.open(&header),
            Item::Close => {
                self.write_close();
                self.stage = Stage::Over;
                self.say(StreamEvent::Closed);
            }
            Item::Element(flat) => {
                let root = flat.root();
                match (root.ns(), self.stage) {
                    (ns::TLS, Stage::Plain) if root.name() == "starttls" => self.start_tls(),
                    (_, Stage::Plain) => self.fail(StreamError::PolicyViolation),
                    (ns::SASL | ns::SASL2, _) => self.take_sasl(root),
                    (ns::SM, _) => self.take_sm(root),
                    (ns::CSI, Stage::Bound) => self.take_csi(root),
                    (ns::CLIENT, Stage::Login) if self.may_ask(root) => self.take_early(flat),
                    (ns::CLIENT, Stage::Authenticated) if root.name() == "iq" => {
                        self.take_bind(root);
                    }
                    (ns::CLIENT, Stage::Bound) if self.take_session(root) => {}
                    (ns::CLIENT, Stage::Bound) => self.take_stanza(flat),
                    (_, Stage::Bound) => self.fail(StreamError::UnsupportedStanzaType),
                    _ => self.fail(StreamError::NotAuthorized),
                }
            }
        }
    }

    fn take_csi(&mut self, node: Node<'_>) {
        match node.name() {
            "active" => self.say(StreamEvent::Active(true)),
            "inactive" => self.say(StreamEvent::Active(false)),
            _ => self.fail(StreamError::UnsupportedStanzaType),
        }
    }

    fn take_stanza(&mut self, flat: xml::Flat) {
        if Kind::of(flat.root().name()).is_none() {
            return self.fail(StreamError::UnsupportedStanzaType);
        }
        let own = self.session.clone();
        match (Stanza::read(flat.clone()), own) {
            (Ok(mut stanza), Some(own)) => {
                // RFC 6120 §8.1.2.1. A client speaks for its account only. Some give another resource
                // than their own: Converse.js 14 a new one after it resumed a session.
                let is_own = |from: &Jid| from.same_bare(&own);
                if !stanza.from.as_ref().is_none_or(is_own) {
                    return self.fail(StreamError::InvalidFrom);
                }
                stanza.from = Some(own);
                self.say(StreamEvent::Stanza(stanza));
            }
            (Err(error), _) => self.bounce(flat.root(), error),
            (Ok(_), None) => self.fail(StreamError::NotAuthorized),
        }
    }

    /// Hands on a stanza whose addresses are none, so that it is counted and answered.
    fn bounce(&mut self, root: Node<'_>, error: StanzaError) {
        let Some(mut stanza) = remains(root) else { return self.fail(StreamError::BadFormat) };
        stanza.from.clone_from(&self.session);
        self.say(StreamEvent::Malformed(stanza, error));
    }

    fn start_tls(&mut self) {
        // RFC 6120 §5.4.3.3. What came behind it came from who knows whom.
        if !self.wire.is_empty() {
            return self.fail(StreamError::PolicyViolation);
        }
        self.write_element(&Element::new(ns::TLS, "proceed"));
        self.ask(Question::Tls, StreamEvent::StartTls);
    }

    fn open(&mut self, header: &Header) {
        self.write_header(header);
        if header.ns != ns::STREAMS || header.default_ns != ns::CLIENT {
            return self.fail(StreamError::InvalidNamespace);
        }
        if header.name != "stream" {
            return self.fail(StreamError::BadFormat);
        }
        if !is_version_1(header) {
            return self.fail(StreamError::UnsupportedVersion);
        }
        let to = header.to.as_deref().map(Jid::parse);
        let is_ours = |jid: &Jid| jid.as_str() == self.settings.domain;
        match to {
            None => return self.fail(StreamError::HostUnknown),
            Some(Err(_)) => return self.fail(StreamError::ImproperAddressing),
            Some(Ok(jid)) if !is_ours(&jid) => return self.fail(StreamError::HostUnknown),
            Some(Ok(_)) => {}
        }
        let from = header.from.as_deref().and_then(|from| Jid::parse(from).ok());
        match from
            .filter(|from| from.domain() == self.settings.domain)
            .as_ref()
            .and_then(Jid::local)
        {
            // XEP-0480 §2. Not all accounts can use all that we have.
            Some(username) if self.stage == Stage::Login => {
                let username = username.to_owned();
                self.ask(Question::Offer, StreamEvent::Offer { username });
            }
            _ => self.offer_features(),
        }
    }

    /// Answers [`StreamEvent::Offer`] with what is known of the password; `None` for a user who does
    /// not exist.
    pub fn answer_offer(&mut self, known: Option<&Verifiers>) {
        if matches!(self.question, Some(Question::Offer)) {
            self.question = None;
            self.forms = known.map_or(Forms::ALL, Forms::of);
            self.offer_features();
        }
    }

    pub(crate) fn offer_features(&mut self) {
        let features = match self.stage {
            Stage::Plain => features::before_tls(),
            Stage::Login => features::before_login(&self.settings, &self.channel, self.forms),
            Stage::Authenticated => features::after_login(&self.settings, false, false),
            Stage::Bound => features::after_login(&self.settings, true, self.has_acks()),
            Stage::Over => return,
        };
        self.wire.write_features(&features);
    }

    fn write_header(&mut self, header: &Header) {
        let to = header.from.as_deref().and_then(|from| Jid::parse(from).ok());
        let id = self.wire.draw_id();
        let (from, to) = (self.settings.domain.as_str(), to.as_ref().map(Jid::as_str));
        self.wire.write_header(Opening { id: Some(&id), from, to });
    }

    pub(crate) fn fail(&mut self, error: StreamError) {
        self.fail_with(error, None);
    }

    pub(crate) fn fail_with(&mut self, error: StreamError, detail: Option<&Element>) {
        if self.stage == Stage::Over {
            return;
        }
        self.write_error(error, detail);
        self.stage = Stage::Over;
        self.question = None;
        self.attempt = None;
        self.say(StreamEvent::Failed(error));
    }

    fn write_error(&mut self, error: StreamError, detail: Option<&Element>) {
        if self.stage == Stage::Over {
            return;
        }
        if !self.wire.is_open() {
            // RFC 6120 §4.9.1.2. An error before the header follows a header of ours.
            self.write_header(&Header::default());
        }
        self.wire.write_error(error, detail);
    }

    fn write_close(&mut self) {
        if self.stage != Stage::Over {
            self.wire.write_close();
        }
    }

    pub(crate) fn write_element(&mut self, element: &Element) {
        if self.stage != Stage::Over {
            self.wire.write_element(element);
        }
    }

    pub(crate) fn say(&mut self, event: StreamEvent) {
        self.events.push_back(event);
    }

    pub(crate) fn ask(&mut self, question: Question, event: StreamEvent) {
        self.question = Some(question);
        self.say(event);
    }
}
