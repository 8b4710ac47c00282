//! What leaves for other domains: each stanza has a row from the step that decides it until the
//! other domain has it, or its sender an error. And what comes from there.
//!
//! The key of a row is the time, then the virtual shard of the sender and a count. All rows of a
//! sender have the same virtual shard, so that whichever shard restores them keeps their order,
//! also when the server has another number of shards by then.

use std::collections::BTreeMap;
use std::sync::Arc;

use calypte::{Phase, Place};
use table::{Fault, Key};
use xmpp::{Jid, JidRef, Kind, PresenceKind, Stanza, StanzaError};

use crate::calls::{Cause, Verdict, behind};
use crate::event::{Effect, Leg};
use crate::records::{Kept, LEAVING};
use crate::restore::PAGE;
use crate::send::{is_secret, is_shown};
use crate::shard::{actor_of, shard_of, virtual_shard};
use crate::step::Step;

/// To how many a session may show presence and be told when that cannot be delivered.
const DIRECTED_MAX: usize = 64;
/// What a row takes besides its text.
const ROW_BYTES: usize = 128;
/// How often something from another domain said that it was ours.
const FORGED: &str = "forged";
/// How many answers had no room on their way to another domain.
const DROPPED: &str = "leaving_dropped";

/// Time, then virtual shard and count.
type RowKey = (u64, u64);

/// What waits for other domains.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    rows: BTreeMap<RowKey, Row>,
    domains: BTreeMap<Arc<str>, usize>,
    bytes: usize,
    /// The time of the last row, and its place among those of that time.
    last: (u64, u32),
}

#[derive(Debug)]
struct Row {
    domain: Arc<str>,
    bytes: usize,
}

/// What waits for one other domain in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingCount {
    /// The domain.
    pub domain: String,
    /// How many stanzas.
    pub stanzas: usize,
    /// About how many bytes.
    pub bytes: usize,
    /// Since when the oldest waits, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Leaving {
    pub(crate) fn counts(&self) -> Vec<LeavingCount> {
        let mut counts = BTreeMap::new();
        for ((since_ms, _), row) in &self.rows {
            let count = counts.entry(Arc::clone(&row.domain)).or_insert_with(|| LeavingCount {
                domain: row.domain.as_ref().to_owned(),
                stanzas: 0,
                bytes: 0,
                since_ms: *since_ms,
            });
            count.stanzas = count.stanzas.saturating_add(1);
            count.bytes = count.bytes.saturating_add(row.bytes);
        }
        counts.into_values().collect()
    }

    /// Tells whether a stanza waits under this row.
    pub(crate) fn has(&self, row: &[u8]) -> bool {
        key_of(row).is_some_and(|key| self.rows.contains_key(&key))
    }

    /// Returns a key that is larger than all before.
    fn next(&mut self, now_ms: u64, virtual_shard: u16) -> RowKey {
        let (last_ms, count) = self.last;
        self.last = match count.checked_add(1) {
            Some(count) if now_ms <= last_ms => (last_ms, count),
            _ => (now_ms.max(last_ms.saturating_add(1)), 0),
        };
        (self.last.0, u64::from(virtual_shard) << 32 | u64::from(self.last.1))
    }

    /// Tells whether there is room. One stanza for a domain always fits, however large: a stanza
    /// is bounded by itself.
    fn fits(&self, domain: &str, bytes: usize, limits: &crate::Limits) -> bool {
        let waiting = self.domains.get(domain).copied().unwrap_or(0);
        let is_first = waiting == 0 && self.bytes < limits.leaving_all_bytes;
        let is_inside = waiting.saturating_add(bytes) <= limits.leaving_bytes
            && self.bytes.saturating_add(bytes) <= limits.leaving_all_bytes;
        is_first || is_inside
    }

    fn insert(&mut self, key: RowKey, domain: &str, bytes: usize) {
        let known = self.domains.get_key_value(domain).map(|(known, _)| Arc::clone(known));
        let domain = known.unwrap_or_else(|| domain.into());
        let waiting = self.domains.entry(Arc::clone(&domain)).or_default();
        *waiting = waiting.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.rows.insert(key, Row { domain, bytes });
    }

    /// Forgets a row and tells whether it was there.
    fn remove(&mut self, key: RowKey) -> bool {
        let Some(Row { domain, bytes }) = self.rows.remove(&key) else { return false };
        self.bytes = self.bytes.saturating_sub(bytes);
        let waiting = self.domains.get(&domain).map_or(0, |waiting| waiting.saturating_sub(bytes));
        if waiting == 0 {
            self.domains.remove(&domain);
        } else {
            self.domains.insert(domain, waiting);
        }
        true
    }
}

