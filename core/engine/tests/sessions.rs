//! Sessions that are lost, resumed and ended, seen from outside the engine.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::VecDeque;

use abi::Instance;
use calypte::prelude::*;
use calypte::tables::{ACCOUNTS, Account, Verifier};
use calypte::wire::LoginFacts;
use engine::{Effect, Engine, Event, Leg, Limits, Manifest, Outcome, Pipeline, Setup, shard_of};
use table::{Batch, Memory, full_key};
use xmpp::Stanza;

const START_MS: u64 = 1_767_225_600_000;
const JULIET: &str = "juliet@capulet.example";
const NURSE: &str = "nurse@capulet.example";

/// Wants TLS 1.3, fills the session of who asks for it, and says when a session is over.
#[derive(Debug)]
struct Guard;

calypte::export!(Guard);

impl Module for Guard {
    const NAME: &'static str = "guard";
    const ABOUT: &'static str = "Wants TLS 1.3.";
    const HOOKS: &'static [Hook<Self>] = &[
        Hook::channel(Self::check),
        Hook::iq_set(On::Account, "urn:x", "fill", Self::fill),
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

    fn fails(&self, _: &mut Context<'_, '_>) -> Done {
        Err(StanzaError::INTERNAL)
    }

    fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.send_xml(&format!("<message to='{NURSE}' type='headline' id='over'/>"))
    }
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml).unwrap()
}

fn login(tls: &str) -> Box<LoginFacts> {
    Box::new(LoginFacts {
        mechanism: "SCRAM-SHA-256".into(),
        channel_bound: false,
        tls: tls.into(),
        exporter: None,
        client_key: None,
        user_agent: None,
    })
}

/// Shards over one store, and what they wanted done.
struct World {
    shards: Vec<Engine>,
    store: Memory,
    now_ms: u64,
    limits: Limits,
    guarded: bool,
    /// Whether stanzas that cross get to the other shard.
    crosses: bool,
    effects: Vec<Effect>,
    wake_at: Option<u64>,
}

impl World {
    fn new(shards: u16, limits: Limits, guarded: bool) -> Self {
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
            let row =
                || Verifier { salt: vec![], iterations: 1, stored_key: vec![], server_key: vec![] };
            let account = Account {
                sha1: row(),
                sha256: row(),
                sha512: row(),
                disabled: false,
                created_ms: 0,
            };
            let key = full_key(ACCOUNTS.name, "", &ACCOUNTS.encode_key(name));
            batch.put(key, ACCOUNTS.encode(&account));
        }
        world.store.apply(&batch);
        for _ in 0..shards {
            world.start(shards);
        }
        world
    }

    /// Starts the next shard with what is in the store.
    fn start(&mut self, shards: u16) {
        let mut pipeline = Pipeline::default();
        if self.guarded {
            let instance = Instance::bundled(&MODULE, "").unwrap();
            pipeline.add(instance, Manifest::read(MODULE.manifest()).unwrap());
        }
        let shard = u16::try_from(self.shards.len()).unwrap();
        let setup = Setup {
            domain: jid("capulet.example"),
            shard,
            shards,
            limits: self.limits,
            admins: Vec::new(),
            software: ("Calypte".into(), "1".into()),
            started_ms: self.now_ms,
            seed: [u8::try_from(shard).unwrap(); 32],
        };
        let (engine, outcome) = Engine::new(setup, pipeline, &self.store, self.now_ms).unwrap();
        self.shards.push(engine);
        self.release(outcome);
    }

    /// All shards end without a word and start from the store.
    fn crash(&mut self) {
        let shards = u16::try_from(self.shards.len()).unwrap();
        self.shards.clear();
        self.effects.clear();
        for _ in 0..shards {
            self.start(shards);
        }
    }

    fn release(&mut self, outcome: Outcome) {
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

    fn step(&mut self, shard: u16, event: Event) {
        let engine = &mut self.shards[usize::from(shard)];
        let outcome = engine.step(self.now_ms, event, &self.store);
        self.release(outcome);
    }

    fn shard(&self, account: &str) -> u16 {
        shard_of(account, u16::try_from(self.shards.len()).unwrap())
    }

    fn tell(&mut self, account: &str, event: Event) {
        self.step(self.shard(account), event);
    }

    fn open(&mut self, session: u64, address: &str) {
        let jid = jid(address);
        let account = jid.bare();
        self.tell(account.as_str(), Event::Opened { session, jid, login: login("TLSv1.3") });
    }

    fn sends(&mut self, session: u64, account: &str, xml: &str) {
        self.tell(account, Event::Sent { session, stanza: stanza(xml) });
    }

    /// Turns resumption on and returns the token.
    fn enable(&mut self, session: u64, account: &str) -> String {
        self.tell(account, Event::Enable { session, resume: true });
        let token = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Enabled { token, .. } => token.clone(),
            _ => None,
        });
        token.unwrap()
    }

    fn resume(&mut self, session: u64, token: &str, h: u32, tls: &str) {
        let (account, token) = (jid(JULIET), token.to_owned());
        let event = Event::Resume { session, account, token, h, login: login(tls) };
        self.tell(JULIET, event);
    }

    /// Returns the ids of what a session got since the last call.
    fn heard(&mut self, by: u64) -> Vec<String> {
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

    fn closed(&self, by: u64) -> Option<StreamError> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Close { session, why } if *session == by => Some(*why),
            _ => None,
        })
    }

    /// Returns the ids of errors on their way to another shard.
    fn bounced(&self) -> Vec<String> {
        let ids = self.effects.iter().filter_map(|effect| match effect {
            Effect::Leg { leg, .. } if leg.stanza.ty.as_deref() == Some("error") => {
                leg.stanza.id.as_deref().map(str::to_owned)
            }
            _ => None,
        });
        ids.collect()
    }
}

