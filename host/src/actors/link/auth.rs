//! Whom a connection is with: certificates, what modules say, and the way to prove a name.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use calypte::wire::{PeerFacts, PeerIdentity, PeerStage, PeerVerdict};
use stream::s2s::{Choice, Extended, How, Offer, Offered};
use tokio::time::timeout;
use xml::{Element, Flat};
use xmpp::StreamError;

use super::Link;
use super::dial::{Purpose, Reached};
use super::transport::Channel;
use crate::actors::hall::Hall;
use crate::clock;
use crate::federation::dane::Tlsa;
use crate::federation::identity::{self, Identity, Reference, Side};
use crate::federation::trouble::{Failed, Trouble};

/// How long keys in DNS are looked for.
const DNS_WITHIN: Duration = Duration::from_secs(10);
/// The namespace of the feature that says what a server of ours can do.
const CORE: &str = "urn:calypte:core:0";

/// A question of the stream that waits for its answer.
pub(super) struct Asking {
    question: Question,
    answer: Pin<Box<dyn Future<Output = Judgement> + Send>>,
}

/// What the stream wants to know.
#[derive(Debug)]
pub(super) enum Question {
    /// What is the peer offered?
    Opened,
    /// How do we go on?
    Offered(Offered),
    /// May the channel speak for this name?
    External(String),
    /// What does the element mean?
    Extension,
    /// May stanzas pass?
    Authenticated { local: String, remote: String, how: How },
}

/// What is found out for an answer.
struct Judgement {
    /// For whom, and what the certificate proves.
    identity: Option<(String, Identity)>,
    verdict: PeerVerdict,
}

/// What a certificate is compared with.
struct Name {
    name: String,
    side: Side,
    host: Option<String>,
    tlsa: Vec<Tlsa>,
}

impl Link {
    /// Begins to find out what a question needs. `remote` is the name that the certificate has to
    /// prove. Without `facts`, modules are not asked.
    fn ask(&mut self, question: Question, local: &str, remote: &str, facts: Option<PeerFacts>) {
        let facts = facts.map(|facts| PeerFacts {
            is_outgoing: self.errand.is_some(),
            local: local.to_owned(),
            remote: remote.to_owned(),
            tls: self.channel.version.to_owned(),
            exporter: self.exporter(local, remote),
            own_spki: self.channel.own_spki.clone(),
            peer_spki: self.channel.peer_spki.clone(),
            ..facts
        });
        let known = self.identity.clone().filter(|(name, _)| name == remote);
        let name = (!remote.is_empty()).then(|| self.name(remote));
        let (hall, channel) = (Arc::clone(&self.hall), Arc::clone(&self.channel));
        let answer = Box::pin(async move {
            let identity = match (known, name) {
                (Some(known), _) => Some(known),
                (None, Some(name)) => {
                    let found = identify(&hall, &channel, &name).await;
                    Some((name.name, found))
                }
                (None, None) => None,
            };
            let found = identity.as_ref().map_or(PeerIdentity::None, |(_, found)| told(found));
            let verdict = match facts {
                Some(facts) => hall.judge_peer(PeerFacts { identity: found, ..facts }).await,
                None => PeerVerdict::default(),
            };
            Judgement { identity, verdict }
        });
        self.asking = Some(Asking { question, answer });
    }

    fn exporter(&self, local: &str, remote: &str) -> Option<Vec<u8>> {
        let is_outgoing = self.errand.is_some();
        let (initiator, receiver) = if is_outgoing { (local, remote) } else { (remote, local) };
        self.io.exporter(initiator, receiver)
    }

    /// Returns what the certificate of this peer is compared with.
    fn name(&self, remote: &str) -> Name {
        let name = remote.to_owned();
        match &self.errand {
            Some(mission) => Name {
                name,
                side: Side::Server,
                host: mission.target.srv_is_secure.then(|| mission.target.host.clone()),
                tlsa: mission.target.tlsa.clone(),
            },
            None => Name { name, side: Side::Client, host: None, tlsa: Vec::new() },
        }
    }

    /// Answers the stream as soon as that is possible.
    pub(super) fn poll_asking(&mut self, poller: &mut Poller<'_>) {
        while let Some(asking) = &mut self.asking {
            let Poll::Ready(judgement) = asking.answer.as_mut().poll(poller) else { return };
            let Some(Asking { question, .. }) = self.asking.take() else { return };
            if judgement.identity.is_some() {
                self.identity.clone_from(&judgement.identity);
            }
            self.answer(question, judgement.verdict);
            self.take_events();
        }
    }

