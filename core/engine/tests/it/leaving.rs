//! What leaves for other domains, and what comes from there.

use engine::{Effect, Event, LeavingCount, Limits, shard_of};
use table::{Batch, Memory, full_key};
use xmpp::StanzaError;

use crate::world::{JULIET, NURSE, START_MS, World, chat, stanza};

const ROMEO: &str = "romeo@montague.example";

/// A stanza that left: for which domain, its id, its row.
type Left = (String, String, Option<Vec<u8>>);

/// Takes out what left since the last call.
fn leaves(world: &mut World) -> Vec<Left> {
    let mut left = Vec::new();
    world.effects.retain(|effect| match effect {
        Effect::Leaving { domain, stanza, row, .. } => {
            let id = stanza.id.as_deref().unwrap_or("").to_owned();
            left.push((domain.clone(), id, row.clone()));
            false
        }
        _ => true,
    });
    left
}

fn ids(left: &[Left]) -> Vec<&str> {
    left.iter().map(|(_, id, _)| id.as_str()).collect()
}

fn has_left(world: &mut World, left: &[Left]) {
    let rows = left.iter().filter_map(|(_, _, row)| row.clone()).collect();
    world.tell(JULIET, Event::Left { rows });
}

fn rows(store: &Memory) -> usize {
    store.rows().filter(|(key, _)| key.starts_with(b"engine.leaving\0")).count()
}

fn world() -> World {
    let mut world = World::new(1, Limits::default(), true);
    world.open(1, "juliet@capulet.example/balcony");
    world
}

fn undeliverable(row: Option<Vec<u8>>, xml: &str) -> Event {
    let mut stanza = stanza(xml);
    stanza.from = Some(crate::world::jid("juliet@capulet.example/balcony"));
    Event::Undeliverable { row, stanza, error: StanzaError::REMOTE_SERVER_NOT_FOUND }
}

#[test]
fn a_row_stays_until_the_other_domain_has_the_stanza() {
    let mut world = world();
    for id in ["a", "b", "c"] {
        world.now_ms += 10;
        world.sends(1, JULIET, &chat(ROMEO, id));
    }
    let left = leaves(&mut world);
    assert_eq!(ids(&left), ["a", "b", "c"]);
    assert_eq!(rows(&world.store), 3);
    has_left(&mut world, &left[1..2]);
    has_left(&mut world, &left[1..2]);
    assert_eq!(rows(&world.store), 2);
    let waits = |left: &Left| left.2.as_ref().is_some_and(|row| world.shards[0].waits(row));
    assert_eq!(left.iter().map(waits).collect::<Vec<_>>(), [true, false, true]);
    assert!(!world.shards[0].waits(b"engine.leaving"));
    let counts = world.shards[0].leaving();
    assert_eq!((counts.len(), counts[0].stanzas, counts[0].since_ms), (1, 2, START_MS + 10));

    world.now_ms += 60_000;
    world.crash();
    let since = world.effects.iter().filter_map(|effect| match effect {
        Effect::Leaving { since_ms, .. } => Some(*since_ms),
        _ => None,
    });
    assert_eq!(since.collect::<Vec<_>>(), [START_MS + 10, START_MS + 30]);
    let again = leaves(&mut world);
    assert_eq!(again, [left[0].clone(), left[2].clone()]);
    assert_eq!(world.shards[0].leaving(), counts);
    has_left(&mut world, &again);
    assert_eq!((rows(&world.store), world.shards[0].leaving()), (0, Vec::new()));
}

#[test]
fn what_is_new_goes_behind_what_waited_even_when_the_clock_goes_back() {
    let mut world = world();
    world.sends(1, JULIET, &chat(ROMEO, "a"));
    world.now_ms -= 3_600_000;
    world.crash();
    world.open(1, "juliet@capulet.example/balcony");
    world.sends(1, JULIET, &chat(ROMEO, "b"));
    world.crash();
    assert_eq!(ids(&leaves(&mut world)), ["a", "b"]);
}

