//! One event from beginning to end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use table::{Batch, Storage};
use xmpp::{Stanza, StanzaError, StreamError};

use crate::blanks::Blanks;
use crate::commands::Running;
use crate::event::{Effect, Event, Leg, Outcome, Setup};
use crate::later::Owed;
use crate::leaving::{Leaving, LeavingCount};
use crate::peers::Looks;
use crate::pipeline::Pipeline;
use crate::refusals::Refusals;
use crate::requests::{Late, Requests};
use crate::session::Sessions;
use crate::wakes::Wakes;

/// Stanzas in one step for which there is always room.
const LEGS_KEPT: usize = 16;

/// One shard of one domain.
#[derive(Debug)]
pub struct Engine {
    pipeline: Pipeline,
    pub(crate) state: State,
}

/// What a shard remembers between events, besides its tables.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) setup: Setup,
    pub(crate) sessions: Sessions,
    /// Tables that are lost with the process, under the same keys as those on disk.
    pub(crate) volatile: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Stanzas that modules keep ready, under keys of volatile tables.
    pub(crate) ready: BTreeMap<Vec<u8>, Stanza>,
    pub(crate) volatile_bytes: usize,
    /// How many of those each module has.
    pub(crate) volatile_of: BTreeMap<Vec<u8>, usize>,
    /// Tables that have no row.
    pub(crate) blanks: Blanks,
    pub(crate) requests: Requests,
    pub(crate) looks: Looks,
    /// Changes of accounts that the host makes.
    pub(crate) works: Looks,
    pub(crate) owed: Owed,
    /// Commands that clients are in the middle of.
    pub(crate) commands: Running,
    /// Times that somebody asked for.
    pub(crate) wakes: Wakes,
    /// When a lost session is over: when, number.
    pub(crate) expiries: BTreeSet<(u64, u64)>,
    /// The time of the last stanza that crossed to another shard, and its place among those.
    pub(crate) crossed: (u64, u32),
    pub(crate) leaving: Leaving,
    /// Whether modules heard that the domain's shard runs.
    pub(crate) is_started: bool,
    /// The room of [`Step::legs`], which every stanza needs.
    pub(crate) legs: VecDeque<Leg>,
    /// How much randomness was used.
    pub(crate) chance: u64,
    /// What was said in the log about calls that were refused.
    pub(crate) refusals: Refusals,
}

/// An event on its way through the shard.
pub(crate) struct Step<'a> {
    pub(crate) pipeline: &'a mut Pipeline,
    pub(crate) state: &'a mut State,
    pub(crate) store: &'a dyn Storage,
    pub(crate) now_ms: u64,
    pub(crate) writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    pub(crate) effects: Vec<Effect>,
    /// Stanzas for owners of this shard that wait for their turn.
    pub(crate) legs: VecDeque<Leg>,
    pub(crate) notices: VecDeque<Told>,
    /// Answers to requests that could not even be sent.
    pub(crate) late: VecDeque<Late>,
    /// When the stanza that is being received came first, for one that waited.
    pub(crate) since_ms: Option<u64>,
    pub(crate) calls_left: u32,
    pub(crate) operations_left: u32,
    /// Whether a module is asked what it shows, and so may only read.
    pub(crate) is_discovering: bool,
}

/// A notice that has not been passed on yet.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) owner: String,
    pub(crate) session: String,
    pub(crate) name: String,
    pub(crate) payload: Vec<u8>,
}

impl Engine {
    /// Returns a shard with what its tables on disk say was going on.
    ///
    /// # Errors
    ///
    /// The fault of the store, which then must not be served.
    pub fn new(
        setup: Setup,
        pipeline: Pipeline,
        store: &dyn Storage,
        now_ms: u64,
    ) -> Result<(Self, Outcome), table::Fault> {
        let mut engine = Self::empty(setup, pipeline);
        let mut step = engine.start(store, now_ms);
        step.restore()?;
        step.tell_started();
        step.settle();
        let outcome = step.finish();
        Ok((engine, outcome))
    }

