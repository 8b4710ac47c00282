use calypte::crypto::{Secret, SigningKey};

use super::*;
use crate::policy::tests::policy;

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::new(vec![byte; 32])).unwrap()
}

/// The policy of key `byte`, which promises the key behind it.
fn of(byte: u8, serial: u64) -> Policy {
    Policy {
        serial,
        dk: Key(key(byte).public()),
        next: Key(key(byte + 1).public()).hash(),
        ..policy()
    }
}

fn signed(byte: u8, serial: u64) -> Signed {
    Signed::make(&of(byte, serial), &[&key(byte)]).unwrap()
}

#[track_caller]
fn check(held: &Peer, byte: u8, serial: u64, expected: Result<Fit, &str>) {
    assert_eq!(weigh(Some(held), &signed(byte, serial)), expected);
}

#[test]
fn newer_policies_of_the_same_or_the_promised_key_count() {
    let held = Peer::new(&signed(1, 10), Source::Stream, 5);
    assert_eq!(weigh(None, &signed(1, 10)), Ok(Fit::First));
    check(&held, 1, 10, Ok(Fit::Same));
    check(&held, 1, 11, Ok(Fit::Newer));
    check(&held, 1, 9, Ok(Fit::Behind));
    check(&held, 2, 11, Ok(Fit::Rotated));
    check(&held, 2, 10, Err("serial"));
    check(&held, 3, 11, Err("dk"));
    check(&held, 3, 9, Err("serial"));
    // The same serial with other octets is none that is newer.
    let mut other = of(1, 10);
    other.report = String::new();
    let other = Signed::make(&other, &[&key(1)]).unwrap();
    assert_eq!(weigh(Some(&held), &other), Ok(Fit::Behind));
}

#[test]
fn a_stolen_key_cannot_choose_its_successor() {
    let held = Peer::new(&signed(1, 10), Source::Stream, 5);
    // The thief signs with the key that he has and with his own.
    let thief = Signed::make(&of(7, 11), &[&key(7), &key(1)]).unwrap();
    assert_eq!(weigh(Some(&held), &thief), Err("dk"));
}

#[test]
fn a_key_that_the_operator_knows_waits_for_its_policy() {
    let held = Peer::pinned(Key(key(1).public()), Source::Operator, 5);
    check(&held, 1, 1, Ok(Fit::Newer));
    check(&held, 2, 1, Err("dk"));
    assert!(held.needs_proof() && held.needs_tls13());
}

#[test]
fn states_come_with_time() {
    let day = 86_400_000;
    let mut peer = Peer::new(&signed(1, 10), Source::Stream, 0);
    assert_eq!(peer.state(179 * day), "TOFU");
    assert_eq!(peer.state(180 * day), "STALE");
    assert!(peer.is_enforced(360 * day - 1));
    assert_eq!(peer.state(360 * day), "LAPSED");
    assert!(!peer.is_enforced(360 * day));
    peer.vouch(Source::Stream);
    assert_eq!(peer.state(0), "TOFU");
    peer.vouch(Source::Dns);
    assert_eq!((peer.state(0), peer.sources().as_str()), ("CONFIRMED", "stream, dnssec"));
    peer.alarm = Some((1, "proof".to_owned()));
    assert_eq!(peer.state(200 * day), "ALARM");
}

#[test]
fn a_policy_is_taken_back_and_put_in_force_again() {
    let mut peer = Peer::new(&signed(1, 10), Source::Stream, 0);
    let mut policy = of(1, 11);
    policy.mode = Mode::None;
    let none = Signed::make(&policy, &[&key(1)]).unwrap();
    assert_eq!(weigh(Some(&peer), &none), Ok(Fit::Newer));
    peer.take(&none, 1);
    assert!(!peer.is_enforced(2));
    // What was in force before is older now.
    check(&peer, 1, 10, Ok(Fit::Behind));
    peer.take(&signed(1, 12), 3);
    assert!(peer.is_enforced(4));
}

#[test]
fn a_crowd_goes_before_those_who_are_alone() {
    let now_ms = 365 * 86_400_000;
    let of = |name: &str, source, fresh_ms| {
        let mut peer = Peer::new(&signed(1, 10), source, fresh_ms);
        peer.vouch(source);
        (name.to_owned(), peer)
    };
    let mut alarmed = of("n1.evil.example", Source::Stream, now_ms);
    alarmed.1.alarm = Some((now_ms, "proof".to_owned()));
    let mut confirmed = of("alone.example", Source::Stream, 6);
    confirmed.1.vouch(Source::Dns);
    let all = vec![
        of("said.example", Source::Operator, 0),
        confirmed,
        of("met.example", Source::Stream, 20),
        of("seen.example", Source::Stream, 10),
        alarmed,
        of("n2.evil.example", Source::Stream, now_ms + 1),
        of("lapsed.other", Source::Stream, 4),
    ];
    // Twice the time after 4 is over, after 6 it is not.
    let order = least(all, 6, 360 * 86_400_000 + 5);
    let expected = ["lapsed.other", "n1.evil.example", "n2.evil.example"];
    assert_eq!(order[..3], expected);
    assert_eq!(order[3..], ["seen.example", "met.example", "alone.example"]);
}

#[test]
fn rows_keep_their_bytes() {
    let mut peer = Peer::pinned(Key([3; 32]), Source::Operator, 5);
    peer.alarm = Some((6, "dk".to_owned()));
    let bytes = PEERS.encode(&peer);
    let max_age = [253, 0, 0xb0, 0xf8, 0x9e, 3, 0, 0, 0];
    let expected =
        [&[1, 1, 0][..], &[3; 32], &[0, 0], &max_age, &[5, 5, 16, 1, 6, 2, b'd', b'k', 0]].concat();
    assert_eq!(bytes, expected);
    assert_eq!(PEERS.decode(&bytes), Ok(peer));
}
