//! Sessions: opened, lost, resumed (XEP-0198) and ended.

use calypte::notice::{Notice, PresenceMissed};
use calypte::wire::{LoginFacts, TokenWish, encode};
use xmpp::{IqKind, Jid, Kind, MessageKind, PresenceKind, Stanza, StanzaError, StreamError};

use crate::calls::{Called, Cause};
use crate::event::{Effect, Leg};
use crate::records::{HANDLED, Kept, RESUMABLE, Resumable, UNACKED};
use crate::send::account_key;
use crate::session::{Session, Sm, Waiting};
use crate::step::{Step, Told};

/// Sessions that end in one step because they waited too long; the rest follows in the next, so
/// that the budget of a step is enough for what modules do about each.
const ENDS_MAX: usize = 16;
/// The value of a session that had no room for presence.
const MISSED: &str = "engine.presence-missed";
/// Letters of the name that a session comes back by: 128 bits.
const TOKEN_BYTES: usize = 16;

impl Step<'_> {
    /// A client was bound to its resource.
    pub(crate) fn open(&mut self, number: u64, jid: Jid, login: &LoginFacts) {
        if let Err(error) = self.admit_login(&jid, login) {
            self.log(3, "engine", format!("a module refused a login: {error}"));
            return self.close_stream(number, StreamError::PolicyViolation);
        }
        let account = jid.bare();
        // RFC 6120 §7.7.2.2. The newer session is the one that works.
        if let Some(older) =
            self.state.sessions.find(account.as_str(), jid.resource().unwrap_or(""))
        {
            self.end(older, Some(StreamError::Conflict));
            self.settle();
        }
        if self.state.sessions.of(account.as_str()).len() >= self.state.setup.limits.sessions {
            return self.close_stream(number, StreamError::ResourceConstraint);
        }
        self.state.sessions.insert(number, Session::new(jid.clone()));
        if let Err(error) = self.tell_session("opened", &jid) {
            self.log(3, "engine", format!("a module refused a session: {error}"));
            self.end(number, Some(StreamError::PolicyViolation));
        }
    }

    /// A client turned acknowledgements on.
    pub(crate) fn enable(&mut self, number: u64, resume: bool) {
        if let Some(token) = self.turn_on(number, resume) {
            self.effects.push(Effect::Enabled { session: number, token });
        }
    }

    /// Counts what a session sends and receives from here on, and returns the name that it comes back
    /// by, where it can.
    pub(crate) fn turn_on(&mut self, number: u64, resume: bool) -> Option<Option<String>> {
        let can_resume = resume && self.state.setup.limits.resume_ms > 0;
        let token = can_resume.then(|| {
            self.random(TOKEN_BYTES).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        });
        let session = self.state.sessions.get_mut(number)?;
        session.sm = Some(Sm { token: token.clone(), ..Sm::default() });
        self.keep_session(number);
        self.keep_handled(number);
        Some(token)
    }

    /// A client says how much it received.
    pub(crate) fn acked(&mut self, number: u64, h: u32) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let Some(sm) = &mut session.sm else { return };
        match sm.settle(h) {
            Some(done) => {
                self.forget(number, &done);
                self.tell_acked(number, &done);
                self.tell_missed(number);
            }
            // The stream has checked it; a count that does not fit here is a fault of ours or a
            // client that goes backwards.
            None => self.close_stream(number, StreamError::UndefinedCondition),
        }
    }

    /// Tells modules which messages a client has.
    fn tell_acked(&mut self, number: u64, done: &[Waiting]) {
        let hooks = self.pipeline.plain("acked");
        let Some(session) = self.state.sessions.get(number).filter(|_| !hooks.is_empty()) else {
            return;
        };
        let (jid, owner) = (session.jid.clone(), session.jid.bare());
        let (owner, session) = (owner.as_str(), jid.as_str());
        let cause = Cause { owner, session, targets: &[], is_assured: false };
        for waiting in done.iter().filter(|waiting| waiting.stanza.kind == Kind::Message) {
            for hook in &hooks {
                let heard = self.call_stanza(hook.function, cause, &waiting.stanza);
                if let Called::Refused(error) = heard {
                    let module = self.pipeline.name(hook.function.module).to_owned();
                    self.log(2, &module, format!("failed at an acknowledgement: {error}"));
                }
            }
        }
    }

    /// Deletes the rows of stanzas that were received.
    fn forget(&mut self, number: u64, done: &[Waiting]) {
        for row in done.iter().filter_map(|waiting| waiting.row) {
            if let Some(key) = self.row_key(number, row) {
                self.write(key, None);
            }
        }
    }

    pub(crate) fn row_key(&self, number: u64, row: u64) -> Option<Vec<u8>> {
        let session = self.state.sessions.get(number)?;
        Some(account_key(&UNACKED, &session.jid, &(session.token()?.to_owned(), row)))
    }

    /// A connection is lost. A session that can come back waits, unless it was told to end.
    pub(crate) fn detach(&mut self, number: u64) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        if session.closing || session.token().is_none() {
            return self.end(number, None);
        }
        self.await_return(number);
        // XEP-0352 §4.2. Who comes back is active.
        self.rouse(number);
        self.keep_queue(number);
        let Some(session) = self.state.sessions.get(number) else { return };
        let jid = session.jid.clone();
        if let Err(error) = self.tell_session("lost", &jid) {
            self.log(2, "engine", format!("a module failed at a lost connection: {error}"));
        }
    }

    /// Notes that a session has no connection, and how long it may come back.
    pub(crate) fn await_return(&mut self, number: u64) {
        self.forget_expiry(number);
        let until = self.now_ms.saturating_add(self.state.setup.limits.resume_ms);
        if let Some(session) = self.state.sessions.get_mut(number) {
            session.away = true;
            session.until = Some(until);
            self.state.expiries.insert((until, number));
        }
    }

    fn forget_expiry(&mut self, number: u64) {
        let session = self.state.sessions.get_mut(number);
        if let Some(until) = session.and_then(|session| session.until.take()) {
            self.state.expiries.remove(&(until, number));
        }
    }

    /// Writes down what a session has not acknowledged.
    fn keep_queue(&mut self, number: u64) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let Some(sm) = &mut session.sm else { return };
        let mut count = sm.first();
        let mut rows = Vec::new();
        for waiting in &mut sm.queue {
            if waiting.row.is_none() {
                waiting.row = Some(u64::from(count));
                rows.push((u64::from(count), waiting.since_ms, waiting.stanza.clone()));
            }
            count = count.wrapping_add(1);
        }
        for (row, since_ms, stanza) in rows {
            self.keep_stanza(number, row, since_ms, &stanza);
        }
    }

    /// Writes down a stanza that a session has not acknowledged.
    pub(crate) fn keep_stanza(&mut self, number: u64, row: u64, since_ms: u64, stanza: &Stanza) {
        if let Some(key) = self.row_key(number, row) {
            let value = UNACKED.encode(&Kept { since_ms, xml: stanza.to_xml() });
            self.write(key, Some(value));
        }
    }

    /// Writes down what a session needs to come back.
    pub(crate) fn keep_session(&mut self, number: u64) {
        let Some(session) = self.state.sessions.get(number) else { return };
        let Some(token) = session.token() else { return };
        let row = session.row();
        let resumable = Resumable {
            resource: row.resource,
            available: row.available,
            priority: row.priority,
            ready_since: session.ready_since,
            presence: row.presence,
            values: row.values,
        };
        let key = account_key(&RESUMABLE, &session.jid, token);
        self.write(key, Some(RESUMABLE.encode(&resumable)));
    }

    /// Keeps a value with a session; empty removes it.
    pub(crate) fn set_value(&mut self, number: u64, name: String, value: Vec<u8>) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        if value.is_empty() {
            session.values.remove(&name);
        } else {
            session.values.insert(name, value);
        }
        self.keep_session(number);
    }

    /// A client wants to go on with an earlier session of its own account.
    pub(crate) fn resume(
        &mut self,
        number: u64,
        account: &Jid,
        (token, h): (&str, u32),
        (login, fresh): (&LoginFacts, Option<&TokenWish>),
    ) {
        let refused = Effect::ResumeRefused { session: number };
        let earlier = self.state.sessions.find_token(account.as_ref().bare_str(), token);
        let found = earlier.and_then(|earlier| Some((earlier, self.state.sessions.get(earlier)?)));
        // Who is thrown out does not come back while the connection ends.
        let found = found.filter(|(_, session)| !session.closing);
        let Some((earlier, session)) = found else { return self.effects.push(refused) };
        let (jid, was_away) = (session.jid.clone(), session.away);
        if let Err(error) = self.admit_login(&jid, login) {
            // The session waits for a login that is admitted.
            self.log(3, "engine", format!("a module refused a resumption: {error}"));
            return self.close_stream(number, StreamError::PolicyViolation);
        }
        let before = Some(earlier).filter(|_| !was_away);
        self.set_aside(earlier);
        self.forget_expiry(earlier);
        let Some(mut session) = self.state.sessions.remove(earlier) else {
            return self.effects.push(refused);
        };
        session.away = false;
        let Some(sm) = &mut session.sm else { return self.effects.push(refused) };
        let handled = sm.handled;
        let was_restored = sm.is_restored;
        let done = if was_restored { Some(sm.settle_restored(h)) } else { sm.settle(h) };
        let unacked: Vec<_> = sm.queue.iter().map(|waiting| waiting.stanza.clone()).collect();
        self.state.sessions.insert(number, session);
        let Some(done) = done else {
            // The client counts what it was never sent, or takes back what it had.
            if let Some(before) = before {
                self.close_stream(before, StreamError::Conflict);
            }
            return self.end(number, Some(StreamError::UndefinedCondition));
        };
        self.forget(number, &done);
        if was_restored {
            self.number_anew(number);
        }
        self.tell_acked(number, &done);
        let fresh = fresh.and_then(|wish| self.grant(&jid, wish));
        self.effects.push(Effect::Resumed {
            session: number,
            jid: jid.clone(),
            token: token.to_owned(),
            handled,
            before,
            unacked,
            fresh,
        });
        if let Err(error) = self.tell_session("resumed", &jid) {
            self.log(2, "engine", format!("a module failed at a resumption: {error}"));
        }
        self.tell_missed(number);
    }

    /// Puts what waits for a client that was not looked at behind what was sent to it: the connection
    /// it had is over (XEP-0352 §4.2).
    fn set_aside(&mut self, number: u64) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        if session.inactive.is_some() {
            session.away = true;
            self.rouse(number);
        }
    }

    /// Moves the rows of a restored session to the numbers that its stanzas have now.
    fn number_anew(&mut self, number: u64) {
        let Some(session) = self.state.sessions.get_mut(number) else { return };
        let Some(sm) = &mut session.sm else { return };
        let old: Vec<_> = sm.queue.iter_mut().filter_map(|waiting| waiting.row.take()).collect();
        for key in old.into_iter().filter_map(|row| self.row_key(number, row)).collect::<Vec<_>>() {
            self.write(key, None);
        }
        self.keep_queue(number);
    }

    /// A module ends a session. One whose connection is lost does not come back.
    pub(crate) fn close(&mut self, number: u64, why: StreamError) {
        if self.state.sessions.get(number).is_some_and(|session| session.away) {
            self.end(number, None);
        } else {
            self.close_stream(number, why);
        }
    }

    /// A session is over: its modules are told, and what it did not receive goes elsewhere.
    pub(crate) fn end(&mut self, number: u64, why: Option<StreamError>) {
        self.end_with(number, why, None);
    }

    /// Ends a session for which there is one stanza `more` than its queue holds.
    fn end_with(&mut self, number: u64, why: Option<StreamError>, more: Option<Waiting>) {
        let Some(session) = self.state.sessions.get(number) else { return };
        let jid = session.jid.clone();
        if let (Some(why), false) = (why, session.away) {
            self.close_stream(number, why);
        }
        if let Err(error) = self.tell_session("closed", &jid) {
            self.log(2, "engine", format!("a module failed at the end of a session: {error}"));
        }
        self.forget_expiry(number);
        let queue = self.state.sessions.get_mut(number).and_then(|session| session.sm.as_mut());
        let queue: Vec<_> = queue.map(|sm| sm.queue.drain(..).collect()).unwrap_or_default();
        self.forget(number, &queue);
        let held = self.take_held(number);
        self.forget(number, &held);
        let Some(session) = self.state.sessions.remove(number) else { return };
        if let Some(token) = session.token() {
            self.write(account_key(&RESUMABLE, &jid, token), None);
            self.write(account_key(&HANDLED, &jid, token), None);
        }
        let mut legs = Vec::new();
        for waiting in queue.into_iter().chain(held).chain(more) {
            legs.extend(self.reroute(Some(&jid), waiting));
        }
        // In front of newer stanzas that wait in this step.
        for leg in legs.into_iter().rev() {
            self.legs.push_front(leg);
        }
    }

    /// Finds the way of a stanza that a session, which was `own`, did not receive, as RFC 6121
    /// says.
    pub(crate) fn reroute(&mut self, own: Option<&Jid>, waiting: Waiting) -> Option<Leg> {
        let Waiting { stanza, since_ms, .. } = waiting;
        let view = stanza.view();
        match stanza.kind {
            Kind::Message => {
                let is_kept =
                    matches!(view.message_kind(), MessageKind::Chat | MessageKind::Normal);
                let is_lost = is_kept && !self.is_elsewhere(own, &stanza, since_ms);
                let since_ms = Some(since_ms);
                is_lost.then_some(Leg { stanza, is_assured: true, since_ms, transit: None })
            }
            Kind::Iq => {
                if matches!(view.iq_kind(), Some(IqKind::Get | IqKind::Set)) {
                    self.refuse(&stanza, &StanzaError::SERVICE_UNAVAILABLE, false);
                }
                None
            }
            Kind::Presence => None,
        }
    }

    /// Tells whether nobody else needs a message that a session did not receive: it was made for
    /// that session, or others of the account got it too.
    fn is_elsewhere(&self, own: Option<&Jid>, stanza: &Stanza, since_ms: u64) -> bool {
        let Some(to) = &stanza.to else { return false };
        // Copies and results of queries come from the account itself.
        if stanza.from.as_ref().is_some_and(|from| from.is_bare() && from.same_bare(to)) {
            return true;
        }
        if own.map_or_else(|| !to.is_bare(), |own| own == to) {
            return false;
        }
        let mut rows = self.state.sessions.rows(to.as_ref().bare_str());
        rows.any(|(_, session)| session.ready_since.is_some_and(|ready| ready < since_ms))
    }

    /// A client does not read, and its queue is full.
    pub(crate) fn overflow(&mut self, number: u64, stanza: Stanza, since_ms: u64) {
        if stanza.view().presence_kind() == Some(PresenceKind::Available)
            && stanza.kind == Kind::Presence
        {
            // The newest presence is asked for again when the client comes back (`tell_missed`).
            return self.note_missed(number);
        }
        let more = Waiting { stanza, since_ms, row: None };
        self.end_with(number, Some(StreamError::ResourceConstraint), Some(more));
    }

    /// Remembers that a session had no room for presence.
    fn note_missed(&mut self, number: u64) {
        let session = self.state.sessions.get(number);
        if session.is_some_and(|session| !session.values.contains_key(MISSED)) {
            self.set_value(number, MISSED.to_owned(), vec![1]);
        }
    }

    /// Tells modules that a session missed presence, as soon as there is room for it.
    fn tell_missed(&mut self, number: u64) {
        let limit = self.state.setup.limits.queue_bytes;
        let Some(session) = self.state.sessions.get(number) else { return };
        let bytes = session.sm.as_ref().map_or(0, |sm| sm.bytes);
        if bytes > limit / 2 || !session.values.contains_key(MISSED) {
            return;
        }
        self.notices.push_back(Told {
            owner: session.jid.bare().as_str().to_owned(),
            session: session.jid.as_str().to_owned(),
            name: PresenceMissed::NAME.to_owned(),
            payload: encode(&PresenceMissed),
        });
        self.set_value(number, MISSED.to_owned(), Vec::new());
    }

    /// Ends the sessions that waited too long.
    pub(crate) fn expire(&mut self) {
        for _ in 0..ENDS_MAX {
            let first = self.state.expiries.first().copied();
            let Some((until, number)) = first.filter(|(until, _)| *until <= self.now_ms) else {
                return;
            };
            self.state.expiries.remove(&(until, number));
            self.end(number, None);
            self.settle();
        }
    }
}
