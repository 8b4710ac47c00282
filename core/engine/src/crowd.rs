//! What modules send to many at a time, and stanzas that they keep ready for that.

use std::ops::Bound;

use calypte::wire::{Portion, decode, fault, op};
use table::full_key;
use xmpp::{Jid, Stanza};

use crate::calls::behind;
use crate::frame::{Done, Frame, Later, Undo, stanza};
use crate::rows::is_table_of;
use crate::step::Step;

impl Frame<'_, '_> {
    pub(crate) fn run_for_many(
        &mut self,
        number: u32,
        a: &[u8],
        b: &[u8],
        out: &mut Vec<u8>,
    ) -> Done {
        match number {
            op::SHOW_EACH => self.send_each(a, b, Later::Show),
            op::KEEP_READY => self.keep_ready(a, b),
            op::SEND_READY => self.send_ready(a, b, out),
            op::SEND_TO_KEYS => self.send_to_keys(a, b),
            _ => self.describe(number, a, b, out),
        }
    }

    pub(crate) fn send_each(
        &mut self,
        a: &[u8],
        recipients: &[u8],
        later: fn(Stanza) -> Later,
    ) -> Done {
        let mut stanza = stanza(a)?;
        self.stamp(&mut stanza)?;
        let recipients = std::str::from_utf8(recipients).map_err(|_| fault::MALFORMED)?;
        for recipient in recipients.split('\0') {
            self.spend()?;
            stanza.to = Some(Jid::parse(recipient).map_err(|_| fault::MALFORMED)?);
            self.later.push(later(stanza.clone()));
        }
        Ok(())
    }

    /// Each recipient is an operation of its own.
    fn spend(&mut self) -> Done {
        let left = self.step.operations_left.checked_sub(1).ok_or(fault::BUDGET)?;
        self.step.operations_left = left;
        Ok(())
    }

    pub(crate) fn keep_ready(&mut self, a: &[u8], text: &[u8]) -> Done {
        let (_, name, key) = self.table(a)?;
        if !is_table_of(name, &self.module) {
            return Err(fault::NOT_GRANTED);
        }
        let mut ready = None;
        if !text.is_empty() {
            let mut stanza = stanza(text)?;
            self.stamp(&mut stanza)?;
            ready = Some(stanza);
        }
        let before = self.step.set_ready(key.clone(), ready).map_err(|()| fault::BUDGET)?;
        self.undo.push(Undo::Ready(key, before));
        Ok(())
    }

    pub(crate) fn send_ready(&mut self, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> Done {
        let (_, name, after) = self.table(a)?;
        let Portion { to, except, bytes } = decode(b).ok_or(fault::MALFORMED)?;
        let to = Jid::parse(&to).map_err(|_| fault::MALFORMED)?;
        let prefix = full_key(name, self.owner, &[]);
        let except = full_key(name, self.owner, &except);
        let range = (Bound::Excluded(&after), Bound::Excluded(&behind(&prefix)));
        let (mut all, mut sum, mut last) = (Vec::new(), 0_u64, &[][..]);
        for (key, stanza) in self.step.state.ready.range::<Vec<u8>, _>(range) {
            if *key == except {
                continue;
            }
            sum = sum.saturating_add(u64::try_from(stanza.bytes()).unwrap_or(u64::MAX));
            if sum > bytes && !all.is_empty() {
                out.extend_from_slice(last);
                break;
            }
            last = key.get(prefix.len()..).unwrap_or_default();
            all.push(stanza.clone());
        }
        for mut stanza in all {
            self.spend()?;
            stanza.to = Some(to.clone());
            self.later.push(Later::Show(stanza));
        }
        Ok(())
    }

    pub(crate) fn send_to_keys(&mut self, a: &[u8], text: &[u8]) -> Done {
        let (_, name, except) = self.table(a)?;
        let prefix = full_key(name, self.owner, &[]);
        let rows = self.step.state.volatile.range(prefix.clone()..behind(&prefix));
        let keys = rows.map(|(key, _)| key).filter(|key| **key != except);
        let to = |key: &Vec<u8>| String::from_utf8(key.get(prefix.len()..)?.to_vec()).ok();
        let all: Option<Vec<_>> = keys.map(to).collect();
        let all = all.ok_or(fault::MALFORMED)?;
        if all.is_empty() {
            return Ok(());
        }
        let mut stanza = stanza(text)?;
        self.stamp(&mut stanza)?;
        for recipient in all {
            self.spend()?;
            stanza.to = Some(Jid::parse(&recipient).map_err(|_| fault::MALFORMED)?);
            self.later.push(Later::Show(stanza.clone()));
        }
        Ok(())
    }
}

impl Step<'_> {
    /// Sets a stanza that is kept ready and returns the one that was there.
    pub(crate) fn set_ready(
        &mut self,
        key: Vec<u8>,
        stanza: Option<Stanza>,
    ) -> Result<Option<Stanza>, ()> {
        let size = |stanza: &Stanza| stanza.bytes().saturating_add(key.len());
        let more = stanza.as_ref().map_or(0, size);
        let less = self.state.ready.get(&key).map_or(0, size);
        self.count_volatile(&key, less, more)?;
        Ok(match stanza {
            Some(stanza) => self.state.ready.insert(key, stanza),
            None => self.state.ready.remove(&key),
        })
    }

    /// Counts what a row of a volatile table takes instead of what it took. One module can have three
    /// quarters of all, so that what people do to it leaves room for the others.
    pub(crate) fn count_volatile(
        &mut self,
        key: &[u8],
        less: usize,
        more: usize,
    ) -> Result<(), ()> {
        let limit = self.state.setup.limits.volatile_bytes;
        // A table has the name of its module in front of a dot.
        let module = key.split(|byte| *byte == b'.').next().unwrap_or_default();
        let now = |before: usize| before.saturating_sub(less).saturating_add(more);
        let all = now(self.state.volatile_bytes);
        let own = now(self.state.volatile_of.get(module).copied().unwrap_or(0));
        if more > less && (all > limit || own > limit / 4 * 3) {
            return Err(());
        }
        self.state.volatile_bytes = all;
        match self.state.volatile_of.get_mut(module) {
            Some(before) => *before = own,
            None => drop(self.state.volatile_of.insert(module.to_vec(), own)),
        }
        Ok(())
    }
}
