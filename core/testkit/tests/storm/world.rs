//! Servers, clients, and what befalls them.

use calypte::wire::LoginFacts;
use engine::{Effect, Event};
use xmpp::Jid;

use crate::chance::Chance;
use crate::client::{Client, Down, Up};
use crate::server::{Cause, Out, RESUME_MS, Server};
use crate::ways::Ways;
use crate::wire::Freight;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) domains: usize,
    pub(crate) shards: u16,
    /// Of each account.
    pub(crate) devices: usize,
    /// Whether messages are for one device rather than for the account.
    pub(crate) to_full: bool,
    /// What may wait for one other domain in a shard.
    pub(crate) leaving_bytes: usize,
    pub(crate) flaw: Flaw,
}

/// What is done wrong on purpose, to see that a storm notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// What leaves has no row.
    NoRow,
    /// Another domain's stanza is counted before what came of it is on disk.
    AcksEarly,
    /// Such a stanza is counted as soon as its own shard has dealt with it, whatever is with those
    /// before it.
    CountsGaps,
    /// What a lost connection did not bring is tried again behind what waits.
    ResendsLast,
}

impl Shape {
    /// One domain with one device for each account.
    pub(crate) const fn one(shards: u16) -> Self {
        Self {
            domains: 1,
            shards,
            devices: 1,
            to_full: false,
            leaving_bytes: 4 << 20,
            flaw: Flaw::None,
        }
    }

    pub(crate) const fn domains(self, domains: usize) -> Self {
        Self { domains, ..self }
    }
}

/// Accounts of each domain.
const ACCOUNTS: usize = 3;

pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) chance: Chance,
    now_ms: u64,
    pub(crate) servers: Vec<Server>,
    pub(crate) ways: Ways,
    pub(crate) clients: Vec<Client>,
    /// How many stanzas of each connection were handled, by its number.
    handled: Vec<u32>,
    pub(crate) crashes: u64,
    is_told: bool,
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        let now_ms = 1_767_225_600_000;
        let (mut servers, mut clients) = (Vec::new(), Vec::new());
        for domain in 0..shape.domains {
            let domain = format!("d{domain}.example");
            let account = |number| Jid::parse(&format!("a{number}@{domain}")).unwrap();
            let accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
            servers.push(Server::new(&domain, shape, &accounts, now_ms));
            for account in &accounts {
                for device in 0..shape.devices {
                    let jid = account.with_resource(&format!("r{device}")).unwrap();
                    clients.push(Client::new(jid, shape.devices == 1));
                }
            }
        }
        Self {
            shape,
            chance: Chance::new(seed),
            now_ms,
            servers,
            ways: Ways::default(),
            clients,
            handled: vec![0],
            crashes: 0,
            is_told: std::env::var_os("CALYPTE_SEED").is_some(),
        }
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{}", what());
        }
    }

    /// Lets one thing happen, or the same a few times.
    pub(crate) fn act(&mut self) {
        if self.shape.domains > 1 && self.chance.one_in(2) {
            return self.act_between();
        }
        let client = self.chance.below(self.clients.len());
        let server = self.chance.below(self.servers.len());
        let times = 1 + self.chance.below(6);
        match self.chance.below(1000) {
            0..220 => (0..times).for_each(|_| self.step(server)),
            220..380 => self.servers[server].sync(times),
            380..600 => (0..times).for_each(|_| self.release(server)),
            600..720 => self.clients[client].read_some(times),
            720..820 => self.write_some(client, times),
            820..880 => (0..times).for_each(|_| self.say(client)),
            880..905 => self.client_acks(client),
            905..910 => self.look(client, times.is_multiple_of(2)),
            910..940 => self.server_acks(client),
            940..980 => self.come(client),
            980..986 => self.go(client),
            986..993 => self.now_ms += self.chance.next() % 2000,
            993..995 => self.now_ms += RESUME_MS + 1,
            995..998 => self.crash(server),
            _ => self.fall(server),
        }
    }

    fn step(&mut self, server: usize) {
        let shard = self.chance.below(self.servers[server].shards());
        // Two things in one millisecond have no order: a device that came just then is given what
        // waited for another one once more, rather than not at all.
        self.now_ms += 1;
        self.servers[server].step(shard, self.now_ms);
    }

    fn release(&mut self, server: usize) {
        let shard = self.chance.below(self.servers[server].shards());
        if let Some(out) = self.servers[server].release(shard) {
            self.let_go((server, shard), out);
        }
    }

    fn let_go(&mut self, at: (usize, usize), out: Vec<Out>) {
        for out in out {
            match out {
                Out::Handled(Cause::Session(session)) => {
                    self.handled[usize::try_from(session).unwrap()] += 1;
                }
                Out::Handled(Cause::Wire(wire, number)) => self.arrived((wire, number)),
                Out::Effect(effect) => self.apply(at, effect),
            }
        }
    }

    fn apply(&mut self, (server, shard): (usize, usize), effect: Effect) {
        match effect {
            Effect::ToSession { session, stanza } => self.down(session, Down::Stanza(stanza)),
            Effect::Enabled { session, token } => self.down(session, Down::Enabled(token)),
            Effect::Resumed { session, handled, unacked, .. } => {
                self.handled[usize::try_from(session).unwrap()] = handled;
                self.down(session, Down::Resumed(handled));
                for stanza in unacked {
                    self.down(session, Down::Stanza(stanza));
                }
            }
            Effect::ResumeRefused { session } => self.down(session, Down::Refused),
            Effect::Close { session, why } => {
                self.tell(|| format!("session {session} is closed: {why}"));
                if let Some(client) = self.by_session(session) {
                    self.clients[client].lose();
                    let jid = self.clients[client].jid.clone();
                    self.servers[server].push(&jid, Event::Closed { session });
                }
            }
            Effect::Leg { shard, leg } => {
                self.servers[server].push_to(usize::from(shard), Event::Leg(leg));
            }
            // It was answered while the shard was made anew.
            Effect::Leaving { row: Some(row), .. } if !self.servers[server].waits(shard, &row) => {}
            Effect::Leaving { domain, stanza, row, .. } => {
                let other = self.servers.iter().position(|one| one.domain.domain() == domain);
                self.leave((server, shard), other.unwrap(), Freight { shard, row, stanza });
            }
            Effect::Log { level: 1 | 2, module, text } => panic!("{module} complains: {text}"),
            Effect::Bound { .. }
            | Effect::TokenChecked { .. }
            | Effect::Answer { .. }
            | Effect::Count { .. }
            | Effect::Log { .. }
            | Effect::PeerAnswer { .. }
            | Effect::Look { .. }
            | Effect::DropFile { .. }
            | Effect::Account { .. } => {}
        }
    }

    fn by_session(&self, session: u64) -> Option<usize> {
        self.clients.iter().position(|client| client.session == session && client.is_connected)
    }

    fn down(&mut self, session: u64, down: Down) {
        if let Some(client) = self.by_session(session) {
            self.tell(|| format!("{} gets {}", self.clients[client].jid, short(&down)));
            self.clients[client].down.push_back(down);
        }
    }

    fn server_of(&self, client: usize) -> usize {
        let domain = self.clients[client].jid.domain();
        self.servers.iter().position(|server| server.domain.domain() == domain).unwrap()
    }

    /// Takes the next thing that a client wrote to its server.
    fn write(&mut self, number: usize) -> bool {
        let server = self.server_of(number);
        let client = &mut self.clients[number];
        let Some(up) = client.up.pop_front() else { return false };
        let session = client.session;
        let event = match up {
            Up::Stanza(mut stanza) => {
                stanza.from = Some(client.jid.clone());
                Event::Sent { session, stanza }
            }
            Up::Ack(h) => Event::Acked { session, h },
            Up::Active(active) => Event::Active { session, active },
        };
        let jid = client.jid.clone();
        self.servers[server].push(&jid, event);
        true
    }

    fn write_some(&mut self, number: usize, times: usize) {
        for _ in 0..times {
            if !self.write(number) {
                return;
            }
        }
    }

    fn say(&mut self, number: usize) {
        let mut to = self.chance.below(self.clients.len());
        if self.clients[to].jid.same_bare(&self.clients[number].jid) {
            to = (to + self.shape.devices) % self.clients.len();
        }
        let to = self.clients[to].jid.clone();
        if !self.clients[number].is_ready {
            return;
        }
        if self.shape.domains > 1 && self.chance.one_in(4) {
            return self.clients[number].ask(&to);
        }
        let to = if self.shape.to_full { to } else { to.bare() };
        self.clients[number].say(&to);
    }

    fn look(&mut self, number: usize, active: bool) {
        let client = &mut self.clients[number];
        if client.is_ready {
            client.up.push_back(Up::Active(active));
        }
    }

    fn client_acks(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if client.is_ready {
            client.up.push_back(Up::Ack(client.received));
        }
    }

    fn server_acks(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if client.is_ready {
            let h = self.handled[usize::try_from(client.session).unwrap()];
            client.down.push_back(Down::Ack(h));
        }
    }

    fn come(&mut self, number: usize) {
        if !self.clients[number].is_connected {
            self.connect(number);
        }
    }

    fn go(&mut self, number: usize) {
        if self.clients[number].is_connected {
            // Its server notices now, or only when the client is back already.
            let notices = !self.chance.one_in(3);
            self.cut(number, notices);
        }
    }

    fn cut(&mut self, number: usize, notices: bool) {
        let server = self.server_of(number);
        let client = &mut self.clients[number];
        let (session, jid) = (client.session, client.jid.clone());
        client.lose();
        self.tell(|| format!("{jid} loses session {session}"));
        if notices {
            self.servers[server].push(&jid, Event::Detached { session });
        }
    }

    fn connect(&mut self, number: usize) {
        let session = u64::try_from(self.handled.len()).unwrap();
        self.handled.push(0);
        let server = self.server_of(number);
        let client = &mut self.clients[number];
        client.session = session;
        client.is_connected = true;
        let (jid, received) = (client.jid.clone(), client.received);
        let events = match client.token.clone() {
            Some(token) => {
                let (account, h) = (jid.bare(), client.received);
                let login = login();
                vec![Event::Resume { session, account, token, h, login, fresh: None }]
            }
            None => {
                client.forget();
                let opened = Event::Opened { session, jid: jid.clone(), login: login() };
                vec![opened, Event::Enable { session, resume: true }]
            }
        };
        self.tell(|| {
            format!("{jid} has session {session} after {received}: {} events", events.len())
        });
        for event in events {
            self.servers[server].push(&jid, event);
        }
    }

    fn crash(&mut self, server: usize) {
        self.crashes += 1;
        self.tell(|| format!("server {server} is killed"));
        let domain = self.servers[server].domain.domain().to_owned();
        for client in self.clients.iter_mut().filter(|client| client.jid.domain() == domain) {
            client.lose();
        }
        self.forget_ways(server);
        self.servers[server].crash(self.now_ms);
    }

    /// The engine of a shard panics: its connections are closed.
    fn fall(&mut self, server: usize) {
        let shard = self.chance.below(self.servers[server].shards());
        self.tell(|| format!("shard {shard} of server {server} falls"));
        let one = &self.servers[server];
        let domain = one.domain.domain().to_owned();
        for client in self.clients.iter_mut().filter(|client| client.jid.domain() == domain) {
            if one.shard_of(&client.jid) == shard {
                client.lose();
            }
        }
        self.servers[server].fall(shard, self.now_ms);
    }

    /// Works until nothing waits any more.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut is_quiet = true;
            for server in 0..self.servers.len() {
                for shard in 0..self.servers[server].shards() {
                    is_quiet &= !self.servers[server].step(shard, self.now_ms);
                    self.servers[server].sync(usize::MAX);
                    while let Some(out) = self.servers[server].release(shard) {
                        is_quiet = false;
                        self.let_go((server, shard), out);
                    }
                }
            }
            for client in 0..self.clients.len() {
                is_quiet &= !(self.write(client) | self.clients[client].read());
            }
            if is_quiet && !self.carry_all() {
                return;
            }
        }
        panic!("the servers do not come to rest");
    }

    /// Ends the storm: everybody comes back and reads what is there.
    pub(crate) fn calm(&mut self) {
        self.tell(|| "calm".to_owned());
        self.settle();
        // A refused resumption takes a second try; what waited for sessions that never come back
        // goes to those that are there, or waits for them.
        for _ in 0..3 {
            for client in 0..self.clients.len() {
                if self.clients[client].is_connected && !self.clients[client].is_ready {
                    self.cut(client, true);
                }
                if !self.clients[client].is_connected {
                    self.connect(client);
                }
                self.look(client, true);
                self.settle();
            }
            // What waits offline comes in parts, the next when a client has the last.
            for client in (0..20).flat_map(|_| 0..self.clients.len()).collect::<Vec<_>>() {
                self.client_acks(client);
                self.settle();
            }
            self.now_ms += RESUME_MS + 1;
            self.settle();
        }
        for client in 0..self.clients.len() {
            assert!(self.clients[client].is_ready, "{} is not back", self.clients[client].jid);
            self.server_acks(client);
        }
        self.settle();
    }
}

/// Says what a stanza is, for a run that is told.
fn short(down: &Down) -> String {
    match down {
        Down::Stanza(stanza) => {
            let late = if stanza.view().has(xmpp::ns::DELAY, "delay") { " late" } else { "" };
            format!("{} {}{late}", stanza.kind.name(), stanza.id.as_deref().unwrap_or("-"))
        }
        other => format!("{other:?}"),
    }
}

fn login() -> Box<LoginFacts> {
    Box::new(LoginFacts {
        mechanism: "SCRAM-SHA-256".to_owned(),
        tls: "TLSv1.3".to_owned(),
        ..LoginFacts::default()
    })
}
