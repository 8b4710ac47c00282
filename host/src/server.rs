//! What is opened before the first actor starts, and what all parts of the running server share.

use std::fmt;
use std::net::IpAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Instant;

use arc_swap::ArcSwap;
use calypte::wire::{Head, Question};
use store::Store;
use stream::Facts;
use xmpp::{Jid, StanzaError};

use crate::accounts::{News, RemovalThread};
use crate::acme::{Acme, AcmeThread};
use crate::actors::requests::{Mailbox, Posted};
use crate::actors::{Line, Step};
use crate::admin::AdminThread;
use crate::config::Config;
use crate::federation::rules::PeerRule;
use crate::federation::view::PeerState;
use crate::files::Files;
use crate::http::{Arrivals, Doors, HttpThread, Transfers};
use crate::metrics::Metrics;
use crate::modules::Modules;
use crate::start::Ports;
use crate::tls::Tls;
use crate::watch::WatchThread;

/// Everything that a start needs. When there is one, nothing about the configuration can fail any
/// more: the ports are bound, the certificate is read, the store is open, the modules are set up.
pub(crate) struct Prepared {
    /// What every part of the server sees.
    pub(crate) shared: Arc<Shared>,
    /// The bound ports. All are non-blocking.
    pub(crate) sockets: Sockets,
    /// Called once by `actors::serve` when clients can log in.
    pub(crate) ready: Box<dyn FnOnce() + Send>,
}

/// What every part of the running server sees.
pub(crate) struct Shared {
    /// The configuration in force. `calypte reload` replaces it; read it when it is needed.
    pub(crate) config: ArcSwap<Config>,
    /// The certificate in force.
    pub(crate) tls: Tls,
    /// The store.
    pub(crate) store: Arc<Store>,
    /// Files that people send each other.
    pub(crate) files: Files,
    /// Which of them come and go.
    pub(crate) transfers: Transfers,
    /// The modules in force, with their settings, in the operator's order.
    pub(crate) modules: ArcSwap<Modules>,
    /// Figures.
    pub(crate) metrics: Metrics,
    /// Connections for HTTP that came to a port for all.
    pub(crate) arrivals: Arrivals,
    /// Where certificates come from, with `[acme]`.
    pub(crate) acme: Acme,
    /// Where the configuration was read; nowhere in `calypte dev`.
    pub(crate) config_path: Option<PathBuf>,
    /// When the server started.
    pub(crate) started: Instant,
    /// Whether clients can log in.
    is_ready: AtomicBool,
    /// Whether the server stops.
    is_stopping: AtomicBool,
    /// What only the actors can do.
    running: OnceLock<Arc<dyn Running>>,
}

/// What the server listens on.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The bound ports.
    pub(crate) ports: Ports,
    /// The operator's commands.
    pub(crate) admin: UnixListener,
}

/// A question for a module.
#[derive(Debug)]
pub(crate) struct Asking {
    /// `http` or `command`.
    pub(crate) kind: &'static str,
    /// The path or node.
    pub(crate) name: String,
    /// For whom: the domain or an account.
    pub(crate) owner: Jid,
    /// What is asked.
    pub(crate) question: Question,
}

/// What a module answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The answer, or why there is none.
    pub(crate) body: Result<Vec<u8>, StanzaError>,
    /// Status and headers of an answer by HTTP, when the module said any.
    pub(crate) head: Option<Head>,
}

/// Takes an answer. It is called in the thread of a shard, and must not wait for anything.
pub(crate) type TakeAnswer = Box<dyn FnOnce(Answer) + Send>;

/// What only the actors can do. They hand it to [`Shared::set_running`] before they call `ready`.
///
/// The methods are called from other threads (the admin socket's), may block for a moment, and
/// must not call back.
pub(crate) trait Running: Send + Sync {
    /// Something became of an account: see [`News`]. When its contacts are told or its sessions end,
    /// it returns when what that wrote is with the store. Returns false when that was not dealt with
    /// in time, or not at all.
    fn account_changed(&self, account: &Jid, news: News) -> bool;

    /// Asks a module. `taker` gets the answer, if there is one: a shard that fails drops its
    /// questions, so the caller sets the time to wait and calls [`Running::forget`] after it.
    /// Returns the token of the question, `None` when too many wait already.
    fn ask(&self, asking: Asking, taker: TakeAnswer) -> Option<u64>;

    /// Stops waiting for an answer.
    fn forget(&self, token: u64);

    /// Returns what is known of the domains that we talk with, or want to.
    fn peers(&self) -> Vec<PeerState>;

