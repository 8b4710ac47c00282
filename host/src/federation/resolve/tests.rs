use std::time::Instant;

use super::lab::{Entry, Fate, Lab, a, alias, key, srv, text};
use super::*;
use crate::federation::look::Service;

/// What there is in most tests.
fn entries() -> Vec<Entry> {
    vec![
        ("_xmpps-server._tcp.both.example", srv(10, 5270, "x1.both.example")),
        ("_xmpp-server._tcp.both.example", srv(5, 5269, "x2.both.example")),
        ("x1.both.example", a("127.0.0.11")),
        ("x2.both.example", a("127.0.0.12")),
        ("_5270._tcp.x1.both.example", key(1)),
        ("bare.example", a("127.0.0.13")),
        ("_5269._tcp.bare.example", key(2)),
        ("_xmpp-server._tcp.never.example", srv(0, 0, ".")),
        ("never.example", a("127.0.0.14")),
        ("_xmpps-server._tcp.half.example", srv(0, 0, ".")),
        ("_xmpp-server._tcp.half.example", srv(0, 5269, "x2.both.example")),
        ("_xmpp-server._tcp.far.example", srv(0, 5269, "alias.far.example")),
        ("alias.far.example", alias("x1.both.example")),
        ("empty.example", text("v=0")),
        ("_calypte.empty.example", text("v=0; s=1")),
        ("_xmpp-server._tcp.a.plain.example", srv(0, 5269, "x.plain.example")),
        ("x.plain.example", a("127.0.0.15")),
        ("_5269._tcp.x.plain.example", key(3)),
        ("_xmpp-server._tcp.b.plain.example", srv(0, 5270, "x1.both.example")),
        ("_xmpp-client._tcp.both.example", srv(0, 5222, "x2.both.example")),
    ]
}

