//! Reading a page: from its end on, and no further than it goes.

use calypte::prelude::*;
use calypte::wire::Range;

use crate::rows::{self, Kept, MESSAGES, WITH};

/// Rows read at a time.
const CHUNK: u32 = 32;
/// The most bytes of a page, where it is more than one message: it has to fit into a client's queue
/// beside what else comes.
const PAGE_BYTES: usize = 128 << 10;
/// Rows that are looked at for one page. Only a query for one device of somebody, or one for a time
/// after the clock was wrong, looks at rows that it does not give.
const ROWS_MAX: usize = 5000;
/// Their bytes, about: rows are read a few at a time.
const LOOKED_BYTES_MAX: usize = 4 << 20;
/// How far is counted.
const COUNT_MAX: u32 = 1000;

/// Where messages are read.
#[derive(Debug)]
pub(crate) enum Source {
    /// All of them.
    All,
    /// Those with this bare address.
    With(String),
    /// Those at these places, in order.
    These(Vec<u64>),
}

/// Between which places and times, and with whom.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The first place.
    pub(crate) from: u64,
    /// The place behind the last.
    pub(crate) to: u64,
    /// With whom, of any or of one device.
    pub(crate) with: Option<Jid>,
    start_ms: u64,
    end_ms: u64,
}

/// A page, in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<(u64, Kept)>,
    /// Whether there is more in the direction that was read.
    pub(crate) has_more: bool,
    looked: Looked,
    bytes: usize,
}

/// How much was looked at in one step.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    rows: usize,
    bytes: usize,
}

impl Looked {
    fn at(&mut self, kept: &Kept) {
        self.rows = self.rows.saturating_add(1);
        self.bytes = self.bytes.saturating_add(kept.xml.len());
    }

    fn is_enough(self) -> bool {
        self.rows >= ROWS_MAX || self.bytes >= LOOKED_BYTES_MAX
    }
}

impl Ends {
    pub(crate) fn of_times(start_ms: Option<u64>, end_ms: Option<u64>) -> Self {
        let (start_ms, end_ms) = (start_ms.unwrap_or(0), end_ms.unwrap_or(u64::MAX));
        let to = end_ms.checked_add(1).map_or(u64::MAX, rows::place_at);
        Self { from: rows::place_at(start_ms), to, with: None, start_ms, end_ms }
    }

    fn fits(&self, (place, kept): &(u64, Kept)) -> bool {
        let is_between = (self.from..self.to).contains(place)
            && (self.start_ms..=self.end_ms).contains(&kept.stamp_ms);
        let peer = JidRef::trusted(&kept.peer);
        is_between
            && self.with.as_ref().is_none_or(|with| {
                if with.is_bare() {
                    with.as_str() == peer.bare_str()
                } else {
                    with.as_str() == peer.as_str()
                }
            })
    }
}

impl Page {
    /// Takes the next row and says whether the page is full.
    fn take(&mut self, row: (u64, Kept), max: usize, ends: &Ends) -> Result<bool, StanzaError> {
        self.looked.at(&row.1);
        if !ends.fits(&row) {
            let is_enough = self.looked.is_enough();
            if is_enough && self.rows.is_empty() {
                // Nothing could be named from which to go on.
                let why = "There is too much to search. Ask for a shorter time.";
                return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
            }
            self.has_more = is_enough;
            return Ok(is_enough);
        }
        self.bytes = self.bytes.saturating_add(row.1.xml.len());
        if self.rows.len() >= max || (!self.rows.is_empty() && self.bytes > PAGE_BYTES) {
            self.has_more = true;
            return Ok(true);
        }
        self.rows.push(row);
        Ok(false)
    }
}

/// Reads up to `max` messages: the first of those between the ends, or the last.
pub(crate) fn read(
    source: &Source,
    ends: &Ends,
    max: u32,
    is_backwards: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Page, StanzaError> {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let mut page = Page::default();
    if let Source::These(places) = source {
        let mut places = places.clone();
        if is_backwards {
            places.reverse();
        }
        for place in places {
            let Some(kept) = cx.get(&MESSAGES, &place)? else { continue };
            if page.take((place, kept), max, ends)? {
                break;
            }
        }
    } else {
        let (mut from, mut to) = (ends.from, ends.to);
        let chunk = u32::try_from(max).unwrap_or(CHUNK).saturating_add(1).min(CHUNK);
        'page: while from < to {
            let places = places(source, (from, to), chunk, is_backwards, cx)?;
            let Some(last) = places.last().map(|(place, _)| *place) else { break };
            for row in places {
                if page.take(row, max, ends)? {
                    break 'page;
                }
            }
            if is_backwards {
                to = last;
            } else {
                from = last.saturating_add(1);
            }
        }
    }
    if is_backwards {
        page.rows.reverse();
    }
    Ok(page)
}

