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

impl Archive {
    /// Deletes the oldest messages; the rest after a pause.
    pub(crate) fn expire(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        let oldest = rows::outermost(ROWS_MAX, false, cx)?;
        let now_ms = cx.now_ms();
        let due_ms = |stamp_ms: u64| stamp_ms.saturating_add(self.0.keep.ms);
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
            Some((_, next)) => cx.wake_at(due_ms(next.stamp_ms).max(now_ms + PAUSE_MS), AGE),
            None if is_whole && state.messages > 0 => cx.wake_at(now_ms + PAUSE_MS, AGE),
            None => Ok(()),
        }
    }
}
