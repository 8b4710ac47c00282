//! What modules send to many at a time, and stanzas that they keep ready for that.

use calypte::wire::{fault, op};
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
            op::SEND_READY => self.send_ready(a, b),
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

    pub(crate) fn send_ready(&mut self, a: &[u8], to: &[u8]) -> Done {
        let (_, name, except) = self.table(a)?;
        let to = std::str::from_utf8(to).ok().and_then(|to| Jid::parse(to).ok());
        let to = to.ok_or(fault::MALFORMED)?;
        let prefix = full_key(name, self.owner, &[]);
        let rows = self.step.state.ready.range(prefix.clone()..behind(&prefix));
        let rows = rows.filter(|(key, _)| **key != except);
        let all: Vec<_> = rows.map(|(_, stanza)| stanza.clone()).collect();
        for mut stanza in all {
            self.spend()?;
            stanza.to = Some(to.clone());
            self.later.push(Later::Show(stanza));
        }
        Ok(())
    }

    pub(crate) fn send_to_keys(&mut self, a: &[u8], text: &[u8]) -> Done {
        let (_, name, except) = self.table(a)?;
        let mut stanza = stanza(text)?;
        self.stamp(&mut stanza)?;
        let prefix = full_key(name, self.owner, &[]);
        let rows = self.step.state.volatile.range(prefix.clone()..behind(&prefix));
        let keys = rows.map(|(key, _)| key).filter(|key| **key != except);
        let text = |key: &Vec<u8>| String::from_utf8(key.get(prefix.len()..)?.to_vec()).ok();
        let all: Option<Vec<_>> = keys.map(text).collect();
        for recipient in all.ok_or(fault::MALFORMED)? {
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
        let bytes = self.state.volatile_bytes.saturating_sub(less).saturating_add(more);
        if more > less && bytes > self.state.setup.limits.volatile_bytes {
            return Err(());
        }
        self.state.volatile_bytes = bytes;
        Ok(match stanza {
            Some(stanza) => self.state.ready.insert(key, stanza),
            None => self.state.ready.remove(&key),
        })
    }
}
