//! Ad-hoc commands of modules (XEP-0050), with forms where they need to be told something.
//!
//! A command is a function of all that was filled in so far, so a stage back is the same function with
//! less. What clients are in the middle of is kept in memory: a restart ends it. Commands for users run for the asker's own account, those of the operator for the domain. They
//! can be asked of the account, and all of them of the domain, where clients look.

use std::collections::BTreeMap;

use calypte::command::{CommandReply, CommandResult, Form, Outcome};
use calypte::wire::{Question, decode, encode, status};
use calypte::{Command, Who};
use xml::{Element, Node};
use xmpp::{IqKind, Jid, JidRef, Kind, Stanza, StanzaError, ns};

use crate::answer::addresses;
use crate::calls::{Called, Cause};
use crate::forms;
use crate::later::Asker;
use crate::pipeline::Function;
use crate::step::Step;

/// How long a client may think about a form, in milliseconds.
const SESSION_MS: u64 = 600_000;
/// When what a client was in the middle of is forgotten altogether.
const FORGET_MS: u64 = 3_600_000;
/// The most that the clients of one account are in the middle of.
const OF_ACCOUNT_MAX: usize = 8;
/// The most that all clients of a shard are in the middle of.
const SESSIONS_MAX: usize = 1024;
/// The most stages of a command.
const STAGES_MAX: usize = 16;

/// What a request about commands comes to.
pub(crate) enum About {
    /// It is about something else.
    Else,
    /// A module answers it later.
    Later,
    /// This is the answer.
    Answer(Result<String, StanzaError>),
}

