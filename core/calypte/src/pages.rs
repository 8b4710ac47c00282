//! Pages of rows that are kept in the order of time, for archives (XEP-0313, XEP-0059).

use xmpp::StanzaError;

use crate::Context;

/// Rows read at a time.
const CHUNK: u32 = 32;
/// The most bytes of a page, where it is more than one row: it has to fit into a client's queue beside
/// what else comes.
const PAGE_BYTES: usize = 128 << 10;
/// Rows that are looked at for one page. Only a query that no table answers by itself looks at rows that
/// it does not give.
const ROWS_MAX: usize = 5000;
/// Their bytes, about: rows are read a few at a time.
const LOOKED_BYTES_MAX: usize = 4 << 20;
/// How far is counted.
const COUNT_MAX: usize = 1000;

/// Between which places rows are read, and which of them.
pub struct Wanted<'a, R> {
    /// The first place.
    pub from: u64,
    /// The place behind the last.
    pub to: u64,
    /// The most rows.
    pub max: u32,
    /// Whether the last ones are read, instead of the first ones.
    pub is_backwards: bool,
    /// Tells whether a row is one of them.
    pub fits: &'a dyn Fn(u64, &R) -> bool,
    /// How long a row is.
    pub bytes: fn(&R) -> usize,
}

/// Rows with their places, or why there are none.
pub type Rows<R> = Result<Vec<(u64, R)>, StanzaError>;

/// Where rows are read: those from a place on and in front of another, at most so many, the last ones
/// first when so wanted.
pub type Source<'a, R> = &'a dyn Fn((u64, u64), u32, bool, &mut Context<'_, '_>) -> Rows<R>;

/// Returns the row at a place.
pub type Get<'a, R> = &'a dyn Fn(u64, &mut Context<'_, '_>) -> Result<Option<R>, StanzaError>;

/// A page, in the order of time.
#[derive(Debug)]
pub struct Page<R> {
    /// The rows with their places.
    pub rows: Vec<(u64, R)>,
    /// Whether there is more in the direction that was read.
    pub has_more: bool,
    looked: Looked,
    bytes: usize,
}

impl<R> Default for Page<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), has_more: false, looked: Looked::default(), bytes: 0 }
    }
}

/// How much was looked at in one step.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    rows: usize,
    bytes: usize,
}

impl Looked {
    fn at(&mut self, bytes: usize) {
        self.rows = self.rows.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn is_enough(self) -> bool {
        self.rows >= ROWS_MAX || self.bytes >= LOOKED_BYTES_MAX
    }
}

impl<R> Page<R> {
    /// Takes the next row and says whether the page is full.
    ///
    /// # Errors
    ///
    /// `resource-constraint` when too much was looked at without a row that is wanted.
    fn take(
        &mut self,
        (place, row): (u64, R),
        wanted: &Wanted<'_, R>,
    ) -> Result<bool, StanzaError> {
        let bytes = (wanted.bytes)(&row);
        self.looked.at(bytes);
        if !wanted.has(place, &row) {
            let is_enough = self.looked.is_enough();
            if is_enough && self.rows.is_empty() {
                // Nothing could be named from which to go on.
                let why = "There is too much to search. Ask for a shorter time.";
                return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
            }
            self.has_more = is_enough;
            return Ok(is_enough);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let max = usize::try_from(wanted.max).unwrap_or(usize::MAX);
        if self.rows.len() >= max || (!self.rows.is_empty() && self.bytes > PAGE_BYTES) {
            self.has_more = true;
            return Ok(true);
        }
        self.rows.push((place, row));
        Ok(false)
    }
}

impl<R> Wanted<'_, R> {
    fn has(&self, place: u64, row: &R) -> bool {
        (self.from..self.to).contains(&place) && (self.fits)(place, row)
    }

    /// Reads a page. It costs what it gives, and what lies between, however long the whole is.
    ///
    /// # Errors
    ///
    /// Those of the source; `resource-constraint` when nothing was found in 5000 rows or 4 MiB.
    pub fn read(
        &self,
        source: Source<'_, R>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Page<R>, StanzaError> {
        let mut page = Page::default();
        let (mut from, mut to) = (self.from, self.to);
        let chunk = self.max.saturating_add(1).min(CHUNK);
        'page: while from < to {
            let rows = source((from, to), chunk, self.is_backwards, cx)?;
            let Some(last) = rows.last().map(|(place, _)| *place) else { break };
            for row in rows {
                if page.take(row, self)? {
                    break 'page;
                }
            }
            if self.is_backwards {
                to = last;
            } else {
                from = last.saturating_add(1);
            }
        }
        Ok(page.in_order(self.is_backwards))
    }

    /// Reads a page of certain rows, whose places are in order.
    ///
    /// # Errors
    ///
    /// As [`Wanted::read`].
    pub fn read_these(
        &self,
        places: &[u64],
        get: Get<'_, R>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Page<R>, StanzaError> {
        let mut page = Page::default();
        let mut places = places.to_vec();
        if self.is_backwards {
            places.reverse();
        }
        for place in places {
            let Some(row) = get(place, cx)? else { continue };
            if page.take((place, row), self)? {
                break;
            }
        }
        Ok(page.in_order(self.is_backwards))
    }

    /// Counts the rows: up to 1000, and no further than is looked in one step.
    ///
    /// # Errors
    ///
    /// Those of the source.
    pub fn count(
        &self,
        source: Source<'_, R>,
        cx: &mut Context<'_, '_>,
    ) -> Result<u64, StanzaError> {
        let (mut looked, mut from, mut count) = (Looked::default(), self.from, 0_usize);
        while count < COUNT_MAX {
            let rows = source((from, self.to), CHUNK, false, cx)?;
            let Some((last, _)) = rows.last() else { break };
            from = last.saturating_add(1);
            for (place, row) in &rows {
                looked.at((self.bytes)(row));
                count = count.saturating_add(usize::from(self.has(*place, row)));
            }
            if looked.is_enough() {
                break;
            }
        }
        Ok(u64::try_from(count.min(COUNT_MAX)).unwrap_or(u64::MAX))
    }
}

impl<R> Page<R> {
    fn in_order(mut self, is_backwards: bool) -> Self {
        if is_backwards {
            self.rows.reverse();
        }
        self
    }
}

impl<R> std::fmt::Debug for Wanted<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(fits: &dyn Fn(u64, &usize) -> bool) -> Wanted<'_, usize> {
        Wanted { from: 0, to: u64::MAX, max: 10, is_backwards: false, fits, bytes: |row| *row }
    }

    #[test]
    fn large_rows_end_a_search_early() {
        let (none, all) = (wanted(&|_, _| false), wanted(&|_, _| true));
        let mut page = Page::default();
        for place in 1..41 {
            assert_eq!(page.take((place, 100 << 10), &none), Ok(false), "{place}");
        }
        let refused = page.take((41, 100 << 10), &none);
        let refused = refused.map_err(|error| error.condition);
        assert_eq!(refused, Err(xmpp::Condition::ResourceConstraint));
        // One that was found is what to go on from.
        let mut page = Page::default();
        assert_eq!(page.take((1, 10), &all), Ok(false));
        assert_eq!(page.take((2, 4 << 20), &none), Ok(true));
        assert!(page.has_more);
    }

    #[test]
    fn small_rows_are_looked_at_5000_at_a_time() {
        let none = wanted(&|_, _| false);
        let mut page = Page::default();
        for place in 1..5000 {
            assert_eq!(page.take((place, 10), &none), Ok(false), "{place}");
        }
        assert!(page.take((5000, 10), &none).is_err());
    }
}
