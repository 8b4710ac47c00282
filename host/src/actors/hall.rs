//! What all actors share: where the shards are, what new streams are offered, who is connected.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use actix::prelude::*;
use arc_swap::{ArcSwap, ArcSwapOption};
use calypte::wire::{PeerFacts, PeerStage};
use crypto::Secret;
use engine::{Event, Limits};
use stream::Settings;
use table::Batch;
use xmpp::Jid;

use super::components::Components;
use super::gate::{Gate, Guests};
use super::inbox::{Inbox, Parcel};
use super::link::{self, Checks};
use super::looks::Looks;
use super::questions::Questions;
use super::requests::Sessions;
use super::supervisor::{Died, Supervisor};
use super::verdicts::Verdicts;
use crate::clock;
use crate::federation::Federation;
use crate::secret_key;
use crate::server::Shared;

/// The most that the engine keeps for a session which does not acknowledge, as a multiple of what
/// waits for its connection.
const UNACKED_FACTOR: usize = 4;
/// The table of what the host itself has to remember.
const SECRET_TABLE: &str = "host.secrets";

/// What modules add to what clients are offered.
#[derive(Debug, Default)]
pub(crate) struct Features {
    /// To the stream features after login, as XML.
    pub(crate) bound: Vec<String>,
    /// To the stream features before login, as XML.
    pub(crate) early: Vec<String>,
    /// To what can be asked for together with the resource (XEP-0386).
    pub(crate) inline: Vec<String>,
    /// Whether a module takes tokens in place of passwords (XEP-0484).
    pub(crate) takes_tokens: bool,
}

/// See the file.
pub(crate) struct Hall {
    /// What the whole server shares.
    pub(crate) shared: Arc<Shared>,
    /// The domain. It stays the same until a restart.
    pub(crate) domain: Jid,
    /// When the server started, in milliseconds since 1970.
    pub(crate) started_ms: u64,
    /// The clients that are connected.
    pub(crate) gate: Arc<Gate>,
    /// The servers that connected to us.
    pub(crate) peer_gate: Arc<Gate>,
    /// The components that are connected.
    pub(crate) component_gate: Arc<Gate>,
    /// Clients that come by requests.
    pub(crate) requests: Arc<Sessions>,
    /// Components.
    pub(crate) components: Components,
    /// Other domains.
    pub(crate) federation: Federation,
    /// What modules have looked up.
    pub(crate) looks: Looks,
    /// Connections that wait for what modules say.
    pub(crate) verdicts: Verdicts,
    /// Keys of other servers that are being checked.
    pub(crate) checks: Arc<Checks>,
    /// What the secrets of modules derive from.
    pub(crate) module_secret: Secret,
    settings: ArcSwap<Settings>,
    features: ArcSwap<Features>,
    secret: Secret,
    inboxes: Vec<Arc<Inbox>>,
    arbiters: OnceLock<Vec<ArbiterHandle>>,
    next_id: AtomicU64,
    /// What waits for answers of modules.
    pub(crate) questions: Questions,
    supervisor: ArcSwapOption<Addr<Supervisor>>,
    /// The key of the certificate that modules were told of.
    told_spki: Mutex<Option<[u8; 32]>>,
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall").field("shards", &self.inboxes.len()).finish_non_exhaustive()
    }
}

