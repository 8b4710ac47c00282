//! What shards have for one connection, from any thread, bounded in bytes; and which of the
//! connection's stanzas are dealt with.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use calypte::wire::{Token, TokenVerdict};
use xmpp::{Jid, Stanza, StanzaError, StreamError};

use crate::federation::route::Route;

/// Something for a connection.
#[derive(Debug)]
pub(crate) enum Word {
    /// Write a stanza.
    Stanza(Stanza),
    /// A token was checked.
    TokenChecked(TokenVerdict),
    /// What the client asked for while it bound is done; what to tell it of that.
    Bound(Box<Bound>),
    /// Acknowledgements are on.
    Enabled(Option<String>),
    /// An earlier session goes on here.
    Resumed(Box<Resumed>),
    /// The earlier session is gone.
    ResumeRefused,
    /// End the stream. The session is over.
    Close(StreamError),
    /// The server stops; the session may come back.
    Farewell,
    /// Carry what waits for another domain as well.
    Carry(Arc<Route>),
    /// What a client asked before it logged in is answered: the content of the result.
    Early(Result<Vec<u8>, StanzaError>),
}

/// An earlier session that goes on over this connection.
#[derive(Debug)]
pub(crate) struct Resumed {
    /// Who it is.
    pub(crate) jid: Jid,
    /// The name of the session.
    pub(crate) token: String,
    /// How many stanzas of the client were handled.
    pub(crate) handled: u32,
    /// What the client has not received.
    pub(crate) unacked: Vec<Stanza>,
    /// A token for the next login.
    pub(crate) fresh: Option<Token>,
}

/// What became of what a client asked for while it bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Elements that say their own namespaces.
    pub(crate) answers: Vec<String>,
    /// With acknowledgements: the name to come back by.
    pub(crate) enabled: Option<Option<String>>,
    /// A token for the next login.
    pub(crate) token: Option<Token>,
}

/// The meeting point of a connection and the shards.
#[derive(Debug)]
pub(crate) struct Outbox {
    id: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    words: VecDeque<Word>,
    bytes: usize,
    limit: usize,
    /// Something did not fit: the connection is too slow and has to go.
    is_full: bool,
    /// The connection is gone; nothing is kept for it.
    is_gone: bool,
    waker: Option<Waker>,
    work: Work,
}

/// Stanzas of the client: taken, and dealt with.
#[derive(Debug, Default)]
struct Work {
    /// All up to this one are dealt with.
    handled: u64,
    /// Dealt with although an earlier one is not: first number and how many, in any order.
    ahead: Vec<(u64, u64)>,
    stanzas: usize,
    bytes: usize,
    /// How often something was dealt with.
    news: u64,
    /// Whether the connection wants to know when something was dealt with.
    is_awaited: bool,
}

/// How much of a client's stanzas is under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UnderWay {
    /// All stanzas up to this one are dealt with.
    pub(crate) handled: u64,
    /// How many are not.
    pub(crate) stanzas: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// How often something was dealt with: tells whether this is still the newest.
    pub(crate) news: u64,
}

/// A promise to say when stanzas of a connection are dealt with: when the last copy is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Receipt(#[expect(dead_code, reason = "it works by being dropped")] Arc<Held>);

#[derive(Debug)]
struct Held {
    outbox: Arc<Outbox>,
    /// The number of the first stanza; the first of a connection is 1.
    first: u64,
    stanzas: usize,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.outbox.done(self.first, self.stanzas, self.bytes);
    }
}

impl Outbox {
    /// Returns an empty one for the connection `id` that holds `limit` bytes.
    pub(crate) fn new(id: u64, limit: usize) -> Arc<Self> {
        let state = State {
            words: VecDeque::new(),
            bytes: 0,
            limit,
            is_full: false,
            is_gone: false,
            waker: None,
            work: Work::default(),
        };
        Arc::new(Self { id, state: Mutex::new(state) })
    }

    /// Returns the number of the connection.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Adds a word and wakes the connection, once for any number of words.
    pub(crate) fn push(&self, word: Word) {
        let waker = {
            let mut state = self.lock();
            if state.is_gone || state.is_full {
                return;
            }
            let bytes = word.bytes();
            // One stanza always fits, however large: a stanza is bounded by itself.
            if state.bytes > 0 && bytes > 0 && state.bytes.saturating_add(bytes) > state.limit {
                state.is_full = true;
            } else {
                state.bytes = state.bytes.saturating_add(bytes);
                state.words.push_back(word);
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the oldest word.
    pub(crate) fn pop(&self) -> Option<Word> {
        let mut state = self.lock();
        let word = state.words.pop_front()?;
        state.bytes = state.bytes.saturating_sub(word.bytes());
        if state.words.is_empty() {
            state.words = VecDeque::new();
        }
        Some(word)
    }

    /// Tells whether something did not fit.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().is_full
    }

    /// Waits for the next word, and for stanzas that are dealt with when `wants_work` has what
    /// [`UnderWay::news`] was. Returns false when one is there already and `wants_words`, or when
    /// there is other news by now.
    pub(crate) fn sleep(&self, waker: &Waker, wants_words: bool, wants_work: Option<u64>) -> bool {
        let mut state = self.lock();
        if state.is_full || (wants_words && !state.words.is_empty()) {
            return false;
        }
        if wants_work.is_some_and(|seen| seen != state.work.news) {
            return false;
        }
        state.work.is_awaited = wants_work.is_some();
        match &state.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => state.waker = Some(waker.clone()),
        }
        true
    }

    /// Says that the connection is gone.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.is_gone = true;
        state.words = VecDeque::new();
        state.bytes = 0;
        state.waker = None;
    }

