//! The sessions of a shard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use calypte::wire::SessionRow;
use xmpp::{Jid, Kind, Stanza};

use crate::inactive::Held;

/// Rows of stanzas that have no number yet start here.
const UNNUMBERED: u64 = 1 << 32;
/// The numbers of sessions that were found on disk start here; connections count from below.
const RESTORED: u64 = 1 << 63;

/// One client of an account, connected or expected back.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its full address.
    pub(crate) jid: Jid,
    /// Whether it sent available presence.
    pub(crate) available: bool,
    /// Its priority, when available.
    pub(crate) priority: i8,
    /// Since when it gets what is sent to the account: available, no negative priority, not held.
    pub(crate) ready_since: Option<u64>,
    /// Its last presence to everyone.
    pub(crate) presence: Option<Stanza>,
    /// To whom in other domains it showed presence that it did not show to everyone.
    pub(crate) directed: BTreeSet<Jid>,
    /// What modules keep with it.
    pub(crate) values: BTreeMap<String, Vec<u8>>,
    /// Whether its connection is lost.
    pub(crate) away: bool,
    /// Whether its connection was told to end, and nobody has said yet that it has.
    pub(crate) closing: bool,
    /// When it is over, while its connection is lost.
    pub(crate) until: Option<u64>,
    /// Whether messages wait behind older ones that a module is handing to it.
    pub(crate) is_held: bool,
    /// What its client gets later, while it is not looked at (XEP-0352).
    pub(crate) inactive: Option<Box<Held>>,
    /// Acknowledgements, when it turned them on.
    pub(crate) sm: Option<Sm>,
}

/// Acknowledgements of a session (XEP-0198).
#[derive(Debug, Default)]
pub(crate) struct Sm {
    /// The name to come back by, `None` when it cannot.
    pub(crate) token: Option<String>,
    /// Stanzas of the client that were handled, modulo 2³².
    pub(crate) handled: u32,
    /// Stanzas that were sent to the client, modulo 2³².
    pub(crate) sent: u32,
    /// What the client has not acknowledged, oldest first; the last one has the number `sent`.
    pub(crate) queue: VecDeque<Waiting>,
    /// The bytes of the queue.
    pub(crate) bytes: usize,
    /// Whether it was read from disk and its client has not come back: then what the client
    /// received is not known, and what is new has no number yet.
    pub(crate) is_restored: bool,
}

/// A stanza that a client has not acknowledged.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) stanza: Stanza,
    /// When it was received.
    pub(crate) since_ms: u64,
    /// The number of the row that keeps it on disk: that of the stanza, or a larger one when it
    /// has none yet.
    pub(crate) row: Option<u64>,
}

/// All sessions, by number and by account.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_number: BTreeMap<u64, Session>,
    by_account: BTreeMap<String, Vec<u64>>,
    restored: u64,
}

impl Session {
    pub(crate) fn new(jid: Jid) -> Self {
        Self {
            jid,
            available: false,
            priority: 0,
            ready_since: None,
            presence: None,
            directed: BTreeSet::new(),
            values: BTreeMap::new(),
            away: false,
            closing: false,
            until: None,
            is_held: false,
            inactive: None,
            sm: None,
        }
    }

    /// Notes whether it gets what is sent to the account.
    pub(crate) fn note_ready(&mut self, now_ms: u64) {
        let is_ready = self.available && self.priority >= 0 && !self.is_held;
        self.ready_since = is_ready.then(|| self.ready_since.unwrap_or(now_ms));
    }

    /// Returns the token of a session that can come back.
    pub(crate) fn token(&self) -> Option<&str> {
        self.sm.as_ref()?.token.as_deref()
    }

    pub(crate) fn resource(&self) -> &str {
        self.jid.resource().unwrap_or("")
    }

    pub(crate) fn row(&self) -> SessionRow {
        SessionRow {
            resource: self.resource().to_owned(),
            available: self.available,
            priority: self.priority,
            presence: self.presence.as_ref().map(Stanza::to_xml),
            away: self.away,
            closing: self.closing,
            resumable: self.token().is_some(),
            waiting_ms: self.sm.as_ref().and_then(Sm::waiting_ms),
            values: self.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }
}

impl Sm {
    /// Drops what the client says it received and returns how many that were, or `None` when it
    /// counts further than we sent.
    pub(crate) fn settle(&mut self, h: u32) -> Option<Vec<Waiting>> {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let left = self.sent.wrapping_sub(h);
        if left > waiting {
            return None;
        }
        let settled = usize::try_from(waiting.wrapping_sub(left)).unwrap_or(0);
        let done: Vec<_> = self.queue.drain(..settled).collect();
        for waiting in &done {
            self.bytes = self.bytes.saturating_sub(waiting.stanza.bytes());
        }
        if self.queue.is_empty() {
            self.queue.shrink_to_fit();
        }
        Some(done)
    }

    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.sent = self.sent.wrapping_add(1);
        self.push_unnumbered(waiting);
    }

    /// Adds what was read from disk, or came before its client did.
    pub(crate) fn push_unnumbered(&mut self, waiting: Waiting) {
        self.bytes = self.bytes.saturating_add(waiting.stanza.bytes());
        self.queue.push_back(waiting);
    }

    /// Returns the number of the next row.
    pub(crate) fn next_row(&self) -> u64 {
        if !self.is_restored {
            return u64::from(self.sent.wrapping_add(1));
        }
        let last = self.queue.back().and_then(|waiting| waiting.row).unwrap_or(0);
        last.max(UNNUMBERED).wrapping_add(1)
    }