impl Hall {
    /// Returns a hall for as many shards as the configuration says.
    ///
    /// # Errors
    ///
    /// A sentence when other servers cannot be looked up or judged.
    pub(crate) fn new(shared: Arc<Shared>) -> Result<Arc<Self>, String> {
        let config = shared.config.load_full();
        let inboxes = (0..config.shards()).map(|_| Arc::new(Inbox::default())).collect();
        let secret = secret(&shared, b"salt");
        let settings = settings(&shared, secret.clone(), &Features::default());
        let federation = Federation::new(&shared, self::secret(&shared, b"dialback"))?;
        Ok(Arc::new(Self {
            domain: config.domain.clone(),
            started_ms: clock::now_ms(),
            gate: Arc::new(Gate::new(Guests::Clients, Arc::clone(&shared))),
            peer_gate: Arc::new(Gate::new(Guests::Servers, Arc::clone(&shared))),
            component_gate: Arc::new(Gate::new(Guests::Components, Arc::clone(&shared))),
            requests: Arc::default(),
            components: Components::new(&shared)?,
            federation,
            verdicts: Verdicts::default(),
            checks: Arc::default(),
            module_secret: secret_key::read(&config.data)?,
            settings: ArcSwap::from_pointee(settings),
            secret,
            features: ArcSwap::default(),
            inboxes,
            arbiters: OnceLock::new(),
            next_id: AtomicU64::new(1),
            questions: Questions::default(),
            looks: Looks::default(),
            supervisor: ArcSwapOption::empty(),
            told_spki: Mutex::default(),
            shared,
        }))
    }

    /// Returns the gate of these guests.
    pub(crate) fn gate(&self, guests: Guests) -> &Arc<Gate> {
        match guests {
            Guests::Clients => &self.gate,
            Guests::Servers => &self.peer_gate,
            Guests::Components => &self.component_gate,
        }
    }

    /// Tells whether `domain` is served here: ours, or below it by a module.
    pub(crate) fn serves(&self, domain: &str) -> bool {
        if domain == self.domain.as_str() {
            return true;
        }
        let label = domain.strip_suffix(self.domain.as_str()).and_then(|one| one.strip_suffix('.'));
        let labels = || self.shared.modules.load().served_labels();
        label.is_some_and(|label| labels().iter().any(|served| served == label))
    }

    /// Returns how many shards there are.
    pub(crate) fn shards(&self) -> u16 {
        u16::try_from(self.inboxes.len()).unwrap_or(1)
    }

    /// Returns what waits for a shard.
    pub(crate) fn inbox(&self, shard: u16) -> Option<&Arc<Inbox>> {
        self.inboxes.get(usize::from(shard))
    }

    /// Notes the arbiters, in the order of their shards.
    pub(crate) fn set_arbiters(&self, arbiters: Vec<ArbiterHandle>) {
        // Once for the life of the server.
        drop(self.arbiters.set(arbiters));
    }

    /// Returns the arbiter of a shard.
    pub(crate) fn arbiter(&self, shard: u16) -> Option<ArbiterHandle> {
        self.arbiters.get()?.get(usize::from(shard)).cloned()
    }

    /// Returns all inboxes, in the order of the shards.
    pub(crate) fn inboxes(&self) -> &[Arc<Inbox>] {
        &self.inboxes
    }

    /// Returns the shard of an account.
    pub(crate) fn shard_of(&self, account: &Jid) -> u16 {
        engine::shard_of(account.as_ref().bare_str(), self.shards())
    }

    /// Returns a number for a new connection.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Returns what new streams are offered.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Notes what modules add to the features of a stream; the shard of the domain speaks for all.
    pub(crate) fn set_features(&self, shard: u16, features: Features) {
        if shard == self.shard_of(&self.domain) {
            self.features.store(Arc::new(features));
            self.refresh();
        }
    }

    /// Puts the configuration into force for new streams.
    pub(crate) fn refresh(&self) {
        let settings = settings(&self.shared, self.secret.clone(), &self.features.load());
        self.settings.store(Arc::new(settings));
    }

    /// Returns a short text that stands for an installation of `account` and does not tell it.
    pub(crate) fn blur(&self, account: &Jid, agent: &str) -> String {
        blur(&self.secret, account, agent)
    }

    /// Returns the bounds of a shard.
    pub(crate) fn engine_limits(&self) -> Limits {
        let config = self.shared.config.load();
        let limits = &config.limits;
        Limits {
            sessions: usize::try_from(limits.devices).unwrap_or(usize::MAX),
            queue_bytes: limits.queue.bytes().saturating_mul(UNACKED_FACTOR),
            leaving_bytes: config.federation.queue.bytes(),
            resume_ms: u64::try_from(limits.resume_for.0.as_millis()).unwrap_or(u64::MAX),
            ..Limits::default()
        }
    }

