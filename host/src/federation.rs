//! Other domains: what waits for each, which connections there are, and who is let in.
//!
//! No actor is in here. `actors/link` connects, reads and writes; it takes what waits from a
//! [`Route`] and says here what it knows of its connection.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use crypto::Secret;
use stream::s2s::PeerSettings;
use tokio::sync::Semaphore;
use xmpp::StanzaError;

use crate::actors::Word;
use crate::server::Shared;

pub(crate) mod dane;
pub(crate) mod dial;
pub(crate) mod dials;
pub(crate) mod identity;
pub(crate) mod look;
pub(crate) mod names;
pub(crate) mod resolve;
pub(crate) mod route;
mod routes;
pub(crate) mod rules;
pub(crate) mod tls;
pub(crate) mod trouble;
pub(crate) mod view;

use dials::Dials;
use identity::Roots;
use resolve::Resolver;
use route::{Entry, Pushed, Route, Row, Total};
use routes::Routes;
use rules::Rules;
use view::Known;

/// What all domains together may have waiting, as a multiple of what one may.
const ALL_FACTOR: usize = 32;
/// How many peers that have proved nothing are looked up in DNS at a time.
const STRANGER_LOOKS_MAX: usize = 16;

/// Two domains: ours and theirs.
pub(crate) type Pair = (String, String);

/// See the file.
pub(crate) struct Federation {
    shared: Arc<Shared>,
    /// Finds the servers of domains.
    pub(crate) resolver: Resolver,
    /// For what is looked up about peers that have proved nothing.
    pub(crate) stranger_looks: Semaphore,
    /// For attempts to reach servers.
    pub(crate) dials: Dials,
    roots: ArcSwap<Roots>,
    settings: ArcSwap<PeerSettings>,
    rules: Rules,
    routes: Mutex<Routes>,
    /// Rows that are here, or were and are not yet known to be gone in their shard. A shard that is
    /// made anew gives all its rows again.
    rows: Mutex<BTreeSet<Row>>,
    total: Arc<Total>,
    links: Mutex<BTreeMap<u64, Known>>,
    /// The server stops.
    is_closed: AtomicBool,
}

/// What is to be done with a stanza that leaves.
#[derive(Debug)]
pub(crate) enum Sent {
    /// Nothing.
    Waits,
    /// Somebody has to look after this route from now on.
    Attend(Arc<Route>),
    /// It cannot leave.
    Refused(Box<(Entry, StanzaError)>),
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation").finish_non_exhaustive()
    }
}

