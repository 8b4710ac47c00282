//! A module that does not keep to the rules of the boundary: whatever it says, each stanza passes
//! as it came or bounces, and each request is answered once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use abi::{Call, Guest, HostRef, Instance};
use calypte::wire::{LoginFacts, fault, op, part, status};
use engine::{Effect, Engine, Event, Limits, Manifest, Pipeline, Setup};
use table::Memory;
use xmpp::{Jid, Stanza};

#[derive(Debug)]
struct Nonsense;

abi::abi_export!(
    Nonsense,
    "nonsense",
    "1.0.0",
    &[
        "calypte-manifest 1\nname nonsense\nabout Does not keep to the rules.\nsecurity no\n",
        "hook message\tSent\tAdmit\t-\t-\t-\n",
        "hook iq-set\taccount\turn:x\tx\t-\t-\n",
        "hook something-new\t-\t-\t-\t-\t-\n",
    ]
);

impl Guest for Nonsense {
    fn create(_: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn call(&self, call: &Call<'_>, host: &mut HostRef<'_>) -> u32 {
        let id = call.parts.get(part::ID).copied().unwrap_or_default();
        match id {
            b"reply" => status::REPLY,
            b"later" => status::LATER,
            b"no hook" => status::NO_HOOK,
            b"wild" => 77,
            b"largest" => u32::MAX,
            b"bad error" => {
                assert_eq!(host.op(op::ERROR, b"\xff\xff", b""), Err(fault::MALFORMED));
                status::ERROR
            }
            b"silent error" => status::ERROR,
            b"ill-formed" => refused(host, &[(op::REPLACE, b"<message>", b"", fault::MALFORMED)]),
            b"another kind" => {
                host.op(op::REPLACE, b"<presence/>", b"").unwrap();
                status::PASS
            }
            b"operations" => refused(host, OPERATIONS),
            b"not text" => {
                host.op(op::REPLY, b"\xff", b"").unwrap();
                status::REPLY
            }
            b"open" => {
                host.op(op::REPLY, b"<a><b></a>", b"").unwrap();
                status::REPLY
            }
            _ => status::PASS,
        }
    }
}

/// Operations with what cannot be read, and the fault of each.
const OPERATIONS: &[(u32, &[u8], &[u8], u32)] = &[
    (0, b"", b"", fault::MISSING),
    (9999, b"", b"", fault::MISSING),
    (op::GET, b"", b"", fault::MALFORMED),
    (op::GET, b"\x00no end", b"", fault::MALFORMED),
    (op::PUT, b"\x00\xff\xfe\x00k", b"v", fault::MALFORMED),
    (op::PUT, b"\x00roster.items\x00k", b"v", fault::NOT_GRANTED),
    (op::PUT, b"\x00nonsenses.a\x00k", b"v", fault::NOT_GRANTED),
    (op::SCAN, b"\x00nonsense.a\x00", b"\xff", fault::MALFORMED),
    (op::SEND, b"\xff", b"", fault::MALFORMED),
    (op::SEND, b"<message to='a@b' xmlns='jabber:server'/>", b"", fault::MALFORMED),
    (op::SEND, b"<message from='x@y' to='a@b'/>", b"", fault::NOT_GRANTED),
    (op::SEND_EACH, b"<message/>", b"\xff", fault::MALFORMED),
    (op::DELIVER, b"\xff", b"<message/>", fault::MALFORMED),
    (op::HAND_OVER, b"short", b"<message/>", fault::MALFORMED),
    (op::REQUEST, b"<iq/", b"", fault::MALFORMED),
    (op::SET_VALUE, b"no NUL", b"", fault::MALFORMED),
    (op::SET_VALUE, b"nobody\x00name", b"", fault::MISSING),
    (op::WAKE, b"short", b"", fault::MALFORMED),
    (op::NOTICE, b"\xff", b"", fault::MALFORMED),
    (op::RANDOM, b"", b"", fault::MALFORMED),
    (op::COUNT, b"name", b"short", fault::MALFORMED),
    (op::CLOSE, b"r", b"no-such-condition", fault::MALFORMED),
    (op::CONTENT_TYPE, b"text/html\r\nX: y", b"", fault::MALFORMED),
];

/// Checks that each operation is refused with its fault, and passes.
fn refused(host: &mut HostRef<'_>, all: &[(u32, &[u8], &[u8], u32)]) -> u32 {
    for (number, a, b, expected) in all {
        assert_eq!(host.op(*number, a, b), Err(*expected), "operation {number}");
    }
    status::PASS
}

fn start() -> Engine {
    let mut pipeline = Pipeline::default();
    let instance = Instance::bundled(&MODULE, "").unwrap();
    pipeline.add(instance, Manifest::read(MODULE.manifest()).unwrap());
    let setup = Setup {
        domain: Jid::parse("a.example").unwrap(),
        shard: 0,
        shards: 1,
        limits: Limits::default(),
        admins: Vec::new(),
        software: ("Calypte".to_owned(), "1".to_owned()),
        started_ms: 0,
        components: Vec::new(),
        web_url: None,
        seed: [1; 32],
        secret: crypto::Secret::new(vec![1; 32]),
    };
    let (mut engine, _) = Engine::new(setup, pipeline, &Memory::default(), 0).unwrap();
    let jid = Jid::parse("ana@a.example/r").unwrap();
    let login = Box::new(LoginFacts { mechanism: "PLAIN".to_owned(), ..LoginFacts::default() });
    engine.step(0, Event::Opened { session: 1, jid, login }, &Memory::default());
    engine
}

/// Sends a stanza to oneself and checks the type of the only one that comes back.
#[track_caller]
fn check(xml: &str, expected: Option<&str>) {
    let mut engine = start();
    let stanza = Stanza::parse(xml).unwrap();
    let outcome = engine.step(1, Event::Sent { session: 1, stanza }, &Memory::default());
    assert!(outcome.writes.is_empty(), "{xml}");
    let stanzas = outcome.effects.iter().filter_map(|effect| match effect {
        Effect::ToSession { stanza, .. } => Some(stanza),
        _ => None,
    });
    let stanzas: Vec<_> = stanzas.collect();
    assert_eq!(stanzas.len(), 1, "{xml}");
    assert_eq!(stanzas[0].ty.as_deref(), expected, "{}", stanzas[0].to_xml());
}

fn message(id: &str) -> String {
    format!("<message to='ana@a.example/r' id='{id}'><body>Hello</body></message>")
}

#[test]
fn a_status_that_says_nothing_of_a_stanza_lets_nothing_through() {
    for id in ["reply", "later", "no hook", "wild", "largest", "bad error", "silent error"] {
        check(&message(id), Some("error"));
    }
}

#[test]
fn what_is_ill_formed_replaces_nothing() {
    check(&message("ill-formed"), None);
    check(&message("another kind"), Some("error"));
}

#[test]
fn operations_that_cannot_be_read_do_nothing() {
    check(&message("operations"), None);
}

#[test]
fn each_request_is_answered() {
    for id in ["else", "no hook", "wild", "largest", "not text", "open", "operations"] {
        let xml = format!("<iq type='set' id='{id}'><x xmlns='urn:x'/></iq>");
        check(&xml, Some("error"));
    }
}
