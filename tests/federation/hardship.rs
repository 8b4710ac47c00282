//! Our own servers among themselves when the network or a server gives up, or somebody wants too much.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use calypte_tests::{Client, Heard, How, Kind, Lab, Memory, PATIENCE, Peer, Road, Server, Setup};
use nix::sys::signal::Signal;

use crate::Case;
use crate::story::Person;

pub(crate) const CASES: &[Case] = &[
    Case { name: "cut_roads_lose_nothing", needs: &[], play: cut },
    Case { name: "killed_servers_lose_nothing", needs: &[], play: killed },
    Case { name: "a_stalled_and_a_flooding_peer_hurt_only_themselves", needs: &[], play: crowd },
];

/// Checks that all numbers came, each for the first time in order. What was not acknowledged is sent
/// again, so some may come twice.
#[track_caller]
fn check(numbers: &[usize], all: usize) {
    let mut next = 0;
    for (index, number) in numbers.iter().enumerate() {
        assert!(*number <= next, "{number} came before {next}, at {index} of {numbers:?}");
        next += usize::from(*number == next);
    }
    assert_eq!(next, all, "some are lost");
}

/// Reads numbers until the last one came.
#[track_caller]
fn collect(client: &mut Client, all: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    let until = Instant::now() + 2 * PATIENCE;
    while !numbers.contains(&(all - 1)) {
        assert!(Instant::now() < until, "{} of {all} came", numbers.len());
        match client.hear(Duration::from_millis(200)) {
            Some(Heard::Element(xml)) => numbers.extend(number(&xml)),
            Some(gone) => panic!("{gone:?}"),
            None => {}
        }
    }
    numbers
}

fn number(xml: &str) -> Option<usize> {
    let (_, rest) = xml.split_once("<body>number ")?;
    rest.split_once('<')?.0.parse().ok()
}

fn message(to: &str, number: usize) -> String {
    format!("<message to='{to}' type='chat'><body>number {number}</body></message>")
}

fn cut(lab: &Lab) {
    let one = Setup::within(lab, "one.example", lab.v4(1)).start();
    let two = Setup::within(lab, "two.example", lab.v4(2)).start();
    let road = Road::new(lab, "two.example", lab.v4(12), lab.v4(2));
    let (mut ana, mut ben) = (Person::login(&one, "ana"), Person::login(&two, "ben"));
    let (to_ben, to_ana) = (ben.bare(), ana.bare());
    const ALL: usize = 400;
    for number in 0..ALL {
        ana.client.send(&message(&to_ben, number));
        ben.client.send(&message(&to_ana, number));
        if number % 50 == 25 {
            std::thread::sleep(Duration::from_millis(150));
            road.cut();
        }
    }
    check(&collect(&mut ben.client, ALL), ALL);
    check(&collect(&mut ana.client, ALL), ALL);
}

/// Ana counts what she sends, and says again what her server did not take.
struct Sender {
    client: Client,
    said: Vec<String>,
}

impl Sender {
    fn say(&mut self, to: &str, number: usize) {
        let xml = message(to, number);
        drop(self.client.try_send(xml.as_bytes()));
        self.said.push(xml);
    }

    fn resume(&mut self, server: &Server, memory: &Memory) {
        self.client = How::default().resume(server, memory).unwrap();
        let has = usize::try_from(self.client.told()).unwrap();
        for xml in &self.said[has..] {
            self.client.send(xml);
        }
    }
}

fn killed(lab: &Lab) {
    let mut one = Setup::within(lab, "one.example", lab.v4(1)).start();
    // All that waited may come at once to somebody who has just logged in.
    let two = Setup::within(lab, "two.example", lab.v4(2)).set("limits.queue", "\"4 MiB\"");
    let mut two = two.start();
    let mut client = How::default().login(&one, "ana");
    client.enable();
    let mut ana = Sender { client, said: Vec::new() };
    let mut number = 0;
    for round in 0..6 {
        for _ in 0..100 {
            ana.say("ben@two.example", number);
            number += 1;
        }
        std::thread::sleep(Duration::from_millis(20 * round));
        if round % 2 == 0 {
            two.kill();
            two.launch();
        } else {
            let memory = ana.client.memory();
            one.kill();
            one.launch();
            ana.resume(&one, &memory);
        }
    }
    assert_eq!(usize::try_from(ana.client.acknowledged()).unwrap(), number);
    // He was away all the time.
    let mut ben = Person::login(&two, "ben");
    check(&collect(&mut ben.client, number), number);
}

fn crowd(lab: &Lab) {
    let one = Setup::within(lab, "one.example", lab.v4(1)).start();
    let two = Setup::within(lab, "two.example", lab.v4(2)).start();
    let three = Setup::within(lab, "three.example", lab.v4(3)).start();
    let (mut ana, mut here) = (Person::login(&one, "ana"), Person::login(&one, "ben"));
    let (mut stalled, mut fine) = (Person::login(&two, "ben"), Person::login(&three, "ben"));
    ana.tells(&mut stalled, &["hello".to_owned()]);
    two.signal(Signal::SIGSTOP);
    const ALL: usize = 300;
    for number in 0..ALL {
        ana.client.send(&message(&stalled.bare(), number));
    }
    lab.publish("flood.example", lab.v4(4));
    let shown = lab.authority().issue(Kind::Both, "flood.example");
    let peer = Peer::new(lab, "flood.example", "one.example", lab.v4(1)).shows(&shown);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let (mut client, _) = peer.open();
            peer.prove(&mut client, None).unwrap();
            let text = "x".repeat(2000);
            let xml = format!(
                "<message from='m@flood.example' to='nobody@one.example' type='chat'>\
                 <body>{text}</body></message>"
            );
            let mut sent = 0_u64;
            while !is_over.load(Relaxed) && client.try_send(xml.as_bytes()).is_ok() {
                sent += 1;
            }
            sent
        });
        for round in 0..20 {
            let begin = Instant::now();
            ana.tells(&mut here, &[format!("here-{round}")]);
            ana.tells(&mut fine, &[format!("there-{round}")]);
            fine.tells(&mut ana, &[format!("back-{round}")]);
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        }
        is_over.store(true, Relaxed);
        assert!(flood.join().unwrap() > 1000, "it was no flood");
    });
    two.signal(Signal::SIGCONT);
    check(&collect(&mut stalled.client, ALL), ALL);
}
