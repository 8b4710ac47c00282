//! What reaches a local address (RFC 6121 §8).

use calypte::tables::ACCOUNTS;
use calypte::wire::status;
use calypte::{Phase, Place};
use xmpp::{IqKind, Jid, Kind, MessageKind, PresenceKind, Stanza, StanzaError};

use crate::calls::{Called, Cause, Verdict};
use crate::event::Leg;
use crate::session::Session;
use crate::step::Step;

/// Where a stanza goes inside an account.
enum Way {
    /// To these sessions.
    To(Vec<u64>),
    /// Nobody is there; it may be kept, and otherwise goes back.
    Away,
    /// It goes back.
    Refuse(StanzaError),
    /// It ends here, as the RFC says.
    Ignore,
    /// It is a request to the account itself.
    Ask,
    /// It is an answer to a request of ours.
    Answer,
}

impl Step<'_> {
    /// A stanza reached the shard of its recipient.
    pub(crate) fn receive(&mut self, leg: Leg) {
        self.since_ms = leg.since_ms;
        self.receive_leg(leg);
        self.since_ms = None;
    }

    fn receive_leg(&mut self, leg: Leg) {
        let Some(to) = leg.stanza.to.clone() else { return };
        let owner = to.bare();
        if let Some(label) = self.served_label(to.domain()) {
            return self.receive_served(&label, &owner, leg);
        }
        if to.local().is_none() {
            return self.receive_at_domain(&owner, leg);
        }
        if !self.is_account(owner.as_str()) {
            return self.receive_for_nobody(&owner, leg);
        }
        self.receive_at_account(&to, &owner, leg);
    }

    fn receive_at_account(&mut self, to: &Jid, owner: &Jid, leg: Leg) {
        let Leg { mut stanza, is_assured, since_ms, .. } = leg;
        // A stanza that waited was admitted when it came.
        let is_new = since_ms.is_none();
        let cause = Cause { owner: owner.as_str(), session: "", targets: &[], is_assured };
        if is_new {
            let first = [Phase::Admit, Phase::Rewrite];
            match self.run(Place::Received, &first, cause, &mut stanza) {
                Verdict::Pass | Verdict::Kept => {}
                Verdict::Over => return,
                Verdict::Refused(error) => return self.refuse(&stanza, &error, is_assured),
            }
        }
        let way = self.way(to, owner, &stanza);
        let numbers = if let Way::To(numbers) = &way { numbers.as_slice() } else { &[] };
        let cause = Cause { targets: numbers, ..cause };
        let wants_record = matches!(way, Way::To(_) | Way::Away);
        let mut is_kept = false;
        if wants_record {
            let phases: &[Phase] =
                if is_new { &[Phase::Record, Phase::Copy] } else { &[Phase::Record] };
            match self.run(Place::Received, phases, cause, &mut stanza) {
                Verdict::Pass => {}
                Verdict::Kept => is_kept = true,
                Verdict::Over => return,
                Verdict::Refused(error) => return self.refuse(&stanza, &error, is_assured),
            }
        }
        match way {
            Way::To(numbers) => {
                if let Some(since_ms) = since_ms {
                    self.mark_late(&mut stanza, since_ms);
                }
                let since_ms = since_ms.unwrap_or(self.now_ms);
                if let Some((last, others)) = numbers.split_last() {
                    for number in others {
                        self.hand(*number, stanza.clone(), is_assured, since_ms);
                    }
                    self.hand(*last, stanza, is_assured, since_ms);
                }
            }
            Way::Away if is_kept => {}
            Way::Away => self.refuse(&stanza, &StanzaError::SERVICE_UNAVAILABLE, is_assured),
            Way::Refuse(error) => self.refuse(&stanza, &error, is_assured),
            // Nobody here waits for an error any more but other devices, who saw what it answers.
            Way::Ignore if stanza.view().is_error() && is_new => {
                drop(self.run(Place::Received, &[Phase::Copy], cause, &mut stanza));
            }
            Way::Ignore => {}
            Way::Ask => self.answer(owner, stanza, false, is_assured),
            Way::Answer => self.answered(&stanza),
        }
    }

    /// Says on a stanza that waited for another session when it came (XEP-0198 §4).
    pub(crate) fn mark_late(&self, stanza: &mut Stanza, since_ms: u64) {
        let domain = &self.state.setup.domain;
        let is_ours = |node: xml::Node<'_>| {
            node.is(xmpp::ns::DELAY, "delay")
                && node.attr("from").as_deref() == Some(domain.as_str())
        };
        if !stanza.view().payloads().any(is_ours) {
            let mark = xmpp::xep::delay::delay(domain.as_ref(), since_ms);
            // One that has no room for the mark goes without.
            drop(stanza.append(&mark));
        }
    }

    pub(crate) fn resources(&self, numbers: &[u64]) -> Vec<&str> {
        let resource = |number: &u64| self.state.sessions.get(*number).map(Session::resource);
        numbers.iter().filter_map(resource).collect()
    }

    /// The delivery table of RFC 6121 §8.5.
    fn way(&self, to: &Jid, owner: &Jid, stanza: &Stanza) -> Way {
        let matching =
            to.resource().and_then(|resource| self.state.sessions.find(owner.as_str(), resource));
        if let Some(number) = matching.filter(|number| !self.is_behind(*number, stanza)) {
            return self.way_to_session(number, stanza);
        }
        match stanza.kind {
            Kind::Message => self.way_of_message(to, owner, stanza),
            Kind::Presence => self.way_of_presence(to, owner, stanza),
            Kind::Iq => way_of_iq(to, stanza),
        }
    }

    /// Tells whether a message has to wait behind older ones for a session.
    fn is_behind(&self, number: u64, stanza: &Stanza) -> bool {
        let is_held = self.state.sessions.get(number).is_some_and(|session| session.is_held);
        let can_wait = || {
            let kind = stanza.view().message_kind();
            stanza.kind == Kind::Message && matches!(kind, MessageKind::Normal | MessageKind::Chat)
        };
        is_held && can_wait()
    }

    fn way_to_session(&self, number: u64, stanza: &Stanza) -> Way {
        let is_available = self.state.sessions.get(number).is_some_and(|session| session.available);
        match stanza.view().presence_kind() {
            // §8.5.3.1. Subscriptions and probes are for the account.
            Some(PresenceKind::Available | PresenceKind::Unavailable | PresenceKind::Error) => {
                Way::To(vec![number])
            }
            _ if stanza.kind == Kind::Presence => {
                if is_available {
                    Way::To(vec![number])
                } else {
                    Way::Ignore
                }
            }
            _ => Way::To(vec![number]),
        }
    }

    fn way_of_message(&self, to: &Jid, owner: &Jid, stanza: &Stanza) -> Way {
        let kind = stanza.view().message_kind();
        let is_full = !to.is_bare();
        match kind {
            MessageKind::Error => return Way::Ignore,
            // §8.5.2.1.1 and §8.5.3.2.1.
            MessageKind::Groupchat => return Way::Refuse(StanzaError::SERVICE_UNAVAILABLE),
            MessageKind::Headline if is_full => return Way::Ignore,
            MessageKind::Headline | MessageKind::Normal | MessageKind::Chat => {}
        }
        let rows = self.state.sessions.rows(owner.as_str());
        let is_headline = kind == MessageKind::Headline;
        let is_ready =
            |session: &Session| session.ready_since.is_some() || (is_headline && session.is_held);
        let ready = rows.filter(|(_, session)| is_ready(session));
        let numbers: Vec<_> = ready.map(|(number, _)| number).collect();
        if !numbers.is_empty() {
            Way::To(numbers)
        } else if is_headline {
            Way::Ignore
        } else {
            Way::Away
        }
    }

    fn way_of_presence(&self, to: &Jid, owner: &Jid, stanza: &Stanza) -> Way {
        let view = stanza.view();
        // What modules have not dealt with by now goes to who is there.
        let is_for_all = matches!(
            view.presence_kind(),
            Some(PresenceKind::Available | PresenceKind::Unavailable)
        );
        if !to.is_bare() || !is_for_all {
            return Way::Ignore;
        }
        let rows = self.state.sessions.rows(owner.as_str());
        Way::To(rows.filter(|(_, session)| session.available).map(|(number, _)| number).collect())
    }

    /// A stanza is for the domain itself.
    fn receive_at_domain(&mut self, owner: &Jid, leg: Leg) {
        let Leg { mut stanza, is_assured, .. } = leg;
        let cause = Cause { owner: owner.as_str(), session: "", targets: &[], is_assured };
        let first = [Phase::Admit, Phase::Rewrite];
        match self.run(Place::Received, &first, cause, &mut stanza) {
            Verdict::Pass | Verdict::Kept => {}
            Verdict::Over => return,
            Verdict::Refused(error) => return self.refuse(&stanza, &error, is_assured),
        }
        let is_bare = stanza.to.as_ref().is_some_and(Jid::is_bare);
        match stanza.view().iq_kind() {
            Some(IqKind::Get | IqKind::Set) if stanza.kind == Kind::Iq && is_bare => {
                self.answer(owner, stanza, true, is_assured);
            }
            Some(IqKind::Result | IqKind::Error) if stanza.kind == Kind::Iq => {
                self.answered(&stanza);
            }
            _ if stanza.kind == Kind::Presence => {}
            _ => self.refuse(&stanza, &StanzaError::SERVICE_UNAVAILABLE, is_assured),
        }
    }

    /// A stanza is for an address that is no account: an alias, or nobody.
    fn receive_for_nobody(&mut self, owner: &Jid, leg: Leg) {
        let Leg { stanza, is_assured, .. } = leg;
        let cause = Cause { owner: owner.as_str(), session: "", targets: &[], is_assured };
        if self.is_awaited(&stanza) {
            return self.answered(&stanza);
        }
        for hook in self.pipeline.plain("claim") {
            match self.call_stanza(hook.function, cause, &stanza) {
                Called::Off => {}
                Called::Ran(status::PASS, said) => {
                    if let Some(replacement) = said.replacement {
                        return self.route(replacement, is_assured);
                    }
                }
                Called::Ran(status::HANDLED | status::DROP, _) => return,
                Called::Refused(error) => return self.refuse(&stanza, &error, is_assured),
                Called::Ran(..) | Called::Failed => {
                    return self.refuse(&stanza, &StanzaError::INTERNAL, is_assured);
                }
            }
        }
        // §4.3.2. As an account answers somebody who may not see its presence.
        if stanza.view().presence_kind() == Some(PresenceKind::Probe)
            && stanza.kind == Kind::Presence
        {
            return self.route_unsubscribed(&stanza, is_assured);
        }
        // §8.5.1. Presence is ignored; the rest looks as if the account existed and were away.
        if stanza.kind != Kind::Presence {
            self.refuse(&stanza, &StanzaError::SERVICE_UNAVAILABLE, is_assured);
        }
    }

    fn route_unsubscribed(&mut self, probe: &Stanza, is_assured: bool) {
        let Ok(mut answer) = Stanza::parse("<presence type='unsubscribed'/>") else { return };
        answer.from = probe.to.as_ref().map(Jid::bare);
        answer.to = probe.from.as_ref().map(Jid::bare);
        self.route(answer, is_assured);
    }

    fn receive_served(&mut self, label: &str, owner: &Jid, leg: Leg) {
        let Leg { mut stanza, is_assured, .. } = leg;
        let cause = Cause { owner: owner.as_str(), session: "", targets: &[], is_assured };
        let first = [Phase::Admit, Phase::Rewrite];
        match self.run(Place::Received, &first, cause, &mut stanza) {
            Verdict::Pass | Verdict::Kept => {}
            Verdict::Over => return,
            Verdict::Refused(error) => return self.refuse(&stanza, &error, is_assured),
        }
        if self.is_awaited(&stanza) {
            return self.answered(&stanza);
        }
        let Some(function) = self.pipeline.server_of(label).map(|hook| hook.function) else {
            return;
        };
        match self.call_stanza(function, cause, &stanza) {
            Called::Ran(status::PASS, _) | Called::Off => {
                self.refuse(&stanza, &StanzaError::SERVICE_UNAVAILABLE, is_assured);
            }
            Called::Ran(status::HANDLED | status::DROP, _) => {}
            Called::Refused(error) => self.refuse(&stanza, &error, is_assured),
            Called::Ran(..) | Called::Failed => {
                self.refuse(&stanza, &StanzaError::INTERNAL, is_assured);
            }
        }
    }

    /// Tells whether a bare address is an account.
    pub(crate) fn is_account(&mut self, bare: &str) -> bool {
        if !self.state.sessions.of(bare).is_empty() {
            return true;
        }
        let jid = xmpp::JidRef::trusted(bare);
        let Some(local) = jid.local().filter(|_| jid.domain() == self.state.setup.domain.domain())
        else {
            return false;
        };
        let mut key = Vec::new();
        table::Key::encode(local, &mut key);
        let key = table::full_key(ACCOUNTS.name, "", &key);
        // A store that cannot be read must not make an account look as if it did not exist.
        self.read(&key).map_or(true, |row| row.is_some())
    }
}

fn way_of_iq(to: &Jid, stanza: &Stanza) -> Way {
    match stanza.view().iq_kind() {
        Some(IqKind::Get | IqKind::Set) if to.is_bare() => Way::Ask,
        Some(IqKind::Get | IqKind::Set) => Way::Refuse(StanzaError::SERVICE_UNAVAILABLE),
        Some(IqKind::Result | IqKind::Error) if to.is_bare() => Way::Answer,
        _ => Way::Ignore,
    }
}