#[test]
fn presence_of_the_moment_and_passwords_have_no_row() {
    let mut world = world();
    for (xml, has_row) in [
        (
            "<iq to='montague.example' type='set' id='x'><query xmlns='jabber:iq:register'/></iq>",
            false,
        ),
        (
            "<iq to='montague.example' type='set' id='x'><command \
             xmlns='http://jabber.org/protocol/commands' node='n'/></iq>",
            false,
        ),
        ("<presence to='romeo@montague.example' id='x'/>", false),
        ("<presence to='romeo@montague.example' type='unavailable' id='x'/>", false),
        ("<presence to='romeo@montague.example' type='probe' id='x'/>", false),
        ("<presence to='romeo@montague.example' type='subscribe' id='x'/>", true),
        ("<presence to='romeo@montague.example' type='unsubscribed' id='x'/>", true),
        ("<iq to='montague.example' type='get' id='x'><q xmlns='urn:x'/></iq>", true),
        ("<iq to='montague.example' type='result' id='x'/>", true),
        ("<message to='romeo@montague.example' type='headline' id='x'/>", true),
        ("<message to='romeo@montague.example' type='error' id='x'/>", true),
    ] {
        world.sends(1, JULIET, xml);
        let left = leaves(&mut world);
        assert_eq!(
            left.iter().map(|left| left.2.is_some()).collect::<Vec<_>>(),
            [has_row],
            "{xml}"
        );
    }
}

#[test]
fn a_sender_hears_once_what_cannot_be_delivered() {
    let mut world = world();
    world.sends(1, JULIET, &chat(ROMEO, "a"));
    let row = leaves(&mut world).remove(0).2;
    world.tell(JULIET, undeliverable(row.clone(), &chat(ROMEO, "a")));
    assert_eq!(rows(&world.store), 0);
    assert_eq!(world.errors(1), ["remote-server-not-found"]);
    world.tell(JULIET, undeliverable(row, &chat(ROMEO, "a")));
    assert!(world.errors(1).is_empty());
}

#[test]
fn errors_and_answers_are_never_answered() {
    for xml in [
        "<message to='romeo@montague.example' type='error' id='a'/>",
        "<iq to='romeo@montague.example' type='result' id='a'/>",
        "<iq to='romeo@montague.example' type='error' id='a'/>",
        "<presence to='romeo@montague.example' type='error' id='a'/>",
    ] {
        let mut world = world();
        world.sends(1, JULIET, xml);
        let row = leaves(&mut world).remove(0).2;
        world.tell(JULIET, undeliverable(row, xml));
        assert_eq!((rows(&world.store), world.errors(1).len()), (0, 0), "{xml}");
    }
}

#[test]
fn requests_and_subscriptions_are_answered() {
    for xml in [
        "<iq to='romeo@montague.example' type='get' id='a'><q xmlns='urn:x'/></iq>",
        "<iq to='romeo@montague.example' type='set' id='a'><q xmlns='urn:x'/></iq>",
        "<presence to='romeo@montague.example' type='subscribe' id='a'/>",
    ] {
        let mut world = world();
        world.sends(1, JULIET, xml);
        let row = leaves(&mut world).remove(0).2;
        world.tell(JULIET, undeliverable(row, xml));
        assert_eq!(world.errors(1), ["remote-server-not-found"], "{xml}");
    }
}

#[test]
fn only_who_shows_itself_to_one_hears_that_nobody_is_there() {
    let room = "<presence to='garden@rooms.montague.example/juliet'/>";
    let mut world = world();
    // As a module sends it to all contacts: the engine was not asked by the client.
    world.tell(JULIET, undeliverable(None, room));
    assert!(world.errors(1).is_empty());
    world.sends(1, JULIET, room);
    world.tell(JULIET, undeliverable(None, room));
    assert_eq!(world.errors(1), ["remote-server-not-found"]);
    world.tell(JULIET, undeliverable(None, room));
    assert!(world.errors(1).is_empty());
    world.sends(1, JULIET, room);
    let leaving = room.replace("/>", " type='unavailable'/>");
    world.sends(1, JULIET, &leaving);
    world.tell(JULIET, undeliverable(None, &leaving));
    world.tell(JULIET, undeliverable(None, room));
    assert!(world.errors(1).is_empty());
}

