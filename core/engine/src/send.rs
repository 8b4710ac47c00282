//! What a local client sends, and where stanzas go next.

use std::sync::Arc;

use calypte::{Phase, Place};
use xmpp::{IqKind, Jid, Kind, PresenceKind, Stanza, StanzaError};

use crate::calls::{Cause, Verdict};
use crate::event::{Effect, Leg};
use crate::records::{CROSSING, HANDLED, Kept};
use crate::session::Waiting;
use crate::shard::shard_of;
use crate::step::Step;

impl Step<'_> {
    /// A client sent a stanza.
    pub(crate) fn sent(&mut self, number: u64, mut stanza: Stanza) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let jid = session.jid.clone();
        let is_assured = session.sm.is_some();
        if let Some(sm) = &mut session.sm {
            sm.handled = sm.handled.wrapping_add(1);
        }
        self.keep_handled(number);
        stanza.from = Some(jid.clone());
        if let Err(error) = check(&stanza) {
            return self.refuse(&stanza, &error, is_assured);
        }
        let is_broadcast = stanza.kind == Kind::Presence && stanza.to.is_none();
        if stanza.to.is_none() {
            // RFC 6120 §10.3. Without an address a stanza is for the sender's own account.
            stanza.to = if is_broadcast { None } else { Some(jid.bare()) };
        }
        let (owner, session) = (jid.bare(), jid);
        let cause =
            Cause { owner: owner.as_str(), session: session.as_str(), targets: &[], is_assured };
        let first = [Phase::Admit, Phase::Rewrite, Phase::Record];
        let mut verdict = self.run(Place::Sent, &first, cause, &mut stanza);
        if matches!(verdict, Verdict::Pass | Verdict::Kept) {
            if is_broadcast {
                self.set_presence(number, &stanza);
            }
            verdict = self.run(Place::Sent, &[Phase::Copy], cause, &mut stanza);
        }
        match verdict {
            Verdict::Pass | Verdict::Kept if is_broadcast => {}
            Verdict::Pass | Verdict::Kept if self.is_for_own_account(&stanza) => {
                self.answer(&owner, stanza, false, is_assured);
            }
            Verdict::Pass | Verdict::Kept => {
                self.note_directed(number, &stanza);
                self.route(stanza, is_assured);
            }
            Verdict::Over => {}
            Verdict::Refused(error) => self.refuse(&stanza, &error, is_assured),
        }
    }

    /// A client sent a stanza that cannot be passed on: it counts, and is answered.
    pub(crate) fn malformed(&mut self, number: u64, stanza: &Stanza, error: &StanzaError) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let is_assured = session.sm.is_some();
        if let Some(sm) = &mut session.sm {
            sm.handled = sm.handled.wrapping_add(1);
        }
        self.keep_handled(number);
        self.refuse(stanza, error, is_assured);
    }

    /// Notes the presence that a client shows to everyone.
    fn set_presence(&mut self, number: u64, stanza: &Stanza) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let is_available = stanza.view().presence_kind() == Some(PresenceKind::Available);
        session.available = is_available;
        session.priority = if is_available { priority(stanza) } else { 0 };
        session.note_ready(self.now_ms);
        session.presence = is_available.then(|| stanza.clone());
        if !is_available {
            session.directed.clear();
        }
        self.keep_session(number);
    }

    /// Keeps messages from a session, or gives them to it again.
    pub(crate) fn hold(&mut self, number: u64, is_held: bool) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let before = (session.is_held, session.ready_since);
        session.is_held = is_held;
        session.note_ready(self.now_ms);
        if before != (session.is_held, session.ready_since) {
            self.keep_session(number);
        }
    }

    /// Sends a stanza on its way to its owner.
    pub(crate) fn route(&mut self, stanza: Stanza, is_assured: bool) {
        let Some(to) = stanza.to.clone() else { return };
        if !self.is_local(to.domain()) {
            return self.leave(stanza, is_assured);
        }
        self.forward(Leg { stanza, is_assured, since_ms: None, transit: None });
    }

    /// Hands a leg to the shard of its owner.
    pub(crate) fn forward(&mut self, mut leg: Leg) {
        let Some(to) = &leg.stanza.to else { return };
        let shard = shard_of(to.as_ref().bare_str(), self.state.setup.shards);
        if shard == self.state.setup.shard {
            return self.legs.push_back(leg);
        }
        if leg.is_assured && !is_shown(&leg.stanza) && !is_secret(&leg.stanza) {
            // The sender's count is on disk with this step; the receiver's rows come with another.
            let since_ms = leg.since_ms.unwrap_or(self.now_ms);
            let mut key = Vec::new();
            table::Key::encode(&self.next_crossing(), &mut key);
            let row = table::full_key(CROSSING.name, "", &key);
            let kept = Kept { since_ms, xml: leg.stanza.to_xml() };
            self.write(row.clone(), Some(CROSSING.encode(&kept)));
            leg.transit = Some(row);
        }
        self.effects.push(Effect::Leg { shard, leg });
    }

    /// Returns the key of the next stanza that crosses, larger than all before: after a crash they
    /// are delivered in this order.
    fn next_crossing(&mut self) -> (u64, u64) {
        let (last_ms, count) = self.state.crossed;
        self.state.crossed = match count.checked_add(1) {
            Some(count) if self.now_ms <= last_ms => (last_ms, count),
            _ => (self.now_ms.max(last_ms.saturating_add(1)), 0),
        };
        let (ms, count) = self.state.crossed;
        (ms, u64::from(self.state.setup.shard) << 32 | u64::from(count))
    }

    /// A stanza came from another shard.
    pub(crate) fn arrived(&mut self, leg: Leg) {
        if let Some(row) = &leg.transit {
            // A shard that was made anew has found the row, and done what is to be done.
            if matches!(self.read(row), Ok(None)) {
                return;
            }
            self.write(row.clone(), None);
        }
        self.legs.push_back(leg);
    }

    /// Tells whether a message is between the domain itself and one of its accounts.
    pub(crate) fn is_between_us(&self, stanza: &Stanza) -> bool {
        let domain = &self.state.setup.domain;
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else { return false };
        let is_ours = from.domain() == domain.domain() && to.domain() == domain.domain();
        let is_it = |jid: &Jid| jid == domain;
        stanza.kind == Kind::Message && is_ours && (is_it(from) || is_it(to))
    }

    /// Tells whether a domain is ours, or below ours and served by a module.
    pub(crate) fn is_local(&self, domain: &str) -> bool {
        let ours = self.state.setup.domain.domain();
        domain == ours || self.served_label(domain).is_some()
    }

    /// Returns the label in front of our domain, when a module serves it.
    pub(crate) fn served_label(&self, domain: &str) -> Option<Arc<str>> {
        let ours = self.state.setup.domain.domain();
        let label = domain.strip_suffix(ours)?.strip_suffix('.')?;
        self.pipeline.server_of(label).map(|hook| Arc::clone(&hook.word))
    }

    /// Gives a stanza to a session, at once or when its client is looked at.
    pub(crate) fn hand(&mut self, number: u64, stanza: Stanza, is_assured: bool, since_ms: u64) {
        let session = self.state.sessions.get(number);
        if session.is_some_and(|session| session.inactive.is_some()) {
            return self.hand_inactive(number, stanza, is_assured, since_ms);
        }
        self.hand_now(number, stanza, is_assured, since_ms);
    }

    /// Gives a stanza to a session: to its connection, to its queue, or both.
    pub(crate) fn hand_now(
        &mut self,
        number: u64,
        stanza: Stanza,
        is_assured: bool,
        since_ms: u64,
    ) {
        let limit = self.state.setup.limits.queue_bytes;
        let Some(session) = self.state.sessions.get_mut(number) else {
            // It ended in this step, because it did not read. What it was to get goes elsewhere.
            let leg = self.reroute(None, Waiting { stanza, since_ms, row: None });
            return self.legs.extend(leg);
        };
        let is_away = session.away;
        let mut keep = None;
        if let Some(sm) = &mut session.sm {
            // One stanza always fits, however large: a stanza is bounded by itself.
            if sm.bytes > 0 && sm.bytes.saturating_add(stanza.bytes()) > limit {
                // A client that does not read is not waited for; its stanzas go where those of a
                // client go that never came back.
                return self.overflow(number, stanza, since_ms);
            }
            // A promise to the sender needs a row; so does a connection that is gone.
            let is_kept = is_away || (is_assured && stanza.kind == Kind::Message);
            let row = (is_kept && sm.token.is_some()).then(|| sm.next_row());
            let waiting = Waiting { stanza: stanza.clone(), since_ms, row };
            if sm.is_restored {
                sm.push_unnumbered(waiting);
            } else {
                sm.push(waiting);
            }
            keep = row;
        }
        if let Some(row) = keep {
            self.keep_stanza(number, row, since_ms, &stanza);
        }
        if !is_away {
            self.effects.push(Effect::ToSession { session: number, stanza });
        }
    }

    /// Writes down how many stanzas of a session were handled.
    pub(crate) fn keep_handled(&mut self, number: u64) {
        let Some(session) = self.state.sessions.get(number) else { return };
        let (Some(token), Some(sm)) = (session.token(), &session.sm) else { return };
        let key = account_key(&HANDLED, &session.jid, token);
        let value = HANDLED.encode(&crate::records::Count(sm.handled));
        self.write(key, Some(value));
    }
}

