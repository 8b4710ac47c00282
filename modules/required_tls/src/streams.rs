//! What is decided at each stage of a stream with another domain.

use bincode::{Decode, Encode};
use calypte::crypto;
use calypte::prelude::*;

use crate::cache::{self, Fit, PEERS, Peer, Rival, Source};
use crate::own::{Ready, feature, read_feature};
use crate::policy::{Key, Signed};
use crate::proof::{Channel, Claim, Proof, Role};
use crate::{RequiredTls, alarms};

/// The last stream to a domain on which proofs were exchanged, by its name: so that they are not
/// exchanged again when another way of authenticating follows. Lost with the process, as streams are.
const PROVEN: Table<str, Proven> = Table::volatile_domain("required_tls.proven");

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Proven {
    stream: [u8; 32],
}

record!(Proven, 1);

/// The condition with which streams end.
const VIOLATION: &str = "policy-violation";

/// A stream and what we hold of the domain at its other end.
struct Peering<'a> {
    facts: &'a PeerFacts,
    /// The name of the row, which may be of a domain above.
    name: String,
    held: Option<Peer>,
    is_enforced: bool,
}

impl Peering<'_> {
    /// Says what a policy is to what we hold. What is not enforced any more gives way.
    fn weigh(&self, signed: &Signed) -> Result<Fit, &'static str> {
        match cache::weigh(self.held.as_ref(), signed) {
            Err(_) if !self.is_enforced => Ok(Fit::First),
            fit => fit,
        }
    }

    fn is_modern(&self) -> bool {
        self.facts.tls == "TLSv1.3"
    }

    fn exporter(&self) -> Option<&[u8]> {
        self.facts.exporter.as_deref().filter(|value| self.is_modern() && value.len() == 32)
    }

    fn needs(&self, what: impl Fn(&Peer) -> bool) -> bool {
        self.is_enforced && self.held.as_ref().is_some_and(what)
    }

    /// Returns the name of this stream, which is new on each.
    fn stream(&self) -> Option<[u8; 32]> {
        self.exporter().map(|value| crypto::derive("s2s stream", value))
    }

    /// Returns the end of the stream that proves with this role.
    fn channel<'c>(&'c self, role: Role, exporter: &'c [u8]) -> Channel<'c> {
        let (local, remote) = (self.facts.local.as_str(), self.facts.remote.as_str());
        let is_ours = (role == Role::Initiator) == self.facts.is_outgoing;
        let (from, to) = if is_ours { (local, remote) } else { (remote, local) };
        Channel { from, to, role, exporter }
    }

    /// Says what was seen, for the operator.
    fn evidence(&self) -> String {
        let facts = self.facts;
        let way = if facts.is_outgoing { "outgoing" } else { "incoming" };
        let key =
            |bytes: &[u8]| Key::of(bytes).map_or_else(|| "none".to_owned(), |key| key.to_string());
        let (own, peer) = (key(&facts.own_spki), key(&facts.peer_spki));
        let (stage, tls, identity) = (facts.stage, &facts.tls, &facts.identity);
        format!(
            "{way}, {stage:?}, TLS {tls}, certificate {identity:?}, its key {peer}, our key {own}"
        )
    }
}

impl RequiredTls {
    /// Decides about a stream with another domain.
    pub(crate) fn peer(
        &self,
        facts: &PeerFacts,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        let own = self.own_on(facts, cx)?;
        if facts.stage == PeerStage::Serving {
            return Ok(PeerVerdict::default());
        }
        let mut at = Peering { facts, name: facts.remote.clone(), held: None, is_enforced: false };
        if let Some((name, peer)) = cache::find(&facts.remote, cx)? {
            at.is_enforced = peer.is_enforced(cx.now_ms());
            (at.name, at.held) = (name, Some(peer));
        }
        match (facts.stage, facts.is_outgoing) {
            (PeerStage::Connecting, _) => Ok(connecting(&at)),
            (PeerStage::Opened, _) => self.opened(&at, &own, cx),
            (PeerStage::Offered, _) => self.offered(&at, &own, cx),
            (PeerStage::Extension, true) => self.answered_proof(at, cx),
            (PeerStage::Extension, false) => self.proof(at, &own, cx),
            (PeerStage::Authenticated, _) => self.authenticated(&at, cx),
            (PeerStage::Failed | PeerStage::Serving, _) => self.failed(&at, cx),
        }
    }

