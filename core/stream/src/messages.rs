//! A stream whose elements come and go one by one, each a message of its own: RFC 7395, XEP-0206.

use std::collections::VecDeque;

use xml::{Flat, Header, Item, Limits, Node, XmlError};
use xmpp::ns;

use crate::wire::BEFORE_LOGIN;

/// What may wait beyond the longest message, in bytes.
const MORE_BYTES_MAX: usize = 65_536;

/// Something to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The stream is opened: `<open/>` (RFC 7395 §3.3).
    Open(String),
    /// An element that says its own namespaces.
    Element(String),
    /// The stream is closed: `<close/>`.
    Close(String),
}

impl Message {
    /// Returns its text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Open(text) | Self::Element(text) | Self::Close(text) => text,
        }
    }
}

/// Both directions.
pub(crate) struct Messages {
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    pub(crate) limits: Limits,
    /// Whether nothing but a header may come.
    is_closed: bool,
    unsent: VecDeque<Message>,
    unsent_bytes: usize,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            limits: BEFORE_LOGIN,
            is_closed: true,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
        }
    }
}

impl Messages {
    pub(crate) fn push(&mut self, text: String) -> Result<(), XmlError> {
        let bound = self.limits.stanza_bytes.saturating_add(MORE_BYTES_MAX);
        self.waiting_bytes = self.waiting_bytes.saturating_add(text.len());
        if self.waiting_bytes > bound {
            return Err(XmlError::Limit("what waits"));
        }
        self.waiting.push_back(text);
        Ok(())
    }

    pub(crate) fn next(&mut self) -> Result<Option<Item>, XmlError> {
        let Some(text) = self.waiting.pop_front() else { return Ok(None) };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(text.len());
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        // RFC 7395 §3.3.3. Each says its namespace, and who does not can only mean this one.
        let flat = Flat::parse_message(&text, ns::CLIENT, &self.limits)?;
        let root = flat.root();
        let item = match (root.ns(), root.name()) {
            (ns::FRAMING, "open") if self.is_closed => {
                self.is_closed = false;
                Item::Open(Box::new(header(root)))
            }
            (ns::FRAMING, "close") => Item::Close,
            _ if self.is_closed => return Err(XmlError::NotWellFormed("no stream header")),
            (ns::FRAMING, _) => return Err(XmlError::NotWellFormed("a second stream header")),
            _ => Item::Element(flat),
        };
        Ok(Some(item))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Expects a new header.
    pub(crate) fn restart(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn send(&mut self, message: Message) {
        self.unsent_bytes = self.unsent_bytes.saturating_add(message.text().len());
        self.unsent.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.unsent.pop_front()?;
        self.unsent_bytes = self.unsent_bytes.saturating_sub(message.text().len());
        if self.unsent.is_empty() {
            self.unsent = VecDeque::new();
        }
        Some(message)
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent_bytes
    }
}

/// Reads `<open/>` as the header that it stands for.
fn header(open: Node<'_>) -> Header {
    let attr = |name| open.attr(name).map(std::borrow::Cow::into_owned);
    let lang = open.attr_in("http://www.w3.org/XML/1998/namespace", "lang");
    Header {
        name: "stream".to_owned(),
        ns: ns::STREAMS.to_owned(),
        default_ns: ns::CLIENT.to_owned(),
        from: attr("from"),
        to: attr("to"),
        version: attr("version"),
        lang: lang.map(std::borrow::Cow::into_owned),
        id: attr("id"),
        declared: Vec::new(),
    }
}