impl Federation {
    /// Returns one that knows nobody.
    ///
    /// # Errors
    ///
    /// A sentence when names cannot be looked up or certificates cannot be judged.
    pub(crate) fn new(shared: &Arc<Shared>, secret: Secret) -> Result<Self, String> {
        let config = shared.config.load();
        let roots = Roots::load(&config.federation)?;
        Ok(Self {
            shared: Arc::clone(shared),
            resolver: Resolver::new(&config.federation)?,
            stranger_looks: Semaphore::new(STRANGER_LOOKS_MAX),
            dials: Dials::default(),
            roots: ArcSwap::from_pointee(roots),
            settings: ArcSwap::from_pointee(settings(shared, secret)),
            rules: Rules::load(shared)?,
            routes: Mutex::default(),
            rows: Mutex::default(),
            total: Arc::default(),
            links: Mutex::default(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// The server stops: all connections are told, and none is made any more. What waits stays in
    /// its rows.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Relaxed);
        self.tell_all(|| Word::Farewell);
    }

    /// Tells whether the server stops.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// Tells whether no connection is left.
    pub(crate) fn is_quiet(&self) -> bool {
        self.links().is_empty()
    }

    /// Tries to reach `domain` now. Returns false when nothing waits for it.
    pub(crate) fn retry(&self, domain: &str) -> bool {
        let mut is_known = false;
        for route in self.routes().into_iter().filter(|route| route.remote == domain) {
            route.end_rest();
            route.call.notify_one();
            is_known = true;
        }
        is_known
    }

    /// Puts the configuration into force for new streams.
    ///
    /// # Errors
    ///
    /// A sentence; nothing changed then.
    pub(crate) fn refresh(&self) -> Result<(), String> {
        let roots = Roots::load(&self.shared.config.load().federation)?;
        self.roots.store(Arc::new(roots));
        let secret = self.settings.load().dialback_secret.clone();
        self.settings.store(Arc::new(settings(&self.shared, secret)));
        Ok(())
    }

    /// Returns the authorities that are trusted.
    pub(crate) fn roots(&self) -> Arc<Roots> {
        self.roots.load_full()
    }

    /// Returns what new streams are told.
    pub(crate) fn settings(&self) -> Arc<PeerSettings> {
        self.settings.load_full()
    }

    /// Tells whether the operator lets us talk with `domain`.
    pub(crate) fn permits(&self, domain: &str) -> bool {
        let config = self.shared.config.load();
        self.rules.of(domain).map_or_else(
            || config.federation.permits(domain),
            |rule| rule == rules::PeerRule::Allow,
        )
    }

    /// Tells whether `domain` may prove itself by dialback.
    pub(crate) fn permits_dialback(&self, domain: &str) -> bool {
        self.shared.config.load().federation.permits_dialback(domain)
    }

    /// Returns the rules that the operator set by command.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Takes a stanza from `local` to `remote`.
    pub(crate) fn push(&self, local: &str, remote: &str, entry: Entry) -> Sent {
        if !self.notes(&entry) {
            // A shard that was made anew gives what is here already.
            return Sent::Waits;
        }
        if !self.permits(remote) {
            return refuse(entry, trouble::not_allowed(remote));
        }
        let limit = self.shared.config.load().federation.queue.bytes();
        // Under the lock, so that nobody takes the route away meanwhile.
        let mut routes = lock(&self.routes);
        let pair = (local.to_owned(), remote.to_owned());
        let make = || Route::new(local, remote, Arc::clone(&self.total));
        let Some(route) = routes.get_or(pair, make) else {
            return refuse(entry, trouble::full(remote));
        };
        match route.push(entry, limit, limit.saturating_mul(ALL_FACTOR)) {
            Pushed::Waits => Sent::Waits,
            Pushed::Attend => Sent::Attend(Arc::clone(route)),
            Pushed::Full(entry) => refuse(entry, trouble::full(remote)),
            Pushed::Hopeless(entry, trouble) => refuse(entry, trouble.error(remote)),
        }
    }

    /// Notes the row of a stanza. Returns false when it is here already.
    pub(crate) fn notes(&self, entry: &Entry) -> bool {
        entry.row.as_ref().is_none_or(|row| lock(&self.rows).insert(row.clone()))
    }

    /// Returns the route of two domains, if something waits or waited a short time ago.
    pub(crate) fn route(&self, local: &str, remote: &str) -> Option<Arc<Route>> {
        lock(&self.routes).get(&(local.to_owned(), remote.to_owned())).cloned()
    }

    /// Returns all routes.
    pub(crate) fn routes(&self) -> Vec<Arc<Route>> {
        lock(&self.routes).all().cloned().collect()
    }

    /// Returns the routes that nobody looks after although something waits. Who asks has to.
    pub(crate) fn unattended(&self) -> Vec<Arc<Route>> {
        lock(&self.routes).all().filter(|route| route.claim()).cloned().collect()
    }

    /// Takes a route away that nobody looks after, if nothing waits for it.
    pub(crate) fn sweep(&self, route: &Route) {
        let mut routes = lock(&self.routes);
        let pair = (route.local.clone(), route.remote.clone());
        if routes.get(&pair).is_some_and(|route| route.is_abandoned()) {
            routes.remove(&pair);
        }
    }

    /// The shard has forgotten rows that the peer got or that came to nothing.
    pub(crate) fn forgotten<'a>(&self, shard: u16, keys: impl IntoIterator<Item = &'a [u8]>) {
        let mut rows = lock(&self.rows);
        for key in keys {
            rows.remove(&Row { shard, key: key.to_vec() });
        }
    }

    /// Returns how many stanzas wait or are not acknowledged, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.total.get()
    }

    /// Returns how long messages wait.
    pub(crate) fn retry_for(&self) -> Duration {
        self.shared.config.load().federation.retry_for.0
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<u64, Known>> {
        lock(&self.links)
    }
}

fn refuse(entry: Entry, error: StanzaError) -> Sent {
    Sent::Refused(Box::new((entry, error)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under the locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settings(shared: &Shared, dialback_secret: Secret) -> PeerSettings {
    let config = shared.config.load();
    let domain = config.domain.as_str();
    let labels = shared.modules.load().served_labels();
    let below = labels.into_iter().map(|label| format!("{label}.{domain}"));
    // Other servers reach components, too.
    let components = config.components.iter().map(|one| one.domain.as_str().to_owned());
    PeerSettings {
        domains: std::iter::once(domain.to_owned()).chain(below).chain(components).collect(),
        stanza_bytes: config.limits.stanza.bytes(),
        dialback_secret,
    }
}
