//! Connections with other servers that wait for what modules say to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use calypte::wire::PeerVerdict;
use tokio::sync::oneshot;

/// How long modules may take.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// See the file.
#[derive(Default)]
pub(crate) struct Verdicts(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    last: u64,
    takers: BTreeMap<u64, oneshot::Sender<Box<PeerVerdict>>>,
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdicts").field("waiting", &self.lock().takers.len()).finish()
    }
}

impl Verdicts {
    /// Returns the number of a new question, and where its answer comes. As many wait as there are
    /// connections, which are bounded.
    pub(super) fn ask(&self) -> (u64, oneshot::Receiver<Box<PeerVerdict>>) {
        let (tell, told) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.last = waiting.last.wrapping_add(1);
        let token = waiting.last;
        waiting.takers.insert(token, tell);
        (token, told)
    }

    /// Hands an answer over. One that nobody waits for any more is dropped.
    pub(super) fn answer(&self, token: u64, verdict: Box<PeerVerdict>) {
        let taker = self.lock().takers.remove(&token);
        if let Some(taker) = taker {
            drop(taker.send(verdict));
        }
    }

    /// Nobody waits any more.
    pub(super) fn forget(&self, token: u64) {
        self.lock().takers.remove(&token);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
