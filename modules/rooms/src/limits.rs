//! How much somebody may send.

use calypte::prelude::*;
use calypte::wire::Range;

use crate::Config;
use crate::records::{SWEPT, Swept, TRAFFIC, Traffic};
use crate::room::member_count;

/// How many rows that say nothing any more are deleted at a time.
const SWEPT_MAX: u32 = 16;

/// How many stanzas it is worth to enter: everybody hears of it, and who enters of everybody.
const ENTERING: u64 = 5;

/// How many stanzas a long list is worth.
pub(crate) const LIST: u64 = 5;

/// A server of other people may send as much as so many of them.
const DOMAIN_PEOPLE: u64 = 100;

/// How many bytes of a stanza count as one more.
const MORE_BYTES: usize = 4096;

/// How many bans, admins and owners a room can have beyond its bound: there is always room for them.
const RESERVED: u32 = 1000;

/// Who is to stand in the lists of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// People who register, or are invited by members: they leave a quarter free.
    ByThemselves,
    /// Members that admins make.
    Member,
    /// Who is banned, an admin or an owner.
    Reserved,
}

/// Tells whether the lists of the room have a place for so many more.
///
/// # Errors
///
/// `resource-constraint` when they do not.
pub(crate) fn has_place(
    config: &Config,
    place: Place,
    more: usize,
    cx: &mut Context<'_, '_>,
) -> Done {
    let most = match place {
        Place::ByThemselves => config.affiliations.saturating_sub(config.affiliations / 4),
        Place::Member => config.affiliations,
        Place::Reserved => config.affiliations.saturating_add(RESERVED),
    };
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    if more > 0 && member_count(cx)?.saturating_add(more) > most {
        let why = "The lists of this room are full.";
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
    }
    Ok(())
}

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

/// Counts so many stanzas.
///
/// # Errors
///
/// As [`spend`].
pub(crate) fn spend_some(config: &Config, bare: &str, cost: u64, cx: &mut Context<'_, '_>) -> Done {
    if bare == cx.domain() {
        // The operator, and modules that ask in the name of the domain.
        return Ok(());
    }
    let now = cx.now_ms();
    let interval = 1000 / u64::from(config.rate.max(1));
    let burst = interval.saturating_mul(u64::from(config.burst));
    // What costs more than anybody has at once can still be done.
    let cost = interval.saturating_mul(cost.min(u64::from(config.burst)));
    let domain = JidRef::trusted(bare).domain();
    let of_domain = (domain != cx.domain()).then(|| (format!("@{domain}"), DOMAIN_PEOPLE));
    let mut rows = Vec::new();
    for (key, people) in [(bare.to_owned(), 1)].into_iter().chain(of_domain) {
        let before = cx.get(&TRAFFIC, &*key)?;
        let until_ms = before.map_or(now, |before| before.until_ms.max(now));
        let until_ms = until_ms.saturating_add(cost.div_ceil(people));
        if until_ms > now.saturating_add(burst) {
            cx.count("throttled", 1)?;
            let why = "You send too much at once, or your server does.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
        rows.push((key, before.is_none(), until_ms));
    }
    for (key, is_new, until_ms) in rows {
        if is_new {
            sweep(cx)?;
        }
        cx.put(&TRAFFIC, &*key, &Traffic { until_ms })?;
    }
    Ok(())
}

/// Deletes some of the rows that say nothing any more.
fn sweep(cx: &mut Context<'_, '_>) -> Done {
    let now = cx.now_ms();
    for (key, traffic) in some_rows(&TRAFFIC, cx)? {
        if traffic.until_ms <= now {
            cx.delete(&TRAFFIC, &*key)?;
        }
    }
    Ok(())
}

/// Returns some rows of a table, and the next ones each time: so all are looked at in the end, whatever
/// keys people make.
pub(crate) fn some_rows<V: Record>(
    table: &Table<str, V>,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, V)>, StanzaError> {
    let Swept { after } = cx.get(&SWEPT, table.name)?.unwrap_or_default();
    let range = Range { to: None, limit: SWEPT_MAX, reverse: false };
    let rows = cx.scan(table, &[after.as_bytes(), &[0]].concat(), &range)?;
    let is_end = rows.len() < usize::try_from(SWEPT_MAX).unwrap_or(usize::MAX);
    let after = rows.last().filter(|_| !is_end).map(|(key, _)| key.clone());
    cx.put(&SWEPT, table.name, &Swept { after: after.unwrap_or_default() })?;
    Ok(rows)
}
