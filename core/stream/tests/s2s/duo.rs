//! Two streams that are each other's peer, in memory.

use std::sync::Arc;

use crypto::Secret;
use stream::s2s::{
    Choice, DialbackOutcome, Extended, How, Offer, PeerEvent, PeerFailure, PeerSettings, Peering,
    Role,
};
use xml::Element;
use xmpp::{Stanza, StreamError};

/// The initiator's domains.
pub(crate) const OURS: [&str; 2] = ["a.example", "rooms.a.example"];
/// The receiver's domains.
pub(crate) const THEIRS: [&str; 2] = ["b.example", "rooms.b.example"];

pub(crate) fn settings(domains: [&str; 2], secret: &[u8]) -> Arc<PeerSettings> {
    Arc::new(PeerSettings {
        domains: domains.map(str::to_owned).to_vec(),
        stanza_bytes: 262_144,
        dialback_secret: Secret::new(secret.to_vec()),
    })
}

pub(crate) fn offer() -> Offer {
    Offer { external: true, dialback: true, bidi: true, acks: true, more: Vec::new() }
}

pub(crate) fn proof(word: &str) -> Element {
    Element::new("urn:calypte:tls:0", "proof").with_text(word)
}

/// One end, and what its caller would do.
pub(crate) struct End {
    pub(crate) peering: Peering,
    pub(crate) events: Vec<PeerEvent>,
    /// What it sent before TLS.
    pub(crate) clear: String,
    /// What it sent over TLS.
    pub(crate) secret: String,
    is_tls: bool,
    is_moving: bool,
}

impl End {
    pub(crate) fn new(settings: Arc<PeerSettings>, role: Role, is_tls: bool) -> Self {
        let chance = if role == Role::Receiver { [1; 32] } else { [2; 32] };
        let peering = Peering::new(settings, role, is_tls, chance);
        let (clear, secret, events) = (String::new(), String::new(), Vec::new());
        Self { peering, events, clear, secret, is_tls, is_moving: false }
    }

    /// Takes out what there is to write.
    pub(crate) fn written(&mut self) -> String {
        let bytes = std::mem::take(self.peering.output());
        let text = String::from_utf8(bytes).unwrap();
        if self.is_tls { &mut self.secret } else { &mut self.clear }.push_str(&text);
        if self.is_moving {
            (self.is_moving, self.is_tls) = (false, true);
            self.peering.secured();
            return text + &self.written();
        }
        text
    }

    pub(crate) fn stanzas(&self) -> Vec<&Stanza> {
        let stanza = |event: &PeerEvent| matches!(event, PeerEvent::Stanza(_));
        let all = self.events.iter().filter(|event| stanza(event));
        all.map(|event| if let PeerEvent::Stanza(stanza) = event { stanza } else { panic!() })
            .collect()
    }

    pub(crate) fn failed(&self) -> Option<(StreamError, PeerFailure)> {
        self.events.iter().find_map(|event| match event {
            PeerEvent::Failed(error, failure) => Some((*error, *failure)),
            _ => None,
        })
    }

    pub(crate) fn pairs(&self) -> Vec<(String, String, How, bool)> {
        let pair = |event: &PeerEvent| match event {
            PeerEvent::Authenticated { local, remote, how, is_bidi } => {
                Some((local.clone(), remote.clone(), *how, *is_bidi))
            }
            _ => None,
        };
        self.events.iter().filter_map(pair).collect()
    }

    /// Names of the events, in order.
    pub(crate) fn told(&self) -> Vec<String> {
        let name = |event: &PeerEvent| {
            let text = format!("{event:?}");
            text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
        };
        self.events.iter().map(name).collect()
    }
}

/// Both ends and what decides for them.
pub(crate) struct Duo {
    pub(crate) initiator: End,
    pub(crate) receiver: End,
    pub(crate) offer: Offer,
    /// What the initiator does, one after the other.
    pub(crate) choices: Vec<Choice>,
    /// Whether the receiver believes the certificate.
    pub(crate) certificate_is_good: bool,
    /// What the receiver finds out about a key; asks the initiator's server when there is nothing.
    pub(crate) outcome: Option<DialbackOutcome>,
    /// What the two make of elements of ours.
    pub(crate) extended: Vec<(Option<Element>, Extended)>,
    piece: usize,
}

