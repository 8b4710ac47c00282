//! Times that modules asked for.

use std::collections::{BTreeMap, BTreeSet};

/// A time: of which owner and module, and its name.
type Whose = (String, String, String);

/// All times of a shard, found by time and by whose they are.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    by_time: BTreeSet<(u64, Whose)>,
    by_name: BTreeMap<Whose, u64>,
    /// Times that came while their module was not there.
    parked: Vec<(u64, Whose)>,
}

impl Wakes {
    /// Sets a time; one of the same name is replaced.
    pub(crate) fn set(&mut self, at: u64, owner: &str, module: &str, name: &str) {
        let whose = (owner.to_owned(), module.to_owned(), name.to_owned());
        if let Some(before) = self.by_name.insert(whose.clone(), at) {
            self.by_time.remove(&(before, whose.clone()));
        }
        self.by_time.insert((at, whose));
    }

    /// Takes out a time, and tells whether there was one.
    pub(crate) fn take(&mut self, owner: &str, module: &str, name: &str) -> bool {
        let whose = (owner.to_owned(), module.to_owned(), name.to_owned());
        let at = self.by_name.remove(&whose);
        at.is_some_and(|at| self.by_time.remove(&(at, whose)))
    }

    /// Returns the earliest time.
    pub(crate) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest, when it is not after `now_ms`.
    pub(crate) fn due(&mut self, now_ms: u64) -> Option<(u64, Whose)> {
        self.by_time.first().filter(|(at, _)| *at <= now_ms)?;
        let (at, whose) = self.by_time.pop_first()?;
        self.by_name.remove(&whose);
        Some((at, whose))
    }

    /// Drops all times of an owner.
    pub(crate) fn forget(&mut self, owner: &str) {
        let is_its = |whose: &Whose| whose.0 == owner;
        self.by_time.retain(|(_, whose)| !is_its(whose));
        self.by_name.retain(|whose, _| !is_its(whose));
        self.parked.retain(|(_, whose)| !is_its(whose));
    }

    /// Keeps a time until other modules are there.
    pub(crate) fn park(&mut self, at: u64, whose: Whose) {
        self.parked.push((at, whose));
    }

    /// Other modules are there.
    pub(crate) fn unpark(&mut self) {
        for (at, (owner, module, name)) in std::mem::take(&mut self.parked) {
            self.set(at, &owner, &module, &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_time() {
        let mut wakes = Wakes::default();
        wakes.set(5, "a@b", "m", "x");
        wakes.set(9, "a@b", "m", "x");
        wakes.set(7, "a@b", "m", "y");
        assert_eq!((wakes.next(), wakes.due(6)), (Some(7), None));
        assert_eq!(wakes.due(9).map(|(at, (_, _, name))| (at, name)), Some((7, "y".to_owned())));
        assert_eq!(wakes.due(9).map(|(at, (_, _, name))| (at, name)), Some((9, "x".to_owned())));
        assert_eq!((wakes.next(), wakes.due(99)), (None, None));
        wakes.set(5, "a@b", "m", "x");
        assert!(wakes.take("a@b", "m", "x") && !wakes.take("a@b", "m", "x"));
        assert_eq!((wakes.next(), wakes.due(99)), (None, None));
    }
}
