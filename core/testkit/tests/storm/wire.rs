//! A connection between two servers: the real streams at both ends, and the bytes between them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crypto::Secret;
use stream::s2s::{Choice, Offer, PeerEvent, PeerSettings, Peering, Role};
use xmpp::{Jid, Stanza};

/// A stanza on its way to another domain.
#[derive(Clone, Debug)]
pub(crate) struct Freight {
    /// The shard of the sender.
    pub(crate) shard: usize,
    /// The row that keeps it there.
    pub(crate) row: Option<Vec<u8>>,
    pub(crate) stanza: Stanza,
}

pub(crate) struct Wire {
    /// The number of the server that opened it.
    pub(crate) from: usize,
    /// The number of the server that is spoken to.
    pub(crate) to: usize,
    /// `None`: this end is gone.
    pub(crate) speaker: Option<Speaker>,
    /// `None`: this end is gone.
    pub(crate) listener: Option<Listener>,
    there: Vec<u8>,
    back: Vec<u8>,
}

/// The end that sends stanzas.
pub(crate) struct Speaker {
    peering: Peering,
    local: String,
    remote: String,
    /// What the other end has not acknowledged, oldest first.
    pub(crate) unacked: VecDeque<Freight>,
    acked: u32,
}

/// The end that receives them.
pub(crate) struct Listener {
    peering: Peering,
    /// How many came.
    came: u64,
    /// Those that are handled though some before them are not.
    done: BTreeSet<u64>,
    /// How many are handled, and all before them.
    handled: u64,
    /// How many the other end was told of.
    told: u64,
}

impl Wire {
    /// Opens a connection with direct TLS.
    pub(crate) fn new(
        (from, local): (usize, &Jid),
        (to, remote): (usize, &Jid),
        chance: [u8; 32],
    ) -> Self {
        let (local, remote) = (local.domain().to_owned(), remote.domain().to_owned());
        let role = Role::Initiator { local: local.clone(), remote: remote.clone() };
        let peering = Peering::new(settings(&local), role, true, chance);
        let speaker =
            Speaker { peering, local, remote: remote.clone(), unacked: VecDeque::new(), acked: 0 };
        let mut chance = chance;
        chance.reverse();
        let listener = Listener {
            peering: Peering::new(settings(&remote), Role::Receiver, true, chance),
            came: 0,
            done: BTreeSet::new(),
            handled: 0,
            told: 0,
        };
        let mut wire = Self {
            from,
            to,
            speaker: Some(speaker),
            listener: Some(listener),
            there: Vec::new(),
            back: Vec::new(),
        };
        wire.write();
        wire
    }

    /// Puts on the way what both ends have to say.
    fn write(&mut self) {
        if let Some(speaker) = &mut self.speaker {
            self.there.append(speaker.peering.output());
        }
        if let Some(listener) = &mut self.listener {
            self.back.append(listener.peering.output());
        }
    }

    /// Sends a stanza, which was not sent over this connection before.
    pub(crate) fn send(&mut self, freight: Freight, asks: bool) {
        let Some(speaker) = &mut self.speaker else { panic!("nobody is there to send") };
        assert!(speaker.peering.send(&freight.stanza), "what leaves may be sent");
        speaker.unacked.push_back(freight);
        if asks {
            speaker.peering.request_ack();
        }
        self.write();
    }

    /// Tells whether stanzas may be sent.
    pub(crate) fn is_ready(&self) -> bool {
        let may_send = |one: &Speaker| one.peering.may_send(&one.local, &one.remote);
        self.speaker.as_ref().is_some_and(may_send)
    }