impl Duo {
    pub(crate) fn new(is_tls: bool) -> Self {
        let role = Role::Initiator { local: "a.example".into(), remote: "b.example".into() };
        Self {
            initiator: End::new(settings(OURS, b"initiator"), role, is_tls),
            receiver: End::new(settings(THEIRS, b"receiver"), Role::Receiver, is_tls),
            offer: offer(),
            choices: Vec::new(),
            certificate_is_good: true,
            outcome: None,
            extended: Vec::new(),
            piece: 4096,
        }
    }

    pub(crate) fn choosing(is_tls: bool, choices: &[Choice]) -> Self {
        let mut duo = Self { choices: choices.to_vec(), ..Self::new(is_tls) };
        duo.run();
        duo
    }

    /// Carries bytes both ways until nobody says anything.
    pub(crate) fn run(&mut self) {
        loop {
            let there = self.initiator.written();
            self.carry(&there, true);
            let back = self.receiver.written();
            self.carry(&back, false);
            if there.is_empty() && back.is_empty() {
                return;
            }
        }
    }

    fn carry(&mut self, text: &str, is_there: bool) {
        for piece in text.as_bytes().chunks(self.piece) {
            let end = if is_there { &mut self.receiver } else { &mut self.initiator };
            end.peering.feed(piece);
            self.poll(is_there);
        }
        self.poll(is_there);
    }

    fn poll(&mut self, of_receiver: bool) {
        loop {
            let end = if of_receiver { &mut self.receiver } else { &mut self.initiator };
            let Some(event) = end.peering.poll() else { return };
            end.is_moving |= matches!(event, PeerEvent::StartTls);
            self.answer(of_receiver, &event);
            let end = if of_receiver { &mut self.receiver } else { &mut self.initiator };
            end.events.push(event);
        }
    }

    fn answer(&mut self, of_receiver: bool, event: &PeerEvent) {
        let end = if of_receiver { &mut self.receiver } else { &mut self.initiator };
        match event {
            PeerEvent::Opened { .. } => end.peering.answer_opened(self.offer.clone()),
            PeerEvent::Offered(_) => {
                let choice = if self.choices.is_empty() {
                    Choice::Refuse(StreamError::PolicyViolation)
                } else {
                    self.choices.remove(0)
                };
                end.peering.answer_offered(choice);
            }
            PeerEvent::External { .. } => end.peering.answer_external(self.certificate_is_good),
            PeerEvent::Extension(_) => {
                let (reply, meaning) = self.extended.remove(0);
                end.peering.answer_extension(reply, meaning);
            }
            PeerEvent::Dialback { local, remote, key, id } => {
                let found = || ask_authority(local, remote, id, key.as_str());
                let outcome = self.outcome.clone().unwrap_or_else(found);
                end.peering.answer_dialback(local, remote, outcome);
            }
            _ => {}
        }
    }
}

/// Opens a stream back to the initiator's server and asks it about a key.
pub(crate) fn ask_authority(local: &str, remote: &str, id: &str, key: &str) -> DialbackOutcome {
    let role = Role::Initiator { local: local.into(), remote: remote.into() };
    let mut duo = Duo::new(true);
    duo.initiator = End::new(settings(THEIRS, b"receiver"), role, true);
    duo.receiver = End::new(settings(OURS, b"initiator"), Role::Receiver, true);
    duo.choices = vec![Choice::Nothing];
    duo.run();
    assert!(duo.initiator.peering.verify(local, remote, id, key));
    duo.run();
    let Some(PeerEvent::Verified { from, to, id: its, outcome }) = duo.initiator.events.pop()
    else {
        panic!("no answer: {:?}", duo.initiator.events)
    };
    assert_eq!((from.as_str(), to.as_str(), its.as_str()), (local, remote, id));
    outcome
}

pub(crate) fn message(from: &str, to: &str) -> Stanza {
    Stanza::parse(&format!("<message from='{from}' to='{to}' id='1'><body>x</body></message>"))
        .unwrap()
}
