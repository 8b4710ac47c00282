//! What is read and written, whoever keeps it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

/// The number of a batch. A larger one is on disk only when all smaller ones are.
pub type Ticket = u64;

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Keys with their new values; `None` deletes.
    pub ops: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The store cannot be read or written; its own log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store failed")
    }
}

impl std::error::Error for Fault {}

/// Rows: keys and values.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Something that keeps rows in the order of their keys.
pub trait Storage {
    /// Reads a row.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the store cannot be read or the row is broken.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Reads up to `limit` rows from `from` to before `to`, from the end when `reverse`.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the store cannot be read or a row is broken.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize, reverse: bool) -> Result<Rows, Fault>;
}

impl Batch {
    /// Writes a row.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.ops.push((key, Some(value)));
    }

    /// Deletes a row. It need not exist.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.ops.push((key, None));
    }

    /// Tells whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Returns the bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let one = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| {
            key.len().saturating_add(value.as_ref().map_or(0, Vec::len))
        };
        self.ops.iter().map(one).sum()
    }
}

/// Rows in memory: for tests, and for what need not outlive the process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Memory {
    /// Makes the changes.
    pub fn apply(&mut self, batch: &Batch) {
        for (key, value) in &batch.ops {
            match value {
                Some(value) => drop(self.rows.insert(key.clone(), value.clone())),
                None => drop(self.rows.remove(key)),
            }
        }
    }

    /// Returns all rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

impl Storage for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize, reverse: bool) -> Result<Rows, Fault> {
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let own = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        Ok(if reverse {
            rows.rev().take(limit).map(own).collect()
        } else {
            rows.take(limit).map(own).collect()
        })
    }
}
