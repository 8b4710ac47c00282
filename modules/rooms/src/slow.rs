//! Slow mode (XEP-0500): how long people wait between two messages.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::records::Occupant;
use crate::room::Room;
use crate::rules::Affiliation;
use crate::{limits, settings};

/// When somebody spoke last, by bare address.
pub(crate) const SPOKE: Table<str, Spoke> = Table::volatile_account("rooms.spoke");

/// When somebody spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Spoke {
    at_ms: u64,
}

record!(Spoke, 1);

/// Counts a message with a text.
///
/// # Errors
///
/// `policy-violation` (to be tried again) when somebody spoke too short a time ago.
pub(crate) fn wait(
    room: &Room,
    occupant: &Occupant,
    message: &Passing<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let seconds: u64 = room.text(settings::SLOW).parse().unwrap_or(0);
    let is_free = occupant.affiliation >= Affiliation::Admin || !message.has(ns::CLIENT, "body");
    if seconds == 0 || is_free {
        return Ok(());
    }
    let (now_ms, pause_ms) = (cx.now_ms(), seconds.saturating_mul(1000));
    let last = cx.get(&SPOKE, &*occupant.bare)?;
    if let Some(last) = last {
        if last.at_ms.saturating_add(pause_ms) > now_ms {
            let why = format!("This room is slow: wait {seconds} seconds between two messages.");
            let error = StanzaError::new(ErrorKind::Wait, Condition::PolicyViolation);
            return Err(error.with_text(why));
        }
    } else {
        for (bare, spoke) in limits::some_rows(&SPOKE, cx)? {
            if spoke.at_ms.saturating_add(pause_ms) <= now_ms {
                cx.delete(&SPOKE, &*bare)?;
            }
        }
    }
    cx.put(&SPOKE, &*occupant.bare, &Spoke { at_ms: now_ms })
}

/// Forgets who spoke.
pub(crate) fn forget(cx: &mut Context<'_, '_>) -> Done {
    for (bare, _) in cx.all(&SPOKE, u32::MAX)? {
        cx.delete(&SPOKE, &*bare)?;
    }
    Ok(())
}
