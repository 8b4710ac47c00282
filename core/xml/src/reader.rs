//! The reader of one stream: bytes in, stanzas out.

use std::fmt;

use crate::XmlError::{Limit, Restricted, Utf8};
use crate::flatten::flatten;
use crate::frame::{Frame, Framer};
use crate::names::StreamNames;
use crate::{Element, Flat, Header, Limits, XmlError, header};

/// The most that may come on top of an unfinished stanza in one piece, in bytes.
const PIECE_BYTES_MAX: usize = 65_536;

/// Reads a stream piece by piece. Holds nothing while nothing is unfinished.
pub struct Reader {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that were used up.
    used: usize,
    limits: Limits,
    framer: Framer,
    names: Option<StreamNames>,
    read_as: Option<(&'static str, &'static str)>,
    is_tolerant: bool,
    /// Where the stanza stands that was refused for what is in it.
    refused: Option<(usize, usize)>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What waits may hold a password.
        f.debug_struct("Reader").field("buffered", &self.buffered()).finish_non_exhaustive()
    }
}

/// What a reader found.
#[derive(Clone, Debug)]
pub enum Item {
    /// The peer opened the stream.
    Open(Box<Header>),
    /// A stanza, or an element about the stream itself.
    Element(Flat),
    /// The peer closed the stream.
    Close,
}

impl Reader {
    /// Returns a reader that expects a header.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let framer = Framer::new();
        Self {
            buffer: Vec::new(),
            used: 0,
            limits,
            framer,
            names: None,
            read_as: None,
            is_tolerant: false,
            refused: None,
        }
    }

    /// Reads everything in the namespace `from` as if it were in `to`; headers stay as they are.
    ///
    /// The content of a stream between servers is that of a client in another namespace
    /// (RFC 6120 §4.8.3).
    #[must_use]
    pub fn reading(mut self, from: &'static str, to: &'static str) -> Self {
        self.read_as = Some((from, to));
        self
    }

    /// Changes the bounds, as after login.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Lets [`Reader::skip`] pass over stanzas from now on.
    pub fn tolerate(&mut self) {
        self.is_tolerant = true;
    }

    /// Passes over a stanza that [`Reader::next`] has just refused because it breaks a limit or a
    /// restriction, and returns what its start tag says of `attrs`.
    ///
    /// `None`: it cannot be passed over. Where it ends must be beyond doubt: it is well-formed and
    /// within [`Limits::stanza_bytes`]. This is for streams on which many speak.
    pub fn skip(&mut self, attrs: &[&str]) -> Option<Flat> {
        let (start, end) = self.refused.take()?;
        let text = self.buffer.get(self.used..)?.get(start..end)?;
        let tag = header::narrow(std::str::from_utf8(text).ok()?, attrs)?;
        let flattened = flatten(&tag, self.names.as_ref()?, &self.limits).ok()?;
        self.consume(end);
        Some(Flat::from_parts(flattened))
    }

    /// Takes bytes. Call [`Reader::next`] until it returns `None` before the next.
    ///
    /// # Errors
    ///
    /// [`XmlError::Limit`] when more waits than a stanza may have.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), XmlError> {
        let bound = self.limits.stanza_bytes.saturating_add(PIECE_BYTES_MAX);
        if self.buffered().saturating_add(bytes.len()) > bound {
            return Err(Limit("a stanza"));
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns the next item, `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// What the peer did wrong. The reader is of no use after that.
    #[expect(clippy::should_implement_trait, reason = "it fails, and goes on after `None`")]
    pub fn next(&mut self) -> Result<Option<Item>, XmlError> {
        let item = if self.names.is_none() { self.open() } else { self.element() };
        if self.used == self.buffer.len() {
            self.buffer = Vec::new();
            self.used = 0;
        }
        item
    }

    fn open(&mut self) -> Result<Option<Item>, XmlError> {
        let waiting = self.buffer.get(self.used..).unwrap_or_default();
        let Some(end) = header::end(waiting)? else {
            return if waiting.len() > self.limits.tag_bytes {
                Err(Limit("the stream header"))
            } else {
                Ok(None)
            };
        };
        if end > self.limits.tag_bytes {
            return Err(Limit("the stream header"));
        }
        let (header, names) = header::read(waiting.get(..end).unwrap_or_default(), &self.limits)?;
        self.names = Some(StreamNames { read_as: self.read_as, ..names });
        self.consume(end);
        Ok(Some(Item::Open(Box::new(header))))
    }

    fn element(&mut self) -> Result<Option<Item>, XmlError> {
        let waiting = self.buffer.get(self.used..).unwrap_or_default();
        let mut limits = self.limits;
        if self.is_tolerant {
            (limits.depth, limits.tag_bytes) = (usize::MAX, usize::MAX);
        }
        let (start, end) = match self.framer.scan(waiting, &limits)? {
            Frame::More => {
                if self.framer.is_between() {
                    self.consume(self.framer.scanned());
                }
                return Ok(None);
            }
            Frame::Close { end } => {
                self.consume(end);
                return Ok(Some(Item::Close));
            }
            Frame::Stanza { start, end } => (start, end),
        };
        let text = waiting.get(start..end).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| Utf8)?;
        let read = self.read(text);
        if self.is_tolerant && matches!(read, Err(Limit(_) | Restricted(_))) {
            self.refused = Some((start, end));
        }
        let flat = read?;
        self.consume(end);
        Ok(flat.map(Item::Element))
    }

    fn read(&self, text: &str) -> Result<Option<Flat>, XmlError> {
        let Some(names) = &self.names else { return Ok(None) };
        let mut flattened = flatten(text, names, &self.limits)?;
        if flattened.needs_stream {
            // Elsewhere nobody knows what this stream means.
            let element = Element::from_node(Flat::from_parts(flattened).root());
            let own = StreamNames::of_default(names.read(&names.default));
            // What it says anew may make it longer, which is not the fault of who wrote it.
            flattened = flatten(&element.to_xml(&own.default), &own, &Limits::ours())?;
        }
        Ok(Some(Flat::from_parts(flattened)))
    }

    fn consume(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
        self.framer.dropped(bytes);
    }

    /// Tells whether nothing waits: what STARTTLS requires (RFC 6120 §5.4.3.3).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffered() == 0
    }

    /// Returns how many bytes wait.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len().saturating_sub(self.used)
    }

    /// Expects a new header, as after SASL. What waits is kept.
    pub fn restart(&mut self) {
        self.names = None;
        self.framer = Framer::new();
        self.buffer.drain(..self.used);
        self.used = 0;
    }
}
