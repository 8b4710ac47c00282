//! What another module wants for people who ask by other means than a client: module `pages`.

use calypte::notice::{AccountWish, AccountWished, Wish, WrongPart};
use calypte::prelude::*;
use calypte::wire::{Password, WireError};
use tables::{INVITATIONS, Invitation};

use crate::cookie::{Cookie, What};
use crate::strangers::begin;
use crate::{NS, Policy, Register, pace};

/// What is wrong, and why.
type Wrong = (WrongPart, StanzaError);

impl Register {
    /// Begins what is wanted, or says why not.
    pub(crate) fn wish(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let AccountWish { by, wish } = notified.read()?;
        let begun = match wish {
            Wish::Make { address, name, password, invitation } => {
                self.make(cx, &by, (&address, &name, &password), invitation)
            }
            Wish::SetPassword { name, password } => self.set_password(cx, &by, name, password),
            Wish::Remove { name } => self.remove_wished(cx, &by, name),
        };
        match begun {
            Ok(()) => Ok(()),
            Err(wrong) => refuse(cx, by, wrong),
        }
    }

    fn make(
        &self,
        cx: &mut Context<'_, '_>,
        by: &(String, Vec<u8>),
        (address, name, password): (&str, &str, &Password),
        invitation: Option<String>,
    ) -> Result<(), Wrong> {
        let found = self.invitation(cx, invitation.as_deref())?;
        let own = found.and_then(|found| found.name);
        let local = self.local(name, own.as_deref(), cx).map_err(|e| (WrongPart::Name, e))?;
        let text = std::str::from_utf8(password.0.expose()).unwrap_or_default();
        self.check_password(text).map_err(|error| (WrongPart::Password, error))?;
        let bounds = (self.0.per_address, self.0.per_hour);
        pace::count(cx, address, bounds).map_err(otherwise)?;
        let what = What::Made { name: local.clone(), invitation: invitation.clone() };
        let cookie = Cookie::Wished { by: by.clone(), what };
        begin(cx, &cookie, (local, text), invitation).map_err(|error| {
            let part = match error.condition {
                Condition::Conflict => WrongPart::Name,
                Condition::ItemNotFound => WrongPart::Invitation,
                _ => WrongPart::Else,
            };
            (part, error)
        })
    }

    /// Returns the invitation that a stranger shows, if there is one and any is needed.
    fn invitation(
        &self,
        cx: &mut Context<'_, '_>,
        id: Option<&str>,
    ) -> Result<Option<Invitation>, Wrong> {
        let wrong = |error: StanzaError| (WrongPart::Invitation, error);
        if self.0.policy == Policy::Closed {
            return Err(otherwise(StanzaError::NOT_ALLOWED.with_text("nobody can register here")));
        }
        let Some(id) = id else {
            let is_open = self.0.policy == Policy::Open;
            let text = "an invitation is needed";
            return if is_open {
                Ok(None)
            } else {
                Err(wrong(StanzaError::NOT_ALLOWED.with_text(text)))
            };
        };
        let now_ms = cx.now_ms();
        let found = cx.get(&INVITATIONS, id).map_err(otherwise)?;
        let found = found.filter(|found| found.may_register && found.expires_ms > now_ms);
        let text = "the invitation is not good any more";
        found.map(Some).ok_or_else(|| wrong(StanzaError::ITEM_NOT_FOUND.with_text(text)))
    }

    fn set_password(
        &self,
        cx: &mut Context<'_, '_>,
        by: &(String, Vec<u8>),
        name: String,
        password: Password,
    ) -> Result<(), Wrong> {
        if !self.0.change_password {
            return Err(otherwise(StanzaError::NOT_ALLOWED));
        }
        let text = std::str::from_utf8(password.0.expose()).unwrap_or_default();
        self.check_password(text).map_err(|error| (WrongPart::Password, error))?;
        pace::count_change(cx, &name).map_err(otherwise)?;
        let what = What::Changed { name: name.clone() };
        let work = AccountWork::SetPassword { name, password };
        work_on(cx, &work, by, what)
    }

    fn remove_wished(
        &self,
        cx: &mut Context<'_, '_>,
        by: &(String, Vec<u8>),
        name: String,
    ) -> Result<(), Wrong> {
        if !self.0.remove {
            return Err(otherwise(StanzaError::NOT_ALLOWED));
        }
        let what = What::Removed { name: name.clone() };
        work_on(cx, &AccountWork::Delete { name }, by, what)
    }

    /// The host has done what was wanted, or has not.
    pub(crate) fn wished(
        cx: &mut Context<'_, '_>,
        by: (String, Vec<u8>),
        what: What,
        done: Result<(), AccountFault>,
    ) -> Done {
        let name = match what {
            What::Made { name, invitation } => {
                Self::settle(cx, &name, invitation.as_ref(), done)?;
                name
            }
            What::Changed { name } => {
                if done.is_ok() {
                    // Its devices are told there.
                    let word = Element::new(NS, "changed");
                    let message = Element::new(ns::CLIENT, "message")
                        .with_attr("to", &format!("{name}@{}", cx.domain()))
                        .with_attr("type", "headline")
                        .with_child(word);
                    cx.send(&message)?;
                }
                name
            }
            What::Removed { name } => name,
        };
        match done {
            Ok(()) => cx.tell(&AccountWished { by, result: Ok(name) }),
            Err(fault) => refuse(cx, by, (part(fault), fault.into())),
        }
    }

    /// An account hears that its password was changed by other means than a client.
    pub(crate) fn changed_elsewhere(
        &self,
        message: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        if message.from.is_some_and(|from| from.as_str() == cx.domain()) {
            self.changed(cx, "", Ok(()))?;
        }
        Ok(Flow::Handled)
    }
}

fn work_on(
    cx: &mut Context<'_, '_>,
    work: &AccountWork,
    by: &(String, Vec<u8>),
    what: What,
) -> Result<(), Wrong> {
    let cookie = Cookie::Wished { by: by.clone(), what };
    cx.change_account(work, &cookie.write()).map_err(otherwise)
}

fn refuse(cx: &mut Context<'_, '_>, by: (String, Vec<u8>), (part, error): Wrong) -> Done {
    cx.tell(&AccountWished { by, result: Err((part, WireError::of(&error))) })
}

fn otherwise(error: StanzaError) -> Wrong {
    (WrongPart::Else, error)
}

/// Tells what another try would have to change.
fn part(fault: AccountFault) -> WrongPart {
    match fault {
        AccountFault::Exists | AccountFault::BadName => WrongPart::Name,
        AccountFault::BadPassword => WrongPart::Password,
        AccountFault::Unknown | AccountFault::Failed | AccountFault::Wrong => WrongPart::Else,
    }
}
