//! All routes, so bounded that who makes up names does not take the places of all others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pair;
use super::names::parent;
use super::route::Route;

/// The most pairs of domains that something waits for.
const ALL_MAX: usize = 20_000;
/// When so many are there, a parent domain has no more than its share.
const CROWDED: usize = ALL_MAX / 2;
/// The share of one parent domain then.
const OF_ONE_MAX: usize = 500;

/// See the file.
#[derive(Debug, Default)]
pub(super) struct Routes {
    all: BTreeMap<Pair, Arc<Route>>,
    /// How many there are below each parent domain.
    crowds: BTreeMap<String, usize>,
}

impl Routes {
    /// Returns the route of a pair; one that `make` makes when there is none. `None`: there is no
    /// room for it.
    pub(super) fn get_or(
        &mut self,
        pair: Pair,
        make: impl FnOnce() -> Route,
    ) -> Option<&Arc<Route>> {
        if !self.all.contains_key(&pair) {
            let count = self.all.len();
            let parent = parent(&pair.1);
            let of_one = self.crowds.get(parent).copied().unwrap_or(0);
            if count >= ALL_MAX || (count >= CROWDED && of_one >= OF_ONE_MAX) {
                return None;
            }
            self.crowds.insert(parent.to_owned(), of_one.saturating_add(1));
        }
        Some(self.all.entry(pair).or_insert_with(|| Arc::new(make())))
    }

    /// Returns the route of a pair.
    pub(super) fn get(&self, pair: &Pair) -> Option<&Arc<Route>> {
        self.all.get(pair)
    }

    /// Returns all.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.all.values()
    }

    /// Takes the route of a pair away.
    pub(super) fn remove(&mut self, pair: &Pair) {
        if self.all.remove(pair).is_none() {
            return;
        }
        let parent = parent(&pair.1);
        if let Some(count) = self.crowds.get_mut(parent) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.crowds.remove(parent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(routes: &mut Routes, remote: &str) -> bool {
        let make = || Route::new("a.example", remote, Arc::default());
        routes.get_or(("a.example".to_owned(), remote.to_owned()), make).is_some()
    }

    #[test]
    fn one_parent_does_not_take_all() {
        let mut routes = Routes::default();
        let evil = |number: usize| format!("n{number}.evil.example");
        assert!((0..CROWDED).all(|number| add(&mut routes, &evil(number))));
        assert!(!add(&mut routes, &evil(CROWDED)));
        assert!(add(&mut routes, &evil(0)), "it is there");
        assert!(add(&mut routes, "honest.example"));
        for number in 0..=CROWDED - OF_ONE_MAX {
            routes.remove(&("a.example".to_owned(), evil(number)));
        }
        assert!(add(&mut routes, &evil(CROWDED)), "nothing is crowded");
        for number in 0..=CROWDED {
            routes.remove(&("a.example".to_owned(), evil(number)));
        }
        assert_eq!(routes.crowds.len(), 1);
    }

    #[test]
    fn all_are_bounded() {
        let mut routes = Routes::default();
        assert!((0..ALL_MAX).all(|number| add(&mut routes, &format!("d{number}.example"))));
        assert!(!add(&mut routes, "one-more.example"));
    }
}
