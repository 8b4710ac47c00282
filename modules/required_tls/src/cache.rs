//! What we remember of domains with a policy, and when a newer one counts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::crowd::{self, Counts, Rows, parent};
use crate::policy::{Key, Mode, Need, Policy, Signed, TlsMin};
use crate::sources::refresh_of;

/// What we hold of a domain, by its name.
pub(crate) const PEERS: Table<str, Peer> = Table::domain("required_tls.peers");
/// How many rows there are, under [`ALL`] and below each parent.
const COUNT: Counts = Table::domain("required_tls.count");
const ALL: &str = "peers";

/// The most domains.
const PEERS_MAX: u64 = 10_000;
/// How many go at once when there are more.
const EVICTED: usize = 100;

/// What we hold of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Peer {
    pub(crate) trust: Trust,
    /// The signed octets; empty when only the key is known.
    pub(crate) policy: Vec<u8>,
    pub(crate) dk: Key,
    /// The hash of the key that may come after it, where a policy said so.
    pub(crate) next: Option<Key>,
    pub(crate) serial: u64,
    pub(crate) max_age_ms: u64,
    /// When we first held it.
    pub(crate) since_ms: u64,
    /// When it was last shown to be in force.
    pub(crate) fresh_ms: u64,
    /// Who vouched: bits of [`Source`].
    pub(crate) sources: u8,
    /// Since when, and why, streams with it are refused.
    pub(crate) alarm: Option<(u64, String)>,
    /// A key that is presented instead of the one we hold.
    pub(crate) rival: Option<Rival>,
}

record!(Peer, 1);

/// A key that is presented instead of the one we hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Rival {
    /// The signed octets.
    pub(crate) policy: Vec<u8>,
    pub(crate) dk: Key,
    pub(crate) since_ms: u64,
    /// The witnesses who see it too.
    pub(crate) seen_by: Vec<String>,
}

/// How far a key is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Trust {
    /// At first sight.
    Tofu,
    /// A second, independent source said the same.
    Confirmed,
    /// The domain took its policy back. It is remembered, so that an older one does not count.
    Released,
}

/// Where a key was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// On a stream with it.
    Stream = 1,
    /// In DNS, secured by DNSSEC.
    Dns = 2,
    /// On its web page.
    Web = 4,
    /// A witness holds it too.
    Witness = 8,
    /// The operator said so.
    Operator = 16,
}

impl Source {
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::Stream, "stream"),
        (Self::Dns, "dnssec"),
        (Self::Web, "https"),
        (Self::Witness, "witness"),
        (Self::Operator, "operator"),
    ];
}

/// What a signed policy is to what we hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// We hold nothing.
    First,
    /// It is the same.
    Same,
    /// It is newer, of the same key.
    Newer,
    /// It is newer, of the key that was promised.
    Rotated,
    /// It is of the same key and not newer: its server was set back, or somebody replays it.
    Behind,
}

/// Says what a signed policy is to what we hold, or the word for what is wrong with it.
pub(crate) fn weigh(held: Option<&Peer>, signed: &Signed) -> Result<Fit, &'static str> {
    let (Some(held), policy) = (held, &signed.policy) else { return Ok(Fit::First) };
    let is_newer = policy.serial > held.serial || held.policy.is_empty();
    if policy.dk == held.dk {
        return Ok(match held.policy == signed.octets {
            true => Fit::Same,
            false if is_newer => Fit::Newer,
            false => Fit::Behind,
        });
    }
    match is_newer {
        true if held.next == Some(policy.dk.hash()) => Ok(Fit::Rotated),
        true => Err("dk"),
        false => Err("serial"),
    }
}

impl Peer {
    /// Returns what is held of a domain after its policy was seen for the first time.
    pub(crate) fn new(signed: &Signed, source: Source, now_ms: u64) -> Self {
        let mut peer = Self::pinned(signed.policy.dk, source, now_ms);
        peer.trust = Trust::Tofu;
        peer.take(signed, now_ms);
        peer
    }

    /// Returns what is held of a domain of which somebody said the key.
    pub(crate) fn pinned(dk: Key, source: Source, now_ms: u64) -> Self {
        Self {
            trust: Trust::Confirmed,
            policy: Vec::new(),
            dk,
            next: None,
            serial: 0,
            max_age_ms: 180 * 86_400_000,
            since_ms: now_ms,
            fresh_ms: now_ms,
            sources: source as u8,
            alarm: None,
            rival: None,
        }
    }

    /// Takes a policy that [`weigh`] lets in.
    pub(crate) fn take(&mut self, signed: &Signed, now_ms: u64) {
        let policy = &signed.policy;
        self.policy.clone_from(&signed.octets);
        self.dk = policy.dk;
        self.next = Some(policy.next);
        self.serial = policy.serial;
        self.max_age_ms = u64::from(policy.max_age).saturating_mul(1000);
        self.fresh_ms = now_ms;
        match policy.mode {
            Mode::None => self.trust = Trust::Released,
            Mode::Enforce if self.trust == Trust::Released => self.trust = Trust::Tofu,
            Mode::Enforce => {}
        }
    }

