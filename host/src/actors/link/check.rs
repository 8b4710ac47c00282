//! Keys that a peer shows to prove a domain (XEP-0220): asked of the server that has to know.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Poller, Poll};

use stream::s2s::{DialbackOutcome, Key};
use xmpp::{Condition, ErrorKind, StanzaError};

use super::Link;
use super::auth::identify_client;
use super::dial::{self, Errand, Purpose, Reached};
use super::trace::Tracer;
use super::transport::Channel;
use crate::actors::hall::Hall;
use crate::federation::identity::Identity;

/// Keys of one domain, and of all, that are asked about at a time.
const OF_ONE: usize = 4;
const OF_ALL: usize = 64;

/// A key that is being checked.
pub(super) struct Check {
    local: String,
    remote: String,
    outcome: Pin<Box<dyn Future<Output = DialbackOutcome>>>,
}

/// How many keys of which domain are asked about.
#[derive(Debug, Default)]
pub(crate) struct Checks(Mutex<BTreeMap<String, usize>>);

/// One of them. Dropping it makes room.
struct Turn {
    checks: Arc<Checks>,
    remote: String,
}

impl Checks {
    fn enter(self: &Arc<Self>, remote: &str) -> Option<Turn> {
        let mut checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = checks.get(remote).copied().unwrap_or(0);
        if of_one >= OF_ONE || checks.values().sum::<usize>() >= OF_ALL {
            return None;
        }
        checks.insert(remote.to_owned(), of_one.saturating_add(1));
        Some(Turn { checks: Arc::clone(self), remote: remote.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut checks = self.checks.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = checks.get_mut(&self.remote) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                checks.remove(&self.remote);
            }
        }
    }
}

impl Link {
    /// The peer shows a key.
    pub(super) fn check(&mut self, local: String, remote: String, key: Key, id: String) {
        let (hall, channel) = (Arc::clone(&self.hall), Arc::clone(&self.channel));
        let may = self.may_dial_back;
        let names = (local.clone(), remote.clone());
        let outcome = Box::pin(async move {
            if !may || !hall.federation.permits(&names.1) {
                return refused("this server does not talk to it");
            }
            find_out(&hall, &channel, names, key, id).await
        });
        self.checks.push(Check { local, remote, outcome });
    }

    /// Answers the peer for keys that were checked.
    pub(super) fn poll_checks(&mut self, poller: &mut Poller<'_>) {
        let mut index = 0;
        while let Some(check) = self.checks.get_mut(index) {
            let Poll::Ready(outcome) = check.outcome.as_mut().poll(poller) else {
                index = index.saturating_add(1);
                continue;
            };
            let Check { local, remote, .. } = self.checks.swap_remove(index);
            self.peering.answer_dialback(&local, &remote, outcome);
            self.take_events();
        }
    }
}

async fn find_out(
    hall: &Arc<Hall>,
    channel: &Channel,
    (local, remote): (String, String),
    key: Key,
    id: String,
) -> DialbackOutcome {
    match identify_client(hall, channel, &remote).await {
        // Its certificate says more than its DNS could.
        Identity::Valid | Identity::Dane => return DialbackOutcome::Valid,
        Identity::Refused(_) => return refused("its certificate is not the one in DNS"),
        Identity::Invalid(why) if !hall.federation.permits_dialback(&remote) => {
            tracing::info!(remote, why, "A server was refused that cannot prove its domain.");
            return refused("its certificate proves nothing, and dialback is not enough here");
        }
        Identity::None if !hall.federation.permits_dialback(&remote) => {
            return refused("it shows no certificate, and dialback is not enough here");
        }
        Identity::Invalid(_) | Identity::None => {}
    }
    let Some(_turn) = hall.checks.enter(&remote) else {
        return DialbackOutcome::Error(StanzaError::RESOURCE_CONSTRAINT);
    };
    let purpose = Purpose::Verify { id, key };
    let errand = Arc::new(Errand { local, remote, purpose, tracer: Tracer::default() });
    match dial::run(hall, &errand).await {
        Ok(Reached::Verified(outcome)) => outcome,
        Ok(_) => DialbackOutcome::Error(StanzaError::INTERNAL),
        Err(trouble) if trouble.is_unknown => {
            DialbackOutcome::Error(StanzaError::REMOTE_SERVER_NOT_FOUND)
        }
        Err(_) => DialbackOutcome::Error(StanzaError::new(
            ErrorKind::Wait,
            Condition::RemoteServerTimeout,
        )),
    }
}

fn refused(why: &'static str) -> DialbackOutcome {
    DialbackOutcome::Error(StanzaError::NOT_AUTHORIZED.with_text(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_domain_takes_not_all_turns() {
        let checks = Arc::new(Checks::default());
        let turns: Vec<_> = (0..OF_ONE).map(|_| checks.enter("a.example").unwrap()).collect();
        assert!(checks.enter("a.example").is_none());
        assert!(checks.enter("b.example").is_some());
        drop(turns);
        assert!(checks.enter("a.example").is_some());
        assert!(checks.0.lock().unwrap().is_empty());
    }
}
