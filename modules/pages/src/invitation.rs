//! The page of an invitation, which makes the account.

use calypte::Ticket;
use calypte::notice::{AccountWished, Wish, WrongPart};
use calypte::prelude::*;
use calypte::wire::{self, Password, WireError};
use tables::{ACCOUNTS, INVITATIONS, INVITE_PATH, Invitation, REGISTRATION};

use crate::html::{self, Input, escaped};
use crate::waiting::Wished;
use crate::{ACCOUNT, Pages, act, guard, pace, qr, texts};

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 128;
/// The longest name or password that is looked at, in bytes.
pub(crate) const TYPED_BYTES_MAX: usize = 1000;

/// What was typed, and what is wrong with it.
#[derive(Debug, Default)]
struct Typed<'a> {
    name: &'a str,
    name_error: Option<&'a str>,
    password_error: Option<&'a str>,
    repeat_error: Option<&'a str>,
    /// What is wrong besides.
    error: Option<&'a str>,
}

impl Typed<'_> {
    const fn is_wrong(&self) -> bool {
        self.name_error.is_some()
            || self.password_error.is_some()
            || self.repeat_error.is_some()
            || self.error.is_some()
    }
}

/// An invitation that is good.
struct Shown {
    token: String,
    invitation: Invitation,
    /// Whether it makes an account now.
    makes_account: bool,
    password_min: u32,
}

impl Pages {
    /// Answers for all invitations.
    pub(crate) fn invitation(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        let rest = asked.name.strip_prefix(INVITE_PATH).unwrap_or_default();
        let token = rest.strip_prefix('/').unwrap_or_default();
        // Nobody guesses 130 bits: who has a right one is never refused for others behind the address.
        let Some(shown) = find(cx, token)? else {
            let key = format!("token {}", asked.address);
            let is_early = pace::count(cx, &key, self.0.tries)?;
            let page = if is_early { gone() } else { html::said(429, texts::TOO_OFTEN) };
            return Ok(Served::Page(page));
        };
        match asked.method {
            "GET" | "HEAD" => Ok(Served::Page(draw(cx, &shown, 200, &Typed::default())?)),
            "POST" => self.make(asked, &shown, cx),
            _ => Ok(Served::Page(html::said(405, texts::NOT_ALLOWED))),
        }
    }

    /// Somebody filled the form in.
    fn make(
        &self,
        asked: &Asked<'_>,
        shown: &Shown,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        if !guard::is_form(asked) || !guard::is_from_us(asked, cx.web_url()?.as_deref()) {
            return Ok(Served::Page(html::said(403, texts::NOT_OURS)));
        }
        if !shown.makes_account {
            return Ok(Served::Page(html::said(405, texts::NOT_ALLOWED)));
        }
        let field = |name: &str| {
            asked.form(name).filter(|text| text.len() <= TYPED_BYTES_MAX).unwrap_or_default()
        };
        let (name, password, repeat) = (field("name"), field("password"), field("repeat"));
        let name = name.trim();
        let short = too_short(&password, shown.password_min);
        let typed = Typed {
            name,
            name_error: name.is_empty().then_some(texts::NAME_EMPTY),
            password_error: short.as_deref(),
            repeat_error: (password != repeat).then_some(texts::PASSWORDS_DIFFER),
            error: None,
        };
        if typed.is_wrong() {
            return Ok(Served::Page(draw(cx, shown, 422, &typed)?));
        }
        let ticket = cx.later()?;
        let (token, name) = (shown.token.clone(), name.to_owned());
        let wish = Wish::Make {
            address: asked.address.to_owned(),
            name: name.clone(),
            password: Password::new(&password),
            invitation: Some(Invitation::key(&token)),
        };
        Wished::Made { ticket, token, name }.begin(cx, wish)?;
        Ok(Served::Later)
    }

    /// Module `register` has done what a page wanted, or has not.
    pub(crate) fn wished(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let AccountWished { by: (by, cookie), result } = notified.read()?;
        if by != Self::NAME {
            return Ok(());
        }
        match wire::decode(&cookie).ok_or(StanzaError::INTERNAL)? {
            Wished::Made { ticket, token, name } => made(cx, ticket, (&token, &name), result),
            Wished::Changed { ticket, cookie } => self.changed(cx, ticket, &cookie, result),
            Wished::Removed { ticket } => act::removed(cx, ticket, &result),
        }
    }
}

/// Says what is wrong with a password that is too short.
pub(crate) fn too_short(password: &str, least: u32) -> Option<String> {
    let least = usize::try_from(least.max(1)).unwrap_or(usize::MAX);
    (password.chars().count() < least).then(|| at_least(least))
}

