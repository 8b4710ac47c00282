//! Owns everything that runs: starts it, makes shards anew after a panic, reloads and stops it.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use actix::prelude::*;
use engine::{Ask, Event, Pipeline};
use stream::Facts;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::oneshot;
use xmpp::Jid;

use super::client::{Caller, Client, Line};
use super::gate::Guests;
use super::hall::Hall;
use super::inbox::Parcel;
use super::link::{self, Step};
use super::listener::{self, Entrance, Listener};
use super::outbox::Outbox;
use super::requests::{Mailbox, Posted};
use super::shard::{End, Shard};
use crate::accounts::News;
use crate::federation::rules::PeerRule;
use crate::federation::view::PeerState;
use crate::reload;
use crate::server::{Asking, Running, TakeAnswer};

/// A shard that panicked is made anew after this.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// A shard that panics again and again is made anew after this.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A panic this long after the last one counts as the first.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// How long a shard may take to end the sessions of an account.
const SHARD_WITHIN: Duration = Duration::from_secs(5);
/// How often a stopping server looks whether everybody is gone.
const LOOK: Duration = Duration::from_millis(20);
/// How often the store is looked at.
const LOOK_AT_STORE: Duration = Duration::from_secs(1);

/// See the file.
pub(crate) struct Supervisor {
    hall: Arc<Hall>,
    arbiters: Vec<Arbiter>,
    shards: Vec<Addr<Shard>>,
    listeners: Vec<Addr<Listener>>,
    /// When each shard panicked last, and how long the pause was.
    deaths: BTreeMap<u16, (Instant, Duration)>,
    stopped: Option<oneshot::Sender<()>>,
    is_stopping: bool,
    /// Whether the store took writes when it was looked at last.
    was_writable: bool,
    /// What the system tells, until it is listened to.
    signals: Vec<(Signal, Signals)>,
}

