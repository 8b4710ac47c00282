//! The work of a shard: events into the engine, writes to the store, effects out once they are on
//! disk, strictly in order.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use engine::{Effect, Engine, Event, Leg, Outcome, Pipeline, Setup};
use table::{Batch, Overlay, Storage, Ticket};
use xmpp::StreamError;

use super::hall::{Features, Hall};
use super::inbox::Parcel;
use super::link::{self, Leaving};
use super::looks;
use super::outbox::{Bound, Outbox, Receipt, Resumed, Word};
use super::works;
use crate::server::Answer;
use crate::{clock, fault, reach};

thread_local! {
    /// The shard of this arbiter. What a connection of the same arbiter has for it needs no
    /// message.
    static HERE: RefCell<Option<Rc<RefCell<Worker>>>> = const { RefCell::new(None) };
}

/// A shard at work.
pub(crate) struct Worker {
    number: u16,
    hall: Arc<Hall>,
    /// `None` after a panic, until the supervisor sends new modules.
    engine: Option<Engine>,
    reader: Arc<dyn Storage + Send + Sync>,
    overlay: Overlay,
    /// Connections by their number.
    links: BTreeMap<u64, Arc<Outbox>>,
    /// Effects that wait for the disk, or behind such.
    pending: VecDeque<Pending>,
    /// Events that came of effects.
    again: VecDeque<Event>,
    /// What came from other domains, or was given up, while the shard did not serve. Connections to them read no
    /// further than so much is under way.
    missed: VecDeque<(Event, Option<Receipt>)>,
    wake_at: Option<u64>,
    shown: Shown,
}

/// What the figures say of this shard.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    sessions: i64,
    detached: i64,
}

struct Pending {
    ticket: Ticket,
    effects: Vec<Effect>,
    receipt: Option<Receipt>,
    bytes: usize,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Worker {
    /// Returns a shard that does not serve before it has risen.
    pub(crate) fn new(number: u16, hall: &Arc<Hall>) -> Self {
        Self {
            number,
            hall: Arc::clone(hall),
            engine: None,
            reader: hall.shared.store.reader(),
            overlay: Overlay::default(),
            links: BTreeMap::new(),
            pending: VecDeque::new(),
            again: VecDeque::new(),
            missed: VecDeque::new(),
            wake_at: None,
            shown: Shown::default(),
        }
    }

    /// Makes `worker` the shard of this arbiter.
    pub(crate) fn install(worker: &Rc<RefCell<Self>>) {
        HERE.with(|here| *here.borrow_mut() = Some(Rc::clone(worker)));
    }

    /// Returns the shard of this arbiter.
    pub(crate) fn here() -> Option<Rc<RefCell<Self>>> {
        HERE.with(|here| here.borrow().clone())
    }

    /// Tells whether this is the arbiter of a shard.
    pub(crate) fn is_here(shard: u16) -> bool {
        let worker = Self::here();
        worker.is_some_and(|worker| worker.try_borrow().is_ok_and(|here| here.number == shard))
    }

    /// Hands a parcel to a shard: directly when it is the one of this arbiter.
    pub(crate) fn hand(hall: &Hall, shard: u16, parcel: Parcel) {
        let Some(inbox) = hall.inbox(shard) else { return };
        let here = Self::here();
        let own = here.as_ref().and_then(|worker| worker.try_borrow_mut().ok());
        match own.filter(|worker| worker.number == shard && worker.engine.is_some()) {
            Some(mut worker) => {
                let before = worker.wake_at;
                worker.take(parcel);
                worker.settle();
                // Its own actor sets the timer.
                if worker.wake_at != before && worker.wake_at.is_some() {
                    inbox.wake();
                }
            }
            None => inbox.push(parcel),
        }
    }

    /// Starts to serve, with what is on disk.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) fn rise(&mut self, pipeline: Pipeline) -> Result<(), String> {
        let mut seed = [0; 32];
        crypto::random(&mut seed);
        let setup = Setup {
            domain: self.hall.domain.clone(),
            shard: self.number,
            shards: self.hall.shards(),
            limits: self.hall.engine_limits(),
            admins: self.hall.shared.config.load().admins.clone(),
            software: ("Calypte".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            started_ms: self.hall.started_ms,
            components: self.hall.components.domains(),
            web_url: reach::web_url(&self.hall.shared.config.load()).map(|url| url.to_string()),
            seed,
            secret: self.hall.module_secret.clone(),
        };
        // One that served before knows sessions that the new one does not.
        self.part(StreamError::InternalServerError);
        let store = self.overlay.over(&*self.reader);
        let made = catch_unwind(AssertUnwindSafe(|| {
            Engine::new(setup, pipeline, &store, clock::now_ms())
        }));
        match made {
            Ok(Ok((engine, outcome))) => {
                self.engine = Some(engine);
                let (told, came): (Vec<_>, Vec<_>) = std::mem::take(&mut self.missed)
                    .into_iter()
                    .partition(|(event, _)| matches!(event, Event::Undeliverable { .. }));
                // First, so that what was given up is not handed out again.
                for (event, _) in told {
                    self.step(event, None);
                }
                self.accept(outcome, None);
                for (event, receipt) in came {
                    self.step(event, receipt.as_ref());
                }
                self.settle();
                let features = self.stream_features();
                self.hall.set_features(self.number, features);
                Ok(())
            }
            Ok(Err(_)) => Err("the store cannot be read; `calypte verify` tells more".to_owned()),
            Err(_) => Err("what is stored about sessions makes the engine fail".to_owned()),
        }
    }

    /// Tells whether the shard serves.
    pub(crate) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// Returns when the shard wants to be woken, in milliseconds since 1970.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        self.engine.as_ref().and(self.wake_at)
    }

