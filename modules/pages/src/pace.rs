//! How often strangers may guess. The counts are kept in memory, and are few: the oldest makes room when
//! there would be too many.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// The most that are counted.
const COUNTED_MAX: u32 = 10_000;
/// In which row the number of the others stands.
const ALL: &str = "";

/// Guesses, by what is guessed and from where.
const GUESSES: Table<str, Guesses> = Table::volatile_domain("pages.guesses");
/// The same in their order: since when, 8 bytes big-endian, and by what.
const ORDER: Table<[u8], Counted> = Table::volatile_domain("pages.guesses_order");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Guesses {
    since_ms: u64,
    /// How many; in the row of all, how many rows.
    count: u32,
}

/// Something is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Counted;

record!(Guesses, 1);
record!(Counted, 1);

/// Counts a guess, and tells whether it may be made.
pub(crate) fn count(cx: &mut Context<'_, '_>, key: &str, max: u32) -> Result<bool, StanzaError> {
    let mut own = current(cx, key)?;
    if own.count >= max {
        cx.count("refused_for_pace", 1)?;
        return Ok(false);
    }
    own.count = own.count.saturating_add(1);
    keep(cx, key, &own)?;
    Ok(true)
}

/// Tells whether another guess may be made.
pub(crate) fn may_guess(
    cx: &mut Context<'_, '_>,
    key: &str,
    max: u32,
) -> Result<bool, StanzaError> {
    Ok(current(cx, key)?.count < max)
}

/// Takes a guess back, which was right.
pub(crate) fn forgive(cx: &mut Context<'_, '_>, key: &str) -> Done {
    let mut own = current(cx, key)?;
    own.count = own.count.saturating_sub(1);
    if own.count == 0 { forget(cx, key) } else { keep(cx, key, &own) }
}

fn current(cx: &mut Context<'_, '_>, key: &str) -> Result<Guesses, StanzaError> {
    let now_ms = cx.now_ms();
    let own = cx.get(&GUESSES, key)?;
    let own = own.filter(|own| now_ms.saturating_sub(own.since_ms) < HOUR_MS);
    Ok(own.unwrap_or(Guesses { since_ms: now_ms, count: 0 }))
}

/// Writes a count. The oldest makes room for a new one.
fn keep(cx: &mut Context<'_, '_>, key: &str, own: &Guesses) -> Done {
    let before = cx.get(&GUESSES, key)?;
    if before.is_some_and(|before| before.since_ms == own.since_ms) {
        return cx.put(&GUESSES, key, own);
    }
    forget(cx, key)?;
    let mut all = cx.get(&GUESSES, ALL)?.unwrap_or_default();
    if all.count >= COUNTED_MAX {
        let first = cx.scan(&ORDER, &[], &Range { to: None, limit: 1, reverse: false })?;
        if let Some(oldest) = first.first().and_then(|(place, _)| placed(place)) {
            forget(cx, oldest)?;
        }
        all = cx.get(&GUESSES, ALL)?.unwrap_or_default();
    }
    all.count = all.count.saturating_add(1);
    cx.put(&GUESSES, ALL, &all)?;
    cx.put(&ORDER, &*place(own.since_ms, key), &Counted)?;
    cx.put(&GUESSES, key, own)
}

fn forget(cx: &mut Context<'_, '_>, key: &str) -> Done {
    let Some(own) = cx.get(&GUESSES, key)? else { return Ok(()) };
    let mut all = cx.get(&GUESSES, ALL)?.unwrap_or_default();
    all.count = all.count.saturating_sub(1);
    cx.put(&GUESSES, ALL, &all)?;
    cx.delete(&ORDER, &*place(own.since_ms, key))?;
    cx.delete(&GUESSES, key)
}

fn place(since_ms: u64, key: &str) -> Vec<u8> {
    [&since_ms.to_be_bytes(), key.as_bytes()].concat()
}

/// Returns what stands at a place.
fn placed(place: &[u8]) -> Option<&str> {
    let (_, key) = place.split_first_chunk::<8>()?;
    std::str::from_utf8(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_comes_first() {
        let mut places = [place(256, "a"), place(255, "b"), place(1, "name c"), place(255, "a")];
        places.sort();
        let keys: Vec<_> = places.iter().filter_map(|one| placed(one)).collect();
        assert_eq!(keys, ["name c", "a", "b", "a"]);
    }
}