    fn answer(&mut self, question: Question, verdict: PeerVerdict) {
        if let Some((condition, reason)) = &verdict.refuse {
            return self.refuse(question, condition, reason, verdict.hold_until_ms);
        }
        match question {
            Question::Opened => self.offer(verdict),
            Question::Offered(offered) => self.choose(&offered, verdict),
            Question::External(remote) => {
                let may = verdict.external && self.proves(&remote);
                let may = may && self.hall.federation.permits(&remote);
                self.peering.answer_external(may);
            }
            Question::Extension => {
                let reply = verdict.say.as_deref().and_then(element);
                let extended = if verdict.proved { Extended::Proved } else { Extended::Again };
                self.peering.answer_extension(reply, extended);
            }
            Question::Authenticated { local, remote, how } => {
                self.authenticated(&local, &remote, how);
            }
        }
    }

    /// A module refuses the peer.
    fn refuse(&mut self, question: Question, condition: &str, reason: &str, hold: Option<u64>) {
        let why = StreamError::of(condition).unwrap_or(StreamError::PolicyViolation);
        tracing::debug!(conn = self.outbox.id(), reason, "A module refuses another server.");
        self.hall.shared.metrics.s2s_refused.of("policy").one();
        if self.is_trying() {
            let text = format!("its server does not keep to what it promised ({reason})");
            let trouble = Trouble::new(Failed::Policy, text);
            let reason = Some(reason.to_owned());
            self.report(Err(Trouble { reason, hold_until_ms: hold, ..trouble }));
        }
        match question {
            Question::Offered(_) => self.peering.answer_offered(Choice::Refuse(why)),
            Question::Extension => self.peering.answer_extension(None, Extended::Refused(why)),
            Question::Opened | Question::External(_) | Question::Authenticated { .. } => {}
        }
        self.end(Some(why));
    }

    /// Tells whether the certificate proves this name.
    fn proves(&self, remote: &str) -> bool {
        let of_name = self.identity.as_ref().filter(|(name, _)| name == remote);
        of_name.is_some_and(|(_, identity)| matches!(identity, Identity::Valid | Identity::Dane))
    }

    /// Tells whether dialback may prove this name.
    fn may_dial_back(&self, remote: &str) -> bool {
        let of_name = self.identity.as_ref().filter(|(name, _)| name == remote);
        let is_refused = of_name.is_some_and(|(_, found)| matches!(found, Identity::Refused(_)));
        self.proves(remote) || (!is_refused && self.hall.federation.permits_dialback(remote))
    }

    /// Offers the peer what it may use.
    fn offer(&mut self, verdict: PeerVerdict) {
        let remote = self.identity.as_ref().map(|(name, _)| name.clone());
        self.may_dial_back = verdict.dialback;
        let external = verdict.external && remote.as_ref().is_some_and(|name| self.proves(name));
        let by_dialback = remote.as_ref().is_none_or(|name| self.may_dial_back(name));
        let dialback = verdict.dialback && by_dialback;
        let more: Vec<Element> =
            verdict.features.iter().filter_map(|feature| element(feature)).collect();
        if !external && !dialback && more.is_empty() {
            self.hall.shared.metrics.s2s_refused.of("certificate").one();
            let remote = remote.unwrap_or_default();
            let why = self.doubt(&remote);
            tracing::info!(remote, why, "A server was refused that cannot prove its domain.");
            return self.end(Some(StreamError::PolicyViolation));
        }
        self.peering.answer_opened(Offer { external, dialback, bidi: true, acks: true, more });
    }

