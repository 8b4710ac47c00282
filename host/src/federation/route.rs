//! What waits for one pair of domains: in order, bounded in bytes, and carried by one connection at
//! a time.
//!
//! A stanza is taken by the connection that carries the route and stays counted here until the peer
//! has it. When the connection is lost, what the peer has not acknowledged goes back to the front.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use xmpp::{Kind, Stanza};

use super::trouble::Trouble;
use crate::clock;

/// How long a request, its answer or an error waits: who asked has given up by then, and a peer can
/// make us send errors to domains that do not exist.
const REQUEST_FOR: Duration = Duration::from_secs(60);
/// What an entry takes beside its stanza.
const ENTRY_BYTES: usize = 128;

/// The row that keeps a stanza in a shard until the peer has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// The shard.
    pub(crate) shard: u16,
    /// The key of the row there.
    pub(crate) key: Vec<u8>,
}

/// A stanza that leaves.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The stanza.
    pub(crate) stanza: Stanza,
    /// Its row; `None` for what nobody is promised.
    pub(crate) row: Option<Row>,
    /// When it was first sent, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// How often the peer ended the stream when this was the next that it had to acknowledge.
    pub(crate) refusals: u8,
}

impl Entry {
    /// Returns what it takes.
    pub(crate) fn bytes(&self) -> usize {
        let row = self.row.as_ref().map_or(0, |row| row.key.len());
        self.stanza.bytes().saturating_add(row).saturating_add(ENTRY_BYTES)
    }
}

/// Returns when `entry` has waited for too long, in milliseconds since 1970. `retry_for` is for
/// messages.
fn deadline_ms(entry: &Entry, retry_for: Duration) -> u64 {
    let is_short = entry.stanza.kind == Kind::Iq || entry.stanza.view().is_error();
    let wait = if is_short { retry_for.min(REQUEST_FOR) } else { retry_for };
    entry.since_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// How far a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was tried.
    Waiting,
    /// A connection is being made.
    Connecting,
    /// A connection carries it.
    Connected,
    /// The last attempt failed; the next one comes by itself.
    Resting,
    /// The peer is not trusted as it is; the next attempt comes by itself.
    Held,
}

impl Phase {
    /// Returns the word for the operator.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Resting => "resting",
            Self::Held => "held",
        }
    }
}

/// What the operator sees of a route.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// How far it is.
    pub(crate) phase: Phase,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// How many stanzas wait or are not acknowledged.
    pub(crate) waiting: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// When the next attempt is.
    pub(crate) next_ms: Option<u64>,
    /// What went wrong last.
    pub(crate) error: String,
}

/// What all routes together hold.
#[derive(Debug, Default)]
pub(crate) struct Total {
    bytes: AtomicUsize,
    stanzas: AtomicUsize,
}

impl Total {
    /// Returns how many stanzas wait or are not acknowledged, and their bytes.
    pub(crate) fn get(&self) -> (usize, usize) {
        (self.stanzas.load(Relaxed), self.bytes.load(Relaxed))
    }
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Route {
    /// Our domain.
    pub(crate) local: String,
    /// Theirs.
    pub(crate) remote: String,
    /// Wakes who looks after the route.
    pub(crate) call: Notify,
    /// How many stanzas the peer got.
    got: AtomicU64,
    total: Arc<Total>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Entry>,
    /// What is here or with the carrier.
    bytes: usize,
    stanzas: usize,
    carrier: Option<Carrier>,
    /// Whether somebody looks after the route.
    is_attended: bool,
    phase: Phase,
    since_ms: u64,
    next_ms: Option<u64>,
    /// What the last attempt came to, if it failed.
    trouble: Option<Trouble>,
    /// Whether no connection of another route can carry it.
    is_apart: bool,
}

#[derive(Debug)]
struct Carrier {
    id: u64,
    waker: Option<Waker>,
}

/// What became of a stanza that was to wait.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It waits.
    Waits,
    /// It waits, and somebody has to look after the route from now on.
    Attend,
    /// There is no room.
    Full(Entry),
    /// There is no way, and it is not worth waiting for one.
    Hopeless(Entry, Trouble),
}

/// What a route needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: nothing waits.
    Nothing,
    /// Nothing: a connection carries it.
    Carried,
    /// A connection.
    Connection,
}

