//! One connection: buffered bytes, elements, acknowledgements (XEP-0198).

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::web::{self, Frames};
use crate::xml::{Item, Scanner, attr};

/// What a connection runs over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A sentence says what went wrong.
pub(crate) type Res<T> = Result<T, String>;

/// Returns nanoseconds since the program began: the clock in the ids of messages.
pub(crate) fn now_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Both counts of XEP-0198.
#[derive(Debug, Default)]
pub(crate) struct Sm {
    received: u32,
    pub(crate) sent: u32,
    /// What the server acknowledged.
    pub(crate) acked: u32,
    since_asked: u32,
    /// Ask after so many; 0: never by itself.
    every: u32,
}

impl Sm {
    pub(crate) fn new(every: u32) -> Self {
        Self { every, ..Self::default() }
    }
}

/// See the file.
pub(crate) struct Conn {
    io: Box<dyn Io>,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    wants_flush: bool,
    scanner: Scanner,
    /// Over WebSocket: what came of a message.
    frames: Option<Frames>,
    pub(crate) sm: Option<Sm>,
    pub(crate) jid: String,
    pub(crate) bare: String,
    pub(crate) is_closed: bool,
}

/// What a [`Conn::step`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Read,
    Flushed,
    Eof,
}

/// Where an element stands in the input.
pub(crate) type Place = (usize, usize);

