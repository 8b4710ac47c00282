//! The stream of a component (XEP-0114): a program beside the server, such as a bridge to another
//! network, that speaks for a whole domain.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crypto::{Hash, Secret, digest, equal};
use xml::{Flat, Header, Item, Node};
use xmpp::{Jid, Kind, Stanza, StanzaError, StreamError, ns};

use crate::s2s::nearest;
use crate::wire::{Opening, Wire, remains};

/// Which components there may be.
#[derive(Debug, Default)]
pub struct ComponentSettings {
    /// Their domains, each with the secret that it shares with us.
    pub components: Vec<(String, Secret)>,
    /// The largest stanza in bytes.
    pub stanza_bytes: usize,
}

/// What happened on the stream.
#[derive(Debug)]
pub enum ComponentEvent {
    /// It proved this domain. The stream waits for [`ComponentStream::accept`], or for
    /// [`ComponentStream::close`] with why it is not wanted.
    Proved(String),
    /// It sent a stanza from its domain.
    Stanza(Stanza),
    /// It sent a stanza that cannot be passed on, and is told why, where that can be answered.
    Malformed(Stanza, StanzaError),
    /// It ended the stream, or has to.
    Closed,
}

/// How far the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Handshake,
    /// The caller has to say whether it is wanted.
    Proved,
    Open,
    Over,
}

/// One connection of a component.
///
/// Bytes that came go to [`ComponentStream::feed`]; then [`ComponentStream::poll`] until `None`; then
/// [`ComponentStream::output`] is written and drained. How long it may take is the caller's to say.
pub struct ComponentStream {
    settings: Arc<ComponentSettings>,
    stage: Stage,
    /// What it says to be, proved from [`Stage::Proved`] on.
    domain: String,
    id: String,
    events: VecDeque<ComponentEvent>,
    wire: Wire,
}

