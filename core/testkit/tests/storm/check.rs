//! What has to hold when a storm is over and all have read what is there.

use crate::server::Server;
use crate::world::World;

/// How much happened in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    /// Messages that were acknowledged to their senders.
    pub(crate) promised: u64,
    /// Sessions that were resumed.
    pub(crate) resumed: u64,
    pub(crate) kills: u64,
    /// Connections between servers that were lost.
    pub(crate) cuts: u64,
    /// Messages and requests that were answered with an error.
    pub(crate) errors: u64,
    /// Messages that were read again, since nobody knew that they had arrived.
    pub(crate) repeated: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, more: Self) {
        self.promised += more.promised;
        self.resumed += more.resumed;
        self.kills += more.kills;
        self.cuts += more.cuts;
        self.errors += more.errors;
        self.repeated += more.repeated;
    }
}

impl World {
    /// Checks what has to hold.
    ///
    /// A message that was acknowledged to its sender is read by the recipient, or answered with an
    /// error; one of both, unless a connection was lost with it on the way. Nobody is told the same
    /// twice but for that reason. An error had a reason, and its sender heard of it unless the session
    /// is over that it was for.
    pub(crate) fn check(&self) -> Sums {
        for sender in &self.clients {
            for id in &sender.promised {
                self.check_promised(sender, id);
            }
            for (id, answers) in &sender.answered {
                self.check_answered(id, answers);
            }
        }
        for id in self.clients.iter().flat_map(|client| &client.repeated) {
            assert!(self.is_uncertain(id), "{id} was read twice for no reason");
        }
        assert_eq!(self.waiting(), 0, "something waits for another domain");
        self.sums()
    }

    fn check_promised(&self, sender: &crate::client::Client, id: &str) {
        let is_read = self.clients.iter().any(|client| client.read.contains(id));
        let answers = sender.answered.get(id).map_or(0, Vec::len);
        let was_given_up = self.ways.given_up.contains(&format!("chat {id}"));
        let number: u64 = id.split_once('#').unwrap().1.parse().unwrap();
        let is_orphan = number <= sender.orphans;
        let rows = || self.servers.iter().map(Server::tables).collect::<Vec<_>>();
        assert!(
            is_read || answers > 0 || was_given_up,
            "{id} was acknowledged and is lost; {:?}",
            rows()
        );
        assert!(
            !was_given_up || answers > 0 || is_orphan,
            "{id} was given up in silence; {:?}",
            rows()
        );
        let both = is_read && answers > 0;
        assert!(!both || self.is_uncertain(id), "{id} was read and answered");
    }

    fn check_answered(&self, id: &str, answers: &[String]) {
        let is_message = id.contains('#');
        // Who was asked may have answered, and then not come back to say that it had the question.
        let is_away = |answer: &&String| *answer == "service-unavailable";
        let away = answers.iter().filter(is_away).count();
        let is_once = away <= 1 && answers.len() - away <= 1 && (!is_message || away == 0);
        assert!(is_once || (!is_message && self.is_uncertain(id)), "{id}: {answers:?}");
        for answer in answers {
            let has_reason = match answer.as_str() {
                "remote-server-timeout" => {
                    let kind = if is_message { "chat" } else { "get" };
                    self.ways.given_up.contains(&format!("{kind} {id}"))
                }
                "resource-constraint" => self.shape.leaving_bytes < 1 << 20,
                // Who was asked is not there.
                "service-unavailable" | "result" => !is_message,
                _ => false,
            };
            assert!(has_reason, "{id} was answered with {answer}");
        }
    }

    /// Tells whether a stanza may have arrived more than once, or in spite of an error.
    fn is_uncertain(&self, id: &str) -> bool {
        ["chat", "get", "result", "error"]
            .iter()
            .any(|ty| self.ways.uncertain.contains(&format!("{ty} {id}")))
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums { kills: self.crashes, cuts: self.ways.cuts, ..Sums::default() };
        for client in &self.clients {
            let errors = client.answered.values().flatten().filter(|answer| *answer != "result");
            sums.promised += client.promised.len() as u64;
            sums.resumed += client.resumed;
            sums.errors += errors.count() as u64;
            sums.repeated += client.repeated.len() as u64;
        }
        sums
    }
}