    /// Returns what modules add to the features of a stream.
    fn stream_features(&mut self) -> Features {
        let store = self.overlay.over(&*self.reader);
        let Some(engine) = &mut self.engine else { return Features::default() };
        let inline = engine.pipeline().inline_features();
        let takes_tokens = engine.pipeline().takes_tokens();
        let features = AssertUnwindSafe(|| engine.stream_features(&store, clock::now_ms()));
        let bound = catch_unwind(features).unwrap_or_default();
        let early = AssertUnwindSafe(|| engine.early_features(&store, clock::now_ms()));
        let early = catch_unwind(early).unwrap_or_default();
        Features { bound, early, inline, takes_tokens }
    }

    /// Does what a parcel asks for.
    pub(crate) fn take(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Client { link, events, receipt } => {
                if let Some(link) = link {
                    self.links.insert(link.id(), link);
                }
                for event in events {
                    let gone = match &event {
                        Event::Detached { session } | Event::Closed { session } => Some(*session),
                        _ => None,
                    };
                    self.step(event, receipt.as_ref());
                    if let Some(session) = gone {
                        self.links.remove(&session);
                    }
                }
            }
            Parcel::Leg { leg, receipt } => {
                if let Some(inbox) = self.hall.inbox(self.number) {
                    inbox.remove(leg.stanza.bytes());
                }
                self.step(Event::Leg(*leg), receipt.as_ref());
            }
            Parcel::Event(event) => {
                let gone = rows_of(&event);
                self.step(*event, None);
                let gone = gone.iter().map(Vec::as_slice);
                self.hall.federation.forgotten(self.number, gone);
            }
            Parcel::Awaited(event, told) => {
                self.step(*event, None);
                // What the step wrote is with the store; who waits goes on, or has given up.
                if self.engine.is_some() {
                    let _ = told.send(());
                }
            }
            Parcel::Reconfigure(pipeline, limits) => {
                if let Some(engine) = &mut self.engine {
                    engine.set_pipeline(*pipeline);
                    engine.set_limits(limits);
                    engine.set_admins(self.hall.shared.config.load().admins.clone());
                    // The new modules hear that they run.
                    self.step(Event::Tick, None);
                    let features = self.stream_features();
                    self.hall.set_features(self.number, features);
                }
            }
            Parcel::Rise(pipeline) => {
                if let Err(why) = self.rise(*pipeline) {
                    tracing::error!(shard = self.number, why, "A shard does not start again.");
                    self.hall.report_death(self.number);
                }
            }
        }
        while let Some(event) = self.again.pop_front() {
            self.step(event, None);
        }
        self.show();
    }

    fn step(&mut self, event: Event, receipt: Option<&Receipt>) {
        let Some(engine) = &mut self.engine else { return self.miss(event, receipt) };
        let store = self.overlay.over(&*self.reader);
        let step = AssertUnwindSafe(|| {
            fault::strike(&event);
            engine.step(clock::now_ms(), event, &store)
        });
        match catch_unwind(step) {
            Ok(outcome) => self.accept(outcome, receipt),
            Err(_) => self.fall(),
        }
    }

    /// Something happened while the shard does not serve. What came from another domain waits, or
    /// it would be counted; what was given up waits, or it would leave again behind what is newer;
    /// what another domain has must not be sent there again when the shard is made anew. The rest comes again, or is nobody's any more.
    fn miss(&mut self, event: Event, receipt: Option<&Receipt>) {
        match event {
            Event::Arriving(_) | Event::Undeliverable { .. } => {
                self.missed.push_back((event, receipt.cloned()));
            }
            Event::Left { rows } => {
                let mut writes = Batch::default();
                rows.into_iter().for_each(|row| writes.delete(row));
                let ticket = self.hall.shared.store.submit(writes.clone());
                self.overlay.add(ticket, &writes);
            }
            _ => {}
        }
    }

    /// The engine panicked: what it had in memory cannot be trusted any more. What it decided
    /// before still holds.
    fn fall(&mut self) {
        self.engine = None;
        self.wake_at = None;
        self.part(StreamError::InternalServerError);
        self.hall.report_death(self.number);
    }

    /// Ends the streams of all connections.
    fn part(&mut self, why: StreamError) {
        for link in std::mem::take(&mut self.links).into_values() {
            link.push(Word::Close(why));
        }
    }

    fn accept(&mut self, outcome: Outcome, receipt: Option<&Receipt>) {
        let Outcome { writes, effects, wake_at } = outcome;
        self.wake_at = wake_at;
        let mut ticket = 0;
        if !writes.is_empty() {
            ticket = self.hall.shared.store.submit(writes.clone());
            self.overlay.add(ticket, &writes);
            self.hall.shared.metrics.commits.one();
        }
        if ticket == 0 && self.pending.is_empty() {
            for effect in effects {
                self.apply(effect, receipt);
            }
            return;
        }
        let bytes = effects.iter().map(weight).sum();
        if let Some(inbox) = self.hall.inbox(self.number) {
            inbox.add(bytes);
        }
        self.pending.push_back(Pending { ticket, effects, receipt: receipt.cloned(), bytes });
    }

    /// Lets go what is on disk, and asks to be woken for the rest.
    pub(crate) fn settle(&mut self) {
        loop {
            self.release();
            while let Some(event) = self.again.pop_front() {
                self.step(event, None);
            }
            let Some(inbox) = self.hall.inbox(self.number) else { return };
            let Some(first) = self.pending.front() else {
                return inbox.set_waits_for_disk(false);
            };
            // Said before it is looked at, so that no news of the disk is missed.
            inbox.set_waits_for_disk(true);
            if first.ticket > self.hall.shared.store.durable() {
                return;
            }
        }
    }

    fn release(&mut self) {
        if self.pending.is_empty() && self.overlay.is_empty() {
            return;
        }
        let durable = self.hall.shared.store.durable();
        while let Some(pending) = self.pending.pop_front_if(|first| first.ticket <= durable) {
            let Pending { effects, receipt, bytes, .. } = pending;
            for effect in effects {
                self.apply(effect, receipt.as_ref());
            }
            if let Some(inbox) = self.hall.inbox(self.number) {
                inbox.remove(bytes);
            }
        }
        self.overlay.settle(durable);
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
    }

    fn apply(&mut self, effect: Effect, receipt: Option<&Receipt>) {
        match effect {
            Effect::ToSession { session, stanza } => {
                if let Some(link) = self.links.get(&session) {
                    self.hall.shared.metrics.stanzas_out.of(stanza.kind.name()).one();
                    link.push(Word::Stanza(stanza));
                }
            }
            Effect::Leg { shard, leg } => self.cross(shard, leg, receipt),
            // It was answered while the shard was made anew, or is about to be handed out again.
            Effect::Leaving { row: Some(row), .. } if !self.waits(&row) => {}
            Effect::Leaving { domain, stanza, row, since_ms } => {
                let leaving = Leaving { stanza, row, since_ms };
                link::send(&self.hall, self.number, &domain, leaving);
            }
            Effect::TokenChecked { session, verdict } => {
                self.tell(session, Word::TokenChecked(verdict));
                // Nobody has logged in. It is linked again when it binds.
                self.links.remove(&session);
            }
            Effect::Bound { session, answers, enabled, token } => {
                self.tell(session, Word::Bound(Box::new(Bound { answers, enabled, token })));
            }
            Effect::Enabled { session, token } => self.tell(session, Word::Enabled(token)),
            Effect::Resumed { session, jid, token, handled, before, unacked, fresh } => {
                if let Some(link) = before.and_then(|before| self.links.remove(&before)) {
                    link.push(Word::Close(StreamError::Conflict));
                }
                self.hall.shared.metrics.resumed.one();
                let resumed = Resumed { jid, token, handled, unacked, fresh };
                self.tell(session, Word::Resumed(Box::new(resumed)));
            }
            Effect::ResumeRefused { session } => {
                self.tell(session, Word::ResumeRefused);
                // Nothing is there for it. It is linked again when it binds.
                self.links.remove(&session);
            }
            Effect::Close { session, why } => {
                self.tell(session, Word::Close(why));
                self.links.remove(&session);
            }
            Effect::Answer { token, answer, head } => {
                self.hall.questions.answer(token, Answer { body: answer, head });
            }
            Effect::Count { module, name, by } => {
                self.hall.shared.metrics.module(&module, &name).add(by);
            }
            Effect::Log { level, module, text } => log(level, &module, &text),
            Effect::Look { token, look } => looks::start(&self.hall, self.number, token, look),
            Effect::Account { token, work } => works::start(&self.hall, self.number, token, work),
            Effect::DropFile { name } => {
                let shared = Arc::clone(&self.hall.shared);
                // Nobody waits for it.
                drop(tokio::task::spawn_blocking(move || shared.files.remove(&name)));
            }
            Effect::PeerAnswer { token, verdict } => self.hall.verdicts.answer(token, verdict),
        }
    }

    fn waits(&self, row: &[u8]) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.waits(row))
    }

    fn cross(&self, shard: u16, leg: Leg, receipt: Option<&Receipt>) {
        let Some(inbox) = self.hall.inbox(shard) else { return };
        inbox.add(leg.stanza.bytes());
        inbox.push(Parcel::Leg { leg: Box::new(leg), receipt: receipt.cloned() });
    }

    fn tell(&self, session: u64, word: Word) {
        if let Some(link) = self.links.get(&session) {
            link.push(word);
        }
    }

    fn show(&mut self) {
        let of = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let sessions = of(self.engine.as_ref().map_or(0, Engine::sessions));
        let detached = sessions.saturating_sub(of(self.links.len())).max(0);
        let metrics = &self.hall.shared.metrics;
        metrics.sessions.add(sessions.saturating_sub(self.shown.sessions));
        metrics.detached.add(detached.saturating_sub(self.shown.detached));
        self.shown = Shown { sessions, detached };
    }
}

/// Returns the rows that the shard has forgotten after this event.
fn rows_of(event: &Event) -> Vec<Vec<u8>> {
    match event {
        Event::Left { rows } => rows.clone(),
        Event::Undeliverable { row, .. } => row.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Returns about how many bytes an effect holds while it waits.
fn weight(effect: &Effect) -> usize {
    match effect {
        Effect::ToSession { stanza, .. } | Effect::Leaving { stanza, .. } => stanza.bytes(),
        Effect::Leg { leg, .. } => leg.stanza.bytes(),
        Effect::Resumed { unacked, .. } => unacked.iter().map(xmpp::Stanza::bytes).sum(),
        _ => 64,
    }
}

fn log(level: u32, module: &str, text: &str) {
    match level {
        1 => tracing::error!(module, "{text}"),
        2 => tracing::warn!(module, "{text}"),
        3 => tracing::info!(module, "{text}"),
        _ => tracing::debug!(module, "{text}"),
    }
}
