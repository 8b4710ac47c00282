//! Disks that fill up, and disks that lose their power.

#![allow(clippy::print_stderr, reason = "who skips a test says so")]

use std::time::{Duration, Instant};

use calypte_tests::{Chance, Client, Disk, Heard, How, PATIENCE, Server, Setup, wait};
use nix::sys::signal::Signal;

// A host that loads all its modules from files keeps copies of them.
const MEBIBYTES: u64 = 384;

fn chat(number: u32) -> String {
    format!("<message to='ben@chat.example' type='chat'><body>n{number}.</body></message>")
}

/// Reads what was kept for ben; returns how many messages there are, 0 to that, in order.
#[track_caller]
fn kept_for_ben(server: &Server, at_least: u32) -> u32 {
    let mut ben = Client::login(server, "ben");
    ben.send("<presence/>");
    let mut next = 0;
    let until = Instant::now() + PATIENCE;
    loop {
        let patience = if next < at_least { PATIENCE } else { Duration::from_millis(500) };
        match ben.hear(patience) {
            Some(Heard::Element(xml)) if xml.contains("<body>") => {
                assert!(xml.contains(&format!(">n{next}.<")), "{xml} in place of {next}");
                next += 1;
            }
            Some(Heard::Element(_)) => {}
            None => break,
            other => panic!("{other:?}"),
        }
        assert!(Instant::now() < until, "it has {next} of {at_least}");
    }
    assert!(next >= at_least, "{next} of {at_least} that were acknowledged");
    ben.close();
    next
}

#[test]
fn a_full_disk_is_told_and_waited_for() {
    let Some(disk) = Disk::new(MEBIBYTES) else {
        return eprintln!("skipped: mounting a small disk needs root");
    };
    let server = Setup::new().data(&disk.path().join("data")).start();
    let mut ana = Client::login(&server, "ana");
    ana.enable();
    ana.send(&chat(0));
    assert_eq!(ana.acknowledged(), 1);
    assert!(server.http("/readyz").contains("200 OK"));
    let hog = disk.fill();
    // Within a moment the server stops to promise.
    let mut sent = 1;
    wait("that it tells", || {
        ana.send(&chat(sent));
        sent += 1;
        ana.send("<r xmlns='urn:xmpp:sm:3'/>");
        drop(ana.hear(Duration::from_millis(20)));
        !server.http("/readyz").contains("200 OK")
    });
    assert!(server.http("/readyz").contains("the store takes no writes"));
    assert_eq!(server.metric("calypte_store_writable"), 0.0);
    ana.drain(Duration::from_millis(200));
    let promised = ana.told();
    assert!(promised < sent, "{promised} of {sent} were acknowledged by a full disk");
    let told = |what: &str| server.log().matches(what).count();
    wait("the log", || told("The disk is full") == 1);
    std::fs::remove_file(hog).unwrap();
    wait("that it goes on", || server.http("/readyz").contains("200 OK"));
    assert_eq!(ana.acknowledged(), sent);
    wait("the log", || told("The disk has room again") == 1);
    assert_eq!(kept_for_ben(&server, sent), sent);
}

#[test]
fn killed_on_a_full_disk_it_starts_again() {
    let Some(disk) = Disk::new(MEBIBYTES) else {
        return eprintln!("skipped: mounting a small disk needs root");
    };
    let mut server = Setup::new().data(&disk.path().join("data")).start();
    let mut ana = Client::login(&server, "ana");
    ana.enable();
    for number in 0..20 {
        ana.send(&chat(number));
    }
    assert_eq!(ana.acknowledged(), 20);
    let hog = disk.fill();
    server.kill();
    // With the ballast given back it can at least be opened.
    server.launch();
    std::fs::remove_file(hog).unwrap();
    wait("that it goes on", || server.http("/readyz").contains("200 OK"));
    assert_eq!(kept_for_ben(&server, 20), 20);
}

#[test]
fn lost_power_loses_nothing_that_was_acknowledged() {
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let mut chance = Chance::new();
    for round in 0..if is_ci { 10 } else { 3 } {
        let Some(disk) = Disk::new(MEBIBYTES) else {
            return eprintln!("skipped: mounting a small disk needs root");
        };
        eprintln!("round {round}, seed {}", chance.seed());
        let mut server = Setup::new().data(&disk.path().join("data")).start();
        let mut ana = How::default().sasl2().login(&server, "ana");
        let until = Instant::now() + Duration::from_millis(50 + chance.up_to(700));
        let mut sent = 0;
        while Instant::now() < until {
            for _ in 0..1 + chance.below(8) {
                ana.send(&chat(sent));
                sent += 1;
            }
            ana.send("<r xmlns='urn:xmpp:sm:3'/>");
            while ana.hear(Duration::from_millis(1)).is_some() {}
        }
        server.signal(Signal::SIGSTOP);
        ana.drain(Duration::from_millis(20));
        let promised = ana.told();
        let copy = disk.without_power();
        server.kill();
        let data = copy.path().join("data");
        server.change(|setup| setup.data(&data));
        server.launch();
        let has = kept_for_ben(&server, promised);
        assert!(has <= sent);
        eprintln!("{promised} of {sent} acknowledged, {has} there");
        server.kill();
    }
}
