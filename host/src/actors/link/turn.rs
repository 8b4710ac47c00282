//! What happens when a connection with another server is woken.

use std::task::{Context as Poller, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use xmpp::StreamError;

use super::intake::{BYTES_UNDER_WAY, STANZAS_UNDER_WAY};
use super::transport::Shaken;
use super::{Link, Stage};
use crate::actors::pace::Due;
use crate::clock;
use crate::federation::route::Entry;
use crate::federation::trouble::Failed;

/// Rounds in one turn.
const ROUNDS: usize = 8;
/// Answers of ours that a peer has not taken before it is not read any more.
const UNTAKEN_BYTES: usize = 64 << 10;

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

impl Link {
    /// Does all that can be done now. Ready: the connection is over.
    pub(super) fn turn(&mut self, poller: &mut Poller<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            let seen = self.outbox.under_way().news;
            self.shake_hands(poller);
            let read = self.read(poller);
            self.submit();
            self.poll_asking(poller);
            self.poll_checks(poller);
            self.submit();
            self.take_words();
            self.part_if_settled();
            self.acknowledge();
            self.write(poller);
            if self.stage == Stage::Over {
                return Poll::Ready(());
            }
            let is_due = self.check_timer(poller);
            let is_done = match read {
                // A peer that floods takes turns with the others of its processor.
                Read::Some => break,
                Read::Dry => true,
                Read::Held => !self.may_read(Instant::now(), poller),
            };
            let wants_work = self.wants_work().then_some(seen);
            // What comes to a route wakes the connection as well, since it was looked at.
            if is_done && !is_due && self.outbox.sleep(poller.waker(), true, wants_work) {
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
            Poll::Ready(Shaken::Done(channel)) => {
                self.hall.federation.note_tls(self.outbox.id(), channel.version);
                if let Some(mission) = &self.errand {
                    mission.errand.tracer.fine("tls", channel.version);
                }
                self.channel = channel.into();
                if self.stage == Stage::Securing {
                    self.stage = Stage::Open;
                    self.peering.secured();
                    self.take_events();
                }
            }
            Poll::Ready(Shaken::Failed(error)) => {
                tracing::debug!(conn = self.outbox.id(), %error, "TLS with a server failed.");
                match &self.errand {
                    Some(mission) => mission.errand.tracer.failed("tls", &error.to_string()),
                    None => self.hall.shared.metrics.s2s_refused.of("tls").one(),
                }
                self.fail(Failed::Tls, format!("TLS with its server failed: {error}"));
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
        let peering = &mut self.peering;
        match self.io.poll_read(poller, |bytes| peering.feed(bytes)) {
            Poll::Pending => Read::Dry,
            Poll::Ready(Ok(count)) if count > 0 => {
                self.hall.shared.metrics.s2s_bytes_in.add(u64::try_from(count).unwrap_or(0));
                self.pace.heard(count, now);
                self.take_events();
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

    fn may_read(&mut self, now: Instant, poller: &mut Poller<'_>) -> bool {
        match self.stage {
            Stage::Open => {}
            // Nothing of it is heard.
            Stage::Ending(_) if self.peering.is_over() => return true,
            // What the peer sent before it knew.
            Stage::Ending(_) => {}
            Stage::Securing | Stage::Over => return false,
        }
        if self.parting.is_some()
            || self.asking.is_some()
            || self.peering.output().len() >= UNTAKEN_BYTES
        {
            return false;
        }
        if !self.pace.may_send(now) {
            return false;
        }
        let under_way = self.outbox.under_way();
        let has_credit = under_way.stanzas < STANZAS_UNDER_WAY && under_way.bytes < BYTES_UNDER_WAY;
        has_credit && self.hall.inboxes().iter().all(|inbox| inbox.has_room(poller.waker()))
    }

    /// Ends the stream that is about to end when nothing is under way any more.
    fn part_if_settled(&mut self) {
        let Some((why, until)) = self.parting else { return };
        if self.outbox.under_way().stanzas == 0 || Instant::now() >= until {
            self.end(Some(why));
        }
    }

    /// Whether the connection wants to know when its stanzas are dealt with.
    fn wants_work(&self) -> bool {
        if self.intake.is_asked() || self.parting.is_some() {
            return true;
        }
        let under_way = self.outbox.under_way();
        under_way.stanzas >= STANZAS_UNDER_WAY || under_way.bytes >= BYTES_UNDER_WAY
    }

    /// All is written: TLS may begin, or the end may be said.
    pub(super) fn after_writing(&mut self, poller: &mut Poller<'_>) {
        if self.stage == Stage::Securing && self.io.is_plain() {
            let served = self.hall.shared.tls.current();
            let begun = match &self.errand {
                Some(mission) => self.io.connect(&served, &mission.errand.remote, false),
                None => {
                    self.io.accept(&served);
                    Ok(())
                }
            };
            match begun {
                Ok(()) => poller.waker().wake_by_ref(),
                Err(why) => {
                    self.fail(Failed::Tls, why);
                    self.drop_off();
                }
            }
        }
        // All is said, and the peer has ended its side as well or is not heard any more. Who is
        // told earlier that nothing comes may take the connection for lost.
        if matches!(self.stage, Stage::Ending(_)) && self.peering.is_over() {
            // A peer that does not take it has until the end of the wait.
            if self.io.poll_shutdown(poller).is_ready() {
                self.stage = Stage::Over;
            }
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
            _ if let Some((_, until)) = self.parting => until,
            _ => match self.pace.due(now) {
                Due::Nothing(next) => match self.idle_until() {
                    Some(until) if now >= until => {
                        self.end(None);
                        return true;
                    }
                    Some(until) => next.min(until),
                    None => next,
                },
                due => {
                    self.be_due(due, now);
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

    /// Returns when a connection that nobody uses is closed.
    fn idle_until(&self) -> Option<Instant> {
        let is_used = self.is_trying()
            || self.asking.is_some()
            || !self.checks.is_empty()
            || !self.freight.is_idle()
            || self.outbox.under_way().stanzas > 0;
        let idle_for: Duration = self.hall.shared.config.load().federation.idle_for.0;
        (!is_used).then(|| self.busy_at + idle_for)
    }

    fn be_due(&mut self, due: Due, now: Instant) {
        match due {
            Due::Nothing(_) => {}
            Due::LoginOver => {
                self.hall.shared.metrics.s2s_refused.of("login-time").one();
                self.fail(Failed::Timeout, "its server took too long");
                self.end(Some(StreamError::ConnectionTimeout));
            }
            Due::Ping if self.peering.has_acks() => self.ask_for_ack(),
            Due::Ping => self.ping(now),
            Due::AskForAck => self.ask_for_ack(),
            Due::Dead => {
                self.hall.shared.metrics.s2s_stream_errors.of("dead").one();
                self.drop_off();
            }
        }
    }

    /// Asks a peer that does not count for a sign of life. One that is only heard cannot be asked;
    /// the system finds out when it is gone.
    fn ping(&mut self, now: Instant) {
        let Some((local, remote)) = self.freight.pair() else {
            self.peering.output().push(b' ');
            return self.pace.asked_nothing(now);
        };
        let id = self.outbox.id();
        let xml = format!(
            "<iq from='{local}' to='{remote}' type='get' id='ping-{id}'>\
             <ping xmlns='urn:xmpp:ping'/></iq>"
        );
        if let Ok(stanza) = xmpp::Stanza::parse(&xml) {
            let entry = Entry { stanza, row: None, since_ms: clock::now_ms(), refusals: 0 };
            super::send::give(&self.hall, &local, &remote, entry);
        }
    }
}
