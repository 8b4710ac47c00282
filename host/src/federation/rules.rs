//! Domains that the operator blocked or allowed by command, beside the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use table::Batch;

use crate::server::Shared;

/// The table of rules: a domain, and `a` or `b`.
const TABLE: &str = "host.peers";
/// The most rules.
const RULES_MAX: usize = 10_000;

/// What the operator said of a domain and those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerRule {
    /// Talk with it, whatever the configuration says.
    Allow,
    /// Never talk with it.
    Block,
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Rules {
    shared: Arc<Shared>,
    all: ArcSwap<BTreeMap<String, PeerRule>>,
}

impl Rules {
    /// Reads the rules from the store.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub(crate) fn load(shared: &Arc<Shared>) -> Result<Self, String> {
        let prefix = table::full_key(TABLE, "", &[]);
        let mut end = prefix.clone();
        end.push(0xff);
        let rows = shared
            .store
            .reader()
            .scan(&prefix, &end, RULES_MAX, false)
            .map_err(|_| "the rules about other domains cannot be read".to_owned())?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let domain = String::from_utf8(key.get(prefix.len()..)?.to_vec()).ok()?;
            let rule = match value.as_slice() {
                b"a" => PeerRule::Allow,
                b"b" => PeerRule::Block,
                _ => return None,
            };
            Some((domain, rule))
        };
        let all = rows.into_iter().filter_map(read).collect();
        Ok(Self { shared: Arc::clone(shared), all: ArcSwap::from_pointee(all) })
    }

    /// Returns the rule of a domain: its own, or that of the nearest domain above it.
    pub(crate) fn of(&self, domain: &str) -> Option<PeerRule> {
        let all = self.all.load();
        if all.is_empty() {
            return None;
        }
        let mut name = domain;
        loop {
            if let Some(rule) = all.get(name) {
                return Some(*rule);
            }
            name = name.split_once('.')?.1;
        }
    }

    /// Returns all rules, by name.
    pub(crate) fn list(&self) -> Vec<(String, PeerRule)> {
        self.all.load().iter().map(|(domain, rule)| (domain.clone(), *rule)).collect()
    }

    /// Sets the rule of a domain; `None` leaves it to the configuration again. On disk when it
    /// returns.
    ///
    /// # Errors
    ///
    /// A sentence; nothing changed then.
    pub(crate) fn set(&self, domain: &str, rule: Option<PeerRule>) -> Result<(), String> {
        let mut all = BTreeMap::clone(&self.all.load());
        if all.len() >= RULES_MAX && !all.contains_key(domain) {
            return Err("there are too many rules about other domains".to_owned());
        }
        let key = table::full_key(TABLE, "", domain.as_bytes());
        let mut batch = Batch::default();
        match rule {
            Some(rule) => {
                let word: &[u8] = if rule == PeerRule::Allow { b"a" } else { b"b" };
                batch.put(key, word.to_vec());
                all.insert(domain.to_owned(), rule);
            }
            None => {
                batch.delete(key);
                all.remove(domain);
            }
        }
        self.shared.store.commit(batch).map_err(|error| error.to_string())?;
        self.all.store(Arc::new(all));
        Ok(())
    }
}