    /// Refuses, and says so to the operator where only an attack or a mistake explains it.
    fn deny(
        &self,
        at: &Peering<'_>,
        reason: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        cx.count("refused", 1)?;
        // Anybody can connect to us and claim a name. It counts when something else speaks for it.
        let facts = at.facts;
        let is_it = facts.is_outgoing || facts.identity.is_proved() || facts.how == "dialback";
        // Whoever has any number of names can have them all fail: those that we know have rows.
        let is_known = at.held.is_some() || self.had_certificate(&facts.remote, cx)?;
        if is_it && is_known {
            self.tally(at, reason, cx)?;
            alarms::raise(&at.name, reason, &at.evidence(), cx)?;
            // Read anew: a rival may have been noted.
            let held = cx.get(&PEERS, at.name.as_str())?.filter(|_| at.is_enforced);
            if let Some(mut peer) = held {
                let now_ms = cx.now_ms();
                let since_ms = peer.alarm.as_ref().map_or(now_ms, |(since_ms, _)| *since_ms);
                peer.alarm = Some((since_ms, reason.to_owned()));
                cache::keep(&at.name, &peer, cx)?;
            }
        }
        Ok(PeerVerdict::refused(VIOLATION, reason))
    }

    fn tally(&self, at: &Peering<'_>, word: &str, cx: &mut Context<'_, '_>) -> Done {
        if at.held.is_some() { self.note_outcome(&at.name, word, cx) } else { Ok(()) }
    }

    /// Incoming, its header came: offers our policy.
    fn opened(
        &self,
        at: &Peering<'_>,
        own: &Ready,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        if !at.is_modern() {
            let is_owed = at.needs(Peer::needs_tls13);
            return if is_owed { self.deny(at, "tls", cx) } else { Ok(PeerVerdict::default()) };
        }
        // Who owes a proof has no other way.
        let may_else = !at.needs(Peer::needs_proof);
        let features = vec![feature(&own.signed)];
        let (external, dialback) = (may_else, may_else);
        Ok(PeerVerdict { external, dialback, features, ..PeerVerdict::default() })
    }

    /// Outgoing, its features came: proves who we are, or says in which other way that may be done.
    fn offered(
        &self,
        at: &Peering<'_>,
        own: &Ready,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        if at.needs(Peer::needs_tls13) && !at.is_modern() {
            return self.deny(at, "tls", cx);
        }
        let signed = at.facts.calypte.as_deref().and_then(read_feature);
        let signed = signed.filter(|signed| signed.policy.covers(&at.facts.remote));
        let (Some(signed), Some(exporter)) = (signed, at.exporter()) else {
            return if at.is_enforced { self.without_proof(at, cx) } else { self.plain(at, cx) };
        };
        if self.is_proven(at, cx)? {
            // It is who it says; but it does not know our key, and we authenticate in another way.
            return Ok(PeerVerdict::default());
        }
        let newer = match at.weigh(&signed) {
            Err(reason) => {
                self.note_rival(at, &signed, cx)?;
                return self.deny(at, reason, cx);
            }
            Ok(Fit::First) if !at.facts.identity.is_proved() => {
                // Nothing says whose key it is; its web page or DNS may.
                self.ask_sources(&at.facts.remote, cx)?;
                return self.plain(at, cx);
            }
            Ok(Fit::Behind) => at.held.as_ref().map(|held| held.serial),
            Ok(_) => None,
        };
        let proof = Proof {
            channel: at.channel(Role::Initiator, exporter),
            key: &own.key,
            policy: &own.signed,
            now_ms: cx.now_ms(),
            spki_seen: &at.facts.peer_spki,
            newer,
            is_accepting: true,
        };
        Ok(PeerVerdict { say: Some(proof.write()), ..PeerVerdict::default() })
    }

