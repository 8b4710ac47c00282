//! Writes that are not on disk yet, seen by who wrote them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::{Batch, Fault, Rows, Storage, Ticket};

/// The newest value of each key that waits for its ticket.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    rows: BTreeMap<Vec<u8>, (Ticket, Option<Vec<u8>>)>,
    waiting: VecDeque<(Ticket, Vec<Vec<u8>>)>,
}

/// A [`Storage`] with an [`Overlay`] on top.
#[derive(Clone, Copy)]
pub struct Over<'a> {
    overlay: &'a Overlay,
    below: &'a dyn Storage,
}

impl std::fmt::Debug for Over<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Over")
    }
}

impl Overlay {
    /// Adds a batch. Tickets only grow.
    pub fn add(&mut self, ticket: Ticket, batch: &Batch) {
        for (key, value) in &batch.ops {
            self.rows.insert(key.clone(), (ticket, value.clone()));
        }
        let keys = batch.ops.iter().map(|(key, _)| key.clone()).collect();
        self.waiting.push_back((ticket, keys));
    }

    /// Drops what is on disk: all tickets up to this one.
    pub fn settle(&mut self, durable: Ticket) {
        while let Some((_, keys)) = self.waiting.pop_front_if(|(ticket, _)| *ticket <= durable) {
            for key in keys {
                if self.rows.get(&key).is_some_and(|(newest, _)| *newest <= durable) {
                    self.rows.remove(&key);
                }
            }
        }
    }

    /// Tells whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Reads `below` with what waits on top.
    #[must_use]
    pub fn over<'a>(&'a self, below: &'a dyn Storage) -> Over<'a> {
        Over { overlay: self, below }
    }
}

impl Storage for Over<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.overlay.rows.get(key) {
            Some((_, value)) => Ok(value.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize, reverse: bool) -> Result<Rows, Fault> {
        if from >= to {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let waiting: Vec<_> = self.overlay.rows.range::<[u8], _>(bounds).collect();
        // Each row on top may hide one below.
        let wanted = limit.saturating_add(waiting.len());
        let mut rows: BTreeMap<_, _> =
            self.below.scan(from, to, wanted, reverse)?.into_iter().collect();
        for (key, (_, value)) in waiting {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        let rows = rows.into_iter();
        Ok(if reverse { rows.rev().take(limit).collect() } else { rows.take(limit).collect() })
    }
}
