//! Acknowledgements and resumption, the client's side (XEP-0198).

use std::net::Shutdown;

use super::{Client, attr};

pub(super) const SM: &str = "urn:xmpp:sm:3";

/// The state of XEP-0198.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) token: Option<String>,
    pub(super) sent: u32,
    pub(super) received: u32,
    pub(super) acknowledged: u32,
}

/// What a client needs to resume its session.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The name of the account.
    pub name: String,
    /// The name of the session.
    pub token: String,
    /// How many stanzas it received.
    pub received: u32,
    /// How many stanzas it sent.
    pub sent: u32,
    pub(super) jid: String,
}

impl Client {
    pub(super) fn count(&mut self, xml: &str) -> bool {
        let Some(counts) = &mut self.counts else { return false };
        if xml.starts_with("<r ") && self.answers_requests {
            let answer = format!("<a xmlns='{SM}' h='{}'/>", counts.received);
            // A connection that is going down is noticed when it is read.
            drop(self.try_send(answer.as_bytes()));
            return true;
        }
        if xml.starts_with("<a ") {
            counts.acknowledged = attr(xml, "h").unwrap().parse().unwrap();
        } else if ["<message", "<presence", "<iq"].iter().any(|kind| xml.starts_with(kind)) {
            counts.received = counts.received.wrapping_add(1);
        }
        false
    }

    /// Turns acknowledgements on (XEP-0198), with resumption.
    #[track_caller]
    pub fn enable(&mut self) {
        self.send(&format!("<enable xmlns='{SM}' resume='true'/>"));
        // Stanzas may come right behind the answer, so the counting begins before it is read.
        self.counts = Some(Counts::default());
        let enabled = self.expect(&["<enabled"]);
        self.counts.as_mut().unwrap().token = attr(&enabled, "id");
    }

    /// Asks how many stanzas the server has handled, and returns its count.
    #[track_caller]
    pub fn acknowledged(&mut self) -> u32 {
        self.send(&format!("<r xmlns='{SM}'/>"));
        self.expect(&["<a "]);
        self.counts.as_ref().unwrap().acknowledged
    }

    /// Returns the newest count that the server told of itself.
    #[must_use]
    pub fn told(&self) -> u32 {
        self.counts.as_ref().map_or(0, |counts| counts.acknowledged)
    }

    /// Sets whether `<r/>` and pings of the server are answered by themselves; they are unless a
    /// test says no.
    pub fn answer_requests(&mut self, does: bool) {
        self.answers_requests = does;
    }

    /// Returns what is needed to resume the session.
    #[must_use]
    #[track_caller]
    pub fn memory(&self) -> Memory {
        let counts = self.counts.as_ref().expect("acknowledgements are on");
        Memory {
            name: self.name.clone(),
            token: counts.token.clone().expect("the session can be resumed"),
            received: counts.received,
            sent: counts.sent,
            jid: self.jid.clone(),
        }
    }

    /// Cuts the connection without a word, as a lost network does, and says what to remember.
    #[track_caller]
    pub fn cut(self) -> Memory {
        drop(self.socket().shutdown(Shutdown::Both));
        self.memory()
    }
}
