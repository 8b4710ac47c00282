//! What all streams do alike: pieces in; headers, elements, errors and the end out.

use memchr::memmem;
use xml::{Element, Flat, Header, Item, Limits, Node, Reader, XmlError, escape_attr};
use xmpp::{Stanza, StreamError, ns};

use crate::messages::{Message, Messages};

/// What a peer may send before it is authenticated.
pub(crate) const BEFORE_LOGIN: Limits = Limits::before_login();

/// Both directions of one stream.
pub(crate) struct Wire {
    source: Source,
    pub(crate) output: Vec<u8>,
    /// The namespace of stanzas: `jabber:client`, `jabber:server` or that of components.
    content: &'static str,
    is_open: bool,
    /// Whether our header was written on this connection before.
    is_declared: bool,
    chance: [u8; 32],
    drawn: u64,
}

/// How one thing that is said is told from the next.
#[expect(clippy::large_enum_variant, reason = "most are of the large kind")]
enum Source {
    /// By the XML: all is one document.
    Stream(Reader),
    /// By who carries it.
    Messages(Box<Messages>),
}

/// Who speaks to whom in a header of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) from: &'a str,
    pub(crate) to: Option<&'a str>,
}

impl Wire {
    /// Returns a wire that expects a header. `chance` must be unpredictable and new each time.
    pub(crate) fn new(content: &'static str, chance: [u8; 32]) -> Self {
        Self::with(Source::Stream(new_reader(content)), content, chance)
    }

    /// Returns the wire of a client whose elements come and go one by one.
    pub(crate) fn of_messages(chance: [u8; 32]) -> Self {
        Self::with(Source::Messages(Box::default()), ns::CLIENT, chance)
    }

    fn with(source: Source, content: &'static str, chance: [u8; 32]) -> Self {
        let output = Vec::new();
        Self { source, output, content, is_open: false, is_declared: false, chance, drawn: 0 }
    }

