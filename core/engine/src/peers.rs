//! Streams with other domains, about which modules decide, and slow work that the host does for them.

use std::collections::BTreeMap;

use calypte::notice::{BindingHidden, Notice as _};
use calypte::wire::{Look, Looked, PeerFacts, PeerVerdict, decode, encode, fault, status};

use crate::calls::{Called, Cause};
use crate::event::Effect;
use crate::step::{Step, Told};

/// How long one may take, in milliseconds.
const LOOK_MS: u64 = 60_000;
/// The longest address or name that may be asked for, in bytes.
const TARGET_BYTES_MAX: usize = 2048;
/// The largest page.
const PAGE_BYTES_MAX: u32 = 1 << 20;
/// The largest cookie.
pub(crate) const COOKIE_BYTES_MAX: usize = 4096;

/// Slow work that the host does for modules.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    last: u64,
    /// By token. All take as long at most, so the first is the first to be over.
    waiting: BTreeMap<u64, Waiting>,
}

/// Who waits for what the host does.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) module: String,
    pub(crate) owner: String,
    pub(crate) cookie: Vec<u8>,
    /// Set when it begins.
    pub(crate) deadline: u64,
}

impl Looks {
    /// Returns when the first is over.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting.deadline)
    }

    /// Returns how many are under way.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Notes who waits, and returns what it is found by.
    pub(crate) fn add(&mut self, mut waiting: Waiting, now_ms: u64) -> u64 {
        waiting.deadline = now_ms.saturating_add(LOOK_MS);
        self.last = self.last.wrapping_add(1);
        self.waiting.insert(self.last, waiting);
        self.last
    }

    pub(crate) fn take(&mut self, token: u64) -> Option<Waiting> {
        self.waiting.remove(&token)
    }

    pub(crate) fn overdue(&mut self, now_ms: u64) -> Option<Waiting> {
        self.next_deadline().filter(|at| *at <= now_ms)?;
        self.waiting.pop_first().map(|(_, waiting)| waiting)
    }
}

/// Checks what a module asks for.
pub(crate) fn read_look(bytes: &[u8], cookie: &[u8]) -> Result<Look, u32> {
    let look: Look = decode(bytes).ok_or(fault::MALFORMED)?;
    let (target, is_fine) = match &look {
        Look::Https { url, limit } => {
            (url, url.starts_with("https://") && *limit <= PAGE_BYTES_MAX)
        }
        Look::Spki { domain, port } => (domain, *port != 0),
        Look::Txt { name } => (name, true),
    };
    let is_text = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    let is_small = target.len() <= TARGET_BYTES_MAX && cookie.len() <= COOKIE_BYTES_MAX;
    if is_fine && is_text && is_small { Ok(look) } else { Err(fault::MALFORMED) }
}

impl Step<'_> {
    /// Asks the modules about a stream with another domain.
    pub(crate) fn judge_peer(&mut self, token: u64, facts: &PeerFacts) {
        let domain = self.state.setup.domain.clone();
        let cause = Cause { owner: domain.as_str(), session: "", targets: &[], is_assured: false };
        let facts = encode(facts);
        let mut verdict = PeerVerdict::default();
        for hook in self.pipeline.plain("peer") {
            let said = match self.call(hook.function, cause, None, "", &facts) {
                Called::Ran(status::REPLY, said) => said.reply.and_then(|reply| decode(&reply)),
                Called::Refused(error) => {
                    let module = self.pipeline.name(hook.function.module).to_owned();
                    self.log(2, &module, format!("refused a stream with another domain: {error}"));
                    Some(PeerVerdict::refused("policy-violation", "refused"))
                }
                Called::Off => continue,
                Called::Ran(..) | Called::Failed => None,
            };
            match said {
                Some(said) => verdict.tighten(said),
                None if self.pipeline.is_security(hook.function.module) => {
                    verdict.tighten(PeerVerdict::refused("internal-server-error", "failed"));
                }
                None => {}
            }
        }
        self.effects.push(Effect::PeerAnswer { token, verdict: Box::new(verdict) });
    }

    /// Tells modules that a client was shown no channel binding.
    pub(crate) fn tell_hidden(&mut self) {
        self.notices.push_back(Told {
            owner: self.state.setup.domain.as_str().to_owned(),
            session: String::new(),
            name: BindingHidden::NAME.to_owned(),
            payload: encode(&BindingHidden),
        });
    }

    /// Tells whether `module` may have the host do one thing more, besides so many that are under way:
    /// it needs a hook of this `kind` for what comes of it.
    pub(crate) fn may_have_done(
        &self,
        module: &str,
        kind: &str,
        under_way: usize,
    ) -> Result<(), u32> {
        let hooks = self.pipeline.plain(kind);
        if !hooks.iter().any(|hook| self.pipeline.name(hook.function.module) == module) {
            return Err(fault::NOT_GRANTED);
        }
        let is_inside = under_way < self.state.setup.limits.looks;
        if is_inside { Ok(()) } else { Err(fault::BUDGET) }
    }

    /// Begins a look.
    pub(crate) fn look(&mut self, look: Look, waiting: Waiting) {
        let token = self.state.looks.add(waiting, self.now_ms);
        self.effects.push(Effect::Look { token, look });
    }

    /// The host found something. What nobody waits for any more is dropped.
    pub(crate) fn looked(&mut self, token: u64, found: Result<Vec<u8>, String>) {
        if let Some(waiting) = self.state.looks.take(token) {
            self.give_look(waiting, found);
        }
    }

    /// Gives up what takes too long.
    pub(crate) fn end_looks(&mut self) {
        while let Some(waiting) = self.state.looks.overdue(self.now_ms) {
            self.give_look(waiting, Err("it took too long".to_owned()));
        }
    }

    fn give_look(&mut self, waiting: Waiting, found: Result<Vec<u8>, String>) {
        let Waiting { module, owner, cookie, .. } = waiting;
        let cause = Cause { owner: &owner, session: "", targets: &[], is_assured: true };
        let payload = encode(&Looked { cookie, found });
        for hook in self.pipeline.plain("looked") {
            if self.pipeline.name(hook.function.module) == module {
                self.call_plain(hook.function, cause, "", &payload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_bounded() {
        let read = |look: &Look| read_look(&encode(look), b"");
        let page = |url: &str, limit| Look::Https { url: url.to_owned(), limit };
        assert!(read(&page("https://a.example/x", 9)).is_ok());
        assert_eq!(read(&page("http://a.example/x", 9)), Err(fault::MALFORMED));
        assert_eq!(read(&page("https://a.example/x\r\ny", 9)), Err(fault::MALFORMED));
        assert_eq!(read(&page("https://a.example/", 2 << 20)), Err(fault::MALFORMED));
        assert_eq!(read(&Look::Txt { name: "a".repeat(3000) }), Err(fault::MALFORMED));
        let spki = |port| Look::Spki { domain: "a.example".to_owned(), port };
        assert!(read(&spki(5222)).is_ok() && read(&spki(0)).is_err());
        assert!(read_look(&encode(&spki(1)), &[0; 5000]).is_err());
    }
}
