//! What happens when a connection is woken.

use std::task::{Context as Poller, Poll};

use engine::Event;
use stream::websocket::Refusal;
use stream::{Channel, StreamEvent};
use tokio::time::{Instant, sleep_until};
use xmpp::{Stanza, StreamError};

use super::framing::{Ended, Framing};
use super::transport::Shaken;
use super::{Client, GOODBYE_TO_STRANGERS, Stage, Turned, new_stream};
use crate::actors::pace::Due;

/// Stanzas of a client under way before it is not read any more.
const STANZAS_UNDER_WAY: usize = 64;
/// Their bytes.
const BYTES_UNDER_WAY: usize = 64 << 10;
/// Rounds in one turn.
const ROUNDS: usize = 8;
/// What is taken from the outbox before it is written.
const WRITE_BYTES: usize = 16 << 10;
/// Answers of ours that a client has not taken before it is not read any more.
const UNTAKEN_BYTES: usize = 64 << 10;
/// Stanzas after which a client is asked whether it received them.
const ASK_EVERY: u32 = 16;

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Bytes.
    Some,
    /// Nothing is there; the socket wakes the connection.
    Dry,
    /// It was not tried.
    Held,
}

impl Client {
    /// Does all that can be done now. Ready: not here any more.
    pub(super) fn turn(&mut self, poller: &mut Poller<'_>) -> Poll<Turned> {
        for _ in 0..ROUNDS {
            let seen = self.outbox.under_way().news;
            self.shake_hands(poller);
            let read = self.read(poller);
            self.submit();
            // After reading, because what was read may begin one.
            self.poll_check(poller);
            self.take_words();
            self.acknowledge();
            let is_blocked = self.write(poller);
            if self.outbox.is_full() && self.stage != Stage::Over {
                self.hall.shared.metrics.slow_readers.one();
                self.drop_off();
            }
            match self.stage {
                Stage::Over => return Poll::Ready(Turned::Over),
                Stage::Moving => return Poll::Ready(Turned::Leaves),
                _ => {}
            }
            let is_due = self.check_timer(poller);
            // What was written may have made room for reading, or a shard may have answered.
            let is_done = match read {
                // A client that floods takes turns with the others of its processor.
                Read::Some => break,
                Read::Dry => true,
                Read::Held => !self.may_read(Instant::now(), poller),
            };
            let wants_work = self.wants_work().then_some(seen);
            if is_done && !is_due && self.outbox.sleep(poller.waker(), !is_blocked, wants_work) {
                return Poll::Pending;
            }
        }
        poller.waker().wake_by_ref();
        Poll::Pending
    }

    fn shake_hands(&mut self, poller: &mut Poller<'_>) {
        let served = || self.hall.shared.tls.current();
        match self.io.poll_handshake(served, poller) {
            Poll::Pending | Poll::Ready(Shaken::Not) => {}
            Poll::Ready(Shaken::Done(facts)) => {
                self.facts = Some(Box::new(facts.clone()));
                if self.stage == Stage::Securing {
                    self.stream.secured(facts);
                } else {
                    self.stream = new_stream(&self.hall, Channel::Tls(facts));
                }
                self.stage = Stage::Open;
            }
            Poll::Ready(Shaken::Failed(error)) => {
                tracing::debug!(conn = self.outbox.id(), %error, "TLS failed.");
                self.hall.shared.metrics.refused.of("tls").one();
                self.drop_off();
            }
        }
    }

    /// Reads once.
    fn read(&mut self, poller: &mut Poller<'_>) -> Read {
        let now = Instant::now();
        if !self.may_read(now, poller) {
            return Read::Held;
        }
        let is_ending = matches!(self.stage, Stage::Ending(_));
        let stream = &mut self.stream;
        let read = match &mut self.framing {
            Framing::Document => self.io.poll_read(poller, |bytes| {
                if !is_ending {
                    stream.feed(bytes);
                }
            }),
            Framing::WebSocket(socket) => self.io.poll_read(poller, |bytes| {
                if !is_ending {
                    socket.hear(bytes, stream);
                }
            }),
            Framing::Requests(requests) => requests.poll_read(poller, stream).map(Ok),
        };
        match read {
            Poll::Pending => Read::Dry,
            Poll::Ready(Ok(count)) if count > 0 => {
                self.hall.shared.metrics.bytes_in.add(u64::try_from(count).unwrap_or(0));
                self.pace.heard(count, now);
                if !is_ending {
                    self.take_events();
                    self.look_at_framing();
                }
                Read::Some
            }
            Poll::Ready(ended) => {
                if let Err(error) = ended {
                    tracing::debug!(conn = self.outbox.id(), %error, "A connection broke.");
                }
                self.drop_off();
                Read::Dry
            }
        }
    }

