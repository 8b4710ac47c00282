//! Sessions of clients that come by requests of HTTP, by their names; and what was posted to each.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use stream::bosh::Request;
use tokio::sync::oneshot;

/// Requests that wait to be looked at: those that a session may hold, and a few that are sent again.
const WAITING_MAX: usize = 6;
/// Bytes of chance in the name of a session. Who knows the name can speak in it.
const SID_BYTES: usize = 16;

/// Something that a client posted.
#[derive(Debug)]
pub(crate) struct Posted {
    /// What it is.
    pub(crate) request: Request,
    /// How long it was.
    pub(crate) bytes: usize,
    /// Who takes the answer.
    pub(crate) answer: oneshot::Sender<String>,
}

/// What was posted to one session.
#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    is_known: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Posted>,
    waker: Option<Waker>,
    is_gone: bool,
}

impl Mailbox {
    /// Hands something to the session. Returns whether it was taken; what was not is dropped, and
    /// with it who waits for an answer learns.
    pub(crate) fn put(&self, posted: Posted) -> bool {
        let waker = {
            let mut state = self.lock();
            if state.is_gone || state.waiting.len() >= WAITING_MAX {
                return false;
            }
            state.waiting.push_back(posted);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Takes the oldest, or wakes later.
    pub(super) fn take(&self, waker: &Waker) -> Option<Posted> {
        let mut state = self.lock();
        let posted = state.waiting.pop_front();
        if posted.is_none() {
            state.waker = Some(waker.clone());
        }
        posted
    }

    /// Notes that the client has proved who it is.
    pub(super) fn logged_in(&self) {
        self.is_known.store(true, Relaxed);
    }

    /// Tells whether it has.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known.load(Relaxed)
    }

    /// Takes nothing any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_gone = true;
        state.waiting.clear();
        state.waker = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<String, Arc<Mailbox>>>);

/// The name of a session. Dropping it takes the session off the list.
pub(super) struct Entry {
    sessions: Arc<Sessions>,
    sid: String,
}

impl Sessions {
    /// Returns what is posted to the session of this name.
    pub(crate) fn find(&self, sid: &str) -> Option<Arc<Mailbox>> {
        self.lock().get(sid).cloned()
    }

    /// Adds a session, with a name that nobody can guess.
    pub(super) fn add(self: &Arc<Self>) -> (Entry, Arc<Mailbox>) {
        let mut chance = [0; SID_BYTES];
        crypto::random(&mut chance);
        let sid = crate::hex::write(&chance);
        let mailbox = Arc::new(Mailbox::default());
        self.lock().insert(sid.clone(), Arc::clone(&mailbox));
        (Entry { sessions: Arc::clone(self), sid }, mailbox)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mailbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("count", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Entry {
    /// Returns the name.
    pub(super) fn sid(&self) -> &str {
        &self.sid
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.sid);
    }
}
