//! Finding where a stanza ends, without looking at a byte twice.

use memchr::{memchr, memchr3, memmem};

use crate::XmlError::{Limit, NotWellFormed, Restricted};
use crate::{Limits, XmlError};

/// Positions in the buffer that the reader keeps; no bytes of its own.
#[derive(Clone, Debug)]
pub(crate) struct Framer {
    at: usize,
    first: usize,
    tag: usize,
    depth: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Open,
    Tag,
    Quote(u8),
    Bang,
    Cdata,
}

/// What the framer found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    More,
    Stanza { start: usize, end: usize },
    Close { end: usize },
}

impl Framer {
    pub(crate) fn new() -> Self {
        Self { at: 0, first: 0, tag: 0, depth: 0, state: State::Text }
    }

    /// Tells the framer that the reader dropped the bytes before `n`, all of them scanned.
    pub(crate) fn dropped(&mut self, n: usize) {
        self.at = self.at.saturating_sub(n);
        self.first = self.first.saturating_sub(n);
        self.tag = self.tag.saturating_sub(n);
    }

    /// Whether no stanza has begun.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Text && self.depth == 0
    }

    /// Returns how far white space between stanzas was scanned.
    pub(crate) fn scanned(&self) -> usize {
        self.at
    }

    pub(crate) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Frame, XmlError> {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let step = match self.state {
                State::Text => self.text(rest)?,
                State::Open => self.open(rest)?,
                State::Bang => self.bang(rest)?,
                State::Cdata => self.cdata(rest),
                State::Tag => match memchr3(b'>', b'"', b'\'', rest) {
                    None => self.wait(rest.len()),
                    Some(n) => {
                        self.at += n + 1;
                        match rest.get(n) {
                            Some(b'>') => match self.end_of_tag(bytes, limits)? {
                                Frame::More => true,
                                frame => return Ok(frame),
                            },
                            quote => {
                                self.state = State::Quote(quote.copied().unwrap_or(b'"'));
                                true
                            }
                        }
                    }
                },
                State::Quote(quote) => match memchr(quote, rest) {
                    None => self.wait(rest.len()),
                    Some(n) => {
                        self.at += n + 1;
                        self.state = State::Tag;
                        true
                    }
                },
            };
            if !step {
                return self.pause(limits);
            }
        }
    }

    /// Everything was scanned; checks how much waits.
    fn pause(&self, limits: &Limits) -> Result<Frame, XmlError> {
        if !self.is_between() && self.at - self.first > limits.stanza_bytes {
            return Err(Limit("a stanza"));
        }
        let in_tag = matches!(self.state, State::Tag | State::Quote(_));
        if in_tag && self.at - self.tag > limits.tag_bytes {
            return Err(Limit("a tag"));
        }
        Ok(Frame::More)
    }

    fn wait(&mut self, scanned: usize) -> bool {
        self.at += scanned;
        false
    }

    fn text(&mut self, rest: &[u8]) -> Result<bool, XmlError> {
        let tag = if self.depth == 0 {
            let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            match rest.iter().position(|byte| !is_space(byte)) {
                None => return Ok(self.wait(rest.len())),
                Some(n) if rest.get(n) == Some(&b'<') => n,
                Some(_) => return Err(NotWellFormed("text between stanzas")),
            }
        } else {
            match memchr(b'<', rest) {
                None => return Ok(self.wait(rest.len())),
                Some(n) => n,
            }
        };
        self.tag = self.at + tag;
        if self.depth == 0 {
            self.first = self.tag;
        }
        self.at = self.tag + 1;
        self.state = State::Open;
        Ok(true)
    }

    fn open(&mut self, rest: &[u8]) -> Result<bool, XmlError> {
        match rest.first() {
            None => return Ok(false),
            Some(b'?') => return Err(Restricted("a processing instruction")),
            Some(b'!') => {
                self.state = State::Bang;
                self.at += 1;
            }
            Some(_) => self.state = State::Tag,
        }
        Ok(true)
    }

    fn bang(&mut self, rest: &[u8]) -> Result<bool, XmlError> {
        const OPENING: &[u8] = b"[CDATA[";
        let seen = rest.len().min(OPENING.len());
        if rest.get(..seen) != OPENING.get(..seen) || self.depth == 0 {
            return Err(Restricted("a comment or document type"));
        }
        if seen < OPENING.len() {
            return Ok(false);
        }
        self.at += OPENING.len();
        self.state = State::Cdata;
        Ok(true)
    }

    fn cdata(&mut self, rest: &[u8]) -> bool {
        match memmem::find(rest, b"]]>") {
            Some(n) => {
                self.at += n + 3;
                self.state = State::Text;
                true
            }
            // The end may begin in the last two bytes.
            None => self.wait(rest.len().saturating_sub(2)),
        }
    }

    /// A `>` outside quotes was passed.
    fn end_of_tag(&mut self, bytes: &[u8], limits: &Limits) -> Result<Frame, XmlError> {
        self.state = State::Text;
        if self.at - self.tag > limits.tag_bytes {
            return Err(Limit("a tag"));
        }
        let is_end = bytes.get(self.tag + 1) == Some(&b'/');
        let is_empty = bytes.get(self.at.wrapping_sub(2)) == Some(&b'/');
        if is_end {
            match self.depth.checked_sub(1) {
                None => return Ok(Frame::Close { end: self.at }),
                Some(depth) => self.depth = depth,
            }
        } else if !is_empty {
            self.depth += 1;
            if self.depth > limits.depth {
                return Err(Limit("depth"));
            }
        }
        if self.depth > 0 {
            return Ok(Frame::More);
        }
        if self.at - self.first > limits.stanza_bytes {
            return Err(Limit("a stanza"));
        }
        Ok(Frame::Stanza { start: self.first, end: self.at })
    }
}
