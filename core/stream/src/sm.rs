//! Acknowledgements (XEP-0198): what the stream itself knows of them.

use xml::{Element, Node};
use xmpp::{Jid, StreamError, ns};

use crate::machine::{Question, Stage, Stream};
use crate::{StreamEvent, Token};

/// The stream's counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) is_on: bool,
    /// Stanzas written to the client, modulo 2³².
    sent: u32,
    /// How many of them it has acknowledged.
    settled: u32,
}

/// An earlier session that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Its full address.
    pub jid: Jid,
    /// Its name.
    pub token: String,
    /// How many stanzas of the client were handled, modulo 2³².
    pub handled: u32,
    /// A token for the next login.
    pub fresh: Option<Token>,
}

impl Counts {
    /// Returns counts that begin now.
    pub(crate) fn start() -> Self {
        Self { is_on: true, ..Self::default() }
    }

    pub(crate) fn sent_one(&mut self) {
        if self.is_on {
            self.sent = self.sent.wrapping_add(1);
        }
    }

    /// Returns how many stanzas wait for their acknowledgement.
    pub(crate) fn waiting(&self) -> u32 {
        self.sent.wrapping_sub(self.settled)
    }

    /// Takes the peer's count.
    ///
    /// # Errors
    ///
    /// What was sent, when the count is ahead of it.
    pub(crate) fn settle(&mut self, h: u32) -> Result<(), u32> {
        let newly = h.wrapping_sub(self.settled);
        if newly > self.waiting() {
            return Err(self.sent);
        }
        self.settled = h;
        Ok(())
    }
}

impl Stream {
    /// A stanza-like element of XEP-0198 came.
    pub(crate) fn take_sm(&mut self, node: Node<'_>) {
        match (node.name(), self.stage) {
            ("r", Stage::Bound) if self.counts.is_on => self.say(StreamEvent::AckRequested),
            ("a", Stage::Bound) if self.counts.is_on => self.take_ack(node),
            ("enable", Stage::Bound) if !self.counts.is_on => {
                let resume = is_true(node.attr("resume").as_deref());
                self.ask(Question::Enable, StreamEvent::Enable { resume });
            }
            ("resume", Stage::Authenticated) => self.take_resume(node),
            ("enable" | "resume", Stage::Bound | Stage::Authenticated) => {
                self.write_element(&failed("unexpected-request"));
            }
            _ => self.fail(StreamError::NotAuthorized),
        }
    }

    fn take_ack(&mut self, node: Node<'_>) {
        let Some(h) = count(node) else { return self.fail(StreamError::BadFormat) };
        match self.counts.settle(h) {
            Ok(()) => self.say(StreamEvent::Acked { h }),
            Err(sent) => {
                let detail = too_high(h, sent);
                self.fail_with(StreamError::UndefinedCondition, Some(&detail));
            }
        }
    }

    fn take_resume(&mut self, node: Node<'_>) {
        let account = self.account.clone();
        let token = node.attr("previd").map(std::borrow::Cow::into_owned);
        let (Some(account), Some(token), Some(h)) = (account, token, count(node)) else {
            return self.fail(StreamError::BadFormat);
        };
        let question = Question::Resume { inline: false, h };
        self.ask(question, StreamEvent::Resume { account, token, h, fresh: None });
    }

    /// Answers [`StreamEvent::Enable`]: on, with the name to come back by where that is possible.
    pub fn answer_enable(&mut self, token: Option<&str>) {
        let Some(Question::Enable) = self.question.take() else { return };
        let enabled = self.begin_counting(token);
        self.write_element(&enabled);
    }

    /// Counts from here on, and returns what the client is told.
    pub(crate) fn begin_counting(&mut self, token: Option<&str>) -> Element {
        self.counts = Counts::start();
        let mut enabled = Element::new(ns::SM, "enabled");
        if let Some(token) = token {
            enabled.push_attr("id", token);
            enabled.push_attr("resume", "true");
            enabled.push_attr("max", &self.settings.resume_seconds.to_string());
        }
        enabled
    }

    /// Answers [`StreamEvent::Resume`]: the session, or `None` when there is none.
    ///
    /// Then send again what the client has not received.
    pub fn answer_resume(&mut self, resumed: Option<Resumed>) {
        let Some(Question::Resume { inline, h }) = self.question.take() else { return };
        let Some(Resumed { jid, token, handled, fresh }) = resumed else {
            let failed = failed("item-not-found");
            return if inline { self.resume_failed(failed) } else { self.write_element(&failed) };
        };
        self.counts = Counts { is_on: true, sent: h, settled: h };
        let resumed = Element::new(ns::SM, "resumed")
            .with_attr("h", &handled.to_string())
            .with_attr("previd", &token);
        self.session = Some(jid.clone());
        self.stage = Stage::Bound;
        if inline {
            self.finish_login(&jid, Some(resumed), None, fresh);
        } else {
            self.write_element(&resumed);
        }
    }

    /// Tells the client how many of its stanzas were handled, modulo 2³².
    pub fn ack(&mut self, handled: u32) {
        if self.counts.is_on && self.stage == Stage::Bound {
            let ack = Element::new(ns::SM, "a").with_attr("h", &handled.to_string());
            self.write_element(&ack);
        }
    }

    /// Asks the client how much it received.
    pub fn request_ack(&mut self) {
        if self.counts.is_on && self.stage == Stage::Bound {
            self.write_element(&Element::new(ns::SM, "r"));
        }
    }

    /// Returns how many stanzas the client has not acknowledged; 0 without acknowledgements.
    #[must_use]
    pub fn unacknowledged(&self) -> u32 {
        self.counts.waiting()
    }
}

pub(crate) fn is_true(value: Option<&str>) -> bool {
    matches!(value, Some("true" | "1"))
}

pub(crate) fn count(node: Node<'_>) -> Option<u32> {
    node.attr("h")?.parse().ok()
}

/// Says that a count is ahead of what was sent (XEP-0198 §4).
pub(crate) fn too_high(h: u32, sent: u32) -> Element {
    Element::new(ns::SM, "handled-count-too-high")
        .with_attr("h", &h.to_string())
        .with_attr("send-count", &sent.to_string())
}

pub(crate) fn failed(condition: &str) -> Element {
    Element::new(ns::SM, "failed").with_child(Element::new(ns::STANZA_ERRORS, condition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: u32, settled: u32, h: u32, expected: Result<u32, u32>) {
        let mut counts = Counts { is_on: true, sent, settled };
        assert_eq!(counts.settle(h).map(|()| counts.waiting()), expected);
    }

    #[test]
    fn settles() {
        check(3, 0, 2, Ok(1));
        check(3, 2, 2, Ok(1));
        check(1, u32::MAX, 1, Ok(0));
        check(3, 2, 4, Err(3));
        check(3, 2, 1, Err(3));
    }
}
