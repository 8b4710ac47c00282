//! Components (XEP-0114): which there are, what waits for each, and stanzas that pass between them,
//! our shards and other servers.
//!
//! A component is reached as another domain is, over a route; but nobody goes to look for it: while it
//! is not connected, who writes to it hears so at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use stream::ComponentSettings;
use xmpp::{Stanza, StanzaError};

use super::hall::Hall;
use super::link;
use crate::clock;
use crate::components;
use crate::federation::Sent;
use crate::federation::route::{Entry, Pushed, Route};
use crate::federation::trouble;
use crate::server::Shared;

/// What all components together may have waiting, as a multiple of what one may.
const ALL_FACTOR: usize = 8;

/// See the file.
#[derive(Debug)]
pub(crate) struct Components {
    /// What streams of components are told.
    pub(crate) settings: Arc<ComponentSettings>,
    routes: BTreeMap<String, Arc<Route>>,
}

impl Components {
    /// Returns those of the configuration; none is connected.
    ///
    /// # Errors
    ///
    /// A sentence when a secret cannot be read.
    pub(crate) fn new(shared: &Shared) -> Result<Self, String> {
        let config = shared.config.load();
        let components = components::secrets(&config).map_err(|(_, why)| why)?;
        let total = Arc::default();
        let route = |(domain, _): &(String, _)| {
            let route = Route::new(config.domain.as_str(), domain, Arc::clone(&total));
            (domain.clone(), Arc::new(route))
        };
        let routes = components.iter().map(route).collect();
        let stanza_bytes = config.limits.stanza.bytes();
        Ok(Self { settings: Arc::new(ComponentSettings { components, stanza_bytes }), routes })
    }

    /// Tells whether a component has this domain, connected or not.
    pub(crate) fn has(&self, domain: &str) -> bool {
        self.routes.contains_key(domain)
    }

    /// Returns the route of a component.
    pub(crate) fn route(&self, domain: &str) -> Option<&Arc<Route>> {
        self.routes.get(domain)
    }

    /// Lists their domains.
    pub(crate) fn domains(&self) -> Vec<String> {
        self.routes.keys().cloned().collect()
    }

    /// Takes a stanza for a component.
    pub(super) fn push(&self, hall: &Hall, route: &Route, entry: Entry) -> Sent {
        if !hall.federation.notes(&entry) {
            // A shard that was made anew gives what is here already.
            return Sent::Waits;
        }
        if !route.is_carried() {
            return Sent::Refused(Box::new((entry, away(&route.remote))));
        }
        let limit = hall.shared.config.load().federation.queue.bytes();
        match route.push(entry, limit, limit.saturating_mul(ALL_FACTOR)) {
            // The connection of the component looks after it.
            Pushed::Waits | Pushed::Attend => Sent::Waits,
            Pushed::Full(entry) => Sent::Refused(Box::new((entry, trouble::full(&route.remote)))),
            Pushed::Hopeless(entry, _) => Sent::Refused(Box::new((entry, away(&route.remote)))),
        }
    }

    /// Gives back what waits for components that are not connected: it came as they went.
    pub(super) fn give_back(&self, hall: &Arc<Hall>) {
        for route in self.routes.values().filter(|route| !route.is_carried()) {
            let waiting = route.drain(true);
            link::give_back(hall, route, waiting, |_| away(&route.remote));
        }
    }
}

/// What who writes to a component hears while it is not connected.
pub(super) fn away(domain: &str) -> StanzaError {
    StanzaError::SERVICE_UNAVAILABLE.with_text(format!("{domain} is not connected"))
}

/// Passes a stanza on between a component and another domain, in either direction. Neither has a row
/// for it; when it cannot leave, its sender is told.
pub(super) fn pass(hall: &Arc<Hall>, stanza: Stanza) {
    let Some((local, remote)) = stanza.from.as_ref().zip(stanza.to.as_ref()) else { return };
    let (local, remote) = (local.domain().to_owned(), remote.domain().to_owned());
    let entry = Entry { stanza, row: None, since_ms: clock::now_ms(), refusals: 0 };
    if let Some((entry, error)) = link::offer(hall, &local, &remote, entry) {
        bounce(hall, &entry.stanza, &error);
    }
}

/// Tells the sender of a stanza that has no row why it did not get there. An error is never answered,
/// so this ends.
pub(super) fn bounce(hall: &Arc<Hall>, stanza: &Stanza, error: &StanzaError) {
    if let Some(reply) = stanza.error_reply(error) {
        pass(hall, reply);
    }
}