fn chat(to: &str, id: &str) -> String {
    format!("<message to='{to}' type='chat' id='{id}'><body>x</body></message>")
}

/// Juliet has two devices, of which the first is lost.
fn two_devices() -> World {
    let mut world = World::new(1, Limits::default(), false);
    world.open(1, "juliet@capulet.example/phone");
    world.enable(1, JULIET);
    world.sends(1, JULIET, "<presence/>");
    world.open(2, "juliet@capulet.example/laptop");
    world.open(3, "nurse@capulet.example/garden");
    world.now_ms += 10;
    world
}

#[test]
fn what_another_device_got_is_not_sent_to_it_again() {
    let mut world = two_devices();
    world.sends(2, JULIET, "<presence/>");
    world.now_ms += 10;
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.sends(3, NURSE, &chat("juliet@capulet.example/phone", "m2"));
    assert_eq!(world.heard(2), ["m1"]);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(2), ["m2"]);
    assert_eq!(world.heard(3), [""; 0]);
}

#[test]
fn what_came_before_another_device_goes_to_it() {
    let mut world = two_devices();
    world.tell(JULIET, Event::Detached { session: 1 });
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.now_ms += 10;
    world.sends(2, JULIET, "<presence/>");
    world.sends(2, JULIET, "<presence><priority>3</priority></presence>");
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(2), ["m1"]);
}

#[test]
fn a_restart_does_not_forget_who_got_what() {
    let mut world = two_devices();
    let laptop = world.enable(2, JULIET);
    world.enable(3, NURSE);
    world.sends(2, JULIET, "<presence/>");
    world.now_ms += 10;
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.crash();
    world.resume(4, &laptop, 0, "TLSv1.3");
    let unacked = world.effects.iter().find_map(|effect| match effect {
        Effect::Resumed { unacked, .. } => Some(unacked.clone()),
        _ => None,
    });
    assert_eq!(unacked.unwrap()[0].id.as_deref(), Some("m1"));
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(4), [""; 0]);
}

#[test]
fn copies_for_a_lost_session_are_for_nobody_else() {
    let mut world = two_devices();
    world.sends(2, JULIET, "<presence/>");
    let copy = chat("juliet@capulet.example/phone", "copy");
    let mut copy = stanza(&copy);
    copy.from = Some(jid(JULIET));
    let leg = Leg { stanza: copy, is_assured: false, since_ms: None, transit: None };
    world.tell(JULIET, Event::Leg(leg));
    assert_eq!(world.heard(1), ["copy"]);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert_eq!(world.heard(2), [""; 0]);
}

/// Two shards of which one has juliet and the other romeo; nothing gets from one to the other.
fn apart(limits: Limits) -> World {
    let mut world = World::new(2, limits, false);
    assert_ne!(world.shard(JULIET), world.shard(NURSE));
    world.crosses = false;
    world.open(3, "nurse@capulet.example/garden");
    world.enable(3, NURSE);
    world
}

#[test]
fn what_crossed_in_one_millisecond_keeps_its_order_over_a_crash() {
    let mut world = apart(Limits::default());
    let ids: Vec<_> = (0..50).map(|n| format!("m{n}")).collect();
    for id in &ids {
        world.sends(3, NURSE, &chat(JULIET, id));
    }
    world.crash();
    // Nobody keeps messages here, so they go back, in the order in which they are dealt with.
    assert_eq!(world.bounced(), ids);
}

#[test]
fn what_a_shard_found_at_its_start_does_not_arrive_again() {
    let mut world = apart(Limits::default());
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    let leg = world.effects.iter().find_map(|effect| match effect {
        Effect::Leg { leg, .. } => Some(leg.clone()),
        _ => None,
    });
    world.crash();
    assert_eq!(world.bounced(), ["m1"]);
    world.tell(JULIET, Event::Leg(leg.unwrap()));
    assert_eq!(world.bounced(), ["m1"]);
}

