//! What waits for a shard, from any thread. It outlives the shard's actor, so that a shard which
//! is made anew finds it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use engine::{Event, Leg, Limits, Pipeline};

use super::outbox::{Outbox, Receipt};

/// What may be under way in one shard before clients are not read any more, in bytes.
const BUDGET_BYTES: usize = 64 << 20;

/// Something for a shard.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// What happened on a connection, in order.
    Client {
        /// Where the connection takes what is for it, when the shard does not know it yet.
        link: Option<Arc<Outbox>>,
        /// What happened.
        events: Vec<Event>,
        /// Dropped when all of it is dealt with.
        receipt: Option<Receipt>,
    },
    /// A stanza from another shard.
    Leg {
        /// The stanza.
        leg: Box<Leg>,
        /// Dropped when it is dealt with.
        receipt: Option<Receipt>,
    },
    /// Something else that happened.
    Event(Box<Event>),
    /// Something else that happened. The sender is told when that is dealt with, and dropped when it
    /// cannot be.
    Awaited(Box<Event>, std::sync::mpsc::Sender<()>),
    /// Other modules and bounds are in force.
    Reconfigure(Box<Pipeline>, Limits),
    /// Serve again after a panic, with these modules.
    Rise(Box<Pipeline>),
}

/// The queue of a shard.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    /// Bytes of stanzas under way: here, and in the shard until they are on disk.
    bytes: AtomicUsize,
    /// Whether the shard waits for the disk.
    waits_for_disk: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    waker: Option<Waker>,
    /// Connections that are not read until there is room.
    held_up: Vec<Waker>,
}

impl Inbox {
    /// Adds a parcel and wakes the shard, once for any number of parcels.
    pub(crate) fn push(&self, parcel: Parcel) {
        let waker = {
            let mut queue = self.lock();
            queue.parcels.push_back(parcel);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes all parcels.
    pub(crate) fn take(&self) -> VecDeque<Parcel> {
        std::mem::take(&mut self.lock().parcels)
    }

    /// Tells whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().parcels.is_empty()
    }

    /// Puts parcels back in front of those that came since.
    pub(crate) fn put_back(&self, mut parcels: VecDeque<Parcel>) {
        let mut queue = self.lock();
        parcels.append(&mut queue.parcels);
        queue.parcels = parcels;
    }

    /// Says who is woken for news. To be called before looking for any: what comes while the shard
    /// is at work wakes it again.
    pub(crate) fn attend(&self, waker: &Waker) {
        let mut queue = self.lock();
        match &queue.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => queue.waker = Some(waker.clone()),
        }
    }

    /// Waits for the next parcel. Returns false when there are more than `known` already.
    pub(crate) fn sleep(&self, waker: &Waker, known: usize) -> bool {
        let mut queue = self.lock();
        if queue.parcels.len() > known {
            return false;
        }
        match &queue.waker {
            Some(known) if known.will_wake(waker) => {}
            _ => queue.waker = Some(waker.clone()),
        }
        true
    }

    /// Wakes the shard.
    pub(crate) fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Says whether the shard waits for the disk. Ordered with the ticket of the store that the
    /// shard reads next: either it sees the news, or the writer sees that it waits.
    pub(crate) fn set_waits_for_disk(&self, waits: bool) {
        self.waits_for_disk.store(waits, SeqCst);
    }

    /// Wakes the shard if it waits for the disk.
    pub(crate) fn on_durable(&self) {
        if self.waits_for_disk.load(SeqCst) {
            self.wake();
        }
    }

    /// Counts bytes that are under way now.
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes that are not under way any more.
    pub(crate) fn remove(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let before = self.bytes.fetch_sub(bytes, Relaxed);
        if before >= BUDGET_BYTES && before.saturating_sub(bytes) < BUDGET_BYTES {
            let held_up = std::mem::take(&mut self.lock().held_up);
            for waker in held_up {
                waker.wake();
            }
        }
    }

    /// Tells whether a connection may be read; if not, it is woken when it may.
    pub(crate) fn has_room(&self, waker: &Waker) -> bool {
        if self.bytes.load(Relaxed) < BUDGET_BYTES {
            return true;
        }
        let mut queue = self.lock();
        if self.bytes.load(Relaxed) < BUDGET_BYTES {
            return true;
        }
        if !queue.held_up.iter().any(|known| known.will_wake(waker)) {
            queue.held_up.push(waker.clone());
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under the lock can panic half-way.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_held_up_above_the_budget() {
        let inbox = Inbox::default();
        let waker = Waker::noop();
        assert!(inbox.has_room(waker));
        inbox.add(BUDGET_BYTES + 5);
        assert!(!inbox.has_room(waker));
        inbox.remove(10);
        assert!(inbox.has_room(waker));
        assert!(inbox.lock().held_up.is_empty());
    }

    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn news_of_the_disk_during_a_turn_is_not_lost() {
        let inbox = Inbox::default();
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        // A parcel took the waker, so that the turn began.
        assert!(inbox.sleep(&waker, 0));
        inbox.push(Parcel::Event(Box::new(Event::Tick)));
        assert_eq!(woken.0.load(Relaxed), 1);
        inbox.attend(&waker);
        assert_eq!(inbox.take().len(), 1);
        inbox.set_waits_for_disk(true);
        inbox.on_durable();
        assert_eq!(woken.0.load(Relaxed), 2);
        assert!(inbox.sleep(&waker, 0));
    }

    #[test]
    fn what_is_put_back_comes_first() {
        let inbox = Inbox::default();
        inbox.push(Parcel::Event(Box::new(Event::Closed { session: 1 })));
        let taken = inbox.take();
        inbox.push(Parcel::Event(Box::new(Event::Tick)));
        inbox.put_back(taken);
        let first = inbox.take().pop_front();
        assert!(
            matches!(first, Some(Parcel::Event(event)) if matches!(*event, Event::Closed { .. }))
        );
    }
}
