//! The stream itself: stages, what comes and what goes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use xml::{Element, Flat, Header, Item, Node};
use xmpp::{StreamError, ns};

use super::dialback::Verifying;
use super::pairs::Pairs;
use super::{
    Choice, Extended, How, Offer, Offered, PeerEvent, PeerFailure, PeerSettings, Received, Role,
    features,
};
use crate::sm::Counts;
use crate::wire::Wire;

/// Namespaces of our own extensions begin so.
const OWN: &str = "urn:calypte:";
/// Elements of ours that a peer may send before it is authenticated.
const EXTENSIONS_MAX: u8 = 4;
/// The longest text of a stream error that is kept, in characters.
const TEXT_CHARS_MAX: usize = 256;

/// One connection between two servers.
///
/// Call in this order: bytes that came go to [`Peering::feed`]; then [`Peering::poll`] until
/// `None`, answering each question as soon as its answer is known, and polling again after each;
/// then [`Peering::output`] is written and drained. [`Peering::send`], [`Peering::verify`],
/// [`Peering::add_pair`], [`Peering::answer_dialback`] and [`Peering::close`] come any time.
/// How long a peer may take is the caller's to say.
pub struct Peering {
    pub(crate) settings: Arc<PeerSettings>,
    pub(crate) is_initiator: bool,
    pub(crate) is_tls: bool,
    /// The domain of ours that the stream is for; empty until a receiver knows it.
    pub(crate) local: String,
    /// The domain of the peer, as it says in its header until it is proved.
    pub(crate) remote: Option<String>,
    /// The name that the receiver gave the stream.
    pub(crate) stream_id: String,
    pub(crate) declares_dialback: bool,
    pub(crate) stage: Stage,
    pub(crate) question: Option<Question>,
    /// Receiver: what the peer is offered.
    pub(crate) offer: Offer,
    /// Initiator: what the peer offers.
    pub(crate) offered: Offered,
    pub(crate) login: Login,
    pub(crate) failures: u8,
    pub(crate) asked: u8,
    extensions: u8,
    pub(crate) is_bidi: bool,
    pub(crate) pairs: Pairs,
    pub(crate) verifying: Vec<Verifying>,
    pub(crate) counts: Counts,
    pub(crate) enabling: Enabling,
    /// What is said when acknowledgements are settled.
    pub(crate) held: VecDeque<PeerEvent>,
    pub(crate) events: VecDeque<PeerEvent>,
    pub(crate) wire: Wire,
}

impl fmt::Debug for Peering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who knows the seed or what waits knows keys.
        f.debug_struct("Peering")
            .field("is_initiator", &self.is_initiator)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The header of the peer comes next.
    Header,
    /// Initiator: features come next.
    Features,
    /// In clear, STARTTLS or its answer comes next.
    Clear,
    /// Over TLS. What passes depends on which pairs are authenticated.
    Open,
    /// Our side is closed, nothing is written any more. What the peer sends until it closes its own
    /// is still heard: nobody else would get it.
    Closing,
    /// Nothing is read any more.
    Over,
}

/// How far SASL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    No,
    /// The other side has to say something.
    Asked,
    Done,
}

/// Initiator: how far acknowledgements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enabling {
    Not,
    Asked,
    Settled,
}

/// What the stream waits for before it reads on.
#[derive(Debug)]
pub(crate) enum Question {
    Tls,
    Opened,
    Offered,
    External { remote: String },
    Extension,
}

