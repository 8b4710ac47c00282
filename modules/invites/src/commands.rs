//! Making, showing and taking back invitations, by users and by the operator (XEP-0401 §4).

use calypte::config::Span;
use calypte::prelude::*;
use tables::{ACCOUNTS, CIRCLES, INVITATIONS, INVITED_NAMES};

use crate::made::Wish;
use crate::redeem::{is_open, tell};
use crate::settings::EXPIRES_MAX_MS;
use crate::{Invites, NS, tokens};

/// Of users.
pub(crate) const INVITE: &str = "urn:xmpp:invite#invite";
/// Of the operator.
pub(crate) const CREATE: &str = "urn:xmpp:invite#create-account";
/// What the fields of the results are.
const FORM_TYPE: &str = "urn:xmpp:invite#invitation";
/// The most open invitations of a server.
const OPEN_MAX: u32 = 100_000;
/// The most that are shown.
const SHOWN_MAX: u32 = 1000;
/// Letters of what an invitation is kept under that people are shown.
const SHOWN_LETTERS: usize = 10;

impl Invites {
    /// A user invites somebody.
    pub(crate) fn invite(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let open = u32::try_from(Self::open(cx, self.0.per_user)?.len()).unwrap_or(u32::MAX);
        if open >= self.0.per_user {
            let text = "you have too many open invitations; take one back or wait";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(text));
        }
        let may_register = self.0.users_register && is_open(cx)?;
        let own = cx.owner_jid();
        let expires_ms = cx.now_ms().saturating_add(self.0.expires.ms);
        let by = Some(own.to_string());
        let wish = Wish { by, name: None, expires_ms, uses: 1, may_register, circle: None };
        let token = Self::make(cx, wish)?;
        let ibr = if may_register { ";ibr=y" } else { "" };
        let uri = format!("{}?roster;preauth={token}{ibr}", uri::of(&own));
        result(cx, (&uri, &token), expires_ms)
    }

    /// The operator invites somebody to an account.
    pub(crate) fn create(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let is_asked = asked.body.is_empty() && !asked.asker.is_empty();
        if is_asked {
            return Ok(create_form().into());
        }
        if !is_open(cx)? {
            let text =
                "nobody can register here: set `policy` of `[modules.register]` to \"invite\"";
            return Err(StanzaError::NOT_ALLOWED.with_text(text));
        }
        if cx.all(&INVITATIONS, OPEN_MAX)?.len() >= usize::try_from(OPEN_MAX).unwrap_or(usize::MAX)
        {
            return Err(StanzaError::RESOURCE_CONSTRAINT);
        }
        let said = |name: &str| asked.field(name).filter(|text| !text.is_empty());
        let name = said("username").map(|name| free_name(cx, name)).transpose()?;
        let wants_contact = matches!(said("roster-subscription"), Some("1" | "true"));
        let by = match said("from") {
            Some(from) => Some(account(cx, from)?),
            None if wants_contact && !asked.asker.is_empty() => Some(account(cx, asked.asker)?),
            None => None,
        };
        let span = match said("expires") {
            Some(text) => {
                text.parse::<Span>().map_err(|error| not_acceptable(&error.to_string()))?
            }
            None => self.0.expires,
        };
        if span.ms < 60_000 || span.ms > EXPIRES_MAX_MS {
            return Err(not_acceptable("an invitation is good for 1 minute to 366 days"));
        }
        let uses = said("uses").map_or(Some(1), |uses| uses.parse::<u32>().ok());
        let is_fine = |uses: &u32| (1..=1000).contains(uses) && (*uses == 1 || name.is_none());
        let Some(uses) = uses.filter(is_fine) else {
            return Err(not_acceptable("it has 1 to 1000 uses, and 1 when it is for one name"));
        };
        let circle = said("circle").map(|circle| known_circle(cx, circle)).transpose()?;
        let expires_ms = cx.now_ms().saturating_add(span.ms);
        let whose = name.as_ref().map_or_else(String::new, |name| format!("{name}@"));
        let wish = Wish { by, name, expires_ms, uses, may_register: true, circle };
        let token = Self::make(cx, wish)?;
        let address = Jid::parse(&format!("{whose}{}", cx.domain()));
        let address = address.map_err(|_| StanzaError::INTERNAL)?;
        let uri = format!("{}?register;preauth={token}", uri::of(&address));
        result(cx, (&uri, &token), expires_ms)
    }

    /// Shows a user's open invitations.
    pub(crate) fn list_own(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let open = Self::open(cx, SHOWN_MAX)?;
        let lines =
            open.iter().map(|(id, own)| format!("{}  until {}", shown(id), date(own.expires_ms)));
        Ok(list(lines.collect()).into())
    }

    /// Shows the operator all open invitations.
    pub(crate) fn list_all(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let now_ms = cx.now_ms();
        let mut all = cx.all(&INVITATIONS, SHOWN_MAX)?;
        all.retain(|(_, one)| one.expires_ms > now_ms);
        let line = |(id, one): &(String, tables::Invitation)| {
            let by = one.by.as_deref().unwrap_or("the operator");
            let name = one.name.as_deref().map(|name| format!(", for {name}")).unwrap_or_default();
            let circle = one.circle.as_deref().map(|circle| format!(", into circle {circle}"));
            let (until, circle) = (date(one.expires_ms), circle.unwrap_or_default());
            format!("{}  until {until}, {} uses, by {by}{name}{circle}", shown(id), one.uses)
        };
        Ok(list(all.iter().map(line).collect()).into())
    }

    /// A user takes an invitation back.
    pub(crate) fn revoke_own(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(wanted) = asked.field("id") else { return Ok(revoke_form().into()) };
        let open = Self::open(cx, SHOWN_MAX)?;
        let found = open.into_iter().find(|(id, _)| is_meant(id, wanted));
        let Some((id, _)) = found else { return Err(StanzaError::ITEM_NOT_FOUND) };
        let domain = cx.domain().to_owned();
        cx.send(&tell(&domain, Element::new(NS, "revoke").with_attr("id", &id)))?;
        let text = "The invitation is being taken back. It is good for nothing as soon as your list \
                    does not show it any more.";
        Ok(Outcome::said(text).into())
    }

    /// The operator takes an invitation back. Its maker's list forgets it when it would have ended.
    pub(crate) fn revoke_any(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(wanted) = asked.field("id") else { return Ok(revoke_form().into()) };
        let all = cx.all(&INVITATIONS, OPEN_MAX)?;
        let found = all.into_iter().find(|(id, _)| is_meant(id, wanted));
        let Some((id, invitation)) = found else { return Err(StanzaError::ITEM_NOT_FOUND) };
        tokens::forget(cx, &id, &invitation)?;
        Ok(Outcome::said("The invitation is not good any more.").into())
    }
}

