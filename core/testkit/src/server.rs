//! One domain: its shards over one store.

use std::collections::BTreeMap;

use calypte::wire::{Look, PeerVerdict};
use engine::{Engine, Event, LeavingCount, Limits, Outcome, Setup};
use table::Memory;
use xmpp::{Jid, StanzaError};

use crate::files::Folder;
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
    limits: Limits,
    admins: Vec<Jid>,
    /// What it answered, counted and logged.
    pub(crate) told: Told,
    /// How often it started: each start has its own randomness.
    starts: u64,
}

/// What a server says to its operator.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) answer: Option<Result<String, StanzaError>>,
    /// By module and name.
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) log: Vec<String>,
    /// What its modules said about a stream with another domain.
    pub(crate) verdict: Option<PeerVerdict>,
    /// What its modules want to be looked up.
    pub(crate) looks: Vec<Wanted>,
    /// Its files.
    pub(crate) folder: Folder,
}

/// Something that a module of a shard wants to be looked up.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) shard: u16,
    pub(crate) token: u64,
    pub(crate) look: Look,
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
            limits: Limits::default(),
            admins: Vec::new(),
            told: Told::default(),
            starts: 0,
        }
    }

    /// Takes the place of another server of the domain, whose data are gone: with randomness of its
    /// own.
    pub(crate) fn follow(&mut self, before: &Self) {
        self.starts = before.starts;
    }

    /// Runs with other modules from the next start on.
    pub(crate) fn use_modules(&mut self, modules: Option<&[String]>) {
        if let Some(modules) = modules {
            self.modules = modules.to_vec();
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
        self.told.looks.clear();
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
                limits: self.limits,
                admins: self.admins.clone(),
                software: ("Calypte".to_owned(), "1.2.3".to_owned()),
                started_ms: now_ms,
                components: Vec::new(),
                web_url: Some(format!("https://{}", self.domain)),
                seed: crypto::hash(seed.as_bytes()),
                secret: crypto::Secret::from(self.domain.clone()),
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

    /// Makes somebody an operator.
    pub(crate) fn add_admin(&mut self, jid: &Jid) {
        self.admins.push(jid.clone());
        for shard in &mut self.shards {
            shard.set_admins(self.admins.clone());
        }
    }

    /// Sets bounds by their names.
    pub(crate) fn limit(&mut self, limits: &toml::Table) -> Result<(), String> {
        for (name, value) in limits {
            let value = value.as_integer().and_then(|value| u64::try_from(value).ok());
            let value = value.ok_or_else(|| format!("{name} is a number"))?;
            let small = u32::try_from(value).unwrap_or(u32::MAX);
            let size = usize::try_from(value).unwrap_or(usize::MAX);
            match name.as_str() {
                "sessions" => self.limits.sessions = size,
                "queue_bytes" => self.limits.queue_bytes = size,
                "calls" => self.limits.calls = small,
                "operations" => self.limits.operations = small,
                "volatile_bytes" => self.limits.volatile_bytes = size,
                "leaving_bytes" => self.limits.leaving_bytes = size,
                "leaving_all_bytes" => self.limits.leaving_all_bytes = size,
                "resume_ms" => self.limits.resume_ms = value,
                "answer_ms" => self.limits.answer_ms = value,
                "looks" => self.limits.looks = size,
                _ => return Err(format!("no bound is called {name}")),
            }
        }
        for shard in &mut self.shards {
            shard.set_limits(self.limits);
        }
        Ok(())
    }

    /// Tells whether a domain is this one, or below it and served by a module.
    pub(crate) fn serves(&self, domain: &str) -> bool {
        let below = domain.strip_suffix(&self.domain).and_then(|rest| rest.strip_suffix('.'));
        let states = self.shards.first().map(|shard| shard.pipeline().modules());
        let mut hooks = states.iter().flatten().flat_map(|state| &state.manifest.hooks);
        domain == self.domain
            || below.is_some_and(|label| {
                hooks.any(|hook| hook.kind() == "serve" && hook.word(1) == label)
            })
    }

    /// Tells whether a module was switched off in a shard.
    pub(crate) fn is_off(&self, module: &str) -> bool {
        let mut states = self.shards.iter().flat_map(|shard| shard.pipeline().modules());
        states.any(|state| state.manifest.name == module && !state.is_on)
    }

    /// Returns the shard of an address.
    pub(crate) fn shard_of(&self, jid: &Jid) -> u16 {
        let shards = u16::try_from(self.shards.len()).unwrap_or(1);
        engine::shard_of(jid.as_ref().bare_str(), shards)
    }

    /// Returns what waits for other domains in each shard.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = LeavingCount> {
        self.shards.iter().flat_map(Engine::leaving)
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

    /// Returns the stream features that clients are offered before they log in.
    pub(crate) fn early_features(&mut self, now_ms: u64) -> Vec<String> {
        let domain = Jid::parse(&self.domain).map(|domain| self.shard_of(&domain));
        let shard = domain.map(usize::from).unwrap_or(0);
        let (store, engine) = (&self.store, self.shards.get_mut(shard));
        engine.map(|engine| engine.early_features(store, now_ms)).unwrap_or_default()
    }
}
