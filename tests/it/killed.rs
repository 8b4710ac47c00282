//! `kill -9` at random moments under load: what was acknowledged is delivered, once and in order.
//!
//! Every message has a number that counts up for its pair of sender and recipient, so that each
//! recipient sees at once what is lost, doubled or out of order. Senders count (XEP-0198) and send
//! again what a restarted server did not handle; recipients are connected, coming and going, or away.

#![allow(clippy::print_stderr, reason = "a failure can be had again by its seed")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use calypte_tests::{Chance, Client, Heard, How, Memory, PATIENCE, Server, Setup};

const SENDERS: [&str; 3] = ["sender0", "sender1", "sender2"];
const CONNECTED: [&str; 2] = ["connected0", "connected1"];
const COMING_AND_GOING: [&str; 2] = ["moving0", "moving1"];
/// Their messages are kept until they log in.
const AWAY: [&str; 2] = ["away0", "away1"];

/// Set while nobody should be surprised that the server is gone.
type Gone = AtomicBool;

/// Numbers of messages: the next one, for each other side.
type Numbers = BTreeMap<String, u32>;

/// How many messages were sent: by recipient and sender.
type Sent = BTreeMap<&'static str, Numbers>;

struct Sender {
    client: Client,
    name: &'static str,
    /// The addresses it sends to, by the names of the accounts.
    to: Vec<(&'static str, String)>,
    next: Numbers,
    /// All stanzas of the session; the count of the server is an index.
    said: Vec<String>,
}

struct Recipient {
    client: Client,
    name: &'static str,
    moves: bool,
    next: Numbers,
}

fn login(server: &Server, name: &str) -> Client {
    let mut client = How::default().resource("here").login(server, name);
    client.enable();
    client
}

impl Sender {
    fn say(&mut self, chance: &mut Chance) {
        let index = chance.below(self.to.len());
        let (name, address) = &self.to[index];
        let number = self.next.entry((*name).to_owned()).or_default();
        let body = format!("{} {number}", self.name);
        let xml = format!("<message to='{address}' type='chat'><body>{body}</body></message>");
        *number += 1;
        self.said.push(xml.clone());
        // When it does not arrive, it is said again later.
        drop(self.client.try_send(xml.as_bytes()));
    }

    /// Sends until the server is gone.
    fn work(mut self, gone: &Gone, chance: &mut Chance) -> (Self, Memory) {
        loop {
            for _ in 0..1 + chance.below(6) {
                self.say(chance);
            }
            if chance.below(2) == 0 {
                drop(self.client.try_send(b"<r xmlns='urn:xmpp:sm:3'/>"));
            }
            match self.client.hear(Duration::from_millis(1)) {
                None => {}
                Some(Heard::Element(xml)) => assert!(xml.starts_with("<a "), "{xml}"),
                Some(_) => break,
            }
        }
        assert!(gone.load(Relaxed), "{} was disconnected", self.name);
        let memory = self.client.memory();
        (self, memory)
    }

    /// Comes back and says again what the server does not have.
    fn resume(&mut self, server: &Server, memory: &Memory) {
        let promised = self.client.told();
        self.client = How::default().resume(server, memory).unwrap();
        let has = self.client.told();
        assert!(has >= promised, "{has} of {promised} that were acknowledged");
        for xml in &self.said[usize::try_from(has).unwrap()..] {
            self.client.send(xml);
        }
        let all = u32::try_from(self.said.len()).unwrap();
        assert_eq!(self.client.acknowledged(), all);
    }
}

impl Recipient {
    fn take(&mut self, xml: &str) {
        let Some((_, body)) = xml.split_once("<body>") else { return };
        let (sender, number) = body.split_once("</").unwrap().0.split_once(' ').unwrap();
        let next = self.next.entry(sender.to_owned()).or_default();
        assert_eq!(number.parse(), Ok(*next), "{} of {sender} at {}", number, self.name);
        *next += 1;
    }

    /// Reads until the server is gone, and leaves and comes back now and then.
    fn work(mut self, server: &Server, gone: &Gone, chance: &mut Chance) -> (Self, Memory) {
        let mut leave = Instant::now() + Duration::from_millis(chance.up_to(100));
        loop {
            match self.client.hear(Duration::from_millis(5)) {
                None => {}
                Some(Heard::Element(xml)) => self.take(&xml),
                Some(_) => break,
            }
            if self.moves && Instant::now() > leave {
                let memory = self.client.memory();
                drop(self.client.socket().shutdown(std::net::Shutdown::Both));
                thread::sleep(Duration::from_millis(chance.up_to(30)));
                // The server may be killed while it is asked.
                let come_back = AssertUnwindSafe(|| How::default().resume(server, &memory));
                match catch_unwind(come_back) {
                    Ok(client) => self.client = client.unwrap(),
                    Err(_) => {
                        assert!(gone.load(Relaxed), "{} cannot come back", self.name);
                        return (self, memory);
                    }
                }
                leave = Instant::now() + Duration::from_millis(chance.up_to(100));
            }
        }
        assert!(gone.load(Relaxed), "{} was disconnected", self.name);
        let memory = self.client.memory();
        (self, memory)
    }

