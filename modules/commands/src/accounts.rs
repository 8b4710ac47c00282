//! The operator's commands for accounts (XEP-0133 §4.1 to §4.5, §4.7, §4.10).

use calypte::prelude::*;

use crate::Commands;
use crate::asked::{Sure, address, check_known, known, name, one_account, said, several};
use crate::asked::{some_accounts, sure};
use crate::task::{Task, What};

impl Commands {
    /// Makes an account.
    pub(crate) fn add(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let (Some(given), Some(password)) = (said(asked, "accountjid"), said(asked, "password"))
        else {
            let private = |name, label| Field::new(name, label, FieldKind::Private).required();
            let form = one_account("Adding a User")
                .with(private("password", "The password for this account"))
                .with(private("password-verify", "Retype password"));
            return Ok(form.into());
        };
        let name = name(cx, given)?;
        // Who types a password without seeing it types it twice; the command line shows it.
        let again = said(asked, "password-verify");
        let is_left_out = asked.asker.is_empty() && again.is_none();
        if again != Some(password) && !is_left_out {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("the passwords are not the same"));
        }
        with_password(What::Add, name, password, cx)
    }

    /// Gives an account another password. Its sessions go on.
    pub(crate) fn change_password(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> CommandResult {
        let (Some(given), Some(password)) = (said(asked, "accountjid"), said(asked, "password"))
        else {
            let label = "The password for this account";
            let password = Field::new("password", label, FieldKind::Private).required();
            return Ok(one_account("Changing a User Password").with(password).into());
        };
        let name = known(cx, given)?;
        with_password(What::SetPassword, name, password, cx)
    }

    /// Removes accounts with everything that is kept for them.
    pub(crate) fn delete(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let title = "Deleting a User";
        let Some(names) = names(asked, cx)? else {
            return Ok(some_accounts(title).followed().into());
        };
        check_not_own(asked, &names, cx)?;
        let what = format!(
            "Everything that is kept for {} goes, and cannot be brought back.",
            names.join(", ")
        );
        start_when_sure(asked, cx, (title, &what), (What::Delete, names))
    }

    /// Refuses logins of accounts and ends their sessions.
    pub(crate) fn disable(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let title = "Disabling a User";
        let Some(names) = names(asked, cx)? else {
            return Ok(some_accounts(title).followed().into());
        };
        check_not_own(asked, &names, cx)?;
        let what = format!("{} can log in no more, and sessions end.", names.join(", "));
        start_when_sure(asked, cx, (title, &what), (What::Disable, names))
    }

    /// Allows logins again.
    pub(crate) fn enable(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        match names(asked, cx)? {
            Some(names) => start(What::Enable, names, cx),
            None => Ok(some_accounts("Re-Enabling a User").into()),
        }
    }

    /// Ends all sessions of accounts, or single ones.
    pub(crate) fn end(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let title = "Ending User Sessions";
        let Some(given) = several(asked)? else {
            return Ok(some_accounts(title).followed().into());
        };
        let mut addresses = Vec::with_capacity(given.len());
        for one in given {
            let address = address(cx, one)?;
            check_known(cx, address.local().unwrap_or(""))?;
            addresses.push(address.to_string());
        }
        let what = format!("Sessions of {} end. They can log in again.", addresses.join(", "));
        start_when_sure(asked, cx, (title, &what), (What::EndSessions, addresses))
    }

    /// Shows how many contacts an account has, and its devices.
    pub(crate) fn stats(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(given) = said(asked, "accountjid") else {
            return Ok(one_account("Get User Statistics").into());
        };
        let name = known(cx, given)?;
        start(What::Stats, vec![name], cx)
    }
}

/// Returns the names of accounts that are there; `None`: none was given yet.
fn names(asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Result<Option<Vec<String>>, StanzaError> {
    let Some(given) = several(asked)? else { return Ok(None) };
    let mut names = Vec::with_capacity(given.len());
    for one in given {
        let name = known(cx, one)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Some(names))
}

/// Keeps operators from locking themselves out.
fn check_not_own(asked: &Asked<'_>, names: &[String], cx: &Context<'_, '_>) -> Done {
    let is_own = |name: &String| asked.asker == format!("{name}@{}", cx.domain());
    if names.iter().any(is_own) {
        let text = "this is the account that you ask with; use the command line for it";
        return Err(StanzaError::NOT_ALLOWED.with_text(text));
    }
    Ok(())
}

fn start_when_sure(
    asked: &Asked<'_>,
    cx: &mut Context<'_, '_>,
    (title, question): (&str, &str),
    (what, names): (What, Vec<String>),
) -> CommandResult {
    match sure(asked, title, question) {
        Sure::Yes => start(what, names, cx),
        Sure::Not(reply) => Ok(reply),
    }
}

fn start(what: What, names: Vec<String>, cx: &mut Context<'_, '_>) -> CommandResult {
    let ticket = cx.later()?;
    Task::new(ticket, what, names).go_on(cx)?;
    Ok(CommandReply::Later)
}

fn with_password(
    what: What,
    name: String,
    password: &str,
    cx: &mut Context<'_, '_>,
) -> CommandResult {
    let ticket = cx.later()?;
    Task::new(ticket, what, vec![name]).with_password(password, cx)?;
    Ok(CommandReply::Later)
}
