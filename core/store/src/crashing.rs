//! A store in memory that loses what was not synced: for simulations.

use table::{Batch, Memory, Ticket};

/// Batches are durable when [`Crashing::sync`] says so, and gone at a [`Crashing::crash`] before.
#[derive(Clone, Debug, Default)]
pub struct Crashing {
    durable: Memory,
    pending: Vec<(Ticket, Batch)>,
    last: Ticket,
    synced: Ticket,
}

impl Crashing {
    /// Takes a batch.
    pub fn submit(&mut self, batch: Batch) -> Ticket {
        self.last = self.last.wrapping_add(1);
        self.pending.push((self.last, batch));
        self.last
    }

    /// Makes the oldest `batches` durable and returns the newest ticket that is.
    pub fn sync(&mut self, batches: usize) -> Ticket {
        for (ticket, batch) in self.pending.drain(..batches.min(self.pending.len())) {
            self.durable.apply(&batch);
            self.synced = ticket;
        }
        self.synced
    }

    /// Loses what is not durable.
    pub fn crash(&mut self) {
        self.pending.clear();
    }

    /// Returns what is durable.
    #[must_use]
    pub fn durable(&self) -> &Memory {
        &self.durable
    }

    /// Returns how many batches wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use table::Storage as _;

    #[test]
    fn a_crash_takes_what_was_not_synced() {
        let mut store = Crashing::default();
        for key in [b"a", b"b"] {
            let mut batch = Batch::default();
            batch.put(key.to_vec(), vec![1]);
            store.submit(batch);
        }
        assert_eq!(store.sync(1), 1);
        store.crash();
        assert_eq!(store.durable().get(b"a"), Ok(Some(vec![1])));
        assert_eq!(store.durable().get(b"b"), Ok(None));
    }
}
