//! What crosses between a module and the host: numbers of operations, parts of a call, records.
//!
//! Append only: a number is never used again for something else. The host side is in `engine`.

use bincode::{Decode, Encode, config};
use xmpp::{Condition, ErrorKind, StanzaError};

mod account;
mod discovery;
mod file;
mod peer;
mod token;
mod web;

pub use account::{AccountDone, AccountFault, AccountWork, Password};
pub use discovery::{DiscoveryAsked, DiscoveryShown};
pub use file::{FILES_PATH, FileAnswer, FileAsked, upload_ms};
pub use peer::{Look, Looked, PeerFacts, PeerIdentity, PeerStage, PeerVerdict};
pub use token::{Token, TokenProof, TokenVerdict, TokenWish};
pub use web::Head;

/// Parts of a call, by place.
pub mod part {
    /// The owner: a bare address.
    pub const OWNER: usize = 0;
    /// The session that caused the call, a full address; empty when none did.
    pub const SESSION: usize = 1;
    /// The domain that the shard serves.
    pub const DOMAIN: usize = 2;
    /// `from` of the stanza; below it stands what a stanza has. Empty: not there.
    pub const FROM: usize = 3;
    /// `to` of the stanza.
    pub const TO: usize = 4;
    /// `id` of the stanza.
    pub const ID: usize = 5;
    /// `type` of the stanza.
    pub const TYPE: usize = 6;
    /// `xml:lang` of the stanza.
    pub const LANG: usize = 7;
    /// The text of the stanza; its tables are the words of the call.
    pub const TEXT: usize = 8;
    /// The name of a notice, timer, path or command; the cookie of an answer.
    pub const NAME: usize = 9;
    /// The content of a notice, login or question, encoded.
    pub const PAYLOAD: usize = 10;
    /// How many parts there are.
    pub const COUNT: usize = 11;
}

/// What a call of a hook returns.
pub mod status {
    /// The next function sees the stanza; done.
    pub const PASS: u32 = 0;
    /// The stanza ends here.
    pub const HANDLED: u32 = 1;
    /// The stanza ends here without an answer.
    pub const DROP: u32 = 2;
    /// Refused, with the error given by [`super::op::ERROR`].
    pub const ERROR: u32 = 3;
    /// A request was answered by [`super::op::REPLY`].
    pub const REPLY: u32 = 4;
    /// A request is going to be answered later; a stanza may wait for its client to look again.
    pub const LATER: u32 = 5;
    /// The host asked for a hook that the module does not have.
    pub const NO_HOOK: u32 = 6;
    /// The next function sees the stanza, and it is kept for later.
    pub const KEPT: u32 = 7;
}

