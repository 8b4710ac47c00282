//! What users do to their accounts on the own page.

use calypte::Ticket;
use calypte::notice::{Wish, WrongPart};
use calypte::prelude::*;
use calypte::wire::{Head, Password, WireError};
use tables::REGISTRATION;

use crate::ask::{self, About, Told};
use crate::html::{self, Input, escaped};
use crate::invitation::{TYPED_BYTES_MAX, alert, at_least, too_short};
use crate::sessions::{self, User};
use crate::waiting::{Looking, Next, Wished};
use crate::{ACCOUNT, Pages, qr, texts};

/// The command by which a client makes an invitation (XEP-0401 §4.1).
pub(crate) const INVITE: &str = "urn:xmpp:invite#invite";

/// What is wrong with the form for another password.
#[derive(Debug, Default)]
struct Wrong<'a> {
    now: Option<&'a str>,
    new: Option<&'a str>,
    repeat: Option<&'a str>,
    else_: Option<&'a str>,
}

impl Pages {
    /// Does what a form of the own page says.
    pub(crate) fn act(
        &self,
        path: &str,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        let Some(user) = User::of(asked, cx)? else { return Ok(Served::Page(log_in_again())) };
        if !user.sent(asked) {
            return Ok(Served::Page(html::said(403, texts::NOT_OURS)));
        }
        match path {
            "/logout" => {
                user.log_out(cx)?;
                Ok(Served::Page(html::with_cookie(html::go_to(ACCOUNT), sessions::no_cookie())))
            }
            "/revoke" => {
                let id = typed(asked, "id");
                let revoke = Element::new(ns::CLIENTS, "revoke").with_attr("id", &id);
                ask::ask(cx, &user, About::Revoke, ("set", revoke))
            }
            "/invite" => {
                let command = Element::new(ns::COMMANDS, "command")
                    .with_attr("node", INVITE)
                    .with_attr("action", "execute");
                ask::ask(cx, &user, About::Invite, ("set", command))
            }
            "/password" => self.change(&user, asked, cx),
            "/remove" => self.remove(&user, asked, cx),
            _ => Ok(Served::Page(html::said(404, texts::NOT_FOUND))),
        }
    }

    /// Shows the form for another password.
    pub(crate) fn show_change(
        &self,
        user: &User,
        cx: &mut Context<'_, '_>,
    ) -> Result<Page, StanzaError> {
        change_form(cx, user, 200, &Wrong::default())
    }

    fn change(
        &self,
        user: &User,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        let (now, new, repeat) = (typed(asked, "now"), typed(asked, "new"), typed(asked, "repeat"));
        let least = cx.get(&REGISTRATION, "")?.map_or(1, |said| said.password_min);
        let short = too_short(&new, least);
        let differ = (new != repeat).then_some(texts::PASSWORDS_DIFFER);
        if short.is_some() || differ.is_some() {
            let wrong = Wrong { new: short.as_deref(), repeat: differ, ..Wrong::default() };
            return change_form(cx, user, 422, &wrong).map(Served::Page);
        }
        let next = Next::Change { cookie: user.value(), password: Password::new(&new) };
        self.prove(user, (asked, &now), next, cx)
    }

    /// Shows what goes with the account.
    pub(crate) fn show_remove(
        &self,
        user: &User,
        cx: &mut Context<'_, '_>,
    ) -> Result<Page, StanzaError> {
        Ok(remove_form(cx.domain(), user, 200, (None, None)))
    }

    fn remove(
        &self,
        user: &User,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        if asked.form("sure").as_deref() != Some("yes") {
            let wrong = (None, Some(texts::REMOVE_SURE_NEEDED));
            return Ok(Served::Page(remove_form(cx.domain(), user, 422, wrong)));
        }
        let next = Next::Remove { cookie: user.value() };
        self.prove(user, (asked, &typed(asked, "now")), next, cx)
    }