impl Step<'_> {
    /// Sends a stanza on its way to another domain.
    pub(crate) fn leave(&mut self, mut stanza: Stanza, is_assured: bool) {
        let (Some(from), Some(to)) = (stanza.from.clone(), stanza.to.clone()) else { return };
        let owner = from.bare();
        let session = if from.is_bare() { "" } else { from.as_str() };
        let cause = Cause { owner: owner.as_str(), session, targets: &[], is_assured };
        let has_row = !is_shown(&stanza) && !is_secret(&stanza) && !self.is_own_request(&stanza);
        match self.run(Place::Leaving, &Phase::ALL, cause, &mut stanza) {
            Verdict::Pass | Verdict::Kept => {}
            Verdict::Over => return,
            Verdict::Refused(error) => return self.refuse(&stanza, &error, is_assured),
        }
        if !stanza.from.as_ref().is_some_and(|from| self.is_local(from.domain())) {
            // The other domain would end the stream, with all that is on it.
            return self.log(1, "engine", "a stanza that is not from here was to leave from here");
        }
        let domain = stanza.to.as_ref().unwrap_or(&to).domain().to_owned();
        if self.is_local(&domain) {
            // A function turned it round on its way out.
            return self.forward(Leg { stanza, is_assured, since_ms: None, transit: None });
        }
        let since_ms = self.now_ms;
        if !has_row {
            return self.effects.push(Effect::Leaving { domain, stanza, row: None, since_ms });
        }
        let kept = Kept { since_ms, xml: stanza.to_xml() };
        let bytes = weight(&kept);
        if !self.state.leaving.fits(&domain, bytes, &self.state.setup.limits) {
            return self.has_no_room(&stanza, is_assured);
        }
        let mut virtual_shard = virtual_shard(owner.as_str());
        if actor_of(virtual_shard, self.state.setup.shards) != self.state.setup.shard {
            // A function sent it in the name of the domain. It waits where it was sent.
            virtual_shard = self.state.setup.shard;
        }
        let key = self.state.leaving.next(self.now_ms, virtual_shard);
        let row = row_of(key);
        self.write(row.clone(), Some(LEAVING.encode(&kept)));
        self.state.leaving.insert(key, &domain, bytes);
        self.effects.push(Effect::Leaving { domain, stanza, row: Some(row), since_ms });
    }

    /// The queue to a domain is full.
    fn has_no_room(&mut self, stanza: &Stanza, is_assured: bool) {
        let error =
            StanzaError::RESOURCE_CONSTRAINT.with_text("Too much waits for that server already.");
        if stanza.error_reply(&error).is_none() {
            return self.count(DROPPED);
        }
        self.refuse(stanza, &error, is_assured);
    }

    fn count(&mut self, name: &str) {
        let (module, name) = ("engine".to_owned(), name.to_owned());
        self.effects.push(Effect::Count { module, name, by: 1 });
    }

    /// Another domain has these.
    pub(crate) fn left(&mut self, rows: Vec<Vec<u8>>) {
        for row in rows {
            self.forget_row(row);
        }
    }

    /// Deletes a row and tells whether it was there.
    fn forget_row(&mut self, row: Vec<u8>) -> bool {
        let is_there = key_of(&row).is_some_and(|key| self.state.leaving.remove(key));
        if is_there {
            self.write(row, None);
        }
        is_there
    }

    /// What left cannot be delivered: its sender is told, once.
    pub(crate) fn undeliverable(
        &mut self,
        row: Option<Vec<u8>>,
        stanza: &Stanza,
        error: &StanzaError,
    ) {
        let is_heard = match row {
            Some(row) => self.forget_row(row),
            None => !is_shown(stanza) || self.forget_directed(stanza),
        };
        if is_heard {
            self.refuse(stanza, error, true);
        }
    }

    /// Notes to whom in another domain a client shows itself (RFC 6121 §4.6): who joins a room
    /// wants to know that there is none. What everyone is shown goes to many, of whom some are
    /// always gone; of those nobody is told.
    pub(crate) fn note_directed(&mut self, number: u64, stanza: &Stanza) {
        let Some(to) = stanza.to.as_ref().filter(|_| stanza.kind == Kind::Presence) else { return };
        if self.is_local(to.domain()) {
            return;
        }
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        match stanza.view().presence_kind() {
            Some(PresenceKind::Available) if session.directed.len() < DIRECTED_MAX => {
                session.directed.insert(to.clone());
            }
            Some(PresenceKind::Unavailable) => drop(session.directed.remove(to)),
            _ => {}
        }
    }

    /// Tells whether a presence was shown to one only, and forgets that.
    fn forget_directed(&mut self, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return false };
        let account = from.as_ref().bare_str();
        let number = self.state.sessions.find(account, from.resource().unwrap_or(""));
        let session = number.and_then(|number| self.state.sessions.get_mut(number));
        let is_available = stanza.view().presence_kind() == Some(PresenceKind::Available);
        is_available && session.is_some_and(|session| session.directed.remove(to))
    }

    /// Hands out again what waited when the server stopped, oldest first.
    pub(crate) fn restore_leaving(&mut self) -> Result<(), Fault> {
        let mut from = table::full_key(LEAVING.name, "", &[]);
        let to = behind(&from);
        loop {
            let page = self.store.scan(&from, &to, PAGE, false)?;
            let is_last = page.len() < PAGE;
            for (row, value) in page {
                from.clone_from(&row);
                from.push(0);
                self.restore_row(row, &value);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn restore_row(&mut self, row: Vec<u8>, value: &[u8]) {
        let key = key_of(&row);
        // A key that cannot be read is told of by one shard, and no other.
        let owner = key.map_or(0, |(_, rest)| u16::try_from(rest >> 32).unwrap_or(0));
        if actor_of(owner, self.state.setup.shards) != self.state.setup.shard {
            return;
        }
        let kept = LEAVING.decode(value).ok();
        let read = kept.and_then(|kept| Some((Stanza::parse(&kept.xml).ok()?, kept)));
        let to = read.as_ref().and_then(|(stanza, _)| stanza.to.as_ref());
        let domain = to.map(|to| to.domain().to_owned());
        let (Some(key), Some((stanza, kept)), Some(domain)) = (key, read, domain) else {
            let name: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = format!("passes over a row that cannot be read: engine.leaving {name}");
            return self.log(1, "engine", text);
        };
        self.state.leaving.last = self.state.leaving.last.max((key.0, u32::MAX));
        if self.is_local(&domain) {
            // It is ours by now.
            self.write(row, None);
            let leg = Leg { stanza, is_assured: true, since_ms: None, transit: None };
            return self.forward(leg);
        }
        self.state.leaving.insert(key, &domain, weight(&kept));
        let since_ms = kept.since_ms;
        self.effects.push(Effect::Leaving { domain, stanza, row: Some(row), since_ms });
    }

    /// A stanza crossed from another domain, whose name the link has checked.
    pub(crate) fn arrive(&mut self, mut stanza: Stanza) {
        let is_from = |from: JidRef<'_>| !self.is_local(from.domain());
        if !stanza.from.as_ref().map(Jid::as_ref).is_some_and(is_from) {
            // The link refuses it. Nobody is answered: who stands there did not send it.
            return self.count(FORGED);
        }
        let domain = self.state.setup.domain.clone();
        let cause = Cause { owner: domain.as_str(), session: "", targets: &[], is_assured: true };
        match self.run(Place::Arriving, &Phase::ALL, cause, &mut stanza) {
            Verdict::Pass | Verdict::Kept
                if stanza.to.as_ref().is_some_and(|to| self.is_local(to.domain())) =>
            {
                self.forward(Leg { stanza, is_assured: true, since_ms: None, transit: None });
            }
            Verdict::Pass | Verdict::Kept | Verdict::Over => {}
            Verdict::Refused(error) => self.refuse(&stanza, &error, true),
        }
    }

    /// Tells modules that the shard of the domain runs.
    pub(crate) fn tell_started(&mut self) {
        self.state.is_started = true;
        let domain = self.state.setup.domain.clone();
        if shard_of(domain.as_str(), self.state.setup.shards) != self.state.setup.shard {
            return;
        }
        let cause = Cause { owner: domain.as_str(), session: "", targets: &[], is_assured: true };
        for hook in self.pipeline.plain("started") {
            self.call_plain(hook.function, cause, "", &[]);
        }
    }
}

/// Returns about how many bytes a stanza takes while it waits.
fn weight(kept: &Kept) -> usize {
    kept.xml.len().saturating_add(ROW_BYTES)
}

fn row_of(key: RowKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    key.encode(&mut bytes);
    table::full_key(LEAVING.name, "", &bytes)
}

fn key_of(row: &[u8]) -> Option<RowKey> {
    let rest = row.strip_prefix(LEAVING.name.as_bytes())?.strip_prefix(b"\0\0")?;
    <(u64, u64)>::decode(rest)
}