    /// Returns a shard in which nothing happens yet.
    pub(crate) fn empty(setup: Setup, pipeline: Pipeline) -> Self {
        let state = State {
            setup,
            sessions: Sessions::default(),
            volatile: BTreeMap::new(),
            ready: BTreeMap::new(),
            volatile_bytes: 0,
            volatile_of: BTreeMap::new(),
            blanks: Blanks::default(),
            requests: Requests::default(),
            looks: Looks::default(),
            works: Looks::default(),
            owed: Owed::default(),
            commands: Running::default(),
            wakes: Wakes::default(),
            crossed: (0, 0),
            leaving: Leaving::default(),
            is_started: false,
            expiries: BTreeSet::new(),
            legs: VecDeque::new(),
            chance: 0,
            refusals: Refusals::default(),
        };
        Self { pipeline, state }
    }

    /// Takes an event through the modules.
    ///
    /// `store` shows what is on disk and what earlier steps of this shard wrote.
    pub fn step(&mut self, now_ms: u64, event: Event, store: &dyn Storage) -> Outcome {
        let mut step = self.start(store, now_ms);
        step.take(event);
        step.finish()
    }

    /// Returns the modules.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Replaces the modules, as on a reload. Sessions, tables and timers stay. The new ones hear
    /// that they run with the next event; without another, send [`Event::Tick`].
    pub fn set_pipeline(&mut self, pipeline: Pipeline) {
        self.pipeline = pipeline;
        self.state.is_started = false;
        self.state.wakes.unpark();
        // Whoever held a session may not be there any more.
        self.state.sessions.release_all();
    }

    /// Replaces the bounds.
    pub fn set_limits(&mut self, limits: crate::Limits) {
        self.state.setup.limits = limits;
    }

    /// Replaces who may run the operator's commands.
    pub fn set_admins(&mut self, admins: Vec<xmpp::Jid>) {
        self.state.setup.admins = admins;
    }

    /// Returns how many sessions there are, connected or expected back.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.state.sessions.len()
    }

    /// Returns what waits for other domains, by domain.
    #[must_use]
    pub fn leaving(&self) -> Vec<LeavingCount> {
        self.state.leaving.counts()
    }

    /// Tells whether a stanza still waits for another domain, by the row of [`Effect::Leaving`].
    #[must_use]
    pub fn waits(&self, row: &[u8]) -> bool {
        self.state.leaving.has(row)
    }

    /// Returns the XML of the stream features that modules add.
    pub fn stream_features(&mut self, store: &dyn Storage, now_ms: u64) -> Vec<String> {
        self.start(store, now_ms).module_features("stream-feature")
    }

    /// Returns the XML of the stream features that modules add for clients that have not logged in.
    pub fn early_features(&mut self, store: &dyn Storage, now_ms: u64) -> Vec<String> {
        self.start(store, now_ms).module_features("early-feature")
    }

    pub(crate) fn start<'a>(&'a mut self, store: &'a dyn Storage, now_ms: u64) -> Step<'a> {
        let limits = self.state.setup.limits;
        let legs = std::mem::take(&mut self.state.legs);
        Step {
            pipeline: &mut self.pipeline,
            state: &mut self.state,
            store,
            now_ms,
            writes: BTreeMap::new(),
            effects: Vec::new(),
            legs,
            notices: VecDeque::new(),
            late: VecDeque::new(),
            since_ms: None,
            calls_left: limits.calls,
            operations_left: limits.operations,
            is_discovering: false,
        }
    }
}