    /// Takes bytes that came.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        match &mut self.source {
            Source::Stream(reader) => reader.push(bytes).map_err(condition),
            Source::Messages(_) => Err(StreamError::BadFormat),
        }
    }

    /// Takes a message that came.
    pub(crate) fn push_message(&mut self, text: String) -> Result<(), StreamError> {
        match &mut self.source {
            Source::Stream(_) => Err(StreamError::BadFormat),
            Source::Messages(messages) => messages.push(text).map_err(condition),
        }
    }

    /// Returns what came next.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, StreamError> {
        match &mut self.source {
            Source::Stream(reader) => reader.next().map_err(condition),
            Source::Messages(messages) => messages.next().map_err(condition),
        }
    }

    /// Takes the oldest message that is to be sent.
    pub(crate) fn next_message(&mut self) -> Option<Message> {
        match &mut self.source {
            Source::Stream(_) => None,
            Source::Messages(messages) => messages.pop(),
        }
    }

    /// Returns how many bytes are to be written.
    pub(crate) fn unwritten(&self) -> usize {
        match &self.source {
            Source::Stream(_) => self.output.len(),
            Source::Messages(messages) => messages.unsent(),
        }
    }

    /// Returns how long a message may be, in bytes.
    pub(crate) fn message_bytes_max(&self) -> usize {
        match &self.source {
            Source::Stream(_) => 0,
            Source::Messages(messages) => messages.limits.stanza_bytes,
        }
    }

    /// Tells whether nothing waits: what STARTTLS requires (RFC 6120 §5.4.3.3).
    pub(crate) fn is_empty(&self) -> bool {
        match &self.source {
            Source::Stream(reader) => reader.is_empty(),
            Source::Messages(messages) => messages.is_empty(),
        }
    }

    /// Tells whether our header was written.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// After TLS: what was heard before counts for nothing.
    pub(crate) fn start_anew(&mut self) {
        self.source = Source::Stream(new_reader(self.content));
        self.is_open = false;
    }

    /// After SASL: a new header, a new id.
    pub(crate) fn expect_restart(&mut self) {
        match &mut self.source {
            Source::Stream(reader) => reader.restart(),
            Source::Messages(messages) => messages.restart(),
        }
        self.is_open = false;
    }

    /// Passes over a stanza that was refused, where that is possible, and returns what is left of
    /// it: its start tag with these attributes.
    pub(crate) fn skip(&mut self, attrs: &[&str]) -> Option<Flat> {
        match &mut self.source {
            Source::Stream(reader) => reader.skip(attrs),
            Source::Messages(_) => None,
        }
    }

    /// The peer is known now and may send larger stanzas.
    pub(crate) fn end_login_limits(&mut self, stanza_bytes: usize) {
        let stanza_bytes = stanza_bytes.max(BEFORE_LOGIN.stanza_bytes);
        let limits = Limits { stanza_bytes, ..Limits::client() };
        match &mut self.source {
            Source::Messages(messages) => messages.limits = limits,
            Source::Stream(reader) if self.content == ns::CLIENT => reader.set_limits(limits),
            // A server speaks for many, who are not cut off for what one of them wrote.
            Source::Stream(reader) => {
                reader.set_limits(Limits::server(stanza_bytes));
                reader.tolerate();
            }
        }
    }

    pub(crate) fn write_header(&mut self, opening: Opening<'_>) {
        self.is_open = true;
        if let Source::Messages(messages) = &mut self.source {
            let text = format!(
                "<open xmlns='{}' version='1.0' xml:lang='en'{}/>",
                ns::FRAMING,
                opening.attrs()
            );
            return messages.send(Message::Open(text));
        }
        let mut text = String::new();
        // RFC 6120 §11.5 wants a declaration, but there are servers that take the one of a stream
        // that begins anew for a fault. Between servers the first on a connection has to do.
        if !self.is_declared || self.content != ns::SERVER {
            text.push_str("<?xml version='1.0'?>");
            self.is_declared = true;
        }
        text.push_str("<stream:stream xmlns='");
        text.push_str(self.content);
        text.push_str("' xmlns:stream='http://etherx.jabber.org/streams'");
        if self.content == ns::SERVER {
            text.extend([" xmlns:db='", ns::DIALBACK, "'"]);
        }
        // Components know no features, which the version would promise.
        if self.content != ns::COMPONENT {
            text.push_str(" version='1.0' xml:lang='en'");
        }
        text.push_str(&opening.attrs());
        text.push('>');
        self.write(&text);
    }

    pub(crate) fn write_features(&mut self, features: &Element) {
        let xml = features.to_xml(ns::STREAMS);
        // The header declared the prefix; children say their own namespaces.
        let inside = xml.strip_prefix("<features>").and_then(|x| x.strip_suffix("</features>"));
        self.write_of_stream("features", inside.unwrap_or(""));
    }

    /// Writes an element that has the prefix of the header.
    fn write_of_stream(&mut self, name: &str, inside: &str) {
        match &mut self.source {
            Source::Stream(_) => {
                self.write(&format!("<stream:{name}>{inside}</stream:{name}>"));
            }
            Source::Messages(messages) => messages.send(Message::Element(format!(
                "<stream:{name} xmlns:stream='{}'>{inside}</stream:{name}>",
                ns::STREAMS
            ))),
        }
    }

    pub(crate) fn write_element(&mut self, element: &Element) {
        match &mut self.source {
            Source::Stream(_) => self.write(&element.to_xml(self.content)),
            Source::Messages(messages) => messages.send(Message::Element(element.to_xml(""))),
        }
    }

    pub(crate) fn write_stanza(&mut self, stanza: &Stanza) {
        match &mut self.source {
            Source::Stream(_) => self.write(&stanza.to_xml()),
            Source::Messages(messages) => {
                messages.send(Message::Element(stanza.to_forwarded_xml()));
            }
        }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Writes an error and the end. Our header must have been written.
    pub(crate) fn write_error(&mut self, error: StreamError, detail: Option<&Element>) {
        let mut text = String::new();
        Element::new(ns::STREAM_ERRORS, error.name()).write(&mut text, self.content);
        if let Some(detail) = detail {
            detail.write(&mut text, self.content);
        }
        self.write_of_stream("error", &text);
        self.write_end();
    }

    pub(crate) fn write_close(&mut self) {
        if self.is_open {
            self.write_end();
        }
    }

    fn write_end(&mut self) {
        match &mut self.source {
            Source::Stream(_) => self.write("</stream:stream>"),
            Source::Messages(messages) => {
                messages.send(Message::Close(format!("<close xmlns='{}'/>", ns::FRAMING)));
            }
        }
    }

    /// Draws bytes that nobody can foresee who does not know the seed.
    pub(crate) fn draw(&mut self, bytes: usize) -> Vec<u8> {
        self.drawn = self.drawn.wrapping_add(1);
        let block = crypto::keyed_hash(&self.chance, &self.drawn.to_le_bytes());
        block.into_iter().take(bytes).collect()
    }

    /// Draws the name of a stream.
    pub(crate) fn draw_id(&mut self) -> String {
        self.draw(12).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Opening<'_> {
    fn attrs(&self) -> String {
        let mut text = String::new();
        let from = Some(self.from);
        for (name, value) in [(" id='", self.id), (" from='", from), (" to='", self.to)] {
            if let Some(value) = value {
                text.push_str(name);
                escape_attr(value, &mut text);
                text.push('\'');
            }
        }
        text
    }
}

/// Tells whether the peer speaks XMPP 1.0. Who speaks a newer version is answered with ours
/// (RFC 6120 §4.7.5).
pub(crate) fn is_version_1(header: &Header) -> bool {
    let major = header.version.as_deref().and_then(|version| version.split('.').next());
    major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 1)
}

/// Returns what is left of a stanza that cannot be passed on: its kind, id and type, so that its sender
/// can be answered.
pub(crate) fn remains(root: Node<'_>) -> Option<Stanza> {
    let mut copy = Element::new(ns::CLIENT, root.name());
    for name in ["id", "type"] {
        if let Some(value) = root.attr(name) {
            copy.push_attr(name, &value);
        }
    }
    Stanza::from_element(&copy).ok()
}

/// Writes a stanza as it goes out over a stream whose stanzas are in the namespace `content`.
pub(crate) fn outside(stanza: &Stanza, content: &str) -> Option<String> {
    let xml = stanza.to_xml();
    // Where nothing names the namespace, the stream says which it is.
    if memmem::find(xml.as_bytes(), ns::CLIENT.as_bytes()).is_none() {
        return Some(xml);
    }
    let mut element = Element::from_node(Flat::parse_ours(&xml, ns::CLIENT).ok()?.root());
    element.rename_ns(ns::CLIENT, content);
    Some(element.to_xml(content))
}

fn new_reader(content: &'static str) -> Reader {
    let reader = Reader::new(BEFORE_LOGIN);
    if content == ns::CLIENT { reader } else { reader.reading(content, ns::CLIENT) }
}

fn condition(error: XmlError) -> StreamError {
    match error {
        XmlError::NotWellFormed(_) | XmlError::Incomplete => StreamError::NotWellFormed,
        XmlError::Restricted(_) => StreamError::RestrictedXml,
        XmlError::BadNamespacePrefix => StreamError::BadNamespacePrefix,
        XmlError::Limit(_) => StreamError::PolicyViolation,
        XmlError::Utf8 => StreamError::UnsupportedEncoding,
    }
}