impl Step<'_> {
    /// Lists the commands that modules offer: node, who, title.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        let line = |command: Command| {
            let who = match command.who {
                Who::User => "user",
                Who::Admin => "admin",
            };
            let forms = if command.has_forms { "forms" } else { "-" };
            format!("{}\t{who}\t{}\t{forms}", command.node, command.title)
        };
        self.pipeline.commands().into_iter().map(|(_, command)| line(command)).collect()
    }

    /// Tells whether a client asked the domain for something that is for its own account, and so for
    /// the shard that it is on.
    pub(crate) fn is_for_own_account(&self, stanza: &Stanza) -> bool {
        let kind = stanza.view().iq_kind();
        let is_request = stanza.kind == Kind::Iq && matches!(kind, Some(IqKind::Get | IqKind::Set));
        if !is_request || stanza.to.as_ref() != Some(&self.state.setup.domain) {
            return false;
        }
        let Some(payload) = stanza.view().payload() else { return false };
        let is_set = kind == Some(IqKind::Set);
        let hook = self.pipeline.iq_hook(is_set, payload.ns(), payload.name(), false);
        if hook.is_some_and(|hook| hook.is_own) {
            return true;
        }
        if !is_set {
            return false;
        }
        let command = self.command_of(payload, |command| command.who == Who::User);
        payload.is(ns::COMMANDS, "command") && command.is_some()
    }

    /// Answers what is asked about commands.
    pub(crate) fn about_commands(
        &mut self,
        owner: &Jid,
        stanza: &Stanza,
        of_domain: bool,
        is_assured: bool,
    ) -> About {
        match self.asked_of_commands(owner, stanza, of_domain, is_assured) {
            None => About::Else,
            Some(Ok(None)) => About::Later,
            Some(Ok(Some(element))) => About::Answer(Ok(element.to_xml(ns::CLIENT))),
            Some(Err(error)) => About::Answer(Err(error)),
        }
    }

    fn asked_of_commands(
        &mut self,
        owner: &Jid,
        stanza: &Stanza,
        of_domain: bool,
        is_assured: bool,
    ) -> Option<Result<Option<Element>, StanzaError>> {
        let view = stanza.view();
        let (payload, kind) = (view.payload()?, view.iq_kind()?);
        let from = view.from?;
        let is_own = from.bare_str() == owner.as_str();
        if !(of_domain || is_own) {
            return None;
        }
        let may = |command: &Command| self.may_run(from, command, of_domain);
        match kind {
            IqKind::Get if payload.is(ns::DISCO_ITEMS, "query") => {
                if payload.attr("node").as_deref() != Some(ns::COMMANDS) {
                    return None;
                }
                let all = self.pipeline.commands().into_iter().map(|(_, command)| command);
                Some(Ok(Some(list(owner, all.filter(|command| may(command))))))
            }
            IqKind::Get if payload.is(ns::DISCO_INFO, "query") => {
                if payload.attr("node").as_deref() == Some(ns::COMMANDS) {
                    return Some(Ok(Some(info(ns::COMMANDS, "command-list", "Commands"))));
                }
                let (_, command) = self.command_of(payload, may)?;
                Some(Ok(Some(info(&command.node, "command-node", &command.title))))
            }
            IqKind::Set if payload.is(ns::COMMANDS, "command") => {
                Some(match self.command_of(payload, may) {
                    Some(found) => {
                        let cause = Cause {
                            owner: owner.as_str(),
                            session: if is_own { from.as_str() } else { "" },
                            targets: &[],
                            is_assured,
                        };
                        self.run_command(found, cause, stanza, payload)
                    }
                    None if self.command_of(payload, |_| true).is_some() => {
                        Err(StanzaError::FORBIDDEN)
                    }
                    None => Err(StanzaError::ITEM_NOT_FOUND),
                })
            }
            _ => None,
        }
    }

    fn may_run(&self, from: JidRef<'_>, command: &Command, of_domain: bool) -> bool {
        let setup = &self.state.setup;
        match command.who {
            Who::User => from.local().is_some() && from.domain() == setup.domain.domain(),
            Who::Admin => {
                let is_admin = |admin: &Jid| admin.as_str() == from.bare_str();
                of_domain && setup.admins.iter().any(is_admin)
            }
        }
    }

    fn command_of(
        &self,
        payload: Node<'_>,
        may: impl Fn(&Command) -> bool,
    ) -> Option<(Function, Command)> {
        let node = payload.attr("node")?;
        let mut all = self.pipeline.commands().into_iter();
        all.find(|(_, command)| command.node == *node && may(command))
    }

    /// Runs a command, or goes on with one (§2.4). `None`: its module answers later.
    fn run_command(
        &mut self,
        (function, command): (Function, Command),
        cause: Cause<'_>,
        request: &Stanza,
        payload: Node<'_>,
    ) -> Result<Option<Element>, StanzaError> {
        let asker = request.from.as_ref().map_or("", Jid::as_str);
        let id = match payload.attr("sessionid") {
            Some(id) => self.go_on(&id, asker, payload)?,
            None => {
                if !matches!(payload.attr("action").as_deref(), None | Some("execute")) {
                    return Err(bad_action(payload));
                }
                let id: String = self.random(16).iter().map(|b| format!("{b:02x}")).collect();
                let filled = forms::filled(payload)?;
                let session = Session::new(&command.node, asker, filled, self.now_ms);
                self.state.commands.insert(&id, session);
                Going::On(id)
            }
        };
        let id = match id {
            Going::On(id) => id,
            Going::Canceled(id) => {
                return Ok(Some(answer(&command.node, &id, "canceled")));
            }
        };
        let body = self.state.commands.filled(&id).into_bytes();
        let asker = request.from.as_ref().map(|from| from.as_ref().bare_str().to_owned());
        let asker = asker.unwrap_or_default();
        let question = Question { body, asker, ..Question::default() };
        let reply = match self.call(function, cause, None, &command.node, &encode(&question)) {
            Called::Ran(status::REPLY, said) => {
                reply(command.has_forms, &said.reply.unwrap_or_default())
            }
            Called::Ran(status::LATER, said) if said.ticket.is_some() => {
                let session = (command.node, id);
                let asker = Asker::Command(addresses(request), cause.is_assured, session);
                self.owe(said.ticket, function.module, asker);
                return Ok(None);
            }
            Called::Refused(error) => Err(error),
            Called::Ran(..) | Called::Failed | Called::Off => Err(StanzaError::INTERNAL),
        };
        self.came_to(&command.node, &id, reply).map(Some)
    }

    /// Takes what a client says to a command that it is in the middle of.
    fn go_on(&mut self, id: &str, asker: &str, payload: Node<'_>) -> Result<Going, StanzaError> {
        let now_ms = self.now_ms;
        let node = payload.attr("node").unwrap_or_default();
        let session = self.state.commands.find(id, asker, &node);
        let session =
            session.ok_or_else(|| forms::error(StanzaError::BAD_REQUEST, "bad-sessionid"))?;
        if session.is_over(now_ms) {
            return Err(forms::error(StanzaError::NOT_ALLOWED, "session-expired"));
        }
        session.used_ms = now_ms;
        let action = payload.attr("action");
        match action.as_deref() {
            None | Some("execute") => {}
            Some("next") if !session.form.as_ref().is_some_and(|form| form.is_last) => {}
            Some("complete") if session.form.as_ref().is_some_and(|form| form.is_last) => {}
            Some("prev") if session.stages.len() > 1 => {
                session.stages.pop();
                return Ok(Going::On(id.to_owned()));
            }
            Some("cancel") => {
                self.state.commands.remove(id);
                return Ok(Going::Canceled(id.to_owned()));
            }
            Some(_) => return Err(bad_action(payload)),
        }
        let filled = forms::filled(payload)?;
        if let Some(form) = &session.form {
            forms::check(form, &filled)?;
        }
        if session.stages.len() >= STAGES_MAX {
            return Err(bad_action(payload));
        }
        session.stages.push(filled);
        Ok(Going::On(id.to_owned()))
    }

    /// Returns what a client is told of a command, and keeps or forgets how far it is.
    pub(crate) fn came_to(
        &mut self,
        node: &str,
        id: &str,
        reply: CommandResult,
    ) -> Result<Element, StanzaError> {
        match reply {
            Ok(CommandReply::Ask(form)) => {
                let is_first = self.state.commands.shown(id, &form) <= 1;
                let (execute, actions) = match (form.is_last, is_first) {
                    (true, true) => ("complete", &["complete"][..]),
                    (true, false) => ("complete", &["prev", "complete"][..]),
                    (false, true) => ("next", &["next"][..]),
                    (false, false) => ("next", &["prev", "next"][..]),
                };
                let mut offered =
                    Element::new(ns::COMMANDS, "actions").with_attr("execute", execute);
                actions
                    .iter()
                    .for_each(|name| offered.push_child(Element::new(ns::COMMANDS, name)));
                let answer = answer(node, id, "executing").with_child(offered);
                Ok(answer.with_child(forms::ask(&form)))
            }
            Ok(CommandReply::Done(outcome)) => {
                self.state.commands.remove(id);
                let mut answer = answer(node, id, "completed");
                forms::done(&outcome).into_iter().for_each(|part| answer.push_child(part));
                Ok(answer)
            }
            Ok(CommandReply::Later) => Err(StanzaError::INTERNAL),
            Err(error) => {
                self.state.commands.take_back(id);
                Err(error)
            }
        }
    }
}