    /// Ends what the client has left, or cannot go on with.
    fn look_at_framing(&mut self) {
        match &mut self.framing {
            Framing::WebSocket(socket) => match socket.ended {
                None => {}
                Some(Ended::Refused(Refusal::TooLong)) => {
                    self.end(Some(StreamError::PolicyViolation), true);
                }
                Some(Ended::Left | Ended::Refused(_)) => {
                    socket.close();
                    self.unlink(true);
                    if !matches!(self.stage, Stage::Ending(_) | Stage::Over) {
                        self.check = None;
                        self.stage = Stage::Ending(Instant::now() + GOODBYE_TO_STRANGERS);
                    }
                }
            },
            // It was told in the answers.
            Framing::Requests(requests) if requests.is_broken => self.drop_off(),
            Framing::Document | Framing::Requests(_) => {}
        }
    }

    fn may_read(&mut self, now: Instant, poller: &mut Poller<'_>) -> bool {
        match self.stage {
            Stage::Open => {}
            // Only to see its end.
            Stage::Ending(_) => return true,
            Stage::Securing | Stage::Asking | Stage::Moving | Stage::Over => return false,
        }
        if self.check.is_some() || self.unwritten() >= UNTAKEN_BYTES {
            return false;
        }
        if !self.pace.may_send(now) {
            return false;
        }
        let Some(account) = &self.account else { return true };
        let under_way = self.outbox.under_way();
        let has_credit = under_way.stanzas < STANZAS_UNDER_WAY && under_way.bytes < BYTES_UNDER_WAY;
        let inbox = self.hall.inbox(self.hall.shard_of(account));
        has_credit && inbox.is_none_or(|inbox| inbox.has_room(poller.waker()))
    }

    /// Whether the connection wants to know when its stanzas are dealt with.
    fn wants_work(&self) -> bool {
        if self.acks.asked_at.is_some() {
            return true;
        }
        let under_way = self.outbox.under_way();
        under_way.stanzas >= STANZAS_UNDER_WAY || under_way.bytes >= BYTES_UNDER_WAY
    }

    /// Takes what the stream made of the bytes.
    pub(super) fn take_events(&mut self) {
        while matches!(self.stage, Stage::Open) {
            let Some(event) = self.stream.poll() else { return };
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: StreamEvent) {
        let session = self.outbox.id();
        match event {
            StreamEvent::Stanza(stanza) => {
                self.hall.shared.metrics.stanzas_in.of(stanza.kind.name()).one();
                self.batch.stanzas = self.batch.stanzas.saturating_add(1);
                self.batch.bytes = self.batch.bytes.saturating_add(stanza.bytes());
                self.batch.events.push(Event::Sent { session, stanza });
            }
            StreamEvent::Malformed(stanza, error) => {
                self.batch.stanzas = self.batch.stanzas.saturating_add(1);
                self.batch.events.push(Event::Malformed { session, stanza, error });
            }
            StreamEvent::Acked { h } => self.batch.events.push(Event::Acked { session, h }),
            StreamEvent::AckRequested => {
                let ahead = u64::try_from(self.batch.stanzas).unwrap_or(0);
                self.acks.asked_at = Some(self.acks.taken.saturating_add(ahead));
            }
            StreamEvent::Active(active) => {
                self.batch.events.push(Event::Active { session, active });
            }
            StreamEvent::Closed => self.end(None, false),
            StreamEvent::Failed(why) => {
                tracing::debug!(conn = session, %why, "A stream failed.");
                self.end(Some(why), true);
            }
            question => self.take_question(question),
        }
    }

    /// Answers `<r/>` as soon as everything before it is dealt with.
    fn acknowledge(&mut self) {
        let (Some(asked_at), Some((start, h))) = (self.acks.asked_at, self.acks.base) else {
            return;
        };
        let handled = self.outbox.under_way().handled;
        if handled >= asked_at {
            self.acks.asked_at = None;
            let since = handled.saturating_sub(start) & u64::from(u32::MAX);
            let since = u32::try_from(since).unwrap_or(0);
            self.stream.ack(h.wrapping_add(since));
        }
    }

    /// Counts a stanza that was written, and asks for acknowledgements now and then.
    pub(super) fn wrote(&mut self, stanza: &Stanza) {
        self.stream.send(stanza);
        if self.acks.base.is_some() {
            self.acks.unasked = self.acks.unasked.saturating_add(1);
            if self.acks.unasked >= ASK_EVERY {
                self.ask_for_ack();
            } else {
                self.pace.wrote_unasked(Instant::now());
            }
        }
    }

    fn ask_for_ack(&mut self) {
        self.acks.unasked = 0;
        self.pace.asked_for_ack();
        self.stream.request_ack();
    }

    fn take_words(&mut self) {
        while self.unwritten() < WRITE_BYTES {
            let Some(word) = self.outbox.pop() else { return };
            self.take_word(word);
        }
    }

    /// Writes what there is. Returns whether the socket takes no more.
    fn write(&mut self, poller: &mut Poller<'_>) -> bool {
        if matches!(self.framing, Framing::Requests(_)) {
            return self.answer_requests();
        }
        loop {
            let output = match &mut self.framing {
                Framing::WebSocket(socket) => {
                    socket.gather(&mut self.stream);
                    &mut socket.output
                }
                Framing::Document | Framing::Requests(_) => self.stream.output(),
            };
            if output.is_empty() {
                break;
            }
            match self.io.poll_write(poller, output) {
                Poll::Pending => return true,
                Poll::Ready(Ok(count)) => {
                    self.wants_flush = true;
                    self.hall.shared.metrics.bytes_out.add(u64::try_from(count).unwrap_or(0));
                    if count >= output.len() {
                        // An idle connection keeps no buffer.
                        *output = Vec::new();
                        self.take_words();
                    } else {
                        drop(output.drain(..count));
                    }
                }
                Poll::Ready(Err(_)) => {
                    self.drop_off();
                    return false;
                }
            }
        }
        if self.wants_flush {
            match self.io.poll_flush(poller) {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) => self.wants_flush = false,
                Poll::Ready(Err(_)) => {
                    self.drop_off();
                    return false;
                }
            }
        }
        self.after_writing(poller);
        false
    }

