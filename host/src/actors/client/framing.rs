//! How what a client says is cut into pieces: by the XML itself, in messages of WebSocket, or in
//! requests of HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use stream::bosh::{Event, Session};
use stream::websocket::{self, Heard, Reader, Refusal};
use stream::{Message, Stream};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::actors::requests::{Entry, Mailbox, Posted, Sessions};

/// The connection ends in good order (RFC 6455 §7.4.1).
const NORMAL: u16 = 1000;

/// See the file.
pub(super) enum Framing {
    /// One document (RFC 6120).
    Document,
    /// RFC 7395.
    WebSocket(Box<WebSocket>),
    /// XEP-0124, XEP-0206.
    Requests(Box<Requests>),
}

/// A WebSocket.
#[derive(Default)]
pub(super) struct WebSocket {
    reader: Reader,
    /// What goes to the socket.
    pub(super) output: Vec<u8>,
    /// Why the client is heard no more.
    pub(super) ended: Option<Ended>,
    /// Whether our end is written.
    is_closed: bool,
}

/// How a WebSocket ends from the other side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    /// The client left. It did not close the stream, so it may come back (RFC 7395 §3.6).
    Left,
    /// What it sent cannot be read.
    Refused(Refusal),
}

impl WebSocket {
    /// Returns a new one that writes `answer` first, what HTTP has to say.
    pub(super) fn new(answer: Vec<u8>) -> Self {
        Self { output: answer, ..Self::default() }
    }

    /// Takes bytes from the socket.
    pub(super) fn hear(&mut self, mut bytes: &[u8], stream: &mut Stream) {
        while self.ended.is_none() {
            match self.reader.read(&mut bytes, stream.message_bytes_max()) {
                Ok(None) => return,
                Ok(Some(Heard::Text(text))) => stream.feed_message(text),
                Ok(Some(Heard::Ping(word))) => websocket::write_pong(&word, &mut self.output),
                Ok(Some(Heard::Pong)) => {}
                Ok(Some(Heard::Close)) => self.ended = Some(Ended::Left),
                Err(refusal) => self.ended = Some(Ended::Refused(refusal)),
            }
        }
    }

    /// Takes what the stream has to say, and behind its end says ours.
    pub(super) fn gather(&mut self, stream: &mut Stream) {
        while let Some(message) = stream.next_message() {
            if self.is_closed {
                continue;
            }
            websocket::write_text(message.text(), &mut self.output);
            if matches!(message, Message::Close(_)) {
                self.close();
            }
        }
    }

    /// Ends our side.
    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            let code = match self.ended {
                Some(Ended::Refused(refusal)) => refusal.code(),
                Some(Ended::Left) | None => NORMAL,
            };
            websocket::write_close(code, &mut self.output);
        }
    }

    /// Asks for a sign of life, which a browser gives without its page.
    pub(super) fn ping(&mut self) {
        websocket::write_ping(&mut self.output);
    }
}

/// A client that comes by requests.
pub(super) struct Requests {
    session: Session,
    _entry: Entry,
    mailbox: Arc<Mailbox>,
    /// Who waits for which answer.
    waiting: BTreeMap<u64, oneshot::Sender<String>>,
    tickets: u64,
    began: Instant,
    /// Whether the client broke the rules.
    pub(super) is_broken: bool,
}

impl Requests {
    /// Begins a session with the request that wants it.
    pub(super) fn new(sessions: &Arc<Sessions>, domain: &str, first: Posted) -> Self {
        let Posted { request, answer, .. } = first;
        let (entry, mailbox) = sessions.add();
        Self {
            session: Session::new(entry.sid().to_owned(), domain, request, 0, 0),
            _entry: entry,
            mailbox,
            waiting: BTreeMap::from([(0, answer)]),
            tickets: 0,
            began: Instant::now(),
            is_broken: false,
        }
    }

    /// Takes a request that came, and returns its length.
    pub(super) fn poll_read(&mut self, poller: &Poller<'_>, stream: &mut Stream) -> Poll<usize> {
        let Some(posted) = self.mailbox.take(poller.waker()) else { return Poll::Pending };
        let Posted { request, bytes, answer } = posted;
        self.look_who_waits();
        self.tickets = self.tickets.saturating_add(1);
        self.waiting.insert(self.tickets, answer);
        self.session.take(request, self.tickets, self.now());
        self.obey(stream);
        Poll::Ready(bytes)
    }

    /// Answers what can be answered, and returns how many bytes that were, and whether something is
    /// left to say that nobody asks for.
    pub(super) fn write(&mut self, stream: &mut Stream) -> (usize, bool) {
        self.look_who_waits();
        while !self.session.is_waiting() {
            let Some(message) = stream.next_message() else { break };
            self.session.send(message);
        }
        self.session.flush(self.now());
        (self.obey(stream), self.session.is_waiting())
    }

    /// Forgets requests whose connections are gone.
    fn look_who_waits(&mut self) {
        let now = self.now();
        let (session, waiting) = (&mut self.session, &mut self.waiting);
        waiting.retain(|ticket, answer| {
            if answer.is_closed() {
                session.give_up(*ticket, now);
            }
            !answer.is_closed()
        });
    }

    /// Does what the session wants, and returns how many bytes went to the client.
    pub(super) fn obey(&mut self, stream: &mut Stream) -> usize {
        let mut bytes = 0_usize;
        while let Some(event) = self.session.poll() {
            match event {
                Event::Heard(text) => stream.feed_message(text),
                Event::Answer { ticket, body } => {
                    bytes = bytes.saturating_add(body.len());
                    if let Some(answer) = self.waiting.remove(&ticket) {
                        // Who waited may be gone; the session has a copy for who asks again.
                        drop(answer.send(body));
                    }
                }
                Event::Broken => self.is_broken = true,
            }
        }
        bytes
    }

    /// Notes that larger requests may come.
    pub(super) fn logged_in(&self) {
        self.mailbox.logged_in();
    }

    /// Returns when it has to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        self.session.due().map(|due| self.began + Duration::from_millis(due))
    }

    /// Tells whether the client has not asked for too long.
    pub(super) fn is_lost(&self) -> bool {
        self.session.is_lost(self.now())
    }

    /// Tells whether the session ended and the client was told.
    pub(super) fn is_told(&self) -> bool {
        self.session.is_told()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}