    /// Tries to reach a domain now, whatever was to be waited for. Returns false when nothing waits
    /// for it.
    fn retry_peer(&self, domain: &str) -> bool;

    /// Returns what was said by command about domains.
    fn peer_rules(&self) -> Vec<(String, PeerRule)>;

    /// Blocks or allows a domain; `None` leaves it to the configuration again. What is not allowed
    /// any more ends. On disk when it returns.
    ///
    /// # Errors
    ///
    /// A sentence; nothing changed then.
    fn set_peer_rule(&self, domain: &str, rule: Option<PeerRule>) -> Result<(), String>;

    /// Makes an attempt to reach a domain, beside what is connected. The steps come as they happen;
    /// the channel ends when the attempt is over.
    fn trace_peer(&self, domain: &str) -> mpsc::Receiver<Step>;

    /// Takes over a connection that is a WebSocket now, of a client at `address`. It is dropped when
    /// there is no place.
    fn welcome(&self, line: Line, address: IpAddr);

    /// Begins the session of a client at `address` that comes by requests. Without a place the
    /// request is dropped.
    fn begin_session(&self, first: Posted, facts: Facts, address: IpAddr);

    /// Returns where to put requests for the session of this name.
    fn mailbox(&self, sid: &str) -> Option<Arc<Mailbox>>;

    /// `shared.config`, `.tls` and `.modules` were replaced: put what they say into force.
    ///
    /// # Errors
    ///
    /// A sentence when it cannot be done; what was in force before stays then.
    fn reconfigure(&self) -> Result<(), String>;
}

impl Shared {
    /// Brings the parts together.
    pub(crate) fn new(
        config: Config,
        config_path: Option<PathBuf>,
        tls: Tls,
        store: Store,
        files: Files,
        modules: Modules,
    ) -> Self {
        Self {
            config: ArcSwap::from_pointee(config),
            tls,
            store: Arc::new(store),
            files,
            transfers: Transfers::default(),
            modules: ArcSwap::from_pointee(modules),
            metrics: Metrics::default(),
            arrivals: Arrivals::default(),
            acme: Acme::default(),
            config_path,
            started: Instant::now(),
            is_ready: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            running: OnceLock::new(),
        }
    }

    /// Connects the actors. Only the first call counts.
    pub(crate) fn set_running(&self, running: Arc<dyn Running>) {
        drop(self.running.set(running));
        self.is_ready.store(true, Relaxed);
    }

    /// Starts the threads that answer operators and HTTP. They stop when the result is dropped,
    /// which `actors::serve` does after the last client has gone.
    ///
    /// # Errors
    ///
    /// A sentence when a thread cannot be started.
    pub(crate) fn attend(self: &Arc<Self>, sockets: Sockets) -> Result<Attendants, String> {
        let failed = |error: std::io::Error| format!("a thread cannot be started: {error}");
        let socket = self.config.load().admin_socket();
        let Sockets { ports, admin } = sockets;
        let is_shared = !self.config.load().listen.alpn.is_empty();
        let doors = Doors { https: ports.https, plain: ports.web, is_shared };
        Ok(Attendants {
            _http: HttpThread::start(ports.http, self).map_err(failed)?,
            _https: HttpThread::start_public(doors, self).map_err(failed)?,
            _challenges: HttpThread::start_challenges(ports.http_acme, &self.acme.challenges)
                .map_err(failed)?,
            _acme: AcmeThread::start(self).map_err(failed)?,
            _admin: AdminThread::start(admin, &socket, self).map_err(failed)?,
            _watch: WatchThread::start(self).map_err(failed)?,
            _removals: RemovalThread::start(self).map_err(failed)?,
        })
    }

    /// Tells whether clients can log in.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }

    /// Says that clients cannot log in any more. The actors call it when they begin to stop.
    pub(crate) fn set_stopping(&self) {
        self.is_ready.store(false, Relaxed);
        self.is_stopping.store(true, Relaxed);
    }

    /// Tells whether the server stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Relaxed)
    }

    /// Returns the actors, once they run.
    pub(crate) fn running(&self) -> Option<&Arc<dyn Running>> {
        self.running.get()
    }
}

/// The threads beside the actors.
#[derive(Debug)]
pub(crate) struct Attendants {
    _http: HttpThread,
    _https: HttpThread,
    _challenges: HttpThread,
    _acme: AcmeThread,
    _admin: AdminThread,
    _watch: WatchThread,
    _removals: RemovalThread,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}
