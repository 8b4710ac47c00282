//! What a command does to one account after the other, and what it says in the end.

use bincode::{Decode, Encode};
use calypte::wire::{self, Password};
use calypte::{Ticket, prelude::*};

use crate::{Commands, NS};

/// What is done to each account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum What {
    Add,
    SetPassword,
    Disable,
    Enable,
    Delete,
    EndSessions,
    Stats,
}

impl What {
    const fn done(self) -> &'static str {
        match self {
            Self::Add => "Added",
            Self::SetPassword => "Has a new password",
            Self::Disable => "Disabled",
            Self::Enable => "Enabled again",
            Self::Delete => "Deleted",
            Self::EndSessions => "Sessions ended",
            Self::Stats => "Counted",
        }
    }
}

/// A command on its way. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Task {
    ticket: Ticket,
    what: What,
    /// Accounts by name, or addresses of sessions; the first one is in work.
    left: Vec<String>,
    done: Vec<String>,
    failed: Vec<String>,
}

impl Task {
    pub(crate) fn new(ticket: Ticket, what: What, left: Vec<String>) -> Self {
        Self { ticket, what, left, done: Vec::new(), failed: Vec::new() }
    }

    /// Has the host do something with a password to the only account.
    pub(crate) fn with_password(&self, password: &str, cx: &mut Context<'_, '_>) -> Done {
        let (name, password) = (self.first(), Password::new(password));
        let work = match self.what {
            What::Add => AccountWork::Create { name, password },
            _ => AccountWork::SetPassword { name, password },
        };
        cx.change_account(&work, &wire::encode(self))
    }

    /// Goes on with the next account, or says what became of all.
    pub(crate) fn go_on(self, cx: &mut Context<'_, '_>) -> Done {
        if self.left.is_empty() {
            return self.end(cx);
        }
        let (name, cookie) = (self.first(), wire::encode(&self));
        let work = match self.what {
            What::Disable => AccountWork::SetDisabled { name, disabled: true },
            What::Enable => AccountWork::SetDisabled { name, disabled: false },
            What::Delete => AccountWork::Delete { name },
            What::EndSessions => {
                let jid = Jid::parse(&name).map_err(|_| StanzaError::INTERNAL)?;
                let mut end = Element::new(NS, "end");
                if let Some(resource) = jid.resource() {
                    end.push_attr("resource", resource);
                }
                return ask(cx, ("set", jid.as_ref().bare_str()), end, &cookie);
            }
            What::Stats | What::Add | What::SetPassword => {
                let account = format!("{name}@{}", cx.domain());
                return ask(cx, ("get", &account), Element::new(NS, "stats"), &cookie);
            }
        };
        cx.change_account(&work, &cookie)
    }

    fn first(&self) -> String {
        self.left.first().cloned().unwrap_or_default()
    }

    /// Notes what became of the account in work.
    fn note(mut self, fault: Option<&str>) -> Self {
        if !self.left.is_empty() {
            let name = self.left.remove(0);
            match fault {
                None => self.done.push(name),
                Some(why) => self.failed.push(format!("{name}: {why}")),
            }
        }
        self
    }

    fn end(self, cx: &mut Context<'_, '_>) -> Done {
        let done = format!("{}: {}.", self.what.done(), self.done.join(", "));
        let outcome = match (self.failed.is_empty(), self.done.is_empty()) {
            (true, _) => Outcome::said(done),
            (false, true) => Outcome::failed(self.failed.join("\n")),
            (false, false) => Outcome::failed(format!("{done}\n{}", self.failed.join("\n"))),
        };
        cx.answer_command(self.ticket, Ok(outcome.into()))
    }
}

/// Asks an account something in the name of the domain.
fn ask(
    cx: &mut Context<'_, '_>,
    (kind, account): (&str, &str),
    payload: Element,
    cookie: &[u8],
) -> Done {
    let iq = Element::new(ns::CLIENT, "iq").with_attr("type", kind).with_attr("to", account);
    cx.request(&iq.with_child(payload), cookie)
}

impl Commands {
    /// The host did something to an account, or could not.
    pub(crate) fn account_done(
        &self,
        cookie: &[u8],
        done: Result<(), AccountFault>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let task: Task = wire::decode(cookie).ok_or(StanzaError::INTERNAL)?;
        if let (Err(fault), What::Add | What::SetPassword) = (done, task.what) {
            return cx.answer_command(task.ticket, Err(fault.into()));
        }
        if done.is_ok() && task.what == What::SetPassword {
            let account = format!("{}@{}", task.first(), cx.domain());
            let text = "The password of your account was changed by whoever runs this server.";
            cx.send(&crate::about::news(text).with_attr("to", &account))?;
        }
        if done.is_ok() {
            cx.count("accounts_changed", 1)?;
        }
        task.note(done.err().map(AccountFault::why)).go_on(cx)
    }

    /// An account answered.
    pub(crate) fn answered(
        &self,
        cookie: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let task: Task = wire::decode(cookie).ok_or(StanzaError::INTERNAL)?;
        let payload = answer.payload().filter(|_| !answer.is_error());
        match (task.what, payload) {
            (What::Stats, Some(stats)) => {
                cx.answer_command(task.ticket, Ok(crate::about::stats(stats).into()))
            }
            (What::EndSessions, _) if !answer.is_error() => task.note(None).go_on(cx),
            (What::EndSessions, _) => task.note(Some("there is no such session")).go_on(cx),
            _ => cx.answer_command(task.ticket, Err(StanzaError::ITEM_NOT_FOUND)),
        }
    }
}
