//! The ways between servers: what waits for each, the connections, and what befalls them.
//!
//! It does what a link has to do: one connection at a time carries what waits for a domain; what it
//! did not bring is tried again before the rest; a row is given back when the other end has counted
//! the stanza, and the other end counts a stanza when what came of it, and of all before it, is on
//! disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::Event;
use xmpp::{Condition, ErrorKind, Stanza, StanzaError};

use crate::wire::{Freight, Wire};
use crate::world::{Flaw, World};

/// What happened to stanzas between servers.
#[derive(Default)]
pub(crate) struct Ways {
    routes: BTreeMap<(usize, usize), Route>,
    wires: BTreeMap<u64, Wire>,
    next: u64,
    /// Those that were written to a connection.
    written: BTreeSet<String>,
    /// Those that were written more than once, or written and then given up: nobody knows whether
    /// they arrived.
    pub(crate) uncertain: BTreeSet<String>,
    /// Those whose sender was to be told that they cannot be delivered.
    pub(crate) given_up: BTreeSet<String>,
    /// How many connections were lost.
    pub(crate) cuts: u64,
}

#[derive(Default)]
struct Route {
    queue: VecDeque<Freight>,
    /// The connection that carries it.
    carrier: Option<u64>,
}

/// What a stanza is called in this file.
pub(crate) fn name(stanza: &Stanza) -> String {
    format!("{} {}", stanza.ty.as_deref().unwrap_or(""), stanza.id.as_deref().unwrap_or("-"))
}

impl World {
    /// Lets one thing happen between two servers.
    pub(crate) fn act_between(&mut self) {
        let from = self.chance.below(self.servers.len());
        let to = (from + 1 + self.chance.below(self.servers.len() - 1)) % self.servers.len();
        let wires: Vec<_> = self.ways.wires.keys().copied().collect();
        let wire = wires.get(self.chance.below(wires.len())).copied();
        match (self.chance.below(1000), wire) {
            (0..100, _) => self.dial(from, to),
            (100..400, Some(wire)) => self.carry_there(wire),
            (400..650, Some(wire)) => self.carry_back(wire),
            (650..880, Some(wire)) => self.load(wire),
            (880..980, Some(wire)) => self.acks(wire),
            (980..992, Some(wire)) => self.cut_wire(wire),
            (992..997, _) => self.give_up(from, to),
            _ => {}
        }
    }

    /// A stanza leaves a shard of a server.
    pub(crate) fn leave(&mut self, (server, shard): (usize, usize), to: usize, freight: Freight) {
        if freight.row.as_ref().is_some_and(|row| self.servers[server].is_answered(shard, row)) {
            return;
        }
        self.tell(|| format!("{} leaves {server} for {to}", name(&freight.stanza)));
        self.check_bound(server, shard);
        // Its sender was not told: the server was killed before.
        self.ways.given_up.remove(&name(&freight.stanza));
        let is_row = |other: &Freight| other.row.is_some() && other.row == freight.row;
        let is_same = |other: &Freight| other.shard == freight.shard && is_row(other);
        let route = self.ways.routes.entry((server, to)).or_default();
        let carrier = route.carrier.and_then(|wire| self.ways.wires.get(&wire));
        let speaker = carrier.and_then(|wire| wire.speaker.as_ref());
        let mut held = route.queue.iter().chain(speaker.iter().flat_map(|one| &one.unacked));
        // The shard was made anew and hands out again what is here already.
        if !held.any(is_same) {
            route.queue.push_back(freight);
        }
    }

    /// What waits for a domain stays within its bound, but for one stanza that always fits.
    fn check_bound(&self, server: usize, shard: usize) {
        for count in self.servers[server].leaving(shard) {
            assert!(count.bytes <= self.shape.leaving_bytes || count.stanzas == 1, "{count:?}");
        }
    }