impl Step<'_> {
    fn take(&mut self, event: Event) {
        if !self.state.is_started {
            self.tell_started();
            self.settle();
        }
        match event {
            Event::Opened { session, jid, login } => self.open(session, jid, &login),
            Event::Sent { session, stanza } => self.sent(session, stanza),
            Event::Malformed { session, stanza, error } => {
                self.malformed(session, &stanza, &error);
            }
            Event::Leg(leg) => self.arrived(leg),
            Event::Arriving(stanza) => self.arrive(stanza),
            Event::Left { rows } => self.left(rows),
            Event::Undeliverable { row, stanza, error } => {
                self.undeliverable(row, &stanza, &error);
            }
            Event::Token { session, account, proof } => self.check_token(session, &account, &proof),
            Event::Bind { session, wishes, enable, token } => {
                self.bind(session, &wishes, enable, token.as_deref());
            }
            Event::Enable { session, resume } => self.enable(session, resume),
            Event::Acked { session, h } => self.acked(session, h),
            Event::Active { session, active } => self.set_active(session, active),
            Event::Detached { session } => self.detach(session),
            Event::Closed { session } => self.end(session, None),
            Event::Resume { session, account, token, h, login, fresh } => {
                self.resume(session, &account, (&token, h), (&login, fresh.as_deref()));
            }
            Event::Account { account, is_gone } => self.account_changed(&account, is_gone),
            Event::AccountEnds { account } => self.account_ends(&account),
            Event::AccountDone { token, fault } => self.account_done(token, fault),
            Event::Ask(ask) => self.ask(&ask),
            Event::Stranger { token, stranger, request } => {
                self.ask_stranger(token, &stranger, &request);
            }
            Event::Peer { token, facts } => self.judge_peer(token, &facts),
            Event::BindingHidden => self.tell_hidden(),
            Event::Looked { token, found } => self.looked(token, found),
            Event::Tick => {}
        }
        self.settle();
        self.tick();
        self.settle();
    }

    /// Works until nothing waits any more.
    pub(crate) fn settle(&mut self) {
        loop {
            if let Some(told) = self.notices.pop_front() {
                self.pass_on(&told);
            } else if let Some(leg) = self.legs.pop_front() {
                self.receive(leg);
            } else if let Some(late) = self.late.pop_front() {
                self.give_late(late);
            } else {
                return;
            }
        }
    }

    fn finish(self) -> Outcome {
        // Nothing is left in it, and after a storm its room is given back.
        let mut legs = self.legs;
        legs.clear();
        legs.shrink_to(LEGS_KEPT);
        self.state.legs = legs;
        let mut writes = Batch::default();
        for (key, value) in self.writes {
            match value {
                Some(value) => writes.put(key, value),
                None => writes.delete(key),
            }
        }
        let wake = self.state.wakes.next();
        let expiry = self.state.expiries.first().map(|(at, _)| *at);
        let answer = self.state.requests.next_deadline();
        let look = self.state.looks.next_deadline();
        let work = self.state.works.next_deadline();
        let owed = self.state.owed.next_deadline();
        let wake_at = [wake, expiry, answer, look, work, owed].into_iter().flatten().min();
        Outcome { writes, effects: self.effects, wake_at }
    }

    /// Sends the error for a stanza to its sender, if it may be answered at all.
    pub(crate) fn refuse(&mut self, stanza: &Stanza, error: &StanzaError, is_assured: bool) {
        if let Some(mut reply) = stanza.error_reply(error) {
            if reply.to.is_none() {
                return;
            }
            if reply.from.is_none() {
                reply.from = reply.to.as_ref().map(xmpp::Jid::bare);
            }
            self.route(reply, is_assured);
        }
    }

    /// Writes a record, or deletes it.
    pub(crate) fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.writes.insert(key, value);
    }

    pub(crate) fn log(&mut self, level: u32, module: &str, text: impl Into<String>) {
        let (module, text) = (module.to_owned(), text.into());
        self.effects.push(Effect::Log { level, module, text });
    }

    pub(crate) fn close_stream(&mut self, session: u64, why: StreamError) {
        if let Some(session) = self.state.sessions.get_mut(session) {
            session.closing = true;
        }
        self.effects.push(Effect::Close { session, why });
    }

    /// Returns random bytes that nobody can foresee who does not know the seed.
    pub(crate) fn random(&mut self, bytes: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes);
        while out.len() < bytes {
            self.state.chance = self.state.chance.wrapping_add(1);
            let block =
                crypto::keyed_hash(&self.state.setup.seed, &self.state.chance.to_le_bytes());
            let wanted = bytes.saturating_sub(out.len()).min(block.len());
            out.extend(block.iter().take(wanted));
        }
        out
    }
}