/// How a command goes on: its session.
enum Going {
    On(String),
    Canceled(String),
}

/// Reads what a command came to.
pub(crate) fn reply(has_forms: bool, bytes: &[u8]) -> CommandResult {
    if has_forms {
        return decode(bytes).ok_or(StanzaError::INTERNAL);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| StanzaError::INTERNAL)?;
    Ok(Outcome::said(text).into())
}

fn answer(node: &str, id: &str, status: &str) -> Element {
    Element::new(ns::COMMANDS, "command")
        .with_attr("node", node)
        .with_attr("sessionid", id)
        .with_attr("status", status)
}

/// Returns what is said to an action that cannot be done, or that there is none such (§4.4).
fn bad_action(payload: Node<'_>) -> StanzaError {
    let is_known = matches!(
        payload.attr("action").as_deref(),
        None | Some("execute" | "cancel" | "prev" | "next" | "complete")
    );
    let detail = if is_known { "bad-action" } else { "malformed-action" };
    forms::error(StanzaError::BAD_REQUEST, detail)
}

/// Commands that clients are in the middle of, by session.
#[derive(Default)]
pub(crate) struct Running(BTreeMap<String, Session>);

/// A command that a client is in the middle of.
struct Session {
    node: String,
    asker: String,
    /// What was filled in, by stage. It may hold passwords.
    stages: Vec<String>,
    /// What the client is shown.
    form: Option<Form>,
    used_ms: u64,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Running").field(&self.0.len()).finish()
    }
}

