//! What a connection carries to the peer: taken from its routes, kept until the peer has it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Context as Poller;
use std::task::Poll;

use engine::Event;
use tokio::time::Instant;

use super::send::give_back;
use super::{Link, Stage};
use crate::actors::inbox::Parcel;
use crate::federation::Pair;
use crate::federation::route::{Entry, Route};
use crate::federation::trouble::{self, Failed, Trouble};

/// What is written before it goes to the socket.
const WRITE_BYTES: usize = 16 << 10;
/// Stanzas that a peer has not acknowledged before it gets no more.
const UNACKED_MAX: usize = 1024;
/// How often a peer may end the stream over a stanza before its sender is told.
const REFUSALS_MAX: u8 = 3;
/// Stanzas after which a peer is asked whether it received them.
const ASK_EVERY: u32 = 16;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Freight {
    /// The routes that this connection carries.
    routes: Vec<Arc<Route>>,
    /// The pairs that are authenticated, and about which modules were asked.
    open: Vec<Pair>,
    /// Routes that want to be carried once their pair is authenticated.
    wanted: Vec<Arc<Route>>,
    /// What is written and not acknowledged, in order.
    taken: VecDeque<(Arc<Route>, Entry)>,
    /// Stanzas written since we asked.
    unasked: u32,
}

impl Freight {
    /// Tells whether the peer may end the stream over what it was given last. That goes alone, so
    /// that nothing else is blamed for it.
    fn is_suspicious(&self) -> bool {
        self.taken.back().is_some_and(|(_, entry)| entry.refusals > 0)
    }

    /// Tells whether what is for a pair may go out here: it is proved, and no module minds.
    fn is_open(&self, local: &str, remote: &str) -> bool {
        self.open.iter().any(|(ours, theirs)| ours == local && theirs == remote)
    }

    /// Returns two domains between which something may be sent.
    pub(super) fn pair(&self) -> Option<(String, String)> {
        self.routes.first().map(|route| (route.local.clone(), route.remote.clone()))
    }

    /// Tells whether nothing is under way to the peer.
    pub(super) fn is_idle(&self) -> bool {
        self.taken.is_empty() && self.routes.iter().all(|route| route.is_idle())
    }
}

impl Link {
    /// Somebody wants this connection to carry a route.
    pub(super) fn carry(&mut self, route: Arc<Route>) {
        if self.stage != Stage::Open {
            return;
        }
        if self.freight.is_open(&route.local, &route.remote) {
            self.attach(route);
        } else if self.errand.is_some()
            && !self.freight.wanted.iter().any(|wanted| Arc::ptr_eq(wanted, &route))
        {
            // What a module proved is bound to the first pair of the stream. And where a pair
            // cannot be asked for now, nothing would be heard of it.
            let is_proved = self.peering.may_send(&route.local, &route.remote);
            let may_ask = !self.is_extended;
            if is_proved || may_ask && self.peering.add_pair(&route.local, &route.remote) {
                self.freight.wanted.push(route);
            } else {
                route.keep_apart();
            }
        }
    }

    /// A pair of domains is authenticated: what waits for it goes out here, unless another
    /// connection carries it.
    pub(super) fn carry_pair(&mut self, local: &str, remote: &str) {
        if !self.freight.is_open(local, remote) {
            self.freight.open.push((local.to_owned(), remote.to_owned()));
        }
        self.freight.wanted.retain(|route| route.local != local || route.remote != remote);
        if let Some(route) = self.hall.federation.route(local, remote) {
            self.attach(route);
        }
    }

    /// A pair of domains is refused: its route needs a connection of its own.
    pub(super) fn refuse_pair(&mut self, local: &str, remote: &str) {
        let is_it = |route: &mut Arc<Route>| route.local == local && route.remote == remote;
        for route in self.freight.wanted.extract_if(.., is_it) {
            route.keep_apart();
        }
    }

    fn attach(&mut self, route: Arc<Route>) {
        let is_known = self.freight.routes.iter().any(|known| Arc::ptr_eq(known, &route));
        if route.attach(self.outbox.id()) && !is_known {
            self.freight.routes.push(route);
        }
    }

