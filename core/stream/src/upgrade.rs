//! Learning a password in another form from a client that knows it (XEP-0480).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::{Hash, Secret};
use xml::{Element, Node};
use xmpp::{Jid, StreamError, ns};

use crate::StreamEvent;
use crate::machine::{Question, Stream};
use crate::sasl::{AttemptStep, Failure, decode};
use crate::scram::{SALT_BYTES, Verifier};

/// What can be asked for, best first.
const TASKS: [(Hash, &str); 2] =
    [(Hash::Sha512, "UPGR-SCRAM-SHA-512"), (Hash::Sha256, "UPGR-SCRAM-SHA-256")];

/// Names of tasks in one login that are read.
const NAMES_MAX: usize = 8;

/// What a login has to do with such tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upgrades {
    /// What the client can do.
    offered: Vec<Hash>,
    /// What is left to do, the first one now.
    todo: Vec<Hash>,
    salt: Vec<u8>,
    /// Of the mechanism, for when all is done.
    client_key: Option<Secret>,
}

/// Names all tasks.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TASKS.into_iter().map(|(_, name)| name)
}

fn name_of(hash: Hash) -> &'static str {
    TASKS.into_iter().find(|(own, _)| *own == hash).map_or("", |(_, name)| name)
}

impl Upgrades {
    /// Reads what a client offers to do.
    pub(crate) fn read(login: Node<'_>) -> Self {
        let is_upgrade =
            |node: &Node<'_>| node.ns() == ns::SASL_UPGRADE && node.name() == "upgrade";
        let named: Vec<_> = login
            .children()
            .filter(is_upgrade)
            .take(NAMES_MAX)
            .map(|node| node.text().trim().to_owned())
            .collect();
        let offered = TASKS.into_iter().filter(|(_, name)| named.iter().any(|one| one == name));
        Self { offered: offered.map(|(hash, _)| hash).collect(), ..Self::default() }
    }

    /// Notes in which forms the password is known.
    pub(crate) fn note(&mut self, is_known: impl Fn(Hash) -> bool) {
        self.todo = self.offered.iter().copied().filter(|hash| !is_known(*hash)).collect();
    }
}

impl Stream {
    /// The client proved the password. Tells whether something is to be done before the login is.
    pub(crate) fn begin_upgrades(&mut self, client_key: &Secret) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        if attempt.upgrades.todo.is_empty() {
            return false;
        }
        attempt.upgrades.client_key = Some(client_key.clone());
        self.next_upgrade();
        true
    }

    fn next_upgrade(&mut self) {
        let Some(attempt) = &mut self.attempt else { return };
        let Some(hash) = attempt.upgrades.todo.first().copied() else {
            let client_key = attempt.upgrades.client_key.take();
            attempt.step = AttemptStep::Done;
            return self.authenticated(client_key);
        };
        attempt.step = AttemptStep::Task;
        let mut go_on = Element::new(ns::SASL2, "continue");
        if let Some(word) = attempt.final_word.take() {
            let data = STANDARD.encode(word);
            go_on.push_child(Element::new(ns::SASL2, "additional-data").with_text(&data));
        }
        let task = Element::new(ns::SASL2, "task").with_text(name_of(hash));
        go_on.push_child(Element::new(ns::SASL2, "tasks").with_child(task));
        self.write_element(&go_on);
    }

    /// The client begins the task: it is told what to salt the password with.
    pub(crate) fn take_next(&mut self, node: Node<'_>) {
        let salt = self.wire.draw(SALT_BYTES);
        let iterations = self.settings.iterations;
        let Some(attempt) = &mut self.attempt else { return };
        let hash = attempt.upgrades.todo.first().copied();
        let is_it = hash.is_some_and(|hash| node.attr("task").as_deref() == Some(name_of(hash)));
        if !matches!(attempt.step, AttemptStep::Task) || !is_it {
            return self.fail_login(Failure::Way("malformed-request"));
        }
        attempt.step = AttemptStep::Salted;
        let salted = Element::new(ns::SCRAM_UPGRADE, "salt")
            .with_attr("iterations", &iterations.to_string())
            .with_text(&STANDARD.encode(&salt));
        attempt.upgrades.salt = salt;
        self.write_element(&Element::new(ns::SASL2, "task-data").with_child(salted));
    }

    /// The client says what the salted password is.
    pub(crate) fn take_task_data(&mut self, node: Node<'_>) {
        let iterations = self.settings.iterations;
        let Some(attempt) = &mut self.attempt else { return };
        let salted = node.child_text(ns::SCRAM_UPGRADE, "hash");
        let salted = salted.and_then(|text| decode(text.trim())).map(Secret::new);
        let hash = attempt.upgrades.todo.first().copied();
        let (AttemptStep::Salted, Some(hash), Some(salted)) = (&attempt.step, hash, salted) else {
            return self.fail_login(Failure::Way("malformed-request"));
        };
        if salted.expose().len() != hash.bytes() {
            return self.fail_login(Failure::Way("malformed-request"));
        }
        attempt.step = AttemptStep::Checking;
        let salt = std::mem::take(&mut attempt.upgrades.salt);
        let verifier = Verifier::of_salted(hash, &salted, salt, iterations);
        let username = self.claimed.as_ref().and_then(Jid::local).unwrap_or("").to_owned();
        self.ask(Question::Upgrade, StreamEvent::Upgrade { username, hash, verifier });
    }

    /// Answers [`StreamEvent::Upgrade`]: it is kept, or is not worth to be. Either way the login goes
    /// on.
    pub fn answer_upgrade(&mut self) {
        if !matches!(self.question, Some(Question::Upgrade)) {
            return;
        }
        self.question = None;
        match &mut self.attempt {
            Some(attempt) if !attempt.upgrades.todo.is_empty() => {
                attempt.upgrades.todo.remove(0);
                self.next_upgrade();
            }
            _ => self.fail(StreamError::InternalServerError),
        }
    }
}