/// Says how long a password has to be.
pub(crate) fn at_least(least: impl std::fmt::Display) -> String {
    format!("At least {least} characters.")
}

/// An account was made, or was not.
fn made(
    cx: &mut Context<'_, '_>,
    ticket: Ticket,
    (token, typed): (&str, &str),
    result: Result<String, (WrongPart, WireError)>,
) -> Done {
    let (part, error) = match result {
        Ok(name) => {
            let page = welcome(cx, &name)?;
            return cx.answer_page(ticket, &page);
        }
        Err(wrong) => wrong,
    };
    let mut wrong = Typed { name: typed, ..Typed::default() };
    let text = error.text.unwrap_or_default();
    let status = match part {
        WrongPart::Invitation => {
            let page = gone();
            return cx.answer_page(ticket, &page);
        }
        WrongPart::Name => {
            wrong.name_error = Some(match error.condition.as_str() {
                "conflict" => texts::NAME_TAKEN,
                "not-acceptable" => &text,
                _ => texts::NAME_BAD,
            });
            422
        }
        WrongPart::Password => {
            wrong.password_error = Some(texts::PASSWORD_BAD);
            422
        }
        WrongPart::Else if error.condition == "resource-constraint" => {
            wrong.error = Some(texts::TOO_OFTEN.1);
            429
        }
        WrongPart::Else => {
            wrong.error = Some(texts::BROKEN.1);
            500
        }
    };
    let page = match find(cx, token)? {
        Some(shown) => draw(cx, &shown, status, &wrong)?,
        None => gone(),
    };
    cx.answer_page(ticket, &page)
}

/// Finds the invitation with a token, while it is good.
fn find(cx: &mut Context<'_, '_>, token: &str) -> Result<Option<Shown>, StanzaError> {
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Ok(None);
    }
    let Some(invitation) = cx.get(&INVITATIONS, &*Invitation::key(token))? else { return Ok(None) };
    let maker = invitation.maker().map(|name| cx.get(&ACCOUNTS, name)).transpose()?.flatten();
    let is_good = invitation.expires_ms > cx.now_ms() && invitation.has_use();
    if !is_good || !invitation.is_backed(maker.as_ref()) {
        return Ok(None);
    }
    let said = cx.get(&REGISTRATION, "")?.filter(|said| said.policy > 0);
    // The module may have been turned off since.
    let is_on = cx.features(true)?.iter().any(|feature| feature == ns::REGISTER);
    let said = said.filter(|_| is_on && invitation.may_register);
    if said.is_none() && invitation.by.is_none() {
        return Ok(None);
    }
    let password_min = said.as_ref().map_or(0, |said| said.password_min);
    let token = token.to_owned();
    Ok(Some(Shown { token, invitation, makes_account: said.is_some(), password_min }))
}

fn gone() -> Page {
    let content = format!(
        "<h1>{}</h1>\n<p class=\"lead\">{}</p>\n<p>{}</p>",
        texts::GONE_TITLE,
        escaped(texts::GONE),
        escaped(texts::GONE_THEN)
    );
    html::page(404, texts::GONE_TITLE, &content)
}

fn draw(
    cx: &mut Context<'_, '_>,
    shown: &Shown,
    status: u16,
    typed: &Typed<'_>,
) -> Result<Page, StanzaError> {
    let Shown { token, invitation, makes_account, .. } = shown;
    let domain = cx.domain().to_owned();
    let until = html::time(&xep::delay::date_time(invitation.expires_ms));
    let title = match (&invitation.by, makes_account) {
        (Some(by), true) => format!("{by} {} {domain}", texts::INVITED_BY),
        (None, _) => format!("{} {domain}", texts::INVITED),
        (Some(by), false) => format!("{by} {}", texts::CONTACT_BY),
    };
    let uri = link(shown, &domain);
    let mut aside = app_card(&uri, *makes_account);
    let page_url = cx.page_url(INVITE_PATH)?.map(|url| format!("{url}/{token}"));
    if let Some(code) = qr::svg(page_url.as_deref().unwrap_or(&uri), texts::PHONE_LABEL) {
        aside.push_str(&format!(
            "<section class=\"card\"><h2>{}</h2><p>{}</p>{code}</section>\n",
            texts::PHONE,
            escaped(texts::PHONE_WHY)
        ));
    }
    let (form, shape) = match makes_account {
        true => (format!("{}\n", form_card(shown, &domain, typed)), "cards two"),
        false => (String::new(), "cards"),
    };
    let content = format!(
        "<h1>{}</h1>\n<p class=\"soft\">{} {until}.</p>\n<div class=\"{shape}\">\n{form}\
         <div class=\"column\">\n{aside}</div>\n</div>",
        escaped(&title),
        texts::GOOD_UNTIL
    );
    Ok(html::page(status, &title, &content))
}

