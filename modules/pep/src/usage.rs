//! What an account takes of what all accounts share, so that no contact and no crowd of them fills it.

use bincode::{Decode, Encode};
use calypte::prelude::*;

/// What an account takes; one row.
const USAGE: Table<str, Usage> = Table::volatile_account("pep.usage");
/// The key of the row.
const USAGE_KEY: &str = "usage";
/// The most bytes of what is known of devices.
const BYTES_MAX: u64 = 512 << 10;
/// The most questions that wait for their answers.
const QUESTIONS_MAX: u32 = 64;
/// When no question was asked for so long, none waits: the engine ends each in a minute.
const QUESTION_MS: u64 = 120_000;
/// The most hashes that are learnt for all in a day from those whom the account asked.
const TAUGHT_MAX: u32 = 200;
const DAY_MS: u64 = 86_400_000;

/// What an account takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Usage {
    /// Of what is known of devices.
    bytes: u64,
    /// Questions that wait for their answers.
    open: u32,
    /// When the last was asked, in milliseconds since 1970.
    asked_ms: u64,
    /// Hashes that were learnt on this day.
    taught: u32,
    /// The day, counted from 1970.
    day: u64,
}

record!(Usage, 1);

/// How far contacts are ahead of what they are sent of their own accord, by bare address.
const GREETED: Table<str, Greeted> = Table::volatile_account("pep.greeted");
/// The bytes of last items that a contact is sent in a minute, over a while.
const GREETED_A_MINUTE: u64 = 256 << 10;
/// How many minutes' worth it is sent at once.
const GREETED_MINUTES: u64 = 4;
/// What an item costs besides its content: it is a message.
const GREETED_ITEM: usize = 512;

/// How far a contact is ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Greeted {
    /// When it has made up for what it was sent, in milliseconds since 1970.
    clear_ms: u64,
}

record!(Greeted, 1);

impl Greeted {
    fn has_room(self, now_ms: u64) -> bool {
        self.clear_ms.saturating_sub(now_ms) < GREETED_MINUTES * 60_000
    }

    /// It was sent so many bytes.
    fn and(self, bytes: usize, now_ms: u64) -> Self {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let cost_ms = bytes.saturating_mul(60_000) / GREETED_A_MINUTE;
        Self { clear_ms: self.clear_ms.max(now_ms).saturating_add(cost_ms) }
    }
}

/// Says whether a contact may be sent more of what is there when it appears: one that comes and goes
/// all the time is not sent all of it each time.
pub(crate) fn may_greet(bare: &str, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let now_ms = cx.now_ms();
    Ok(cx.get(&GREETED, bare)?.is_none_or(|greeted| greeted.has_room(now_ms)))
}

/// A contact was sent so many items with so many bytes.
pub(crate) fn greeted(
    bare: &str,
    (items, bytes): (usize, usize),
    cx: &mut Context<'_, '_>,
) -> Done {
    let before = cx.get(&GREETED, bare)?.unwrap_or_default();
    let bytes = bytes.saturating_add(items.saturating_mul(GREETED_ITEM));
    let after = before.and(bytes, cx.now_ms());
    cx.put(&GREETED, bare, &after)
}

/// Forgets somebody who is no contact any more.
pub(crate) fn forget_greeted(bare: &str, cx: &mut Context<'_, '_>) -> Done {
    cx.delete(&GREETED, bare)
}

impl Usage {
    /// Has so many bytes in the place of so many, if there is room.
    fn take(&mut self, before: u64, after: u64) -> bool {
        let bytes = self.bytes.saturating_sub(before).saturating_add(after);
        if after > before && bytes > BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        true
    }

    fn ask(&mut self, now_ms: u64) -> bool {
        if self.asked_ms.saturating_add(QUESTION_MS) < now_ms {
            self.open = 0;
        }
        if self.open >= QUESTIONS_MAX {
            return false;
        }
        self.open = self.open.saturating_add(1);
        self.asked_ms = now_ms;
        true
    }

    fn teach(&mut self, day: u64) -> bool {
        if self.day != day {
            (self.day, self.taught) = (day, 0);
        }
        if self.taught >= TAUGHT_MAX {
            return false;
        }
        self.taught = self.taught.saturating_add(1);
        true
    }
}

/// Says whether a row about devices may have so many bytes in the place of so many.
pub(crate) fn take(before: u64, after: u64, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    change(|usage| usage.take(before, after), cx)
}

/// Says whether one more question may be asked.
pub(crate) fn ask(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let now_ms = cx.now_ms();
    change(|usage| usage.ask(now_ms), cx)
}

/// A question has its answer; says whether it was the last.
pub(crate) fn answered(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let end = |usage: &mut Usage| {
        usage.open = usage.open.saturating_sub(1);
        usage.open == 0
    };
    change(end, cx)
}

/// Says whether one more hash may be learnt for all.
pub(crate) fn teach(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let day = cx.now_ms() / DAY_MS;
    change(|usage| usage.teach(day), cx)
}

fn change(
    how: impl FnOnce(&mut Usage) -> bool,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let before = cx.get(&USAGE, USAGE_KEY)?.unwrap_or_default();
    let mut usage = before;
    let is_so = how(&mut usage);
    if usage != before {
        cx.put(&USAGE, USAGE_KEY, &usage)?;
    }
    Ok(is_so)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_so_much_room() {
        let mut usage = Usage::default();
        assert!(usage.take(0, BYTES_MAX));
        assert!(!usage.take(0, 1));
        assert!(!usage.take(10, 11));
        // What is smaller than before always has room.
        assert!(usage.take(BYTES_MAX, 10));
        assert!(usage.take(0, 1));
        assert_eq!(usage.bytes, 11);
    }

    #[test]
    fn who_comes_and_goes_is_not_sent_all_each_time() {
        let minute = usize::try_from(GREETED_A_MINUTE).unwrap();
        let mut greeted = Greeted::default();
        let mut sent = 0;
        while greeted.has_room(1000) {
            greeted = greeted.and(minute, 1000);
            sent += 1;
        }
        assert_eq!(sent, GREETED_MINUTES);
        assert!(!greeted.has_room(1000));
        assert!(greeted.has_room(1001));
    }

    #[test]
    fn questions_are_so_many_at_a_time() {
        let mut usage = Usage::default();
        assert!((0..QUESTIONS_MAX).all(|_| usage.ask(1000)));
        assert!(!usage.ask(1000));
        // Those of an engine that is gone have no answer.
        assert!(usage.ask(1001 + QUESTION_MS));
        assert_eq!(usage.open, 1);
    }

    #[test]
    fn hashes_are_so_many_a_day() {
        let mut usage = Usage::default();
        assert!((0..TAUGHT_MAX).all(|_| usage.teach(7)));
        assert!(!usage.teach(7));
        assert!(usage.teach(8));
    }
}