    /// Answers the requests that are here. Returns whether something is left that none asks for.
    fn answer_requests(&mut self) -> bool {
        loop {
            let Framing::Requests(requests) = &mut self.framing else { return false };
            let (bytes, is_blocked) = requests.write(&mut self.stream);
            self.hall.shared.metrics.bytes_out.add(u64::try_from(bytes).unwrap_or(0));
            if matches!(self.stage, Stage::Ending(_)) && requests.is_told() {
                self.stage = Stage::Over;
            }
            let before = self.unwritten();
            if !is_blocked {
                self.take_words();
            }
            if is_blocked || self.unwritten() == before {
                return is_blocked;
            }
        }
    }

    /// All is written: TLS may begin, or the end may be said.
    fn after_writing(&mut self, poller: &mut Poller<'_>) {
        if self.stage == Stage::Securing && self.io.is_plain() {
            self.io.begin(self.hall.shared.tls.current());
            poller.waker().wake_by_ref();
        }
        let is_ending = matches!(self.stage, Stage::Ending(_));
        if is_ending && matches!(self.io.poll_shutdown(poller), Poll::Ready(Err(_))) {
            self.stage = Stage::Over;
        }
    }

    /// Does what is due and sets the timer. Returns whether something was due.
    fn check_timer(&mut self, poller: &mut Poller<'_>) -> bool {
        let now = Instant::now();
        let next = match self.stage {
            Stage::Ending(until) if now >= until => {
                self.stage = Stage::Over;
                return true;
            }
            Stage::Ending(until) => until,
            _ => match self.pace.due(now) {
                Due::Nothing(next) => match self.requests_due(now) {
                    // What is due is done by writing.
                    Some(at) if at <= now => return true,
                    Some(at) => next.min(at),
                    None => next,
                },
                due => {
                    self.be_due(due);
                    return true;
                }
            },
        };
        // One that goes off too early is set again; so not every byte sets a timer.
        if self.timer.as_ref().is_none_or(|(at, _)| *at > next) {
            self.timer = Some((next, Box::pin(sleep_until(next))));
        }
        let Some((_, timer)) = &mut self.timer else { return false };
        if timer.as_mut().poll(poller).is_pending() {
            return false;
        }
        self.timer = None;
        true
    }

    /// Returns when there is news of requests without anybody who says so.
    fn requests_due(&mut self, now: Instant) -> Option<Instant> {
        let Framing::Requests(requests) = &self.framing else { return None };
        if requests.is_lost() {
            self.drop_off();
            return Some(now);
        }
        requests.due()
    }

    fn be_due(&mut self, due: Due) {
        match due {
            Due::Nothing(_) => {}
            Due::LoginOver => {
                self.hall.shared.metrics.refused.of("login-time").one();
                self.end(Some(StreamError::ConnectionTimeout), true);
            }
            Due::Ping if self.acks.base.is_some() => self.ask_for_ack(),
            Due::Ping => match &mut self.framing {
                Framing::WebSocket(socket) => socket.ping(),
                Framing::Document | Framing::Requests(_) => self.ping(),
            },
            Due::AskForAck => self.ask_for_ack(),
            Due::Dead => self.drop_off(),
        }
    }

    /// Asks a client that does not count for a sign of life. Its answer is an iq result or error for the
    /// domain, where nobody waits for it.
    fn ping(&mut self) {
        let id = self.outbox.id();
        let domain = self.hall.domain.as_str();
        let xml = format!(
            "<iq from='{domain}' type='get' id='ping-{id}'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
        if let Ok(ping) = Stanza::parse(&xml) {
            self.stream.send(&ping);
        }
    }
}