fn create_form() -> Form {
    let form = Form::new("Invite somebody to an account", "All may be left empty.");
    form.with(Field::new("username", "Username", FieldKind::Text))
        .with(Field::new("roster-subscription", "Roster subscription", FieldKind::Flag))
        .with(Field::new("from", "Contact of the new account", FieldKind::Text))
        .with(Field::new("expires", "Good for, such as 3 days", FieldKind::Text))
        .with(Field::new("uses", "How many may use it", FieldKind::Text))
        .with(Field::new("circle", "Circle of the new account", FieldKind::Text))
}

fn revoke_form() -> Form {
    let id = Field::new("id", "Invitation", FieldKind::Text).required();
    Form::new("Take an invitation back", "Lists show what each is called.").with(id)
}

/// Returns the name of a circle that is there.
fn known_circle(cx: &mut Context<'_, '_>, name: &str) -> Result<String, StanzaError> {
    if cx.get(&CIRCLES, name)?.is_none() {
        let text = "there is no circle of that name; `circles` shows all";
        return Err(StanzaError::ITEM_NOT_FOUND.with_text(text));
    }
    Ok(name.to_owned())
}

/// Prepares a name for which an account is to be made.
fn free_name(cx: &mut Context<'_, '_>, name: &str) -> Result<String, StanzaError> {
    let name = account_name(cx, name)?;
    let now_ms = cx.now_ms();
    let reserved = cx.get(&INVITED_NAMES, &*name)?.filter(|reserved| reserved.at_ms > now_ms);
    if cx.get(&ACCOUNTS, &*name)?.is_some() || reserved.is_some() {
        return Err(StanzaError::CONFLICT.with_text("this name is taken"));
    }
    Ok(name)
}

/// Returns the address of an account that may log in.
fn account(cx: &mut Context<'_, '_>, name: &str) -> Result<String, StanzaError> {
    let name = account_name(cx, name)?;
    if cx.get(&ACCOUNTS, &*name)?.is_none_or(|account| account.disabled) {
        return Err(StanzaError::ITEM_NOT_FOUND.with_text("there is no account of that name"));
    }
    Ok(format!("{name}@{}", cx.domain()))
}

/// Returns the name of an account that is given by name or whole address.
fn account_name(cx: &Context<'_, '_>, name: &str) -> Result<String, StanzaError> {
    let whole =
        if name.contains('@') { name.to_owned() } else { format!("{name}@{}", cx.domain()) };
    let jid = Jid::parse(&whole).map_err(|_| StanzaError::JID_MALFORMED)?;
    match jid.local().filter(|_| jid.is_bare() && jid.domain() == cx.domain()) {
        Some(local) => Ok(local.to_owned()),
        None => Err(StanzaError::JID_MALFORMED),
    }
}

/// Shows an invitation, and the page that shows it to people where there is one.
fn result(cx: &mut Context<'_, '_>, (uri, token): (&str, &str), expires_ms: u64) -> CommandResult {
    let field = |name: &str, label: &str, value: &str| {
        Field::new(name, label, FieldKind::Text).with_value(value)
    };
    let mut outcome = Outcome::default().of_type(FORM_TYPE).with(field("uri", "Invitation", uri));
    if let Some(page) = cx.page_url(tables::INVITE_PATH)? {
        outcome = outcome.with(field("landing-url", "Page to send", &format!("{page}/{token}")));
    }
    Ok(outcome.with(field("expire", "Good until", &date(expires_ms))).into())
}

fn list(lines: Vec<String>) -> Outcome {
    let text =
        if lines.is_empty() { "No invitation is open.".to_owned() } else { lines.join("\n") };
    Outcome::said(text)
}

fn not_acceptable(why: &str) -> StanzaError {
    StanzaError::NOT_ACCEPTABLE.with_text(why.to_owned())
}

fn shown(id: &str) -> &str {
    id.get(..SHOWN_LETTERS).unwrap_or(id)
}

/// Tells whether an invitation is the one that somebody names by the beginning of its id.
fn is_meant(id: &str, wanted: &str) -> bool {
    wanted.len() >= SHOWN_LETTERS && id.starts_with(wanted)
}

/// Writes a time (XEP-0082).
fn date(ms: u64) -> String {
    xep::delay::date_time(ms)
}
