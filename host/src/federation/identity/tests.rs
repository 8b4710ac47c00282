use aws_lc_rs::digest::{SHA256, SHA512, digest};

use super::kinds::{KINDS, Shown, Signer, World, Worth, dns, params, xmpp_address};
use super::*;

/// 2026-11-25.
const NOW: i64 = 1_795_600_000;
const ME: &str = "chat.capulet.example";

fn roots(world: &World) -> Roots {
    let mut roots = Roots::default();
    roots.add(world.root.der().clone()).unwrap();
    roots
}

fn judged(shown: &Shown, reference: &Reference<'_>, roots: &Roots) -> Identity {
    let chain: Vec<_> = shown.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    identity(&chain, reference, roots)
}

fn reference<'a>(name: &'a str, side: Side, tlsa: &'a [Tlsa]) -> Reference<'a> {
    Reference { name, host: None, side, tlsa, now_seconds: NOW }
}

#[test]
fn every_kind_is_worth_what_it_says() {
    let world = World::new();
    let roots = roots(&world);
    for kind in KINDS {
        let shown = (kind.make)(&world, ME);
        for side in [Side::Server, Side::Client] {
            let found = judged(&shown, &reference(ME, side, &[]), &roots);
            let is_right = match (kind.worth, &found) {
                (Worth::Valid, Identity::Valid) => true,
                (Worth::Invalid(part), Identity::Invalid(why)) => why.contains(part),
                _ => false,
            };
            assert!(is_right, "{}: {:?} expected, {found:?} found", kind.name, kind.worth);
        }
    }
}

#[test]
fn no_certificate_is_no_identity() {
    let reference = reference(ME, Side::Client, &[]);
    assert_eq!(identity(&[], &reference, &Roots::default()), Identity::None);
}

#[test]
fn rubbish_is_said_to_be_unreadable() {
    let shown = Shown { chain: vec![b"rubbish".to_vec()], key: Vec::new() };
    let found = judged(&shown, &reference(ME, Side::Client, &[]), &Roots::default());
    assert_eq!(found, Identity::Invalid("the certificate cannot be read".to_owned()));
}

#[test]
fn names_that_are_not_ascii_are_compared_as_dns_has_them() {
    let world = World::new();
    let roots = roots(&world);
    let domain = "b\u{FC}cher.example";
    for name in [dns("xn--bcher-kva.example"), xmpp_address(domain)] {
        let shown = world.sign(params(&[name], &[]), Signer::Root);
        let found = judged(&shown, &reference(domain, Side::Server, &[]), &roots);
        assert_eq!(found, Identity::Valid);
    }
}

#[test]
fn an_ip_address_proves_nothing() {
    let world = World::new();
    let ip = KINDS.iter().find(|kind| kind.name == "ip").unwrap();
    let shown = (ip.make)(&world, ME);
    let found = judged(&shown, &reference("127.0.0.1", Side::Server, &[]), &roots(&world));
    assert!(matches!(found, Identity::Invalid(_)), "{found:?}");
}

#[test]
fn words_of_strangers_are_cut_and_cleaned() {
    let world = World::new();
    let long = format!("evil\u{1b}[31m.{}", "x".repeat(200));
    let shown = world.sign(params(&[dns(&long)], &[]), Signer::Root);
    let found = judged(&shown, &reference(ME, Side::Server, &[]), &roots(&world));
    let Identity::Invalid(why) = found else { panic!("{found:?}") };
    assert!(why.len() < 200 && !why.contains('\u{1b}'), "{why}");
}

