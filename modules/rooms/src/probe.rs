//! Occupants of other servers who are gone without a word are noticed also in a room where nobody speaks.
//!
//! An empty message goes to each of them once an hour. Nothing comes back from a client that is there, and
//! an error from the server of one that is not (RFC 6121 §8.5.3.2.1), or from ours when that cannot be
//! reached: such are [removed](crate::leave::bounced). A ping would not do, for a client that knows no
//! pings answers as a server does for one that is gone.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::Range;

use crate::records::{ROOM_KEY, SEATS};

/// How far the room has looked: one row, [`ROOM_KEY`], while there is somebody of another server.
const PROBED: Table<str, Probed> = Table::volatile_account("rooms.probed");
/// The timer for that.
pub(crate) const PROBE: &str = "probe";
/// How often it looks, in milliseconds.
const EVERY_MS: u64 = 3_600_000;
/// How many clients are looked at together.
const PAGE: u32 = 100;
/// How long others have their turn before it goes on, in milliseconds.
const PAUSE_MS: u64 = 250;

/// How far it has looked.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
struct Probed {
    /// The last client.
    after: String,
    /// Whether any of them was of another server.
    is_any: bool,
}

record!(Probed, 1);

/// Somebody is in the room.
pub(crate) fn begin(full: &str, cx: &mut Context<'_, '_>) -> Done {
    if JidRef::trusted(full).domain() == cx.domain() {
        return Ok(());
    }
    if let Some(probed) = cx.get(&PROBED, ROOM_KEY)? {
        // It may stand where the room has looked already.
        return cx.put(&PROBED, ROOM_KEY, &Probed { is_any: true, ..probed });
    }
    cx.put(&PROBED, ROOM_KEY, &Probed::default())?;
    cx.wake_at(cx.now_ms().saturating_add(EVERY_MS), PROBE)
}

/// Looks whether those of other servers are there, or some of them, and goes on after a pause.
pub(crate) fn look(cx: &mut Context<'_, '_>) -> Done {
    let Some(mut probed) = cx.get(&PROBED, ROOM_KEY)? else { return Ok(()) };
    let range = Range { to: None, limit: PAGE, reverse: false };
    let rows = cx.scan(&SEATS, &[probed.after.as_bytes(), &[0]].concat(), &range)?;
    let seats = rows.iter().map(|(full, _)| full.as_str());
    let far: Vec<_> = seats.filter(|full| JidRef::trusted(full).domain() != cx.domain()).collect();
    let id = cx.random_name(16)?;
    let message = Element::new(ns::CLIENT, "message")
        .with_attr("type", "groupchat")
        .with_attr("id", &id)
        .with_child(Element::new(ns::HINTS, "no-store"));
    cx.show_each(&message.to_xml(ns::CLIENT), &far)?;
    probed.is_any |= !far.is_empty();
    let is_all = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
    if is_all && !probed.is_any {
        return cx.delete(&PROBED, ROOM_KEY);
    }
    let pause_ms = if is_all { EVERY_MS } else { PAUSE_MS };
    let after = rows.last().filter(|_| !is_all).map(|(full, _)| full.clone());
    let next = Probed { after: after.unwrap_or_default(), is_any: probed.is_any && !is_all };
    cx.put(&PROBED, ROOM_KEY, &next)?;
    cx.wake_at(cx.now_ms().saturating_add(pause_ms), PROBE)
}

/// The room ended.
pub(crate) fn forget(cx: &mut Context<'_, '_>) -> Done {
    cx.delete(&PROBED, ROOM_KEY)?;
    cx.no_wake(PROBE)
}
