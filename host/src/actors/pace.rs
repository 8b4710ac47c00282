//! When a connection is next looked at, how fast it may send, and whether it is still there.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::settings::Limits;

/// How long a client that was asked for a sign of life may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long written stanzas wait before a client is asked whether it received them.
const ASK_AFTER: Duration = Duration::from_secs(3);
/// The same for another server: its shards have rows to keep until then.
const ASK_PEER_AFTER: Duration = Duration::from_millis(100);
/// After so much silence another server is asked whether it is still there.
const PING_PEER_AFTER: Duration = Duration::from_secs(60);

/// Times and rates of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it has to be logged in; `None` when it is.
    login_until: Option<Instant>,
    last_heard: Instant,
    /// When it was asked for a sign of life.
    asked: Option<Instant>,
    /// When it is asked whether it received what was written.
    ask_at: Option<Instant>,
    /// What it may send at once, in bytes; negative when it sent too much.
    credit: i64,
    credit_at: Instant,
    rate: i64,
    burst: i64,
    ping_after: Duration,
    ask_after: Duration,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before that time.
    Nothing(Instant),
    /// The login took too long.
    LoginOver,
    /// Ask for a sign of life.
    Ping,
    /// Ask whether stanzas were received.
    AskForAck,
    /// It gave no sign of life.
    Dead,
}

impl Pace {
    /// Returns that of a new connection from a client.
    pub(super) fn new(limits: &Limits) -> Self {
        let rates = (limits.traffic.0, limits.burst.0);
        Self {
            ping_after: limits.ping_after.0,
            ask_after: ASK_AFTER,
            ..Self::of(rates, limits.login_within.0)
        }
    }

    /// Returns that of a new connection with another server.
    pub(super) fn of_peer(limits: &Limits, login_within: Duration) -> Self {
        Self::of((limits.peer_traffic.0, limits.peer_burst.0), login_within)
    }

    fn of((rate, burst): (u64, u64), login_within: Duration) -> Self {
        let now = Instant::now();
        let burst = i64::try_from(burst).unwrap_or(i64::MAX);
        Self {
            login_until: Some(now + login_within),
            last_heard: now,
            asked: None,
            ask_at: None,
            credit: burst,
            credit_at: now,
            rate: i64::try_from(rate).unwrap_or(i64::MAX),
            burst,
            ping_after: PING_PEER_AFTER,
            ask_after: ASK_PEER_AFTER,
        }
    }

    /// Notes that it has a session.
    pub(super) fn logged_in(&mut self) {
        self.login_until = None;
    }

    /// Notes bytes that it sent.
    pub(super) fn heard(&mut self, bytes: usize, now: Instant) {
        self.refill(now);
        self.credit = self.credit.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.last_heard = now;
        self.asked = None;
    }

    /// Tells whether it may be read.
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        if self.credit > 0 {
            return true;
        }
        self.refill(now);
        self.credit > 0
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.credit_at);
        let millis = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        if millis > 0 {
            let more = self.rate.saturating_mul(millis) / 1000;
            self.credit = self.credit.saturating_add(more).min(self.burst);
            self.credit_at = now;
        }
    }

    /// Notes that stanzas were written for which no acknowledgement was asked yet.
    pub(super) fn wrote_unasked(&mut self, now: Instant) {
        if self.ask_at.is_none() {
            self.ask_at = Some(now + self.ask_after);
        }
    }

    /// Notes that an acknowledgement was asked for.
    pub(super) fn asked_for_ack(&mut self) {
        self.ask_at = None;
    }

    /// Notes that it could not be asked for a sign of life.
    pub(super) fn asked_nothing(&mut self, now: Instant) {
        self.last_heard = now;
        self.asked = None;
    }

    /// Returns what is due, and notes that it is done.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if let Some(until) = self.login_until {
            return if now >= until { Due::LoginOver } else { Due::Nothing(until) };
        }
        let silence = match self.asked {
            Some(asked) => asked + ANSWER_WITHIN,
            None => self.last_heard + self.ping_after,
        };
        if now >= silence {
            if self.asked.is_some() {
                return Due::Dead;
            }
            self.asked = Some(now);
            return Due::Ping;
        }
        if self.ask_at.is_some_and(|at| now >= at) {
            self.ask_at = None;
            return Due::AskForAck;
        }
        let mut next = silence;
        if let Some(at) = self.ask_at {
            next = next.min(at);
        }
        if self.credit <= 0 {
            let missing = u64::try_from(self.credit.saturating_neg()).unwrap_or(0);
            let rate = u64::try_from(self.rate.max(1)).unwrap_or(1);
            let wait = missing.saturating_mul(1000) / rate;
            next = next.min(self.credit_at + Duration::from_millis(wait.saturating_add(2)));
        }
        Due::Nothing(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::{Notes, Section, Table};

    fn pace() -> Pace {
        Pace::new(&Limits::read(&mut Table::new("", None, &mut Notes::default())))
    }

    #[test]
    fn a_login_takes_only_so_long() {
        let mut pace = pace();
        let now = Instant::now();
        assert!(matches!(pace.due(now), Due::Nothing(_)));
        assert_eq!(pace.due(now + Duration::from_secs(31)), Due::LoginOver);
    }

    #[test]
    fn who_is_silent_is_asked_and_then_dead() {
        let mut pace = pace();
        pace.logged_in();
        let later = Instant::now() + Duration::from_secs(601);
        assert_eq!(pace.due(later), Due::Ping);
        assert!(matches!(pace.due(later), Due::Nothing(_)));
        assert_eq!(pace.due(later + Duration::from_secs(61)), Due::Dead);
        pace.heard(1, later + Duration::from_secs(61));
        assert!(matches!(pace.due(later + Duration::from_secs(61)), Due::Nothing(_)));
    }

    #[test]
    fn who_sends_too_much_waits() {
        let mut pace = pace();
        pace.logged_in();
        let now = Instant::now();
        assert!(pace.may_send(now));
        pace.heard(4 << 20, now);
        pace.heard(256 << 10, now);
        assert!(!pace.may_send(now));
        let Due::Nothing(at) = pace.due(now) else { panic!("nothing is due") };
        assert!(at - now > Duration::from_millis(900) && at - now < Duration::from_millis(1100));
        assert!(pace.may_send(at));
    }
}