    /// Settles what a client received before a restart, and numbers the rest anew.
    pub(crate) fn settle_restored(&mut self, h: u32) -> Vec<Waiting> {
        let was_received = |waiting: &Waiting| {
            let number = waiting.row.and_then(|row| u32::try_from(row).ok());
            number.is_some_and(|number| h.wrapping_sub(number) < u32::MAX / 2)
        };
        let (done, left) = self.queue.drain(..).partition::<Vec<_>, _>(was_received);
        self.queue = left.into();
        self.bytes = self.queue.iter().map(|waiting| waiting.stanza.bytes()).sum();
        self.sent = h.wrapping_add(u32::try_from(self.queue.len()).unwrap_or(0));
        self.is_restored = false;
        done
    }

    /// Returns when the oldest message came that waits and is worth telling of.
    fn waiting_ms(&self) -> Option<u64> {
        let is_news = |waiting: &&Waiting| {
            waiting.stanza.kind == Kind::Message && calypte::is_important(waiting.stanza.view())
        };
        self.queue.iter().find(is_news).map(|waiting| waiting.since_ms)
    }

    /// Returns the number of the oldest waiting stanza.
    pub(crate) fn first(&self) -> u32 {
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.sent.wrapping_sub(waiting).wrapping_add(1)
    }
}

impl Sessions {
    pub(crate) fn get(&self, number: u64) -> Option<&Session> {
        self.by_number.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Session> {
        self.by_number.get_mut(&number)
    }

    pub(crate) fn insert(&mut self, number: u64, session: Session) {
        let account = session.jid.as_ref().bare_str().to_owned();
        self.by_account.entry(account).or_default().push(number);
        self.by_number.insert(number, session);
    }

    /// Keeps a session that has no connection in this run.
    pub(crate) fn insert_restored(&mut self, session: Session) -> u64 {
        self.restored = self.restored.wrapping_add(1);
        let number = RESTORED | self.restored;
        self.insert(number, session);
        number
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Session> {
        let session = self.by_number.remove(&number)?;
        let account = session.jid.as_ref().bare_str();
        if let Some(numbers) = self.by_account.get_mut(account) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_account.remove(account);
            }
        }
        Some(session)
    }

    /// Holds no session any more.
    pub(crate) fn release_all(&mut self) {
        for session in self.by_number.values_mut() {
            if std::mem::take(&mut session.is_held) {
                // It cannot be said what it got meanwhile.
                session.note_ready(u64::MAX);
            }
        }
    }

    /// Returns the numbers of an account's sessions, in the order they came.
    pub(crate) fn of(&self, account: &str) -> &[u64] {
        self.by_account.get(account).map_or(&[], Vec::as_slice)
    }

    /// Returns an account's sessions, in the order they came.
    pub(crate) fn rows(&self, account: &str) -> impl Iterator<Item = (u64, &Session)> {
        self.of(account).iter().filter_map(|number| Some((*number, self.by_number.get(number)?)))
    }

    pub(crate) fn find(&self, account: &str, resource: &str) -> Option<u64> {
        let mut rows = self.rows(account);
        rows.find(|(_, session)| session.resource() == resource).map(|(number, _)| number)
    }

    pub(crate) fn find_token(&self, account: &str, token: &str) -> Option<u64> {
        let mut rows = self.rows(account);
        rows.find(|(_, session)| session.token() == Some(token)).map(|(number, _)| number)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sm(sent: u32, waiting: u32) -> Sm {
        let mut sm = Sm { sent: sent.wrapping_sub(waiting), ..Sm::default() };
        for _ in 0..waiting {
            let stanza = Stanza::parse("<message/>").unwrap();
            sm.push(Waiting { stanza, since_ms: 0, row: None });
        }
        sm
    }

    #[track_caller]
    fn check(sent: u32, waiting: u32, h: u32, expected: Option<usize>) {
        let mut sm = sm(sent, waiting);
        assert_eq!(sm.settle(h).map(|done| done.len()), expected);
        if expected.is_some() {
            assert_eq!(sm.sent, sent);
            assert_eq!(sm.queue.is_empty(), sm.bytes == 0);
        }
    }

    #[test]
    fn settles_what_is_new() {
        check(3, 3, 2, Some(2));
        check(3, 1, 2, Some(0));
        check(3, 3, 3, Some(3));
    }

    #[test]
    fn wraps() {
        check(1, 3, 0, Some(2));
    }

    #[test]
    fn refuses_counts_from_the_future_and_the_past() {
        check(3, 1, 4, None);
        check(3, 1, 1, None);
    }

    #[test]
    fn after_a_restart_the_client_knows_better() {
        let mut sm = Sm { is_restored: true, ..Sm::default() };
        for row in [3, 9, sm.next_row(), sm.next_row() + 1] {
            let stanza = Stanza::parse("<message/>").unwrap();
            sm.push_unnumbered(Waiting { stanza, since_ms: 0, row: Some(row) });
        }
        let done = sm.settle_restored(7);
        assert_eq!(done.iter().map(|waiting| waiting.row).collect::<Vec<_>>(), [Some(3)]);
        assert_eq!((sm.queue.len(), sm.sent, sm.first()), (3, 10, 8));
    }

    #[test]
    fn knows_the_number_of_the_oldest() {
        assert_eq!(sm(7, 3).first(), 5);
        assert_eq!(sm(1, 3).first(), u32::MAX);
    }
}
