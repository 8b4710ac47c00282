//! One domain over a store that loses what was not synced.
//!
//! It does what the host does: an engine's writes are submitted, its effects wait behind them and
//! behind those that wait already, and are let go when the ticket is on disk.

use std::collections::{BTreeMap, VecDeque};

use abi::{Instance, RawModule};
use calypte::tables::{ACCOUNTS, Account};
use engine::{Effect, Engine, Event, LeavingCount, Limits, Manifest, Outcome, Pipeline, Setup};
use store::Crashing;
use table::{Batch, Overlay, Ticket, full_key};
use xmpp::{Jid, Stanza};

use crate::world::{Flaw, Shape};

/// The modules of a server, in order.
const MODULES: [&RawModule; 4] =
    [&roster::MODULE, &presence::MODULE, &offline::MODULE, &csi::MODULE];
/// How long a connection may come back.
pub(crate) const RESUME_MS: u64 = 60_000;

pub(crate) struct Server {
    pub(crate) domain: Jid,
    shape: Shape,
    store: Crashing,
    durable: Ticket,
    shards: Vec<Shard>,
    starts: u8,
}

struct Shard {
    engine: Engine,
    overlay: Overlay,
    inbox: VecDeque<(Event, Option<Cause>)>,
    pending: VecDeque<Pending>,
    wake_at: Option<u64>,
}

struct Pending {
    ticket: Ticket,
    effects: Vec<Effect>,
    cause: Option<Cause>,
}

/// Whose stanza something comes of.
#[derive(Clone, Copy)]
pub(crate) enum Cause {
    /// That of a session.
    Session(u64),
    /// That which came over a connection to another domain, and its number there.
    Wire(u64, u64),
}

/// What a server lets go.
pub(crate) enum Out {
    Effect(Effect),
    /// A stanza is handled, and all that came of it is on disk.
    Handled(Cause),
}

impl Server {
    pub(crate) fn new(domain: &str, shape: Shape, accounts: &[Jid], now_ms: u64) -> Self {
        let mut store = Crashing::default();
        let mut batch = Batch::default();
        for account in accounts {
            let key = ACCOUNTS.encode_key(account.local().unwrap());
            batch.put(full_key(ACCOUNTS.name, "", &key), ACCOUNTS.encode(&Account::default()));
        }
        store.submit(batch);
        let durable = store.sync(1);
        let domain = Jid::parse(domain).unwrap();
        let mut server = Self { domain, shape, store, durable, shards: Vec::new(), starts: 0 };
        server.start(shape.shards, now_ms);
        server
    }

    /// Starts from what is on disk.
    fn start(&mut self, shards: u16, now_ms: u64) {
        self.starts = self.starts.wrapping_add(1);
        self.shards.clear();
        for number in 0..shards {
            let setup = self.setup(number, shards, now_ms);
            let store = self.store.durable();
            let (engine, outcome) = Engine::new(setup, pipeline(), store, now_ms).unwrap();
            let (overlay, inbox, pending) = Default::default();
            self.shards.push(Shard { engine, overlay, inbox, pending, wake_at: None });
            self.accept(usize::from(number), outcome, None);
        }
    }

    fn setup(&self, number: u16, shards: u16, now_ms: u64) -> Setup {
        let mut seed = [self.starts; 32];
        seed[0] = u8::try_from(number).unwrap();
        Setup {
            domain: self.domain.clone(),
            shard: number,
            shards,
            limits: Limits {
                resume_ms: RESUME_MS,
                leaving_bytes: self.shape.leaving_bytes,
                ..Limits::default()
            },
            admins: Vec::new(),
            software: ("Calypte".to_owned(), "1".to_owned()),
            started_ms: now_ms,
            components: Vec::new(),
            web_url: None,
            seed,
            secret: crypto::Secret::new(vec![1; 32]),
        }
    }

    /// The engine of a shard panicked and is made anew; what it decided before still holds. Of what
    /// waits for it only that goes on to wait which nobody would say again: the connections that the
    /// rest is about are closed.
    pub(crate) fn fall(&mut self, number: usize, now_ms: u64) {
        self.starts = self.starts.wrapping_add(1);
        for (event, cause) in std::mem::take(&mut self.shards[number].inbox) {
            match event {
                Event::Left { rows } => {
                    let mut writes = Batch::default();
                    rows.into_iter().for_each(|row| writes.delete(row));
                    let ticket = self.store.submit(writes.clone());
                    self.shards[number].overlay.add(ticket, &writes);
                }
                Event::Arriving(_) | Event::Undeliverable { .. } => {
                    self.shards[number].inbox.push_back((event, cause));
                }
                _ => {}
            }
        }
        let shards = u16::try_from(self.shards.len()).unwrap();
        let setup = self.setup(u16::try_from(number).unwrap(), shards, now_ms);
        let shard = &mut self.shards[number];
        let store = shard.overlay.over(self.store.durable());
        let (engine, outcome) = Engine::new(setup, pipeline(), &store, now_ms).unwrap();
        shard.engine = engine;
        self.accept(number, outcome, None);
    }

