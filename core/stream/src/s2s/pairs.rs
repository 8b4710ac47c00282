//! Which domains may speak to which on a stream.

/// Pairs of one stream, those that are being proved included (XEP-0220 §2.6).
const PAIRS_MAX: usize = 32;
/// Keys that are being checked at once.
const WAITING_MAX: usize = 4;

/// A domain of ours and one of the peer.
type Pair = (String, String);

/// The pairs of a stream.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    proved: Vec<Pair>,
    waiting: Vec<Pair>,
}

impl Pairs {
    pub(crate) fn is_empty(&self) -> bool {
        self.proved.is_empty()
    }

    /// Tells whether a pair is authenticated.
    pub(crate) fn has(&self, local: &str, remote: &str) -> bool {
        self.proved.iter().any(|(ours, theirs)| ours == local && theirs == remote)
    }

    /// Notes that a pair is authenticated.
    pub(crate) fn prove(&mut self, local: &str, remote: &str) {
        self.settle(local, remote);
        if !self.has(local, remote) {
            self.proved.push((local.to_owned(), remote.to_owned()));
        }
    }

    /// Notes that a pair is being proved; `false` when there are too many, or it is already.
    pub(crate) fn wait(&mut self, local: &str, remote: &str) -> bool {
        let pair = (local.to_owned(), remote.to_owned());
        let all = self.proved.len().saturating_add(self.waiting.len());
        let is_full = self.waiting.len() >= WAITING_MAX || all >= PAIRS_MAX;
        if is_full || self.waiting.contains(&pair) {
            return false;
        }
        self.waiting.push(pair);
        true
    }

    /// Notes that a pair is not being proved any longer; tells whether it was.
    pub(crate) fn settle(&mut self, local: &str, remote: &str) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(ours, theirs)| ours != local || theirs != remote);
        self.waiting.len() < before
    }

    /// Tells whether a pair is being proved.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets what is being proved: keys are for one name of a stream.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_bounded() {
        let mut pairs = Pairs::default();
        assert!((0..4).all(|n| pairs.wait("a", &n.to_string())));
        assert!(!pairs.wait("a", "4"));
        assert!(pairs.settle("a", "0") && !pairs.settle("a", "0"));
        assert!(!pairs.wait("a", "1"), "one at a time");
        for n in 0..29 {
            pairs.prove("b", &n.to_string());
        }
        assert!(!pairs.wait("a", "4"));
        assert!(pairs.has("b", "7") && !pairs.has("7", "b") && !pairs.has("a", "1"));
    }
}