    /// Opens a connection for a way that has none.
    fn dial(&mut self, from: usize, to: usize) {
        if self.ways.routes.entry((from, to)).or_default().carrier.is_some() {
            return;
        }
        let chance = std::array::from_fn(|_| u8::try_from(self.chance.below(256)).unwrap());
        let number = self.ways.next;
        self.ways.next += 1;
        self.tell(|| format!("connection {number} from {from} to {to}"));
        let ends = [from, to].map(|end| (end, self.servers[end].domain.clone()));
        let [(from, local), (to, remote)] = &ends;
        let wire = Wire::new((*from, local), (*to, remote), chance);
        self.ways.wires.insert(number, wire);
        self.ways.routes.entry((*from, *to)).or_default().carrier = Some(number);
    }

    /// Returns how many of the bytes on their way get there now: some, or all.
    fn some_of(&mut self, on_its_way: usize) -> usize {
        if self.chance.one_in(2) { on_its_way } else { self.chance.below(on_its_way + 1) }
    }

    fn carry_there(&mut self, number: u64) {
        let bytes = self.some_of(self.ways.wires[&number].on_its_way().0);
        self.deliver(number, bytes);
    }

    fn deliver(&mut self, number: u64, bytes: usize) {
        let wire = self.ways.wires.get_mut(&number).unwrap();
        let to = wire.to;
        let came = wire.carry_there(bytes);
        if self.shape.flaw == Flaw::AcksEarly {
            wire.handled_too_early();
        }
        if wire.is_over() {
            self.ways.wires.remove(&number);
        }
        for (index, stanza) in came {
            self.tell(|| format!("{} arrives over {number} as {index}", name(&stanza)));
            self.servers[to].arrive(stanza, (number, index));
        }
    }

    /// What came of a stanza that arrived is on disk.
    pub(crate) fn arrived(&mut self, (number, index): (u64, u64)) {
        let Some(wire) = self.ways.wires.get_mut(&number) else { return };
        if self.shape.flaw == Flaw::CountsGaps {
            wire.handled_up_to(index);
        } else {
            wire.handled(index);
        }
    }

    fn carry_back(&mut self, number: u64) {
        let bytes = self.some_of(self.ways.wires[&number].on_its_way().1);
        self.hear(number, bytes);
    }

    fn hear(&mut self, number: u64, bytes: usize) {
        let wire = self.ways.wires.get_mut(&number).unwrap();
        let from = wire.from;
        for Freight { shard, row, stanza } in wire.carry_back(bytes) {
            self.tell(|| format!("{} has arrived over {number}", name(&stanza)));
            let rows = row.into_iter().collect();
            self.servers[from].push_to(shard, Event::Left { rows });
        }
    }

    fn acks(&mut self, number: u64) {
        self.ways.wires.get_mut(&number).unwrap().acks();
    }

    /// Sends some of what waits.
    fn load(&mut self, number: u64) {
        for _ in 0..1 + self.chance.below(4) {
            let asks = self.chance.one_in(3);
            if !self.load_one(number, asks) {
                return;
            }
        }
    }

    fn load_one(&mut self, number: u64, asks: bool) -> bool {
        let wire = self.ways.wires.get_mut(&number).unwrap();
        let route = self.ways.routes.get_mut(&(wire.from, wire.to)).unwrap();
        if route.carrier != Some(number) || !wire.is_ready() {
            return false;
        }
        let Some(freight) = route.queue.pop_front() else { return false };
        let name = name(&freight.stanza);
        if !self.ways.written.insert(name.clone()) {
            self.ways.uncertain.insert(name);
        }
        wire.send(freight, asks);
        true
    }

    /// A connection is lost, in one of the ways in which connections are.
    fn cut_wire(&mut self, number: u64) {
        self.ways.cuts += 1;
        let (there, _) = self.ways.wires[&number].on_its_way();
        let left = self.chance.below(there + 1);
        let how = self.chance.below(4);
        self.tell(|| format!("connection {number} is cut: {how}"));
        let wire = self.ways.wires.get_mut(&number).unwrap();
        match how {
            // All that was written gets there, while the next connection begins.
            0 => {}
            // Some of it gets there.
            1 => wire.lose_bytes(left),
            // None of it does.
            2 => wire.lose_listener(),
            // The speaker does not notice yet.
            _ => return wire.lose_listener(),
        }
        self.lose_speaker(number);
    }

