//! Servers and clients that share nothing but simulated wires and a clock.

use std::collections::{BTreeMap, VecDeque};

use calypte::wire::{AccountWork, Head, LoginFacts, Password, Question, TokenVerdict};
use engine::{Ask, Effect, Event, Outcome};
use xmpp::{Jid, Stanza, StanzaError};

use crate::modules::{Catalog, Form};
use crate::server::{Server, Told, Wanted};
use crate::ways::{Parting, Ways};
use crate::{accounts, files};

mod strangers;

/// When every scene starts: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;
/// More steps than this after one line are a loop between servers.
const STEPS_MAX: usize = 10_000;

/// Everything in a scene.
#[derive(Debug)]
pub(crate) struct World<'a> {
    catalog: &'a Catalog,
    form: Form,
    shards: u16,
    pub(crate) now_ms: u64,
    pub(crate) servers: BTreeMap<String, Server>,
    pub(crate) clients: BTreeMap<String, Client>,
    /// What went from server to server.
    pub(crate) wire: Vec<String>,
    sessions: u64,
    pub(crate) waiting: VecDeque<(String, u16, Event)>,
    /// What hosts are to do to accounts: for a server and shard, its token and what.
    works: VecDeque<(String, u16, u64, AccountWork)>,
    /// Where clients come from that have not logged in.
    addresses: BTreeMap<String, String>,
    /// Whose questions before login wait, by token.
    asked: BTreeMap<u64, (String, Stanza)>,
    early: u64,
    pub(crate) ways: Ways,
    /// How many streams between servers there were.
    pub(crate) streams: u64,
    /// How the last of them came out, in words.
    pub(crate) stream: Option<String>,
    /// What the last token that was shown is worth.
    pub(crate) verdict: Option<TokenVerdict>,
}

/// A client and its connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) jid: Jid,
    pub(crate) session: u64,
    pub(crate) inbox: VecDeque<Stanza>,
    /// All that ever came.
    pub(crate) seen: Vec<Stanza>,
    pub(crate) is_connected: bool,
    /// Why the server ended the stream.
    pub(crate) closed: Option<&'static str>,
    token: Option<String>,
    /// The token that it was given for its next login (XEP-0484).
    pub(crate) granted: Option<calypte::wire::Token>,
    /// What it was told of its binding (XEP-0386).
    pub(crate) bound: Option<Vec<String>>,
    /// How many stanzas it received since it turned acknowledgements on.
    pub(crate) received: u32,
    is_resumed: bool,
    pub(crate) login: Box<LoginFacts>,
}

impl<'a> World<'a> {
    pub(crate) fn new(catalog: &'a Catalog, form: Form, shards: u16) -> Self {
        Self {
            catalog,
            form,
            shards,
            now_ms: START_MS,
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            wire: Vec::new(),
            sessions: 0,
            streams: 0,
            stream: None,
            verdict: None,
            waiting: VecDeque::new(),
            works: VecDeque::new(),
            addresses: BTreeMap::new(),
            asked: BTreeMap::new(),
            early: 0,
            ways: Ways::default(),
        }
    }

    pub(crate) fn add_server(
        &mut self,
        domain: &str,
        modules: &[String],
        settings: &toml::Table,
    ) -> Result<(), String> {
        let mut server = Server::new(domain, modules, settings);
        if let Some(before) = self.servers.get(domain) {
            server.follow(before);
        }
        self.servers.insert(domain.to_owned(), server);
        self.start(domain)
    }

    /// Ends a server without a word and starts it from its store, with other modules if some are given.
    pub(crate) fn restart(
        &mut self,
        domain: &str,
        modules: Option<&[String]>,
    ) -> Result<(), String> {
        if let Some(server) = self.servers.get_mut(domain) {
            server.use_modules(modules);
        }
        for client in self.clients.values_mut().filter(|client| client.jid.domain() == domain) {
            client.is_connected = false;
            client.inbox.clear();
        }
        self.ways.forget(domain);
        self.start(domain)
    }

    fn start(&mut self, domain: &str) -> Result<(), String> {
        let server = self.servers.get_mut(domain).ok_or_else(|| no_server(domain))?;
        let outcomes = server.start(self.catalog, self.form, self.shards, self.now_ms)?;
        for (shard, outcome) in outcomes {
            self.release(domain, shard, outcome);
        }
        self.settle()
    }

