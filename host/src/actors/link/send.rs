//! From a shard to a route, and back when it cannot leave.

use std::sync::Arc;

use engine::Event;
use xmpp::{Stanza, StanzaError, StreamError};

use super::attend;
use crate::actors::components::bounce;
use crate::actors::hall::Hall;
use crate::actors::inbox::Parcel;
use crate::actors::outbox::Word;
use crate::federation::Sent;
use crate::federation::route::{Entry, Route, Row};
use crate::federation::trouble;

/// Takes a stanza that leaves shard `shard` for `domain`. It is answered in the end: the peer has
/// it, or it cannot be delivered.
pub(crate) fn send(hall: &Arc<Hall>, shard: u16, domain: &str, leaving: Leaving) {
    let Leaving { stanza, row, since_ms } = leaving;
    let local = stanza.from.as_ref().unwrap_or(&hall.domain).domain().to_owned();
    let row = row.map(|key| Row { shard, key });
    let entry = Entry { stanza, row, since_ms, refusals: 0 };
    give_from(hall, shard, &local, domain, entry);
}

/// What a shard says of a stanza that leaves.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// The stanza.
    pub(crate) stanza: Stanza,
    /// The row that keeps it.
    pub(crate) row: Option<Vec<u8>>,
    /// When it was first sent.
    pub(crate) since_ms: u64,
}

/// Sends something of the server's own. When it cannot leave, nobody is told.
pub(super) fn give(hall: &Arc<Hall>, local: &str, remote: &str, entry: Entry) {
    drop(offer(hall, local, remote, entry));
}

/// Sends something to another domain or to a component. Returns what cannot leave, and why.
pub(in crate::actors) fn offer(
    hall: &Arc<Hall>,
    local: &str,
    remote: &str,
    entry: Entry,
) -> Option<(Entry, StanzaError)> {
    let sent = match hall.components.route(remote) {
        Some(route) => hall.components.push(hall, route, entry),
        None => hall.federation.push(local, remote, entry),
    };
    match sent {
        Sent::Waits => None,
        Sent::Attend(route) => {
            attend(hall, route);
            None
        }
        Sent::Refused(refused) => Some(*refused),
    }
}

fn give_from(hall: &Arc<Hall>, shard: u16, local: &str, remote: &str, entry: Entry) {
    if let Some((entry, error)) = offer(hall, local, remote, entry) {
        hall.shared.metrics.s2s_bounced.of(error.condition.name()).one();
        undeliverable(hall, shard, entry, error);
    }
}

/// Gives entries of a route back to their shards.
pub(in crate::actors) fn give_back(
    hall: &Arc<Hall>,
    route: &Route,
    entries: Vec<Entry>,
    error: impl Fn(&Entry) -> StanzaError,
) {
    route.forget(&entries);
    for entry in entries {
        let error = error(&entry);
        hall.shared.metrics.s2s_bounced.of(error.condition.name()).one();
        let from = entry.stanza.from.as_ref().unwrap_or(&hall.domain);
        let shard = entry.row.as_ref().map_or_else(|| hall.shard_of(from), |row| row.shard);
        undeliverable(hall, shard, entry, error);
    }
}

/// Ends what has to do with domains that the operator does not want to talk with any more.
pub(crate) fn part_with(hall: &Arc<Hall>, is_refused: impl Fn(&str) -> bool) {
    hall.federation.tell(&is_refused, || Word::Close(StreamError::PolicyViolation));
    for route in hall.federation.routes() {
        if is_refused(&route.remote) {
            let waiting = route.drain(true);
            give_back(hall, &route, waiting, |_| trouble::not_allowed(&route.remote));
        }
    }
}

fn undeliverable(hall: &Arc<Hall>, shard: u16, entry: Entry, error: StanzaError) {
    let Entry { stanza, row, .. } = entry;
    // What only passes through has no shard that would answer it.
    if stanza.from.as_ref().is_some_and(|from| !hall.serves(from.domain())) {
        return bounce(hall, &stanza, &error);
    }
    let row = row.map(|row| row.key);
    if let Some(inbox) = hall.inbox(shard) {
        inbox.push(Parcel::Event(Box::new(Event::Undeliverable { row, stanza, error })));
    }
}
