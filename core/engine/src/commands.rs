//! Ad-hoc commands of modules (XEP-0050), in one stage: execute, completed.
//!
//! Commands for users run for the asker's own account, those of the operator for the domain. They
//! can be asked of the account, and all of them of the domain, where clients look.

use calypte::wire::{Question, encode, status};
use calypte::{Command, Who};
use xml::{Element, Node};
use xmpp::{IqKind, Jid, JidRef, Kind, Stanza, StanzaError, ns};

use crate::calls::{Called, Cause};
use crate::pipeline::Function;
use crate::step::Step;

impl Step<'_> {
    /// Lists the commands that modules offer: node, who, title.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        let line = |command: Command| {
            let who = match command.who {
                Who::User => "user",
                Who::Admin => "admin",
            };
            format!("{}\t{who}\t{}", command.node, command.title)
        };
        self.pipeline.commands().into_iter().map(|(_, command)| line(command)).collect()
    }

    /// Tells whether a client asked the domain for a command that is for its own account, and so
    /// for the shard that it is on.
    pub(crate) fn is_for_own_account(&self, stanza: &Stanza) -> bool {
        let is_request = stanza.kind == Kind::Iq && stanza.view().iq_kind() == Some(IqKind::Set);
        if !is_request || stanza.to.as_ref() != Some(&self.state.setup.domain) {
            return false;
        }
        let Some(payload) = stanza.view().payload() else { return false };
        let command = self.command_of(payload, |command| command.who == Who::User);
        payload.is(ns::COMMANDS, "command") && command.is_some()
    }

    /// Answers what is asked about commands; `None` when something else is asked.
    pub(crate) fn about_commands(
        &mut self,
        owner: &Jid,
        stanza: &Stanza,
        of_domain: bool,
        is_assured: bool,
    ) -> Option<Result<String, StanzaError>> {
        let view = stanza.view();
        let (payload, kind) = (view.payload()?, view.iq_kind()?);
        let from = view.from?;
        let is_own = from.bare_str() == owner.as_str();
        if !(of_domain || is_own) {
            return None;
        }
        let may = |command: &Command| self.may_run(from, command, of_domain);
        let answer = match kind {
            IqKind::Get if payload.is(ns::DISCO_ITEMS, "query") => {
                if payload.attr("node").as_deref() != Some(ns::COMMANDS) {
                    return None;
                }
                let all = self.pipeline.commands().into_iter().map(|(_, command)| command);
                Ok(list(owner, all.filter(|command| may(command))))
            }
            IqKind::Get if payload.is(ns::DISCO_INFO, "query") => {
                let (_, command) = self.command_of(payload, may)?;
                Ok(info(&command))
            }
            IqKind::Set if payload.is(ns::COMMANDS, "command") => {
                match self.command_of(payload, may) {
                    Some((function, _)) => {
                        let cause = Cause {
                            owner: owner.as_str(),
                            session: if is_own { from.as_str() } else { "" },
                            targets: &[],
                            is_assured,
                        };
                        self.run_command(function, cause, payload)
                    }
                    None if self.command_of(payload, |_| true).is_some() => {
                        Err(StanzaError::FORBIDDEN)
                    }
                    None => Err(StanzaError::ITEM_NOT_FOUND),
                }
            }
            _ => return None,
        };
        Some(answer.map(|element| element.to_xml(ns::CLIENT)))
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

    fn run_command(
        &mut self,
        function: Function,
        cause: Cause<'_>,
        payload: Node<'_>,
    ) -> Result<Element, StanzaError> {
        let node = payload.attr("node").unwrap_or_default();
        let session = match payload.attr("sessionid") {
            Some(session) => session.into_owned(),
            None => self.random(8).iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let answer = Element::new(ns::COMMANDS, "command")
            .with_attr("node", &node)
            .with_attr("sessionid", &session);
        match payload.attr("action").as_deref() {
            None | Some("execute" | "complete") => {}
            Some("cancel") => return Ok(answer.with_attr("status", "canceled")),
            // There is one stage only.
            Some(_) => return Err(StanzaError::BAD_REQUEST),
        }
        let question = Question { body: fields(payload).into_bytes(), ..Question::default() };
        match self.call(function, cause, None, &node, &encode(&question)) {
            Called::Ran(status::REPLY, said) => {
                let text = String::from_utf8(said.reply.unwrap_or_default());
                let text = text.map_err(|_| StanzaError::INTERNAL)?;
                let note = Element::new(ns::COMMANDS, "note").with_attr("type", "info");
                Ok(answer.with_attr("status", "completed").with_child(note.with_text(&text)))
            }
            Called::Refused(error) => Err(error),
            Called::Ran(..) | Called::Failed | Called::Off => Err(StanzaError::INTERNAL),
        }
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

fn info(command: &Command) -> Element {
    let identity = Element::new(ns::DISCO_INFO, "identity")
        .with_attr("category", "automation")
        .with_attr("type", "command-node")
        .with_attr("name", &command.title);
    let feature = |var| Element::new(ns::DISCO_INFO, "feature").with_attr("var", var);
    Element::new(ns::DISCO_INFO, "query")
        .with_attr("node", &command.node)
        .with_child(identity)
        .with_child(feature(ns::COMMANDS))
        .with_child(feature(ns::DATA_FORMS))
}

/// Returns the fields of a submitted form, one `name=value` a line.
fn fields(payload: Node<'_>) -> String {
    let mut out = String::new();
    let form = payload.child(ns::DATA_FORMS, "x");
    for field in form.into_iter().flat_map(Node::children) {
        let Some(name) = field.attr("var") else { continue };
        for value in field.children().filter(|node| node.is(ns::DATA_FORMS, "value")) {
            // Neither a name nor a value may make a line of its own.
            let clean = |text: &str| text.replace(['\n', '\r'], " ");
            out.push_str(&format!("{}={}\n", clean(&name), clean(&value.text())));
        }
    }
    out
}
