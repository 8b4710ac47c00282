//! The operator's commands for all users (XEP-0133 §4.8 and from §4.13 on).

use calypte::prelude::*;
use calypte::wire::Range;
use tables::ACCOUNTS;

use crate::asked::{form, known, said, several, some_accounts};
use crate::seen::{SEEN, run};
use crate::{Commands, FORM_TYPE};

/// The most that a client is shown; its answer is one stanza.
const SHOWN_MAX: usize = 1000;
/// The most that the command line is shown.
const TOLD_MAX: usize = 100_000;
/// Rows read at a time.
const PAGE: u32 = 512;
/// The longest announcement, in bytes.
const ANNOUNCEMENT_BYTES_MAX: usize = 16 << 10;
/// How many are told with one stanza.
const EACH: usize = 256;

/// Which users are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Users {
    Registered,
    Disabled,
    Online,
}

impl Commands {
    pub(crate) fn number_registered(
        &self,
        _: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> CommandResult {
        number(Users::Registered, ("registeredusersnum", "The number of registered users"), cx)
    }

    pub(crate) fn number_disabled(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        number(Users::Disabled, ("disabledusersnum", "The number of disabled users"), cx)
    }

    pub(crate) fn number_online(&self, _: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        number(Users::Online, ("onlineusersnum", "The number of online users"), cx)
    }

    pub(crate) fn list_registered(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> CommandResult {
        list(Users::Registered, ("registereduserjids", "The list of all users"), asked, cx)
    }

    pub(crate) fn list_disabled(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> CommandResult {
        list(Users::Disabled, ("disableduserjids", "The list of all disabled users"), asked, cx)
    }

    pub(crate) fn list_online(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        list(Users::Online, ("onlineuserjids", "The list of all online users"), asked, cx)
    }

    /// Tells when accounts logged in last, in the order in which they were given.
    pub(crate) fn last_login(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        let Some(given) = several(asked)? else {
            return Ok(some_accounts("Getting User's Last Login Time").into());
        };
        let mut accounts = Field::new("accountjids", "Accounts", FieldKind::Addresses);
        let mut times = Field::new("lastlogin", "Last login", FieldKind::Lines);
        for one in given {
            let name = known(cx, one)?;
            let seen = cx.get(&SEEN, &*name)?;
            accounts = accounts.with_value(&format!("{name}@{}", cx.domain()));
            times =
                times.with_value(&seen.map_or_else(
                    || "unknown".to_owned(),
                    |seen| xep::delay::date_time(seen.login_ms),
                ));
        }
        Ok(Outcome::default().of_type(FORM_TYPE).with(accounts).with(times).into())
    }

    /// Tells all who are online something.
    pub(crate) fn announce(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> CommandResult {
        if said(asked, "announcement").is_none() {
            let field = Field::new("announcement", "Announcement", FieldKind::Lines).required();
            let text = "All users who are online now are told.";
            return Ok(form("Making an Announcement", text).with(field).into());
        }
        let text = asked.values("announcement").join("\n");
        if text.len() > ANNOUNCEMENT_BYTES_MAX {
            let text = format!("an announcement has at most {ANNOUNCEMENT_BYTES_MAX} bytes");
            return Err(StanzaError::NOT_ACCEPTABLE.with_text(text));
        }
        let domain = cx.domain().to_owned();
        let (all, count) = users(Users::Online, TOLD_MAX, cx)?;
        let stanza = crate::about::news(&text).with_attr("from", &domain).to_xml(ns::CLIENT);
        for some in all.chunks(EACH) {
            cx.send_each(&stanza, &some.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        let told = all.len();
        let text = if told < count {
            format!("{told} of {count} users are told.")
        } else {
            format!("{told} users are told.")
        };
        Ok(Outcome::said(text).into())
    }
}

fn number(which: Users, (name, label): (&str, &str), cx: &mut Context<'_, '_>) -> CommandResult {
    let (_, count) = users(which, 0, cx)?;
    let field = Field::new(name, label, FieldKind::Text).with_value(&count.to_string());
    Ok(Outcome::default().of_type(FORM_TYPE).with(field).into())
}

fn list(
    which: Users,
    (name, label): (&str, &str),
    asked: &Asked<'_>,
    cx: &mut Context<'_, '_>,
) -> CommandResult {
    let most = if asked.asker.is_empty() { TOLD_MAX } else { SHOWN_MAX };
    let most = match said(asked, "max_items") {
        Some("none") => most,
        Some(text) => {
            let wanted = text.parse::<usize>().ok().filter(|wanted| *wanted > 0);
            let error = StanzaError::NOT_ACCEPTABLE;
            wanted.ok_or_else(|| error.with_text("max_items is a number or none"))?.min(most)
        }
        None if asked.asker.is_empty() => most,
        None => return Ok(max_items().into()),
    };
    let (all, count) = users(which, most, cx)?;
    let shown = all.len();
    let mut field = Field::new(name, label, FieldKind::Addresses);
    field.values = all;
    let outcome = Outcome::default().of_type(FORM_TYPE).with(field);
    let text = if shown < count { format!("{shown} of {count} are shown.") } else { String::new() };
    Ok(Outcome { text, ..outcome }.into())
}

fn max_items() -> Form {
    let numbers = ["25", "50", "75", "100", "150", "200"].map(|one| (one.into(), one.into()));
    let options = numbers.into_iter().chain([("none".to_owned(), "None".to_owned())]).collect();
    let label = "Maximum number of items to show";
    form("Requesting a List of Users", "").with(
        Field::new("max_items", label, FieldKind::Choice(options)).required().with_value("25"),
    )
}

/// Returns the addresses of the first `most` users, and how many there are.
fn users(
    which: Users,
    most: usize,
    cx: &mut Context<'_, '_>,
) -> Result<(Vec<String>, usize), StanzaError> {
    let (mut from, mut shown, mut count) = (Vec::new(), Vec::new(), 0_usize);
    let run = run(cx)?;
    loop {
        let range = Range { to: None, limit: PAGE, reverse: false };
        let page: Vec<(String, bool)> = match which {
            Users::Online => {
                let rows = cx.scan(&SEEN, &from, &range)?.into_iter();
                rows.map(|(name, seen)| (name, seen.run_ms == run)).collect()
            }
            Users::Registered | Users::Disabled => {
                let rows = cx.scan(&ACCOUNTS, &from, &range)?.into_iter();
                rows.map(|(name, row)| (name, which == Users::Registered || row.disabled)).collect()
            }
        };
        let Some((last, _)) = page.last() else { return Ok((shown, count)) };
        from = [last.as_bytes(), &[0]].concat();
        for (name, _) in page.into_iter().filter(|(_, is_meant)| *is_meant) {
            count = count.saturating_add(1);
            if shown.len() < most {
                shown.push(format!("{name}@{}", cx.domain()));
            }
        }
    }
}
