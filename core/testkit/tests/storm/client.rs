//! A client that counts, remembers what was not acknowledged, and comes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xmpp::{Jid, Kind, Stanza, ns};

/// What a client writes to its connection.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Stanza(Stanza),
    Ack(u32),
    Active(bool),
}

/// What a server writes to it.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    Stanza(Stanza),
    Ack(u32),
    Enabled(Option<String>),
    Resumed(u32),
    Refused,
}

pub(crate) struct Client {
    pub(crate) jid: Jid,
    /// The number of its connection.
    pub(crate) session: u64,
    pub(crate) is_connected: bool,
    /// Whether it may send: acknowledgements are on, or it resumed.
    pub(crate) is_ready: bool,
    pub(crate) token: Option<String>,
    pub(crate) up: VecDeque<Up>,
    pub(crate) down: VecDeque<Down>,
    /// How many stanzas of this session it received.
    pub(crate) received: u32,
    /// Stanzas that the server has not acknowledged, and how many it has.
    unacked: VecDeque<Stanza>,
    acked: u32,
    /// Ids of its messages that were acknowledged.
    pub(crate) promised: BTreeSet<String>,
    /// Ids of messages that it read, ever.
    pub(crate) read: BTreeSet<String>,
    /// Ids of messages from other domains that it read again in one session.
    pub(crate) repeated: BTreeSet<String>,
    /// How often each of its messages and requests was answered, by id.
    pub(crate) answered: BTreeMap<String, Vec<String>>,
    /// How many of its messages were sent in sessions that are over: what was to be said about
    /// them may have had nobody to go to.
    pub(crate) orphans: u64,
    /// How often it came back to its session.
    pub(crate) resumed: u64,
    /// Whether the account has no other device.
    is_alone: bool,
    /// Ids of messages that it read in this session.
    seen: BTreeSet<String>,
    /// The last message of each sender in this session.
    last: BTreeMap<String, u64>,
    next: u64,
}

impl Client {
    pub(crate) fn new(jid: Jid, is_alone: bool) -> Self {
        Self {
            jid,
            session: 0,
            is_connected: false,
            is_ready: false,
            token: None,
            up: VecDeque::new(),
            down: VecDeque::new(),
            received: 0,
            unacked: VecDeque::new(),
            acked: 0,
            promised: BTreeSet::new(),
            read: BTreeSet::new(),
            repeated: BTreeSet::new(),
            answered: BTreeMap::new(),
            orphans: 0,
            resumed: 0,
            is_alone,
            seen: BTreeSet::new(),
            last: BTreeMap::new(),
            next: 0,
        }
    }

    /// The connection is gone, with what was on it.
    pub(crate) fn lose(&mut self) {
        self.is_connected = false;
        self.is_ready = false;
        self.up.clear();
        self.down.clear();
    }

    /// A new session begins. What the earlier one did not hear of is not known.
    pub(crate) fn forget(&mut self) {
        self.orphans = self.next;
        self.token = None;
        self.received = 0;
        self.acked = 0;
        self.unacked.clear();
        self.seen.clear();
        self.last.clear();
    }

    /// Sends something that counts.
    pub(crate) fn send(&mut self, stanza: Stanza) {
        self.unacked.push_back(stanza.clone());
        self.up.push_back(Up::Stanza(stanza));
    }

    /// Sends the next message to somebody.
    pub(crate) fn say(&mut self, to: &Jid) {
        self.next += 1;
        let id = format!("{}#{}", self.jid, self.next);
        // Some are of a kind that waits for somebody to look.
        let said = if self.next.is_multiple_of(3) {
            format!("<received xmlns='urn:xmpp:receipts' id='{}'/>", self.next)
        } else {
            format!("<body>{}</body>", self.next)
        };
        let xml = format!("<message to='{to}' type='chat' id='{id}'>{said}</message>");
        self.send(Stanza::parse(&xml).unwrap());
    }