/// What a module asks of the host during a call.
pub mod op {
    /// Reads a record. a = table reference and key.
    pub const GET: u32 = 1;
    /// Writes a record. b = value.
    pub const PUT: u32 = 2;
    /// Deletes a record.
    pub const DELETE: u32 = 3;
    /// Reads records in order. a = table reference and first key, b = [`super::Range`].
    pub const SCAN: u32 = 4;
    /// Sends a stanza. a = text.
    pub const SEND: u32 = 5;
    /// Hands a stanza to a session of the owner. a = resource, b = text.
    pub const DELIVER: u32 = 6;
    /// Replaces the stanza that the hook sees. a = text.
    pub const REPLACE: u32 = 7;
    /// Answers the request or question. a = text of the payload, or bytes.
    pub const REPLY: u32 = 8;
    /// Says why a call fails. a = [`super::WireError`], b = an element of the protocol as text, or
    /// nothing.
    pub const ERROR: u32 = 9;
    /// Lists the owner's sessions. Returns a list of [`super::SessionRow`].
    pub const SESSIONS: u32 = 10;
    /// Sets a value of a session of the owner. a = resource, NUL, name; b = value, empty to remove.
    pub const SET_VALUE: u32 = 11;
    /// Wakes the owner later. a = time in ms since 1970, 8 bytes little-endian, or nothing: not any
    /// more; b = name.
    pub const WAKE: u32 = 12;
    /// Tells other modules. a = name, b = content.
    pub const NOTICE: u32 = 13;
    /// Gives random bytes. a = how many, 4 bytes little-endian.
    pub const RANDOM: u32 = 14;
    /// Sends a request whose answer comes back to the module. a = text, b = cookie.
    pub const REQUEST: u32 = 15;
    /// Adds to a counter. a = name, b = how much, 8 bytes little-endian.
    pub const COUNT: u32 = 16;
    /// Lists resources that the stanza is going to reach, separated by NUL.
    pub const TARGETS: u32 = 17;
    /// Lists features of service discovery, separated by line ends. a = `account` or `domain`.
    pub const FEATURES: u32 = 18;
    /// Lists subdomains that modules serve, separated by line ends.
    pub const SERVED: u32 = 19;
    /// Tells whether the owner is an account. Returns one byte.
    pub const IS_ACCOUNT: u32 = 20;
    /// Closes a session of the owner. a = resource, b = stream error condition.
    pub const CLOSE: u32 = 21;
    /// Lists the commands that modules offer, as manifest lines.
    pub const COMMANDS: u32 = 22;
    /// The name of the software, its version and the start time, separated by line ends.
    pub const SOFTWARE: u32 = 23;
    // 24 was the hash of what the domain can do.
    /// Sends a stanza to many. a = text, b = addresses, separated by NUL.
    pub const SEND_EACH: u32 = 25;
    /// When the stanza was first received, for one that waited. Returns ms since 1970, 8 bytes
    /// little-endian, or nothing.
    pub const SINCE: u32 = 26;
    /// Hands a stanza that was kept to a session of the owner. a = when it was first received, ms
    /// since 1970, 8 bytes little-endian, then the resource; b = text.
    pub const HAND_OVER: u32 = 27;
    /// Begins or ends to keep messages from a session. a = resource, b = one byte.
    pub const HOLD: u32 = 28;
    /// Says what the answer to an HTTP request is. a = media type.
    pub const CONTENT_TYPE: u32 = 29;
    /// Reads a session of the owner. a = resource. Returns a [`super::SessionRow`].
    pub const SESSION: u32 = 30;
    /// Has the host do slow work, see [`super::Look`]. a = what, b = cookie.
    pub const LOOK: u32 = 31;
    /// Hands a stanza to a session of the owner, which is not kept on disk for it. a = resource,
    /// b = text.
    pub const SHOW: u32 = 32;
    /// Lists identities of service discovery, category and type separated by a space, in lines. a =
    /// `account` or `domain`.
    pub const IDENTITIES: u32 = 33;
    /// Asks the other modules what service discovery shows of the owner or the domain. a =
    /// [`super::DiscoveryAsked`]. Returns [`super::DiscoveryShown`].
    pub const DISCOVER: u32 = 34;
    /// Gives a secret of the module that is not in the store. Returns 32 bytes.
    pub const SECRET: u32 = 40;
    /// Puts the answer off. Returns a ticket, 8 bytes little-endian.
    pub const LATER: u32 = 44;
    /// Gives an answer that was put off. a = ticket, b = as for `REPLY`.
    pub const ANSWER: u32 = 45;
    /// Refuses what was put off. a = ticket, then [`super::WireError`], b = as for `ERROR`.
    pub const ANSWER_ERROR: u32 = 46;
    /// Has the host change an account. a = [`super::AccountWork`], b = cookie.
    pub const ACCOUNT: u32 = 47;
    /// Counts the session that caused the call as inactive (XEP-0352), or not. b = one byte.
    pub const INACTIVE: u32 = 50;
    /// Keeps a stanza ready in a volatile table. a = table reference and key, b = text, empty to remove.
    pub const KEEP_READY: u32 = 51;
    /// Sends stanzas that are kept ready in a table. a = table reference and the key behind which it
    /// begins, b = [`super::Portion`]. Returns the last key when there are more.
    pub const SEND_READY: u32 = 52;
    /// Sends a stanza to all addresses that are keys of a volatile table. a = table reference, b = text.
    pub const SEND_TO_KEYS: u32 = 53;
    /// Sends a stanza to many, as the moment needs it. a = text, b = addresses, separated by NUL.
    pub const SHOW_EACH: u32 = 54;
    /// Has the host delete a file. a = its name, 16 bytes.
    pub const DROP_FILE: u32 = 61;
    /// Answers a question by HTTP. a = [`super::Head`], b = the body.
    pub const PAGE: u32 = 70;
    /// Gives an answer by HTTP that was put off. a = ticket, then [`super::Head`], b = the body.
    pub const ANSWER_PAGE: u32 = 71;
    /// Tells under which address the world reaches public paths. a = such a path, or nothing: that of
    /// none. Nothing: it does not.
    pub const WEB_URL: u32 = 72;
}