impl fmt::Debug for ComponentStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentStream").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl ComponentStream {
    /// Returns a stream at its beginning. `chance` must be unpredictable and new each time.
    #[must_use]
    pub fn new(settings: Arc<ComponentSettings>, chance: [u8; 32]) -> Self {
        Self {
            settings,
            stage: Stage::Header,
            domain: String::new(),
            id: String::new(),
            events: VecDeque::new(),
            wire: Wire::new(ns::COMPONENT, chance),
        }
    }

    /// Takes bytes that came. Too many end the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.stage == Stage::Over {
            return;
        }
        if let Err(error) = self.wire.push(bytes) {
            self.fail(error);
        }
    }

    /// Returns the next event, `None` when more bytes or an answer are needed.
    pub fn poll(&mut self) -> Option<ComponentEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if matches!(self.stage, Stage::Proved | Stage::Over) {
                return None;
            }
            match self.wire.next() {
                Ok(Some(item)) => self.take(item),
                Ok(None) => return None,
                Err(error) => match self.wire.skip(&["from", "to", "id", "type"]) {
                    Some(left) => self.bounce(left.root(), StanzaError::POLICY_VIOLATION),
                    None => self.fail(error),
                },
            }
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

    /// Answers [`ComponentEvent::Proved`]: it is connected from here on.
    pub fn accept(&mut self) {
        if self.stage == Stage::Proved {
            self.stage = Stage::Open;
            self.wire.end_login_limits(self.settings.stanza_bytes);
            self.wire.write("<handshake/>");
        }
    }

    /// Writes a stanza for an address at its domain. `false`: it is not connected.
    pub fn send(&mut self, stanza: &Stanza) -> bool {
        let outside = crate::wire::outside(stanza, ns::COMPONENT);
        match outside.filter(|_| self.stage == Stage::Open) {
            Some(xml) => self.wire.write(&xml),
            None => return false,
        }
        true
    }

    /// Ends the stream, with an error where there is one.
    pub fn close(&mut self, error: Option<StreamError>) {
        match (self.stage, error) {
            (Stage::Over, _) => return,
            (_, None) => self.wire.write_close(),
            (_, Some(error)) => {
                if !self.wire.is_open() {
                    self.write_header();
                }
                self.wire.write_error(error, None);
            }
        }
        self.stage = Stage::Over;
    }

    fn fail(&mut self, error: StreamError) {
        self.close(Some(error));
        self.events.push_back(ComponentEvent::Closed);
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Open(header) => self.open(&header),
            Item::Close => {
                self.close(None);
                self.events.push_back(ComponentEvent::Closed);
            }
            Item::Element(flat) if flat.root().is(ns::STREAMS, "error") => {
                self.close(None);
                self.events.push_back(ComponentEvent::Closed);
            }
            Item::Element(flat) if self.stage == Stage::Open => self.take_stanza(flat),
            Item::Element(flat) => self.shake(flat.root()),
        }
    }

    /// XEP-0114 §3: a domain that is not served is refused at once.
    fn open(&mut self, header: &Header) {
        let to = header.to.as_deref().and_then(|to| Jid::parse(to).ok());
        self.domain = to.map(|to| to.as_str().to_owned()).unwrap_or_default();
        self.id = self.wire.draw_id();
        self.write_header();
        if header.ns != ns::STREAMS || header.default_ns != ns::COMPONENT {
            return self.fail(StreamError::InvalidNamespace);
        }
        if header.name != "stream" {
            return self.fail(StreamError::BadFormat);
        }
        if self.secret().is_none() {
            return self.fail(StreamError::HostUnknown);
        }
        self.stage = Stage::Handshake;
    }

    fn write_header(&mut self) {
        let opening = Opening { id: Some(&self.id), from: &self.domain, to: None };
        self.wire.write_header(opening);
    }

    fn secret(&self) -> Option<&Secret> {
        let known = self.settings.components.iter().find(|(domain, _)| *domain == self.domain);
        known.map(|(_, secret)| secret)
    }

    /// §3: the hash of the name of the stream and the secret, in lower-case digits.
    fn shake(&mut self, root: Node<'_>) {
        // The reader takes its namespace for that of clients.
        if !root.is(ns::CLIENT, "handshake") {
            return self.fail(StreamError::NotAuthorized);
        }
        let Some(secret) = self.secret() else { return self.fail(StreamError::HostUnknown) };
        let both = [self.id.as_bytes(), secret.expose()].concat();
        let hash = digest(Hash::Sha1, &both);
        let expected: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        if !equal(root.text().trim().as_bytes(), expected.as_bytes()) {
            return self.fail(StreamError::NotAuthorized);
        }
        self.stage = Stage::Proved;
        self.events.push_back(ComponentEvent::Proved(self.domain.clone()));
    }

    /// §3: both addresses are there, and the sender's is at its domain.
    fn take_stanza(&mut self, flat: Flat) {
        let root = flat.root();
        if root.ns() != ns::CLIENT || Kind::of(root.name()).is_none() {
            return self.fail(StreamError::UnsupportedStanzaType);
        }
        if let Err(error) = self.check_addresses(root) {
            return self.fail(error);
        }
        match Stanza::read(flat.clone()) {
            Ok(stanza) => self.events.push_back(ComponentEvent::Stanza(stanza)),
            Err(error) => self.bounce(root, error),
        }
    }

    fn check_addresses(&self, root: Node<'_>) -> Result<(), StreamError> {
        let (Some(from), Some(_)) = (root.attr("from"), root.attr("to")) else {
            return Err(StreamError::ImproperAddressing);
        };
        // A nick that is no resource here is one person's; the stream is everybody's.
        match nearest(&from) {
            Some(from) if from.domain() == self.domain => Ok(()),
            _ => Err(StreamError::InvalidFrom),
        }
    }

    /// Hands on what is no stanza, so that its sender hears of it.
    fn bounce(&mut self, root: Node<'_>, error: StanzaError) {
        if self.stage != Stage::Open || Kind::of(root.name()).is_none() {
            return self.fail(StreamError::PolicyViolation);
        }
        if let Err(error) = self.check_addresses(root) {
            return self.fail(error);
        }
        let Some(mut stanza) = remains(root) else { return self.fail(StreamError::BadFormat) };
        stanza.from = root.attr("from").and_then(|from| nearest(&from));
        stanza.to = root.attr("to").and_then(|to| Jid::parse(&to).ok());
        self.events.push_back(ComponentEvent::Malformed(stanza, error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> ComponentStream {
        let settings = ComponentSettings {
            components: vec![("irc.example.org".to_owned(), Secret::new(b"hush".to_vec()))],
            stanza_bytes: 20_000,
        };
        ComponentStream::new(Arc::new(settings), [7; 32])
    }

    const HEADER: &str = "<stream:stream xmlns='jabber:component:accept' \
                          xmlns:stream='http://etherx.jabber.org/streams' to='irc.example.org'>";

    fn said(stream: &mut ComponentStream) -> String {
        String::from_utf8(std::mem::take(stream.output())).unwrap()
    }

    /// Opens a stream and proves the domain.
    fn connected() -> ComponentStream {
        let mut stream = stream();
        stream.feed(HEADER.as_bytes());
        assert!(stream.poll().is_none());
        let header = said(&mut stream);
        assert!(
            header.contains(" from='irc.example.org'") && !header.contains("version='1.0' xml")
        );
        let id = header.split(" id='").nth(1).unwrap().split('\'').next().unwrap();
        let hash = digest(Hash::Sha1, format!("{id}hush").as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        stream.feed(format!("<handshake>{hash}</handshake>").as_bytes());
        assert!(
            matches!(stream.poll(), Some(ComponentEvent::Proved(domain)) if domain == "irc.example.org")
        );
        assert!(stream.poll().is_none());
        stream.accept();
        assert_eq!(said(&mut stream), "<handshake/>");
        stream
    }

    #[track_caller]
    fn ends(mut stream: ComponentStream, input: &str, with: &str) {
        stream.feed(input.as_bytes());
        assert!(matches!(stream.poll(), Some(ComponentEvent::Closed)));
        let said = said(&mut stream);
        assert!(
            said.contains(&format!("<{with} xmlns=")) && said.ends_with("</stream:stream>"),
            "{said}"
        );
        assert!(stream.is_over());
    }

    #[test]
    fn a_nick_that_is_no_resource_ends_no_stream() {
        let mut stream = connected();
        let front = "<message to='b@example.org' from='room@irc.example.org/a\u{1f600}\u{e000}";
        stream.feed(format!("{front}'><body>x</body></message>").as_bytes());
        let event = stream.poll();
        assert!(
            matches!(&event, Some(ComponentEvent::Malformed(stanza, _)) if stanza
                .from.as_ref().is_some_and(|from| from.as_str() == "irc.example.org")),
            "{event:?}"
        );
        assert!(!stream.is_over());
    }

    #[test]
    fn passes_stanzas_both_ways() {
        let mut stream = connected();
        stream
            .feed(b"<message from='a@irc.example.org' to='b@example.org'><body>x</body></message>");
        let Some(ComponentEvent::Stanza(stanza)) = stream.poll() else { panic!("no stanza") };
        assert_eq!(stanza.kind, Kind::Message);
        assert!(stanza.view().child(ns::CLIENT, "body").is_some());
        let back = "<message from='b@example.org' to='a@irc.example.org'><body>y</body></message>";
        assert!(stream.send(&Stanza::parse(back).unwrap()));
        assert!(said(&mut stream).contains("<body>y</body>"));
        stream.feed(b"</stream:stream>");
        assert!(matches!(stream.poll(), Some(ComponentEvent::Closed)));
        assert_eq!(said(&mut stream), "</stream:stream>");
        assert!(!stream.send(&Stanza::parse(back).unwrap()));
    }

    #[test]
    fn refuses_strangers() {
        ends(stream(), &HEADER.replace("irc.", "web."), "host-unknown");
        ends(stream(), &HEADER.replace(" to='irc.example.org'", ""), "host-unknown");
        ends(stream(), &HEADER.replace(":accept", ":connect"), "invalid-namespace");
        ends(stream(), &format!("{HEADER}<handshake>00</handshake>"), "not-authorized");
        ends(stream(), &format!("{HEADER}<handshake/>"), "not-authorized");
        ends(
            stream(),
            &format!("{HEADER}<message from='a@irc.example.org' to='b@c'/>"),
            "not-authorized",
        );
        ends(stream(), "GET / HTTP/1.1\r\n\r\n", "not-well-formed");
        let flood = format!("{HEADER}<handshake>{}", "0".repeat(70_000));
        ends(stream(), &flood, "policy-violation");
    }

    #[test]
    fn speaks_for_its_domain_only() {
        ends(connected(), "<message from='a@example.org' to='b@example.org'/>", "invalid-from");
        ends(connected(), "<message from='@' to='b@example.org'/>", "invalid-from");
        ends(connected(), "<message from='a@irc.example.org'/>", "improper-addressing");
        ends(connected(), "<message to='b@example.org'/>", "improper-addressing");
        ends(
            connected(),
            "<iq xmlns='urn:x' from='a@irc.example.org' to='b@example.org'/>",
            "unsupported-stanza-type",
        );
        ends(connected(), "<handshake/>", "unsupported-stanza-type");
    }

    #[test]
    fn tells_what_cannot_be_passed_on() {
        let mut stream = connected();
        stream.feed(b"<iq from='a@irc.example.org' to='@' type='get' id='1'/>");
        assert!(matches!(stream.poll(), Some(ComponentEvent::Malformed(..))));
        let deep = format!("{}{}", "<a>".repeat(80), "</a>".repeat(80));
        let xml = "<message from='a@irc.example.org' to='b@example.org'>";
        stream.feed(format!("{xml}{deep}</message>").as_bytes());
        assert!(matches!(stream.poll(), Some(ComponentEvent::Malformed(..))));
        stream.feed(b"<message from='a@irc.example.org' to='b@example.org'/>");
        assert!(matches!(stream.poll(), Some(ComponentEvent::Stanza(_))));
        let large = "x".repeat(200_000);
        ends(stream, &format!("{xml}<body>{large}</body></message>"), "policy-violation");
    }
}
