//! The way into the account's own page.

use calypte::notice::AccountEnds;
use calypte::prelude::*;
use calypte::wire;

use crate::ask::{self, About};
use crate::html::{self, Input, escaped};
use crate::invitation::{TYPED_BYTES_MAX, alert};
use crate::sessions::{self, Bound, User};
use crate::waiting::{Looking, Next};
use crate::{ACCOUNT, NS, Pages, guard, pace, texts};

impl Pages {
    /// Answers for the own page and what is below it.
    pub(crate) fn account(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        let path = asked.name.strip_prefix(ACCOUNT).unwrap_or_default();
        match asked.method {
            "GET" | "HEAD" => self.show(path, asked, cx),
            "POST" if !guard::is_form(asked) => Ok(Served::Page(html::said(403, texts::NOT_OURS))),
            "POST" if !guard::is_from_us(asked, cx.web_url()?.as_deref()) => {
                Ok(Served::Page(html::said(403, texts::NOT_OURS)))
            }
            "POST" if path == "/login" => self.log_in(asked, cx),
            "POST" => self.act(path, asked, cx),
            _ => Ok(Served::Page(html::said(405, texts::NOT_ALLOWED))),
        }
    }

    fn show(
        &self,
        path: &str,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        let Some(user) = User::of(asked, cx)? else {
            let is_first = matches!(path, "" | "/");
            let page = match is_first {
                true if asked.query == "again" => {
                    login(200, cx.domain(), "", Some(texts::LOGIN_AGAIN))
                }
                true => login(200, cx.domain(), "", None),
                false => html::go_to(ACCOUNT),
            };
            return Ok(Served::Page(page));
        };
        match path {
            "" | "/" => {
                let list = Element::new(ns::CLIENTS, "list");
                let mut known = texts::DONE.iter().map(|(word, _)| *word);
                let done = known.find(|word| *word == asked.query).unwrap_or_default();
                ask::ask(cx, &user, About::Devices(done.to_owned()), ("get", list))
            }
            "/contacts" => {
                ask::ask(cx, &user, About::Contacts, ("get", Element::new(NS, "contacts")))
            }
            "/password" => self.show_change(&user, cx).map(Served::Page),
            "/remove" => self.show_remove(&user, cx).map(Served::Page),
            _ => Ok(Served::Page(html::said(404, texts::NOT_FOUND))),
        }
    }

    /// Somebody wants to log in.
    fn log_in(&self, asked: &Asked<'_>, cx: &mut Context<'_, '_>) -> Result<Served, StanzaError> {
        let field = |name: &str| {
            asked.form(name).filter(|text| text.len() <= TYPED_BYTES_MAX).unwrap_or_default()
        };
        let (address, password) = (field("address"), field("password"));
        let address = address.trim().to_owned();
        let name = account_name(cx.domain(), &address);
        // What can be no account is looked at as well, so that it takes as long.
        let name = name.unwrap_or_else(|| "-".to_owned());
        if !self.may_try(cx, asked.address, &name)? {
            return Ok(Served::Page(html::said(429, texts::TOO_OFTEN)));
        }
        let ticket = cx.later()?;
        let bound = Bound::of(cx, &name)?;
        let next = Next::LogIn { name: name.clone(), address, bound };
        Looking { ticket, from: asked.address.to_owned(), next }.begin(cx, &name, &password)?;
        Ok(Served::Later)
    }

    /// Counts a guess at a password before it is looked at, so that many at once are not more.
    pub(crate) fn may_try(
        &self,
        cx: &mut Context<'_, '_>,
        from: &str,
        name: &str,
    ) -> Result<bool, StanzaError> {
        let (of_address, of_account) = guesses(from, name);
        Ok(pace::may_guess(cx, &of_account, self.0.tries_per_account)?
            && pace::count(cx, &of_address, self.0.tries)?
            && pace::count(cx, &of_account, self.0.tries_per_account)?)
    }

