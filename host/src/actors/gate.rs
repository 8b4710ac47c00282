//! Who is connected: bounds for each address and for all, and who goes first when it is full.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xmpp::StreamError;

use super::outbox::{Outbox, Word};
use crate::config::settings::Limits;
use crate::federation::names;
use crate::metrics::{Counter, Family, Gauge, Metrics};
use crate::server::Shared;

/// How many servers below one parent domain keep their places when others want one.
const OF_ONE_PARENT: usize = 32;

/// Who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guests {
    /// Clients.
    Clients,
    /// Other servers.
    Servers,
    /// Components.
    Components,
}

/// How many components may be connected.
const COMPONENTS: u32 = 256;

/// All connections of one kind.
#[derive(Debug)]
pub(crate) struct Gate {
    guests: Guests,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: BTreeMap<u64, Arc<Outbox>>,
    /// Those that have not logged in, the oldest first.
    strangers: BTreeMap<u64, Arc<Outbox>>,
    /// Servers that have proved a domain, below each parent domain, the oldest first.
    crowds: BTreeMap<String, BTreeMap<u64, Arc<Outbox>>>,
    by_address: BTreeMap<IpAddr, u32>,
    is_closed: bool,
}

/// The place of one connection. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
    id: u64,
    is_stranger: bool,
    /// The parent of the domain that it proved first.
    parent: Option<String>,
}

impl Gate {
    /// Returns a gate that nobody has passed.
    pub(crate) fn new(guests: Guests, shared: Arc<Shared>) -> Self {
        Self { guests, shared, state: Mutex::default() }
    }

    /// Lets a connection in, for which an older one that has not logged in may have to go, or one
    /// of a domain with more than its share. `None`: there is no place.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, outbox: &Arc<Outbox>) -> Option<Place> {
        let figures = self.guests.figures(&self.shared.metrics);
        let bounds = self.guests.bounds(&self.shared.config.load().limits);
        let address = network(address);
        figures.accepted.one();
        let mut goes = None;
        {
            let mut state = self.lock();
            if state.is_closed {
                return None;
            }
            let same = state.by_address.get(&address).copied().unwrap_or(0);
            if same >= bounds.of_one_address {
                figures.refused.of("address").one();
                return None;
            }
            let is_full =
                |have: usize, limit: u32| have >= usize::try_from(limit).unwrap_or(usize::MAX);
            let too_strange = is_full(state.strangers.len(), bounds.strangers);
            if too_strange || is_full(state.all.len(), bounds.all) {
                figures.refused.of("connections").one();
                // Who was told to go still takes a place, until it has gone.
                let most = bounds.all.saturating_add(bounds.strangers);
                if is_full(state.all.len(), most) {
                    return None;
                }
                goes = Some(state.make_room(too_strange)?);
            }
            let id = outbox.id();
            state.all.insert(id, Arc::clone(outbox));
            state.strangers.insert(id, Arc::clone(outbox));
            state.by_address.insert(address, same.saturating_add(1));
        }
        if let Some(oldest) = goes {
            oldest.push(Word::Close(StreamError::ResourceConstraint));
        }
        figures.all.add(1);
        figures.strangers.add(1);
        let (gate, id) = (Arc::clone(self), outbox.id());
        Some(Place { gate, address, id, is_stranger: true, parent: None })
    }

    /// Lets nobody in any more and says goodbye to all.
    pub(crate) fn close(&self) {
        let all: Vec<_> = {
            let mut state = self.lock();
            state.is_closed = true;
            state.all.values().cloned().collect()
        };
        for outbox in all {
            outbox.push(Word::Farewell);
        }
    }

    /// Tells whether nobody is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().all.is_empty()
    }

    fn figures(&self) -> Figures<'_> {
        self.guests.figures(&self.shared.metrics)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns who has to go: the oldest of the largest crowd, if it has more than its share and
    /// it does not have to be a stranger; else the oldest stranger.
    fn make_room(&mut self, of_strangers: bool) -> Option<Arc<Outbox>> {
        let largest = self.crowds.values_mut().max_by_key(|crowd| crowd.len());
        let crowd = largest.filter(|crowd| !of_strangers && crowd.len() > OF_ONE_PARENT);
        let oldest = crowd.and_then(BTreeMap::pop_first);
        oldest.or_else(|| self.strangers.pop_first()).map(|(_, outbox)| outbox)
    }

    fn leave_crowd(&mut self, parent: &str, id: u64) {
        if let Some(crowd) = self.crowds.get_mut(parent) {
            crowd.remove(&id);
            if crowd.is_empty() {
                self.crowds.remove(parent);
            }
        }
    }
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    all: u32,
    /// Those that have not proved who they are.
    strangers: u32,
    of_one_address: u32,
}

