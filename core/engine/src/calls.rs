//! Running the functions of modules, and what they read.

use std::ops::Bound;

use abi::Call;
use calypte::wire::{part, status};
use calypte::{Phase, Place};
use table::Fault;
use xmpp::{Stanza, StanzaError, StanzaRef};

use crate::frame::{Frame, Said};
use crate::pipeline::Function;
use crate::step::Step;

/// For whom and because of whom functions run.
#[derive(Clone, Copy)]
pub(crate) struct Cause<'a> {
    /// The owner: a bare address.
    pub(crate) owner: &'a str,
    /// The session that caused it; empty when none did.
    pub(crate) session: &'a str,
    /// The numbers of the sessions that the stanza is going to reach.
    pub(crate) targets: &'a [u64],
    /// Whether the sender was or will be promised that the stanza is kept.
    pub(crate) is_assured: bool,
}

/// What became of a call.
pub(crate) enum Called {
    /// It ran and said this; the status is one of [`status`].
    Ran(u32, Said),
    /// It refused.
    Refused(StanzaError),
    /// It panicked, or the step did too much already.
    Failed,
    /// Its module is switched off: as if it were not there.
    Off,
}

/// What became of a stanza at a place.
pub(crate) enum Verdict {
    /// It goes on.
    Pass,
    /// It goes on, and is kept for later.
    Kept,
    /// It ends here.
    Over,
    /// It goes back.
    Refused(StanzaError),
}

