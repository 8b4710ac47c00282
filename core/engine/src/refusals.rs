//! Calls that modules refuse are said in the log once in an hour for each owner: a client can make the
//! same one be refused again and again.

use std::collections::BTreeMap;

/// How long a module's refusals for the same owner are no news, in milliseconds.
const AGAIN_MS: u64 = 3_600_000;
/// The most that are remembered. Beyond that, those of owners that are not among them are no news.
const ROWS_MAX: usize = 256;

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<(String, String), u64>);

impl Refusals {
    /// Tells whether a refusal is to be said; from then on it is said.
    pub(crate) fn is_news(&mut self, module: &str, owner: &str, now_ms: u64) -> bool {
        let key = (module.to_owned(), owner.to_owned());
        let is_old = |said_ms: &u64| now_ms.saturating_sub(*said_ms) >= AGAIN_MS;
        if self.0.get(&key).is_some_and(|said_ms| !is_old(said_ms)) {
            return false;
        }
        if self.0.len() >= ROWS_MAX {
            self.0.retain(|_, said_ms| !is_old(said_ms));
        }
        let has_room = self.0.len() < ROWS_MAX;
        if has_room {
            self.0.insert(key, now_ms);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_news_once_in_an_hour() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_news("pep", "a@b", 7));
        assert!(!refusals.is_news("pep", "a@b", 6 + AGAIN_MS));
        assert!(refusals.is_news("vcard", "a@b", 8) && refusals.is_news("pep", "c@b", 8));
        assert!(refusals.is_news("pep", "a@b", 7 + AGAIN_MS));
    }

    #[test]
    fn a_crowd_does_not_fill_the_log_or_the_memory() {
        let mut refusals = Refusals::default();
        let said = (0..10_000).filter(|n| refusals.is_news("pep", &n.to_string(), 7)).count();
        assert_eq!((said, refusals.0.len()), (ROWS_MAX, ROWS_MAX));
        assert!(refusals.is_news("pep", "new", 7 + AGAIN_MS));
    }
}
