//! What a peer sends: to the shards of the recipients, and counted when it is dealt with.

use engine::Event;
use tokio::time::Instant;
use xmpp::{Stanza, StanzaError};

use super::{Link, Stage};
use crate::actors::components;
use crate::actors::inbox::Parcel;
use crate::actors::worker::Worker;
use crate::clock;
use crate::federation::route::Entry;

/// Stanzas of a peer under way before it is not read any more.
pub(super) const STANZAS_UNDER_WAY: usize = 512;
/// Their bytes.
pub(super) const BYTES_UNDER_WAY: usize = 1 << 20;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Stanzas for one shard that came one after another.
    run: Run,
    /// How many stanzas of this connection went to shards.
    taken: u64,
    /// With acknowledgements: what `taken` was when they began.
    base: Option<u64>,
    /// The peer asked for the count when `taken` was this.
    asked_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Run {
    shard: u16,
    events: Vec<Event>,
    bytes: usize,
}

impl Intake {
    /// Tells whether the peer waits for a count.
    pub(super) fn is_asked(&self) -> bool {
        self.asked_at.is_some()
    }
}

impl Link {
    /// A stanza came.
    pub(super) fn take_stanza(&mut self, stanza: Stanza) {
        if self.is_counted() {
            return;
        }
        self.busy_at = Instant::now();
        self.hall.shared.metrics.s2s_stanzas_in.of(stanza.kind.name()).one();
        let to = stanza.to.as_ref().unwrap_or(&self.hall.domain);
        if self.hall.components.has(to.domain()) {
            self.submit();
            self.intake.taken = self.intake.taken.saturating_add(1);
            drop(self.outbox.receipt(self.intake.taken, 1, stanza.bytes()));
            return components::pass(&self.hall, stanza);
        }
        let shard = self.hall.shard_of(to);
        if self.intake.run.shard != shard {
            self.submit();
        }
        let run = &mut self.intake.run;
        run.shard = shard;
        run.bytes = run.bytes.saturating_add(stanza.bytes());
        run.events.push(Event::Arriving(stanza));
    }

    /// A stanza came that cannot be passed on. It is answered, where that is possible, and counted.
    pub(super) fn take_malformed(&mut self, stanza: &Stanza, error: &StanzaError) {
        if self.is_counted() {
            return;
        }
        self.submit();
        self.hall.shared.metrics.s2s_stanzas_in.of(stanza.kind.name()).one();
        self.intake.taken = self.intake.taken.saturating_add(1);
        drop(self.outbox.receipt(self.intake.taken, 1, stanza.bytes()));
        let Some(reply) = stanza.error_reply(error) else { return };
        let Some((local, remote)) = reply.from.as_ref().zip(reply.to.as_ref()) else { return };
        let (local, remote) = (local.domain().to_owned(), remote.domain().to_owned());
        let entry = Entry { stanza: reply, row: None, since_ms: clock::now_ms(), refusals: 0 };
        super::send::give(&self.hall, &local, &remote, entry);
    }

    /// Tells whether the last count is said: what comes then is sent again by the peer.
    fn is_counted(&self) -> bool {
        self.stage != Stage::Open && self.intake.base.is_some()
    }

    /// Hands what came to its shard.
    pub(super) fn submit(&mut self) {
        let Run { shard, events, bytes } = std::mem::take(&mut self.intake.run);
        if events.is_empty() {
            return;
        }
        let first = self.intake.taken.saturating_add(1);
        self.intake.taken =
            self.intake.taken.saturating_add(u64::try_from(events.len()).unwrap_or(u64::MAX));
        let receipt = Some(self.outbox.receipt(first, events.len(), bytes));
        Worker::hand(&self.hall, shard, Parcel::Client { link: None, events, receipt });
    }

    /// Acknowledgements begin.
    pub(super) fn begin_acks(&mut self) {
        self.submit();
        self.intake.base = Some(self.intake.taken);
    }

    /// The peer wants to know what was dealt with.
    pub(super) fn ack_requested(&mut self) {
        let ahead = u64::try_from(self.intake.run.events.len()).unwrap_or(0);
        self.intake.asked_at = Some(self.intake.taken.saturating_add(ahead));
    }

    /// Answers `<r/>` as soon as everything before it is dealt with.
    pub(super) fn acknowledge(&mut self) {
        let (Some(asked_at), Some(base)) = (self.intake.asked_at, self.intake.base) else {
            return;
        };
        let handled = self.outbox.under_way().handled;
        if handled >= asked_at {
            self.intake.asked_at = None;
            self.peering.ack(count(handled, base));
        }
    }

    /// Says how much was dealt with before the stream ends.
    pub(super) fn last_ack(&mut self) {
        if let Some(base) = self.intake.base {
            self.peering.ack(count(self.outbox.under_way().handled, base));
        }
    }
}

/// Returns the count of XEP-0198, modulo 2³².
fn count(handled: u64, base: u64) -> u32 {
    let since = handled.saturating_sub(base) & u64::from(u32::MAX);
    u32::try_from(since).unwrap_or(0)
}
