//! The connections with other servers: what the operator sees of them, and how they are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Federation, Pair};
use crate::actors::{Outbox, Word};
use crate::clock;

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Known {
    outbox: Arc<Outbox>,
    is_outgoing: bool,
    /// The domain that it is with, when that is known.
    remote: Option<String>,
    since_ms: u64,
    tls: &'static str,
    /// The pairs that are authenticated.
    pairs: Vec<Proved>,
}

#[derive(Clone, Debug)]
struct Proved {
    pair: Pair,
    how: &'static str,
    /// Whether we may send.
    is_sendable: bool,
}

/// What the operator sees of a domain that we talk with, or want to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerState {
    /// Our domain.
    pub(crate) local: String,
    /// Theirs.
    pub(crate) remote: String,
    /// `out`, `in`, or `both` when one connection is used both ways. Without a connection `out`.
    pub(crate) direction: &'static str,
    /// `waiting`, `connecting`, `connected`, `resting`, `held`.
    pub(crate) state: &'static str,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// `external`, `dialback` or `extension`.
    pub(crate) how: Option<&'static str>,
    /// `TLSv1.3`
    pub(crate) tls: Option<&'static str>,
    /// How many stanzas wait or are not acknowledged.
    pub(crate) waiting: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// When the next attempt is, in milliseconds since 1970.
    pub(crate) next_ms: Option<u64>,
    /// What went wrong last, in words; empty when nothing did.
    pub(crate) error: String,
}

/// What a connection says about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduction<'a> {
    /// The domain that it is with, when that is known.
    pub(crate) remote: Option<&'a str>,
    /// Whether we connected.
    pub(crate) is_outgoing: bool,
}

impl Federation {
    /// A connection is there.
    pub(crate) fn enter(&self, outbox: &Arc<Outbox>, introduction: Introduction<'_>) {
        let known = Known {
            outbox: Arc::clone(outbox),
            is_outgoing: introduction.is_outgoing,
            remote: introduction.remote.map(str::to_owned),
            since_ms: clock::now_ms(),
            tls: "",
            pairs: Vec::new(),
        };
        self.links().insert(outbox.id(), known);
    }

    /// A connection is gone.
    pub(crate) fn leave(&self, id: u64) {
        self.links().remove(&id);
    }

    /// A connection is inside TLS.
    pub(crate) fn note_tls(&self, id: u64, version: &'static str) {
        if let Some(known) = self.links().get_mut(&id) {
            known.tls = version;
        }
    }

    /// A pair of domains is authenticated on a connection.
    pub(crate) fn note_pair(&self, id: u64, pair: Pair, how: &'static str, is_sendable: bool) {
        if let Some(known) = self.links().get_mut(&id) {
            known.remote = Some(pair.1.clone());
            known.pairs.retain(|proved| proved.pair != pair);
            known.pairs.push(Proved { pair, how, is_sendable });
        }
    }

    /// A connection ends: nothing new may be given to it.
    pub(crate) fn note_ending(&self, id: u64) {
        if let Some(known) = self.links().get_mut(&id) {
            known.pairs.clear();
            known.remote = None;
        }
    }

    /// Returns a connection that may send from `local` to `remote`.
    pub(crate) fn carrier(&self, local: &str, remote: &str) -> Option<Arc<Outbox>> {
        let links = self.links();
        let may = |proved: &Proved| {
            proved.is_sendable && proved.pair.0 == local && proved.pair.1 == remote
        };
        let found = links.values().find(|known| known.pairs.iter().any(may));
        found.map(|known| Arc::clone(&known.outbox))
    }

    /// Returns a connection of ours to `remote` that carries another domain of ours already.
    pub(crate) fn companion(&self, remote: &str) -> Option<Arc<Outbox>> {
        let links = self.links();
        let may = |proved: &Proved| proved.is_sendable && proved.pair.1 == remote;
        let mut own = links.values().filter(|known| known.is_outgoing);
        own.find(|known| known.pairs.iter().any(may)).map(|known| Arc::clone(&known.outbox))
    }

    /// Says `word` to all connections.
    pub(super) fn tell_all(&self, word: impl Fn() -> Word) {
        let all: Vec<_> = self.links().values().map(|known| Arc::clone(&known.outbox)).collect();
        for outbox in all {
            outbox.push(word());
        }
    }

    /// Says `word` to all connections with domains that `is_meant`.
    pub(crate) fn tell(&self, is_meant: impl Fn(&str) -> bool, word: impl Fn() -> Word) {
        let meant: Vec<_> = {
            let links = self.links();
            let is_with = |known: &&Known| {
                known
                    .remote
                    .iter()
                    .chain(known.pairs.iter().map(|proved| &proved.pair.1))
                    .any(|remote| is_meant(remote))
            };
            links.values().filter(is_with).map(|known| Arc::clone(&known.outbox)).collect()
        };
        for outbox in meant {
            outbox.push(word());
        }
    }

    /// Returns what the operator sees.
    pub(crate) fn peers(&self) -> Vec<PeerState> {
        let mut states = BTreeMap::new();
        for route in self.routes() {
            let status = route.status();
            let state = PeerState {
                local: route.local.clone(),
                remote: route.remote.clone(),
                direction: "out",
                state: status.phase.name(),
                since_ms: status.since_ms,
                how: None,
                tls: None,
                waiting: status.waiting,
                bytes: status.bytes,
                next_ms: status.next_ms,
                error: status.error,
            };
            states.insert((route.remote.clone(), route.local.clone(), "out"), state);
        }
        for known in self.links().values() {
            for Proved { pair: (local, remote), how, is_sendable } in &known.pairs {
                let direction = match (known.is_outgoing, is_sendable) {
                    (true, _) => "out",
                    (false, true) => "both",
                    (false, false) => "in",
                };
                let key = |direction| (remote.clone(), local.clone(), direction);
                let of_route = (direction != "in").then(|| states.remove(&key("out"))).flatten();
                let of_route = of_route.filter(|state| state.how.is_none());
                let state = PeerState {
                    local: local.clone(),
                    remote: remote.clone(),
                    direction,
                    state: "connected",
                    since_ms: known.since_ms,
                    how: Some(how),
                    tls: Some(known.tls).filter(|version| !version.is_empty()),
                    waiting: of_route.as_ref().map_or(0, |state| state.waiting),
                    bytes: of_route.as_ref().map_or(0, |state| state.bytes),
                    next_ms: None,
                    error: String::new(),
                };
                states.insert(key(direction), state);
            }
        }
        states.into_values().collect()
    }
}
