//! Who looks after a route: sees to it that a connection carries it, waits between attempts, and
//! gives back what has waited for too long.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::dial::{self, Errand, Purpose};
use super::send::give_back;
use super::trace::Tracer;
use crate::actors::hall::Hall;
use crate::actors::outbox::Word;
use crate::clock;
use crate::federation::route::{Need, Route};
use crate::federation::trouble::{Failed, Trouble};

/// The rest after a first failure, and the longest.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(300);
/// The longest for a domain that is not there: it may be made, or was misspelt by one of many.
const REST_UNKNOWN: Duration = Duration::from_secs(30);
/// How often what waits is looked at, for what has waited too long.
const LOOK: Duration = Duration::from_secs(1);
/// How long a connection that another route uses may take to carry this one as well.
const SHARE_WITHIN: Duration = Duration::from_secs(10);
/// After so long without anything to do, nobody looks after the route any more.
const IDLE: Duration = Duration::from_secs(60);

/// Looks after `route` from now on, on the arbiter of its remote domain.
pub(crate) fn attend(hall: &Arc<Hall>, route: Arc<Route>) {
    let shard = engine::shard_of(&route.remote, hall.shards());
    let Some(arbiter) = hall.arbiter(shard) else {
        route.leave_unattended(false);
        return;
    };
    let hall = Arc::clone(hall);
    arbiter.spawn_fn(move || {
        let courier = Courier {
            hall,
            route,
            rest: REST_MIN,
            rest_until: None,
            trouble: None,
            shared_at: None,
            got: 0,
            was_reached: false,
            has_left: false,
        };
        drop(actix::spawn(courier.run()));
    });
}

struct Courier {
    hall: Arc<Hall>,
    route: Arc<Route>,
    /// How long the next rest is.
    rest: Duration,
    rest_until: Option<Instant>,
    /// What the last attempt came to, if it failed.
    trouble: Option<Trouble>,
    /// When a connection of another route was asked to carry this one.
    shared_at: Option<Instant>,
    /// How many stanzas the peer had got when the last attempt began.
    got: u64,
    /// Whether the last attempt made a connection.
    was_reached: bool,
    /// Whether it left in good order.
    has_left: bool,
}

impl Drop for Courier {
    fn drop(&mut self) {
        // Otherwise it panicked. What comes next finds somebody new.
        if !self.has_left {
            self.route.leave_unattended(false);
        }
    }
}

