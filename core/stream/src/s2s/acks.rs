//! Acknowledgements between servers (XEP-0198): on before the first stanza where both have them.

use xml::{Element, Node};
use xmpp::{StreamError, ns};

use super::PeerEvent;
use super::peering::{Enabling, Peering, Stage};
use crate::sm::{Counts, count, failed, too_high};

impl Peering {
    pub(crate) fn take_sm(&mut self, node: Node<'_>) {
        match node.name() {
            "r" if self.counts.is_on => self.say(PeerEvent::AckRequested),
            "a" if self.counts.is_on => self.take_ack(node),
            "enable" if self.offer.acks && !self.counts.is_on && !self.pairs.is_empty() => {
                self.wire.write_element(&Element::new(ns::SM, "enabled"));
                self.start_counting();
            }
            "enable" if !self.pairs.is_empty() => {
                self.wire.write_element(&failed("unexpected-request"));
            }
            "resume" if !self.pairs.is_empty() => {
                self.wire.write_element(&failed("item-not-found"));
            }
            "enabled" if self.enabling == Enabling::Asked => {
                self.start_counting();
                self.let_go();
            }
            "failed" if self.enabling == Enabling::Asked => self.let_go(),
            _ => self.fail(StreamError::NotAuthorized),
        }
    }

    /// Initiator: asks for acknowledgements, once.
    pub(crate) fn enable_acks(&mut self) {
        if self.offered.acks && self.enabling == Enabling::Not {
            self.wire.write_element(&Element::new(ns::SM, "enable"));
            self.enabling = Enabling::Asked;
        }
    }

    fn start_counting(&mut self) {
        self.counts = Counts::start();
        self.say(PeerEvent::AcksOn);
    }

    /// The peer answered: stanzas may be sent.
    fn let_go(&mut self) {
        self.enabling = Enabling::Settled;
        self.events.append(&mut self.held);
    }

    fn take_ack(&mut self, node: Node<'_>) {
        let Some(h) = count(node) else { return self.fail(StreamError::BadFormat) };
        match self.counts.settle(h) {
            Ok(()) => self.say(PeerEvent::Acked { h }),
            Err(sent) => {
                let error = StreamError::UndefinedCondition;
                let detail = too_high(h, sent);
                self.fail_as(error, super::PeerFailure::Protocol, Some(&detail));
            }
        }
    }

    /// Tells whether acknowledgements are on. Settled when the first pair is authenticated, on the
    /// initiator's side; a receiver hears [`PeerEvent::AcksOn`] a little later.
    #[must_use]
    pub fn has_acks(&self) -> bool {
        self.counts.is_on
    }

    /// Tells the peer how many of its stanzas since [`PeerEvent::AcksOn`] were handled,
    /// modulo 2³².
    pub fn ack(&mut self, handled: u32) {
        if self.counts.is_on && self.stage == Stage::Open {
            let ack = Element::new(ns::SM, "a").with_attr("h", &handled.to_string());
            self.wire.write_element(&ack);
        }
    }

    /// Asks the peer how much it received.
    pub fn request_ack(&mut self) {
        if self.counts.is_on && self.stage == Stage::Open {
            self.wire.write_element(&Element::new(ns::SM, "r"));
        }
    }

    /// Returns how many stanzas the peer has not acknowledged; 0 without acknowledgements.
    #[must_use]
    pub fn unacknowledged(&self) -> u32 {
        self.counts.waiting()
    }
}