impl Route {
    /// Returns an empty one.
    pub(crate) fn new(local: &str, remote: &str, total: Arc<Total>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            bytes: 0,
            stanzas: 0,
            carrier: None,
            is_attended: false,
            phase: Phase::Waiting,
            since_ms: clock::now_ms(),
            next_ms: None,
            trouble: None,
            is_apart: false,
        };
        Self {
            local: local.to_owned(),
            remote: remote.to_owned(),
            call: Notify::new(),
            got: AtomicU64::new(0),
            total,
            state: Mutex::new(state),
        }
    }

    /// Adds a stanza to the end. `limit` is what the route may hold, `all` what all may hold.
    pub(crate) fn push(&self, entry: Entry, limit: usize, all: usize) -> Pushed {
        let bytes = entry.bytes();
        let mut state = self.lock();
        if let (Some(trouble), None) = (&state.trouble, &state.carrier) {
            // While the route rests there is no way. What can wait does.
            if trouble.is_final() || entry.row.is_none() {
                let trouble = trouble.clone();
                return Pushed::Hopeless(entry, trouble);
            }
        }
        // What nobody is promised leaves room for what somebody is.
        let limit = if entry.row.is_none() { limit / 2 } else { limit };
        let all_bytes = self.total.bytes.load(Relaxed).saturating_add(bytes);
        // One stanza always fits, however large: a stanza is bounded by itself.
        if state.bytes > 0 && (state.bytes.saturating_add(bytes) > limit || all_bytes > all) {
            return Pushed::Full(entry);
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.stanzas = state.stanzas.saturating_add(1);
        self.total.bytes.fetch_add(bytes, Relaxed);
        self.total.stanzas.fetch_add(1, Relaxed);
        state.queue.push_back(entry);
        let waker = state.carrier.as_mut().and_then(|carrier| carrier.waker.take());
        let is_attended = std::mem::replace(&mut state.is_attended, true);
        let is_carried = state.carrier.is_some();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        } else if is_attended && !is_carried {
            self.call.notify_one();
        }
        if is_attended { Pushed::Waits } else { Pushed::Attend }
    }

    /// Lets the connection `id` carry the route. Returns false when another one does.
    pub(crate) fn attach(&self, id: u64) -> bool {
        let mut state = self.lock();
        if state.carrier.is_some() {
            return state.carrier.as_ref().is_some_and(|carrier| carrier.id == id);
        }
        state.carrier = Some(Carrier { id, waker: None });
        state.trouble = None;
        state.next_ms = None;
        state.enter(Phase::Connected);
        drop(state);
        self.call.notify_one();
        true
    }

    /// The connection `id` does not carry the route any more. What it took and the peer has not
    /// acknowledged is tried again, before all else.
    pub(crate) fn detach(&self, id: u64, taken: Vec<Entry>) {
        let mut state = self.lock();
        for entry in taken.into_iter().rev() {
            state.queue.push_front(entry);
        }
        if state.carrier.as_ref().is_some_and(|carrier| carrier.id == id) {
            state.carrier = None;
            state.enter(Phase::Waiting);
        }
        drop(state);
        self.call.notify_one();
    }

    /// A connection of another route cannot carry it.
    pub(crate) fn keep_apart(&self) {
        self.lock().is_apart = true;
        self.call.notify_one();
    }

    /// Tells whether no connection of another route can carry it.
    pub(crate) fn is_apart(&self) -> bool {
        self.lock().is_apart
    }

    /// Takes the next stanza for the connection `id`. When there is none, the connection is woken
    /// for it.
    pub(crate) fn take(&self, id: u64, waker: &Waker) -> Option<Entry> {
        let mut state = self.lock();
        let carrier = state.carrier.as_mut().filter(|carrier| carrier.id == id)?;
        carrier.waker = Some(waker.clone());
        let entry = state.queue.pop_front();
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        entry
    }

    /// Tells whether a connection carries it.
    pub(crate) fn is_carried(&self) -> bool {
        self.lock().carrier.is_some()
    }

    /// Tells whether nothing waits to be taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Stanzas that are not here any more, for whatever reason.
    pub(crate) fn forget<'a>(&self, entries: impl IntoIterator<Item = &'a Entry>) {
        let (mut bytes, mut stanzas) = (0_usize, 0_usize);
        for entry in entries {
            bytes = bytes.saturating_add(entry.bytes());
            stanzas = stanzas.saturating_add(1);
        }
        self.total.bytes.fetch_sub(bytes, Relaxed);
        self.total.stanzas.fetch_sub(stanzas, Relaxed);
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        state.stanzas = state.stanzas.saturating_sub(stanzas);
    }

    /// The peer got stanzas.
    pub(crate) fn note_got(&self, count: usize) {
        self.got.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns how many stanzas the peer got since the route was made.
    pub(crate) fn got(&self) -> u64 {
        self.got.load(Relaxed)
    }

    /// Returns what it needs.
    pub(crate) fn need(&self) -> Need {
        let state = self.lock();
        match (&state.carrier, state.queue.is_empty()) {
            (Some(_), _) => Need::Carried,
            (None, true) => Need::Nothing,
            (None, false) => Need::Connection,
        }
    }

    /// Takes the stanzas that have waited for too long.
    pub(crate) fn expire(&self, now_ms: u64, retry_for: Duration) -> Vec<Entry> {
        let is_over = |entry: &Entry| deadline_ms(entry, retry_for) <= now_ms;
        let mut state = self.lock();
        if !state.queue.iter().any(is_over) {
            return Vec::new();
        }
        let all = std::mem::take(&mut state.queue).into_iter();
        let (over, rest): (Vec<_>, Vec<_>) = all.partition(is_over);
        state.queue = rest.into();
        over
    }

    /// Takes all stanzas that wait, or only those of the moment.
    pub(crate) fn drain(&self, all: bool) -> Vec<Entry> {
        let mut state = self.lock();
        let queue = std::mem::take(&mut state.queue).into_iter();
        let (out, rest): (Vec<_>, Vec<_>) = queue.partition(|entry| all || entry.row.is_none());
        state.queue = rest.into();
        out
    }

    /// A connection is being made.
    pub(crate) fn note_attempt(&self) {
        let mut state = self.lock();
        if state.carrier.is_none() {
            state.next_ms = None;
            state.enter(Phase::Connecting);
        }
    }

    /// An attempt failed; the next one is at `next_ms`.
    pub(crate) fn note_trouble(&self, trouble: Trouble, next_ms: u64) {
        let mut state = self.lock();
        if state.carrier.is_none() {
            state.enter(if trouble.is_refusal() { Phase::Held } else { Phase::Resting });
            state.trouble = Some(trouble);
            state.next_ms = Some(next_ms);
        }
    }

    /// The rest is over: what comes now is worth an attempt.
    pub(crate) fn end_rest(&self) {
        let mut state = self.lock();
        if state.trouble.take().is_some() {
            state.next_ms = None;
            state.enter(Phase::Waiting);
        }
    }

    /// Says that nobody looks after the route any more. Returns false, and nothing changes, when
    /// `unless_needed` and it is needed.
    pub(crate) fn leave_unattended(&self, unless_needed: bool) -> bool {
        let mut state = self.lock();
        if unless_needed && (state.carrier.is_some() || state.stanzas > 0) {
            return false;
        }
        state.is_attended = false;
        true
    }

    /// Tells whether something waits and nobody looks after it; who asks has to.
    pub(crate) fn claim(&self) -> bool {
        let mut state = self.lock();
        let is_lonely = !state.is_attended && state.stanzas > 0;
        state.is_attended |= is_lonely;
        is_lonely
    }

    /// Tells whether nothing is here and nobody needs it.
    pub(crate) fn is_abandoned(&self) -> bool {
        let state = self.lock();
        !state.is_attended && state.carrier.is_none() && state.stanzas == 0
    }

    /// Returns what the operator sees.
    pub(crate) fn status(&self) -> Status {
        let state = self.lock();
        Status {
            phase: state.phase,
            since_ms: state.since_ms,
            waiting: state.stanzas,
            bytes: state.bytes,
            next_ms: state.next_ms,
            error: state.trouble.as_ref().map(|trouble| trouble.text.clone()).unwrap_or_default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.since_ms = clock::now_ms();
        }
    }
}

#[cfg(test)]
mod tests;
