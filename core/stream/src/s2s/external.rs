//! SASL EXTERNAL (RFC 6120 §6, XEP-0178 §3).

use xml::{Element, Node};
use xmpp::{StreamError, ns};

use super::header::domain;
use super::peering::{Login, Peering, Question, Stage};
use super::{How, PeerEvent};
use crate::sasl::decode;

/// Failures after which the stream ends (RFC 6120 §6.4.5).
const TRIES_MAX: u8 = 3;
/// The longest name of a condition that is kept, in characters.
const CONDITION_CHARS_MAX: usize = 64;

impl Peering {
    /// Initiator: asks to be known by our certificate; the header says as whom.
    pub(crate) fn ask_external(&mut self) {
        let auth = Element::new(ns::SASL, "auth").with_attr("mechanism", "EXTERNAL").with_text("=");
        self.wire.write_element(&auth);
        self.login = Login::Asked;
    }

    pub(crate) fn take_sasl(&mut self, node: Node<'_>) {
        match (self.is_initiator, self.login, node.name()) {
            (true, Login::Asked, "success") => self.external_done(),
            (true, Login::Asked, "failure") => self.external_refused(node),
            // There is nothing to add to what was said; the peer answers with a failure.
            (true, Login::Asked, "challenge") => {
                self.wire.write_element(&Element::new(ns::SASL, "abort"));
            }
            // A stream on which somebody is known goes on as it is.
            (false, ..) if !self.pairs.is_empty() => self.fail(StreamError::NotAuthorized),
            (false, Login::No | Login::Asked, "auth") => self.begin(node),
            (false, Login::Asked, "response") => {
                self.login = Login::No;
                self.take_name(&node.text());
            }
            (false, Login::Asked, "abort") => self.fail_login("aborted"),
            _ => self.fail(StreamError::NotAuthorized),
        }
    }

    fn external_done(&mut self) {
        self.login = Login::Done;
        self.pairs.forget_waiting();
        self.wire.end_login_limits(self.settings.stanza_bytes);
        self.wire.expect_restart();
        self.stage = Stage::Header;
        self.write_initial_header();
    }

    fn external_refused(&mut self, node: Node<'_>) {
        self.login = Login::No;
        let condition = node.children().find(|child| child.name() != "text");
        let name = condition.map_or("", |condition| condition.name());
        self.offered.external = false;
        self.offered.refused = Some(name.chars().take(CONDITION_CHARS_MAX).collect());
        self.ask(Question::Offered, PeerEvent::Offered(self.offered.clone()));
    }

    fn begin(&mut self, node: Node<'_>) {
        self.login = Login::No;
        if !self.offer.external || node.attr("mechanism").as_deref() != Some("EXTERNAL") {
            return self.fail_login("invalid-mechanism");
        }
        let text = node.text();
        if text.trim().is_empty() {
            self.login = Login::Asked;
            return self.wire.write_element(&Element::new(ns::SASL, "challenge"));
        }
        self.take_name(&text);
    }

    /// Finds out whom the peer wants to be: the name in its header, or another that it says only
    /// here.
    fn take_name(&mut self, text: &str) {
        let Some(name) = decode(text.trim()) else {
            return self.fail_login("incorrect-encoding");
        };
        let said = self.remote.clone();
        let remote = if name.is_empty() {
            said
        } else {
            let name = std::str::from_utf8(&name).ok().and_then(domain);
            let name = name.map(|name| name.as_str().to_owned());
            let is_same = |name: &String| said.as_ref().is_none_or(|said| said == name);
            name.filter(|name| is_same(name) && !self.is_ours(name))
        };
        match remote {
            Some(remote) => {
                let question = Question::External { remote: remote.clone() };
                self.ask(question, PeerEvent::External { remote });
            }
            None => self.fail_login("invalid-authzid"),
        }
    }

    /// Answers [`PeerEvent::External`]: whether the certificate is good for the name.
    pub fn answer_external(&mut self, is_good: bool) {
        if !matches!(self.question, Some(Question::External { .. })) {
            return;
        }
        let Some(Question::External { remote }) = self.question.take() else { return };
        if !is_good {
            return self.fail_login("not-authorized");
        }
        self.wire.write_element(&Element::new(ns::SASL, "success"));
        self.login = Login::Done;
        // Keys that are being checked are for the old name of the stream.
        self.pairs.forget_waiting();
        let local = self.local.clone();
        self.pairs.prove(&local, &remote);
        self.remote = Some(remote);
        self.wire.end_login_limits(self.settings.stanza_bytes);
        self.wire.expect_restart();
        self.stage = Stage::Header;
    }

    /// Receiver: the new header came, so the peer can be spoken to.
    pub(crate) fn say_authenticated(&mut self) {
        if let Some(remote) = self.remote.clone() {
            let event = self.authenticated(&self.local, &remote, How::External);
            self.say(event);
        }
    }

    fn fail_login(&mut self, condition: &str) {
        self.login = Login::No;
        let failure =
            Element::new(ns::SASL, "failure").with_child(Element::new(ns::SASL, condition));
        self.wire.write_element(&failure);
        self.failures = self.failures.saturating_add(1);
        if self.failures >= TRIES_MAX {
            self.fail(StreamError::PolicyViolation);
        }
    }
}
