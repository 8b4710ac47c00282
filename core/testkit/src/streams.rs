//! A stream between two servers of a scene, as their modules see it: stage by stage, over an
//! imagined TLS channel, with whoever the scene says in between.

use calypte::wire::{PeerFacts, PeerStage, PeerVerdict};
use toml::{Table, Value};

use crate::fits::{Names, fill};
use crate::peers::identity;
use crate::world::World;

/// Offers of one stream; more of them are a loop.
const OFFERS_MAX: usize = 3;

/// What a scene says of a stream.
struct Plan<'a> {
    table: &'a Table,
    names: &'a Names,
}

impl Plan<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let text = self.table.get(name)?.as_str()?;
        Some(fill(text, self.names, str::to_owned))
    }

    fn is(&self, name: &str) -> bool {
        self.table.get(name).and_then(Value::as_bool) == Some(true)
    }

    fn check(&self) -> Result<(), String> {
        const KNOWN: [&str; 14] = [
            "tls",
            "identity",
            "initiator_identity",
            "receiver_identity",
            "initiator_key",
            "receiver_key",
            "local",
            "remote",
            "dialback",
            "middle",
            "feature",
            "receiver_gets",
            "initiator_gets",
            "fails",
        ];
        const MORE: [&str; 4] = ["keep", "nameless", "receiver_clock", "shown_key"];
        let is_known =
            |name: &&String| KNOWN.contains(&name.as_str()) || MORE.contains(&name.as_str());
        match self.table.keys().find(|name| !is_known(name)) {
            Some(name) => Err(format!("nothing about a stream is called {name}")),
            None => Ok(()),
        }
    }
}

/// A stream on its way.
struct Stream<'w, 'a> {
    world: &'w mut World<'a>,
    initiator: String,
    receiver: String,
    /// What the initiator knows, and what the receiver does.
    facts: [PeerFacts; 2],
    /// What the clock of the receiver is ahead, in milliseconds.
    ahead_ms: u64,
    /// What went over it: the feature, and the elements of both sides.
    said: [String; 3],
}

/// How a stream ended, in words, when it did not come to an authenticated pair.
type Ended = String;

/// Lets `initiator` connect to `receiver`, and returns how far that came, in words.
pub(crate) fn connect(
    world: &mut World<'_>,
    names: &mut Names,
    (initiator, receiver): (&str, &str),
    table: &Table,
) -> Result<String, String> {
    let plan = Plan { table, names: &names.clone() };
    plan.check()?;
    world.streams += 1;
    let facts = [true, false]
        .map(|is_outgoing| seen(&plan, is_outgoing, (initiator, receiver), world.streams));
    let ahead = plan.text("receiver_clock").unwrap_or_else(|| "0 ms".to_owned());
    let ahead: calypte::config::Span = ahead.parse().map_err(|error| format!("{error}"))?;
    let (initiator, receiver) = (initiator.to_owned(), receiver.to_owned());
    let said = Default::default();
    let mut stream = Stream { world, initiator, receiver, facts, ahead_ms: ahead.ms, said };
    let ended = stream.run(&plan)?;
    if let Some(keep) = plan.text("keep") {
        for (what, said) in ["feature", "initiator", "receiver"].into_iter().zip(stream.said) {
            names.insert(format!("{keep}_{what}"), said);
        }
    }
    Ok(ended.unwrap_or_else(|ended| ended))
}

/// Returns what one end knows when TLS is there.
fn seen(
    plan: &Plan<'_>,
    is_outgoing: bool,
    (initiator, receiver): (&str, &str),
    number: u64,
) -> PeerFacts {
    let name = |side: &str, domain: &str| plan.text(side).unwrap_or_else(|| domain.to_owned());
    let (from, to) = (name("local", initiator), name("remote", receiver));
    let (own, peer) = if is_outgoing { (from, to) } else { (to, from) };
    let sides = if is_outgoing { ["initiator", "receiver"] } else { ["receiver", "initiator"] };
    let key = |side: &str, domain: &str| {
        let text = plan.text(&format!("{side}_key")).unwrap_or_else(|| domain.to_owned());
        crypto::hash(text.as_bytes()).to_vec()
    };
    let domains = if is_outgoing { [initiator, receiver] } else { [receiver, initiator] };
    // Who sits in between has a channel of his own with each side, and shows his own key.
    let middle = if plan.is("middle") { sides[0] } else { "" };
    let peer_spki = if is_outgoing && plan.text("shown_key").is_some() {
        key("shown", "")
    } else if middle.is_empty() {
        key(sides[1], domains[1])
    } else {
        key("middle", "middle")
    };
    let text = plan.text(&format!("{}_identity", sides[1])).or_else(|| plan.text("identity"));
    let tls = plan.text("tls").unwrap_or_else(|| "TLSv1.3".to_owned());
    let exporter = crypto::hash(format!("stream {number} {middle}").as_bytes()).to_vec();
    PeerFacts {
        is_outgoing,
        local: own,
        remote: peer,
        exporter: (tls == "TLSv1.3").then_some(exporter),
        tls,
        own_spki: key(sides[0], domains[0]),
        peer_spki,
        identity: identity(text.as_deref().unwrap_or("valid")),
        ..PeerFacts::default()
    }
}

