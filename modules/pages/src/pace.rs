//! How often strangers may guess. The counts are kept in memory, and are few: who is not counted yet
//! when too many are shares one count with the others.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// The most that are counted.
const COUNTED_MAX: u32 = 10_000;
/// Whose count all share that are too many.
const OTHERS: &str = "-";

/// Guesses, by what is guessed and from where.
const GUESSES: Table<str, Guesses> = Table::volatile_domain("pages.guesses");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Guesses {
    since_ms: u64,
    count: u32,
}

record!(Guesses, 1);

/// Counts a guess, and tells whether it may be made.
pub(crate) fn count(cx: &mut Context<'_, '_>, key: &str, max: u32) -> Result<bool, StanzaError> {
    let key = slot(cx, key)?;
    let mut own = current(cx, &key)?;
    if own.count >= max {
        cx.count("refused_for_pace", 1)?;
        return Ok(false);
    }
    own.count = own.count.saturating_add(1);
    cx.put(&GUESSES, &*key, &own)?;
    Ok(true)
}

/// Tells whether another guess may be made.
pub(crate) fn may_guess(
    cx: &mut Context<'_, '_>,
    key: &str,
    max: u32,
) -> Result<bool, StanzaError> {
    let key = slot(cx, key)?;
    Ok(current(cx, &key)?.count < max)
}

/// Takes a guess back, which was right.
pub(crate) fn forgive(cx: &mut Context<'_, '_>, key: &str) -> Done {
    let key = slot(cx, key)?;
    let mut own = current(cx, &key)?;
    own.count = own.count.saturating_sub(1);
    if own.count == 0 { cx.delete(&GUESSES, &*key) } else { cx.put(&GUESSES, &*key, &own) }
}

fn current(cx: &mut Context<'_, '_>, key: &str) -> Result<Guesses, StanzaError> {
    let now_ms = cx.now_ms();
    let own = cx.get(&GUESSES, key)?;
    let own = own.filter(|own| now_ms.saturating_sub(own.since_ms) < HOUR_MS);
    Ok(own.unwrap_or(Guesses { since_ms: now_ms, count: 0 }))
}

/// Returns under what something is counted.
fn slot(cx: &mut Context<'_, '_>, key: &str) -> Result<String, StanzaError> {
    if cx.get(&GUESSES, key)?.is_some() {
        return Ok(key.to_owned());
    }
    let range = Range { to: None, limit: COUNTED_MAX, reverse: false };
    let full = usize::try_from(COUNTED_MAX).unwrap_or(usize::MAX);
    if cx.scan(&GUESSES, &[], &range)?.len() < full {
        return Ok(key.to_owned());
    }
    let now_ms = cx.now_ms();
    for (old, guesses) in cx.scan(&GUESSES, &[], &range)? {
        if now_ms.saturating_sub(guesses.since_ms) >= HOUR_MS {
            cx.delete(&GUESSES, &*old)?;
        }
    }
    Ok(OTHERS.to_owned())
}
