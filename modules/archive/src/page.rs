//! Reading a page: from its end on, and no further than it goes.

use calypte::pages::{Page, Rows, Wanted};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::rows::{self, Kept, MESSAGES, WITH};

/// How far marks are counted.
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

impl Ends {
    pub(crate) fn of_times(start_ms: Option<u64>, end_ms: Option<u64>) -> Self {
        let (start_ms, end_ms) = (start_ms.unwrap_or(0), end_ms.unwrap_or(u64::MAX));
        let to = end_ms.checked_add(1).map_or(u64::MAX, rows::place_at);
        Self { from: rows::place_at(start_ms), to, with: None, start_ms, end_ms }
    }

    fn fits(&self, kept: &Kept) -> bool {
        let peer = JidRef::trusted(&kept.peer);
        (self.start_ms..=self.end_ms).contains(&kept.stamp_ms)
            && self.with.as_ref().is_none_or(|with| {
                if with.is_bare() {
                    with.as_str() == peer.bare_str()
                } else {
                    with.as_str() == peer.as_str()
                }
            })
    }
}

/// Reads up to `max` messages: the first of those between the ends, or the last.
pub(crate) fn read(
    source: &Source,
    ends: &Ends,
    max: u32,
    is_backwards: bool,
    cx: &mut Context<'_, '_>,
) -> Result<Page<Kept>, StanzaError> {
    let fits = |_, kept: &Kept| ends.fits(kept);
    let wanted = wanted(ends, max, is_backwards, &fits);
    match source {
        Source::These(places) => {
            wanted.read_these(places, &|place, cx| cx.get(&MESSAGES, &place), cx)
        }
        Source::All => wanted.read(&messages, cx),
        Source::With(bare) => wanted.read(&with_one(bare), cx),
    }
}

fn wanted<'a>(
    ends: &Ends,
    max: u32,
    is_backwards: bool,
    fits: &'a dyn Fn(u64, &Kept) -> bool,
) -> Wanted<'a, Kept> {
    Wanted { from: ends.from, to: ends.to, max, is_backwards, fits, bytes: |kept| kept.xml.len() }
}

/// Reads the next messages from one end.
fn messages(
    (from, to): (u64, u64),
    limit: u32,
    reverse: bool,
    cx: &mut Context<'_, '_>,
) -> Rows<Kept> {
    let range = Range { to: Some(MESSAGES.encode_key(&to)), limit, reverse };
    cx.scan(&MESSAGES, &MESSAGES.encode_key(&from), &range)
}

/// Reads the next messages with somebody from one end.
fn with_one(bare: &str) -> impl Fn((u64, u64), u32, bool, &mut Context<'_, '_>) -> Rows<Kept> {
    move |ends, limit, reverse, cx| {
        let mut rows = Vec::new();
        for place in marks(bare, ends, limit, reverse, cx)? {
            if let Some(kept) = cx.get(&MESSAGES, &place)? {
                rows.push((place, kept));
            }
        }
        Ok(rows)
    }
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

/// Counts the messages of a result: up to 1000, and no further than is looked in one step.
pub(crate) fn count(
    source: &Source,
    ends: &Ends,
    cx: &mut Context<'_, '_>,
) -> Result<u64, StanzaError> {
    let count = match source {
        Source::These(places) => {
            let mut count = 0_usize;
            for place in places {
                let Some(kept) = cx.get(&MESSAGES, place)? else { continue };
                let is_between = (ends.from..ends.to).contains(place);
                count = count.saturating_add(usize::from(is_between && ends.fits(&kept)));
            }
            count
        }
        Source::With(bare) if ends.with.as_ref().is_some_and(Jid::is_bare) => {
            marks(bare, (ends.from, ends.to), COUNT_MAX, false, cx)?.len()
        }
        Source::All | Source::With(_) => {
            let fits = |_, kept: &Kept| ends.fits(kept);
            let wanted = wanted(ends, 0, false, &fits);
            return match source {
                Source::With(bare) => wanted.count(&with_one(bare), cx),
                _ => wanted.count(&messages, cx),
            };
        }
    };
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}