    /// Notes that another source said the same; two are a confirmation.
    pub(crate) fn vouch(&mut self, source: Source) {
        self.sources |= source as u8;
        let is_second = self.sources.count_ones() > 1 || source == Source::Operator;
        if is_second && self.trust == Trust::Tofu {
            self.trust = Trust::Confirmed;
        }
    }

    /// Tells whether its demands hold: twice as long as it wants to be remembered, in case that
    /// somebody keeps us from seeing it.
    pub(crate) fn is_enforced(&self, now_ms: u64) -> bool {
        self.trust != Trust::Released && now_ms < self.fresh_ms.saturating_add(self.max_age_ms * 2)
    }

    /// Returns the name of its state.
    pub(crate) fn state(&self, now_ms: u64) -> &'static str {
        match self.trust {
            Trust::Released => "RELEASED",
            _ if !self.is_enforced(now_ms) => "LAPSED",
            _ if self.alarm.is_some() => "ALARM",
            _ if now_ms >= self.fresh_ms.saturating_add(self.max_age_ms) => "STALE",
            Trust::Confirmed => "CONFIRMED",
            Trust::Tofu => "TOFU",
        }
    }

    pub(crate) fn signed(&self) -> Option<Policy> {
        Signed::read(&self.policy).ok().map(|signed| signed.policy)
    }

    /// Tells whether nothing less than a proof will do.
    pub(crate) fn needs_proof(&self) -> bool {
        self.signed().is_none_or(|policy| policy.need == Need::Dk)
    }

    pub(crate) fn needs_tls13(&self) -> bool {
        self.signed().is_none_or(|p| p.need == Need::Dk || p.tls_min == TlsMin::V13)
    }

    fn is_by_operator(&self) -> bool {
        self.sources & Source::Operator as u8 != 0
    }

    /// Returns who vouched for it, in words.
    pub(crate) fn sources(&self) -> String {
        let all = Source::ALL.into_iter().filter(|(source, _)| self.sources & *source as u8 != 0);
        all.map(|(_, name)| name).collect::<Vec<_>>().join(", ")
    }
}

/// Finds what we hold of a name: under the name, or of a domain above it whose key speaks for it.
pub(crate) fn find(
    name: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<(String, Peer)>, StanzaError> {
    if let Some(peer) = cx.get(&PEERS, name)? {
        return Ok(Some((name.to_owned(), peer)));
    }
    let mut rest = name;
    // Names are not deeper than this, and each step is a read.
    for _ in 0..8 {
        let Some((_, above)) = rest.split_once('.').filter(|(_, above)| above.contains('.')) else {
            break;
        };
        if let Some(peer) = cx.get(&PEERS, above)? {
            let covers = peer.signed().is_some_and(|policy| policy.covers(name));
            return Ok(covers.then(|| (above.to_owned(), peer)));
        }
        rest = above;
    }
    Ok(None)
}

/// Keeps what we hold of a domain. A new one whose parent is crowded is not remembered, unless the
/// operator says so; what we hold of others never fails.
pub(crate) fn keep(name: &str, peer: &Peer, cx: &mut Context<'_, '_>) -> Done {
    if cx.get(&PEERS, name)?.is_none() {
        if !peer.is_by_operator() && crowd::is_crowded(&COUNT, name, cx)? {
            return cx.count("unremembered", 1);
        }
        let Rows(count) = cx.get(&COUNT, ALL)?.unwrap_or_default();
        if count >= PEERS_MAX {
            evict(cx)?;
        }
        crowd::step(&COUNT, (ALL, name), 1, cx)?;
        let half_ms = cx.now_ms().saturating_add(peer.max_age_ms / 2);
        cx.wake_at(half_ms, &refresh_of(name))?;
    }
    cx.put(&PEERS, name, peer)
}

/// Forgets a domain and says whether it was known.
pub(crate) fn forget(name: &str, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    if cx.get(&PEERS, name)?.is_none() {
        return Ok(false);
    }
    crowd::step(&COUNT, (ALL, name), -1, cx)?;
    cx.delete(&PEERS, name)?;
    Ok(true)
}

/// Forgets some domains.
fn evict(cx: &mut Context<'_, '_>) -> Done {
    let all = cx.all(&PEERS, u32::MAX)?;
    let gone = least(all, EVICTED, cx.now_ms());
    for name in &gone {
        forget(name, cx)?;
    }
    cx.count("evicted", u64::try_from(gone.len()).unwrap_or(0))
}

/// Returns the domains that are forgotten first: those whose demands do not hold, then those of the
/// most crowded parent, whatever their state, longest unheard of first. What the operator said is last.
fn least(mut all: Vec<(String, Peer)>, most: usize, now_ms: u64) -> Vec<String> {
    let mut crowds: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in &all {
        let crowd = crowds.entry(parent(name).to_owned()).or_default();
        *crowd = crowd.saturating_add(1);
    }
    all.sort_by_cached_key(|(name, peer)| {
        let crowd = crowds.get(parent(name)).copied().unwrap_or_default();
        let is_confirmed = peer.trust == Trust::Confirmed;
        let order = (Reverse(crowd), is_confirmed, peer.fresh_ms);
        (peer.is_by_operator(), peer.is_enforced(now_ms), order)
    });
    all.truncate(most);
    all.into_iter().map(|(name, _)| name).collect()
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
