//! The delivery table of RFC 6121 §8.5, without a module that keeps messages.

use engine::Limits;

use crate::world::{JULIET, NURSE, World};

/// What became of a stanza.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// These sessions got it, in the order of their numbers.
    To(&'static [u64]),
    /// The sender got this error.
    Error(&'static str),
    /// Nobody heard of it any more.
    Silence,
}
use Fate::{Error, Silence, To};

/// Nobody is there: what would be kept comes back.
const AWAY: Fate = Error("service-unavailable");

/// Sends a stanza to juliet, whose devices 1, 2, … showed these presences.
fn fate(devices: &[&str], xml: &str) -> Fate {
    let mut world = World::new(1, Limits::default(), false);
    world.open(9, "nurse@capulet.example/garden");
    for (presence, session) in devices.iter().zip(1..) {
        world.open(session, &format!("juliet@capulet.example/{session}"));
        if !presence.is_empty() {
            world.sends(session, JULIET, presence);
        }
    }
    world.sends(9, NURSE, xml);
    let got: Vec<u64> = (1..=3).filter(|session| world.heard(*session) == ["x"]).collect();
    let error = world.errors(9);
    match (got.as_slice(), error.first()) {
        ([], None) => Silence,
        ([], Some(error)) => Error(error),
        ([1], None) => To(&[1]),
        ([2], None) => To(&[2]),
        ([1, 2], None) => To(&[1, 2]),
        other => panic!("both or others: {other:?}"),
    }
}

const NEGATIVE: &str = "<presence><priority>-1</priority></presence>";
const ZERO: &str = "<presence/>";
const FIVE: &str = "<presence><priority>5</priority></presence>";
/// Connected, and shows no presence.
const HIDDEN: &str = "";

/// Checks the five types of messages: normal, chat, groupchat, headline, error.
#[track_caller]
fn messages(devices: &[&str], to: &str, expected: [Fate; 5]) {
    let kinds = ["normal", "chat", "groupchat", "headline", "error"];
    for (kind, expected) in kinds.into_iter().zip(expected) {
        let xml = format!("<message to='{to}' type='{kind}' id='x'><body>b</body></message>");
        assert_eq!(fate(devices, &xml), expected, "{kind} to {to}, {devices:?}");
    }
}

#[test]
fn messages_to_nobody() {
    let refused = || Error("service-unavailable");
    for to in ["nobody@capulet.example", "nobody@capulet.example/1"] {
        messages(&[], to, [refused(), refused(), refused(), refused(), Silence]);
    }
}

#[test]
fn messages_to_the_account() {
    let refused = || Error("service-unavailable");
    for devices in [&[][..], &[HIDDEN], &[NEGATIVE], &[NEGATIVE, HIDDEN]] {
        messages(devices, JULIET, [AWAY, AWAY, refused(), Silence, Silence]);
    }
    for devices in [&[ZERO][..], &[FIVE, NEGATIVE], &[FIVE, HIDDEN]] {
        let all = || To(&[1]);
        messages(devices, JULIET, [all(), all(), refused(), all(), Silence]);
    }
    let all = || To(&[1, 2]);
    messages(&[ZERO, FIVE, NEGATIVE], JULIET, [all(), all(), refused(), all(), Silence]);
}

#[test]
fn messages_to_a_device() {
    // A connected device gets all that is addressed to it, whatever presence it shows.
    for devices in [&[HIDDEN][..], &[NEGATIVE], &[ZERO], &[ZERO, FIVE]] {
        let it = || To(&[1]);
        messages(devices, "juliet@capulet.example/1", [it(), it(), it(), it(), it()]);
    }
}

#[test]
fn messages_to_a_device_that_is_not_there() {
    let gone = "juliet@capulet.example/gone";
    let refused = || Error("service-unavailable");
    for devices in [&[][..], &[HIDDEN], &[NEGATIVE]] {
        messages(devices, gone, [AWAY, AWAY, refused(), Silence, Silence]);
    }
    // §8.5.3.2.1 would let a `normal` one be refused; it goes where a `chat` one goes.
    let all = || To(&[1, 2]);
    messages(&[ZERO, FIVE], gone, [all(), all(), refused(), Silence, Silence]);
}

#[test]
fn presence_and_requests() {
    let gone = "juliet@capulet.example/gone";
    for kind in ["", " type='unavailable'"] {
        let presence = |to: &str| format!("<presence to='{to}' id='x'{kind}/>");
        assert_eq!(fate(&[ZERO, FIVE], &presence(JULIET)), To(&[1, 2]));
        assert_eq!(fate(&[ZERO, NEGATIVE], &presence(JULIET)), To(&[1, 2]));
        assert_eq!(fate(&[HIDDEN], &presence(JULIET)), Silence);
        assert_eq!(fate(&[HIDDEN], &presence("juliet@capulet.example/1")), To(&[1]));
        assert_eq!(fate(&[ZERO], &presence(gone)), Silence);
        assert_eq!(fate(&[], &presence("nobody@capulet.example")), Silence);
    }
    let iq = |to: &str, kind: &str| {
        format!("<iq to='{to}' type='{kind}' id='x'><q xmlns='urn:unknown'/></iq>")
    };
    for kind in ["get", "set"] {
        // An account that is not there answers like one that is.
        for to in [JULIET, gone, "nobody@capulet.example", "nobody@capulet.example/1"] {
            assert_eq!(fate(&[ZERO], &iq(to, kind)), Error("service-unavailable"), "{to}");
        }
        assert_eq!(fate(&[HIDDEN], &iq("juliet@capulet.example/1", kind)), To(&[1]));
    }
    for kind in ["result", "error"] {
        for to in [JULIET, gone, "nobody@capulet.example"] {
            assert_eq!(fate(&[ZERO], &iq(to, kind)), Silence, "{to}");
        }
        assert_eq!(fate(&[HIDDEN], &iq("juliet@capulet.example/1", kind)), To(&[1]));
    }
}

#[test]
fn requests_that_are_none_are_answered() {
    for xml in [
        "<iq type='get' id='x'/>",
        "<iq type='get' id='x'><a xmlns='u:a'/><b xmlns='u:b'/></iq>",
        "<iq type='ask' id='x'><a xmlns='u:a'/></iq>",
        "<iq id='x'><a xmlns='u:a'/></iq>",
        "<iq type='set'><a xmlns='u:a'/></iq>",
        "<presence type='sulking'/>",
        "<presence type='subscribe'/>",
    ] {
        assert_eq!(fate(&[ZERO], xml), Error("bad-request"), "{xml}");
    }
    // Errors never answer errors or answers.
    for xml in ["<iq type='error' id='x'/>", "<iq type='result' id='x'/>"] {
        assert_eq!(fate(&[ZERO], xml), Silence, "{xml}");
    }
}

#[test]
fn a_message_to_oneself_reaches_all_devices() {
    let mut world = World::new(1, Limits::default(), false);
    for session in [1, 2] {
        world.open(session, &format!("juliet@capulet.example/{session}"));
        world.sends(session, JULIET, ZERO);
    }
    world.sends(1, JULIET, "<message type='chat' id='a'><body>note</body></message>");
    world.sends(
        1,
        JULIET,
        "<message to='juliet@capulet.example' id='b'><body>note</body></message>",
    );
    assert_eq!(world.heard(1), ["a", "b"]);
    assert_eq!(world.heard(2), ["a", "b"]);
}

#[test]
fn what_an_account_tells_the_domain_is_not_lost_on_the_way() {
    // The client does not count, so nothing was promised to it.
    let shards = 16;
    let mut world = World::new(shards, Limits::default(), true);
    let own = world.shard(JULIET);
    assert!(own != world.shard("capulet.example") && own != world.shard(NURSE));
    world.open(1, "juliet@capulet.example/1");
    world.crosses = false;
    world.sends(1, JULIET, "<iq type='set' id='r'><report xmlns='urn:x'/></iq>");
    let rows = world.store.rows().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    let crossing: Vec<_> = rows.filter(|row| row.contains("id=\"report\"")).collect();
    assert!(crossing.len() == 1 && crossing[0].contains("to=\"capulet.example\""), "{crossing:?}");
}