impl Session {
    fn new(node: &str, asker: &str, filled: String, now_ms: u64) -> Self {
        let (node, asker) = (node.to_owned(), asker.to_owned());
        Self { node, asker, stages: vec![filled], form: None, used_ms: now_ms }
    }

    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.used_ms) > SESSION_MS
    }

    fn account(&self) -> &str {
        JidRef::trusted(&self.asker).bare_str()
    }
}

impl Running {
    /// Keeps one more; the oldest goes when its account, or all together, have too many.
    fn insert(&mut self, id: &str, session: Session) {
        let now_ms = session.used_ms;
        self.0.retain(|_, other| now_ms.saturating_sub(other.used_ms) < FORGET_MS);
        let is_own = |other: &Session| other.account() == session.account();
        let own = self.0.values().filter(|other| is_own(other)).count();
        if own >= OF_ACCOUNT_MAX || self.0.len() >= SESSIONS_MAX {
            let all = self.0.iter();
            let fits = |other: &Session| own < OF_ACCOUNT_MAX || is_own(other);
            let oldest =
                all.filter(|(_, other)| fits(other)).min_by_key(|(_, other)| other.used_ms);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(id.to_owned(), session);
    }

    fn find(&mut self, id: &str, asker: &str, node: &str) -> Option<&mut Session> {
        let is_its = |session: &&mut Session| session.asker == asker && session.node == node;
        self.0.get_mut(id).filter(is_its)
    }

    /// Returns all that was filled in.
    fn filled(&self, id: &str) -> String {
        self.0.get(id).map(|session| session.stages.concat()).unwrap_or_default()
    }

    /// Notes what the client is shown, and returns the number of the stage, from 1.
    fn shown(&mut self, id: &str, form: &Form) -> usize {
        let Some(session) = self.0.get_mut(id) else { return 1 };
        session.form = Some(form.clone());
        session.stages.len()
    }

    /// What was filled in last cannot be: it can be filled in again.
    fn take_back(&mut self, id: &str) {
        match self.0.get_mut(id) {
            Some(session) if session.form.is_some() && session.stages.len() > 1 => {
                session.stages.pop();
            }
            _ => self.remove(id),
        }
    }

    fn remove(&mut self, id: &str) {
        self.0.remove(id);
    }
}

fn list(owner: &Jid, commands: impl Iterator<Item = Command>) -> Element {
    let mut query = Element::new(ns::DISCO_ITEMS, "query").with_attr("node", ns::COMMANDS);
    for command in commands {
        let item = Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", owner.as_str());
        query.push_child(item.with_attr("node", &command.node).with_attr("name", &command.title));
    }
    query
}

fn info(node: &str, kind: &str, name: &str) -> Element {
    let identity = Element::new(ns::DISCO_INFO, "identity")
        .with_attr("category", "automation")
        .with_attr("type", kind)
        .with_attr("name", name);
    let feature = |var| Element::new(ns::DISCO_INFO, "feature").with_attr("var", var);
    Element::new(ns::DISCO_INFO, "query")
        .with_attr("node", node)
        .with_child(identity)
        .with_child(feature(ns::COMMANDS))
        .with_child(feature(ns::DATA_FORMS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_devices_of_an_account_are_in_the_middle_of_no_more() {
        let mut running = Running::default();
        let begin = |running: &mut Running, id: &str, asker: &str, ms| {
            running.insert(id, Session::new("node", asker, String::new(), ms));
        };
        begin(&mut running, "other", "ben@b.example/phone", 0);
        for number in 0..OF_ACCOUNT_MAX + 3 {
            let (id, ms) = (number.to_string(), 1 + u64::try_from(number).unwrap());
            begin(&mut running, &id, &format!("ana@b.example/{number}"), ms);
        }
        assert_eq!(running.0.len(), OF_ACCOUNT_MAX + 1);
        // The oldest went, and nobody else's.
        assert!(running.0.contains_key("other") && running.0.contains_key("3"));
        assert!(!running.0.contains_key("2"));
    }
}
