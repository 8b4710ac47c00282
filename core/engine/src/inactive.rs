//! Clients that are not looked at (XEP-0352): what is not important waits for what is.

use std::collections::VecDeque;

use calypte::wire::status;
use xmpp::{Kind, Stanza};

use crate::calls::{Called, Cause};
use crate::session::Waiting;
use crate::step::Step;

/// The most bytes that wait for one client to look again; with more, all goes on.
const HELD_BYTES_MAX: usize = 64 << 10;
/// How long a stanza waits before it says so (XEP-0203), in milliseconds.
const LATE_MS: u64 = 1_000;
/// The rows of what waits have these numbers and larger ones: after a restart they come behind what
/// was sent.
const ROWS: u64 = 1 << 32;

/// What an inactive client gets later.
#[derive(Debug, Default)]
pub(crate) struct Held {
    stanzas: VecDeque<HeldStanza>,
    bytes: usize,
    /// How many rows there were.
    rows: u64,
}

/// A stanza that waits for its client to look again.
#[derive(Debug)]
struct HeldStanza {
    waiting: Waiting,
    is_assured: bool,
    /// A newer stanza with the same name takes its place.
    name: Option<String>,
}

impl Step<'_> {
    /// A client is looked at, or not.
    pub(crate) fn set_active(&mut self, number: u64, is_active: bool) {
        if is_active {
            self.rouse(number);
        } else if let Some(session) = self.state.sessions.get_mut(number)
            && !session.away
        {
            session.inactive.get_or_insert_default();
        }
    }

    /// Counts a client as active, and gives it what waited.
    pub(crate) fn rouse(&mut self, number: u64) {
        self.give_held(number);
        if let Some(session) = self.state.sessions.get_mut(number) {
            session.inactive = None;
        }
    }

    /// Gives a session what waited, in order.
    fn give_held(&mut self, number: u64) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let Some(held) = &mut session.inactive else { return };
        held.bytes = 0;
        for held in std::mem::take(&mut held.stanzas) {
            let HeldStanza { waiting: Waiting { mut stanza, since_ms, row }, is_assured, .. } =
                held;
            if let Some(key) = row.and_then(|row| self.row_key(number, row)) {
                self.write(key, None);
            }
            if self.now_ms >= since_ms.saturating_add(LATE_MS) {
                self.mark_late(&mut stanza, since_ms);
            }
            self.hand_now(number, stanza, is_assured, since_ms);
        }
    }

    /// Gives a stanza to a session that is not looked at: now with all that waited before it, or
    /// later.
    pub(crate) fn hand_inactive(
        &mut self,
        number: u64,
        stanza: Stanza,
        is_assured: bool,
        since_ms: u64,
    ) {
        if let Some(name) = self.may_wait(number, &stanza) {
            let held = HeldStanza {
                waiting: Waiting { stanza, since_ms, row: None },
                is_assured,
                name: Some(name).filter(|name| !name.is_empty()),
            };
            return self.hold_back(number, held);
        }
        self.give_held(number);
        self.hand_now(number, stanza, is_assured, since_ms);
    }

    /// Asks the modules whether a stanza may wait: `None` when it may not, otherwise the name that a
    /// newer one replaces it by.
    fn may_wait(&mut self, number: u64, stanza: &Stanza) -> Option<String> {
        // Somebody waits for the answer to a request.
        if stanza.kind == Kind::Iq {
            return None;
        }
        let hooks = self.pipeline.plain("inactive");
        let jid = self.state.sessions.get(number)?.jid.clone();
        let owner = jid.bare();
        let (owner, session) = (owner.as_str(), jid.as_str());
        let cause = Cause { owner, session, targets: &[], is_assured: false };
        let mut name = None;
        for hook in hooks {
            name = match self.call_stanza(hook.function, cause, stanza) {
                Called::Ran(status::LATER, _) => Some(String::new()),
                Called::Ran(status::REPLY, said) => {
                    Some(String::from_utf8(said.reply.unwrap_or_default()).ok()?)
                }
                Called::Off => continue,
                Called::Ran(..) | Called::Refused(_) | Called::Failed => return None,
            };
        }
        name
    }

    fn hold_back(&mut self, number: u64, mut new: HeldStanza) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let can_return = session.token().is_some();
        let Some(held) = &mut session.inactive else { return };
        let mut old = None;
        if new.name.is_some() {
            let place = held.stanzas.iter().position(|held| held.name == new.name);
            old = place.and_then(|place| held.stanzas.remove(place));
        }
        if let Some(old) = &old {
            held.bytes = held.bytes.saturating_sub(old.waiting.stanza.bytes());
        }
        let bytes = held.bytes.saturating_add(new.waiting.stanza.bytes());
        let is_full = bytes > HELD_BYTES_MAX;
        // As in a queue: a promise to the sender needs a row.
        let needs_row = new.is_assured && new.waiting.stanza.kind == Kind::Message;
        if needs_row && can_return && !is_full {
            held.rows = held.rows.wrapping_add(1);
            new.waiting.row = Some(ROWS.saturating_add(held.rows));
        }
        held.bytes = bytes;
        let kept = new.waiting.row.map(|row| (row, new.waiting.stanza.clone()));
        let since_ms = new.waiting.since_ms;
        held.stanzas.push_back(new);
        if let Some(key) = old.and_then(|old| self.row_key(number, old.waiting.row?)) {
            self.write(key, None);
        }
        if let Some((row, stanza)) = kept {
            self.keep_stanza(number, row, since_ms, &stanza);
        }
        if is_full {
            self.give_held(number);
        }
    }

    /// Takes out what waits for a session that ends, with its rows.
    pub(crate) fn take_held(&mut self, number: u64) -> Vec<Waiting> {
        let Some(session) = self.state.sessions.get_mut(number) else { return Vec::new() };
        let held = session.inactive.take().unwrap_or_default();
        held.stanzas.into_iter().map(|held| held.waiting).collect()
    }
}
