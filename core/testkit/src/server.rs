//! One domain: its shards over one store.

use engine::{Engine, Event, Limits, Outcome, Setup};
use table::Memory;
use xmpp::Jid;

use crate::modules::{Catalog, Form};

/// A domain.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) domain: String,
    modules: Vec<String>,
    settings: toml::Table,
    shards: Vec<Engine>,
    /// When each shard wants to be woken.
    wakes: Vec<Option<u64>>,
    pub(crate) store: Memory,
    /// How often it started: each start has its own randomness.
    starts: u64,
}

impl Server {
    pub(crate) fn new(domain: &str, modules: &[String], settings: &toml::Table) -> Self {
        Self {
            domain: domain.to_owned(),
            modules: modules.to_vec(),
            settings: settings.clone(),
            shards: Vec::new(),
            wakes: Vec::new(),
            store: Memory::default(),
            starts: 0,
        }
    }

    /// Starts it with what is in the store, and returns what that causes, by shard.
    pub(crate) fn start(
        &mut self,
        catalog: &Catalog,
        form: Form,
        shards: u16,
        now_ms: u64,
    ) -> Result<Vec<(u16, Outcome)>, String> {
        self.starts += 1;
        self.shards.clear();
        self.wakes.clear();
        let domain =
            Jid::parse(&self.domain).map_err(|_| format!("{} is no domain", self.domain))?;
        let mut outcomes = Vec::new();
        for shard in 0..shards {
            let pipeline = catalog.pipeline(form, &self.modules, &self.settings)?;
            let seed = format!("{} {} {shard}", self.domain, self.starts);
            let setup = Setup {
                domain: domain.clone(),
                shard,
                shards,
                limits: Limits::default(),
                software: ("Calypte".to_owned(), "1.2.3".to_owned()),
                started_ms: now_ms,
                seed: crypto::hash(seed.as_bytes()),
            };
            let (engine, outcome) = Engine::new(setup, pipeline, &self.store, now_ms)
                .map_err(|error| error.to_string())?;
            self.store.apply(&outcome.writes);
            self.shards.push(engine);
            self.wakes.push(outcome.wake_at);
            outcomes.push((shard, outcome));
        }
        Ok(outcomes)
    }

    /// Takes an event through a shard. What it writes is in the store before this returns.
    pub(crate) fn step(&mut self, shard: u16, now_ms: u64, event: Event) -> Outcome {
        let index = usize::from(shard);
        let (Some(engine), Some(wake)) = (self.shards.get_mut(index), self.wakes.get_mut(index))
        else {
            return Outcome::default();
        };
        let outcome = engine.step(now_ms, event, &self.store);
        self.store.apply(&outcome.writes);
        *wake = outcome.wake_at;
        outcome
    }

    /// Returns the shard of an address.
    pub(crate) fn shard_of(&self, jid: &Jid) -> u16 {
        let shards = u16::try_from(self.shards.len()).unwrap_or(1);
        engine::shard_of(jid.as_ref().bare_str(), shards)
    }

    /// Returns the earliest time that a shard wants to be woken.
    pub(crate) fn next_wake(&self) -> Option<(u64, u16)> {
        let wakes = self.wakes.iter().zip(0..);
        wakes.filter_map(|(at, shard)| Some(((*at)?, shard))).min()
    }

    /// Returns the stream features that clients are offered.
    pub(crate) fn features(&mut self, now_ms: u64) -> Vec<String> {
        let store = &self.store;
        let first = self.shards.first_mut();
        first.map(|engine| engine.stream_features(store, now_ms)).unwrap_or_default()
    }
}