    /// Asks somebody something.
    pub(crate) fn ask(&mut self, to: &Jid) {
        self.next += 1;
        let id = format!("{}?{}", self.jid, self.next);
        let xml = format!("<iq to='{to}' type='get' id='{id}'><ask xmlns='urn:x'/></iq>");
        self.send(Stanza::parse(&xml).unwrap());
    }

    /// Reads the next thing on the connection and returns whether there was one.
    pub(crate) fn read(&mut self) -> bool {
        let Some(down) = self.down.pop_front() else { return false };
        match down {
            Down::Stanza(stanza) => self.take(&stanza),
            Down::Ack(h) => self.settle(h),
            Down::Enabled(token) => {
                assert!(token.is_some(), "{} may not come back", self.jid);
                self.token = token;
                self.is_ready = true;
                self.send(Stanza::parse("<presence/>").unwrap());
            }
            Down::Resumed(h) => {
                self.settle(h);
                self.is_ready = true;
                self.resumed += 1;
                self.up.extend(self.unacked.iter().cloned().map(Up::Stanza));
            }
            Down::Refused => self.forget(),
        }
        true
    }

    pub(crate) fn read_some(&mut self, times: usize) {
        for _ in 0..times {
            if !self.read() {
                return;
            }
        }
    }

    fn settle(&mut self, h: u32) {
        let new = h.checked_sub(self.acked).expect("a server does not take back what it counted");
        for _ in 0..new {
            let stanza = self.unacked.pop_front().expect("a server counts what was sent");
            if let Some(id) = stanza.id.filter(|id| id.contains('#')) {
                self.promised.insert(id.to_string());
            }
        }
        self.acked = h;
    }

    fn take(&mut self, stanza: &Stanza) {
        self.received = self.received.wrapping_add(1);
        let ty = stanza.ty.as_deref().unwrap_or("");
        let id = stanza.id.as_deref().unwrap_or("");
        if stanza.kind == Kind::Iq && ty == "get" {
            // Every request is answered, such as the question whether the messages came.
            return self.send(stanza.result_reply("").unwrap());
        }
        if ty == "error" || (stanza.kind == Kind::Iq && id.contains('?')) {
            // An answer to an answer would come to who gave it.
            let (who, _) = id.split_once(['#', '?']).unwrap_or_default();
            let is_own = who == self.jid.as_str();
            assert!(is_own, "{} was answered with {}", self.jid, stanza.to_xml());
            return self.answered.entry(id.to_owned()).or_default().push(reason(stanza));
        }
        if id.contains('#') {
            self.take_message(stanza, id);
        }
    }

    fn take_message(&mut self, message: &Stanza, id: &str) {
        let (sender, number) = id.split_once('#').unwrap();
        let number: u64 = number.parse().unwrap();
        let is_from_elsewhere = !sender.contains(&format!("@{}/", self.jid.domain()));
        if is_from_elsewhere && self.read.contains(id) {
            // In a new session it may also be what the earlier one did not acknowledge.
            if !self.seen.insert(id.to_owned()) {
                self.repeated.insert(id.to_owned());
            }
            return;
        }
        assert!(self.seen.insert(id.to_owned()), "{} read {id} twice", self.jid);
        // What waited for another device of the account comes late, when that stays away, and says
        // so.
        let is_late = message.view().has(ns::DELAY, "delay") && !self.is_alone;
        let last = self.last.entry(sender.to_owned()).or_default();
        assert!(*last < number || is_late, "{} read {id} after {last}", self.jid);
        *last = number.max(*last);
        self.read.insert(id.to_owned());
    }
}

/// Returns the condition of an error, or what else it is.
fn reason(answer: &Stanza) -> String {
    let error = answer.view().child(ns::CLIENT, "error");
    let condition =
        error.and_then(|error| error.children().next().map(|one| one.name().to_owned()));
    condition.unwrap_or_else(|| answer.ty.as_deref().unwrap_or("").to_owned())
}
