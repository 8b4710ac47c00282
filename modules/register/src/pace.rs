//! How often strangers may try. The counts are kept in memory, and are few: an address that is not
//! counted yet when too many are shares one count with the others.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// The most addresses that are counted.
const ADDRESSES_MAX: u32 = 10_000;
/// Whose count all share, and those that are too many.
const ALL: &str = "";
const OTHERS: &str = "-";

/// Attempts, by address.
const TRIES: Table<str, Tries> = Table::volatile_domain("register.tries");
/// Changes of the password of an account: its own, or by name those that were asked of the domain.
const CHANGES: Table<str, Tries> = Table::volatile_account("register.changes");

/// The most changes of one account's password in an hour: each takes a processor for a moment.
const CHANGES_MAX: u32 = 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Tries {
    since_ms: u64,
    count: u32,
    /// How many addresses are counted; in the row of all.
    addresses: u32,
}

record!(Tries, 1);

/// Counts an attempt from `address`.
///
/// # Errors
///
/// `resource-constraint` when it is one too many.
pub(crate) fn count(
    cx: &mut Context<'_, '_>,
    address: &str,
    (per_address, per_hour): (u32, u32),
) -> Result<(), StanzaError> {
    let now_ms = cx.now_ms();
    let mut all = cx.get(&TRIES, ALL)?.unwrap_or_default();
    if now_ms.saturating_sub(all.since_ms) >= HOUR_MS {
        forget(cx)?;
        all = Tries { since_ms: now_ms, count: 0, addresses: 0 };
    }
    let is_known = cx.get(&TRIES, address)?.is_some();
    let key = if is_known || all.addresses < ADDRESSES_MAX { address } else { OTHERS };
    let mut own = cx.get(&TRIES, key)?.unwrap_or_default();
    if own.count >= per_address || all.count >= per_hour {
        cx.count("refused_for_pace", 1)?;
        return Err(too_often());
    }
    own.count = own.count.saturating_add(1);
    all.count = all.count.saturating_add(1);
    all.addresses = all.addresses.saturating_add(u32::from(!is_known));
    cx.put(&TRIES, key, &own)?;
    cx.put(&TRIES, ALL, &all)
}

/// Begins a new hour.
fn forget(cx: &mut Context<'_, '_>) -> Done {
    let range = Range { to: None, limit: ADDRESSES_MAX.saturating_add(2), reverse: false };
    for (address, _) in cx.scan(&TRIES, &[], &range)? {
        cx.delete(&TRIES, &*address)?;
    }
    Ok(())
}

/// Counts a change of the owner's password, or of that of the account with this name.
///
/// # Errors
///
/// As [`count`].
pub(crate) fn count_change(cx: &mut Context<'_, '_>, name: &str) -> Result<(), StanzaError> {
    let now_ms = cx.now_ms();
    let mut own = cx.get(&CHANGES, name)?.unwrap_or_default();
    if now_ms.saturating_sub(own.since_ms) >= HOUR_MS {
        own = Tries { since_ms: now_ms, ..Tries::default() };
    }
    if own.count >= CHANGES_MAX {
        return Err(too_often());
    }
    own.count = own.count.saturating_add(1);
    cx.put(&CHANGES, name, &own)
}

fn too_often() -> StanzaError {
    StanzaError::RESOURCE_CONSTRAINT.with_text("too often; try again in an hour")
}
