//! What was going on when the server stopped, from the tables.

use table::{Fault, Key, Record, Table};
use xmpp::{Jid, Stanza};

use crate::calls::behind;
use crate::event::Leg;
use crate::records::{CROSSING, HANDLED, RESUMABLE, Resumable, UNACKED, WAKES};
use crate::send::account_key;
use crate::session::{Session, Sm, Waiting};
use crate::shard::shard_of;
use crate::step::Step;

/// Rows read at a time.
pub(crate) const PAGE: usize = 512;

impl Step<'_> {
    /// Brings back what waits for other domains, sessions that may be resumed, timers, and stanzas
    /// between two shards.
    pub(crate) fn restore(&mut self) -> Result<(), Fault> {
        // First: what waits goes before all that is decided now.
        self.restore_leaving()?;
        let mut sessions = Vec::new();
        self.each(&RESUMABLE, |owner, token, row| sessions.push((owner, token, row)))?;
        for (account, token, row) in sessions {
            self.restore_session(&account, token, row)?;
        }
        let mut wakes = Vec::new();
        self.each(&WAKES, |owner, (module, name), at| wakes.push((at.0, owner, module, name)))?;
        for (at, owner, module, name) in wakes {
            self.state.wakes.set(at, owner.as_str(), &module, &name);
        }
        self.restore_crossing()?;
        self.settle();
        Ok(())
    }

    fn restore_session(
        &mut self,
        account: &Jid,
        token: String,
        row: Resumable,
    ) -> Result<(), Fault> {
        let Ok(jid) = account.with_resource(&row.resource) else { return Ok(()) };
        let handled = self.store.get(&account_key(&HANDLED, account, token.as_str()))?;
        let handled = handled.and_then(|value| HANDLED.decode(&value).ok()).map_or(0, |row| row.0);
        let mut sm = Sm { handled, is_restored: true, ..Sm::default() };
        let prefix = account_key(&UNACKED, account, &(token.clone(), 0));
        let prefix = prefix.get(..prefix.len().saturating_sub(8)).unwrap_or_default().to_vec();
        for (key, value) in self.store.scan(&prefix, &behind(&prefix), usize::MAX, false)? {
            let row = key.get(prefix.len()..).and_then(|rest| rest.try_into().ok());
            let Ok(kept) = UNACKED.decode(&value) else { continue };
            let Ok(stanza) = Stanza::parse(&kept.xml) else { continue };
            let row = row.map(u64::from_be_bytes);
            sm.push_unnumbered(Waiting { stanza, since_ms: kept.since_ms, row });
        }
        sm.token = Some(token);
        let mut session = Session::new(jid);
        session.available = row.available;
        session.priority = row.priority;
        session.ready_since = row.ready_since;
        session.presence = row.presence.and_then(|xml| Stanza::parse(&xml).ok());
        session.values = row.values.into_iter().collect();
        session.sm = Some(sm);
        let number = self.state.sessions.insert_restored(session);
        self.await_return(number);
        Ok(())
    }

    fn restore_crossing(&mut self) -> Result<(), Fault> {
        let prefix = table::full_key(CROSSING.name, "", &[]);
        for (row, value) in self.store.scan(&prefix, &behind(&prefix), usize::MAX, false)? {
            let Ok(kept) = CROSSING.decode(&value) else { continue };
            let Ok(stanza) = Stanza::parse(&kept.xml) else { continue };
            let Some(to) = &stanza.to else { continue };
            if shard_of(to.as_ref().bare_str(), self.state.setup.shards) != self.state.setup.shard {
                continue;
            }
            self.write(row, None);
            let since_ms = None;
            self.legs.push_back(Leg { stanza, is_assured: true, since_ms, transit: None });
        }
        Ok(())
    }

    /// Reads a table of ours for all accounts of this shard.
    fn each<K: Key + ?Sized, V: Record>(
        &self,
        table: &Table<K, V>,
        mut f: impl FnMut(Jid, K::Owned, V),
    ) -> Result<(), Fault> {
        let mut from = [table.name.as_bytes(), b"\0"].concat();
        let to = behind(&from);
        let prefix = from.len();
        loop {
            let page = self.store.scan(&from, &to, PAGE, false)?;
            let is_last = page.len() < PAGE;
            for (key, value) in page {
                from.clone_from(&key);
                from.push(0);
                let Some(rest) = key.get(prefix..) else { continue };
                let Some(end) = rest.iter().position(|byte| *byte == 0) else { continue };
                let (owner, rest) = rest.split_at(end);
                let Some(owner) = std::str::from_utf8(owner).ok() else { continue };
                let Ok(account) = Jid::parse(owner) else { continue };
                if shard_of(owner, self.state.setup.shards) != self.state.setup.shard {
                    continue;
                }
                let key = rest.get(1..).and_then(K::decode);
                if let (Some(key), Ok(value)) = (key, table.decode(&value)) {
                    f(account, key, value);
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