impl Step<'_> {
    /// Runs the functions of a place in the phases given.
    pub(crate) fn run(
        &mut self,
        place: Place,
        phases: &[Phase],
        cause: Cause<'_>,
        stanza: &mut Stanza,
    ) -> Verdict {
        let mut outcome = Verdict::Pass;
        for phase in phases {
            match self.run_phase((place, *phase), cause, stanza) {
                Verdict::Pass => {}
                Verdict::Kept => outcome = Verdict::Kept,
                verdict => return verdict,
            }
        }
        outcome
    }

    fn run_phase(&mut self, at: (Place, Phase), cause: Cause<'_>, stanza: &mut Stanza) -> Verdict {
        let is_away = cause.targets.is_empty();
        let fails_closed = matches!(at.1, Phase::Admit | Phase::Rewrite);
        let mut outcome = Verdict::Pass;
        let mut index = 0;
        while let Some(wanted) = self.pipeline.stanza_hook(at, index, stanza.view(), is_away) {
            index += 1;
            let Some(function) = wanted else { continue };
            match self.call_stanza(function, cause, stanza) {
                Called::Ran(status @ (status::PASS | status::KEPT), said) => {
                    match said.replacement {
                        // A message stays a message; another kind would pass what is checked of it.
                        Some(replacement) if replacement.kind != stanza.kind => {
                            return Verdict::Refused(StanzaError::INTERNAL);
                        }
                        Some(replacement) => *stanza = replacement,
                        None => {}
                    }
                    if status == status::KEPT {
                        outcome = Verdict::Kept;
                    }
                }
                Called::Ran(status::HANDLED | status::DROP, _) => return Verdict::Over,
                Called::Refused(error) => return Verdict::Refused(error),
                // What answers requests cannot be said of a stanza; it counts as a failure.
                Called::Ran(..) | Called::Failed
                    if fails_closed || self.pipeline.is_security(function.module) =>
                {
                    return Verdict::Refused(StanzaError::INTERNAL);
                }
                Called::Ran(..) | Called::Failed | Called::Off => {}
            }
        }
        outcome
    }

    pub(crate) fn call_stanza(
        &mut self,
        function: Function,
        cause: Cause<'_>,
        stanza: &Stanza,
    ) -> Called {
        self.call(function, cause, Some(stanza.view()), "", &[])
    }

    /// Calls a function. What it wrote and sent counts only when it did not fail.
    pub(crate) fn call(
        &mut self,
        function: Function,
        cause: Cause<'_>,
        stanza: Option<StanzaRef<'_>>,
        name: &str,
        payload: &[u8],
    ) -> Called {
        if !self.pipeline.is_on(function.module) {
            return Called::Off;
        }
        let Some(left) = self.calls_left.checked_sub(1) else { return Called::Failed };
        self.calls_left = left;
        let Some(instance) = self.pipeline.take(function.module) else { return Called::Failed };
        let domain = self.state.setup.domain.clone();
        let parts = parts(cause, domain.as_str(), stanza, name, payload);
        let words = stanza.map(|stanza| stanza.content.words()).unwrap_or_default();
        let call = Call { hook: function.hook, now_ms: self.now_ms, parts: &parts, words };
        let module = self.pipeline.lend_name(function.module);
        let mut frame = Frame {
            step: self,
            module,
            owner: cause.owner,
            session: cause.session,
            targets: cause.targets,
            is_assured: cause.is_assured,
            said: Said::default(),
            later: Vec::new(),
            undo: Vec::new(),
        };
        let returned = instance.call(&call, &mut frame);
        // It is back before its wishes are carried out: they may end a session, of which it is told.
        frame.step.pipeline.put_back(function.module, instance);
        let outcome = match returned {
            Ok(status::ERROR) => {
                frame.take_back();
                Called::Refused(frame.said.error.take().unwrap_or(StanzaError::INTERNAL))
            }
            Ok(status @ (..=status::LATER | status::KEPT)) => {
                Called::Ran(status, frame.carry_out())
            }
            Ok(_) | Err(_) => {
                frame.take_back();
                Called::Failed
            }
        };
        if returned.is_err() {
            self.note_panic(function.module);
        }
        outcome
    }

    fn note_panic(&mut self, module: usize) {
        let is_off = self.pipeline.panicked(module, self.now_ms);
        let name = self.pipeline.name(module).to_owned();
        let text = if is_off {
            "panicked again and is switched off; restart after an update"
        } else {
            "panicked; what it was doing is undone"
        };
        self.log(1, &name, text);
        let counter = "panics".to_owned();
        self.effects.push(crate::Effect::Count { module: name, name: counter, by: 1 });
    }

    /// Reads a record, with what this step wrote.
    pub(crate) fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.store.get(key),
        }
    }

    /// Reads records in order, with what this step wrote.
    pub(crate) fn read_range(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
        reverse: bool,
    ) -> Result<table::Rows, Fault> {
        if from >= to {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(from.to_vec()), Bound::Excluded(to.to_vec()));
        let written: Vec<_> = self.writes.range(bounds).collect();
        // Each row that this step deleted or replaced may hide one on disk.
        let wanted = limit.saturating_add(written.len());
        let mut rows: std::collections::BTreeMap<_, _> =
            self.store.scan(from, to, wanted, reverse)?.into_iter().collect();
        for (key, value) in written {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
        let rows = rows.into_iter();
        Ok(if reverse { rows.rev().take(limit).collect() } else { rows.take(limit).collect() })
    }

    /// Sets a row that is lost with the process and returns what was there.
    pub(crate) fn set_volatile(
        &mut self,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, ()> {
        let size = |value: &Vec<u8>| value.len().saturating_add(key.len());
        let more = value.as_ref().map_or(0, size);
        let less = self.state.volatile.get(&key).map_or(0, size);
        self.count_volatile(&key, less, more)?;
        let before = match value {
            Some(value) => self.state.volatile.insert(key, value),
            None => self.state.volatile.remove(&key),
        };
        Ok(before)
    }
}

fn parts<'a>(
    cause: Cause<'a>,
    domain: &'a str,
    stanza: Option<StanzaRef<'a>>,
    name: &'a str,
    payload: &'a [u8],
) -> [&'a [u8]; part::COUNT] {
    let of = |text: Option<&'a str>| text.unwrap_or("").as_bytes();
    [
        cause.owner.as_bytes(),
        cause.session.as_bytes(),
        domain.as_bytes(),
        of(stanza.and_then(|stanza| stanza.from).map(|jid| jid.as_str())),
        of(stanza.and_then(|stanza| stanza.to).map(|jid| jid.as_str())),
        of(stanza.and_then(|stanza| stanza.id)),
        of(stanza.and_then(|stanza| stanza.ty)),
        of(stanza.and_then(|stanza| stanza.lang)),
        of(stanza.map(|stanza| stanza.content.text())),
        name.as_bytes(),
        payload,
    ]
}

/// Returns the first key behind all that start with `prefix`.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    vec![0xff; 64]
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn finds_the_end_of_a_prefix() {
        assert_eq!(behind(b"ab"), b"ac");
        assert_eq!(behind(b"a\xff"), b"b");
        assert!(behind(b"\xff").as_slice() > b"\xff\xff");
    }
}