impl Stream<'_, '_> {
    /// Asks one end; a refusal ends the stream.
    fn ask(
        &mut self,
        is_outgoing: bool,
        stage: PeerStage,
        change: impl FnOnce(&mut PeerFacts),
    ) -> Result<Result<PeerVerdict, Ended>, String> {
        let domain = if is_outgoing { self.initiator.clone() } else { self.receiver.clone() };
        let [outgoing, incoming] = &self.facts;
        let mut facts = if is_outgoing { outgoing.clone() } else { incoming.clone() };
        facts.stage = stage;
        if stage == PeerStage::Connecting || stage == PeerStage::Failed {
            let (local, remote, own_spki) = (facts.local, facts.remote, facts.own_spki);
            facts = PeerFacts { stage, local, remote, own_spki, ..PeerFacts::default() };
        }
        change(&mut facts);
        let now_ms = self.world.now_ms;
        if !is_outgoing {
            self.world.now_ms = now_ms.saturating_add(self.ahead_ms);
        }
        let asked = self.world.judge(&domain, facts);
        self.world.now_ms = now_ms;
        asked?;
        let verdict = self.world.take_verdict(&domain)?;
        Ok(match &verdict.refuse {
            Some((why, reason)) => Err(format!("refused by {domain} with {why}: {reason}")),
            None => Ok(verdict),
        })
    }

    fn failed(&mut self, failure: &str) -> Result<Result<PeerVerdict, Ended>, String> {
        let failure = failure.to_owned();
        self.ask(true, PeerStage::Failed, |facts| facts.failure = failure)
    }

    fn run(&mut self, plan: &Plan<'_>) -> Result<Result<Ended, Ended>, String> {
        if let Err(ended) = self.ask(true, PeerStage::Connecting, |_| {})? {
            return Ok(Err(ended));
        }
        if let Some(failure) = plan.text("fails") {
            let ended = self.failed(&failure)?;
            return Ok(Err(ended.err().unwrap_or_else(|| format!("failed: {failure}"))));
        }
        let is_nameless = plan.is("nameless");
        let opened = self.ask(false, PeerStage::Opened, |facts| {
            if is_nameless {
                facts.remote.clear();
            }
        })?;
        let offer = match opened {
            Ok(offer) => offer,
            Err(ended) => return self.failed("refused").map(|_| Err(ended)),
        };
        // What the host demands without modules: both certificates are valid, or dialback is allowed.
        let external = offer.external && self.facts.iter().all(|end| end.identity.is_proved());
        let dialback = offer.dialback && plan.is("dialback");
        self.said[0] = offer.features.concat();
        let feature = plan.text("feature").unwrap_or_else(|| self.said[0].clone());
        for _ in 0..OFFERS_MAX {
            let feature = Some(feature.clone()).filter(|feature| feature.starts_with('<'));
            let offered = self.ask(true, PeerStage::Offered, |facts| {
                (facts.external, facts.dialback, facts.calypte) = (external, dialback, feature);
            })?;
            let choice = match offered {
                Ok(choice) => choice,
                Err(ended) => return Ok(Err(ended)),
            };
            let how = match &choice.say {
                Some(element) => match self.prove(plan, element.clone())? {
                    Ok(true) => "extension",
                    Ok(false) => continue,
                    Err(ended) => return Ok(Err(ended)),
                },
                None if choice.external && external => "external",
                None if choice.dialback && dialback => "dialback",
                None => return Ok(Err("not authenticated".to_owned())),
            };
            return self.authenticated(how);
        }
        Err("the stream does not come to an end".to_owned())
    }

    /// Takes an element to the receiver and its answer back; whether both are satisfied.
    fn prove(&mut self, plan: &Plan<'_>, element: String) -> Result<Result<bool, Ended>, String> {
        self.said[1].clone_from(&element);
        let element = plan.text("receiver_gets").unwrap_or(element);
        let answer =
            match self.ask(false, PeerStage::Extension, |facts| facts.element = Some(element))? {
                Ok(answer) => answer,
                Err(ended) => return self.failed("refused").map(|_| Err(ended)),
            };
        self.said[2] = answer.say.clone().unwrap_or_default();
        let element = plan.text("initiator_gets").or(answer.say);
        let Some(element) = element else { return Ok(Ok(false)) };
        let taken = self.ask(true, PeerStage::Extension, |facts| facts.element = Some(element))?;
        Ok(taken.map(|taken| taken.proved && answer.proved))
    }

    fn authenticated(&mut self, how: &str) -> Result<Result<Ended, Ended>, String> {
        for is_outgoing in [false, true] {
            let word = how.to_owned();
            let told = self.ask(is_outgoing, PeerStage::Authenticated, |facts| facts.how = word)?;
            if let Err(ended) = told {
                return Ok(Err(ended));
            }
        }
        let words = if how == "extension" { "proved".to_owned() } else { format!("by {how}") };
        Ok(Ok(words))
    }
}
