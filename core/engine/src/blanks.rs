//! Which tables of an owner have no row.
//!
//! Most accounts have no block list, no push service and no preferences, and modules look for those
//! at each message. Rows of an account come only through the calls of its shard, so what is known of
//! them stays true until one is put.

use std::collections::BTreeMap;

use table::{Fault, Rows};

use crate::calls::behind;
use crate::step::Step;

/// Above so many bytes all is forgotten.
const BYTES_MAX: usize = 8 << 20;
/// Tables of longer names are not remembered: owners are whoever a stranger writes to.
const NAME_BYTES_MAX: usize = 256;
/// What one takes besides its name.
const EACH_BYTES: usize = 64;

/// What is known of tables.
#[derive(Debug, Default)]
pub(crate) struct Blanks {
    /// Whether they are blank, by the key in front of all their rows.
    known: BTreeMap<Vec<u8>, bool>,
    bytes: usize,
}

impl Blanks {
    fn note(&mut self, prefix: &[u8], is_blank: bool) {
        if let Some(known) = self.known.get_mut(prefix) {
            *known = is_blank;
            return;
        }
        if prefix.len() > NAME_BYTES_MAX {
            return;
        }
        if self.bytes > BYTES_MAX {
            *self = Self::default();
        }
        self.bytes = self.bytes.saturating_add(prefix.len()).saturating_add(EACH_BYTES);
        self.known.insert(prefix.to_vec(), is_blank);
    }

    /// This row may be there.
    pub(crate) fn filled(&mut self, key: &[u8]) {
        if let Some(is_blank) = self.known.get_mut(table_of(key)) {
            *is_blank = false;
        }
    }
}

/// Returns what is in front of all rows of the table that a row is in: its name, its owner, and a
/// zero byte behind each.
fn table_of(key: &[u8]) -> &[u8] {
    let mut zeros = key.iter().enumerate().filter(|(_, byte)| **byte == 0);
    let end = zeros.nth(1).map_or(key.len(), |(place, _)| place.saturating_add(1));
    key.get(..end).unwrap_or(key)
}

impl Step<'_> {
    /// Reads a record of an account's table.
    pub(crate) fn look_up(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let prefix = table_of(key);
        let known = self.state.blanks.known.get(prefix).copied();
        if known == Some(true) {
            return Ok(None);
        }
        let found = self.read(key)?;
        if known.is_none() {
            let is_blank =
                found.is_none() && self.read_range(prefix, &behind(prefix), 1, false)?.is_empty();
            self.state.blanks.note(prefix, is_blank);
        }
        Ok(found)
    }

    /// Reads records of an account's table in order.
    pub(crate) fn look_through(
        &mut self,
        prefix: &[u8],
        (from, to): (&[u8], &[u8]),
        limit: usize,
        is_reverse: bool,
    ) -> Result<Rows, Fault> {
        if self.state.blanks.known.get(prefix) == Some(&true) {
            return Ok(Rows::new());
        }
        let rows = self.read_range(from, to, limit, is_reverse)?;
        if limit > 0 && rows.is_empty() && from == prefix && to == behind(prefix) {
            self.state.blanks.note(prefix, true);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_table_of_a_row() {
        let key = table::full_key("push.services", "ana@chat.example", &[7, 0, 8]);
        assert_eq!(table_of(&key), b"push.services\0ana@chat.example\0");
        assert_eq!(table_of(b"push"), b"push");
    }

    #[test]
    fn a_row_that_is_put_is_seen_again() {
        let mut blanks = Blanks::default();
        blanks.note(b"a\0b\0", true);
        blanks.filled(b"a\0c\0key");
        assert_eq!(blanks.known.get(&b"a\0b\0"[..]), Some(&true));
        blanks.filled(b"a\0b\0key");
        assert_eq!(blanks.known.get(&b"a\0b\0"[..]), Some(&false));
    }

    #[test]
    fn forgets_before_it_grows_without_end() {
        let mut blanks = Blanks::default();
        blanks.note(&[0; NAME_BYTES_MAX + 1], true);
        assert!(blanks.known.is_empty());
        let mut most = 0;
        for number in 0..2 * BYTES_MAX / EACH_BYTES {
            blanks.note(&number.to_le_bytes(), true);
            most = most.max(blanks.bytes);
        }
        assert!((BYTES_MAX..BYTES_MAX + 2 * EACH_BYTES).contains(&most), "{most}");
    }
}
