//! Other servers see the network from elsewhere: which key a domain shows them, and which
//! certificates our own ports show them.
//!
//! All of it only with the domains that the operator lists as witnesses, and only when they proved
//! themselves; for others there is no such thing.

use bincode::{Decode, Encode};
use calypte::crypto;
use calypte::prelude::*;

use crate::cache::{self, PEERS, Peer, Source};
use crate::policy::{Key, Signed, b64, is_name};
use crate::sources::try_look;
use crate::{NS, RequiredTls, alarms};

/// What witnesses asked us to look at, by their domain.
const OBSERVED: Table<str, Observed> = Table::domain("required_tls.observed");
/// How many questions a witness asked in an hour, by its domain.
const ASKED: Table<str, InHour> = Table::volatile_domain("required_tls.asked");
/// Witnesses that were asked to look at our ports since the start, by their domain.
const GREETED: Table<str, Greeted> = Table::volatile_domain("required_tls.greeted");

/// Questions of a witness in an hour.
const QUESTIONS_MAX: u32 = 120;
/// Ports of one domain.
const PORTS_MAX: usize = 8;
/// How often a port is looked at, at most.
const EVERY_MS: u64 = 3_600_000;
/// How long after its proof a witness is asked: by then it has read ours.
const GREET_MS: u64 = 1000;
/// When the ports of a witness that is new are looked at for the first time.
const FIRST_LOOK_MS: u64 = 10_000;
/// Witnesses who have to see another key before it is believed without the operator.
const QUORUM: usize = 3;
/// How long it has to be seen, in milliseconds.
const PATIENCE_MS: u64 = 14 * 86_400_000;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Observed {
    ports: Vec<u16>,
    every_ms: u64,
}

record!(Observed, 1);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct InHour {
    hour: u64,
    count: u32,
}

