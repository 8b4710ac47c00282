//! Headers of both sides (RFC 6120 §4.7).

use xml::Header;
use xmpp::{Jid, StreamError, ns};

use super::peering::{Login, Peering, Question, Stage};
use super::{PeerEvent, PeerFailure, features};
use crate::wire::Opening;

impl Peering {
    pub(crate) fn open(&mut self, header: &Header) {
        if self.is_initiator {
            self.open_answered(header);
        } else {
            self.open_received(header);
        }
    }

    /// Initiator: opens the stream.
    pub(crate) fn write_initial_header(&mut self) {
        let to = self.remote.as_deref();
        self.wire.write_header(Opening { id: None, from: &self.local, to });
    }

    /// Receiver: answers a header, also one that makes no sense.
    pub(crate) fn write_response_header(&mut self, header: &Header) {
        let to = header.to.as_deref().and_then(domain);
        let ours = to.filter(|to| self.is_ours(to.as_str()));
        let first = self.settings.domains.first().map_or("", String::as_str);
        let from = ours.as_ref().map_or(first, Jid::as_str).to_owned();
        let to = header.from.as_deref().and_then(domain);
        self.stream_id = self.wire.draw_id();
        let to = to.as_ref().map(Jid::as_str);
        self.wire.write_header(Opening { id: Some(&self.stream_id), from: &from, to });
    }

    fn open_answered(&mut self, header: &Header) {
        if let Err(error) = check(header) {
            let is_old = error == StreamError::UnsupportedVersion && !self.is_tls;
            // Before version 1.0 there was no STARTTLS.
            let failure = if is_old { PeerFailure::NoTls } else { PeerFailure::Protocol };
            return self.fail_as(error, failure, None);
        }
        match header.from.as_deref().map(domain) {
            // Old servers do not say who they are.
            None => {}
            Some(None) => return self.fail(StreamError::ImproperAddressing),
            Some(Some(from)) if Some(from.as_str()) != self.remote.as_deref() => {
                return self.fail_as(StreamError::InvalidFrom, PeerFailure::OtherDomain, None);
            }
            Some(Some(_)) => {}
        }
        let to = header.to.as_deref().map(domain);
        if to.is_some_and(|to| to.is_none_or(|to| to.as_str() != self.local)) {
            return self.fail(StreamError::ImproperAddressing);
        }
        let id = header.id.clone().unwrap_or_default();
        if id.is_empty() {
            return self.fail(StreamError::BadFormat);
        }
        self.stream_id = id;
        self.declares_dialback = header.declared.iter().any(|ns| ns == ns::DIALBACK);
        self.stage = Stage::Features;
    }

    fn open_received(&mut self, header: &Header) {
        self.write_response_header(header);
        if let Err(error) = check(header) {
            return self.fail(error);
        }
        let local = match header.to.as_deref().map(domain) {
            None => return self.fail(StreamError::HostUnknown),
            Some(None) => return self.fail(StreamError::ImproperAddressing),
            Some(Some(to)) if !self.is_ours(to.as_str()) => {
                return self.fail(StreamError::HostUnknown);
            }
            Some(Some(to)) => to.as_str().to_owned(),
        };
        let remote = match header.from.as_deref().map(domain) {
            None => None,
            Some(None) => return self.fail(StreamError::ImproperAddressing),
            // Nobody else speaks for a domain of ours.
            Some(Some(from)) if self.is_ours(from.as_str()) => {
                return self.fail(StreamError::InvalidFrom);
            }
            Some(Some(from)) => Some(from.as_str().to_owned()),
        };
        if !self.is_tls {
            self.stage = Stage::Clear;
            return self.wire.write_features(&crate::features::before_tls());
        }
        if let Login::Done = self.login {
            return self.open_again(&local, remote.as_deref());
        }
        (self.local, self.remote) = (local.clone(), remote.clone());
        self.ask(Question::Opened, PeerEvent::Opened { local, remote });
    }

    /// Receiver: after SASL both sides are still the same.
    fn open_again(&mut self, local: &str, remote: Option<&str>) {
        if local != self.local
            || remote.is_some_and(|remote| Some(remote) != self.remote.as_deref())
        {
            return self.fail(StreamError::InvalidFrom);
        }
        let features = features::after_login(&self.offer, &self.settings);
        self.wire.write_features(&features);
        self.stage = Stage::Open;
        self.say_authenticated();
    }
}

/// Reads an address that is a domain and nothing more.
pub(crate) fn domain(text: &str) -> Option<Jid> {
    Jid::parse(text).ok().filter(|jid| jid.local().is_none() && jid.is_bare())
}

/// Checks what does not depend on who speaks.
fn check(header: &Header) -> Result<(), StreamError> {
    if header.ns != ns::STREAMS || header.default_ns != ns::SERVER {
        return Err(StreamError::InvalidNamespace);
    }
    if header.name != "stream" {
        return Err(StreamError::BadFormat);
    }
    if crate::wire::is_version_1(header) { Ok(()) } else { Err(StreamError::UnsupportedVersion) }
}
