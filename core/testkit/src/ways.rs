//! The ways between servers: open, cut, silent or failing.

use std::collections::{BTreeMap, VecDeque};

use engine::Event;
use xmpp::{Condition, ErrorKind, Stanza, StanzaError};

use crate::world::World;

/// What becomes of a stanza on its way to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It arrives, and the sender hears that.
    Open,
    /// It waits.
    Cut,
    /// It arrives, and the sender does not hear that.
    Silent,
    /// It is given up with this error.
    Fails(Condition),
}

/// All ways that are not open, and what waits in front of them.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    not_open: BTreeMap<String, Way>,
    held: VecDeque<Parting>,
}

/// A stanza that leaves a server.
#[derive(Debug)]
pub(crate) struct Parting {
    pub(crate) from: String,
    pub(crate) shard: u16,
    pub(crate) to: String,
    pub(crate) stanza: Stanza,
    pub(crate) row: Option<Vec<u8>>,
}

impl Way {
    /// Reads the end of a sentence.
    pub(crate) fn read(words: &[&str]) -> Option<Self> {
        match words {
            ["is", "open"] => Some(Self::Open),
            ["is", "cut"] => Some(Self::Cut),
            ["acknowledges", "nothing"] => Some(Self::Silent),
            ["fails", "with", condition] => Condition::of(condition).map(Self::Fails),
            _ => None,
        }
    }
}

impl Ways {
    /// A server ends: what it had in memory is gone.
    pub(crate) fn forget(&mut self, from: &str) {
        self.held.retain(|parting| parting.from != from);
    }

    fn way(&self, to: &str) -> Way {
        self.not_open.get(to).copied().unwrap_or(Way::Open)
    }
}

impl World<'_> {
    /// Changes what becomes of stanzas for a domain, also of those that wait.
    pub(crate) fn set_way(&mut self, to: &str, way: Way) -> Result<(), String> {
        self.ways.not_open.insert(to.to_owned(), way);
        for parting in std::mem::take(&mut self.ways.held) {
            self.part(parting);
        }
        self.settle()
    }

    /// Takes a stanza to another server, or back when there is none.
    pub(crate) fn part(&mut self, parting: Parting) {
        let way = self.ways.way(&parting.to);
        match way {
            Way::Cut => return self.ways.held.push_back(parting),
            Way::Fails(condition) => return self.give_back(parting, condition),
            Way::Open | Way::Silent => {}
        }
        let text = parting.stanza.to_xml();
        self.wire.push(text.clone());
        let jid = parting.stanza.to.clone();
        let server = self.servers.values().find(|server| server.serves(&parting.to)).zip(jid);
        // Only text crosses.
        let (Some((server, jid)), Ok(stanza)) = (server, Stanza::parse(&text)) else {
            return self.give_back(parting, Condition::RemoteServerNotFound);
        };
        let arrived = (server.domain.clone(), server.shard_of(&jid), Event::Arriving(stanza));
        self.waiting.push_back(arrived);
        let Parting { from, shard, row, .. } = parting;
        if let (Some(row), Way::Open) = (row, way) {
            self.waiting.push_back((from, shard, Event::Left { rows: vec![row] }));
        }
    }

    fn give_back(&mut self, parting: Parting, condition: Condition) {
        let Parting { from, shard, stanza, row, .. } = parting;
        let kind = match condition {
            Condition::RemoteServerTimeout | Condition::ResourceConstraint => ErrorKind::Wait,
            _ => ErrorKind::Cancel,
        };
        let error = StanzaError::new(kind, condition);
        self.waiting.push_back((from, shard, Event::Undeliverable { row, stanza, error }));
    }

    /// Returns how many stanzas a server keeps for another domain.
    pub(crate) fn kept(&self, domain: &str, to: &str) -> Result<usize, String> {
        let server = self.servers.get(domain).ok_or_else(|| format!("no server {domain}"))?;
        Ok(server.leaving().filter(|count| count.domain == to).map(|count| count.stanzas).sum())
    }
}