/// Where they are counted.
struct Figures<'a> {
    accepted: &'a Counter,
    refused: &'a Family,
    all: &'a Gauge,
    strangers: &'a Gauge,
}

impl Guests {
    /// Returns the word for the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Servers => "servers",
            Self::Components => "components",
        }
    }

    fn bounds(self, limits: &Limits) -> Bounds {
        match self {
            Self::Clients => Bounds {
                all: limits.connections,
                strangers: limits.logging_in,
                of_one_address: limits.connections_per_address,
            },
            Self::Servers => Bounds {
                all: limits.peers,
                strangers: limits.peers.div_ceil(4),
                of_one_address: limits.peers_per_address,
            },
            Self::Components => Bounds {
                all: COMPONENTS,
                strangers: COMPONENTS.div_ceil(4),
                of_one_address: COMPONENTS,
            },
        }
    }

    fn figures(self, metrics: &Metrics) -> Figures<'_> {
        match self {
            Self::Clients => Figures {
                accepted: &metrics.accepted,
                refused: &metrics.refused,
                all: &metrics.connections,
                strangers: &metrics.logging_in,
            },
            Self::Servers => Figures {
                accepted: &metrics.s2s_accepted,
                refused: &metrics.s2s_refused,
                all: &metrics.s2s_in,
                strangers: &metrics.s2s_strangers,
            },
            Self::Components => Figures {
                accepted: &metrics.components_accepted,
                refused: &metrics.components_refused,
                all: &metrics.components,
                strangers: &metrics.components_strangers,
            },
        }
    }
}

impl Place {
    /// Returns where the connection comes from: for IPv6 its /64.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Notes that the server has proved `domain`.
    pub(crate) fn proved(&mut self, domain: &str) {
        if !self.is_stranger {
            return;
        }
        let parent = names::parent(domain).to_owned();
        let mut state = self.gate.lock();
        // Who was told to go is not there any more.
        if let Some(outbox) = state.strangers.get(&self.id).cloned() {
            state.crowds.entry(parent.clone()).or_default().insert(self.id, outbox);
            self.parent = Some(parent);
        }
        drop(state);
        self.logged_in();
    }

    /// Notes that the connection has logged in.
    pub(crate) fn logged_in(&mut self) {
        if std::mem::take(&mut self.is_stranger) {
            self.gate.lock().strangers.remove(&self.id);
            self.gate.figures().strangers.add(-1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.logged_in();
        let mut state = self.gate.lock();
        state.all.remove(&self.id);
        if let Some(parent) = &self.parent {
            state.leave_crowd(parent, self.id);
        }
        if let Some(count) = state.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.by_address.remove(&self.address);
            }
        }
        drop(state);
        self.gate.figures().all.add(-1);
    }
}

/// Who has one address of IPv6 has all of its /64.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_crowd_makes_room() {
        let mut state = State::default();
        let outbox = |id| Outbox::new(id, 1024);
        for id in 0..=32 {
            state.crowds.entry("evil.example".to_owned()).or_default().insert(id, outbox(id));
        }
        state.crowds.entry("b.example".to_owned()).or_default().insert(40, outbox(40));
        state.strangers.extend([50, 51].map(|id| (id, outbox(id))));
        let mut goes = |of_strangers| state.make_room(of_strangers).map(|outbox| outbox.id());
        assert_eq!(goes(true), Some(50));
        assert_eq!(goes(false), Some(0));
        // The rest is its share.
        assert_eq!(goes(false), Some(51));
        assert_eq!(goes(false), None);
        (0..=32).for_each(|id| state.leave_crowd("evil.example", id));
        assert_eq!(state.crowds.len(), 1);
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
