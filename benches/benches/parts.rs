//! A domain with one shard and two people, Ana and Ben, who are both available.

use abi::{Instance, RawModule};
use calypte::wire::LoginFacts;
use engine::{Effect, Engine, Event, Limits, Manifest, Outcome, Pipeline, Setup};
use table::{Batch, Key, Memory, full_key};
use xmpp::{Jid, Stanza};

/// Ana's session.
pub(crate) const ANA: u64 = 1;
/// Ben's session.
pub(crate) const BEN: u64 = 2;

/// See the file.
pub(crate) struct Domain {
    engine: Engine,
    store: Memory,
    now_ms: u64,
}

fn login() -> LoginFacts {
    LoginFacts {
        mechanism: "SCRAM-SHA-256-PLUS".to_owned(),
        channel_bound: true,
        tls: "TLSv1.3".to_owned(),
        ..LoginFacts::default()
    }
}

/// Returns instances of modules inside the program.
pub(crate) fn bundled(modules: &[&'static RawModule]) -> Pipeline {
    let mut pipeline = Pipeline::default();
    for module in modules {
        let instance = Instance::bundled(module, "").unwrap();
        pipeline.add(instance, Manifest::read(module.manifest()).unwrap());
    }
    pipeline
}

impl Domain {
    /// Returns the domain, with modules.
    pub(crate) fn new(pipeline: Pipeline) -> Self {
        let domain = Jid::parse("a.example").unwrap();
        let setup = Setup {
            domain,
            shard: 0,
            shards: 1,
            limits: Limits::default(),
            admins: Vec::new(),
            software: ("Calypte".to_owned(), "0".to_owned()),
            started_ms: 1,
            components: Vec::new(),
            web_url: None,
            seed: [7; 32],
            secret: crypto::Secret::new(vec![8; 32]),
        };
        let mut store = Memory::default();
        let mut batch = Batch::default();
        for name in ["ana", "ben"] {
            let mut key = Vec::new();
            name.encode(&mut key);
            batch.put(full_key("accounts", "", &key), Vec::new());
        }
        store.apply(&batch);
        let (engine, _) = Engine::new(setup, pipeline, &store, 1).unwrap();
        let mut all = Self { engine, store, now_ms: 1 };
        for (session, name) in [(ANA, "ana@a.example/phone"), (BEN, "ben@a.example/phone")] {
            let jid = Jid::parse(name).unwrap();
            all.step(Event::Opened { session, jid, login: Box::new(login()) });
            let stanza = Stanza::parse("<presence/>").unwrap();
            all.step(Event::Sent { session, stanza });
        }
        all
    }

    /// Takes an event through the shard, as the host does, with a store that keeps all at once.
    pub(crate) fn step(&mut self, event: Event) -> Outcome {
        self.now_ms += 1;
        let outcome = self.engine.step(self.now_ms, event, &self.store);
        self.store.apply(&outcome.writes);
        outcome
    }

    /// Returns the shard, what it wrote, and the time.
    pub(crate) fn into_parts(self) -> (Engine, Memory, u64) {
        (self.engine, self.store, self.now_ms)
    }

    /// Sends a stanza of Ana's and returns how many stanzas go to clients.
    pub(crate) fn send(&mut self, stanza: &Stanza) -> usize {
        let outcome = self.step(Event::Sent { session: ANA, stanza: stanza.clone() });
        let is_delivery = |effect: &&Effect| matches!(effect, Effect::ToSession { .. });
        outcome.effects.iter().filter(is_delivery).count()
    }
}