/// Why an operation failed.
pub mod fault {
    /// The store could not read.
    pub const STORE: u32 = 1;
    /// The module may not do that: a table of another, an address that is not the owner's.
    pub const NOT_GRANTED: u32 = 2;
    /// What was given cannot be read.
    pub const MALFORMED: u32 = 3;
    /// The step did too much already.
    pub const BUDGET: u32 = 4;
    /// No such session or hook.
    pub const MISSING: u32 = 5;

    /// Says it in words, for the log.
    pub(crate) const fn why(fault: u32) -> &'static str {
        match fault {
            STORE => "the store could not read",
            NOT_GRANTED => {
                "a table or a notice of another module, an address that is not the owner's, or \
                 nothing to do here"
            }
            MALFORMED => "what was given cannot be read",
            BUDGET => "the step did too much already",
            MISSING => "there is no such thing",
            _ => "the server does not say why",
        }
    }
}

/// Bits of the first byte of a table reference.
pub mod table_bits {
    /// The table belongs to the domain, not to the owner.
    pub const DOMAIN: u8 = 1;
    /// The table is lost with the process.
    pub const VOLATILE: u8 = 2;
}

/// How a scan goes on after its first key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Range {
    /// The first key behind the range; `None`: to the end of the table.
    pub to: Option<Vec<u8>>,
    /// How many records at most.
    pub limit: u32,
    /// From the end.
    pub reverse: bool,
}

/// What of the stanzas that are kept ready goes to whom.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Portion {
    /// A full or bare address.
    pub to: String,
    /// The key of the one that does not.
    pub except: Vec<u8>,
    /// How many bytes of stanzas at most; one goes in any case.
    pub bytes: u64,
}

/// A session as modules see it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionRow {
    /// Its resource.
    pub resource: String,
    /// Whether it sent available presence.
    pub available: bool,
    /// Its priority, when available.
    pub priority: i8,
    /// Its last presence that went to everyone, as text.
    pub presence: Option<String>,
    /// Whether its connection is lost and may come back.
    pub away: bool,
    /// Whether its connection was told to end: it gets nothing any more, and is about to go.
    pub closing: bool,
    /// Whether what its client does not acknowledge is kept on disk (XEP-0198).
    pub resumable: bool,
    /// When the oldest [important](crate::is_important) message came that it was sent and its client
    /// has not acknowledged, in milliseconds since 1970.
    pub waiting_ms: Option<u64>,
    /// What modules keep with it.
    pub values: Vec<(String, Vec<u8>)>,
}

/// Who asks something over TLS before it logs in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Stranger {
    /// The number of its connection, never used twice in a run of the server.
    pub connection: u64,
    /// Where it comes from: an address of IPv4, or the first one of a /64 of IPv6.
    pub address: String,
}

/// A stanza error.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WireError {
    /// The type.
    pub kind: String,
    /// The condition.
    pub condition: String,
    /// The sentence.
    pub text: Option<String>,
}

impl WireError {
    /// Returns what crosses of an error: all but its own element.
    #[must_use]
    pub fn of(error: &StanzaError) -> Self {
        Self {
            kind: error.kind.name().to_owned(),
            condition: error.condition.name().to_owned(),
            text: error.text.as_ref().map(|text| text.clone().into_owned()),
        }
    }

