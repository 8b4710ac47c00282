//! One attempt to reach a server: all its targets, in order, until one does what is wanted.

use std::sync::Arc;

use calypte::wire::{PeerFacts, PeerStage, PeerVerdict};
use stream::s2s::{DialbackOutcome, Key};
use tokio::sync::oneshot;

use super::Link;
use super::trace::Tracer;
use crate::actors::hall::Hall;
use crate::federation::dial;
use crate::federation::resolve::{NoWay, Target};
use crate::federation::trouble::{Failed, Trouble};

/// The most targets of one attempt, with those that modules name.
const TARGETS_MAX: usize = 12;

/// Whom to reach, and what for.
#[derive(Debug)]
pub(super) struct Errand {
    /// Our domain.
    pub(super) local: String,
    /// Theirs.
    pub(super) remote: String,
    /// What for.
    pub(super) purpose: Purpose,
    /// Who follows it.
    pub(super) tracer: Tracer,
}

/// What to do there.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Carry what waits.
    Carry,
    /// Ask whether a dialback key is theirs.
    Verify {
        /// The name of the stream that the key is for.
        id: String,
        /// The key.
        key: Key,
    },
    /// See how far it goes.
    Look,
}

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Reached {
    /// A connection carries what waits.
    Carrying,
    /// The key was looked at.
    Verified(DialbackOutcome),
    /// All went well.
    Seen,
}

impl Errand {
    /// Tells whether it is only to see how far it goes.
    pub(super) fn is_look(&self) -> bool {
        matches!(self.purpose, Purpose::Look)
    }

    /// Tells whether modules are asked: not for a key, which proves nothing by itself.
    pub(super) fn is_judged(&self) -> bool {
        !matches!(self.purpose, Purpose::Verify { .. })
    }
}

/// Tries all targets of the domain. Ends when one did what is wanted; a connection that carries
/// goes on by itself.
///
/// # Errors
///
/// What went furthest and still failed.
pub(super) async fn run(hall: &Arc<Hall>, errand: &Arc<Errand>) -> Result<Reached, Trouble> {
    let outcome = try_all(hall, errand).await;
    let Err(mut trouble) = outcome else { return outcome };
    hall.shared.metrics.s2s_out_failed.of(trouble.failed.name()).one();
    if errand.is_judged() && trouble.reason.is_none() {
        let failure = trouble.failed.name().to_owned();
        let facts = PeerFacts { stage: PeerStage::Failed, failure, ..facts(hall, errand) };
        let verdict = hall.judge_peer(facts).await;
        trouble.reason = verdict.refuse.map(|(_, reason)| reason);
        trouble.hold_until_ms = verdict.hold_until_ms;
    }
    // What a policy holds is not given up because somebody lies about the domain.
    trouble.is_unknown &= trouble.reason.is_none() && trouble.hold_until_ms.is_none();
    Err(trouble)
}

async fn try_all(hall: &Arc<Hall>, errand: &Arc<Errand>) -> Result<Reached, Trouble> {
    let mut endpoints = Vec::new();
    if errand.is_judged() {
        let verdict = hall.judge_peer(facts(hall, errand)).await;
        endpoints = permitted(verdict)?;
    }
    let mut targets = Vec::new();
    for endpoint in &endpoints {
        let Some((host, port)) = direct(endpoint) else { continue };
        match hall.federation.resolver.target(host, port, true).await {
            Ok(target) => targets.push(target),
            Err(why) => errand.tracer.note("dns", &format!("{host}: {why}")),
        }
    }
    let found = hall.federation.resolver.targets(&errand.remote).await;
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            errand.tracer.failed("dns", &why.to_string());
            if targets.is_empty() {
                return Err(unfound(&why));
            }
            Vec::new()
        }
    };
    for target in found {
        if !targets.iter().any(|known| known.host == target.host && known.port == target.port) {
            targets.push(target);
        }
    }
    targets.truncate(TARGETS_MAX);
    errand.tracer.targets(&targets);
    let mut worst: Option<Trouble> = None;
    for target in targets {
        let attempt = try_one(hall, errand, target);
        let outcome = match errand.purpose {
            Purpose::Carry => hall.federation.dials.take_turn(&errand.remote, attempt).await,
            // Keys have bounds of their own: two servers that wait for each other would wait long.
            Purpose::Verify { .. } | Purpose::Look => attempt.await,
        };
        match outcome {
            Ok(reached) => return Ok(reached),
            Err(trouble) => {
                tracing::debug!(
                    remote = errand.remote,
                    failed = trouble.failed.name(),
                    why = trouble.text,
                    "A server was not reached."
                );
                errand.tracer.failed(trouble.failed.name(), &trouble.text);
                if worst.as_ref().is_none_or(|worst| trouble.says_as_much_as(worst)) {
                    worst = Some(trouble);
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| Trouble::new(Failed::Dns, "no server was found")))
}

async fn try_one(
    hall: &Arc<Hall>,
    errand: &Arc<Errand>,
    target: Target,
) -> Result<Reached, Trouble> {
    let within = hall.shared.config.load().federation.connect_within.0;
    let socket = dial::connect(&target, within).await;
    let socket = socket.map_err(|why| Trouble::new(Failed::Connect, why))?;
    errand.tracer.fine("connect", &format!("{} port {}", target.host, target.port));
    let (tell, told) = oneshot::channel();
    let link = Link::outgoing(hall, socket, errand, target, tell)
        .map_err(|why| Trouble::new(Failed::Connect, why))?;
    link.start();
    told.await.unwrap_or_else(|_| Err(Trouble::new(Failed::Closed, "the connection was lost")))
}

fn facts(hall: &Hall, errand: &Errand) -> PeerFacts {
    PeerFacts {
        stage: PeerStage::Connecting,
        is_outgoing: true,
        local: errand.local.clone(),
        remote: errand.remote.clone(),
        own_spki: hall.shared.tls.current().peers.own_spki.to_vec(),
        ..PeerFacts::default()
    }
}

/// Returns the endpoints that modules name, unless they do not want a connection.
fn permitted(verdict: PeerVerdict) -> Result<Vec<String>, Trouble> {
    match verdict.refuse {
        Some((_, reason)) => {
            let text = format!("its server does not keep to what it promised ({reason})");
            let hold_until_ms = verdict.hold_until_ms;
            let trouble = Trouble::new(Failed::Policy, text);
            Err(Trouble { reason: Some(reason), hold_until_ms, ..trouble })
        }
        None => Ok(verdict.endpoints),
    }
}

fn unfound(why: &NoWay) -> Trouble {
    match why {
        NoWay::NoService | NoWay::NoSuchDomain => Trouble::unknown(Failed::Dns, why.to_string()),
        NoWay::Temporary(_) => Trouble::new(Failed::Dns, why.to_string()),
    }
}

/// Reads `xmpps://host:port`.
fn direct(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.strip_prefix("xmpps://")?.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        assert_eq!(direct("xmpps://xmpp.a.example:5270"), Some(("xmpp.a.example", 5270)));
        assert_eq!(direct("xmpp://a.example:5269"), None);
        assert_eq!(direct("xmpps://a.example"), None);
    }
}
