//! Changing what is in a node, for clients and for other modules.

use bincode::{Decode, Encode};
use calypte::notice::PepChanged;
use calypte::prelude::*;
use tables::PepNode;

use crate::errors::fault;
use crate::{Config, Pep, events, rows};

/// Until when an account has to wait before it publishes again; one row.
const PACE: Table<str, Pace> = Table::volatile_account("pep.pace");
/// The key of the row.
const PACE_KEY: &str = "pace";
/// How much may be published at once, as if in so many minutes.
const BURST_MINUTES: u64 = 2;

/// How far an account is ahead of its rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Pace {
    /// When it has made up for what it published, in milliseconds since 1970.
    clear_ms: u64,
}

record!(Pace, 1);

impl Pep {
    /// Refuses an account that publishes faster than it may.
    pub(crate) fn keep_pace(&self, items: usize, cx: &mut Context<'_, '_>) -> Done {
        let now_ms = cx.now_ms();
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        let cost_ms = items.saturating_mul(60_000) / u64::from(self.0.rate);
        let Pace { clear_ms } = cx.get(&PACE, PACE_KEY)?.unwrap_or_default();
        let clear_ms = clear_ms.max(now_ms).saturating_add(cost_ms);
        if clear_ms.saturating_sub(now_ms) > BURST_MINUTES * 60_000 {
            let why = "You publish too much at a time. Try again in a minute.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
        cx.put(&PACE, PACE_KEY, &Pace { clear_ms })
    }
}

/// Publishes items: keeps them, tells of them.
///
/// # Errors
///
/// `not-acceptable` when an item is too large, `resource-constraint` when the account has no room.
pub(crate) fn publish(
    name: &str,
    node: &mut PepNode,
    items: &[(String, String)],
    config: &Config,
    cx: &mut Context<'_, '_>,
) -> Done {
    let publisher = publisher(cx);
    for (id, payload) in items {
        if u64::try_from(payload.len()).unwrap_or(u64::MAX) > config.item_bytes.bytes {
            let why = format!("An item has at most {} bytes.", config.item_bytes.bytes);
            let error = fault(StanzaError::NOT_ACCEPTABLE, "payload-too-big");
            return Err(error.with_text(why));
        }
        if node.persist {
            rows::put_item(name, node, (id, &publisher, payload), cx)?;
        }
    }
    if node.persist {
        let max = max_items(node, config);
        rows::trim(name, node, max, cx)?;
        if rows::total(cx)?.bytes > config.bytes.bytes {
            let why = "You have published as much as you can. Delete some of it.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
    }
    cx.count("published", u64::try_from(items.len()).unwrap_or(0))?;
    events::published(name, node, items, cx)?;
    let published = items.iter().map(|(id, _)| id.clone()).collect();
    cx.tell(&PepChanged { node: name.to_owned(), published, retracted: vec![], is_emptied: false })
}

/// Takes items back that are there.
pub(crate) fn retract(
    name: &str,
    node: &mut PepNode,
    ids: Vec<String>,
    is_told: bool,
    cx: &mut Context<'_, '_>,
) -> Done {
    for id in &ids {
        rows::take_item(name, node, id, cx)?;
    }
    if is_told {
        events::retracted(name, node, &ids, cx)?;
    }
    let node = name.to_owned();
    cx.tell(&PepChanged { node, published: vec![], retracted: ids, is_emptied: false })
}

/// Returns how many items a node keeps.
pub(crate) fn max_items(node: &PepNode, config: &Config) -> u32 {
    node.max_items.unwrap_or(config.items).min(config.items)
}

/// Returns who publishes: the device that asks, or the account.
fn publisher(cx: &Context<'_, '_>) -> String {
    cx.session_jid().map_or_else(|| cx.owner().as_str().to_owned(), |jid| jid.as_str().to_owned())
}
