//! Domains without a policy: one that had a valid certificate is not believed without one again.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::RequiredTls;
use crate::crowd::{self, Counts, Rows};

/// Plain domains that had a valid certificate, by their name.
const SEEN: Table<str, Seen> = Table::domain("required_tls.seen");
/// How many there are, under [`ALL`] and below each parent.
const COUNT: Counts = Table::domain("required_tls.seen-count");
const ALL: &str = "seen";

/// The most domains.
const SEEN_MAX: u64 = 20_000;
/// How many go at once when there are more: those longest unheard of.
const EVICTED: usize = 200;
/// How old the time in a row may be, so that not each stream is a write.
const STEP_MS: u64 = 86_400_000;
/// On how many days it has to fail before it begins anew: who is on the way twice is not enough.
const DAYS_MIN: u32 = 5;

/// A domain that had a valid certificate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Seen {
    /// When it last had one.
    valid_ms: u64,
    /// Since then it has none.
    failing: Option<Failing>,
}

/// How it has no valid certificate, tried again and again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Failing {
    since_ms: u64,
    /// When a day was counted last.
    day_ms: u64,
    /// On how many days.
    days: u32,
}

record!(Seen, 1);

impl RequiredTls {
    /// Notes that a plain domain has a valid certificate.
    pub(crate) fn note_valid(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        let (now_ms, before) = (cx.now_ms(), cx.get(&SEEN, name)?);
        let is_new = before.is_none();
        if let Some(seen) = before {
            let is_recent = now_ms.saturating_sub(seen.valid_ms) < STEP_MS;
            if is_recent && seen.failing.is_none() {
                return Ok(());
            }
        }
        if is_new {
            if crowd::is_crowded(&COUNT, name, cx)? {
                return cx.count("unremembered", 1);
            }
            let Rows(count) = cx.get(&COUNT, ALL)?.unwrap_or_default();
            if count >= SEEN_MAX {
                evict(cx)?;
            }
            crowd::step(&COUNT, (ALL, name), 1, cx)?;
        }
        cx.put(&SEEN, name, &Seen { valid_ms: now_ms, failing: None })
    }

    /// Tells whether a plain domain had a valid certificate and so needs one. It is forgiven when it
    /// had none for so long, on several days.
    pub(crate) fn needs_certificate(
        &self,
        name: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<bool, StanzaError> {
        let Some(mut seen) = cx.get(&SEEN, name)? else { return Ok(false) };
        let now_ms = cx.now_ms();
        let new = Failing { since_ms: now_ms, day_ms: 0, days: 0 };
        let mut failing = seen.failing.take().unwrap_or(new);
        if now_ms.saturating_sub(failing.day_ms) < STEP_MS {
            return Ok(true);
        }
        (failing.day_ms, failing.days) = (now_ms, failing.days.saturating_add(1));
        let is_old = now_ms.saturating_sub(failing.since_ms) >= self.0.ratchet_break.ms;
        if is_old && failing.days >= DAYS_MIN {
            cx.warn(&format!("{name} had no valid certificate for long and begins anew"));
            forget(name, cx)?;
            return Ok(false);
        }
        seen.failing = Some(failing);
        cx.put(&SEEN, name, &seen)?;
        Ok(true)
    }

    /// Tells whether a plain domain had a valid certificate.
    pub(crate) fn had_certificate(
        &self,
        name: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<bool, StanzaError> {
        Ok(cx.get(&SEEN, name)?.is_some())
    }
}

/// Forgets a plain domain, as the operator's consent that it begins anew.
pub(crate) fn forget(name: &str, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    if cx.get(&SEEN, name)?.is_none() {
        return Ok(false);
    }
    crowd::step(&COUNT, (ALL, name), -1, cx)?;
    cx.delete(&SEEN, name)?;
    Ok(true)
}

fn evict(cx: &mut Context<'_, '_>) -> Done {
    let mut all = cx.all(&SEEN, u32::MAX)?;
    all.sort_by_key(|(_, seen)| seen.valid_ms);
    for (name, _) in all.iter().take(EVICTED) {
        forget(name, cx)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let failing = Some(Failing { since_ms: 6, day_ms: 7, days: 8 });
        let seen = Seen { valid_ms: 5, failing };
        assert_eq!(SEEN.encode(&seen), b"\x01\x05\x01\x06\x07\x08");
        assert_eq!(COUNT.encode(&Rows(3)), b"\x01\x03");
    }
}
