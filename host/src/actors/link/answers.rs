//! What the stream tells, and what the server says to a connection.

use stream::s2s::{PeerEvent, PeerFailure, Received, Refusal};
use xmpp::StreamError;

use super::dial::Reached;
use super::{Link, Stage};
use crate::actors::outbox::Word;
use crate::federation::trouble::{Failed, Trouble};

impl Link {
    /// Does what somebody else in the server says.
    pub(super) fn take_words(&mut self) {
        while let Some(word) = self.outbox.pop() {
            match word {
                Word::Carry(route) => self.carry(route),
                Word::Close(why) => self.part(why),
                Word::Farewell => self.part(StreamError::SystemShutdown),
                // Those are for clients.
                Word::Stanza(_)
                | Word::Bound(_)
                | Word::TokenChecked(_)
                | Word::Early(_)
                | Word::Enabled(_)
                | Word::Resumed(_)
                | Word::ResumeRefused => {}
            }
        }
    }

    /// Takes what the stream made of the bytes, until it waits for an answer.
    pub(super) fn take_events(&mut self) {
        while matches!(self.stage, Stage::Open | Stage::Ending(_)) && self.asking.is_none() {
            let Some(event) = self.peering.poll() else { return };
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Stanza(stanza) => self.take_stanza(stanza),
            PeerEvent::Malformed(stanza, error) => self.take_malformed(&stanza, &error),
            PeerEvent::Acked { .. } => self.acked(),
            PeerEvent::AckRequested => self.ack_requested(),
            PeerEvent::AcksOn => self.begin_acks(),
            PeerEvent::Closed => {
                self.fail(Failed::Closed, "its server closed the stream");
                self.end(None);
            }
            PeerEvent::Failed(why, failure) => self.failed(why, failure),
            PeerEvent::Ended(received) => self.ended(&received),
            // Once our side is ended, nothing is begun any more.
            _ if self.stage != Stage::Open => {}
            PeerEvent::StartTls => self.stage = Stage::Securing,
            PeerEvent::Opened { local, remote } => self.ask_opened(local, remote),
            PeerEvent::Offered(offered) => self.ask_offered(offered),
            PeerEvent::External { remote } => self.ask_external(remote),
            PeerEvent::Extension(element) => self.ask_extension(&element),
            PeerEvent::Authenticated { local, remote, how, .. } => {
                self.ask_authenticated(local, remote, how);
            }
            PeerEvent::Dialback { local, remote, key, id } => {
                self.check(local, remote, key, id);
            }
            PeerEvent::Verified { outcome, .. } => {
                self.report(Ok(Reached::Verified(outcome)));
                self.end(None);
            }
            PeerEvent::PairRefused { local, remote, why } => {
                self.pair_refused(&local, &remote, &why);
            }
        }
    }

    fn pair_refused(&mut self, local: &str, remote: &str, why: &Refusal) {
        if self.errand.is_none() {
            self.hall.shared.metrics.s2s_refused.of("proof").one();
            return;
        }
        let words = match why {
            Refusal::Invalid => "it does not believe that we are who we say".to_owned(),
            Refusal::Error(error) => {
                format!("it could not find out who we are ({})", error.condition.name())
            }
        };
        tracing::debug!(conn = self.outbox.id(), local, remote, words, "A pair was refused.");
        self.refuse_pair(local, remote);
        if self.is_trying() {
            self.fail(Failed::Auth, words);
            self.end(None);
        }
    }

    /// We ended the stream.
    fn failed(&mut self, why: StreamError, failure: PeerFailure) {
        tracing::debug!(conn = self.outbox.id(), %why, ?failure, "A stream with a server failed.");
        self.hall.shared.metrics.s2s_stream_errors.of("ours").one();
        match failure {
            PeerFailure::NoTls => self.fail(Failed::NoStartTls, "its server offers no TLS"),
            PeerFailure::Injected => {
                self.fail(Failed::Tls, "something was said before TLS that does not belong there");
            }
            PeerFailure::OtherDomain if self.is_trying() => {
                let text = "the server that DNS names for it serves another domain";
                let is_unknown = self.may_be_believed();
                let trouble = Trouble { is_unknown, ..Trouble::new(Failed::Refused, text) };
                self.report(Err(trouble));
            }
            PeerFailure::OtherDomain => {}
            PeerFailure::Protocol => self.fail(Failed::Closed, "its server broke the protocol"),
        }
        self.end(Some(why));
    }

    /// The peer ended the stream with an error.
    fn ended(&mut self, received: &Received) {
        let condition = received.condition.map_or("undefined-condition", StreamError::name);
        tracing::debug!(conn = self.outbox.id(), condition, "A server ended the stream.");
        self.hall.shared.metrics.s2s_stream_errors.of("theirs").one();
        let is_of_server = matches!(
            received.condition,
            Some(
                StreamError::SystemShutdown
                    | StreamError::Reset
                    | StreamError::ConnectionTimeout
                    | StreamError::ResourceConstraint
                    | StreamError::InternalServerError
            )
        );
        if !is_of_server {
            self.blame();
        }
        if self.is_trying() {
            let text = format!("its server ended the stream ({condition})");
            let is_gone = matches!(
                received.condition,
                Some(StreamError::HostUnknown | StreamError::HostGone)
            );
            let is_unknown = is_gone && self.may_be_believed();
            let trouble = Trouble { is_unknown, ..Trouble::new(Failed::Refused, text) };
            self.report(Err(trouble));
        }
        self.end(None);
    }

    /// Tells whether the peer may say that it does not serve the domain: what waits is given up
    /// for that. In clear, one forged packet says so.
    fn may_be_believed(&self) -> bool {
        !self.io.is_plain()
    }
}
