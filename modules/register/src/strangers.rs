//! Registration before login (§3.1).

use calypte::notice::{Registration, RegistrationStage};
use calypte::wire::Password;
use calypte::{Stranger, Ticket, prelude::*};
use tables::{ACCOUNTS, INVITATIONS, INVITED, INVITED_NAMES, Invited};

use crate::cookie::Cookie;
use crate::{Policy, Register, field, names, pace};

impl Register {
    /// Says what has to be filled in.
    pub(crate) fn ask_stranger(
        &self,
        _: &Request<'_>,
        stranger: &Stranger,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        let invited = self.admit(stranger, cx)?;
        let element = |name: &str| Element::new(ns::REGISTER, name);
        let name = match invited.and_then(|invited| invited.name) {
            Some(name) => element("username").with_text(&name),
            None => element("username"),
        };
        let text = "Choose a name and a password.";
        let query = element("query").with_child(element("instructions").with_text(text));
        Ok(Reply::With(query.with_child(name).with_child(element("password"))))
    }

    /// Has the host make an account.
    pub(crate) fn register(
        &self,
        request: &Request<'_>,
        stranger: &Stranger,
        cx: &mut Context<'_, '_>,
    ) -> IqResult {
        let invited = self.admit(stranger, cx)?;
        let query = request.query()?;
        let (Some(name), Some(password)) = (field(query, "username"), field(query, "password"))
        else {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("a name and a password are needed"));
        };
        let own = invited.as_ref().and_then(|invited| invited.name.as_deref());
        let local = self.local(&name, own, cx)?;
        self.check_password(&password)?;
        let bounds = (self.0.per_address, self.0.per_hour);
        let (ticket, invitation) = (cx.later()?, invited.map(|invited| invited.id));
        let (name, id) = (local.clone(), invitation.clone());
        let cookie = Cookie::Made { ticket, name, invitation: id };
        let begun = pace::count(cx, &stranger.address, bounds)
            .and_then(|()| begin(cx, &cookie, (local, &password), invitation));
        if let Err(error) = begun {
            // A refusal would take back that it was counted.
            cx.answer(ticket, Err(error))?;
        }
        Ok(Reply::Later)
    }

    /// The host has made the account, or has not.
    pub(crate) fn registered(
        cx: &mut Context<'_, '_>,
        (ticket, name): (Ticket, &str),
        invitation: Option<String>,
        done: Result<(), AccountFault>,
    ) -> Done {
        Self::settle(cx, name, invitation.as_ref(), done)?;
        cx.answer(ticket, done.map(|()| Reply::Empty).map_err(StanzaError::from))
    }

    /// Tells whoever keeps invitations what became of an account, and counts.
    pub(crate) fn settle(
        cx: &mut Context<'_, '_>,
        name: &str,
        invitation: Option<&String>,
        done: Result<(), AccountFault>,
    ) -> Done {
        if let Some(stage) = stage(done) {
            tell(cx, name, invitation, stage)?;
        }
        cx.count(if done.is_ok() { "registered" } else { "failed" }, 1)
    }

    /// Returns the local part that a stranger gets: the one that the invitation is for, which is the
    /// operator's choice, or one that a stranger can take.
    pub(crate) fn local(
        &self,
        name: &str,
        own: Option<&str>,
        cx: &Context<'_, '_>,
    ) -> Result<String, StanzaError> {
        let jid = match own {
            Some(own) => {
                let jid = Jid::parse(&format!("{name}@{}", cx.domain()));
                let jid = jid.map_err(|_| StanzaError::JID_MALFORMED)?;
                if jid.local() != Some(own) {
                    let text = format!("the invitation is for the name {own}");
                    return Err(StanzaError::NOT_ACCEPTABLE.with_text(text));
                }
                jid
            }
            None => names::address(name, cx.domain(), &self.0)?,
        };
        Ok(jid.local().unwrap_or("").to_owned())
    }

    /// Tells whether a stranger may register, and what it was invited with.
    fn admit(
        &self,
        stranger: &Stranger,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Invited>, StanzaError> {
        let invited = cx.get(&INVITED, &stranger.connection)?;
        match self.0.policy {
            Policy::Closed => Err(StanzaError::SERVICE_UNAVAILABLE),
            Policy::Invite if invited.is_none() => {
                Err(StanzaError::NOT_ALLOWED.with_text("an invitation is needed"))
            }
            Policy::Invite | Policy::Open => Ok(invited),
        }
    }
}

/// Has the host make an account that may be made.
pub(crate) fn begin(
    cx: &mut Context<'_, '_>,
    cookie: &Cookie,
    (name, password): (String, &str),
    invitation: Option<String>,
) -> Result<(), StanzaError> {
    let now_ms = cx.now_ms();
    let reserved = cx.get(&INVITED_NAMES, &*name)?.filter(|one| one.at_ms > now_ms);
    let is_others = reserved.is_some_and(|one| Some(&one.id) != invitation.as_ref());
    if is_others || cx.get(&ACCOUNTS, &*name)?.is_some() {
        return Err(AccountFault::Exists.into());
    }
    if let Some(id) = &invitation {
        let found = cx.get(&INVITATIONS, &**id)?.filter(|found| found.has_use());
        let Some(found) = found else {
            return Err(StanzaError::ITEM_NOT_FOUND.with_text("the invitation was used"));
        };
        let maker = found.maker().map(|name| cx.get(&ACCOUNTS, name)).transpose()?.flatten();
        if !found.is_backed(maker.as_ref()) {
            let text = "who sent the invitation is not here any more";
            return Err(StanzaError::ITEM_NOT_FOUND.with_text(text));
        }
    }
    // Whoever keeps invitations notes in the same step that this one is being used.
    tell(cx, &name, invitation.as_ref(), RegistrationStage::Begun)?;
    let work = AccountWork::Create { name, password: Password::new(password) };
    cx.change_account(&work, &cookie.write())
}

fn tell(
    cx: &mut Context<'_, '_>,
    name: &str,
    invitation: Option<&String>,
    stage: RegistrationStage,
) -> Done {
    cx.tell(&Registration { name: name.to_owned(), invitation: invitation.cloned(), stage })
}

/// Returns what is known of an account that was to be made. When it is not known, whoever keeps
/// invitations looks for the account later.
fn stage(done: Result<(), AccountFault>) -> Option<RegistrationStage> {
    match done {
        Ok(()) => Some(RegistrationStage::Done),
        Err(AccountFault::Failed) => None,
        Err(_) => Some(RegistrationStage::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_did_not_fail() {
        assert_eq!(stage(Ok(())), Some(RegistrationStage::Done));
        assert_eq!(stage(Err(AccountFault::Exists)), Some(RegistrationStage::Failed));
        assert_eq!(stage(Err(AccountFault::Failed)), None);
    }
}