record!(InHour, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Greeted {
    at_ms: u64,
}

record!(Greeted, 1);

impl RequiredTls {
    fn is_witness(&self, domain: &str) -> bool {
        self.0.witnesses.iter().any(|witness| witness == domain)
    }

    /// Returns the witness that asks; others get the answer that unknown questions get.
    fn witness(
        &self,
        request: &Request<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<String, StanzaError> {
        let from = request.from.ok_or(StanzaError::SERVICE_UNAVAILABLE)?;
        let domain = from.domain().to_owned();
        let is_listed = from.local().is_none() && self.is_witness(&domain);
        if !is_listed {
            return Err(StanzaError::SERVICE_UNAVAILABLE);
        }
        // What needs a proof cannot have come without one.
        let peer = cx.get(&PEERS, domain.as_str())?;
        let is_proven =
            peer.is_some_and(|peer| peer.is_enforced(cx.now_ms()) && peer.needs_proof());
        if !is_proven {
            return Err(StanzaError::SERVICE_UNAVAILABLE);
        }
        let hour = cx.now_ms() / 3_600_000;
        let asked = cx.get(&ASKED, domain.as_str())?.filter(|asked| asked.hour == hour);
        let count = asked.map_or(0, |asked| asked.count).saturating_add(1);
        if count > QUESTIONS_MAX {
            return Err(StanzaError::RESOURCE_CONSTRAINT);
        }
        cx.put(&ASKED, domain.as_str(), &InHour { hour, count })?;
        Ok(domain)
    }

    /// Says which key we hold of a domain.
    pub(crate) fn tell_perspective(
        &self,
        request: &Request<'_>,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        let witness = self.witness(request, cx)?;
        let domain = request.query()?.attr("domain").unwrap_or_default().into_owned();
        if !is_name(&domain) {
            return Err(StanzaError::BAD_REQUEST);
        }
        let held = cx.get(&PEERS, domain.as_str())?.filter(|held| held.is_enforced(cx.now_ms()));
        let held = held.ok_or(StanzaError::ITEM_NOT_FOUND)?;
        let own = self.own(cx)?;
        let (serial, since) = (held.serial.to_string(), (held.since_ms / 1000).to_string());
        let (ours, dk) = (cx.domain().to_owned(), held.dk);
        let fields = [&ours, &witness, &domain].map(|text| text.as_bytes());
        let [ours, witness, about] = fields;
        let rest = [serial.as_bytes(), since.as_bytes()];
        let hash =
            crypto::transcript("perspective", &[ours, witness, about, &dk.0, rest[0], rest[1]]);
        let mut answer = Element::new(NS, "perspective")
            .with_attr("domain", &domain)
            .with_attr("dk", &dk.to_string())
            .with_attr("serial", &serial)
            .with_attr("since", &since)
            .with_attr("sig", &b64(&own.key.sign(&hash)));
        if let Some(rival) = &held.rival {
            answer.push_attr("rival", &rival.dk.to_string());
            answer.push_attr("rival-since", &(rival.since_ms / 1000).to_string());
        }
        Ok(Reply::With(answer))
    }

    /// Asks the witnesses about a domain.
    pub(crate) fn ask_witnesses(&self, domain: &str, cx: &mut Context<'_, '_>) -> Done {
        for witness in self.0.witnesses.iter().filter(|witness| *witness != domain) {
            let question = Element::new(NS, "perspective").with_attr("domain", domain);
            let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "get");
            let iq = iq.with_attr("to", witness).with_child(question);
            cx.request(&iq, format!("perspective {domain}").as_bytes())?;
        }
        Ok(())
    }

    /// Asks about domains that show another key than the one we hold.
    pub(crate) fn ask_about_rivals(&self, cx: &mut Context<'_, '_>) -> Done {
        if self.0.witnesses.len() < QUORUM {
            return Ok(());
        }
        for (domain, peer) in cx.all(&PEERS, u32::MAX)? {
            if peer.rival.is_some() {
                self.ask_witnesses(&domain, cx)?;
            }
        }
        Ok(())
    }

    /// A witness or the receiver of a report answered.
    pub(crate) fn answered(
        &self,
        cookie: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let cookie = String::from_utf8_lossy(cookie).into_owned();
        let Some(domain) = cookie.strip_prefix("perspective ") else { return Ok(()) };
        let witness = answer.from.map(|from| from.domain().to_owned()).unwrap_or_default();
        let Some(said) = answer.child(NS, "perspective") else { return Ok(()) };
        let key = |name: &str| said.attr(name).and_then(|text| Key::read(&text));
        let (Some(mut peer), Some(dk)) = (cx.get(&PEERS, domain)?, key("dk")) else {
            return Ok(());
        };
        let sees = |wanted: Key| dk == wanted || key("rival") == Some(wanted);
        if let Some(rival) = peer.rival.as_mut().filter(|rival| sees(rival.dk)) {
            if !rival.seen_by.contains(&witness) {
                rival.seen_by.push(witness);
            }
            peer = self.by_quorum(domain, peer, cx)?;
        } else if dk == peer.dk {
            peer.vouch(Source::Witness);
        } else {
            alarms::raise(domain, "witness", &format!("{witness} holds {dk}"), cx)?;
        }
        cache::keep(domain, &peer, cx)
    }

    /// Believes another key when enough witnesses saw it for long enough.
    fn by_quorum(
        &self,
        domain: &str,
        peer: Peer,
        cx: &mut Context<'_, '_>,
    ) -> Result<Peer, StanzaError> {
        let Some(rival) = peer.rival.clone() else { return Ok(peer) };
        let listed = rival.seen_by.iter().filter(|witness| self.0.witnesses.contains(witness));
        let is_old = cx.now_ms().saturating_sub(rival.since_ms) >= PATIENCE_MS;
        let Some(signed) = Signed::read(&rival.policy).ok() else { return Ok(peer) };
        if listed.count() < QUORUM || !is_old || !signed.policy.covers(domain) {
            return Ok(peer);
        }
        cx.warn(&format!("{domain} has another key, as {QUORUM} witnesses see for two weeks"));
        let mut peer = Peer::new(&signed, Source::Witness, cx.now_ms());
        peer.vouch(Source::Stream);
        Ok(peer)
    }

    /// A witness wants its ports to be looked at.
    pub(crate) fn begin_to_observe(
        &self,
        request: &Request<'_>,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        let witness = self.witness(request, cx)?;
        let query = request.query()?;
        let ports = query.attr("ports").unwrap_or_default().into_owned();
        let ports: Result<Vec<u16>, _> = ports.split_whitespace().map(str::parse).collect();
        let ports = ports.map_err(|_| StanzaError::BAD_REQUEST)?;
        let every = query.attr("every").map_or(Ok(3600), |text| text.parse::<u64>());
        let every = every.map_err(|_| StanzaError::BAD_REQUEST)?;
        if ports.len() > PORTS_MAX || ports.contains(&0) {
            return Err(StanzaError::BAD_REQUEST);
        }
        let is_new = cx.get(&OBSERVED, witness.as_str())?.is_none();
        if is_new && ports.is_empty() {
            return Ok(Reply::Empty);
        }
        // Who stops keeps its row until the next look is due: else it could begin anew at once, and
        // be looked at more often than once an hour.
        let every_ms = every.saturating_mul(1000).clamp(EVERY_MS, 30 * 86_400_000);
        cx.put(&OBSERVED, witness.as_str(), &Observed { ports, every_ms })?;
        if is_new {
            cx.wake_at(cx.now_ms().saturating_add(FIRST_LOOK_MS), &format!("observe {witness}"))?;
        }
        Ok(Reply::Empty)
    }

    /// Looks at the ports of a witness.
    pub(crate) fn observe(&self, domain: &str, cx: &mut Context<'_, '_>) -> Done {
        let Some(observed) = cx.get(&OBSERVED, domain)? else { return Ok(()) };
        if !self.is_witness(domain) || observed.ports.is_empty() {
            return cx.delete(&OBSERVED, domain);
        }
        for port in observed.ports {
            let look = Look::Spki { domain: domain.to_owned(), port };
            try_look(&look, &format!("spki {domain} {port}"), cx)?;
        }
        cx.wake_at(cx.now_ms().saturating_add(observed.every_ms), &format!("observe {domain}"))
    }

    /// Tells a witness what its port showed.
    pub(crate) fn observed(
        &self,
        rest: &str,
        found: Result<&[u8], &str>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let (domain, port) = rest.split_once(' ').ok_or(StanzaError::INTERNAL)?;
        let at = (cx.now_ms() / 1000).to_string();
        let seen = Element::new(NS, "s").with_attr("port", port).with_attr("at", &at);
        let seen = match found {
            Ok(spki) => seen.with_attr("spki", &b64(spki)),
            Err(_) => seen.with_attr("failed", "true"),
        };
        let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "set").with_attr("to", domain);
        cx.request(&iq.with_child(Element::new(NS, "seen").with_child(seen)), b"seen")
    }

    /// Asks the witnesses to look at our ports, each day in case that they forgot.
    pub(crate) fn ask_to_be_observed(&self, cx: &mut Context<'_, '_>) -> Done {
        self.0.witnesses.iter().try_for_each(|witness| self.ask_to_observe(witness, cx))
    }

    /// Asks one witness, if it still is one.
    pub(crate) fn ask_to_observe(&self, witness: &str, cx: &mut Context<'_, '_>) -> Done {
        if !self.is_witness(witness) {
            return Ok(());
        }
        let ports: Vec<_> = self.0.observe_ports.iter().map(u16::to_string).collect();
        let wish = Element::new(NS, "observe")
            .with_attr("ports", &ports.join(" "))
            .with_attr("every", "3600");
        let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "set");
        cx.request(&iq.with_attr("to", witness).with_child(wish), b"observe").map(drop)
    }

    /// A domain proved itself. A witness that is new, or that is met for the first time since the
    /// start, is asked to look at our ports.
    pub(crate) fn greet(&self, domain: &str, is_new: bool, cx: &mut Context<'_, '_>) -> Done {
        if !self.is_witness(domain) || (!is_new && cx.get(&GREETED, domain)?.is_some()) {
            return Ok(());
        }
        cx.put(&GREETED, domain, &Greeted { at_ms: cx.now_ms() })?;
        cx.wake_at(cx.now_ms().saturating_add(GREET_MS), &format!("greet {domain}"))
    }

    /// A witness says what our ports showed it.
    pub(crate) fn take_seen(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let witness = self.witness(request, cx)?;
        let own = self.own(cx)?.own;
        let domain = cx.domain().to_owned();
        for seen in request.query()?.children().filter(|node| node.is(NS, "s")).take(PORTS_MAX) {
            let port = seen.attr("port").and_then(|port| port.parse::<u16>().ok());
            let port = port.ok_or(StanzaError::BAD_REQUEST)?;
            let Some(spki) = seen.attr("spki") else { continue };
            let spki = Key::read(&spki).ok_or(StanzaError::BAD_REQUEST)?;
            cx.count("observed", 1)?;
            if !own.spki.is_empty() && !own.spki.contains(&spki) {
                let evidence = format!("{witness} got the key {spki} on port {port}");
                alarms::raise(&domain, "observed", &evidence, cx)?;
            }
        }
        Ok(Reply::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let observed = Observed { ports: vec![5222], every_ms: 3 };
        assert_eq!(OBSERVED.encode(&observed), b"\x01\x01\xfb\x66\x14\x03");
        assert_eq!(ASKED.encode(&InHour { hour: 1, count: 2 }), b"\x01\x01\x02");
        assert_eq!(GREETED.encode(&Greeted { at_ms: 7 }), b"\x01\x07");
    }
}
