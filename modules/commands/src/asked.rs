//! What a command was told.

use calypte::prelude::*;
use tables::ACCOUNTS;

use crate::FORM_TYPE;

/// The most accounts of one command. Its answer is owed for 90 seconds only.
pub(crate) const ACCOUNTS_MAX: usize = 50;

/// Returns a form of the operator's commands.
pub(crate) fn form(title: &str, instructions: &str) -> Form {
    Form::new(title, instructions).of_type(FORM_TYPE)
}

/// Returns the form that asks for one account.
pub(crate) fn one_account(title: &str) -> Form {
    let field = Field::new("accountjid", "The Jabber ID of the account", FieldKind::Address);
    form(title, "An address of this server.").with(field.required())
}

/// Returns the form that asks for accounts.
pub(crate) fn some_accounts(title: &str) -> Form {
    let field = Field::new("accountjids", "The Jabber ID(s) of the accounts", FieldKind::Addresses);
    form(title, "Addresses of this server.").with(field.required())
}

/// Returns what a field says, where it says something.
pub(crate) fn said<'a>(asked: &Asked<'a>, name: &str) -> Option<&'a str> {
    asked.field(name).filter(|text| !text.is_empty())
}

/// Returns the address of an account that is given by name or address. It need not exist.
///
/// # Errors
///
/// `jid-malformed`: it is none of this domain.
pub(crate) fn address(cx: &Context<'_, '_>, given: &str) -> Result<Jid, StanzaError> {
    let whole =
        if given.contains('@') { given.to_owned() } else { format!("{given}@{}", cx.domain()) };
    let jid = Jid::parse(&whole).ok();
    let jid = jid.filter(|jid| jid.local().is_some() && jid.domain() == cx.domain());
    let text = "an account of this server is needed: its name or its address";
    jid.ok_or_else(|| StanzaError::JID_MALFORMED.with_text(text))
}

/// Returns the name of an account that is given by name or bare address.
///
/// # Errors
///
/// As [`address`].
pub(crate) fn name(cx: &Context<'_, '_>, given: &str) -> Result<String, StanzaError> {
    let jid = address(cx, given)?;
    match jid.local().filter(|_| jid.is_bare()) {
        Some(local) => Ok(local.to_owned()),
        None => Err(StanzaError::JID_MALFORMED.with_text("an account is meant, not a session")),
    }
}

/// Returns the name of an account that is there.
///
/// # Errors
///
/// As [`name`]; `item-not-found`.
pub(crate) fn known(cx: &mut Context<'_, '_>, given: &str) -> Result<String, StanzaError> {
    let name = name(cx, given)?;
    check_known(cx, &name)?;
    Ok(name)
}

/// Refuses a name that is no account's.
pub(crate) fn check_known(cx: &mut Context<'_, '_>, name: &str) -> Done {
    match cx.get(&ACCOUNTS, name)? {
        Some(_) => Ok(()),
        None => Err(StanzaError::ITEM_NOT_FOUND.with_text(format!("there is no account {name}"))),
    }
}

/// Returns what stands in `accountjids`, each once; `None`: nothing yet.
///
/// # Errors
///
/// `not-acceptable`: too many.
pub(crate) fn several<'a>(asked: &Asked<'a>) -> Result<Option<Vec<&'a str>>, StanzaError> {
    let mut all = asked.values("accountjids");
    all.retain(|one| !one.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|one| seen.insert(*one));
    if all.len() > ACCOUNTS_MAX {
        let text = format!("at most {ACCOUNTS_MAX} accounts at a time");
        return Err(StanzaError::NOT_ACCEPTABLE.with_text(text));
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}

/// Whether somebody is sure.
pub(crate) enum Sure {
    Yes,
    /// What to say instead.
    Not(CommandReply),
}

/// Asks whether somebody is sure, unless that was said.
pub(crate) fn sure(asked: &Asked<'_>, title: &str, what: &str) -> Sure {
    match asked.field("confirm") {
        Some("1" | "true" | "yes") => Sure::Yes,
        Some("0" | "false" | "no") => Sure::Not(Outcome::said("Nothing was done.").into()),
        _ => {
            let field = Field::new("confirm", "Yes, do it", FieldKind::Flag).required();
            Sure::Not(form(title, what).with(field.with_value("0")).into())
        }
    }
}
