//! Requests before login: registration (XEP-0077 §3.1.1, XEP-0445).

use xml::{Flat, Node};
use xmpp::{Kind, Stanza, StanzaError, StreamError};

use crate::StreamEvent;
use crate::machine::{Question, Stream};

/// The most requests of one stream.
const REQUESTS_MAX: u8 = 16;

impl Stream {
    /// Tells whether a stanza may be asked before login: modules answer some, and nobody is in the
    /// middle of proving who it is.
    pub(crate) fn may_ask(&self, root: Node<'_>) -> bool {
        root.name() == "iq" && !self.settings.early_features.is_empty() && self.attempt.is_none()
    }

    /// A client asks something before it logs in.
    pub(crate) fn take_early(&mut self, flat: Flat) {
        self.early = self.early.saturating_add(1);
        if self.early > REQUESTS_MAX {
            return self.fail(StreamError::PolicyViolation);
        }
        let Ok(mut stanza) = Stanza::read(flat) else {
            return self.fail(StreamError::BadFormat);
        };
        let is_request = stanza.kind == Kind::Iq
            && matches!(stanza.ty.as_deref(), Some("get" | "set"))
            && stanza.id.is_some();
        let is_ours = |to: &xmpp::Jid| to.as_str() == self.settings.domain;
        if !is_request || !stanza.to.as_ref().is_none_or(is_ours) {
            return self.fail(StreamError::NotAuthorized);
        }
        // Nobody has proved to be anybody.
        stanza.from = None;
        self.ask(Question::Early, StreamEvent::Early(stanza));
    }

    /// Answers [`StreamEvent::Early`] with the content of the result, or says why there is none.
    pub fn answer_early(&mut self, request: &Stanza, answer: Result<&str, &StanzaError>) {
        if !matches!(self.question, Some(Question::Early)) {
            return;
        }
        self.question = None;
        let reply = match answer {
            Ok(inner) => request.result_reply(inner),
            Err(error) => request.error_reply(error),
        };
        match reply {
            Some(mut reply) => {
                reply.from = xmpp::Jid::parse(&self.settings.domain).ok();
                self.wire.write_stanza(&reply);
            }
            None => self.fail(StreamError::InternalServerError),
        }
    }
}
