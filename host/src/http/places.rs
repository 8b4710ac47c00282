//! How many connections there are, all together and from each address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::actors::gate::network;
use crate::config::settings::Limits;

/// All connections of one kind.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<BTreeMap<IpAddr, u32>>);

/// The place of one connection. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    /// Lets a connection in. Those of this machine count together only: a web server here speaks for
    /// many.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Place> {
        let address = network(address);
        let mut all = self.lock();
        let total = all.values().fold(0_u32, |sum, count| sum.saturating_add(*count));
        let same = all.entry(address).or_default();
        let may = total < limits.web && (address.is_loopback() || *same < limits.web_per_address);
        if !may {
            if *same == 0 {
                all.remove(&address);
            }
            return None;
        }
        *same = same.saturating_add(1);
        drop(all);
        Some(Place { places: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, u32>> {
        // Nothing under the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.places.lock();
        if let Some(count) = all.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::{Notes, Section, Table};

    #[test]
    fn are_bounded() {
        let mut limits = Limits::read(&mut Table::new("", None, &mut Notes::default()));
        (limits.web, limits.web_per_address) = (3, 2);
        let places = Arc::new(Places::default());
        let enter = |address: &str| places.enter(address.parse().unwrap(), &limits);
        let one = enter("192.0.2.1").unwrap();
        let two = enter("192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        let three = enter("2001:db8::1").unwrap();
        assert!(enter("192.0.2.2").is_none());
        drop((one, three));
        let others = ["127.0.0.1", "127.0.0.1"].map(enter);
        assert!(others.iter().all(Option::is_some));
        drop((two, others));
        assert!(places.lock().is_empty());
    }
}