    /// Chooses how to prove our domain to the peer, after its own proof.
    fn choose(&mut self, offered: &Offered, verdict: PeerVerdict) {
        let Some(errand) = self.errand.as_ref().map(|mission| Arc::clone(&mission.errand)) else {
            return;
        };
        let remote = errand.remote.as_str();
        let is_proved = self.proves(remote);
        if is_proved {
            errand.tracer.fine("certificate", "it is valid for the domain");
        }
        // Who only asks about a key proves nothing, and carries nothing afterwards.
        let say = verdict.say.as_deref().filter(|_| errand.is_judged());
        if let Some(element) = say.and_then(element) {
            let choice = Choice::Extension { element, bidi: offered.bidi };
            return self.peering.answer_offered(choice);
        }
        if !is_proved {
            let why = self.doubt(remote);
            if !self.may_dial_back(remote) {
                errand.tracer.failed("certificate", &why);
                self.fail(Failed::Certificate, format!("its certificate is refused: {why}"));
                self.peering.answer_offered(Choice::Refuse(StreamError::PolicyViolation));
                return self.end(Some(StreamError::PolicyViolation));
            }
            errand.tracer.note("certificate", &format!("{why}; dialback is allowed for it"));
        }
        let bidi = offered.bidi;
        if let Purpose::Verify { id, key } = &errand.purpose {
            self.peering.answer_offered(Choice::Nothing);
            if !self.peering.verify(&errand.local, remote, id, key.as_str()) {
                self.fail(Failed::Auth, "a key could not be shown to its server");
                self.end(None);
            }
            return;
        }
        if offered.external && verdict.external {
            self.peering.answer_offered(Choice::External { bidi });
        } else if offered.dialback && verdict.dialback {
            errand.tracer.note("auth", "trying dialback");
            self.peering.answer_offered(Choice::Dialback { bidi });
        } else {
            let why = match &offered.refused {
                Some(refused) => format!("its server does not accept our certificate ({refused})"),
                None => "its server offers no way for us to prove who we are".to_owned(),
            };
            self.fail(Failed::Auth, why);
            self.peering.answer_offered(Choice::Refuse(StreamError::NotAuthorized));
            self.end(None);
        }
    }

    /// Returns what is wrong with the certificate, in words.
    fn doubt(&self, remote: &str) -> String {
        match self.identity.as_ref().filter(|(name, _)| name == remote) {
            Some((_, Identity::Invalid(why) | Identity::Refused(why))) => why.clone(),
            Some((_, Identity::None)) | None => "it shows none".to_owned(),
            Some((_, Identity::Valid | Identity::Dane)) => "a policy forbids it".to_owned(),
        }
    }

    /// Stanzas may pass between two domains.
    fn authenticated(&mut self, local: &str, remote: &str, how: How) {
        if !self.hall.federation.permits(remote) {
            self.hall.shared.metrics.s2s_refused.of("blocked").one();
            self.fail(Failed::Policy, "this server does not talk to it");
            return self.end(Some(StreamError::PolicyViolation));
        }
        self.is_extended |= how == How::Extension;
        let how = name(how);
        let metrics = &self.hall.shared.metrics;
        match self.errand {
            Some(_) => metrics.s2s_out_authenticated.of(how).one(),
            None => metrics.s2s_in_authenticated.of(how).one(),
        }
        tracing::debug!(conn = self.outbox.id(), local, remote, how, "Servers know each other.");
        if let Some(place) = &mut self.place {
            place.proved(remote);
        }
        self.pace.logged_in();
        let may_send = self.peering.may_send(local, remote);
        let pair = (local.to_owned(), remote.to_owned());
        let is_look = self.errand.as_ref().is_some_and(|mission| mission.errand.is_look());
        if is_look {
            if let Some(mission) = &self.errand {
                mission.errand.tracer.fine("auth", &format!("{remote} accepts us ({how})"));
            }
            self.report(Ok(Reached::Seen));
            return self.end(None);
        }
        self.hall.federation.note_pair(self.outbox.id(), pair, how, may_send);
        if may_send {
            self.carry_pair(local, remote);
        }
        self.report(Ok(Reached::Carrying));
    }

    /// A question about an element of ours.
    pub(super) fn ask_extension(&mut self, element: &Flat) {
        let Some((local, remote)) = self.names() else {
            return self
                .peering
                .answer_extension(None, Extended::Refused(StreamError::NotAuthorized));
        };
        let element = Some(Element::from_node(element.root()).to_xml(""));
        let facts = PeerFacts { stage: PeerStage::Extension, element, ..PeerFacts::default() };
        self.ask(Question::Extension, &local, &remote, Some(facts));
    }

    /// A question about what the peer offers.
    pub(super) fn ask_offered(&mut self, offered: Offered) {
        let Some((local, remote)) = self.names() else { return };
        let is_core =
            |feature: &&Flat| feature.root().ns() == CORE && feature.root().name() == "calypte";
        let calypte = offered.more.iter().find(is_core);
        let calypte = calypte.map(|feature| Element::from_node(feature.root()).to_xml(""));
        let facts = PeerFacts {
            stage: PeerStage::Offered,
            external: offered.external,
            dialback: offered.dialback,
            calypte,
            ..PeerFacts::default()
        };
        self.ask(Question::Offered(offered), &local, &remote, Some(facts));
    }