    /// Notes stanzas as under way. `first` is the number of the first of them.
    pub(crate) fn receipt(self: &Arc<Self>, first: u64, stanzas: usize, bytes: usize) -> Receipt {
        {
            let work = &mut self.lock().work;
            work.stanzas = work.stanzas.saturating_add(stanzas);
            work.bytes = work.bytes.saturating_add(bytes);
        }
        Receipt(Arc::new(Held { outbox: Arc::clone(self), first, stanzas, bytes }))
    }

    /// Returns how much is under way.
    pub(crate) fn under_way(&self) -> UnderWay {
        let work = &self.lock().work;
        UnderWay {
            handled: work.handled,
            stanzas: work.stanzas,
            bytes: work.bytes,
            news: work.news,
        }
    }

    fn done(&self, first: u64, stanzas: usize, bytes: usize) {
        let waker = {
            let mut state = self.lock();
            let work = &mut state.work;
            work.stanzas = work.stanzas.saturating_sub(stanzas);
            work.bytes = work.bytes.saturating_sub(bytes);
            work.news = work.news.wrapping_add(1);
            work.ahead.push((first, u64::try_from(stanzas).unwrap_or(0)));
            work.advance();
            if std::mem::take(&mut work.is_awaited) { state.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn advance(&mut self) {
        while let Some(index) =
            self.ahead.iter().position(|(first, _)| *first == self.handled.saturating_add(1))
        {
            let (_, count) = self.ahead.swap_remove(index);
            self.handled = self.handled.saturating_add(count);
        }
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
    }
}

impl Word {
    fn bytes(&self) -> usize {
        match self {
            Self::Stanza(stanza) => stanza.bytes(),
            // The engine bounds what a session may have unacknowledged.
            Self::Resumed(_) | Self::Bound(_) | Self::Enabled(_) => 0,
            Self::TokenChecked(_) | Self::Early(_) => 0,
            Self::ResumeRefused | Self::Close(_) | Self::Farewell | Self::Carry(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza() -> Stanza {
        Stanza::parse("<message><body>x</body></message>").unwrap()
    }

    #[test]
    fn is_bounded() {
        let bytes = stanza().bytes();
        let outbox = Outbox::new(1, 2 * bytes);
        outbox.push(Word::Stanza(stanza()));
        outbox.push(Word::Stanza(stanza()));
        assert!(!outbox.is_full());
        outbox.push(Word::Stanza(stanza()));
        assert!(outbox.is_full());
        assert!(outbox.pop().is_some() && outbox.pop().is_some() && outbox.pop().is_none());
    }

    #[test]
    fn counts_without_gaps() {
        let outbox = Outbox::new(1, 1000);
        let first = outbox.receipt(1, 2, 20);
        let second = outbox.receipt(3, 1, 10);
        let again = second.clone();
        assert_eq!(outbox.under_way().stanzas, 3);
        drop(second);
        drop(again);
        assert_eq!(outbox.under_way().handled, 0);
        drop(first);
        let under_way = outbox.under_way();
        assert_eq!((under_way.handled, under_way.stanzas, under_way.bytes), (3, 0, 0));
    }

    #[test]
    fn what_was_dealt_with_before_sleeping_is_not_missed() {
        let outbox = Outbox::new(1, 1000);
        let receipt = outbox.receipt(1, 1, 10);
        let seen = outbox.under_way().news;
        drop(receipt);
        assert!(!outbox.sleep(Waker::noop(), true, Some(seen)));
        let seen = outbox.under_way().news;
        assert!(outbox.sleep(Waker::noop(), true, Some(seen)));
        assert!(outbox.sleep(Waker::noop(), true, None));
    }

    #[test]
    fn nothing_is_kept_for_who_is_gone() {
        let outbox = Outbox::new(1, 1000);
        outbox.push(Word::Stanza(stanza()));
        outbox.leave();
        outbox.push(Word::Stanza(stanza()));
        assert!(outbox.pop().is_none());
    }
}