    /// Ends what has to do with domains that the operator does not want to talk with any more.
    pub(crate) fn part_with_refused(self: &Arc<Self>) {
        link::part_with(self, |domain| !self.federation.permits(domain));
    }

    /// Tells the modules which certificate is served, at the start and when it is another.
    pub(crate) fn tell_served(&self) {
        let own_spki = self.shared.tls.current().peers.own_spki;
        let mut told = self.told_spki.lock().unwrap_or_else(PoisonError::into_inner);
        if told.replace(own_spki) != Some(own_spki) {
            let local = self.domain.as_str().to_owned();
            let (stage, own_spki) = (PeerStage::Serving, own_spki.to_vec());
            let facts =
                PeerFacts { stage, local, own_spki, is_outgoing: false, ..PeerFacts::default() };
            // Its verdict says nothing.
            let (token, _) = self.verdicts.ask();
            if let Some(inbox) = self.inbox(self.shard_of(&self.domain)) {
                let event = Event::Peer { token, facts: Box::new(facts) };
                inbox.push(Parcel::Event(Box::new(event)));
            }
        }
    }

    /// Sees to it that somebody looks after what waits for other domains, also what was restored
    /// before anybody could and what somebody who panicked left; and shows it in the figures.
    pub(crate) fn look_at_routes(self: &Arc<Self>) {
        for route in self.federation.unattended() {
            link::attend(self, route);
        }
        self.components.give_back(self);
        let (stanzas, bytes) = self.federation.waiting();
        let of = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.shared.metrics.s2s_waiting.set(of(stanzas));
        self.shared.metrics.s2s_waiting_bytes.set(of(bytes));
    }

    /// Connects the supervisor.
    pub(crate) fn set_supervisor(&self, supervisor: Addr<Supervisor>) {
        self.supervisor.store(Some(Arc::new(supervisor)));
    }

    /// Tells the supervisor that a shard does not serve any more.
    pub(crate) fn report_death(&self, shard: u16) {
        if let Some(supervisor) = &*self.supervisor.load() {
            supervisor.do_send(Died(shard));
        }
    }
}

fn settings(shared: &Shared, salt_secret: Secret, features: &Features) -> Settings {
    let config = shared.config.load();
    Settings {
        domain: config.domain.as_str().to_owned(),
        stanza_bytes: config.limits.stanza.bytes(),
        plain_allowed: config.login.plain,
        iterations: config.login.iterations,
        resume_seconds: config.limits.resume_for.seconds(),
        salt_secret,
        more_features: features.bound.clone(),
        early_features: features.early.clone(),
        inline_features: features.inline.clone(),
        takes_tokens: features.takes_tokens,
    }
}

/// The same installation has another name in each account, or resources would tell which accounts
/// belong to one person.
fn blur(secret: &Secret, account: &Jid, agent: &str) -> String {
    let key = crypto::derive_key("calypte v0 resources", secret.expose());
    let hash = crypto::keyed_hash(&key, format!("{account}\0{agent}").as_bytes());
    crate::hex::write(hash.get(..8).unwrap_or_default())
}

/// Returns a secret that outlives a restart, made when it is new. The made-up salts of unknown users
/// derive from `salt`: one that changes would tell that there is no such user. Keys for other servers
/// derive from `dialback`: they are checked over another connection, maybe after a restart.
fn secret(shared: &Shared, name: &[u8]) -> Secret {
    let key = table::full_key(SECRET_TABLE, "", name);
    if let Ok(Some(known)) = shared.store.reader().get(&key) {
        return Secret::new(known);
    }
    let mut fresh = [0; 32];
    crypto::random(&mut fresh);
    let mut batch = Batch::default();
    batch.put(key, fresh.to_vec());
    shared.store.submit(batch);
    Secret::new(fresh.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_has_one_name_in_each_account() {
        let of = |account: &str| blur(&Secret::new(vec![1; 32]), &account.parse().unwrap(), "id");
        assert_eq!(of("ana@a.example"), of("ana@a.example"));
        assert_ne!(of("ana@a.example"), of("k7f3@a.example"));
    }
}
