//! Requests to accounts and to the domain, questions by HTTP and command, and what modules offer.

use calypte::wire::{Head, LoginFacts, TokenWish, encode, status};
use xmpp::{Jid, Stanza, StanzaError};

use crate::calls::{Called, Cause};
use crate::commands::About;
use crate::event::{Ask, Effect};
use crate::forms;
use crate::later::Asker;
use crate::step::{Step, Told};

impl Step<'_> {
    /// Answers a request, exactly once.
    pub(crate) fn answer(
        &mut self,
        owner: &Jid,
        stanza: Stanza,
        of_domain: bool,
        is_assured: bool,
    ) {
        match self.about_commands(owner, &stanza, of_domain, is_assured) {
            About::Else => {}
            About::Later => return,
            About::Answer(reply) => return self.give_reply(&stanza, reply, is_assured),
        }
        let view = stanza.view();
        let is_set = stanza.ty.as_deref() == Some("set");
        let hook = view.payload().and_then(|payload| {
            self.pipeline.iq_hook(is_set, payload.ns(), payload.name(), of_domain)
        });
        let is_own = stanza.from.as_ref().is_none_or(|from| from.same_bare(owner));
        let Some(hook) = hook.filter(|hook| hook.of_domain || hook.for_anyone || is_own) else {
            return self.refuse(&stanza, &StanzaError::SERVICE_UNAVAILABLE, is_assured);
        };
        let session = stanza.from.as_ref().filter(|_| is_own).map_or("", Jid::as_str);
        let session = session.to_owned();
        let cause = Cause { owner: owner.as_str(), session: &session, targets: &[], is_assured };
        match self.call_stanza(hook.function, cause, &stanza) {
            Called::Ran(status::REPLY, said) => {
                let inner = String::from_utf8(said.reply.unwrap_or_default());
                let inner = inner.map_err(|_| StanzaError::INTERNAL);
                self.give_reply(&stanza, inner, is_assured);
            }
            Called::Ran(status::LATER, said) => {
                let asker = Asker::Request(addresses(&stanza), is_assured);
                self.owe(said.ticket, hook.function.module, asker);
            }
            Called::Off => self.refuse(&stanza, &StanzaError::SERVICE_UNAVAILABLE, is_assured),
            Called::Ran(..) | Called::Failed => {
                self.refuse(&stanza, &StanzaError::INTERNAL, is_assured);
            }
            Called::Refused(error) => self.refuse(&stanza, &error, is_assured),
        }
    }

    /// Sends the result of a request, or why there is none.
    pub(crate) fn give_reply(
        &mut self,
        request: &Stanza,
        inner: Result<String, StanzaError>,
        is_assured: bool,
    ) {
        let reply =
            inner.and_then(|inner| request.result_reply(&inner).ok_or(StanzaError::INTERNAL));
        match reply {
            Ok(reply) => self.route(reply, is_assured),
            Err(error) => self.refuse(request, &error, is_assured),
        }
    }

    /// Asks a module what somebody wants to know by HTTP or command.
    pub(crate) fn ask(&mut self, ask: &Ask) {
        // The longest path is the one that is meant.
        let fits = |word: &str| match ask.kind {
            "http" => {
                let rest = ask.name.strip_prefix(word);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => ask.name == word,
        };
        let hooks = self.pipeline.plain(ask.kind).into_iter();
        let hooks = hooks.filter(|hook| self.pipeline.is_on(hook.function.module));
        let hook = hooks.filter(|hook| fits(&hook.word)).max_by_key(|hook| hook.word.len());
        let Some(hook) = hook else {
            return self.tell_asker(ask.token, Err(StanzaError::ITEM_NOT_FOUND), None);
        };
        let cause =
            Cause { owner: ask.owner.as_str(), session: "", targets: &[], is_assured: true };
        let payload = encode(&ask.question);
        let (answer, head) = match self.call(hook.function, cause, None, &ask.name, &payload) {
            Called::Ran(status::REPLY, said) => {
                let reply = said.reply.unwrap_or_default();
                let answer = if hook.has_forms { forms::on_a_line(&reply) } else { Ok(reply) };
                (answer, said.head.map(|head| *head))
            }
            Called::Ran(status::LATER, said) if said.ticket.is_some() => {
                let is_web = ask.kind == "http";
                let asker = if is_web { Asker::Web(ask.token) } else { Asker::Question(ask.token) };
                return self.owe(said.ticket, hook.function.module, asker);
            }
            Called::Refused(error) => (Err(error), None),
            Called::Off => (Err(StanzaError::ITEM_NOT_FOUND), None),
            Called::Ran(..) | Called::Failed => (Err(StanzaError::INTERNAL), None),
        };
        self.tell_asker(ask.token, answer, head);
    }

    /// Returns where the world reaches a public path, or all of them.
    pub(crate) fn page_url(&self, path: &[u8]) -> Option<String> {
        let path = std::str::from_utf8(path).ok()?;
        let mut hooks = self.pipeline.plain("http").into_iter();
        let is_there = path.is_empty()
            || hooks.any(|hook| {
                let is_public = &*hook.word == path && &*hook.second == "public";
                is_public && self.pipeline.is_on(hook.function.module)
            });
        let url = self.state.setup.web_url.as_ref().filter(|_| is_there)?;
        Some(format!("{url}{path}"))
    }

    /// Answers a question by HTTP or command.
    pub(crate) fn tell_asker(
        &mut self,
        token: u64,
        answer: Result<Vec<u8>, StanzaError>,
        head: Option<Head>,
    ) {
        self.effects.push(Effect::Answer { token, answer, head });
    }

    /// Passes a notice on to the modules that listen.
    pub(crate) fn pass_on(&mut self, told: &Told) {
        let cause =
            Cause { owner: &told.owner, session: &told.session, targets: &[], is_assured: true };
        for hook in self.pipeline.plain("notice") {
            if *hook.word == *told.name {
                self.call_plain(hook.function, cause, &told.name, &told.payload);
            }
        }
    }

    /// Calls a function whose refusal nobody is told of.
    pub(crate) fn call_plain(
        &mut self,
        function: crate::pipeline::Function,
        cause: Cause<'_>,
        name: &str,
        payload: &[u8],
    ) {
        if let Called::Refused(error) = self.call(function, cause, None, name, payload) {
            let module = self.pipeline.name(function.module).to_owned();
            if !self.state.refusals.is_news(&module, cause.owner, self.now_ms) {
                return;
            }
            self.log(2, &module, format!("could not do what it was called for: {error}"));
        }
    }

    /// Asks the modules that look at logins; the first refusal counts.
    pub(crate) fn admit_login(&mut self, jid: &Jid, login: &LoginFacts) -> Result<(), StanzaError> {
        let owner = jid.bare();
        let cause =
            Cause { owner: owner.as_str(), session: jid.as_str(), targets: &[], is_assured: false };
        let facts = encode(login);
        for kind in ["channel", "authenticated"] {
            for hook in self.pipeline.plain(kind) {
                match self.call(hook.function, cause, None, "", &facts) {
                    Called::Ran(..) | Called::Off => {}
                    Called::Refused(error) => return Err(error),
                    Called::Failed => return Err(StanzaError::INTERNAL),
                }
            }
        }
        Ok(())
    }

    /// Runs the functions of a session: `opened`, `resumed` or `closed`.
    pub(crate) fn tell_session(&mut self, kind: &str, jid: &Jid) -> Result<(), StanzaError> {
        let owner = jid.bare();
        let cause =
            Cause { owner: owner.as_str(), session: jid.as_str(), targets: &[], is_assured: false };
        let mut outcome = Ok(());
        for hook in self.pipeline.plain(kind) {
            let error = match self.call(hook.function, cause, None, "", &[]) {
                Called::Refused(error) => error,
                Called::Failed if self.pipeline.is_security(hook.function.module) => {
                    StanzaError::INTERNAL
                }
                Called::Ran(..) | Called::Failed | Called::Off => continue,
            };
            // Who may refuse is heard at once. What has happened is told to all.
            outcome = outcome.and(Err(error));
            if kind == "opened" {
                break;
            }
        }
        outcome
    }

    /// Does what a client asked for while it bound. All of it is one effect, so that nothing is
    /// written to the client before it is told.
    pub(crate) fn bind(
        &mut self,
        number: u64,
        wishes: &[String],
        enable: Option<bool>,
        wish: Option<&TokenWish>,
    ) {
        let Some(session) = self.state.sessions.get(number) else { return };
        let jid = session.jid.clone();
        let owner = jid.bare();
        let cause =
            Cause { owner: owner.as_str(), session: jid.as_str(), targets: &[], is_assured: false };
        let wishes = format!("<bind xmlns='{}'>{}</bind>", xmpp::ns::BIND2, wishes.concat());
        let mut answers = Vec::new();
        for hook in self.pipeline.plain("bound") {
            match self.call(hook.function, cause, None, "", wishes.as_bytes()) {
                Called::Ran(status::REPLY, said) => answers.extend(element(said.reply)),
                Called::Refused(error) => {
                    let module = self.pipeline.name(hook.function.module).to_owned();
                    self.log(2, &module, format!("failed while a client was bound: {error}"));
                }
                Called::Ran(..) | Called::Failed | Called::Off => {}
            }
        }
        let enabled = enable.and_then(|resume| self.turn_on(number, resume));
        let token = wish.and_then(|wish| self.grant(&jid, wish));
        self.effects.push(Effect::Bound { session: number, answers, enabled, token });
    }

    pub(crate) fn module_features(&mut self, kind: &str) -> Vec<String> {
        let cause = Cause { owner: "", session: "", targets: &[], is_assured: false };
        let mut features = Vec::new();
        for hook in self.pipeline.plain(kind) {
            if let Called::Ran(status::REPLY, said) = self.call(hook.function, cause, None, "", &[])
            {
                features.extend(element(said.reply));
            }
        }
        features
    }
}

/// Returns a request without what it asks.
pub(crate) fn addresses(request: &Stanza) -> Stanza {
    let mut addresses = Stanza::parse("<iq/>").unwrap_or_else(|_| request.clone());
    addresses.from.clone_from(&request.from);
    addresses.to.clone_from(&request.to);
    addresses.id.clone_from(&request.id);
    addresses.ty.clone_from(&request.ty);
    addresses
}

/// Reads an element that a module wrote.
fn element(reply: Option<Vec<u8>>) -> Option<String> {
    let xml = String::from_utf8(reply?).ok()?;
    xml::Flat::parse(&xml, xmpp::ns::STREAMS).is_ok().then_some(xml)
}