impl Peering {
    /// Returns a stream at its beginning; an initiator's header is in the output at once.
    ///
    /// `is_tls`: whether the connection began with TLS. `chance` must be unpredictable and new
    /// each time.
    #[must_use]
    pub fn new(settings: Arc<PeerSettings>, role: Role, is_tls: bool, chance: [u8; 32]) -> Self {
        let (is_initiator, local, remote) = match role {
            Role::Initiator { local, remote } => (true, local, Some(remote)),
            Role::Receiver => (false, String::new(), None),
        };
        let mut stream = Self {
            settings,
            is_initiator,
            is_tls,
            local,
            remote,
            stream_id: String::new(),
            declares_dialback: false,
            stage: Stage::Header,
            question: None,
            offer: Offer::default(),
            offered: Offered::default(),
            login: Login::No,
            failures: 0,
            asked: 0,
            extensions: 0,
            is_bidi: false,
            pairs: Pairs::default(),
            verifying: Vec::new(),
            counts: Counts::default(),
            enabling: Enabling::Not,
            held: VecDeque::new(),
            events: VecDeque::new(),
            wire: Wire::new(ns::SERVER, chance),
        };
        if is_initiator {
            stream.write_initial_header();
        }
        stream
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
    pub fn poll(&mut self) -> Option<PeerEvent> {
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
                Err(error) => self.take_broken(error),
            }
        }
    }

    /// Something came that cannot be read.
    fn take_broken(&mut self, error: StreamError) {
        match self.wire.skip(&["from", "to", "id", "type"]) {
            Some(left) => self.take_refused(left.root()),
            None => self.fail(error),
        }
    }

    /// Returns the bytes to write; the caller takes them out.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.wire.output
    }

    /// Tells whether nothing more is read or written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Goes on over TLS, after [`PeerEvent::StartTls`].
    pub fn secured(&mut self) {
        if matches!(self.question, Some(Question::Tls)) {
            self.question = None;
            self.is_tls = true;
            self.stage = Stage::Header;
            self.wire.start_anew();
            if self.is_initiator {
                self.write_initial_header();
            }
        }
    }

    /// Answers [`PeerEvent::Opened`]. To refuse the peer, [`Peering::close`] instead.
    pub fn answer_opened(&mut self, offer: Offer) {
        if !matches!(self.question, Some(Question::Opened)) {
            return;
        }
        self.question = None;
        self.offer = offer;
        self.stage = Stage::Open;
        let features = features::before_login(&self.offer, &self.settings);
        self.wire.write_features(&features);
    }

    /// Answers [`PeerEvent::Offered`].
    pub fn answer_offered(&mut self, choice: Choice) {
        if !matches!(self.question, Some(Question::Offered)) {
            return;
        }
        self.question = None;
        match choice {
            Choice::External { bidi } => {
                self.ask_bidi(bidi);
                self.ask_external();
            }
            Choice::Dialback { bidi } => {
                self.ask_bidi(bidi);
                let (local, remote) = (self.local.clone(), self.remote.clone());
                self.add_pair(&local, &remote.unwrap_or_default());
            }
            Choice::Extension { element, bidi } => {
                self.ask_bidi(bidi);
                self.wire.write_element(&element);
            }
            Choice::Nothing => {}
            Choice::Refuse(error) => self.close(Some(error)),
        }
    }

    /// Answers [`PeerEvent::Extension`], with an element of ours first where there is one.
    pub fn answer_extension(&mut self, reply: Option<Element>, meaning: Extended) {
        if !matches!(self.question, Some(Question::Extension)) {
            return;
        }
        self.question = None;
        if let Some(reply) = reply {
            self.wire.write_element(&reply);
        }
        match (meaning, self.remote.clone()) {
            (Extended::Refused(error), _) => self.close(Some(error)),
            (Extended::Proved, Some(remote)) => {
                let local = self.local.clone();
                self.prove(&local, &remote, How::Extension);
            }
            // Nobody was proved who did not say who it is.
            (Extended::Proved, None) => self.fail(StreamError::NotAuthorized),
            (Extended::Again, _) if self.is_initiator => self.ask_how(),
            (Extended::Again, _) => {}
        }
    }

    /// Closes the stream, with an error where there is one. Without an error, stanzas of a peer that
    /// is authenticated are heard until it closes its side too (RFC 6120 §4.4).
    pub fn close(&mut self, error: Option<StreamError>) {
        match (self.stage, error) {
            (Stage::Over, _) | (Stage::Closing, None) => {}
            (Stage::Closing, Some(_)) => self.end(),
            (stage, None) => {
                self.wire.write_close();
                self.end();
                if stage == Stage::Open && !self.pairs.is_empty() {
                    self.stage = Stage::Closing;
                }
            }
            (_, Some(error)) => {
                self.write_error(error, None);
                self.end();
            }
        }
    }

    pub(crate) fn end(&mut self) {
        self.stage = Stage::Over;
        self.question = None;
        self.held.clear();
    }

    fn take(&mut self, item: Item) {
        if self.stage == Stage::Closing {
            return self.take_late(item);
        }
        match item {
            Item::Open(header) => self.open(&header),
            Item::Close => {
                self.wire.write_close();
                self.end();
                self.say(PeerEvent::Closed);
            }
            Item::Element(flat) if flat.root().is(ns::STREAMS, "error") => {
                self.take_error(flat.root());
            }
            Item::Element(flat) => match self.stage {
                Stage::Features => self.take_features(flat.root()),
                Stage::Clear => self.take_clear(flat.root()),
                _ => self.take_open(flat),
            },
        }
    }

    /// Initiator: features came, and nothing else may.
    fn take_features(&mut self, root: Node<'_>) {
        let is_features = root.is(ns::STREAMS, "features");
        if !self.is_tls {
            // Without TLS nothing goes on, whoever removed it.
            if !is_features || !root.has_child(ns::TLS, "starttls") {
                let error = StreamError::PolicyViolation;
                return self.fail_as(error, PeerFailure::NoTls, None);
            }
            self.stage = Stage::Clear;
            return self.wire.write_element(&Element::new(ns::TLS, "starttls"));
        }
        if !is_features {
            return self.fail(StreamError::NotAuthorized);
        }
        self.stage = Stage::Open;
        let refused = self.offered.refused.take();
        let offered = features::read(root, self.declares_dialback);
        self.offered = Offered { refused, ..offered };
        match (self.login, self.remote.clone()) {
            (Login::Done, Some(remote)) => {
                let local = self.local.clone();
                self.prove(&local, &remote, How::External);
            }
            _ => self.ask_how(),
        }
    }

    /// In clear: STARTTLS for a receiver, its answer for an initiator.
    fn take_clear(&mut self, root: Node<'_>) {
        let (is_tls, name) = (root.ns() == ns::TLS, root.name());
        match (self.is_initiator, name) {
            (true, "proceed") if is_tls => {}
            (true, _) => {
                let error = StreamError::PolicyViolation;
                return self.fail_as(error, PeerFailure::NoTls, None);
            }
            (false, "starttls") if is_tls => {}
            (false, _) => return self.fail(StreamError::PolicyViolation),
        }
        // RFC 6120 §5.4.3.3. What came behind it came from who knows whom.
        if !self.wire.is_empty() {
            let error = StreamError::PolicyViolation;
            return self.fail_as(error, PeerFailure::Injected, None);
        }
        if !self.is_initiator {
            self.wire.write_element(&Element::new(ns::TLS, "proceed"));
        }
        self.ask(Question::Tls, PeerEvent::StartTls);
    }

    /// Over TLS, after the features.
    fn take_open(&mut self, flat: Flat) {
        let root = flat.root();
        match (root.ns(), root.name()) {
            (ns::SASL, _) => self.take_sasl(root),
            (ns::DIALBACK, _) => self.take_dialback(root),
            (ns::SM, _) => self.take_sm(root),
            (ns::CLIENT, _) => self.take_stanza(flat),
            (ns::BIDI, "bidi") if self.offer.bidi && self.pairs.is_empty() => self.is_bidi = true,
            _ if !self.pairs.is_empty() => self.fail(StreamError::UnsupportedStanzaType),
            (ns, _) if ns.starts_with(OWN) && self.login == Login::No => self.take_extension(flat),
            _ => self.fail(StreamError::NotAuthorized),
        }
    }

    fn take_extension(&mut self, flat: Flat) {
        self.extensions = self.extensions.saturating_add(1);
        if self.extensions > EXTENSIONS_MAX {
            return self.fail(StreamError::PolicyViolation);
        }
        self.ask(Question::Extension, PeerEvent::Extension(flat));
    }

    fn take_error(&mut self, root: Node<'_>) {
        let named = root.children().filter(|child| child.ns() == ns::STREAM_ERRORS);
        let condition = named.filter_map(|child| StreamError::of(child.name())).next();
        let text = root.child_text(ns::STREAM_ERRORS, "text");
        let text = text.map(|text| text.chars().take(TEXT_CHARS_MAX).collect());
        self.wire.write_close();
        self.end();
        self.say(PeerEvent::Ended(Received { condition, text }));
    }

    fn ask_how(&mut self) {
        self.ask(Question::Offered, PeerEvent::Offered(self.offered.clone()));
    }

    fn ask_bidi(&mut self, is_wanted: bool) {
        if is_wanted && self.offered.bidi && !self.is_bidi {
            self.wire.write_element(&Element::new(ns::BIDI, "bidi"));
            self.is_bidi = true;
        }
    }

    /// A pair is authenticated.
    pub(crate) fn prove(&mut self, local: &str, remote: &str, how: How) {
        self.pairs.prove(local, remote);
        self.wire.end_login_limits(self.settings.stanza_bytes);
        if self.is_initiator {
            self.enable_acks();
        }
        let event = self.authenticated(local, remote, how);
        if self.enabling == Enabling::Asked {
            self.held.push_back(event);
        } else {
            self.say(event);
        }
    }

    pub(crate) fn authenticated(&self, local: &str, remote: &str, how: How) -> PeerEvent {
        let (local, remote) = (local.to_owned(), remote.to_owned());
        PeerEvent::Authenticated { local, remote, how, is_bidi: self.is_bidi }
    }

    /// Tells whether a domain is served here.
    pub(crate) fn is_ours(&self, domain: &str) -> bool {
        self.settings.domains.iter().any(|ours| ours == domain)
    }

    pub(crate) fn fail(&mut self, error: StreamError) {
        self.fail_as(error, PeerFailure::Protocol, None);
    }

    pub(crate) fn fail_as(
        &mut self,
        error: StreamError,
        failure: PeerFailure,
        detail: Option<&Element>,
    ) {
        match self.stage {
            Stage::Over => return,
            Stage::Closing => {}
            _ => self.write_error(error, detail),
        }
        self.end();
        self.say(PeerEvent::Failed(error, failure));
    }

    fn write_error(&mut self, error: StreamError, detail: Option<&Element>) {
        if !self.wire.is_open() {
            // RFC 6120 §4.9.1.2. An error before the header follows a header of ours.
            self.write_response_header(&Header::default());
        }
        self.wire.write_error(error, detail);
    }

    pub(crate) fn say(&mut self, event: PeerEvent) {
        self.events.push_back(event);
    }

    pub(crate) fn ask(&mut self, question: Question, event: PeerEvent) {
        self.question = Some(question);
        self.say(event);
    }
}