impl Supervisor {
    /// Starts the shards and then the listeners.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) async fn launch(
        hall: &Arc<Hall>,
        sockets: Vec<(Entrance, Vec<TcpListener>)>,
    ) -> Result<oneshot::Receiver<()>, String> {
        let (stopped, wait) = oneshot::channel();
        // Before anybody is told that the server is ready: who is told may end it at once.
        let signals = signals().map_err(|error| format!("signals cannot be watched: {error}"))?;
        let mut supervisor = Self {
            hall: Arc::clone(hall),
            arbiters: Vec::new(),
            shards: Vec::new(),
            listeners: Vec::new(),
            deaths: BTreeMap::new(),
            stopped: Some(stopped),
            is_stopping: false,
            was_writable: true,
            signals,
        };
        for number in 0..hall.shards() {
            supervisor.start_shard(number).await?;
        }
        hall.set_arbiters(supervisor.arbiters.iter().map(Arbiter::handle).collect());
        let watch = Arc::clone(hall);
        hall.shared.store.on_durable(Box::new(move |_| {
            for inbox in watch.inboxes() {
                inbox.on_durable();
            }
        }));
        hall.tell_served();
        for (entrance, sockets) in sockets {
            supervisor.listen(entrance, sockets)?;
        }
        hall.set_supervisor(supervisor.start());
        Ok(wait)
    }

    async fn start_shard(&mut self, number: u16) -> Result<(), String> {
        let arbiter = Arbiter::new();
        let pipeline = self.hall.shared.modules.load().pipeline()?;
        let hall = Arc::clone(&self.hall);
        let (tell, told) = oneshot::channel();
        arbiter.spawn_fn(move || {
            let shard = Shard::new(number, &hall);
            let risen = shard.rise(pipeline).map(|()| shard.start());
            drop(tell.send(risen));
        });
        self.arbiters.push(arbiter);
        let risen = told.await.unwrap_or_else(|_| Err("a thread ended".to_owned()));
        self.shards.push(risen?);
        Ok(())
    }

    fn listen(&mut self, entrance: Entrance, sockets: Vec<TcpListener>) -> Result<(), String> {
        let handles: Vec<_> = self.arbiters.iter().map(Arbiter::handle).collect();
        for socket in sockets {
            let at = socket.local_addr().map(|address| address.to_string()).unwrap_or_default();
            let listener = Listener::new(&self.hall, &handles, entrance, socket)
                .map_err(|error| format!("{at} cannot be served: {error}"))?;
            self.listeners.push(listener.start());
            let (who, tls) = entrance.name();
            tracing::info!(at, tls, "Listening for {who}.");
        }
        Ok(())
    }

    /// Makes a shard that failed anew, after a pause that grows while it fails again and again.
    fn bury(&mut self, number: u16, context: &mut Context<Self>) {
        let now = Instant::now();
        let pause = match self.deaths.get(&number) {
            Some((last, pause)) if now.duration_since(*last) < FORGIVEN_AFTER => {
                pause.saturating_mul(2).min(PAUSE_MAX)
            }
            _ => PAUSE_MIN,
        };
        self.deaths.insert(number, (now, pause));
        self.hall.shared.metrics.restarts.one();
        tracing::error!(shard = number, "A shard failed and is made anew; its clients reconnect.");
        context.run_later(pause, move |supervisor, context| supervisor.revive(number, context));
    }

    fn revive(&mut self, number: u16, context: &mut Context<Self>) {
        let pipeline = match self.hall.shared.modules.load().pipeline() {
            Ok(pipeline) => pipeline,
            Err(why) => {
                tracing::error!(shard = number, why, "A shard cannot be made anew yet.");
                return self.bury(number, context);
            }
        };
        let index = usize::from(number);
        let is_alive = self.shards.get(index).is_some_and(Addr::connected);
        if let (false, Some(arbiter)) = (is_alive, self.arbiters.get(index)) {
            let hall = Arc::clone(&self.hall);
            let shard =
                Shard::start_in_arbiter(&arbiter.handle(), move |_| Shard::new(number, &hall));
            if let Some(slot) = self.shards.get_mut(index) {
                *slot = shard;
            }
        }
        if let Some(inbox) = self.hall.inbox(number) {
            inbox.push(Parcel::Rise(Box::new(pipeline)));
        }
    }

    /// Tells the operator when the store stops taking writes, and when it goes on.
    fn look_at_store(&mut self) {
        let health = self.hall.shared.store.health();
        let was_writable = std::mem::replace(&mut self.was_writable, health.writable);
        let free_bytes = health.free_bytes;
        match (was_writable, health.writable) {
            (true, false) => tracing::error!(
                free_bytes,
                "The disk is full. Nothing is acknowledged until there is room again."
            ),
            (false, true) => tracing::info!(free_bytes, "The disk has room again."),
            _ => {}
        }
    }

    fn stop(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        tracing::info!("Stopping; clients are told.");
        self.hall.shared.set_stopping();
        for listener in &self.listeners {
            listener.do_send(listener::Close);
        }
        self.hall.gate.close();
        self.hall.peer_gate.close();
        self.hall.component_gate.close();
        self.hall.federation.close();
        let until = Instant::now() + self.hall.shared.config.load().server.goodbye.0;
        context.run_interval(LOOK, move |supervisor, context| {
            let hall = &supervisor.hall;
            let is_quiet = hall.gate.is_empty()
                && hall.federation.is_quiet()
                && hall.inboxes().iter().all(|inbox| inbox.is_empty());
            if is_quiet || Instant::now() >= until {
                supervisor.finish();
                context.stop();
            }
        });
    }

    /// Everybody is gone, or has had the time for it.
    fn finish(&mut self) {
        for shard in &self.shards {
            shard.do_send(End);
        }
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
            // Who panicked there has said so.
            drop(arbiter.join());
        }
        if let Some(stopped) = self.stopped.take() {
            // Who waits for it may be gone; then the process ends anyway.
            let _ = stopped.send(());
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(LOOK_AT_STORE, |supervisor, _| {
            supervisor.look_at_store();
            supervisor.hall.look_at_routes();
            supervisor.hall.tell_served();
        });
        for (what, signals) in std::mem::take(&mut self.signals) {
            let each = futures_util::stream::unfold(signals, move |mut signals| async move {
                signals.recv().await.map(|()| (what, signals))
            });
            context.add_stream(each);
        }
    }
}

/// Catches the signals that mean something to the server.
fn signals() -> std::io::Result<Vec<(Signal, Signals)>> {
    Ok(vec![
        (Signal::Stop, signal(SignalKind::terminate())?),
        (Signal::Stop, signal(SignalKind::interrupt())?),
        (Signal::Reload, signal(SignalKind::hangup())?),
    ])
}

#[derive(Clone, Copy, Debug)]
enum Signal {
    Stop,
    Reload,
}