    /// The end that speaks is gone: what the other end has not acknowledged is tried again, before
    /// all else.
    fn lose_speaker(&mut self, number: u64) {
        let wire = self.ways.wires.get_mut(&number).unwrap();
        let unacked = wire.lose_speaker();
        let route = self.ways.routes.get_mut(&(wire.from, wire.to)).unwrap();
        if wire.is_over() {
            self.ways.wires.remove(&number);
        }
        if route.carrier == Some(number) {
            route.carrier = None;
        }
        if self.shape.flaw == Flaw::ResendsLast {
            return route.queue.extend(unacked);
        }
        for freight in unacked.into_iter().rev() {
            route.queue.push_front(freight);
        }
    }

    /// What waits for a domain has waited for too long.
    fn give_up(&mut self, from: usize, to: usize) {
        let Some(route) = self.ways.routes.get_mut(&(from, to)) else { return };
        if route.carrier.is_some() {
            return;
        }
        for Freight { shard, row, stanza } in std::mem::take(&mut route.queue) {
            let name = name(&stanza);
            self.tell(|| format!("{name} is given up"));
            if self.ways.written.contains(&name) {
                self.ways.uncertain.insert(name.clone());
            }
            self.ways.given_up.insert(name);
            let error = StanzaError::new(ErrorKind::Wait, Condition::RemoteServerTimeout);
            // Whoever asks twice is answered once.
            for _ in 0..1 + self.chance.below(2) {
                let (row, stanza, error) = (row.clone(), stanza.clone(), error.clone());
                let event = Event::Undeliverable { row, stanza, error };
                self.servers[from].push_to(shard, event);
            }
        }
    }

    /// A server is killed: its ends of all connections are gone, and what waited in its memory.
    pub(crate) fn forget_ways(&mut self, server: usize) {
        let numbers: Vec<_> = self.ways.wires.keys().copied().collect();
        for number in numbers {
            let wire = self.ways.wires.get_mut(&number).unwrap();
            if wire.to == server {
                wire.lose_listener();
            }
            if wire.from == server {
                self.lose_speaker(number);
            }
        }
        for ((from, _), route) in &mut self.ways.routes {
            if *from == server {
                route.queue.clear();
                route.carrier = None;
            }
        }
        self.ways.wires.retain(|_, wire| !wire.is_over());
    }

    /// Carries everything everywhere once. Returns whether there was something.
    pub(crate) fn carry_all(&mut self) -> bool {
        let mut is_busy = false;
        let idle = self
            .ways
            .routes
            .iter()
            .filter(|(_, route)| route.carrier.is_none() && !route.queue.is_empty());
        for (from, to) in idle.map(|(ends, _)| *ends).collect::<Vec<_>>() {
            self.dial(from, to);
        }
        for number in self.ways.wires.keys().copied().collect::<Vec<_>>() {
            let wire = &self.ways.wires[&number];
            if wire.listener.is_none() {
                // By now everybody notices.
                self.lose_speaker(number);
                is_busy = true;
                continue;
            }
            while self.load_one(number, false) {
                is_busy = true;
            }
            self.acks(number);
            let (there, back) = self.ways.wires[&number].on_its_way();
            is_busy |= there > 0 || back > 0;
            self.hear(number, back);
            self.deliver(number, there);
        }
        is_busy
    }

    /// Returns how many stanzas wait for other domains, in the engines.
    pub(crate) fn waiting(&self) -> usize {
        let shards =
            |server: usize| (0..self.servers[server].shards()).map(move |one| (server, one));
        let all = (0..self.servers.len()).flat_map(shards);
        let counts = all.flat_map(|(server, shard)| self.servers[server].leaving(shard));
        counts.map(|count| count.stanzas).sum()
    }
}