#[test]
fn a_server_can_be_trusted_as_it_is() {
    let world = World::new();
    let find = |name: &str| KINDS.iter().find(|kind| kind.name == name).unwrap();
    let trusting = |shown: &Shown| {
        let mut roots = Roots::default();
        roots.add(shown.chain[0].clone().into()).unwrap();
        roots
    };
    let marked = (find("self-signed-authority").make)(&world, ME);
    let roots = trusting(&marked);
    assert_eq!(judged(&marked, &reference(ME, Side::Server, &[]), &roots), Identity::Valid);
    let shown = (find("self-signed").make)(&world, ME);
    let roots = trusting(&shown);
    assert_eq!(judged(&shown, &reference(ME, Side::Server, &[]), &roots), Identity::Valid);
    let other = reference("other.example", Side::Server, &[]);
    assert!(matches!(judged(&shown, &other, &roots), Identity::Invalid(_)));
    let mut late = reference(ME, Side::Server, &[]);
    late.now_seconds = 100_000_000_000;
    let found = judged(&shown, &late, &roots);
    assert!(matches!(&found, Identity::Invalid(why) if why.contains("expired")), "{found:?}");
    // It cannot vouch for others: it is no authority.
    let mut roots = Roots::default();
    roots.add(world.server.der().clone()).unwrap();
    let signed = world.sign(params(&[dns(ME)], &[]), Signer::Server);
    assert!(matches!(
        judged(&signed, &reference(ME, Side::Server, &[]), &roots),
        Identity::Invalid(_)
    ));
}

/// A record about `certificate`.
fn record(usage: u8, selector: u8, matching: u8, certificate: &[u8]) -> Tlsa {
    let whole = match selector {
        0 => certificate.to_vec(),
        _ => read(certificate).unwrap().public_key().raw.to_vec(),
    };
    let data = match matching {
        0 => whole,
        1 => digest(&SHA256, &whole).as_ref().to_vec(),
        _ => digest(&SHA512, &whole).as_ref().to_vec(),
    };
    Tlsa { usage, selector, matching, data }
}

#[track_caller]
fn by_dns(world: &World, shown: &Shown, records: &[Tlsa], expected: Result<Identity, &str>) {
    let found = judged(shown, &reference(ME, Side::Server, records), &roots(world));
    match (expected, &found) {
        (Ok(expected), found) => assert_eq!(*found, expected, "{records:?}"),
        (Err(part), Identity::Refused(why)) => assert!(why.contains(part), "{records:?}: {why}"),
        (Err(part), found) => panic!("{records:?}: {part:?} expected, {found:?} found"),
    }
}

const NOT_NAMED: Result<Identity, &str> = Err("none of those that DNS has");

#[test]
fn dns_may_name_the_own_certificate() {
    let world = World::new();
    // Neither the name nor the dates nor the authority count.
    for name in ["dns", "expired", "common-name-only", "self-signed", "self-signed-authority"] {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        let shown = (kind.make)(&world, ME);
        let other = (kind.make)(&world, ME);
        for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            let right = record(3, selector, matching, &shown.chain[0]);
            let wrong = record(3, selector, matching, &other.chain[0]);
            by_dns(&world, &shown, &[wrong.clone(), right], Ok(Identity::Dane));
            by_dns(&world, &shown, &[wrong], NOT_NAMED);
        }
    }
}

#[test]
fn dns_may_name_an_authority_for_the_server() {
    let world = World::new();
    let stranger = world.stranger.der();
    let shown = world.sign(params(&[dns(ME)], &[]), Signer::Stranger);
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let right = record(2, selector, matching, stranger);
        by_dns(&world, &shown, &[right], Ok(Identity::Dane));
        let wrong = record(2, selector, matching, world.root.der());
        by_dns(&world, &shown, &[wrong], NOT_NAMED);
    }
    // The name and the dates count.
    let other = world.sign(params(&[dns("other.example")], &[]), Signer::Stranger);
    by_dns(&world, &other, &[record(2, 1, 1, stranger)], Err("is for other.example and not for"));
    let mut past = params(&[dns(ME)], &[]);
    past.not_after = rcgen::date_time_ymd(2020, 2, 1);
    let past = world.sign(past, Signer::Stranger);
    by_dns(&world, &past, &[record(2, 1, 1, stranger)], Err("expired on 2020-02-01"));
    // The server has to send it, unless all of it is in the record.
    let alone = Shown { chain: vec![shown.chain[0].clone()], key: Vec::new() };
    by_dns(&world, &alone, &[record(2, 0, 1, stranger)], NOT_NAMED);
    by_dns(&world, &alone, &[record(2, 0, 0, stranger)], Ok(Identity::Dane));
    // A certificate that only claims to be signed by the one that is named.
    let forged = World::new().sign(params(&[dns(ME)], &[]), Signer::Stranger);
    let forged = Shown { chain: vec![forged.chain[0].clone(), stranger.to_vec()], ..forged };
    by_dns(&world, &forged, &[record(2, 1, 1, stranger)], Err("but the certificate"));
}