impl StreamHandler<Signal> for Supervisor {
    fn handle(&mut self, signal: Signal, context: &mut Self::Context) {
        match signal {
            Signal::Stop => self.stop(context),
            Signal::Reload => {
                let shared = Arc::clone(&self.hall.shared);
                // It reads files, and says in the log what came of it.
                drop(tokio::task::spawn_blocking(move || drop(reload::reload(&shared))));
            }
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

/// A shard does not serve any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Died(pub(crate) u16);

impl Handler<Died> for Supervisor {
    type Result = ();

    fn handle(&mut self, died: Died, context: &mut Self::Context) {
        if !self.is_stopping {
            self.bury(died.0, context);
        }
    }
}

/// What other threads ask of the actors.
pub(crate) struct Control {
    hall: Arc<Hall>,
}

impl Control {
    /// Returns the controls of a running server.
    pub(crate) fn new(hall: &Arc<Hall>) -> Self {
        Self { hall: Arc::clone(hall) }
    }

    /// Lets a client in that came by HTTP, if there is a place, on any arbiter.
    fn let_in(&self, address: IpAddr, client: impl FnOnce(Arc<Hall>, Caller) -> Client) {
        let hall = &self.hall;
        let id = hall.next_id();
        let outbox = Outbox::new(id, hall.shared.config.load().limits.queue.bytes());
        let Some(place) = hall.gate(Guests::Clients).enter(address, &outbox) else { return };
        let shard = id.checked_rem(u64::from(hall.shards())).and_then(|id| u16::try_from(id).ok());
        let Some(arbiter) = hall.arbiter(shard.unwrap_or(0)) else { return };
        let client = Box::new(client(Arc::clone(hall), Caller { outbox, place }));
        arbiter.spawn_fn(move || client.arrive());
    }
}

impl Running for Control {
    fn account_changed(&self, account: &Jid, news: News) -> bool {
        let Some(inbox) = self.hall.inbox(self.hall.shard_of(account)) else { return false };
        let account = account.clone();
        let event = Box::new(match news {
            News::Changed => Event::Account { account, is_gone: false },
            News::Ends => Event::AccountEnds { account },
            News::Gone => Event::Account { account, is_gone: true },
        });
        if news == News::Changed {
            inbox.push(Parcel::Event(event));
            return true;
        }
        let (tell, told) = mpsc::channel();
        inbox.push(Parcel::Awaited(event, tell));
        told.recv_timeout(SHARD_WITHIN).is_ok()
    }

    fn ask(&self, asking: Asking, taker: TakeAnswer) -> Option<u64> {
        let Asking { kind, name, owner, question } = asking;
        let token = self.hall.questions.add(taker)?;
        if let Some(inbox) = self.hall.inbox(self.hall.shard_of(&owner)) {
            let ask = Ask { token, kind, name, owner, question };
            inbox.push(Parcel::Event(Box::new(Event::Ask(ask))));
        }
        Some(token)
    }

    fn forget(&self, token: u64) {
        self.hall.questions.forget(token);
    }

    fn peers(&self) -> Vec<PeerState> {
        self.hall.federation.peers()
    }

    fn retry_peer(&self, domain: &str) -> bool {
        self.hall.federation.retry(domain)
    }

    fn peer_rules(&self) -> Vec<(String, PeerRule)> {
        self.hall.federation.rules().list()
    }

    fn set_peer_rule(&self, domain: &str, rule: Option<PeerRule>) -> Result<(), String> {
        self.hall.federation.rules().set(domain, rule)?;
        self.hall.part_with_refused();
        Ok(())
    }

    fn trace_peer(&self, domain: &str) -> mpsc::Receiver<Step> {
        link::trace(&self.hall, domain)
    }

    fn welcome(&self, line: Line, address: IpAddr) {
        self.let_in(address, |hall, caller| Client::over_websocket(hall, line, caller));
    }

    fn begin_session(&self, first: Posted, facts: Facts, address: IpAddr) {
        self.let_in(address, |hall, caller| Client::by_requests(hall, first, facts, caller));
    }

    fn mailbox(&self, sid: &str) -> Option<Arc<Mailbox>> {
        self.hall.requests.find(sid)
    }

    fn reconfigure(&self) -> Result<(), String> {
        let modules = self.hall.shared.modules.load_full();
        // All are made before the first is used, so that it works everywhere or nowhere.
        let pipelines: Vec<Pipeline> =
            self.hall.inboxes().iter().map(|_| modules.pipeline()).collect::<Result<_, _>>()?;
        self.hall.federation.refresh()?;
        let limits = self.hall.engine_limits();
        for (inbox, pipeline) in self.hall.inboxes().iter().zip(pipelines) {
            inbox.push(Parcel::Reconfigure(Box::new(pipeline), limits));
        }
        self.hall.refresh();
        self.hall.part_with_refused();
        Ok(())
    }
}