    /// Incoming: the other side proves who it is.
    fn proof(
        &self,
        at: Peering<'_>,
        own: &Ready,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        let exporter = at.exporter().unwrap_or_default().to_vec();
        let channel = at.channel(Role::Initiator, &exporter);
        let claim = at.facts.element.as_deref().and_then(|xml| Claim::read(xml, &channel));
        let Some(claim) = claim else {
            let is_owed = at.needs(Peer::needs_proof);
            return if is_owed { self.deny(&at, "proof", cx) } else { Ok(PeerVerdict::default()) };
        };
        let fit = match self.judge(&at, &claim, &channel, cx)? {
            Ok(fit) => fit,
            Err(verdict) => return Ok(verdict),
        };
        // At first sight something else has to say whose key it is.
        let is_accepting = fit != Fit::First || at.facts.identity.is_proved();
        let newer = (fit == Fit::Behind).then(|| at.held.as_ref().map(|held| held.serial));
        let proof = Proof {
            channel: at.channel(Role::Receiver, &exporter),
            key: &own.key,
            policy: &own.signed,
            now_ms: cx.now_ms(),
            spki_seen: &at.facts.peer_spki,
            newer: newer.flatten(),
            is_accepting,
        };
        let say = Some(proof.write());
        if is_accepting {
            self.take(at, fit, &claim, cx)?;
        }
        Ok(PeerVerdict { say, proved: is_accepting, ..PeerVerdict::default() })
    }

    /// Outgoing: the other side answered our proof.
    fn answered_proof(
        &self,
        at: Peering<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        let exporter = at.exporter().unwrap_or_default().to_vec();
        let channel = at.channel(Role::Receiver, &exporter);
        let claim = at.facts.element.as_deref().and_then(|xml| Claim::read(xml, &channel));
        let Some(claim) = claim else { return self.deny(&at, "proof", cx) };
        let fit = match self.judge(&at, &claim, &channel, cx)? {
            Ok(fit) => fit,
            Err(verdict) => return Ok(verdict),
        };
        if fit == Fit::First && !at.facts.identity.is_proved() {
            return self.deny(&at, "certificate", cx);
        }
        if let Some(stream) = at.stream() {
            cx.put(&PROVEN, at.facts.remote.as_str(), &Proven { stream })?;
        }
        let proved = claim.is_accepting;
        self.take(at, fit, &claim, cx)?;
        Ok(PeerVerdict { proved, ..PeerVerdict::default() })
    }