#[test]
fn what_waits_is_bounded() {
    let mut world = world();
    world.sends(1, JULIET, &chat(ROMEO, "a"));
    let size = world.shards[0].leaving()[0].bytes;
    let limits = Limits {
        leaving_bytes: size * 5 / 2,
        leaving_all_bytes: size * 7 / 2,
        ..Limits::default()
    };
    let mut world = World::new(1, limits, true);
    world.open(1, "juliet@capulet.example/balcony");
    for id in ["a", "b", "c"] {
        world.sends(1, JULIET, &chat(ROMEO, id));
    }
    // The third does not fit; another domain has room of its own, until all is full.
    assert_eq!(ids(&leaves(&mut world)), ["a", "b"]);
    assert_eq!(world.errors(1), ["resource-constraint"]);
    for id in ["d", "e", "f"] {
        world.sends(1, JULIET, &chat("paris@verona.example", id));
    }
    let left = leaves(&mut world);
    assert_eq!(ids(&left), ["d"]);
    assert_eq!(world.errors(1), ["resource-constraint", "resource-constraint"]);

    // What waits is counted after a restart too.
    world.crash();
    world.open(1, "juliet@capulet.example/balcony");
    leaves(&mut world);
    world.sends(1, JULIET, &chat(ROMEO, "g"));
    assert_eq!(world.errors(1), ["resource-constraint"]);
    // An answer that has no room is dropped and counted.
    world.sends(1, JULIET, "<iq to='romeo@montague.example' type='result' id='h'/>");
    let is_counted = |effect: &Effect| matches!(effect, Effect::Count { name, by: 1, .. } if name == "leaving_dropped");
    assert!(world.effects.iter().any(is_counted) && leaves(&mut world).is_empty());
    has_left(&mut world, &left);
    world.sends(1, JULIET, &chat("paris@verona.example", "i"));
    assert_eq!(ids(&leaves(&mut world)), ["i"]);
}

#[test]
fn one_stanza_always_fits() {
    let limits = Limits { leaving_bytes: 10, ..Limits::default() };
    let mut world = World::new(1, limits, true);
    world.open(1, "juliet@capulet.example/balcony");
    for id in ["a", "b"] {
        world.sends(1, JULIET, &chat(ROMEO, id));
    }
    assert_eq!(ids(&leaves(&mut world)), ["a"]);
}

/// Returns the value of a row, as it was first written.
fn value(xml: &str) -> Vec<u8> {
    let mut value = vec![1, 5, u8::try_from(xml.len()).unwrap()];
    value.extend_from_slice(xml.as_bytes());
    value
}

/// Writes a row of `engine.leaving`.
fn put(world: &mut World, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(full_key("engine.leaving", "", key), value.to_vec());
    world.store.apply(&batch);
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_passed_over() {
    let mut world = world();
    world.sends(1, JULIET, &chat(ROMEO, "a"));
    for (key, value) in [
        (&b"short"[..], &b"\x01\x00\x00"[..]),
        (&[0; 16], b""),
        (&[1; 16], b"\x09\x00\x04<a/>"),
        (&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2], b"\x01\x05\x04<a/>"),
        (&[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3], b"\x01\x05\x0a<message/>"),
    ] {
        put(&mut world, key, value);
    }
    world.crash();
    assert_eq!(ids(&leaves(&mut world)), ["a"]);
    let named = world.effects.iter().filter_map(|effect| match effect {
        Effect::Log { level: 1, text, .. } => Some(text.as_str()),
        _ => None,
    });
    let named: Vec<_> = named.collect();
    assert_eq!(named.len(), 5, "{named:?}");
    assert!(named.iter().all(|text| text.contains("engine.leaving 656e67696e652e6c656176696e67")));
}