    /// Ends without a word and starts again. What was not synced is gone.
    pub(crate) fn crash(&mut self, now_ms: u64) {
        self.store.crash();
        self.start(u16::try_from(self.shards.len()).unwrap(), now_ms);
    }

    pub(crate) fn push(&mut self, account: &Jid, event: Event) {
        let shard = self.shard_of(account);
        self.push_to(shard, event);
    }

    pub(crate) fn push_to(&mut self, shard: usize, event: Event) {
        let cause = match &event {
            Event::Sent { session, .. } | Event::Malformed { session, .. } => {
                Some(Cause::Session(*session))
            }
            _ => None,
        };
        self.shards[shard].inbox.push_back((event, cause));
    }

    /// A stanza came from another domain, over a connection.
    pub(crate) fn arrive(&mut self, stanza: Stanza, (wire, number): (u64, u64)) {
        let shard = self.shard_of(stanza.to.as_ref().unwrap());
        let cause = Some(Cause::Wire(wire, number));
        self.shards[shard].inbox.push_back((Event::Arriving(stanza), cause));
    }

    /// Tells whether a shard is about to hear what became of a stanza that left.
    pub(crate) fn is_answered(&self, shard: usize, row: &Vec<u8>) -> bool {
        self.shards[shard].inbox.iter().any(|(event, _)| match event {
            Event::Left { rows } => rows.contains(row),
            Event::Undeliverable { row: other, .. } => other.as_ref() == Some(row),
            _ => false,
        })
    }

    /// Tells whether a stanza still waits for another domain in a shard.
    pub(crate) fn waits(&self, shard: usize, row: &[u8]) -> bool {
        self.shards[shard].engine.waits(row)
    }

    /// Returns what waits for other domains in a shard.
    pub(crate) fn leaving(&self, shard: usize) -> Vec<LeavingCount> {
        self.shards[shard].engine.leaving()
    }

    pub(crate) fn shard_of(&self, jid: &Jid) -> usize {
        let shards = u16::try_from(self.shards.len()).unwrap();
        usize::from(engine::shard_of(jid.as_ref().bare_str(), shards))
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Takes the next event of a shard, or the timer when it is due. Returns whether there was one.
    pub(crate) fn step(&mut self, number: usize, now_ms: u64) -> bool {
        let shard = &mut self.shards[number];
        let (event, cause) = match shard.inbox.pop_front() {
            Some(next) => next,
            None if shard.wake_at.is_some_and(|at| at <= now_ms) => (Event::Tick, None),
            None => return false,
        };
        let store = shard.overlay.over(self.store.durable());
        let outcome = shard.engine.step(now_ms, event, &store);
        self.accept(number, outcome, cause);
        true
    }

    fn accept(&mut self, number: usize, outcome: Outcome, cause: Option<Cause>) {
        let Outcome { mut writes, effects, wake_at } = outcome;
        if self.shape.flaw == Flaw::NoRow {
            writes.ops.retain(|(key, _)| !key.starts_with(b"engine.leaving\0"));
        }
        let shard = &mut self.shards[number];
        shard.wake_at = wake_at;
        let mut ticket = 0;
        if !writes.is_empty() {
            ticket = self.store.submit(writes.clone());
            shard.overlay.add(ticket, &writes);
        }
        shard.pending.push_back(Pending { ticket, effects, cause });
    }

    /// Makes the oldest batches durable.
    pub(crate) fn sync(&mut self, batches: usize) {
        self.durable = self.store.sync(batches);
    }

    /// Lets go the oldest effects of a shard, when what they wait for is on disk.
    pub(crate) fn release(&mut self, number: usize) -> Option<Vec<Out>> {
        let durable = self.durable;
        let shard = &mut self.shards[number];
        shard.overlay.settle(durable);
        let pending = shard.pending.pop_front_if(|first| first.ticket <= durable)?;
        let mut out: Vec<_> = pending.effects.into_iter().map(Out::Effect).collect();
        out.extend(pending.cause.map(Out::Handled));
        Some(out)
    }

    /// Returns how many rows each table has, for a run that is told.
    pub(crate) fn tables(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (key, _) in self.store.durable().rows() {
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            *counts.entry(String::from_utf8_lossy(name).into_owned()).or_default() += 1;
        }
        counts
    }
}

fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::default();
    for module in MODULES {
        let instance = Instance::bundled(module, "").unwrap();
        pipeline.add(instance, Manifest::read(module.manifest()).unwrap());
    }
    pipeline
}