    /// Has the password looked at before something grave is done.
    fn prove(
        &self,
        user: &User,
        (asked, password): (&Asked<'_>, &str),
        next: Next,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        if !self.may_try(cx, asked.address, &user.name)? {
            return Ok(Served::Page(html::said(429, texts::TOO_OFTEN)));
        }
        let ticket = cx.later()?;
        let looking = Looking { ticket, from: asked.address.to_owned(), next };
        looking.begin(cx, &user.name, password)?;
        Ok(Served::Later)
    }

    /// The password was looked at.
    pub(crate) fn go_on(
        &self,
        cx: &mut Context<'_, '_>,
        ticket: Ticket,
        user: &User,
        next: Next,
        done: Result<(), AccountFault>,
    ) -> Done {
        let name = user.name.clone();
        match (next, done) {
            (Next::LogIn { .. }, _) => Ok(()),
            (_, Err(AccountFault::Failed)) => {
                cx.answer_page(ticket, &html::said(500, texts::BROKEN))
            }
            (Next::Change { .. }, Err(_)) => {
                let wrong = Wrong { now: Some(texts::PASSWORD_WRONG), ..Wrong::default() };
                let page = change_form(cx, user, 403, &wrong)?;
                cx.answer_page(ticket, &page)
            }
            (Next::Remove { .. }, Err(_)) => {
                let wrong = (Some(texts::PASSWORD_WRONG), None);
                let page = remove_form(cx.domain(), user, 403, wrong);
                cx.answer_page(ticket, &page)
            }
            (Next::Change { cookie, password }, Ok(())) => {
                Wished::Changed { ticket, cookie }.begin(cx, Wish::SetPassword { name, password })
            }
            (Next::Remove { .. }, Ok(())) => {
                Wished::Removed { ticket }.begin(cx, Wish::Remove { name })
            }
        }
    }

    /// The password is another, or is not. All sessions of the page have ended with the old one; the
    /// one that changed it begins anew.
    pub(crate) fn changed(
        &self,
        cx: &mut Context<'_, '_>,
        ticket: Ticket,
        cookie: &str,
        result: Result<String, (WrongPart, WireError)>,
    ) -> Done {
        let (part, error) = match result {
            Ok(name) => {
                let user = User::log_in(cx, &name, self.0.session.ms)?;
                let page = html::go_to(&format!("{ACCOUNT}?password"));
                let page = html::with_cookie(page, user.cookie(self.0.session.ms));
                return cx.answer_page(ticket, &page);
            }
            Err(wrong) => wrong,
        };
        let Some(user) = User::find(cx, cookie)? else {
            return cx.answer_page(ticket, &log_in_again());
        };
        let mut wrong = Wrong::default();
        let status = match (part, error.condition.as_str()) {
            (WrongPart::Password, _) => {
                wrong.new = Some(texts::PASSWORD_BAD);
                422
            }
            (_, "resource-constraint") => {
                wrong.else_ = Some(texts::TOO_OFTEN.1);
                429
            }
            _ => {
                wrong.else_ = Some(texts::BROKEN.1);
                500
            }
        };
        let page = change_form(cx, &user, status, &wrong)?;
        cx.answer_page(ticket, &page)
    }
}

/// The account is gone, or is not.
pub(crate) fn removed(
    cx: &mut Context<'_, '_>,
    ticket: Ticket,
    result: &Result<String, (WrongPart, WireError)>,
) -> Done {
    let page = match result {
        Ok(_) => html::with_cookie(html::said(200, texts::REMOVED), sessions::no_cookie()),
        Err(_) => html::said(500, texts::BROKEN),
    };
    cx.answer_page(ticket, &page)
}

/// Sends somebody to the login whose session is over.
pub(crate) fn log_in_again() -> Page {
    html::go_to(&format!("{ACCOUNT}?again"))
}

/// Shows an invitation that an account made.
pub(crate) fn invited(told: Told<'_>) -> Page {
    let form = told.payload().and_then(|command| command.child(ns::DATA_FORMS, "x"));
    let value = |name: &str| {
        let mut fields = form?.children().filter(|field| field.is(ns::DATA_FORMS, "field"));
        let field = fields.find(|field| field.attr("var").as_deref() == Some(name))?;
        field.child_text(ns::DATA_FORMS, "value").map(std::borrow::Cow::into_owned)
    };
    let Some(link) = value("landing-url").or_else(|| value("uri")) else {
        let text = told.text().unwrap_or_else(|| texts::BROKEN.1.to_owned());
        let content = format!("<h1>{}</h1>\n{}{}", texts::INVITE, alert(Some(&text)), back());
        return html::page(503, texts::INVITE, &content);
    };
    let until = value("expire").unwrap_or_default();
    let code = qr::svg(&link, texts::INVITE_LABEL).unwrap_or_default();
    let content = format!(
        "<h1>{}</h1>\n<p>{}</p>\n<div class=\"card\">\n<p><a href=\"{link}\">{link}</a></p>\n\
         <p class=\"soft\">{} {}.</p>\n{code}</div>\n{}",
        texts::INVITE_DONE,
        escaped(texts::INVITE_SEND),
        texts::GOOD_UNTIL,
        html::time(&until),
        back(),
        link = escaped(&link),
    );
    html::page(200, texts::INVITE_DONE, &content)
}

/// Returns the contacts of an account as a file (XEP-0227 §4.2).
pub(crate) fn contacts(user: &User, domain: &str, told: Told<'_>) -> Page {
    const PIE: &str = "urn:xmpp:pie:0";
    let Some(roster) = told.payload().filter(|roster| roster.is(ns::ROSTER, "query")) else {
        return html::go_to(&format!("{ACCOUNT}?failed"));
    };
    let mut query = Element::new(ns::ROSTER, "query");
    for item in roster.children() {
        query.push_child(Element::from_node(item));
    }
    let user = Element::new(PIE, "user").with_attr("name", &user.name).with_child(query);
    let host = Element::new(PIE, "host").with_attr("jid", domain).with_child(user);
    let data = Element::new(PIE, "server-data").with_child(host);
    let mut page = html::page(200, "", "");
    let kind = "application/xml; charset=utf-8";
    page.head = Head { headers: page.head.headers.split_off(1), ..Head::of_type(kind) };
    let own =
        [("Content-Type", kind), ("Content-Disposition", "attachment; filename=\"contacts.xml\"")];
    page.head.headers.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    page.body =
        format!("<?xml version='1.0' encoding='utf-8'?>\n{}\n", data.to_xml("")).into_bytes();
    page
}

fn typed(asked: &Asked<'_>, name: &str) -> String {
    asked.form(name).filter(|text| text.len() <= TYPED_BYTES_MAX).unwrap_or_default()
}

fn back() -> String {
    format!("<p><a href=\"{ACCOUNT}\">{}</a></p>", texts::BACK)
}

/// Names the account for programs that keep passwords.
fn whose(domain: &str, user: &User) -> String {
    format!(
        "<input type=\"hidden\" name=\"key\" value=\"{}\">\
         <input hidden type=\"text\" autocomplete=\"username\" aria-label=\"{}\" value=\"{}@{domain}\" readonly>\n",
        user.form_key(),
        texts::ADDRESS,
        escaped(&user.name)
    )
}

fn change_form(
    cx: &mut Context<'_, '_>,
    user: &User,
    status: u16,
    wrong: &Wrong<'_>,
) -> Result<Page, StanzaError> {
    let least = cx.get(&REGISTRATION, "")?.map_or(1, |said| said.password_min);
    let hint = at_least(least.max(1));
    let secret = |name, label, fill, error| Input {
        name,
        label,
        fill,
        error,
        is_secret: true,
        ..Input::default()
    };
    let now = secret("now", texts::PASSWORD_NOW, "current-password", wrong.now);
    let new =
        Input { hint: &hint, ..secret("new", texts::PASSWORD_NEW, "new-password", wrong.new) };
    let repeat = secret("repeat", texts::PASSWORD_NEW_REPEAT, "new-password", wrong.repeat);
    let content = format!(
        "<h1>{title}</h1>\n<p>{}</p>\n<div class=\"card narrow\">\n{}\
         <form method=\"post\" action=\"{ACCOUNT}/password\">\n{}{}{}{}\
         <button type=\"submit\">{title}</button></form></div>\n{}",
        escaped(texts::CHANGE_WHY),
        alert(wrong.else_),
        whose(cx.domain(), user),
        now.draw(),
        new.draw(),
        repeat.draw(),
        back(),
        title = texts::CHANGE,
    );
    Ok(html::page(status, texts::CHANGE, &content))
}

fn remove_form(
    domain: &str,
    user: &User,
    status: u16,
    (now_error, sure_error): (Option<&str>, Option<&str>),
) -> Page {
    let goes: String =
        texts::REMOVE_LIST.iter().map(|one| format!("<li>{}</li>\n", escaped(one))).collect();
    let now = Input {
        name: "now",
        label: texts::PASSWORD,
        fill: "current-password",
        is_secret: true,
        error: now_error,
        ..Input::default()
    };
    let (note, described) = match sure_error {
        Some(error) => (
            format!("<span class=\"error\" id=\"sure-error\">{}</span>", escaped(error)),
            " aria-describedby=\"sure-error\" aria-invalid=\"true\"",
        ),
        None => (String::new(), ""),
    };
    let content = format!(
        "<h1>{}</h1>\n<p class=\"address\">{}@{domain}</p>\n<p>{}</p>\n<ul>\n{goes}</ul>\n<p>{}</p>\n\
         <div class=\"card narrow\"><form method=\"post\" action=\"{ACCOUNT}/remove\">\n{}{}\
         <div class=\"field\"><div class=\"check\">\
         <input type=\"checkbox\" id=\"sure\" name=\"sure\" value=\"yes\" required{described}>\
         <label for=\"sure\">{}</label></div>{note}</div>\n\
         <button class=\"bad\" type=\"submit\">{}</button></form></div>\n{}",
        texts::REMOVE,
        escaped(&user.name),
        escaped(texts::REMOVE_WHAT),
        escaped(texts::REMOVE_NOT),
        whose(domain, user),
        now.draw(),
        texts::REMOVE_SURE,
        texts::REMOVE_BUTTON,
        back()
    );
    html::page(status, texts::REMOVE, &content)
}