#[test]
fn dns_may_narrow_whom_we_trust() {
    let world = World::new();
    let shown = world.sign(params(&[dns(ME)], &[]), Signer::Between);
    let stranger = world.sign(params(&[dns(ME)], &[]), Signer::Stranger);
    for (selector, matching) in [(0, 1), (1, 1), (0, 0), (1, 2)] {
        // The own certificate, from an authority that we trust.
        let own = record(1, selector, matching, &shown.chain[0]);
        by_dns(&world, &shown, &[own], Ok(Identity::Dane));
        let own = record(1, selector, matching, &stranger.chain[0]);
        by_dns(&world, &stranger, std::slice::from_ref(&own), Err("no authority that we trust"));
        by_dns(&world, &shown, &[own], NOT_NAMED);
        // An authority that we trust: the root or one between.
        for authority in [world.root.der(), world.between.der()] {
            let right = record(0, selector, matching, authority);
            by_dns(&world, &shown, &[right], Ok(Identity::Dane));
        }
        let wrong = record(0, selector, matching, world.constrained.der());
        by_dns(&world, &shown, &[wrong], NOT_NAMED);
        let untrusted = record(0, selector, matching, world.stranger.der());
        by_dns(&world, &stranger, &[untrusted], NOT_NAMED);
    }
}

#[test]
fn the_host_may_be_named_where_dns_is_secure() {
    let world = World::new();
    let roots = roots(&world);
    let shown = world.sign(params(&[dns("xmpp.host.example")], &[]), Signer::Root);
    let records = [record(1, 1, 1, &shown.chain[0])];
    let mut reference = reference(ME, Side::Server, &records);
    assert!(matches!(judged(&shown, &reference, &roots), Identity::Refused(_)));
    reference.host = Some("xmpp.host.example");
    assert_eq!(judged(&shown, &reference, &roots), Identity::Dane);
    // Without keys in DNS only the domain counts.
    reference.tlsa = &[];
    assert!(matches!(judged(&shown, &reference, &roots), Identity::Invalid(_)));
}

#[test]
fn a_key_that_dns_does_not_have_is_refused_whoever_vouches() {
    let world = World::new();
    let shown = world.sign(params(&[dns(ME)], &[]), Signer::Root);
    let records = [record(3, 1, 1, world.stranger.der())];
    by_dns(&world, &shown, &records, NOT_NAMED);
    // What connects to us may be another machine than the one that DNS has.
    let found = judged(&shown, &reference(ME, Side::Client, &records), &roots(&world));
    assert_eq!(found, Identity::Valid);
}

#[test]
fn records_without_meaning_change_nothing() {
    let world = World::new();
    let shown = world.sign(params(&[dns(ME)], &[]), Signer::Root);
    let records = [
        record(9, 1, 1, &shown.chain[0]),
        Tlsa { data: vec![1], ..record(3, 1, 1, &shown.chain[0]) },
    ];
    by_dns(&world, &shown, &records, Ok(Identity::Valid));
}

#[test]
fn files_of_authorities_are_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    let path = folder.path().join("authority.pem");
    let load = |path: &std::path::Path| {
        let domain = xmpp::Jid::parse(ME).unwrap();
        let mut config = crate::config::Config::standard(domain, folder.path());
        config.federation.trust = vec![path.to_owned()];
        Roots::load(&config.federation)
    };
    assert!(load(&path).unwrap_err().starts_with("there is no certificate at "));
    std::fs::write(&path, "nothing").unwrap();
    assert!(load(&path).unwrap_err().ends_with("holds no certificate in PEM form"));
    std::fs::write(&path, world.root.pem()).unwrap();
    let shown = world.sign(params(&[dns(ME)], &[]), Signer::Between);
    let roots = load(&path).unwrap();
    assert_eq!(judged(&shown, &reference(ME, Side::Server, &[]), &roots), Identity::Valid);
}
