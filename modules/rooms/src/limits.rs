//! How much somebody may send.

use calypte::prelude::*;
use calypte::wire::Range;

use crate::Config;
use crate::records::{TRAFFIC, Traffic};

/// How many rows that say nothing any more are deleted at a time.
const SWEPT_MAX: u32 = 16;

/// How many stanzas it is worth to enter: everybody hears of it, and who enters of everybody.
const ENTERING: u64 = 5;

/// How many bytes of a stanza count as one more.
const MORE_BYTES: usize = 4096;

/// Counts a stanza of somebody: all of it, or what of it matters.
///
/// # Errors
///
/// `resource-constraint` when they send more than they may.
pub(crate) fn spend(
    config: &Config,
    bare: &str,
    stanza: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let more = u64::try_from(stanza.raw().len() / MORE_BYTES).unwrap_or(u64::MAX);
    spend_some(config, bare, more.saturating_add(1), cx)
}

/// Counts that somebody enters, or tries to.
///
/// # Errors
///
/// As [`spend`].
pub(crate) fn spend_entering(config: &Config, bare: &str, cx: &mut Context<'_, '_>) -> Done {
    spend_some(config, bare, ENTERING, cx)
}

fn spend_some(config: &Config, bare: &str, cost: u64, cx: &mut Context<'_, '_>) -> Done {
    let now = cx.now_ms();
    let interval = 1000 / u64::from(config.rate.max(1));
    let burst = interval.saturating_mul(u64::from(config.burst));
    let before = cx.get(&TRAFFIC, bare)?;
    if before.is_none() {
        sweep(cx)?;
    }
    let until_ms = before.map_or(now, |before| before.until_ms.max(now));
    // What costs more than anybody has at once can still be done.
    let cost = cost.min(u64::from(config.burst));
    let until_ms = until_ms.saturating_add(interval.saturating_mul(cost));
    if until_ms > now.saturating_add(burst) {
        cx.count("throttled", 1)?;
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text("You send too much at once."));
    }
    cx.put(&TRAFFIC, bare, &Traffic { until_ms })
}

/// Deletes some of the rows that say nothing any more.
fn sweep(cx: &mut Context<'_, '_>) -> Done {
    let now = cx.now_ms();
    let range = Range { to: None, limit: SWEPT_MAX, reverse: false };
    for (bare, traffic) in cx.scan(&TRAFFIC, &[], &range)? {
        if traffic.until_ms <= now {
            cx.delete(&TRAFFIC, &*bare)?;
        }
    }
    Ok(())
}