    /// Reads it; `None` when there is no such condition.
    #[must_use]
    pub fn read(self) -> Option<StanzaError> {
        let kind = match self.kind.as_str() {
            "auth" => ErrorKind::Auth,
            "continue" => ErrorKind::Continue,
            "modify" => ErrorKind::Modify,
            "wait" => ErrorKind::Wait,
            _ => ErrorKind::Cancel,
        };
        let condition = Condition::of(&self.condition)?;
        Some(StanzaError { kind, condition, text: self.text.map(Into::into), detail: None })
    }
}

/// A question by HTTP or by command.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Question {
    /// `GET`, `POST`; empty for a command.
    pub method: String,
    /// What stands behind the `?` of the address, as it came; empty for a command.
    pub query: String,
    /// The body; the fields of a command, one `name=value` a line.
    pub body: Vec<u8>,
    /// Who runs a command: a bare address; empty on the command line, and by HTTP.
    pub asker: String,
    /// Headers of an HTTP request that modules may know, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Where an HTTP request comes from, as in [`Stranger`].
    pub address: String,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The fields of a command may be secrets.
        f.debug_struct("Question").field("method", &self.method).finish_non_exhaustive()
    }
}

/// A login as modules see it.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct LoginFacts {
    /// `SCRAM-SHA-256-PLUS`.
    pub mechanism: String,
    /// Whether the login proved that nobody sits between the client and us.
    pub channel_bound: bool,
    /// `TLSv1.3`; empty without TLS.
    pub tls: String,
    /// The exporter value of the channel (RFC 9266), where there is one.
    pub exporter: Option<Vec<u8>>,
    /// The SCRAM client key: what at-rest sealing derives from. For PLAIN it is that of
    /// SCRAM-SHA-256. Never logged; to be kept in a volatile table only, as session values go to
    /// disk.
    pub client_key: Option<Vec<u8>>,
    /// The client's own stable id (XEP-0388), where it gave one.
    pub user_agent: Option<String>,
    /// What the client says its program is called.
    pub software: Option<String>,
    /// What it says the device is called.
    pub device: Option<String>,
}

impl std::fmt::Debug for LoginFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client key and the exporter value are secrets.
        f.debug_struct("LoginFacts").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// The most that a record of a call may decode to, in bytes.
const LIMIT: usize = 32 << 20;

/// Writes a record.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    // Writing to memory fails only for types that refuse to be written; ours do not.
    bincode::encode_to_vec(value, config::standard()).unwrap_or_default()
}

/// Reads a record, `None` when the bytes are none or go on behind it.
#[must_use]
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Option<T> {
    let (value, used) =
        bincode::decode_from_slice(bytes, config::standard().with_limit::<LIMIT>()).ok()?;
    (used == bytes.len()).then_some(value)
}

/// Writes the reference of a table: bits, name, NUL.
#[must_use]
pub fn table_ref(name: &str, is_domain: bool, is_volatile: bool, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len().saturating_add(key.len()).saturating_add(2));
    let domain = if is_domain { table_bits::DOMAIN } else { 0 };
    let volatile = if is_volatile { table_bits::VOLATILE } else { 0 };
    out.push(domain | volatile);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.extend_from_slice(key);
    out
}

/// Reads the reference of a table: bits, name, key.
#[must_use]
pub fn read_table_ref(bytes: &[u8]) -> Option<(u8, &str, &[u8])> {
    let (bits, rest) = bytes.split_first()?;
    let end = rest.iter().position(|b| *b == 0)?;
    let name = std::str::from_utf8(rest.get(..end)?).ok()?;
    Some((*bits, name, rest.get(end.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_references_come_back() {
        let bytes = table_ref("roster.items", true, false, b"k\0y");
        assert_eq!(read_table_ref(&bytes), Some((1, "roster.items", &b"k\0y"[..])));
        assert_eq!(read_table_ref(b""), None);
        assert_eq!(read_table_ref(b"\x01abc"), None);
    }

    #[test]
    fn records_come_back_whole_or_not_at_all() {
        let range = Range { to: Some(vec![1, 2]), limit: 7, reverse: true };
        let mut bytes = encode(&range);
        assert_eq!(decode::<Range>(&bytes), Some(range));
        bytes.push(0);
        assert_eq!(decode::<Range>(&bytes), None);
    }
}
