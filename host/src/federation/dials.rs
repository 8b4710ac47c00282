//! How many attempts to reach servers are made at a time: of all, and below one parent domain, so
//! that who makes up names of servers that only hold on does not keep us from all others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::lock;
use super::names::parent;

/// The most attempts at a time.
const OF_ALL: usize = 256;
/// The most below one parent domain.
const OF_ONE: usize = 16;

/// See the file.
#[derive(Debug)]
pub(crate) struct Dials {
    all: Semaphore,
    crowds: Mutex<BTreeMap<String, Crowd>>,
}

/// Who wants to reach a server below one parent domain.
#[derive(Debug)]
struct Crowd {
    /// How many make an attempt or wait for it.
    count: usize,
    turns: Arc<Semaphore>,
}

/// A place in a crowd. Dropping it gives the place back.
struct Seat<'a> {
    dials: &'a Dials,
    parent: &'a str,
    turns: Arc<Semaphore>,
}

impl Default for Dials {
    fn default() -> Self {
        Self { all: Semaphore::new(OF_ALL), crowds: Mutex::default() }
    }
}

impl Dials {
    /// Makes an attempt to reach a server of `remote` when its turn has come.
    pub(crate) async fn take_turn<T>(&self, remote: &str, attempt: impl Future<Output = T>) -> T {
        let seat = self.sit(parent(remote));
        let _of_one = seat.turns.acquire().await;
        let _of_all = self.all.acquire().await;
        attempt.await
    }

    fn sit<'a>(&'a self, parent: &'a str) -> Seat<'a> {
        let mut crowds = lock(&self.crowds);
        let crowd = crowds
            .entry(parent.to_owned())
            .or_insert_with(|| Crowd { count: 0, turns: Arc::new(Semaphore::new(OF_ONE)) });
        crowd.count = crowd.count.saturating_add(1);
        Seat { dials: self, parent, turns: Arc::clone(&crowd.turns) }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut crowds = lock(&self.dials.crowds);
        if let Some(crowd) = crowds.get_mut(self.parent) {
            crowd.count = crowd.count.saturating_sub(1);
            if crowd.count == 0 {
                crowds.remove(self.parent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn one_parent_does_not_take_all_turns() {
        let dials = Dials::default();
        let mut poller = Context::from_waker(Waker::noop());
        let names: Vec<String> = (0..OF_ALL).map(|n| format!("n{n}.evil.example")).collect();
        let mut hanging = Vec::new();
        for name in &names {
            let mut attempt = Box::pin(dials.take_turn(name, pending::<()>()));
            assert!(attempt.as_mut().poll(&mut poller).is_pending());
            hanging.push(attempt);
        }
        let mut more = pin!(dials.take_turn("evil.example", async {}));
        assert!(more.as_mut().poll(&mut poller).is_pending());
        let mut honest = pin!(dials.take_turn("honest.example", async {}));
        assert!(honest.as_mut().poll(&mut poller).is_ready());
        drop(hanging);
        assert!(more.as_mut().poll(&mut poller).is_ready());
        assert!(lock(&dials.crowds).is_empty());
    }
}