thread_local! {
    /// What is read at once.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// Tells whether an element counts in XEP-0198.
pub(crate) fn is_stanza(text: &[u8]) -> bool {
    [&b"<message"[..], b"<iq", b"<presence"].iter().any(|start| text.starts_with(start))
}

impl Conn {
    pub(crate) fn new(io: Box<dyn Io>) -> Self {
        Self {
            io,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            wants_flush: false,
            scanner: Scanner::default(),
            frames: None,
            sm: None,
            jid: String::new(),
            bare: String::new(),
            is_closed: false,
        }
    }

    /// Returns it over a WebSocket that is there.
    pub(crate) fn over_websocket(self) -> Self {
        Self { frames: Some(Frames::default()), ..self }
    }

    /// Queues what does not count: a header, one element, or the end.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        match &self.frames {
            Some(_) => web::write(bytes, &mut self.output),
            None => self.output.extend_from_slice(bytes),
        }
    }

    /// Queues a stanza, and now and then a request for the server's count.
    pub(crate) fn send(&mut self, stanza: &str) {
        self.raw(stanza.as_bytes());
        let Some(sm) = &mut self.sm else { return };
        sm.sent = sm.sent.wrapping_add(1);
        sm.since_asked += 1;
        if sm.every > 0 && sm.since_asked >= sm.every {
            self.request_ack();
        }
    }

    pub(crate) fn request_ack(&mut self) {
        if let Some(sm) = &mut self.sm {
            sm.since_asked = 0;
            self.raw(b"<r xmlns='urn:xmpp:sm:3'/>");
        }
    }

    pub(crate) fn pending(&self) -> usize {
        self.output.len() - self.written
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let had = self.pending() > 0 || self.wants_flush;
        while self.pending() > 0 {
            let rest = &self.output[self.written..];
            let count = ready!(Pin::new(&mut *self.io).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.wants_flush = true;
        }
        if had {
            self.output.clear();
            self.written = 0;
            self.output.shrink_to(64 << 10);
        }
        if self.wants_flush {
            ready!(Pin::new(&mut *self.io).poll_flush(cx))?;
            self.wants_flush = false;
        }
        Poll::Ready(Ok(had))
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let is_flushed = match self.poll_write(cx) {
            Poll::Ready(done) => done?,
            Poll::Pending => false,
        };
        let read = PIECE.with_borrow_mut(|piece| {
            let mut buffer = ReadBuf::new(piece);
            let read = Pin::new(&mut *self.io).poll_read(cx, &mut buffer);
            match &mut self.frames {
                Some(frames) => frames.take(buffer.filled(), &mut self.input, &mut self.output),
                None => self.input.extend_from_slice(buffer.filled()),
            }
            read.map_ok(|()| buffer.filled().len())
        });
        match read {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Step::Eof)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(Step::Read)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if is_flushed => Poll::Ready(Ok(Step::Flushed)),
            Poll::Pending => {
                if self.input.is_empty() {
                    self.input = Vec::new();
                }
                Poll::Pending
            }
        }
    }

    /// Writes what is queued, and waits until something came or the queue is empty.
    pub(crate) async fn step(&mut self) -> Res<Step> {
        let kept = self.scanner.keep_from();
        self.input.drain(..kept);
        self.scanner.shift(kept);
        let step = std::future::poll_fn(|cx| self.poll_step(cx)).await;
        step.map_err(|error| format!("a connection broke: {error}"))
    }

    pub(crate) async fn flush(&mut self) -> Res<()> {
        let done = std::future::poll_fn(|cx| self.poll_write(cx)).await;
        done.map(drop).map_err(|error| format!("a connection broke: {error}"))
    }

    /// Returns the next element that is there; what belongs to XEP-0198 is dealt with here.
    pub(crate) fn pop(&mut self) -> Option<Place> {
        loop {
            let place = match self.scanner.next(&self.input)? {
                Item::Open => continue,
                Item::Close => {
                    self.is_closed = true;
                    return None;
                }
                Item::Element(from, to) => (from, to),
            };
            let text = &self.input[place.0..place.1];
            let Some(sm) = &mut self.sm else { return Some(place) };
            if is_stanza(text) {
                sm.received = sm.received.wrapping_add(1);
            } else if text.starts_with(b"<r ") || text.starts_with(b"<r/") {
                let ack = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", sm.received);
                self.raw(ack.as_bytes());
                continue;
            } else if text.starts_with(b"<a ") {
                sm.acked = number(text, "h").unwrap_or(sm.acked);
                continue;
            }
            return Some(place);
        }
    }

    pub(crate) fn get(&self, place: Place) -> &[u8] {
        &self.input[place.0..place.1]
    }

    /// Answers a request, as a polite client does.
    pub(crate) fn answer(&mut self, place: Place) {
        let text = self.get(place);
        if !text.starts_with(b"<iq") || !matches!(attr(text, "type"), Some(b"set" | b"get")) {
            return;
        }
        let id = String::from_utf8_lossy(attr(text, "id").unwrap_or(b"")).into_owned();
        let to = attr(text, "from").map(String::from_utf8_lossy);
        let to = to.map(|to| format!(" to='{to}'")).unwrap_or_default();
        self.send(&format!("<iq type='result' id='{id}'{to}/>"));
    }

    /// Waits for the next element.
    pub(crate) async fn next(&mut self) -> Res<Vec<u8>> {
        loop {
            if let Some(place) = self.pop() {
                return Ok(self.get(place).to_vec());
            }
            if self.step().await? == Step::Eof {
                return Err("the server closed a connection".to_owned());
            }
        }
    }

    /// Waits for the next element, but not longer than this.
    pub(crate) async fn next_within(&mut self, span: Duration) -> Res<Option<Vec<u8>>> {
        match tokio::time::timeout(span, self.next()).await {
            Ok(next) => next.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Sends a request and waits for its result.
    pub(crate) async fn ask(&mut self, id: &str, request: &str) -> Res<Vec<u8>> {
        self.send(request);
        loop {
            while let Some(place) = self.pop() {
                let text = self.get(place);
                if text.starts_with(b"<iq") && attr(text, "id") == Some(id.as_bytes()) {
                    match attr(text, "type") {
                        Some(b"result") => return Ok(text.to_vec()),
                        Some(b"error") => {
                            return Err(format!("{id}: {}", String::from_utf8_lossy(text)));
                        }
                        _ => {}
                    }
                }
                self.answer(place);
            }
            if self.step().await? == Step::Eof {
                return Err("the server closed a connection".to_owned());
            }
        }
    }

    /// Forgets what came: a new header follows.
    pub(crate) fn restart(&mut self) {
        self.input.clear();
        self.scanner = Scanner::default();
    }

    /// Opens a stream and returns the features.
    pub(crate) async fn open(&mut self, domain: &str) -> Res<Vec<u8>> {
        self.restart();
        self.raw(header(domain).as_bytes());
        self.next().await
    }

    /// Waits for the header of a client.
    pub(crate) async fn await_header(&mut self) -> Res<()> {
        loop {
            match self.scanner.next(&self.input) {
                Some(Item::Open) => return Ok(()),
                Some(_) => return Err("there is no header".to_owned()),
                None => {}
            }
            if self.step().await? == Step::Eof {
                return Err("a client left".to_owned());
            }
        }
    }

    /// Ends the stream, so that the server keeps no session to resume.
    pub(crate) async fn close(mut self) {
        if let Some(sm) = &self.sm {
            let ack = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", sm.received);
            self.raw(ack.as_bytes());
        }
        self.raw(b"</stream:stream>");
        let goodbye = async {
            while !matches!(self.step().await, Ok(Step::Eof) | Err(_)) {
                while self.pop().is_some() {}
                self.restart();
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(5), goodbye).await);
    }
}

/// Returns the header of a client.
pub(crate) fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{domain}' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    )
}

/// Returns an attribute that is a number.
pub(crate) fn number(text: &[u8], name: &str) -> Option<u32> {
    std::str::from_utf8(attr(text, name)?).ok()?.parse().ok()
}

/// Returns the id.
pub(crate) fn id_of(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(attr(text, "id")?).ok()
}

/// Returns the number in the id of a message of ours that was delivered, such as `c1f3a9`.
pub(crate) fn stamp(text: &[u8], tag: u8) -> Option<u64> {
    let id = attr(text, "id").filter(|_| text.starts_with(b"<message"))?;
    if id.first() != Some(&tag) || attr(text, "type") == Some(b"error") {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(&id[1..]).ok()?, 16).ok()
}
