//! Shards over one store, without modules or with one that looks on.

use std::collections::VecDeque;

use abi::Instance;
use calypte::prelude::*;
use calypte::tables::{ACCOUNTS, Account};
use calypte::wire::LoginFacts;
use engine::{Effect, Engine, Event, Limits, Manifest, Outcome, Pipeline, Setup, shard_of};
use table::{Batch, Memory, full_key};
use xmpp::Stanza;

pub(crate) const START_MS: u64 = 1_767_225_600_000;
pub(crate) const JULIET: &str = "juliet@capulet.example";
pub(crate) const NURSE: &str = "nurse@capulet.example";

/// Wants TLS 1.3, fills the session of who asks for it, and says when a session is over.
#[derive(Debug)]
struct Guard;

calypte::export!(Guard);

#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Row;

record!(Row, 1);

const ROWS: Table<str, Row> = Table::account("guard.rows");

impl Module for Guard {
    const NAME: &'static str = "guard";
    const ABOUT: &'static str = "Wants TLS 1.3.";
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::channel(Self::check),
        Hook::iq_set(On::Account, "urn:x", "fill", Self::fill),
        Hook::iq_set(On::Account, "urn:x", "wake", Self::wake),
        Hook::iq_set(On::Account, "urn:x", "keep", Self::keep),
        Hook::iq_set(On::Account, "urn:x", "lose", Self::lose),
        Hook::iq_set(On::Account, "urn:x", "count", Self::count),
        Hook::iq_set(On::Account, "urn:x", "report", Self::report),
        Hook::wake(Self::woken),
        Hook::acked(Self::acked),
        Hook::closed(Self::fails),
        Hook::closed(Self::closed),
    ];
    type Config = NoConfig;

    fn setup(_: NoConfig) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl Guard {
    fn check(&self, login: &Login<'_>, _: &mut Context<'_, '_>) -> Done {
        if login.facts().tls == "TLSv1.3" { Ok(()) } else { Err(StanzaError::POLICY_VIOLATION) }
    }

    fn fill(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let resource = cx.session()?.resource;
        for _ in 0..10 {
            cx.deliver_xml(&resource, "<message type='headline'><body>much</body></message>")?;
        }
        Ok(Reply::Empty)
    }

    fn acked(&self, message: StanzaRef<'_>, cx: &mut Context<'_, '_>) -> Done {
        let (id, owner) = (message.id.unwrap_or(""), cx.owner_jid());
        cx.send_xml(&format!("<message to='{NURSE}' type='headline' id='{owner} has {id}'/>"))
    }

    fn wake(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        cx.wake_at(cx.now_ms() + 1000, "alarm").map(|()| Reply::Empty)
    }

    fn keep(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        cx.put(&ROWS, "one", &Row).map(|()| Reply::Empty)
    }

    /// Deletes the only row, sees that there is none any more, and fails.
    fn lose(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        cx.delete(&ROWS, "one")?;
        assert!(cx.all(&ROWS, 9)?.is_empty() && cx.get(&ROWS, "one")?.is_none());
        Err(StanzaError::INTERNAL)
    }

    /// Tells how many rows there are, by a scan and by looking for them.
    fn count(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let found = [cx.get(&ROWS, "one")?, cx.get(&ROWS, "two")?];
        let counts = (cx.all(&ROWS, 9)?.len(), found.iter().flatten().count());
        cx.send_xml(&format!("<message to='{NURSE}' type='headline' id='{counts:?}'/>"))?;
        Ok(Reply::Empty)
    }

    /// Tells the domain, and somebody else.
    fn report(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        for to in ["capulet.example", NURSE] {
            cx.send_xml(&format!("<message to='{to}' type='headline' id='report'/>"))?;
        }
        Ok(Reply::Empty)
    }

    fn woken(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        cx.send_xml(&format!("<message to='{NURSE}' type='headline' id='{name}'/>"))
    }

    fn fails(&self, _: &mut Context<'_, '_>) -> Done {
        Err(StanzaError::INTERNAL)
    }

    fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.send_xml(&format!("<message to='{NURSE}' type='headline' id='over'/>"))
    }
}

pub(crate) fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

pub(crate) fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml).unwrap()
}

pub(crate) fn login(tls: &str) -> Box<LoginFacts> {
    Box::new(LoginFacts {
        mechanism: "SCRAM-SHA-256".into(),
        tls: tls.into(),
        ..LoginFacts::default()
    })
}

/// Shards over one store, and what they wanted done.
pub(crate) struct World {
    pub(crate) shards: Vec<Engine>,
    pub(crate) store: Memory,
    pub(crate) now_ms: u64,
    pub(crate) limits: Limits,
    pub(crate) guarded: bool,
    /// Whether stanzas that cross get to the other shard.
    pub(crate) crosses: bool,
    pub(crate) effects: Vec<Effect>,
    pub(crate) wake_at: Option<u64>,
}

impl World {
    pub(crate) fn new(shards: u16, limits: Limits, guarded: bool) -> Self {
        let mut world = Self {
            shards: Vec::new(),
            store: Memory::default(),
            now_ms: START_MS,
            limits,
            guarded,
            crosses: true,
            effects: Vec::new(),
            wake_at: None,
        };
        let mut batch = Batch::default();
        for name in ["juliet", "nurse"] {
            let account = Account::default();
            let key = full_key(ACCOUNTS.name, "", &ACCOUNTS.encode_key(name));
            batch.put(key, ACCOUNTS.encode(&account));
        }
        world.store.apply(&batch);
        for _ in 0..shards {
            world.start(shards);
        }
        world
    }