    /// Checks a proof; the inner error is the refusal.
    fn judge(
        &self,
        at: &Peering<'_>,
        claim: &Claim,
        channel: &Channel<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Result<Fit, PeerVerdict>, StanzaError> {
        if !claim.is_right(channel) {
            return self.deny(at, "proof", cx).map(Err);
        }
        if !claim.spki_seen.is_empty() && claim.spki_seen != at.facts.own_spki {
            return self.deny(at, "spki", cx).map(Err);
        }
        match at.weigh(&claim.signed) {
            Ok(fit) => Ok(Ok(fit)),
            Err(reason) => {
                self.note_rival(at, &claim.signed, cx)?;
                self.deny(at, reason, cx).map(Err)
            }
        }
    }

    /// A proof was right: keeps what it says before anything else is done.
    fn take(&self, at: Peering<'_>, fit: Fit, claim: &Claim, cx: &mut Context<'_, '_>) -> Done {
        let now_ms = cx.now_ms();
        let is_new = fit == Fit::First;
        let name = if is_new { at.facts.remote.clone() } else { at.name };
        let mut peer = match at.held.filter(|_| !is_new) {
            Some(held) => held,
            None => Peer::new(&claim.signed, Source::Stream, now_ms),
        };
        match fit {
            Fit::First | Fit::Behind => {}
            Fit::Same => peer.fresh_ms = now_ms,
            Fit::Newer | Fit::Rotated => peer.take(&claim.signed, now_ms),
        }
        if fit == Fit::Rotated {
            cx.warn(&format!("{name} changed its key, as it had promised"));
        }
        // Whoever sat in between is gone: the key that we hold spoke.
        (peer.alarm, peer.rival) = (None, None);
        peer.vouch(Source::Stream);
        cache::keep(&name, &peer, cx)?;
        cx.count("proved", 1)?;
        // Who is not remembered is met each time, and nobody is asked about it.
        if is_new && cx.get(&PEERS, name.as_str())?.is_some() {
            cx.count("met", 1)?;
            self.ask_sources(&name, cx)?;
            self.ask_witnesses(&name, cx)?;
        }
        if claim.is_accepting {
            // Who does not know our key yet would not listen.
            self.greet(&name, is_new, cx)?;
        }
        match claim.newer {
            Some(serial) => self.rise_above(serial, cx),
            None => Ok(()),
        }
    }

    /// Notes a key that is presented instead of the one we hold, where a certificate speaks for it.
    fn note_rival(&self, at: &Peering<'_>, signed: &Signed, cx: &mut Context<'_, '_>) -> Done {
        // A certificate for a name below the domain says nothing of the domain.
        let is_spoken_for = at.facts.identity.is_proved() && at.name == at.facts.remote;
        let Some(held) = at.held.clone().filter(|_| is_spoken_for) else { return Ok(()) };
        let dk = signed.policy.dk;
        if dk == held.dk || held.rival.as_ref().is_some_and(|rival| rival.dk == dk) {
            return Ok(());
        }
        let (policy, since_ms) = (signed.octets.clone(), cx.now_ms());
        let rival = Some(Rival { policy, dk, since_ms, seen_by: Vec::new() });
        cache::keep(&at.name, &Peer { rival, ..held }, cx)
    }

    /// Tells whether the other side proved itself on this stream.
    fn is_proven(&self, at: &Peering<'_>, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
        let Some(stream) = at.stream() else { return Ok(false) };
        let last = cx.get(&PROVEN, at.facts.remote.as_str())?;
        Ok(last.is_some_and(|last| last.stream == stream))
    }

    /// A domain with a policy that gave no proof.
    fn without_proof(
        &self,
        at: &Peering<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        if at.needs(Peer::needs_proof) {
            let reason = if at.facts.stage == PeerStage::Offered { "feature" } else { "proof" };
            return self.deny(at, reason, cx);
        }
        let listed = at.held.as_ref().and_then(Peer::signed).map(|policy| policy.spki);
        let listed = listed.unwrap_or_default();
        let is_listed = Key::of(&at.facts.peer_spki).is_some_and(|spki| listed.contains(&spki));
        match (listed.is_empty(), is_listed) {
            (true, _) if at.facts.identity.is_proved() => Ok(PeerVerdict::default()),
            (false, true) => Ok(PeerVerdict::default()),
            (true, _) => self.deny(at, "certificate", cx),
            (false, false) => self.deny(at, "spki", cx),
        }
    }

    /// A domain without a policy.
    fn plain(
        &self,
        at: &Peering<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        if !at.facts.identity.is_proved() && self.needs_certificate(&at.facts.remote, cx)? {
            return self.deny(at, "certificate", cx);
        }
        Ok(PeerVerdict::default())
    }

    /// A pair is authenticated, in one way or another.
    fn authenticated(
        &self,
        at: &Peering<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        // Who did not say who it is before, or asks for a further pair, is judged here only.
        if at.needs(Peer::needs_tls13) && !at.is_modern() {
            return self.deny(at, "tls", cx);
        }
        let is_proven = at.facts.how == "extension" || self.is_proven(at, cx)?;
        let verdict = match (at.is_enforced, is_proven) {
            (true, false) => self.without_proof(at, cx)?,
            (false, false) => self.plain(at, cx)?,
            (_, true) => PeerVerdict::default(),
        };
        if verdict.refuse.is_none() {
            self.tally(at, "ok", cx)?;
            if at.facts.identity.is_proved() && !at.is_enforced {
                self.note_valid(&at.facts.remote, cx)?;
            }
        }
        Ok(verdict)
    }

    /// It did not come so far that anything could be proved.
    fn failed(
        &self,
        at: &Peering<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<PeerVerdict, StanzaError> {
        let remote = &at.facts.remote;
        match at.facts.failure.as_str() {
            "no-starttls" if at.is_enforced || self.had_certificate(remote, cx)? => {
                self.deny(at, "stripped", cx)
            }
            "tls" if at.is_enforced => self.deny(at, "tls", cx),
            "certificate" if !at.is_enforced && self.needs_certificate(remote, cx)? => {
                self.deny(at, "certificate", cx)
            }
            word => {
                self.tally(at, word, cx)?;
                // Whoever is on the way can say that a domain is gone: what waits for one that we
                // know goes on waiting, and is tried again as usual.
                let hold_until_ms = at.is_enforced.then(|| cx.now_ms());
                Ok(PeerVerdict { hold_until_ms, ..PeerVerdict::default() })
            }
        }
    }
}

/// About to connect: where first.
fn connecting(at: &Peering<'_>) -> PeerVerdict {
    let policy = at.held.as_ref().filter(|_| at.is_enforced).and_then(Peer::signed);
    let endpoints = policy.map(|policy| policy.endpoints).unwrap_or_default();
    PeerVerdict { endpoints, ..PeerVerdict::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let proven = Proven { stream: [4; 32] };
        assert_eq!(PROVEN.encode(&proven), [&[1][..], &[4; 32]].concat());
    }
}