    /// The oldest bytes get to the listener. Returns the stanzas in them, with their numbers.
    pub(crate) fn carry_there(&mut self, bytes: usize) -> Vec<(u64, Stanza)> {
        let bytes: Vec<_> = self.there.drain(..bytes.min(self.there.len())).collect();
        let mut stanzas = Vec::new();
        let Some(listener) = &mut self.listener else { return stanzas };
        listener.peering.feed(&bytes);
        while let Some(event) = listener.peering.poll() {
            match event {
                PeerEvent::Opened { .. } => {
                    let offer = Offer { external: true, acks: true, ..Offer::default() };
                    listener.peering.answer_opened(offer);
                }
                PeerEvent::External { .. } => listener.peering.answer_external(true),
                PeerEvent::Stanza(stanza) => {
                    stanzas.push((listener.came, stanza));
                    listener.came += 1;
                }
                PeerEvent::AckRequested => listener.ack(),
                PeerEvent::Authenticated { .. } | PeerEvent::AcksOn => {}
                other => panic!("the listener meets {other:?}"),
            }
        }
        self.write();
        if self.speaker.is_none() && self.there.is_empty() {
            // The end of the stream.
            self.listener = None;
        }
        stanzas
    }

    /// The oldest bytes get to the speaker. Returns what the other end has from now on.
    pub(crate) fn carry_back(&mut self, bytes: usize) -> Vec<Freight> {
        let bytes: Vec<_> = self.back.drain(..bytes.min(self.back.len())).collect();
        let mut done = Vec::new();
        let Some(speaker) = &mut self.speaker else { return done };
        speaker.peering.feed(&bytes);
        while let Some(event) = speaker.peering.poll() {
            match event {
                PeerEvent::Offered(_) => {
                    speaker.peering.answer_offered(Choice::External { bidi: false });
                }
                PeerEvent::Acked { h } => {
                    let count = usize::try_from(h.wrapping_sub(speaker.acked)).unwrap();
                    speaker.acked = h;
                    done.extend(speaker.unacked.drain(..count));
                }
                PeerEvent::Authenticated { .. } | PeerEvent::AcksOn => {}
                other => panic!("the speaker meets {other:?}"),
            }
        }
        self.write();
        done
    }

    /// A stanza is handled: what came of it is on disk.
    pub(crate) fn handled(&mut self, number: u64) {
        let Some(listener) = &mut self.listener else { return };
        listener.done.insert(number);
        while listener.done.remove(&listener.handled) {
            listener.handled += 1;
        }
    }

    /// Counts a stanza and all before it, whether or not they are handled.
    pub(crate) fn handled_up_to(&mut self, number: u64) {
        let Some(listener) = &mut self.listener else { return };
        listener.handled = listener.handled.max(number + 1);
    }

    /// Counts a stanza although nothing of it is on disk.
    pub(crate) fn handled_too_early(&mut self) {
        let Some(listener) = &mut self.listener else { return };
        listener.handled = listener.came;
        listener.done.clear();
    }

    /// The listener says how much it has, when that is news.
    pub(crate) fn acks(&mut self) {
        if let Some(listener) = self.listener.as_mut().filter(|one| one.handled > one.told) {
            listener.ack();
            self.write();
        }
    }

    /// Tells how many bytes are on their way, there and back.
    pub(crate) fn on_its_way(&self) -> (usize, usize) {
        (self.there.len(), self.back.len())
    }

    /// The speaker's end is gone. What it wrote may still get there.
    pub(crate) fn lose_speaker(&mut self) -> VecDeque<Freight> {
        self.back.clear();
        self.speaker.take().map(|speaker| speaker.unacked).unwrap_or_default()
    }

    /// The listener's end is gone, with what was on its way to it.
    pub(crate) fn lose_listener(&mut self) {
        self.listener = None;
        self.there.clear();
    }

    /// Loses what the speaker wrote and the listener has not read, but for the first bytes.
    pub(crate) fn lose_bytes(&mut self, left: usize) {
        self.there.truncate(left);
    }

    /// Tells whether nobody is there any more.
    pub(crate) fn is_over(&self) -> bool {
        self.speaker.is_none() && self.listener.is_none()
    }
}

impl Listener {
    fn ack(&mut self) {
        self.told = self.handled;
        self.peering.ack(u32::try_from(self.handled).unwrap());
    }
}

fn settings(domain: &str) -> Arc<PeerSettings> {
    Arc::new(PeerSettings {
        domains: vec![domain.to_owned()],
        stanza_bytes: 262_144,
        dialback_secret: Secret::new(domain.as_bytes().to_vec()),
    })
}