    /// Makes an account, unless it is there.
    pub(crate) fn add_account(&mut self, jid: &Jid) -> Result<(), String> {
        let domain = jid.domain();
        let server = self.servers.get_mut(domain).ok_or_else(|| no_server(domain))?;
        jid.local().ok_or("an account has a name")?;
        // One that is there keeps its password.
        if accounts::find(&server.store, jid).is_none() {
            let verifier = accounts::verifier(&Password::new("password"));
            let verifier = verifier.map_err(|fault| fault.to_string())?;
            accounts::put(&mut server.store, jid, &accounts::new(verifier, self.now_ms));
        }
        Ok(())
    }

    pub(crate) fn add_admin(&mut self, jid: &Jid) -> Result<(), String> {
        self.add_account(jid)?;
        self.server(jid.domain())?.add_admin(jid);
        Ok(())
    }

    pub(crate) fn limit(&mut self, domain: &str, limits: &toml::Table) -> Result<(), String> {
        self.server(domain)?.limit(limits)
    }

    fn server(&mut self, domain: &str) -> Result<&mut Server, String> {
        self.servers.get_mut(domain).ok_or_else(|| no_server(domain))
    }

    pub(crate) fn told(&mut self, domain: &str) -> Result<&mut Told, String> {
        Ok(&mut self.server(domain)?.told)
    }

    /// Asks a module by HTTP or command, for the domain or for an account.
    pub(crate) fn ask(
        &mut self,
        domain: &str,
        owner: Option<&Jid>,
        (kind, name): (&'static str, &str),
        question: Question,
    ) -> Result<(), String> {
        let owner = match owner {
            Some(owner) => owner.clone(),
            None => Jid::parse(domain).map_err(|_| no_server(domain))?,
        };
        self.told(domain)?.answer = None;
        let name = name.to_owned();
        self.tell(&owner.clone(), Event::Ask(Ask { token: 1, kind, name, owner, question }))
    }

    pub(crate) fn take_answer(
        &mut self,
        domain: &str,
    ) -> Result<Result<String, StanzaError>, String> {
        let answer = self.told(domain)?.answer.take();
        answer.ok_or_else(|| format!("{domain} was asked nothing"))
    }

    pub(crate) fn open(
        &mut self,
        name: &str,
        jid: &Jid,
        login: &toml::Table,
    ) -> Result<(), String> {
        let login = Box::new(facts(login)?);
        self.add_account(&jid.bare())?;
        self.sessions += 1;
        let session = self.sessions;
        let client = Client {
            jid: jid.clone(),
            session,
            inbox: VecDeque::new(),
            seen: Vec::new(),
            is_connected: true,
            closed: None,
            token: None,
            bound: None,
            granted: None,
            received: 0,
            is_resumed: false,
            login: login.clone(),
        };
        self.clients.insert(name.to_owned(), client);
        self.tell(jid, Event::Opened { session, jid: jid.clone(), login })
    }

    pub(crate) fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        self.clients.get_mut(name).ok_or_else(|| format!("nobody is called {name}"))
    }

    pub(crate) fn connected(&mut self, name: &str) -> Result<&mut Client, String> {
        let client = self.client(name)?;
        if client.is_connected { Ok(client) } else { Err(format!("{name} is not connected")) }
    }

    pub(crate) fn send(&mut self, name: &str, stanza: Stanza) -> Result<(), String> {
        let client = self.connected(name)?;
        let (session, jid) = (client.session, client.jid.clone());
        self.tell(&jid, Event::Sent { session, stanza })
    }

    pub(crate) fn enable(&mut self, name: &str, resume: bool) -> Result<(), String> {
        let client = self.connected(name)?;
        client.received = 0;
        let (session, jid) = (client.session, client.jid.clone());
        self.tell(&jid, Event::Enable { session, resume })?;
        let has_token = self.client(name)?.token.is_some();
        if has_token == resume { Ok(()) } else { Err("the server refused".to_owned()) }
    }

    pub(crate) fn bind(&mut self, name: &str, wishes: Vec<String>) -> Result<(), String> {
        let client = self.connected(name)?;
        let (session, jid) = (client.session, client.jid.clone());
        self.tell(&jid, Event::Bind { session, wishes, enable: None, token: None })
    }

    pub(crate) fn set_active(&mut self, name: &str, active: bool) -> Result<(), String> {
        let client = self.connected(name)?;
        let (session, jid) = (client.session, client.jid.clone());
        self.tell(&jid, Event::Active { session, active })
    }

