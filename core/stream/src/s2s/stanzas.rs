//! Stanzas between servers: `jabber:server` outside, `jabber:client` inside.

use xml::{Flat, Item, Node};
use xmpp::{Jid, Kind, Stanza, StanzaError, StreamError, ns};

use super::PeerEvent;
use super::header::domain;
use super::peering::{Enabling, Peering, Stage};
use crate::wire::{outside, remains};

impl Peering {
    /// Tells whether stanzas from a domain of ours to one of the peer may be sent.
    #[must_use]
    pub fn may_send(&self, local: &str, remote: &str) -> bool {
        let is_my_turn = if self.is_initiator {
            // Nothing leaves that the peer might or might not count.
            self.enabling != Enabling::Asked
        } else {
            self.is_bidi
        };
        is_my_turn && self.stage == Stage::Open && self.pairs.has(local, remote)
    }

    /// Tells whether the peer takes a stanza of this size (XEP-0478). One that it does not take would
    /// cost the stream each time it is tried.
    #[must_use]
    pub fn takes(&self, stanza: &Stanza) -> bool {
        let Some(limit) = self.offered.limits.filter(|limit| stanza.bytes() > *limit / 2) else {
            return true;
        };
        outside(stanza, ns::SERVER).is_some_and(|xml| xml.len() <= limit)
    }

    /// Writes a stanza and counts it. `false`: it was not written, because its addresses are no
    /// pair that may be sent to, or because it is too large for anybody.
    pub fn send(&mut self, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return false };
        if !self.may_send(from.domain(), to.domain()) {
            return false;
        }
        let Some(xml) = outside(stanza, ns::SERVER) else { return false };
        self.wire.write(&xml);
        self.counts.sent_one();
        true
    }

    /// A stanza came, or something that calls itself one.
    pub(crate) fn take_stanza(&mut self, flat: Flat) {
        let root = flat.root();
        if self.pairs.is_empty() || (self.is_initiator && !self.is_bidi) {
            return self.fail(StreamError::NotAuthorized);
        }
        if Kind::of(root.name()).is_none() {
            return self.fail(StreamError::UnsupportedStanzaType);
        }
        let read = Stanza::read(flat.clone());
        let checked = match &read {
            Ok(stanza) => self.check_pair(stanza.from.as_ref(), stanza.to.as_ref()),
            Err(_) => self.check_pair(sender(root).as_ref(), recipient(root).as_ref()),
        };
        match (checked, read) {
            (Err(error), _) => self.fail(error),
            (Ok(()), Ok(stanza)) => self.say(PeerEvent::Stanza(stanza)),
            (Ok(()), Err(error)) => self.bounce(root, error),
        }
    }

    /// Our side is closed: nothing can be answered.
    pub(crate) fn take_late(&mut self, item: Item) {
        match item {
            Item::Open(_) => self.end(),
            Item::Close => {
                self.end();
                self.say(PeerEvent::Closed);
            }
            Item::Element(flat) => match (flat.root().ns(), flat.root().name()) {
                (ns::STREAMS, _) => self.end(),
                (ns::CLIENT, _) => self.take_stanza(flat),
                (ns::SM, "a") => self.take_sm(flat.root()),
                _ => {}
            },
        }
    }

    /// A stanza came that breaks a limit, of which its start tag is left.
    pub(crate) fn take_refused(&mut self, root: Node<'_>) {
        let is_stanza = root.ns() == ns::CLIENT && Kind::of(root.name()).is_some();
        if !is_stanza || (self.is_initiator && !self.is_bidi) {
            return self.fail(StreamError::PolicyViolation);
        }
        match self.check_pair(sender(root).as_ref(), recipient(root).as_ref()) {
            Ok(()) => self.bounce(root, StanzaError::POLICY_VIOLATION),
            Err(error) => self.fail(error),
        }
    }

    /// RFC 6120 §8.1.1.2 and §8.1.2.2: both addresses are there, and of a pair of this stream.
    fn check_pair(&self, from: Option<&Jid>, to: Option<&Jid>) -> Result<(), StreamError> {
        let (Some(from), Some(to)) = (from, to) else {
            return Err(StreamError::ImproperAddressing);
        };
        if !self.is_ours(to.domain()) {
            return Err(StreamError::HostUnknown);
        }
        let is_known = self.pairs.has(to.domain(), from.domain());
        if is_known { Ok(()) } else { Err(StreamError::InvalidFrom) }
    }

    /// Hands on a stanza that is none, so that it is counted and perhaps answered. What one user of
    /// the peer writes must not end the stream for all.
    fn bounce(&mut self, root: Node<'_>, error: StanzaError) {
        let Some(mut stanza) = remains(root) else { return self.fail(StreamError::BadFormat) };
        stanza.from = root.attr("from").and_then(|from| Jid::parse(&from).ok());
        stanza.to = recipient(root);
        self.say(PeerEvent::Malformed(stanza, error));
    }
}

fn sender(root: Node<'_>) -> Option<Jid> {
    root.attr("from").as_deref().and_then(nearest)
}

fn recipient(root: Node<'_>) -> Option<Jid> {
    root.attr("to").as_deref().and_then(nearest)
}

/// Reads an address, or its domain alone when the rest is none.
pub(crate) fn nearest(text: &str) -> Option<Jid> {
    Jid::parse(text).ok().or_else(|| {
        let front = text.split_once('/').map_or(text, |(front, _)| front);
        domain(front.split_once('@').map_or(front, |(_, domain)| domain))
    })
}
