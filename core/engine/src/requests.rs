//! Requests of modules that wait for their answers, and timers.

use std::collections::{BTreeMap, BTreeSet};

use xmpp::{Jid, Stanza, StanzaError};

use crate::calls::Cause;
use crate::pipeline::Function;
use crate::records::{At, WAKES};
use crate::send::account_key;
use crate::step::Step;

/// The most requests that wait at a time; more are answered with an error at once.
const WAITING_MAX: usize = 10_000;

/// Times that are dealt with in one step; the rest follows in the next, so that none is lost to
/// the budget of a step.
const WAKES_MAX: usize = 64;

/// An answer to a request that was not sent.
#[derive(Debug)]
pub(crate) struct Late {
    module: String,
    owner: String,
    cookie: Vec<u8>,
    answer: Stanza,
}

/// Requests on their way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: BTreeMap<String, Pending>,
    deadlines: BTreeSet<(u64, String)>,
}

#[derive(Debug)]
struct Pending {
    module: String,
    owner: String,
    /// Whose answer counts.
    peer: Jid,
    cookie: Vec<u8>,
    deadline: u64,
    request: Stanza,
}

impl Requests {
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn take(&mut self, id: &str, from: Option<&Jid>) -> Option<Pending> {
        let pending = self.waiting.get(id)?;
        if from != Some(&pending.peer) {
            return None;
        }
        self.deadlines.remove(&(pending.deadline, id.to_owned()));
        self.waiting.remove(id)
    }

    fn overdue(&mut self, now_ms: u64) -> Option<(String, Pending)> {
        let (at, id) = self.deadlines.first()?.clone();
        if at > now_ms {
            return None;
        }
        self.deadlines.remove(&(at, id.clone()));
        let pending = self.waiting.remove(&id)?;
        Some((id, pending))
    }
}

impl Step<'_> {
    /// Sends a request of a module.
    pub(crate) fn ask_out(&mut self, mut stanza: Stanza, module: &str, owner: &str, cookie: &[u8]) {
        let Some(peer) = stanza.to.clone() else { return };
        let id: String = self.random(12).iter().map(|byte| format!("{byte:02x}")).collect();
        stanza.id = Some(id.as_str().into());
        if self.state.requests.waiting.len() >= WAITING_MAX {
            let error = stanza.error_reply(&StanzaError::RESOURCE_CONSTRAINT);
            let (module, owner, cookie) = (module.to_owned(), owner.to_owned(), cookie.to_vec());
            // Not here: the module may ask again at once, and again.
            let late = error.map(|answer| Late { module, owner, cookie, answer });
            return self.late.extend(late);
        }
        let deadline = self.now_ms.saturating_add(self.state.setup.limits.answer_ms);
        self.state.requests.deadlines.insert((deadline, id.clone()));
        let request = stanza.clone();
        let (module, owner, cookie) = (module.to_owned(), owner.to_owned(), cookie.to_vec());
        let pending = Pending { module, owner, peer, cookie, deadline, request };
        self.state.requests.waiting.insert(id, pending);
        self.route(stanza, false);
    }

    /// Tells whether a stanza is a request of a module, of which nobody knows after a restart.
    pub(crate) fn is_own_request(&self, stanza: &Stanza) -> bool {
        let pending = stanza.id.as_deref().and_then(|id| self.state.requests.waiting.get(id));
        matches!(stanza.ty.as_deref(), Some("get" | "set"))
            && pending.is_some_and(|pending| stanza.from == pending.request.from)
    }

    /// Tells whether a stanza is the answer to a request of ours.
    pub(crate) fn is_awaited(&self, stanza: &Stanza) -> bool {
        let pending = stanza.id.as_deref().and_then(|id| self.state.requests.waiting.get(id));
        let is_answer = matches!(stanza.ty.as_deref(), Some("result" | "error"));
        is_answer && pending.is_some_and(|pending| stanza.from.as_ref() == Some(&pending.peer))
    }

    /// An answer came for an account or the domain; without a request of ours it is dropped.
    pub(crate) fn answered(&mut self, stanza: &Stanza) {
        let Some(id) = stanza.id.clone() else { return };
        if let Some(pending) = self.state.requests.take(&id, stanza.from.as_ref()) {
            let Pending { module, owner, cookie, .. } = pending;
            self.give_answer(&module, &owner, &cookie, Some(stanza));
        }
    }

    pub(crate) fn give_late(&mut self, late: Late) {
        let Late { module, owner, cookie, answer } = late;
        self.give_answer(&module, &owner, &cookie, Some(&answer));
    }

    fn give_answer(&mut self, module: &str, owner: &str, cookie: &[u8], answer: Option<&Stanza>) {
        let Some(answer) = answer else { return };
        let cause = Cause { owner, session: "", targets: &[], is_assured: false };
        for hook in self.pipeline.plain("answer") {
            if self.pipeline.name(hook.function.module) == module {
                // Its refusal has nobody to go to.
                drop(self.call(hook.function, cause, Some(answer.view()), "", cookie));
            }
        }
    }

    /// Keeps a time that a module asked for.
    pub(crate) fn wake_at(&mut self, at: u64, owner: &str, module: &str, name: &str) {
        // Never now: a module that asks for that again and again must not hold up its shard.
        let at = at.max(self.now_ms.saturating_add(1));
        self.state.wakes.set(at, owner, module, name);
        if let Ok(account) = Jid::parse(owner) {
            let key = account_key(&WAKES, &account, &(module.to_owned(), name.to_owned()));
            self.write(key, Some(WAKES.encode(&At(at))));
        }
    }

    /// Forgets a time.
    pub(crate) fn no_wake(&mut self, owner: &str, module: &str, name: &str) {
        if !self.state.wakes.take(owner, module, name) {
            return;
        }
        if let Ok(account) = Jid::parse(owner) {
            let key = account_key(&WAKES, &account, &(module.to_owned(), name.to_owned()));
            self.write(key, None);
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self) {
        for _ in 0..WAKES_MAX {
            if self.calls_left == 0 {
                break;
            }
            let Some((at, whose)) = self.state.wakes.due(self.now_ms) else { break };
            let mut hooks = self.pipeline.plain("wake");
            hooks.retain(|hook| {
                let Function { module, .. } = hook.function;
                self.pipeline.name(module) == whose.1 && self.pipeline.is_on(module)
            });
            if hooks.is_empty() {
                // The row stays too: the operator may turn the module on again.
                self.state.wakes.park(at, whose);
                continue;
            }
            let (owner, module, name) = whose;
            if let Ok(account) = Jid::parse(&owner) {
                let key = account_key(&WAKES, &account, &(module.clone(), name.clone()));
                self.write(key, None);
            }
            let cause = Cause { owner: &owner, session: "", targets: &[], is_assured: true };
            for hook in hooks {
                self.call_plain(hook.function, cause, &name, &[]);
            }
            self.settle();
        }
        while let Some((_, pending)) = self.state.requests.overdue(self.now_ms) {
            let error =
                StanzaError::new(xmpp::ErrorKind::Wait, xmpp::Condition::RemoteServerTimeout);
            let answer = pending.request.error_reply(&error);
            let Pending { module, owner, cookie, .. } = pending;
            self.give_answer(&module, &owner, &cookie, answer.as_ref());
        }
        self.end_looks();
        self.end_works();
        self.end_owed();
        self.expire();
    }
}