    pub(crate) fn ack(&mut self, name: &str) -> Result<(), String> {
        let client = self.connected(name)?;
        let (session, h, jid) = (client.session, client.received, client.jid.clone());
        self.tell(&jid, Event::Acked { session, h })
    }

    /// Ends the connection: lost, or closed by the client.
    pub(crate) fn leave(&mut self, name: &str, is_lost: bool) -> Result<(), String> {
        let client = self.connected(name)?;
        client.is_connected = false;
        client.inbox.clear();
        let (session, jid) = (client.session, client.jid.clone());
        let event = if is_lost { Event::Detached { session } } else { Event::Closed { session } };
        self.tell(&jid, event)
    }

    /// Comes back over a new connection and returns whether that worked.
    pub(crate) fn resume(&mut self, name: &str) -> Result<bool, String> {
        self.sessions += 1;
        let session = self.sessions;
        let client = self.client(name)?;
        let token = client.token.clone().ok_or("it never enabled resumption")?;
        client.session = session;
        client.is_resumed = false;
        client.is_connected = true;
        client.inbox.clear();
        let (jid, h) = (client.jid.clone(), client.received);
        let (account, login) = (jid.bare(), client.login.clone());
        self.tell(&jid, Event::Resume { session, account, token, h, login, fresh: None })?;
        let client = self.client(name)?;
        client.is_connected = client.is_resumed;
        Ok(client.is_resumed)
    }

    /// Lets time pass, and wakes each shard when it wants to be.
    pub(crate) fn pass(&mut self, ms: u64) -> Result<(), String> {
        let until = self.now_ms.saturating_add(ms);
        loop {
            let wakes = self.servers.values().filter_map(|server| {
                let (at, shard) = server.next_wake()?;
                Some((at, shard, server.domain.clone()))
            });
            match wakes.min() {
                Some((at, shard, domain)) if at <= until => {
                    self.now_ms = self.now_ms.max(at);
                    self.waiting.push_back((domain, shard, Event::Tick));
                    self.settle()?;
                }
                _ => break,
            }
        }
        self.now_ms = until;
        Ok(())
    }

    pub(crate) fn tell(&mut self, jid: &Jid, event: Event) -> Result<(), String> {
        let domain = jid.domain();
        let server = self.servers.get(domain).ok_or_else(|| no_server(domain))?;
        self.tell_shard(domain, server.shard_of(jid), event)
    }

    pub(crate) fn tell_shard(
        &mut self,
        domain: &str,
        shard: u16,
        event: Event,
    ) -> Result<(), String> {
        self.waiting.push_back((domain.to_owned(), shard, event));
        self.settle()
    }