fn brief(found: &Result<Vec<Target>, NoWay>) -> String {
    match found {
        Ok(targets) => {
            let one = |target: &Target| {
                let how = if target.is_direct { "tls" } else { "starttls" };
                let Target { host, port, addresses, tlsa, srv_is_secure, .. } = target;
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                let secure = if *srv_is_secure { " secure" } else { "" };
                let keys = if tlsa.is_empty() { "" } else { " keys" };
                format!("{host}:{port} {how} {}{secure}{keys}", addresses.join(","))
            };
            targets.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Err(why) => format!("{why:?}"),
    }
}

#[track_caller]
fn check(found: Result<Vec<Target>, NoWay>, expected: &str) {
    assert_eq!(brief(&found), expected);
}

#[tokio::test]
async fn records_of_both_kinds_are_one_list() {
    let lab = Lab::start(&entries(), false).await;
    let resolver = lab.resolver(false);
    assert_eq!(resolver.dnssec().await, Dnssec::Off);
    let both = "x2.both.example:5269 starttls 127.0.0.12; x1.both.example:5270 tls 127.0.0.11";
    check(resolver.targets("Both.Example").await, both);
    check(resolver.targets("half.example").await, "x2.both.example:5269 starttls 127.0.0.12");
    check(resolver.targets("far.example").await, "alias.far.example:5269 starttls 127.0.0.11");
}

#[tokio::test]
async fn without_records_the_domain_is_the_host() {
    let lab = Lab::start(&entries(), false).await;
    let resolver = lab.resolver(false);
    check(resolver.targets("bare.example").await, "bare.example:5269 starttls 127.0.0.13");
    check(resolver.targets("localhost").await, "localhost:5269 starttls ::1,127.0.0.1");
    check(resolver.targets("never.example").await, "NoService");
    check(resolver.targets("empty.example").await, "NoService");
    check(resolver.targets("nobody.example").await, "NoSuchDomain");
}

#[tokio::test]
async fn what_is_no_domain_is_not_asked_for() {
    let lab = Lab::start(&[], false).await;
    let resolver = lab.resolver(false);
    for domain in ["127.0.0.1", "[::1]", "a..example", "", "a b.example", "_a.example"] {
        check(resolver.targets(domain).await, "NoSuchDomain");
    }
    assert_eq!(lab.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn answers_are_kept() {
    let lab = Lab::start(&entries(), false).await;
    let resolver = lab.resolver(false);
    let first = resolver.targets("both.example").await.unwrap();
    assert_eq!(lab.asked().len(), 6);
    assert_eq!(resolver.clone().targets("both.example").await.unwrap(), first);
    assert_eq!(lab.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn trouble_is_no_absence() {
    let lab = Lab::start(&entries(), false).await;
    lab.set_fate("SRV _xmpps-server._tcp.bare", Fate::Code(ResponseCode::ServFail));
    lab.set_fate("SRV _xmpps-server._tcp.both", Fate::Code(ResponseCode::Refused));
    let resolver = lab.resolver(false);
    // Perhaps there are servers that we could not hear of: the domain itself is not tried.
    let found = resolver.targets("bare.example").await;
    let Err(NoWay::Temporary(why)) = found else { panic!("{found:?}") };
    assert!(why.starts_with("the DNS server says: "), "{why}");
    // Those that we heard of are.
    check(resolver.targets("both.example").await, "x2.both.example:5269 starttls 127.0.0.12");
}

#[tokio::test]
async fn a_dead_server_hurts_only_who_asks_it() {
    let mut entries = entries();
    entries.push(("_xmpp-server._tcp.two.example", srv(0, 5269, "dead.example")));
    entries.push(("_xmpp-server._tcp.two.example", srv(9, 5269, "x1.both.example")));
    let lab = Lab::start(&entries, false).await;
    lab.set_fate("AAAA dead", Fate::Lost);
    lab.set_fate("A dead", Fate::Lost);
    lab.set_fate("SRV _xmpp-server._tcp.lost", Fate::Lost);
    let resolver = lab.resolver(false);
    let begun = Instant::now();
    let others = async {
        for _ in 0..20 {
            check(resolver.targets("bare.example").await, "bare.example:5269 starttls 127.0.0.13");
        }
        begun.elapsed()
    };
    let (two, lost, others) =
        tokio::join!(resolver.targets("two.example"), resolver.targets("lost.example"), others);
    assert!(others < Duration::from_secs(2), "{others:?}");
    check(two, "x1.both.example:5269 starttls 127.0.0.11");
    assert!(matches!(lost, Err(NoWay::Temporary(_))), "{lost:?}");
    assert!(begun.elapsed() < WITHIN, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_long_list_is_cut() {
    let mut entries = entries();
    for port in 1..=25 {
        entries.push(("_xmpp-server._tcp.many.example", srv(port, port, "x1.both.example")));
    }
    let lab = Lab::start(&entries, false).await;
    let found = lab.resolver(false).targets("many.example").await.unwrap();
    let ports: Vec<_> = found.iter().map(|target| target.port).collect();
    assert_eq!(ports, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn keys_count_where_all_is_signed() {
    let lab = Lab::start(&entries(), true).await;
    let resolver = lab.resolver(true);
    assert_eq!(resolver.dnssec().await, Dnssec::Works);
    let both = "x2.both.example:5269 starttls 127.0.0.12 secure; \
                x1.both.example:5270 tls 127.0.0.11 secure keys";
    check(resolver.targets("both.example").await, both);
    check(resolver.targets("bare.example").await, "bare.example:5269 starttls 127.0.0.13 keys");
    check(resolver.targets("never.example").await, "NoService");
    check(resolver.targets("nobody.example").await, "NoSuchDomain");
    let given = resolver.target("x1.both.example", 5270, true).await;
    check(given.map(|one| vec![one]), "x1.both.example:5270 tls 127.0.0.11 keys");
    let txt = resolver.txt("_calypte.empty.example").await.unwrap();
    assert_eq!(txt, Txt { records: vec![b"v=0; s=1".to_vec()], is_secure: true });
}

#[tokio::test]
async fn what_is_forged_is_trouble_and_not_an_answer() {
    let cases = [
        ("SRV _xmpps-server._tcp.half", Fate::Forged),
        ("SRV _xmpp-server._tcp.bare", Fate::Emptied),
        ("SRV _xmpp-server._tcp.bare", Fate::Stripped),
        ("A bare", Fate::Forged),
        ("A bare", Fate::Stripped),
        ("TLSA _5269._tcp.bare", Fate::Forged),
        ("TLSA _5269._tcp.bare", Fate::Stripped),
        ("TLSA _5269._tcp.bare", Fate::Emptied),
        ("TLSA _5269._tcp.bare", Fate::Code(ResponseCode::ServFail)),
    ];
    for (question, fate) in cases {
        let lab = Lab::start(&entries(), true).await;
        let resolver = lab.resolver(true);
        assert_eq!(resolver.dnssec().await, Dnssec::Works);
        lab.set_fate(question, fate);
        let domain = if question.contains("half") { "half.example" } else { "bare.example" };
        let found = resolver.targets(domain).await;
        let is_fine = match &found {
            Err(NoWay::Temporary(_)) => true,
            // The service that can be trusted remains.
            Ok(targets) => domain == "half.example" && targets[0].srv_is_secure,
            Err(_) => false,
        };
        assert!(is_fine, "{question} {fate:?}: {found:?}");
    }
}

#[tokio::test]
async fn a_dns_server_without_signatures_is_said_and_used() {
    let lab = Lab::start(&entries(), false).await;
    let resolver = lab.resolver(true);
    let state = resolver.dnssec().await;
    assert!(matches!(state, Dnssec::Fails(_)), "{state:?}");
    check(resolver.targets("bare.example").await, "bare.example:5269 starttls 127.0.0.13");
    assert!(!resolver.txt("_calypte.empty.example").await.unwrap().is_secure);
}

#[tokio::test]
async fn ports_have_hosts() {
    let lab = Lab::start(&entries(), false).await;
    let resolver = lab.resolver(false);
    let cases = [
        (5222, "x2.both.example:5222 starttls 127.0.0.12", Service::Client),
        (5270, "x1.both.example:5270 tls 127.0.0.11", Service::Server),
        (5269, "x2.both.example:5269 starttls 127.0.0.12", Service::Server),
    ];
    for (port, expected, service) in cases {
        let (target, found) = resolver.at_port("both.example", port).await.unwrap();
        check(Ok(vec![target]), expected);
        assert_eq!(found, service);
    }
    let (target, service) = resolver.at_port("bare.example", 443).await.unwrap();
    check(Ok(vec![target]), "bare.example:443 tls 127.0.0.13");
    assert_eq!(service, Service::Client);
}