    /// Reads until it has all that was sent.
    fn catch_up(&mut self, sent: &Numbers) {
        let until = Instant::now() + PATIENCE;
        while self.next != *sent {
            match self.client.hear(until.saturating_duration_since(Instant::now())) {
                Some(Heard::Element(xml)) => self.take(&xml),
                other => panic!("{}: {other:?}, has {:?} of {sent:?}", self.name, self.next),
            }
        }
    }
}

/// The messages of those who are away: they come, read all and go.
fn visit(server: &Server, away: &mut BTreeMap<&'static str, Numbers>, sent: &Sent) {
    for (name, next) in away {
        let client = login(server, name);
        let next_so_far = std::mem::take(next);
        let mut visitor = Recipient { client, name, moves: false, next: next_so_far };
        visitor.client.send("<presence/>");
        visitor.catch_up(sent.get(name).unwrap_or(&Numbers::new()));
        visitor.client.ping();
        visitor.client.close();
        *next = visitor.next;
    }
}

/// Returns how many rounds to run.
fn rounds() -> u32 {
    let by_hand = std::env::var("CALYPTE_ROUNDS").ok();
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    by_hand.map_or(if is_ci { 20 } else { 3 }, |number| number.parse().unwrap())
}

/// One round: load, the kill, the restart, and everybody has everything.
fn round(
    server: &mut Server,
    senders: Vec<Sender>,
    recipients: Vec<Recipient>,
    chance: &mut Chance,
) -> (Vec<Sender>, Vec<Recipient>, Sent) {
    let gone = Gone::default();
    let after = Duration::from_millis(20 + chance.up_to(500));
    let pid = server.pid();
    let (senders, recipients) = thread::scope(|scope| {
        let (server, gone) = (&*server, &gone);
        let mut sending = Vec::new();
        for sender in senders {
            let mut chance = chance.fork();
            sending.push(scope.spawn(move || sender.work(gone, &mut chance)));
        }
        let mut receiving = Vec::new();
        for recipient in recipients {
            let mut chance = chance.fork();
            receiving.push(scope.spawn(move || recipient.work(server, gone, &mut chance)));
        }
        thread::sleep(after);
        gone.store(true, Relaxed);
        server.signal(nix::sys::signal::Signal::SIGKILL);
        let senders: Vec<_> = sending.into_iter().map(|one| one.join().unwrap()).collect();
        let recipients: Vec<_> = receiving.into_iter().map(|one| one.join().unwrap()).collect();
        (senders, recipients)
    });
    assert_eq!(server.pid(), pid);
    server.kill();
    server.launch();
    let mut sent = Sent::new();
    let come_back = |(mut sender, memory): (Sender, Memory)| {
        sender.resume(server, &memory);
        for (recipient, _) in &sender.to {
            let next = sender.next.get(*recipient).copied();
            let numbers = sent.entry(recipient).or_default();
            numbers.extend(next.map(|next| (sender.name.to_owned(), next)));
        }
        sender
    };
    let senders = senders.into_iter().map(come_back).collect();
    let come_back = |(mut recipient, memory): (Recipient, Memory)| {
        recipient.client = How::default().resume(server, &memory).unwrap();
        recipient.catch_up(&sent[recipient.name]);
        recipient
    };
    let recipients = recipients.into_iter().map(come_back).collect();
    (senders, recipients, sent)
}

#[test]
fn what_was_acknowledged_is_delivered_once() {
    let mut setup = Setup::new();
    for name in SENDERS.iter().chain(&CONNECTED).chain(&COMING_AND_GOING).chain(&AWAY) {
        setup = setup.account(name);
    }
    let mut server = setup.start();
    let names = CONNECTED.iter().chain(&COMING_AND_GOING);
    let recipient = |name: &&'static str| Recipient {
        client: login(&server, name),
        name,
        moves: COMING_AND_GOING.contains(name),
        next: Numbers::new(),
    };
    let mut recipients: Vec<_> = names.map(recipient).collect();
    let sender = |name: &&'static str| Sender {
        client: login(&server, name),
        name,
        to: recipients
            .iter()
            .map(|to| (to.name, to.client.jid().to_owned()))
            .chain(AWAY.iter().map(|name| (*name, format!("{name}@chat.example"))))
            .collect(),
        next: Numbers::new(),
        said: Vec::new(),
    };
    let mut senders: Vec<_> = SENDERS.iter().map(sender).collect();
    let mut away: BTreeMap<_, _> = AWAY.iter().map(|name| (*name, Numbers::new())).collect();
    let mut chance = Chance::new();
    let start = Instant::now();
    for number in 0..rounds() {
        eprintln!("round {number}, seed {}", chance.seed());
        let sent;
        (senders, recipients, sent) = round(&mut server, senders, recipients, &mut chance);
        visit(&server, &mut away, &sent);
    }
    let all: usize = senders.iter().map(|sender| sender.said.len()).sum();
    eprintln!("{all} messages in {:?}", start.elapsed());
    assert!(all > 100, "no load: {all}");
}