    /// Works until nothing happens any more.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            let Some((domain, shard, event)) = self.waiting.pop_front() else {
                // It is slow, so the rest comes first.
                match self.works.pop_front() {
                    Some((domain, shard, token, work)) => self.work(&domain, shard, token, &work),
                    None => return Ok(()),
                }
                continue;
            };
            let Some(server) = self.servers.get_mut(&domain) else {
                return Err(no_server(&domain));
            };
            let outcome = server.step(shard, self.now_ms, event);
            self.release(&domain, shard, outcome);
        }
        Err("the servers do not come to rest".to_owned())
    }

    /// Takes an event through a shard before what waits.
    pub(crate) fn now(&mut self, domain: &str, shard: u16, event: Event) {
        if let Some(server) = self.servers.get_mut(domain) {
            let outcome = server.step(shard, self.now_ms, event);
            self.release(domain, shard, outcome);
        }
    }

    /// Does what a step asks for. Its writes are in the store.
    fn release(&mut self, domain: &str, shard: u16, outcome: Outcome) {
        for effect in outcome.effects {
            match effect {
                Effect::ToSession { session, stanza } => {
                    if let Some(client) = self.by_session(session) {
                        client.seen.push(stanza.clone());
                        client.inbox.push_back(stanza);
                    }
                }
                Effect::Leg { shard, leg } => {
                    self.waiting.push_back((domain.to_owned(), shard, Event::Leg(leg)));
                }
                Effect::Leaving { domain: to, stanza, row, .. } => {
                    self.part(Parting { from: domain.to_owned(), shard, to, stanza, row });
                }
                Effect::TokenChecked { verdict, .. } => self.verdict = Some(verdict),
                Effect::Bound { session, answers, token, .. } => {
                    if let Some(client) = self.by_session(session) {
                        client.bound = Some(answers);
                        client.granted = token;
                    }
                }
                Effect::Enabled { session, token } => {
                    if let Some(client) = self.by_session(session) {
                        client.token = token;
                    }
                }
                Effect::Resumed { session, unacked, .. } => {
                    if let Some(client) = self.by_session(session) {
                        client.is_resumed = true;
                        client.seen.extend(unacked.iter().cloned());
                        client.inbox.extend(unacked);
                    }
                }
                Effect::Close { session, why } => {
                    if let Some(client) = self.by_session(session) {
                        client.is_connected = false;
                        client.closed = Some(why.name());
                    }
                    self.waiting.push_back((domain.to_owned(), shard, Event::Closed { session }));
                }
                Effect::ResumeRefused { .. } => {}
                Effect::Account { token, work } => {
                    self.works.push_back((domain.to_owned(), shard, token, work));
                }
                Effect::Answer { token, answer, .. } if self.asked.contains_key(&token) => {
                    self.answer_early(token, answer);
                }
                Effect::Answer { .. }
                | Effect::DropFile { .. }
                | Effect::PeerAnswer { .. }
                | Effect::Look { .. }
                | Effect::Count { .. }
                | Effect::Log { .. } => {
                    self.note(domain, shard, effect);
                }
            }
        }
    }

    /// Returns what the servers said in their logs.
    pub(crate) fn logged(&self) -> impl Iterator<Item = &String> {
        self.servers.values().flat_map(|server| &server.told.log)
    }

    /// Keeps what a server says to its operator.
    fn note(&mut self, domain: &str, shard: u16, effect: Effect) {
        let Some(server) = self.servers.get_mut(domain) else { return };
        match effect {
            Effect::Answer { token: files::TOKEN, answer, .. } => {
                server.told.folder.said = answer.ok();
            }
            Effect::DropFile { name } => drop(server.told.folder.files.remove(&name)),
            Effect::Answer { answer, head, .. } => {
                let text = |bytes: Vec<u8>| {
                    format!("{}{}", shown(head.as_ref()), String::from_utf8_lossy(&bytes))
                };
                server.told.answer = Some(answer.map(text));
            }
            Effect::PeerAnswer { verdict, .. } => server.told.verdict = Some(*verdict),
            Effect::Look { token, look } => {
                server.told.looks.push(Wanted { shard, token, look });
            }
            Effect::Count { module, name, by } => {
                *server.told.counters.entry(format!("{module}.{name}")).or_default() += by;
            }
            Effect::Log { module, text, .. } => {
                server.told.log.push(format!("{module}: {text}"));
            }
            _ => {}
        }
    }

    fn by_session(&mut self, session: u64) -> Option<&mut Client> {
        self.clients.values_mut().find(|client| client.session == session && client.is_connected)
    }
}

/// Writes how an answer begins: its media type when it has nothing else, or else all of it.
fn shown(head: Option<&Head>) -> String {
    match head {
        None => String::new(),
        Some(Head { status: 200, headers }) if headers.len() == 1 => {
            headers.iter().map(|(_, value)| format!("{value}: ")).collect()
        }
        Some(Head { status, headers }) => {
            let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
            format!("{status}\n{}", lines.collect::<String>())
        }
    }
}

/// Returns what is known of a login: a good one, but for what the scene says.
fn facts(login: &toml::Table) -> Result<LoginFacts, String> {
    let mut facts = LoginFacts {
        mechanism: "SCRAM-SHA-256-PLUS".to_owned(),
        channel_bound: true,
        tls: "TLSv1.3".to_owned(),
        exporter: Some(vec![7; 32]),
        client_key: Some(vec![8; 32]),
        ..LoginFacts::default()
    };
    for (name, value) in login {
        let text = value.as_str().unwrap_or_default().to_owned();
        match name.as_str() {
            "mechanism" => facts.mechanism = text,
            "tls" => facts.tls = text,
            "user_agent" => facts.user_agent = Some(text),
            "software" => facts.software = Some(text),
            "device" => facts.device = Some(text),
            "channel_bound" => facts.channel_bound = value.as_bool() == Some(true),
            "exporter" if value.as_bool() == Some(false) => facts.exporter = None,
            "client_key" if value.as_bool() == Some(false) => facts.client_key = None,
            _ => return Err(format!("nothing about a login is called {name}")),
        }
    }
    Ok(facts)
}

fn no_server(domain: &str) -> String {
    format!("no server {domain}")
}
