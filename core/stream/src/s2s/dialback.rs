//! Dialback in all its parts (XEP-0220), with keys of XEP-0185.

use xml::{Node, escape_attr, escape_text};
use xmpp::{Condition, ErrorKind, StanzaError, StreamError, ns};

use super::header::domain;
use super::peering::{Login, Peering, Question, Stage};
use super::{DialbackOutcome, How, Key, PeerEvent, Refusal, key};

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 512;
/// The longest name of a stream, in bytes.
const ID_BYTES_MAX: usize = 512;
/// What a stranger may be refused, and may ask about keys of ours, before the stream ends.
const STRANGER_MAX: u8 = 32;

/// A key that an authoritative server was asked about: for whom, from whom, on which stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verifying {
    from: String,
    to: String,
    id: String,
}

/// One element of dialback as it goes on the wire.
#[derive(Clone, Copy, Debug)]
struct Words<'a> {
    name: &'a str,
    from: &'a str,
    to: &'a str,
    id: Option<&'a str>,
    ty: Option<&'a str>,
}

impl Peering {
    pub(crate) fn take_dialback(&mut self, node: Node<'_>) {
        let address = |name| node.attr(name).as_deref().and_then(domain);
        let (Some(from), Some(to)) = (address("from"), address("to")) else {
            return self.fail(StreamError::ImproperAddressing);
        };
        let (from, to) = (from.as_str(), to.as_str());
        let ty = node.attr("type");
        match (node.name(), ty.as_deref()) {
            ("result", None) if self.is_initiator => {
                self.refuse_key(to, from, &StanzaError::FEATURE_NOT_IMPLEMENTED);
            }
            ("result", None) => self.take_key(to, from, &node.text()),
            ("result", Some(ty)) => self.take_result(to, from, ty, node),
            ("verify", None) => self.check_key(from, to, node),
            ("verify", Some(ty)) => self.take_verified(from, to, ty, node),
            _ => self.fail(StreamError::UnsupportedStanzaType),
        }
    }

    /// Initiator: proves a pair. Also one more than the two domains of the stream
    /// (XEP-0220 §2.6): each is proved for itself.
    ///
    /// `false`, and nothing follows: not now, too many, or the pair is proved already.
    pub fn add_pair(&mut self, local: &str, remote: &str) -> bool {
        let is_time = self.is_initiator && self.can_dial_back();
        if !is_time || self.pairs.has(local, remote) || !self.pairs.wait(local, remote) {
            return false;
        }
        let key = key::make(&self.settings.dialback_secret, remote, local, &self.stream_id);
        let words = Words { name: "result", from: local, to: remote, id: None, ty: None };
        self.write_dialback(words, &key);
        true
    }

    fn can_dial_back(&self) -> bool {
        let is_asked = matches!(self.question, Some(Question::Offered));
        self.stage == Stage::Open && self.login != Login::Asked && !is_asked
    }

    /// Asks the authoritative server of `to` whether it made this key for the stream `id` from it
    /// to our domain `from`. [`PeerEvent::Verified`] answers. `false`: not now.
    pub fn verify(&mut self, from: &str, to: &str, id: &str, key: &str) -> bool {
        if !self.can_dial_back() {
            return false;
        }
        let words = Words { name: "verify", from, to, id: Some(id), ty: None };
        self.write_dialback(words, key);
        let (from, to, id) = (from.to_owned(), to.to_owned(), id.to_owned());
        self.verifying.push(Verifying { from, to, id });
        true
    }

