//! Pages, at once and later.

use calypte::prelude::*;
use calypte::wire::{Head, Password};

use crate::Probe;

/// What stands behind the ticket of a page in a cookie.
const MARK: &[u8] = b"page";

impl Probe {
    /// Shows what came; with a `name` in the form, after its password was looked at.
    pub(crate) fn page(
        &self,
        asked: &Asked<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Result<Served, StanzaError> {
        if let Some(value) = asked.form("header") {
            return Ok(Served::Page(page(200, &value, "")));
        }
        if let Some(name) = asked.form("name") {
            let ticket = cx.later()?;
            let password = Password::new(&asked.form("password").unwrap_or_default());
            let cookie = [&ticket.to_le_bytes(), MARK].concat();
            cx.change_account(&AccountWork::Check { name, password }, &cookie)?;
            return Ok(Served::Later);
        }
        let cookie = asked.header("cookie").unwrap_or("none");
        let url = cx.web_url()?.unwrap_or_default();
        let text = format!("{} {} {cookie} {url}", asked.method, asked.address);
        Ok(Served::Page(page(201, "/probe", &text)))
    }

    /// Answers a page that waited for a password to be looked at.
    pub(crate) fn looked_at(
        cookie: &[u8],
        done: Result<(), AccountFault>,
        cx: &mut Context<'_, '_>,
    ) -> Option<Done> {
        let ticket = cookie.strip_suffix(MARK)?.try_into().ok().map(u64::from_le_bytes)?;
        let status = if done.is_ok() { 200 } else { 403 };
        Some(cx.answer_page(ticket, &page(status, "/probe", &format!("{done:?}"))))
    }
}

fn page(status: u16, location: &str, text: &str) -> Page {
    let headers = vec![("Location".to_owned(), location.to_owned())];
    let mut head = Head { status, headers };
    head.headers.push(("X-Probe".to_owned(), "here".to_owned()));
    Page { head, body: text.into() }
}
