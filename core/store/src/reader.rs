//! Reading, while the writer writes.

use std::sync::Arc;

use sled::Db;
use table::{Fault, Rows, Storage};

use crate::open::Shared;
use crate::row::{self, Row};

/// Reads what the writer has applied.
pub(crate) struct Reader {
    pub(crate) db: Db,
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    fn whole(&self, key: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        match row::decode(key, bytes) {
            Some(Row::Whole(value)) => Ok(value),
            Some(Row::Cut(pieces, length)) => self.join(key, pieces, length),
            None => Err(self.broken(key)),
        }
    }

    fn join(&self, key: &[u8], pieces: u32, length: u64) -> Result<Vec<u8>, Fault> {
        let mut value = Vec::new();
        for index in 0..pieces {
            let key = row::piece_key(key, index);
            let bytes = self.db.get(&key).map_err(|_| Fault)?.ok_or_else(|| self.broken(&key))?;
            let Some(Row::Whole(mut piece)) = row::decode(&key, &bytes) else {
                return Err(self.broken(&key));
            };
            value.append(&mut piece);
        }
        if u64::try_from(value.len()) == Ok(length) { Ok(value) } else { Err(self.broken(key)) }
    }

    fn broken(&self, key: &[u8]) -> Fault {
        self.shared.note_broken(row::table_of(key));
        Fault
    }
}

impl Storage for Reader {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.db.get(key).map_err(|_| Fault)? {
            Some(bytes) => self.whole(key, &bytes).map(Some),
            None => Ok(None),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize, reverse: bool) -> Result<Rows, Fault> {
        // In front of the tables and behind them stands what is the store's own.
        let (from, to) = (from.max(&[row::OWN + 1]), to.min(&[row::PIECES]));
        if from >= to {
            return Ok(Vec::new());
        }
        let range = self.db.range(from..to);
        let rows: Box<dyn Iterator<Item = _>> =
            if reverse { Box::new(range.rev()) } else { Box::new(range) };
        let mut out = Vec::new();
        for row in rows {
            if out.len() >= limit {
                break;
            }
            let (key, bytes) = row.map_err(|_| Fault)?;
            // A broken row is named in the store's health and does not hide the others.
            if let Ok(value) = self.whole(&key, &bytes) {
                out.push((key.to_vec(), value));
            }
        }
        Ok(out)
    }
}