    /// The host looked at a password.
    pub(crate) fn looked_at(
        &self,
        cookie: &[u8],
        done: Result<(), AccountFault>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let Looking { ticket, from, next } = wire::decode(cookie).ok_or(StanzaError::INTERNAL)?;
        let user = match &next {
            Next::LogIn { .. } => None,
            Next::Change { cookie, .. } | Next::Remove { cookie } => User::find(cx, cookie)?,
        };
        let name = match (&next, &user) {
            (Next::LogIn { name, .. }, _) => name.clone(),
            (_, Some(user)) => user.name.clone(),
            (_, None) => return cx.answer_page(ticket, &crate::act::log_in_again()),
        };
        if done.is_ok() {
            let (of_address, of_account) = guesses(&from, &name);
            pace::forgive(cx, &of_address)?;
            pace::forgive(cx, &of_account)?;
        } else {
            cx.count("wrong_passwords", 1)?;
        }
        match (next, user) {
            (Next::LogIn { name, address, bound }, _) => {
                let page = self.logged_in(cx, (&name, bound), &address, done)?;
                cx.answer_page(ticket, &page)
            }
            (next, Some(user)) => self.go_on(cx, ticket, &user, next, done),
            (_, None) => Ok(()),
        }
    }

    fn logged_in(
        &self,
        cx: &mut Context<'_, '_>,
        (name, bound): (&str, Option<Bound>),
        address: &str,
        done: Result<(), AccountFault>,
    ) -> Result<Page, StanzaError> {
        // The password that was right may be the one before: then it opens nothing any more.
        let is_same = Bound::is_same(bound, Bound::of(cx, name)?);
        match done {
            Ok(()) if is_same => {
                let user = User::log_in(cx, name, self.0.session.ms)?;
                cx.count("logins", 1)?;
                Ok(html::with_cookie(html::go_to(ACCOUNT), user.cookie(self.0.session.ms)))
            }
            Err(AccountFault::Failed) => Ok(html::said(500, texts::BROKEN)),
            Ok(()) | Err(_) => Ok(login(403, cx.domain(), address, Some(texts::LOGIN_WRONG))),
        }
    }

    /// An account is about to be removed.
    pub(crate) fn account_ends(&self, notified: &Notified<'_>, cx: &mut Context<'_, '_>) -> Done {
        let AccountEnds = notified.read()?;
        let owner = cx.owner_jid();
        owner.local().map_or(Ok(()), |name| sessions::forget(cx, name))
    }
}

/// Returns what guesses are counted under: by where they come from, and by account.
fn guesses(from: &str, name: &str) -> (String, String) {
    (format!("from {from}"), format!("name {name}"))
}

/// Returns the local part of the account that somebody means by name or address.
fn account_name(domain: &str, address: &str) -> Option<String> {
    let whole =
        if address.contains('@') { address.to_owned() } else { format!("{address}@{domain}") };
    let jid = Jid::parse(&whole).ok()?;
    let is_ours = jid.is_bare() && jid.domain() == domain;
    jid.local().filter(|_| is_ours).map(str::to_owned)
}

fn login(status: u16, domain: &str, address: &str, error: Option<&str>) -> Page {
    let hint = format!("{} juliet@{domain}.", texts::ADDRESS_HINT);
    let address = Input {
        name: "address",
        label: texts::ADDRESS,
        value: address,
        fill: "username",
        hint: &hint,
        ..Input::default()
    };
    let password = Input {
        name: "password",
        label: texts::PASSWORD,
        is_secret: true,
        fill: "current-password",
        ..Input::default()
    };
    let content = format!(
        "<h1>{}</h1>\n<p>{}</p>\n<div class=\"card narrow\">\n{}\
         <form method=\"post\" action=\"{ACCOUNT}/login\">\n{}{}\
         <button type=\"submit\">{}</button></form></div>",
        texts::LOGIN,
        escaped(texts::LOGIN_WHY),
        alert(error),
        address.draw(),
        password.draw(),
        texts::LOGIN_BUTTON
    );
    html::page(status, texts::LOGIN, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_named_as_everywhere() {
        let name = |text| account_name("capulet.example", text);
        assert_eq!(name("Juliet").as_deref(), Some("juliet"));
        assert_eq!(name("juliet@Capulet.example").as_deref(), Some("juliet"));
        for wrong in
            ["", "a b", "juliet@montague.example", "juliet@capulet.example/x", "@capulet.example"]
        {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }
}
