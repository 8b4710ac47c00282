//! The actor of a shard: wakes its worker for parcels, for the disk and at the times it asked for.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use actix::prelude::*;
use engine::{Event, Pipeline};
use tokio::time::{Instant, Sleep, sleep_until};

use super::hall::Hall;
use super::inbox::{Inbox, Parcel};
use super::worker::Worker;
use crate::clock;

/// Parcels before other actors of the arbiter have their turn.
const TURN: usize = 64;
/// The longest sleep. The wall clock may have been set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// See the file.
pub(crate) struct Shard {
    worker: Rc<RefCell<Worker>>,
    inbox: Arc<Inbox>,
    timer: Option<(u64, Pin<Box<Sleep>>)>,
    lease: Lease,
}

/// Reports the end of the actor, also that by a panic.
#[derive(Debug)]
struct Lease {
    number: u16,
    hall: Arc<Hall>,
    /// Whether the end is wanted.
    is_over: bool,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_over {
            self.hall.report_death(self.number);
        }
    }
}

impl Shard {
    /// Returns the actor of shard `number` for the arbiter that this runs on. The worker of an
    /// earlier actor goes on.
    pub(crate) fn new(number: u16, hall: &Arc<Hall>) -> Self {
        let worker = Worker::here().unwrap_or_else(|| {
            let worker = Rc::new(RefCell::new(Worker::new(number, hall)));
            Worker::install(&worker);
            worker
        });
        let inbox = hall.inbox(number).cloned().unwrap_or_default();
        let lease = Lease { number, hall: Arc::clone(hall), is_over: false };
        Self { worker, inbox, timer: None, lease }
    }

    /// Starts to serve.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) fn rise(&self, pipeline: Pipeline) -> Result<(), String> {
        self.worker.borrow_mut().rise(pipeline)
    }

    fn turn(&mut self, poller: &mut Poller<'_>) {
        self.inbox.attend(poller.waker());
        let mut worker = self.worker.borrow_mut();
        worker.settle();
        let mut parcels = self.inbox.take();
        for _ in 0..TURN {
            // A shard that is down takes only what makes it rise.
            let next = if worker.is_up() {
                parcels.pop_front()
            } else {
                let rise = parcels.iter().position(|one| matches!(one, Parcel::Rise(_)));
                rise.and_then(|index| parcels.remove(index))
            };
            let Some(parcel) = next else { break };
            worker.take(parcel);
        }
        worker.settle();
        let known = if worker.is_up() { 0 } else { parcels.len() };
        if !parcels.is_empty() {
            self.inbox.put_back(parcels);
        }
        let wake_at = worker.wake_at();
        drop(worker);
        let is_due = self.is_due(wake_at, poller);
        if is_due || !self.inbox.sleep(poller.waker(), known) {
            poller.waker().wake_by_ref();
        }
    }

    /// Sets the timer. When its time has come, the worker is told and true is returned.
    fn is_due(&mut self, wake_at: Option<u64>, poller: &mut Poller<'_>) -> bool {
        let Some(at) = wake_at else {
            self.timer = None;
            return false;
        };
        let now = clock::now_ms();
        if at <= now {
            self.timer = None;
            let tick = Parcel::Event(Box::new(Event::Tick));
            self.worker.borrow_mut().take(tick);
            return true;
        }
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            let left = Duration::from_millis(at.saturating_sub(now)).min(SLEEP_MAX);
            self.timer = Some((at, Box::pin(sleep_until(Instant::now() + left))));
        }
        let is_over = |timer: &mut (u64, Pin<Box<Sleep>>)| timer.1.as_mut().poll(poller).is_ready();
        let is_over = self.timer.as_mut().is_some_and(is_over);
        if is_over {
            self.timer = None;
        }
        is_over
    }
}

/// The one future of the actor.
struct Turns;

impl ActorFuture<Shard> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        shard: &mut Shard,
        _: &mut Context<Shard>,
        poller: &mut Poller<'_>,
    ) -> Poll<()> {
        shard.turn(poller);
        Poll::Pending
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Turns);
    }
}

/// The server stops: the actor ends without being made anew.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct End;

impl Handler<End> for Shard {
    type Result = ();

    fn handle(&mut self, _: End, context: &mut Self::Context) {
        self.lease.is_over = true;
        context.stop();
    }
}
