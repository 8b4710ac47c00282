//! The tables of a module, as a call of it reads and writes them.

use std::sync::Arc;

use calypte::wire::{self, Range, fault, table_bits};
use table::full_key;

use crate::frame::{Done, Frame, Undo};

/// The largest record.
const RECORD_BYTES_MAX: usize = 1 << 20;

impl Frame<'_, '_> {
    pub(crate) fn table<'k>(&self, reference: &'k [u8]) -> Result<(u8, &'k str, Vec<u8>), u32> {
        let (bits, name, key) = wire::read_table_ref(reference).ok_or(fault::MALFORMED)?;
        let owner = if bits & table_bits::DOMAIN == 0 { self.owner } else { "" };
        Ok((bits, name, full_key(name, owner, key)))
    }

    /// Tells whether only modules of this shard write a durable table: one of an account, not of the
    /// domain, and not of the engine.
    fn is_own_table(&self, bits: u8, name: &str) -> bool {
        bits == 0
            && self.owner != self.step.state.setup.domain.as_str()
            && !name.starts_with("engine.")
    }

    pub(crate) fn get(&mut self, a: &[u8], out: &mut Vec<u8>) -> Done {
        let (bits, name, key) = self.table(a)?;
        let value = if self.is_own_table(bits, name) {
            self.step.look_up(&key).map_err(|_| fault::STORE)?
        } else if bits & table_bits::VOLATILE == 0 {
            self.step.read(&key).map_err(|_| fault::STORE)?
        } else {
            self.step.state.volatile.get(&key).cloned()
        };
        *out = value.ok_or(fault::MISSING)?;
        Ok(())
    }

    pub(crate) fn put(&mut self, a: &[u8], value: Option<&[u8]>) -> Done {
        let (bits, name, key) = self.table(a)?;
        if !is_table_of(name, &self.module) {
            let module = Arc::clone(&self.module);
            let text = format!("{name} is not its table: a module writes {module} and {module}.…");
            self.step.log(1, &module, text);
            return Err(fault::NOT_GRANTED);
        }
        if value.is_some_and(|value| value.len() > RECORD_BYTES_MAX) {
            return Err(fault::BUDGET);
        }
        let value = value.map(<[u8]>::to_vec);
        if bits & table_bits::VOLATILE == 0 {
            self.step.state.blanks.filled(&key);
            let before = self.step.writes.insert(key.clone(), value);
            self.undo.push(Undo::Durable(key, before));
            return Ok(());
        }
        let before = self.step.set_volatile(key.clone(), value).map_err(|()| fault::BUDGET)?;
        self.undo.push(Undo::Volatile(key, before));
        Ok(())
    }

    pub(crate) fn scan(&mut self, a: &[u8], b: &[u8], out: &mut Vec<u8>) -> Done {
        let (bits, name, from) = self.table(a)?;
        let range: Range = wire::decode(b).ok_or(fault::MALFORMED)?;
        let owner = if bits & table_bits::DOMAIN == 0 { self.owner } else { "" };
        let prefix = full_key(name, owner, &[]);
        let to = match range.to {
            Some(key) => full_key(name, owner, &key),
            None => crate::calls::behind(&prefix),
        };
        let limit = usize::try_from(range.limit).unwrap_or(usize::MAX);
        let rows = if self.is_own_table(bits, name) {
            let rows = self.step.look_through(&prefix, (&from, &to), limit, range.reverse);
            rows.map_err(|_| fault::STORE)?
        } else if bits & table_bits::VOLATILE == 0 {
            let rows = self.step.read_range(&from, &to, limit, range.reverse);
            rows.map_err(|_| fault::STORE)?
        } else {
            let rows = self.step.state.volatile.range(from..to);
            let own = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
            if range.reverse {
                rows.rev().take(limit).map(own).collect()
            } else {
                rows.take(limit).map(own).collect()
            }
        };
        let cut = |(key, value): (Vec<u8>, Vec<u8>)| {
            (key.get(prefix.len()..).unwrap_or_default().to_vec(), value)
        };
        *out = wire::encode(&rows.into_iter().map(cut).collect::<Vec<_>>());
        Ok(())
    }
}

/// Tells whether a module may write a table: one that starts with its name. Others only read it.
pub(crate) fn is_table_of(table: &str, module: &str) -> bool {
    table.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
