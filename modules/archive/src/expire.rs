//! Deleting what is too old or too much, a little at a time.

use calypte::prelude::*;

use crate::{Archive, rows};

/// The timer for what is too old.
pub(crate) const AGE: &str = "age";
/// The timer for what is too much.
pub(crate) const SIZE: &str = "size";
/// Messages deleted at a time.
const ROWS_MAX: u32 = 100;
/// How long others have their turn before it goes on, in milliseconds.
const PAUSE_MS: u64 = 50;
/// How long it looks away at most, in milliseconds: the operator may have made `keep` shorter.
const LOOK_MS: u64 = 24 * 3_600_000;

/// Returns when to look for what is due at a time.
pub(crate) fn look_ms(due_ms: u64, now_ms: u64) -> u64 {
    due_ms.min(now_ms.saturating_add(LOOK_MS))
}

impl Archive {
    /// Deletes the oldest messages; the rest after a pause.
    pub(crate) fn expire(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        let now_ms = cx.now_ms();
        let due_ms = |stamp_ms: u64| stamp_ms.saturating_add(self.0.keep.ms);
        if name != SIZE {
            // Most often nothing is: it is not worth reading more than one.
            let Some((_, first)) = rows::outermost(1, false, cx)?.pop() else { return Ok(()) };
            let due_ms = due_ms(first.stamp_ms);
            if due_ms > now_ms {
                return cx.wake_at(look_ms(due_ms, now_ms), AGE);
            }
        }
        let oldest = rows::outermost(ROWS_MAX, false, cx)?;
        let due = if name == SIZE {
            let mut bytes = rows::state(cx)?.bytes;
            let is_due = |(_, kept): &&(u64, rows::Kept)| {
                let is_due = bytes > self.0.bytes.bytes;
                bytes = bytes.saturating_sub(kept.bytes());
                is_due
            };
            oldest.iter().take_while(is_due).count()
        } else {
            oldest.iter().take_while(|(_, kept)| due_ms(kept.stamp_ms) <= now_ms).count()
        };
        let state = rows::delete(oldest.get(..due).unwrap_or_default(), cx)?;
        cx.count("expired", u64::try_from(due).unwrap_or(0))?;
        let is_whole = due == oldest.len() && due > 0;
        if name == SIZE {
            let goes_on = is_whole && state.bytes > self.0.bytes.bytes;
            return if goes_on { cx.wake_at(now_ms + PAUSE_MS, SIZE) } else { Ok(()) };
        }
        match oldest.get(due) {
            Some((_, next)) => {
                let due_ms = due_ms(next.stamp_ms).max(now_ms + PAUSE_MS);
                cx.wake_at(look_ms(due_ms, now_ms), AGE)
            }
            None if is_whole && state.messages > 0 => cx.wake_at(now_ms + PAUSE_MS, AGE),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_later_is_looked_for_each_day() {
        let now_ms = 1_000 * LOOK_MS;
        assert_eq!(look_ms(now_ms + 5, now_ms), now_ms + 5);
        assert_eq!(look_ms(now_ms + 365 * LOOK_MS, now_ms), now_ms + LOOK_MS);
        assert_eq!(look_ms(u64::MAX, u64::MAX - 1), u64::MAX);
    }
}