impl Courier {
    async fn run(mut self) {
        let mut idle_since = Instant::now();
        loop {
            if self.hall.federation.is_closed() {
                // What waits stays in its rows.
                return;
            }
            self.give_up();
            let now = Instant::now();
            let mut wake_at = now + IDLE;
            match self.route.need() {
                Need::Carried => {
                    self.shared_at = None;
                    self.trouble = None;
                    idle_since = now;
                }
                Need::Nothing => {
                    let is_rested = self.rest_until.is_none_or(|until| now >= until);
                    if is_rested {
                        // What comes after a rest is worth an attempt.
                        self.end_rest();
                    }
                    if is_rested && now >= idle_since + IDLE && self.leave() {
                        return;
                    }
                    wake_at = self.rest_until.unwrap_or(wake_at);
                }
                Need::Connection => {
                    idle_since = now;
                    wake_at = now + LOOK;
                    if !self.is_resting(now) && !self.is_shared(now) {
                        self.connect().await;
                        continue;
                    }
                }
            }
            tokio::select! {
                () = self.route.call.notified() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Gives back what has waited for too long.
    fn give_up(&self) {
        let over = self.route.expire(clock::now_ms(), self.hall.federation.retry_for());
        if over.is_empty() {
            return;
        }
        let trouble = self.trouble.clone();
        let trouble =
            trouble.unwrap_or_else(|| Trouble::new(Failed::Timeout, "its server does not take it"));
        give_back(&self.hall, &self.route, over, |_| {
            // Whatever happened: it was waited for.
            let waited = Trouble { is_unknown: false, ..trouble.clone() };
            waited.error(&self.route.remote)
        });
    }

    fn is_resting(&mut self, now: Instant) -> bool {
        // The operator, or a connection that came meanwhile, may have ended it.
        if self.route.status().next_ms.is_none() {
            self.rest_until = None;
        }
        self.rest_until.is_some_and(|until| now < until)
    }

    fn end_rest(&mut self) {
        self.rest_until = None;
        self.trouble = None;
        self.route.end_rest();
    }

    /// Asks a connection that is there to carry the route. Returns false when there is none.
    fn is_shared(&mut self, now: Instant) -> bool {
        if let Some(asked) = self.shared_at {
            if now < asked + SHARE_WITHIN && !self.route.is_apart() {
                return true;
            }
            // It had its time.
            return false;
        }
        let (local, remote) = (&self.route.local, &self.route.remote);
        let federation = &self.hall.federation;
        let known = federation.carrier(local, remote);
        let known = known
            .or_else(|| (!self.route.is_apart()).then(|| federation.companion(remote)).flatten());
        let Some(outbox) = known else { return false };
        self.shared_at = Some(now);
        outbox.push(Word::Carry(Arc::clone(&self.route)));
        true
    }

    /// Makes an attempt, and looks after what waits meanwhile.
    async fn connect(&mut self) {
        self.shared_at = None;
        let got = self.route.got();
        if self.was_reached && got == self.got {
            // The peer lets us in and takes nothing: that is no way either.
            self.was_reached = false;
            return self.failed(Trouble::new(Failed::Closed, "its server takes nothing"));
        }
        if got != self.got {
            self.rest = REST_MIN;
        }
        self.got = got;
        self.route.note_attempt();
        let errand = Arc::new(Errand {
            local: self.route.local.clone(),
            remote: self.route.remote.clone(),
            purpose: Purpose::Carry,
            tracer: Tracer::default(),
        });
        let hall = Arc::clone(&self.hall);
        let mut attempt = pin!(dial::run(&hall, &errand));
        let outcome = loop {
            tokio::select! {
                outcome = &mut attempt => break outcome,
                () = tokio::time::sleep(LOOK) => self.give_up(),
            }
        };
        match outcome {
            Ok(_) => {
                self.was_reached = true;
                self.trouble = None;
                self.rest_until = None;
            }
            Err(trouble) => self.failed(trouble),
        }
    }

    fn failed(&mut self, trouble: Trouble) {
        if self.route.need() == Need::Carried {
            // The peer came to us meanwhile.
            return;
        }
        tracing::info!(
            remote = self.route.remote,
            failed = trouble.failed.name(),
            why = trouble.text,
            "Another server cannot be reached."
        );
        let now_ms = clock::now_ms();
        let held = trouble.hold_until_ms.map_or(0, |until| until.saturating_sub(now_ms));
        let longest = if trouble.is_final() { REST_UNKNOWN } else { REST_MAX };
        let rest = jitter(self.rest.min(longest)).max(Duration::from_millis(held));
        self.rest = self.rest.saturating_mul(2).min(REST_MAX);
        self.rest_until = Some(Instant::now() + rest);
        let next_ms = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        self.route.note_trouble(trouble.clone(), now_ms.saturating_add(next_ms));
        // Without a server, nothing waits; without a way, nothing of the moment does.
        let over = self.route.drain(trouble.is_final());
        let error = trouble.error(&self.route.remote);
        give_back(&self.hall, &self.route, over, |_| error.clone());
        self.trouble = Some(trouble);
    }

    /// Nobody needs the route. Returns whether that is so.
    fn leave(&mut self) -> bool {
        self.has_left = self.route.leave_unattended(true);
        if self.has_left {
            self.hall.federation.sweep(&self.route);
        }
        self.has_left
    }
}

/// Returns a time between three quarters and five quarters of `rest`, so that not all servers come
/// back at the same moment.
fn jitter(rest: Duration) -> Duration {
    let mut chance = [0; 1];
    crypto::random(&mut chance);
    let [chance] = chance;
    rest.saturating_mul(384 + u32::from(chance)) / 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_differ_by_a_quarter() {
        let all: Vec<_> = (0..200).map(|_| jitter(Duration::from_secs(4))).collect();
        assert!(all.iter().all(|rest| *rest >= Duration::from_secs(3)));
        assert!(all.iter().all(|rest| *rest < Duration::from_secs(5)));
        assert!(all.iter().any(|rest| *rest != all[0]));
    }
}