/// Returns the link that an app opens (XEP-0401 §3.1, XEP-0379 §3.1).
fn link(shown: &Shown, domain: &str) -> String {
    let Shown { token, invitation, makes_account, .. } = shown;
    let address = match (&invitation.by, &invitation.name) {
        (Some(by), None) => {
            let may = if *makes_account { ";ibr=y" } else { "" };
            return format!("{}?roster;preauth={token}{may}", uri_of(by));
        }
        (_, Some(name)) => format!("{name}@{domain}"),
        (None, None) => domain.to_owned(),
    };
    format!("{}?register;preauth={token}", uri_of(&address))
}

fn uri_of(address: &str) -> String {
    Jid::parse(address).map_or_else(|_| String::new(), |jid| uri::of(&jid))
}

fn form_card(shown: &Shown, domain: &str, typed: &Typed<'_>) -> String {
    let Shown { token, invitation, password_min, .. } = shown;
    let fixed = invitation.name.as_deref();
    let hint = match fixed {
        Some(name) => format!("{} {name}@{domain}.", texts::NAME_FIXED),
        None => format!("{} @{domain}.", texts::NAME_HINT),
    };
    let name = Input {
        name: "name",
        label: texts::NAME,
        value: fixed.unwrap_or(typed.name),
        fill: "username",
        is_fixed: fixed.is_some(),
        hint: &hint,
        error: typed.name_error,
        ..Input::default()
    };
    let hint = at_least(password_min);
    let password = Input {
        name: "password",
        label: texts::PASSWORD,
        is_secret: true,
        fill: "new-password",
        hint: &hint,
        error: typed.password_error,
        ..Input::default()
    };
    let repeat = Input {
        name: "repeat",
        label: texts::PASSWORD_REPEAT,
        is_secret: true,
        fill: "new-password",
        error: typed.repeat_error,
        ..Input::default()
    };
    let then = invitation.by.as_deref().map_or_else(String::new, |by| {
        format!("<p><strong>{}</strong> {}</p>\n", escaped(by), texts::THEN_CONTACT)
    });
    format!(
        "<section class=\"card\"><h2>{}</h2>\n<p>{}</p>\n{then}{}\
         <form method=\"post\" action=\"{INVITE_PATH}/{}\">\n{}{}{}\
         <button type=\"submit\">{}</button></form></section>",
        texts::MAKE,
        escaped(texts::MAKE_WHY),
        alert(typed.error),
        escaped(token),
        name.draw(),
        password.draw(),
        repeat.draw(),
        texts::MAKE_BUTTON
    )
}

/// Says what is wrong with a form as a whole.
pub(crate) fn alert(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| {
        format!("<p class=\"said bad\" role=\"alert\">{}</p>\n", escaped(error))
    })
}

fn app_card(uri: &str, makes_account: bool) -> String {
    let (title, why) = match makes_account {
        true => (texts::APP, texts::APP_WHY),
        false => (texts::APP_CONTACT, texts::APP_CONTACT_WHY),
    };
    format!(
        "<section class=\"card\"><h2>{title}</h2>\n<p>{}</p>\n\
         <p><a class=\"button plain\" href=\"{}\">{}</a></p>\n\
         <details><summary>{}</summary>\n{}</details></section>\n",
        escaped(why),
        escaped(uri),
        texts::APP_BUTTON,
        texts::APP_NONE,
        html::apps(makes_account)
    )
}

/// Says that the account is there, and how to use it.
fn welcome(cx: &mut Context<'_, '_>, name: &str) -> Result<Page, StanzaError> {
    let address = format!("{name}@{}", cx.domain());
    let steps: String =
        texts::WELCOME_STEPS.iter().map(|step| format!("<li>{}</li>\n", escaped(step))).collect();
    let code = qr::svg(&uri_of(&address), texts::WELCOME_LABEL).unwrap_or_default();
    let content = format!(
        "<h1>{}</h1>\n<p>{}</p>\n<p class=\"address\">{}</p>\n<div class=\"cards two\">\n\
         <section class=\"card\"><h2>{}</h2>\n<ol>\n{steps}</ol>\n<p>{}</p>\n{}\
         <p><a href=\"{ACCOUNT}\">{}</a></p></section>\n\
         <section class=\"card\"><h2>{}</h2><p>{}</p>{code}</section>\n</div>",
        texts::WELCOME,
        texts::WELCOME_ADDRESS,
        escaped(&address),
        texts::WELCOME_HOW,
        texts::WELCOME_KEEP,
        html::apps(false),
        texts::WELCOME_OWN,
        texts::ADDRESS,
        escaped(texts::WELCOME_CODE),
    );
    Ok(html::page(200, texts::WELCOME, &content))
}