/// Reads the next rows from one end.
fn places(
    source: &Source,
    (from, to): (u64, u64),
    limit: u32,
    reverse: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(u64, Kept)>, StanzaError> {
    let Source::With(bare) = source else {
        let range = Range { to: Some(MESSAGES.encode_key(&to)), limit, reverse };
        return cx.scan(&MESSAGES, &MESSAGES.encode_key(&from), &range);
    };
    let mut rows = Vec::new();
    for place in marks(bare, (from, to), limit, reverse, cx)? {
        if let Some(kept) = cx.get(&MESSAGES, &place)? {
            rows.push((place, kept));
        }
    }
    Ok(rows)
}

fn marks(
    bare: &str,
    (from, to): (u64, u64),
    limit: u32,
    reverse: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<u64>, StanzaError> {
    let key = |place| WITH.encode_key(&(bare.to_owned(), place));
    let range = Range { to: Some(key(to)), limit, reverse };
    let marks = cx.scan(&WITH, &key(from), &range)?;
    Ok(marks.into_iter().map(|((_, place), _)| place).collect())
}

/// Counts the messages of a result: up to [`COUNT_MAX`], and no further than is looked in one step.
pub(crate) fn count(
    source: &Source,
    ends: &Ends,
    cx: &mut Context<'_, '_>,
) -> Result<u64, StanzaError> {
    let mut count = 0_usize;
    match source {
        Source::These(places) => {
            for place in places {
                let Some(kept) = cx.get(&MESSAGES, place)? else { continue };
                count = count.saturating_add(usize::from(ends.fits(&(*place, kept))));
            }
        }
        Source::With(bare) if ends.with.as_ref().is_some_and(Jid::is_bare) => {
            count = marks(bare, (ends.from, ends.to), COUNT_MAX, false, cx)?.len();
        }
        Source::All | Source::With(_) => {
            let (mut looked, mut from) = (Looked::default(), ends.from);
            for _ in 0..COUNT_MAX.div_ceil(CHUNK) {
                let rows = places(source, (from, ends.to), CHUNK, false, cx)?;
                let Some((last, _)) = rows.last() else { break };
                from = last.saturating_add(1);
                count = count.saturating_add(rows.iter().filter(|row| ends.fits(row)).count());
                rows.iter().for_each(|(_, kept)| looked.at(kept));
                if looked.is_enough() {
                    break;
                }
            }
        }
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: u64, bytes: usize) -> (u64, Kept) {
        let peer = "romeo@montague.example/orchard".to_owned();
        (place, Kept { stamp_ms: 0, tail: 0, peer, xml: "x".repeat(bytes) })
    }

    fn with(jid: &str) -> Ends {
        Ends { with: Jid::parse(jid).ok(), ..Ends::of_times(None, None) }
    }

    #[test]
    fn large_messages_end_a_search_early() {
        let ends = with("romeo@montague.example/balcony");
        let mut page = Page::default();
        for place in 1..41 {
            assert_eq!(page.take(row(place, 100 << 10), 10, &ends), Ok(false), "{place}");
        }
        let refused = page.take(row(41, 100 << 10), 10, &ends);
        assert_eq!(refused.map_err(|error| error.condition), Err(Condition::ResourceConstraint));
        // One that was found is what to go on from.
        let mut page = Page::default();
        let found = with("romeo@montague.example/orchard");
        assert_eq!(page.take(row(1, 10), 10, &found), Ok(false));
        assert_eq!(page.take(row(2, 4 << 20), 10, &ends), Ok(true));
        assert!(page.has_more);
    }

    #[test]
    fn small_messages_are_looked_at_5000_at_a_time() {
        let ends = with("romeo@montague.example/balcony");
        let mut page = Page::default();
        for place in 1..5000 {
            assert_eq!(page.take(row(place, 10), 10, &ends), Ok(false), "{place}");
        }
        assert!(page.take(row(5000, 10), 10, &ends).is_err());
    }
}