    /// Takes what waits, as far as there is room.
    fn load(&mut self, poller: &Poller<'_>) {
        if self.stage != Stage::Open || self.parting.is_some() {
            return;
        }
        let id = self.outbox.id();
        let mut index = 0;
        while let Some(route) = self.freight.routes.get(index).cloned() {
            let freight = &self.freight;
            let is_full = freight.taken.len() >= UNACKED_MAX || freight.is_suspicious();
            if is_full || self.peering.output().len() >= WRITE_BYTES {
                break;
            }
            let Some(entry) = route.take(id, poller.waker()) else {
                index = index.saturating_add(1);
                continue;
            };
            if entry.refusals >= REFUSALS_MAX {
                // Otherwise it would keep back all that waits behind it.
                let trouble = Trouble::new(Failed::Refused, "its server does not take this");
                give_back(&self.hall, &route, vec![entry], |_| trouble.error(&route.remote));
                continue;
            }
            if !self.peering.takes(&entry.stanza) {
                let too_large = |_: &Entry| trouble::too_large(&route.remote);
                give_back(&self.hall, &route, vec![entry], too_large);
                continue;
            }
            if !self.peering.send(&entry.stanza) {
                // The pair is not open any more.
                route.detach(id, vec![entry]);
                self.freight.routes.retain(|known| !Arc::ptr_eq(known, &route));
                continue;
            }
            self.hall.shared.metrics.s2s_stanzas_out.of(entry.stanza.kind.name()).one();
            let is_suspect = entry.refusals > 0;
            self.freight.taken.push_back((route, entry));
            self.busy_at = Instant::now();
            if is_suspect && self.peering.has_acks() {
                self.ask_for_ack();
            } else {
                self.ask_now_and_then();
            }
        }
    }

    fn ask_now_and_then(&mut self) {
        if !self.peering.has_acks() {
            return;
        }
        self.freight.unasked = self.freight.unasked.saturating_add(1);
        if self.freight.unasked >= ASK_EVERY {
            self.ask_for_ack();
        } else {
            self.pace.wrote_unasked(Instant::now());
        }
    }

    /// Asks the peer what it received.
    pub(super) fn ask_for_ack(&mut self) {
        self.freight.unasked = 0;
        self.pace.asked_for_ack();
        self.peering.request_ack();
    }

    /// All is written and flushed: a peer that does not count has it, as far as we can know.
    pub(super) fn flushed(&mut self) {
        if !self.peering.has_acks() {
            self.delivered(self.freight.taken.len());
        }
    }

    /// The peer counted.
    pub(super) fn acked(&mut self) {
        let open = usize::try_from(self.peering.unacknowledged()).unwrap_or(usize::MAX);
        self.delivered(self.freight.taken.len().saturating_sub(open));
    }

    /// The peer has the first `count` stanzas.
    fn delivered(&mut self, count: usize) {
        let count = count.min(self.freight.taken.len());
        if count == 0 {
            return;
        }
        let mut rows: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        for (route, entry) in self.freight.taken.drain(..count) {
            route.forget([&entry]);
            route.note_got(1);
            if let Some(row) = entry.row {
                rows.entry(row.shard).or_default().push(row.key);
            }
        }
        for (shard, rows) in rows {
            if let Some(inbox) = self.hall.inbox(shard) {
                inbox.push(Parcel::Event(Box::new(Event::Left { rows })));
            }
        }
        if self.freight.taken.is_empty() {
            self.freight.taken = VecDeque::new();
        }
    }

    /// The peer ended the stream with an error: maybe over the first stanza that it has not
    /// acknowledged.
    pub(super) fn blame(&mut self) {
        if let Some((_, entry)) = self.freight.taken.front_mut() {
            entry.refusals = entry.refusals.saturating_add(1);
        }
    }

    /// Gives everything back that the peer has not acknowledged; nothing is carried any more.
    pub(super) fn release(&mut self) {
        let id = self.outbox.id();
        let mut back: Vec<(Arc<Route>, Vec<Entry>)> =
            self.freight.routes.drain(..).map(|route| (route, Vec::new())).collect();
        for (route, entry) in self.freight.taken.drain(..) {
            match back.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &route)) {
                Some((_, entries)) => entries.push(entry),
                None => back.push((route, vec![entry])),
            }
        }
        for (route, entries) in back {
            route.detach(id, entries);
        }
        for route in self.freight.wanted.drain(..) {
            route.call.notify_one();
        }
    }

    /// Writes what there is. Returns whether the socket takes no more.
    pub(super) fn write(&mut self, poller: &mut Poller<'_>) -> bool {
        loop {
            self.load(poller);
            let output = self.peering.output();
            if output.is_empty() {
                break;
            }
            match self.io.poll_write(poller, output) {
                Poll::Pending => return true,
                Poll::Ready(Ok(count)) => {
                    self.wants_flush = true;
                    let output = self.peering.output();
                    if count >= output.len() {
                        // An idle connection keeps no buffer.
                        *output = Vec::new();
                    } else {
                        drop(output.drain(..count));
                    }
                }
                Poll::Ready(Err(_)) => {
                    self.drop_off();
                    return false;
                }
            }
        }
        if self.wants_flush {
            match self.io.poll_flush(poller) {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) => self.wants_flush = false,
                Poll::Ready(Err(_)) => {
                    self.drop_off();
                    return false;
                }
            }
        }
        self.flushed();
        self.after_writing(poller);
        false
    }
}