/// Returns the key of an account's row in a table of ours.
pub(crate) fn account_key<K: table::Key + ?Sized, V: table::Record>(
    table: &table::Table<K, V>,
    account: &Jid,
    key: &K,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    table::full_key(table.name, account.as_ref().bare_str(), &bytes)
}

/// Checks what RFC 6120 says of every stanza.
fn check(stanza: &Stanza) -> Result<(), StanzaError> {
    let view = stanza.view();
    match stanza.kind {
        Kind::Message => Ok(()),
        Kind::Presence => {
            if view.presence_kind().is_none() {
                return Err(StanzaError::BAD_REQUEST);
            }
            let needs_to = !matches!(
                view.presence_kind(),
                Some(PresenceKind::Available | PresenceKind::Unavailable)
            );
            if needs_to && stanza.to.is_none() { Err(StanzaError::BAD_REQUEST) } else { Ok(()) }
        }
        Kind::Iq => {
            // §8.2.3. An id, a known type, and one child in a request.
            let Some(kind) = view.iq_kind() else { return Err(StanzaError::BAD_REQUEST) };
            let children = view.payloads().take(2).count();
            let is_right = match kind {
                IqKind::Get | IqKind::Set => children == 1,
                IqKind::Result => children <= 1,
                IqKind::Error => true,
            };
            let has_id = stanza.id.as_ref().is_some_and(|id| !id.is_empty());
            if is_right && has_id { Ok(()) } else { Err(StanzaError::BAD_REQUEST) }
        }
    }
}

/// Tells whether a stanza may hold a password, a key or an invitation, which must not come to disk:
/// commands and what they answer, and changes of an account. Its answer says whether it was done.
pub(crate) fn is_secret(stanza: &Stanza) -> bool {
    let is_iq = stanza.kind == Kind::Iq && matches!(stanza.ty.as_deref(), Some("set" | "result"));
    let payload = stanza.view().payload();
    is_iq
        && payload.is_some_and(|node| {
            node.is(xmpp::ns::COMMANDS, "command") || node.is(xmpp::ns::REGISTER, "query")
        })
}

/// Tells whether it is presence of the moment: after a crash it is asked for again, so that a row for
/// each contact would be written for nothing. Subscriptions are no such presence.
pub(crate) fn is_shown(stanza: &Stanza) -> bool {
    let kind = stanza.view().presence_kind();
    stanza.kind == Kind::Presence
        && matches!(
            kind,
            Some(PresenceKind::Available | PresenceKind::Unavailable | PresenceKind::Probe)
        )
}

fn priority(stanza: &Stanza) -> i8 {
    // RFC 6121 §4.7.2.3. What is no number from -128 to 127 counts as 0.
    let text = stanza.view().content.root().child_text(xmpp::ns::CLIENT, "priority");
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
