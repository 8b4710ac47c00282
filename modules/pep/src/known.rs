//! What hashes stand for, remembered for all who show the same (XEP-0115 §8.1).

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::{Pep, usage};

/// What hashes stand for, for all accounts. A row is a function of its key, so it does not matter who
/// wrote it last.
const CAPS: Table<str, Known> = Table::domain("pep.caps");
/// How many rows of the table a shard has counted; one row.
const COUNTED: Table<str, Counted> = Table::volatile_domain("pep.counted");
/// The key of the row.
const COUNTED_KEY: &str = "counted";
/// The most hashes that are kept for all. What more there is, is kept for each device.
const CAPS_MAX: u32 = 10_000;
/// Rows read at a time.
const PAGE: u32 = 500;
/// How long a hash is kept that nobody shows.
const CAPS_DAYS: u64 = 60;
/// After how many days it is noted again that somebody shows it.
const NOTED_DAYS: u64 = 7;
const DAY_MS: u64 = 86_400_000;
/// The timer that forgets.
const FORGET: &str = "forget";

/// What a hash stands for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Known {
    /// The nodes that a device wants to hear of.
    nodes: Vec<String>,
    /// The day on which it was noted last that somebody shows it, counted from 1970.
    day: u64,
}

record!(Known, 1);

/// How many rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Counted(u32);

record!(Counted, 1);

impl Pep {
    /// The server runs: what nobody shows any more is forgotten now and each day.
    pub(crate) fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        self.forget_caps(FORGET, cx)
    }

    /// Forgets hashes that nobody has shown for long.
    pub(crate) fn forget_caps(&self, _: &str, cx: &mut Context<'_, '_>) -> Done {
        let today = cx.now_ms() / DAY_MS;
        let mut count = 0_u32;
        let mut from = Vec::new();
        while let Some(last) = page(&mut from, cx)? {
            for (key, known) in last {
                if known.day.saturating_add(CAPS_DAYS) < today {
                    cx.delete(&CAPS, &key)?;
                } else {
                    count = count.saturating_add(1);
                }
            }
        }
        cx.put(&COUNTED, COUNTED_KEY, &Counted(count))?;
        cx.wake_at(cx.now_ms().saturating_add(DAY_MS), FORGET)
    }
}

/// Returns the nodes that a hash stands for; `None` when that is not known.
pub(crate) fn nodes(
    key: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<Vec<String>>, StanzaError> {
    Ok(cx.get(&CAPS, key)?.map(|known| known.nodes))
}

/// Returns the nodes too, and notes that somebody shows the hash.
pub(crate) fn shown(
    key: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<Vec<String>>, StanzaError> {
    let Some(mut known) = cx.get(&CAPS, key)? else { return Ok(None) };
    let today = cx.now_ms() / DAY_MS;
    if known.day.saturating_add(NOTED_DAYS) <= today {
        known.day = today;
        cx.put(&CAPS, key, &known)?;
    }
    Ok(Some(known.nodes))
}

/// Keeps what a hash stands for, if there is room for one more; says whether it is kept.
pub(crate) fn keep(
    key: &str,
    nodes: &[String],
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    if cx.get(&CAPS, key)?.is_some() {
        return Ok(true);
    }
    let count = match cx.get(&COUNTED, COUNTED_KEY)? {
        Some(Counted(count)) => count,
        None => counted(cx)?,
    };
    if count >= CAPS_MAX || !usage::teach(cx)? {
        return Ok(false);
    }
    cx.put(&COUNTED, COUNTED_KEY, &Counted(count.saturating_add(1)))?;
    let known = Known { nodes: nodes.to_vec(), day: cx.now_ms() / DAY_MS };
    cx.put(&CAPS, key, &known)?;
    Ok(true)
}

fn counted(cx: &mut Context<'_, '_>) -> Result<u32, StanzaError> {
    let (mut count, mut from) = (0_u32, Vec::new());
    while let Some(rows) = page(&mut from, cx)? {
        count = count.saturating_add(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    }
    Ok(count)
}

/// Reads the next rows from a key on, and puts the key behind them.
fn page(
    from: &mut Vec<u8>,
    cx: &mut Context<'_, '_>,
) -> Result<Option<Vec<(String, Known)>>, StanzaError> {
    let rows = cx.scan(&CAPS, from, &Range { to: None, limit: PAGE, reverse: false })?;
    let Some((last, _)) = rows.last() else { return Ok(None) };
    *from = CAPS.encode_key(last);
    from.push(0);
    Ok(Some(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let known = Known { nodes: vec!["a".to_owned()], day: 300 };
        assert_eq!(CAPS.encode(&known), b"\x01\x01\x01a\xfb\x2c\x01");
        assert_eq!(CAPS.name, "pep.caps");
    }
}