    /// Receiver: a key came that is to prove a pair.
    fn take_key(&mut self, local: &str, remote: &str, text: &str) {
        let key = text.trim();
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return self.fail(StreamError::BadFormat);
        }
        if self.is_ours(remote) {
            return self.fail(StreamError::InvalidFrom);
        }
        if !self.is_ours(local) {
            return self.refuse_key(local, remote, &StanzaError::ITEM_NOT_FOUND);
        }
        if !self.offer.dialback {
            return self.refuse_key(local, remote, &StanzaError::NOT_AUTHORIZED);
        }
        if self.pairs.has(local, remote) {
            return self.write_result(local, remote, "valid", "");
        }
        if !self.pairs.wait(local, remote) {
            return self.refuse_key(local, remote, &StanzaError::RESOURCE_CONSTRAINT);
        }
        let (local, remote) = (local.to_owned(), remote.to_owned());
        let (key, id) = (Key(key.to_owned()), self.stream_id.clone());
        self.say(PeerEvent::Dialback { local, remote, key, id });
    }

    /// Answers [`PeerEvent::Dialback`]. Nothing happens when the question is gone.
    pub fn answer_dialback(&mut self, local: &str, remote: &str, outcome: DialbackOutcome) {
        if self.is_initiator || self.stage != Stage::Open || !self.pairs.settle(local, remote) {
            return;
        }
        let why = match outcome {
            DialbackOutcome::Valid => {
                self.write_result(local, remote, "valid", "");
                return self.prove(local, remote, How::Dialback);
            }
            DialbackOutcome::Invalid => Refusal::Invalid,
            DialbackOutcome::Error(error) => Refusal::Error(error),
        };
        let pair = (local.to_owned(), remote.to_owned());
        self.say(PeerEvent::PairRefused { local: pair.0, remote: pair.1, why: why.clone() });
        match why {
            // §2.2.1. One that is known as nobody has no more to say; others keep their stream.
            Refusal::Invalid if self.pairs.is_empty() && !self.pairs.is_waiting() => {
                self.write_result(local, remote, "invalid", "");
                self.close(None);
                self.say(PeerEvent::Closed);
            }
            Refusal::Invalid => self.refuse_key(local, remote, &StanzaError::FORBIDDEN),
            Refusal::Error(error) => self.refuse_key(local, remote, &error),
        }
    }

    fn refuse_key(&mut self, local: &str, remote: &str, error: &StanzaError) {
        self.write_result(local, remote, "error", &error_xml(error));
        self.count_stranger();
    }

    /// Initiator: the answer to a key of ours.
    fn take_result(&mut self, local: &str, remote: &str, ty: &str, node: Node<'_>) {
        // What was not asked is no answer, or a stranger could open streams for us.
        if !self.is_initiator || !self.pairs.settle(local, remote) {
            return self.fail(StreamError::InvalidFrom);
        }
        let why = match read_outcome(ty, node) {
            Some(DialbackOutcome::Valid) => return self.prove(local, remote, How::Dialback),
            Some(DialbackOutcome::Invalid) => Refusal::Invalid,
            Some(DialbackOutcome::Error(error)) => Refusal::Error(error),
            None => return self.fail(StreamError::BadFormat),
        };
        let (local, remote) = (local.to_owned(), remote.to_owned());
        self.say(PeerEvent::PairRefused { local, remote, why });
    }

    /// Somebody asks whether we made a key.
    fn check_key(&mut self, from: &str, to: &str, node: Node<'_>) {
        let id = node.attr("id").filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
        let Some(id) = id else { return self.fail(StreamError::BadFormat) };
        let mut words = Words { name: "verify", from: to, to: from, id: Some(&id), ty: None };
        if !self.is_ours(to) {
            words.ty = Some("error");
            self.write_dialback(words, &error_xml(&StanzaError::ITEM_NOT_FOUND));
            return self.count_stranger();
        }
        let made = key::make(&self.settings.dialback_secret, from, to, &id);
        let is_ours = crypto::equal(made.as_bytes(), node.text().trim().as_bytes());
        words.ty = Some(if is_ours { "valid" } else { "invalid" });
        self.write_dialback(words, "");
        self.count_stranger();
    }

    /// The answer about a key that we asked about.
    fn take_verified(&mut self, from: &str, to: &str, ty: &str, node: Node<'_>) {
        let id = node.attr("id").unwrap_or_default().into_owned();
        let asked = Verifying { from: to.to_owned(), to: from.to_owned(), id };
        let Some(at) = self.verifying.iter().position(|one| *one == asked) else {
            return self.fail(StreamError::InvalidFrom);
        };
        let Some(outcome) = read_outcome(ty, node) else {
            return self.fail(StreamError::BadFormat);
        };
        let Verifying { from, to, id } = self.verifying.swap_remove(at);
        self.say(PeerEvent::Verified { from, to, id, outcome });
    }

    /// Who is not known has few questions.
    fn count_stranger(&mut self) {
        self.asked = self.asked.saturating_add(1);
        if self.asked > STRANGER_MAX && self.pairs.is_empty() {
            self.fail(StreamError::PolicyViolation);
        }
    }

    fn write_result(&mut self, local: &str, remote: &str, ty: &str, inside: &str) {
        let words = Words { name: "result", from: local, to: remote, id: None, ty: Some(ty) };
        self.write_dialback(words, inside);
    }

    /// Writes with the prefix `db:`, the only one that some servers know.
    fn write_dialback(&mut self, words: Words<'_>, inside: &str) {
        let mut text = format!("<db:{}", words.name);
        let (from, to) = (Some(words.from), Some(words.to));
        for (name, value) in [("from", from), ("to", to), ("id", words.id), ("type", words.ty)] {
            if let Some(value) = value {
                text.extend([" ", name, "='"]);
                escape_attr(value, &mut text);
                text.push('\'');
            }
        }
        text.push('>');
        if words.ty.is_some() {
            text.push_str(inside);
        } else {
            escape_text(inside, &mut text);
        }
        text.extend(["</db:", words.name, ">"]);
        self.wire.write(&text);
    }
}

fn error_xml(error: &StanzaError) -> String {
    let mut element = error.to_element();
    element.rename_ns(ns::CLIENT, ns::SERVER);
    element.to_xml(ns::SERVER)
}

fn read_outcome(ty: &str, node: Node<'_>) -> Option<DialbackOutcome> {
    match ty {
        "valid" => Some(DialbackOutcome::Valid),
        "invalid" => Some(DialbackOutcome::Invalid),
        "error" => Some(DialbackOutcome::Error(read_error(node))),
        _ => None,
    }
}

/// Reads why; `undefined-condition` when the peer does not say it in words of RFC 6120.
fn read_error(node: Node<'_>) -> StanzaError {
    const KINDS: [ErrorKind; 5] = [
        ErrorKind::Auth,
        ErrorKind::Cancel,
        ErrorKind::Continue,
        ErrorKind::Modify,
        ErrorKind::Wait,
    ];
    let Some(error) = node.child(ns::CLIENT, "error") else {
        return StanzaError::new(ErrorKind::Cancel, Condition::UndefinedCondition);
    };
    let ty = error.attr("type");
    let kind = KINDS.into_iter().find(|kind| Some(kind.name()) == ty.as_deref());
    let conditions = error.children().filter(|child| child.ns() == ns::STANZA_ERRORS);
    let condition = conditions.filter_map(|child| Condition::of(child.name())).next();
    StanzaError::new(
        kind.unwrap_or(ErrorKind::Cancel),
        condition.unwrap_or(Condition::UndefinedCondition),
    )
}