#[test]
fn the_bytes_of_a_row_stay() {
    let mut world = world();
    let xml = "<message from=\"juliet@capulet.example/r\" to=\"romeo@montague.example\" id=\"q\"/>";
    let key = [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1];
    put(&mut world, &key, &value(xml));
    world.crash();
    let left = leaves(&mut world);
    assert_eq!(
        left,
        [("montague.example".into(), "q".into(), Some(full_key("engine.leaving", "", &key)))]
    );
}

#[test]
fn what_is_ours_by_now_is_delivered_here() {
    for shards in [1, 3] {
        let mut world = World::new(shards, Limits::default(), true);
        world.open(1, "juliet@capulet.example/balcony");
        world.sends(1, JULIET, "<presence/>");
        let token = world.enable(1, JULIET);
        let xml =
            "<message from=\"romeo@montague.example\" to=\"juliet@capulet.example\" id=\"q\"/>";
        let key = [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1];
        put(&mut world, &key, &value(xml));
        world.shards.clear();
        world.effects.clear();
        // A leg to a shard that has not started has a row, which that shard finds.
        world.crosses = false;
        for _ in 0..shards {
            world.start(shards);
        }
        assert_eq!((rows(&world.store), leaves(&mut world).len()), (0, 0));
        world.resume(2, &token, 0, "TLSv1.3");
        let is_there = |effect: &Effect| {
            matches!(effect, Effect::Resumed { unacked, .. }
                if unacked.iter().any(|stanza| stanza.id.as_deref() == Some("q")))
        };
        assert!(world.effects.iter().any(is_there), "{shards} shards");
    }
}

#[test]
fn another_number_of_shards_keeps_the_order_of_each_sender() {
    for (before, after) in [(3, 2), (2, 3), (1, 4), (4, 1)] {
        let mut world = World::new(before, Limits::default(), true);
        world.open(1, "juliet@capulet.example/balcony");
        world.open(2, "nurse@capulet.example/garden");
        for n in 0..10 {
            world.sends(1, JULIET, &chat(ROMEO, &format!("juliet{n}")));
            world.sends(2, NURSE, &chat(ROMEO, &format!("nurse{n}")));
        }
        world.shards.clear();
        world.effects.clear();
        for _ in 0..after {
            world.start(after);
        }
        let left = leaves(&mut world);
        for name in ["juliet", "nurse"] {
            let own: Vec<_> = ids(&left).into_iter().filter(|id| id.starts_with(name)).collect();
            let expected: Vec<_> = (0..10).map(|n| format!("{name}{n}")).collect();
            assert_eq!(own, expected, "{before} to {after}");
            let bare = format!("{name}@capulet.example");
            let shard = usize::from(shard_of(&bare, after));
            let is_here = |count: &LeavingCount| count.stanzas >= 10;
            assert!(world.shards[shard].leaving().iter().any(is_here));
        }
    }
}

#[test]
fn nobody_outside_speaks_for_us() {
    let mut world = world();
    world.sends(1, JULIET, "<presence/>");
    for from in ["nurse@capulet.example/garden", "capulet.example", ""] {
        let mut forged = stanza(&chat(JULIET, "forged"));
        forged.from = Some(from).filter(|from| !from.is_empty()).map(crate::world::jid);
        world.tell(JULIET, Event::Arriving(forged));
    }
    let mut honest = stanza(&chat(JULIET, "honest"));
    honest.from = Some(crate::world::jid(ROMEO));
    world.tell(JULIET, Event::Arriving(honest));
    assert_eq!(world.heard(1), ["honest"]);
    let forged = world.effects.iter().filter(|effect| {
        matches!(effect, Effect::Count { module, name, .. } if module == "engine" && name == "forged")
    });
    assert_eq!(forged.count(), 3);
}

#[test]
fn nobody_leaves_in_a_foreign_name() {
    let mut world = world();
    // The answer to it would be from paris to romeo.
    let mut foreign = stanza(&chat("paris@verona.example", "a"));
    foreign.from = Some(crate::world::jid(ROMEO));
    let error = StanzaError::INTERNAL;
    world.tell(JULIET, Event::Undeliverable { row: None, stanza: foreign, error });
    assert!(leaves(&mut world).is_empty());
}