    /// A question about a peer that came to us.
    pub(super) fn ask_opened(&mut self, local: String, remote: Option<String>) {
        if let Some(remote) = &remote
            && !self.hall.federation.permits(remote)
        {
            self.hall.shared.metrics.s2s_refused.of("blocked").one();
            return self.end(Some(StreamError::PolicyViolation));
        }
        let remote = remote.unwrap_or_default();
        self.opened = Some((local.clone(), remote.clone()));
        let facts = PeerFacts {
            stage: PeerStage::Opened,
            external: true,
            dialback: true,
            ..PeerFacts::default()
        };
        self.ask(Question::Opened, &local, &remote, Some(facts));
    }

    /// A question about a pair of domains.
    pub(super) fn ask_authenticated(&mut self, local: String, remote: String, how: How) {
        let facts = PeerFacts {
            stage: PeerStage::Authenticated,
            how: name(how).to_owned(),
            ..PeerFacts::default()
        };
        let question =
            Question::Authenticated { local: local.clone(), remote: remote.clone(), how };
        self.ask(question, &local, &remote, Some(facts));
    }

    /// A question about a name of the certificate.
    pub(super) fn ask_external(&mut self, remote: String) {
        let local = self.opened.as_ref().map(|(local, _)| local.clone()).unwrap_or_default();
        let name = remote.clone();
        // Modules are asked about the pair once it is authenticated.
        self.ask(Question::External(remote), &local, &name, None);
    }

    /// Returns the two domains of the stream.
    fn names(&self) -> Option<(String, String)> {
        match &self.errand {
            Some(mission) => Some((mission.errand.local.clone(), mission.errand.remote.clone())),
            None => self.opened.clone(),
        }
    }
}

impl Hall {
    /// Asks the modules about a stream with another domain.
    pub(super) async fn judge_peer(&self, facts: PeerFacts) -> PeerVerdict {
        let (token, told) = self.verdicts.ask();
        let shard = self.shard_of(&self.domain);
        if let Some(inbox) = self.inbox(shard) {
            let event = engine::Event::Peer { token, facts: Box::new(facts) };
            inbox.push(crate::actors::inbox::Parcel::Event(Box::new(event)));
        }
        match timeout(crate::actors::verdicts::WITHIN, told).await {
            Ok(Ok(verdict)) => *verdict,
            // The shard failed, or has too much to do. A module may have had to refuse.
            _ => {
                self.verdicts.forget(token);
                PeerVerdict::refused("internal-server-error", "failed")
            }
        }
    }
}

/// Judges the certificate of a peer for one name.
async fn identify(hall: &Hall, channel: &Channel, name: &Name) -> Identity {
    let roots = hall.federation.roots();
    let judge = |tlsa: &[Tlsa]| {
        let reference = Reference {
            name: &name.name,
            host: name.host.as_deref(),
            side: name.side,
            tlsa,
            now_seconds: clock::now_seconds(),
        };
        identity::identity(&channel.chain, &reference, &roots)
    };
    let found = judge(&name.tlsa);
    let has_more = name.side == Side::Client && !channel.chain.is_empty();
    if !matches!(found, Identity::Invalid(_))
        || !has_more
        || !hall.shared.config.load().federation.dane
    {
        return found;
    }
    // Its domain may publish the key of the server that came to us.
    // It has proved nothing yet: what it makes us ask is not to be in the way of what we want.
    let looked = timeout(DNS_WITHIN, async {
        let _turn = hall.federation.stranger_looks.acquire().await;
        hall.federation.resolver.targets(&name.name).await
    });
    let looked = looked.await;
    let Ok(Ok(targets)) = looked else { return found };
    let tlsa: Vec<Tlsa> = targets.into_iter().flat_map(|target| target.tlsa).collect();
    if tlsa.is_empty() { found } else { judge(&tlsa) }
}

/// Judges the certificate of the peer of a connection for one name, for dialback.
pub(super) async fn identify_client(hall: &Hall, channel: &Channel, remote: &str) -> Identity {
    let name = Name { name: remote.to_owned(), side: Side::Client, host: None, tlsa: Vec::new() };
    identify(hall, channel, &name).await
}

fn told(identity: &Identity) -> PeerIdentity {
    match identity {
        Identity::Valid => PeerIdentity::Valid,
        Identity::Dane => PeerIdentity::Dane,
        Identity::Invalid(why) | Identity::Refused(why) => PeerIdentity::Invalid(why.clone()),
        Identity::None => PeerIdentity::None,
    }
}

fn name(how: How) -> &'static str {
    match how {
        How::External => "external",
        How::Dialback => "dialback",
        How::Extension => "extension",
    }
}

/// Reads an element that a module made.
fn element(xml: &str) -> Option<Element> {
    let flat = Flat::parse(xml, "").ok()?;
    Some(Element::from_node(flat.root()))
}