    pub(crate) fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::default();
        if self.guarded {
            let instance = Instance::bundled(&MODULE, "").unwrap();
            pipeline.add(instance, Manifest::read(MODULE.manifest()).unwrap());
        }
        pipeline
    }

    /// Starts the next shard with what is in the store.
    pub(crate) fn start(&mut self, shards: u16) {
        let pipeline = self.pipeline();
        let shard = u16::try_from(self.shards.len()).unwrap();
        let setup = Setup {
            domain: jid("capulet.example"),
            shard,
            shards,
            limits: self.limits,
            admins: Vec::new(),
            software: ("Calypte".into(), "1".into()),
            started_ms: self.now_ms,
            components: Vec::new(),
            web_url: None,
            seed: [u8::try_from(shard).unwrap(); 32],
            secret: crypto::Secret::new(vec![1; 32]),
        };
        let (engine, outcome) = Engine::new(setup, pipeline, &self.store, self.now_ms).unwrap();
        self.shards.push(engine);
        self.release(outcome);
    }

    /// All shards end without a word and start from the store.
    pub(crate) fn crash(&mut self) {
        let shards = u16::try_from(self.shards.len()).unwrap();
        self.shards.clear();
        self.effects.clear();
        for _ in 0..shards {
            self.start(shards);
        }
    }

    pub(crate) fn release(&mut self, outcome: Outcome) {
        self.store.apply(&outcome.writes);
        self.wake_at = outcome.wake_at;
        let mut legs = VecDeque::new();
        for effect in outcome.effects {
            match effect {
                Effect::Leg { shard, leg } if self.crosses => legs.push_back((shard, leg)),
                effect => self.effects.push(effect),
            }
        }
        for (shard, leg) in legs {
            self.step(shard, Event::Leg(leg));
        }
    }

    pub(crate) fn step(&mut self, shard: u16, event: Event) {
        let engine = &mut self.shards[usize::from(shard)];
        let outcome = engine.step(self.now_ms, event, &self.store);
        self.release(outcome);
    }

    pub(crate) fn shard(&self, account: &str) -> u16 {
        shard_of(account, u16::try_from(self.shards.len()).unwrap())
    }

    pub(crate) fn tell(&mut self, account: &str, event: Event) {
        self.step(self.shard(account), event);
    }

    pub(crate) fn open(&mut self, session: u64, address: &str) {
        let jid = jid(address);
        let account = jid.bare();
        self.tell(account.as_str(), Event::Opened { session, jid, login: login("TLSv1.3") });
    }

    pub(crate) fn sends(&mut self, session: u64, account: &str, xml: &str) {
        self.tell(account, Event::Sent { session, stanza: stanza(xml) });
    }

    /// Turns resumption on and returns the token.
    pub(crate) fn enable(&mut self, session: u64, account: &str) -> String {
        self.tell(account, Event::Enable { session, resume: true });
        let token = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Enabled { token, .. } => token.clone(),
            _ => None,
        });
        token.unwrap()
    }

    pub(crate) fn resume(&mut self, session: u64, token: &str, h: u32, tls: &str) {
        let (account, token) = (jid(JULIET), token.to_owned());
        let login = login(tls);
        let event = Event::Resume { session, account, token, h, login, fresh: None };
        self.tell(JULIET, event);
    }

    /// Returns the ids of what a session got since the last call.
    pub(crate) fn heard(&mut self, by: u64) -> Vec<String> {
        let mut ids = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::ToSession { session, stanza } if *session == by => {
                ids.push(stanza.id.as_deref().unwrap_or("").to_owned());
                false
            }
            _ => true,
        });
        ids
    }

    /// Returns the conditions of the errors that a session got, and forgets what it got.
    pub(crate) fn errors(&mut self, by: u64) -> Vec<&'static str> {
        let mut found = Vec::new();
        for effect in std::mem::take(&mut self.effects) {
            let Effect::ToSession { session, stanza } = effect else { continue };
            if session != by || stanza.ty.as_deref() != Some("error") {
                continue;
            }
            let error = stanza.view().child(ns::CLIENT, "error");
            let condition = error.and_then(|error| error.children().next());
            let condition = condition.and_then(|condition| Condition::of(condition.name()));
            found.extend(condition.map(Condition::name));
        }
        found
    }

    pub(crate) fn closed(&self, by: u64) -> Option<StreamError> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Close { session, why } if *session == by => Some(*why),
            _ => None,
        })
    }

    /// Returns the ids of errors on their way to another shard.
    pub(crate) fn bounced(&self) -> Vec<String> {
        let ids = self.effects.iter().filter_map(|effect| match effect {
            Effect::Leg { leg, .. } if leg.stanza.ty.as_deref() == Some("error") => {
                leg.stanza.id.as_deref().map(str::to_owned)
            }
            _ => None,
        });
        ids.collect()
    }
}

pub(crate) fn chat(to: &str, id: &str) -> String {
    format!("<message to='{to}' type='chat' id='{id}'><body>x</body></message>")
}