#[test]
fn presence_of_the_moment_crosses_without_a_row() {
    let mut world = apart(Limits::default());
    world.sends(3, NURSE, &format!("<presence to='{JULIET}'/>"));
    world.sends(3, NURSE, &format!("<presence to='{JULIET}' type='unavailable'/>"));
    world.sends(3, NURSE, &format!("<presence to='{JULIET}' type='probe'/>"));
    world.sends(3, NURSE, &format!("<presence to='{JULIET}' type='subscribe'/>"));
    let has_row = |effect: &Effect| match effect {
        Effect::Leg { leg, .. } => Some(leg.transit.is_some()),
        _ => None,
    };
    let rows: Vec<_> = world.effects.iter().filter_map(has_row).collect();
    assert_eq!(rows, [false, false, false, true]);
}

#[test]
fn what_a_full_queue_gives_back_stays_in_front() {
    let bytes = stanza(&chat(JULIET, "m1")).bytes();
    let mut world = apart(Limits { queue_bytes: bytes * 3 / 2, ..Limits::default() });
    world.open(1, "juliet@capulet.example/phone");
    world.enable(1, JULIET);
    world.sends(1, JULIET, "<presence/>");
    world.tell(JULIET, Event::Detached { session: 1 });
    world.crosses = true;
    world.sends(3, NURSE, &chat(JULIET, "m1"));
    world.crosses = false;
    world.sends(3, NURSE, &chat(JULIET, "m2"));
    world.sends(3, NURSE, &chat(JULIET, "m3"));
    world.crash();
    assert_eq!(world.bounced(), ["m1", "m2", "m3"]);
}

#[test]
fn a_wrong_count_ends_both_connections() {
    let mut world = World::new(1, Limits::default(), false);
    world.open(1, "juliet@capulet.example/phone");
    let token = world.enable(1, JULIET);
    world.resume(2, &token, 7, "TLSv1.3");
    assert_eq!(world.closed(1), Some(StreamError::Conflict));
    assert_eq!(world.closed(2), Some(StreamError::UndefinedCondition));
    assert_eq!(world.shards[0].sessions(), 0);
}

#[test]
fn many_sessions_end_in_many_steps() {
    let mut world = World::new(1, Limits { sessions: 1000, ..Limits::default() }, true);
    for session in 1..=100 {
        world.open(session, &format!("juliet@capulet.example/{session}"));
        world.enable(session, JULIET);
        world.tell(JULIET, Event::Detached { session });
    }
    world.now_ms += Limits::default().resume_ms;
    world.step(0, Event::Tick);
    assert!(world.shards[0].sessions() > 50);
    for _ in 0..10 {
        assert!(world.wake_at.is_none_or(|at| at <= world.now_ms));
        world.step(0, Event::Tick);
    }
    assert_eq!((world.shards[0].sessions(), world.wake_at), (0, None));
}

#[test]
fn a_module_is_told_of_a_session_that_its_own_call_ended() {
    let mut world = World::new(1, Limits { queue_bytes: 1000, ..Limits::default() }, true);
    world.open(1, "juliet@capulet.example/phone");
    world.enable(1, JULIET);
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    world.sends(1, JULIET, "<iq type='set' id='f'><fill xmlns='urn:x'/></iq>");
    assert_eq!(world.closed(1), Some(StreamError::ResourceConstraint));
    assert_eq!(world.heard(3), ["over"]);
}

#[test]
fn a_module_that_fails_at_the_end_of_a_session_stops_no_other() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    world.tell(JULIET, Event::Closed { session: 1 });
    assert_eq!(world.heard(3), ["over"]);
}

#[test]
fn modules_hear_which_messages_a_client_has() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    let token = world.enable(1, JULIET);
    world.open(3, "nurse@capulet.example/garden");
    world.sends(3, NURSE, "<presence/>");
    for id in ["m1", "m2", "m3"] {
        world.sends(3, NURSE, &chat("juliet@capulet.example/phone", id));
    }
    world.tell(JULIET, Event::Acked { session: 1, h: 1 });
    assert_eq!(world.heard(3), ["juliet@capulet.example has m1"]);
    world.tell(JULIET, Event::Acked { session: 1, h: 1 });
    assert_eq!(world.heard(3), [""; 0]);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.resume(2, &token, 2, "TLSv1.3");
    assert_eq!(world.heard(3), ["juliet@capulet.example has m2"]);
}

#[test]
fn a_resumption_is_admitted_like_a_login() {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/phone");
    let token = world.enable(1, JULIET);
    world.tell(JULIET, Event::Detached { session: 1 });
    world.resume(2, &token, 0, "TLSv1.2");
    assert_eq!(world.closed(2), Some(StreamError::PolicyViolation));
    world.resume(3, &token, 0, "TLSv1.3");
    let is_resumed =
        |effect: &Effect| matches!(effect, Effect::Resumed { session: 3, before: None, .. });
    assert!(world.effects.iter().any(is_resumed));
}
