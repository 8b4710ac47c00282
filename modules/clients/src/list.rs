//! The list of apps, and throwing one out (XEP-0494).

use calypte::prelude::*;
use calypte::wire::SessionRow;

use crate::Clients;
use crate::rows::{
    CLIENTS, CLIENTS_MAX, Client, Password, SINCE, app_of, name_of_session, password, value,
};

impl Clients {
    /// Lists what has access to the account.
    pub(crate) fn list(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (password, now_ms, mut sessions) = (password(cx)?, cx.now_ms(), cx.sessions()?);
        // What was thrown out a moment ago.
        sessions.retain(|session| !session.closing);
        let mut list = Element::new(ns::CLIENTS, "clients");
        let mut all = cx.all(&CLIENTS, CLIENTS_MAX)?;
        all.sort_by_key(|(_, client)| client.first_ms);
        for (app, client) in all {
            let is_here = sessions.iter().any(|session| app_of(session) == Some(app.as_str()));
            let has_token = client.has_token(password, now_ms);
            if is_here || has_token || client.knows(password) {
                list.push_child(of_app(&app, &client, is_here, (password, now_ms)));
            }
        }
        for session in &sessions {
            // An app is forgotten while it is here when it has thrown out itself, or with too many.
            let id = match app_of(session) {
                Some(app) if cx.get(&CLIENTS, app)?.is_some() => continue,
                Some(app) => app.to_owned(),
                None => name_of_session(&session.resource, cx),
            };
            list.push_child(of_session(&id, session, now_ms));
        }
        Ok(Reply::With(list))
    }

    /// Takes an app's token, ends its sessions, and says whether that is enough.
    pub(crate) fn revoke(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let id = request.payload().and_then(|payload| payload.attr("id"));
        let id = id.ok_or(StanzaError::BAD_REQUEST)?.into_owned();
        // A module may ask in the name of the account.
        let own = cx.session_jid().and_then(|jid| jid.resource().map(str::to_owned));
        let sessions = cx.sessions()?;
        let client = cx.get(&CLIENTS, id.as_str())?;
        let is_meant = |session: &&SessionRow| match app_of(session) {
            Some(app) => app == id,
            None => client.is_none() && name_of_session(&session.resource, cx) == id,
        };
        let meant: Vec<_> = sessions.iter().filter(is_meant).collect();
        if client.is_none() && meant.is_empty() {
            return Err(StanzaError::ITEM_NOT_FOUND);
        }
        for session in meant {
            // Who throws out itself can go by itself, and wants the answer.
            if Some(&session.resource) != own.as_ref() {
                cx.close(&session.resource, StreamError::NotAuthorized)?;
            }
        }
        let knows_password = match client {
            None => true,
            Some(mut client) => {
                let knows = client.knows(password(cx)?);
                (client.current, client.next) = (None, None);
                if knows {
                    cx.put(&CLIENTS, id.as_str(), &client)?;
                } else {
                    cx.delete(&CLIENTS, id.as_str())?;
                }
                knows
            }
        };
        if knows_password { tell_half(cx) } else { Ok(Reply::Empty) }
    }
}

/// Says that an app may know the password (XEP-0494 §3.2). As an error of the request that would take
/// back what was done.
fn tell_half(cx: &mut Context<'_, '_>) -> IqResult {
    let hint = Element::new(ns::CLIENTS, "password-reset-required").to_xml("");
    let error = StanzaError { detail: Some(hint.into()), ..StanzaError::SERVICE_UNAVAILABLE };
    let ticket = cx.later()?;
    cx.answer(ticket, Err(error))?;
    Ok(Reply::Later)
}

fn of_app(
    app: &str,
    client: &Client,
    is_here: bool,
    (password, now_ms): (Option<Password>, u64),
) -> Element {
    let mut auth = Element::new(ns::CLIENTS, "auth");
    if client.knows(password) {
        auth.push_child(Element::new(ns::CLIENTS, "password"));
    }
    if client.has_token(password, now_ms) {
        auth.push_child(Element::new(ns::CLIENTS, "fast"));
    }
    let last_ms = if is_here { now_ms } else { client.last_ms };
    let mut element = entry(app, is_here, (client.first_ms, last_ms), auth);
    let said = [("software", &client.software), ("device", &client.device)];
    let mut agent = Element::new(ns::CLIENTS, "user-agent");
    for (name, text) in said {
        if let Some(text) = text {
            agent.push_child(Element::new(ns::CLIENTS, name).with_text(text));
        }
    }
    element.push_child(agent);
    element
}

/// Describes a session of which no app is known: one more is there as long as it is.
fn of_session(id: &str, session: &SessionRow, now_ms: u64) -> Element {
    let since = value(session, SINCE).and_then(|bytes| bytes.try_into().ok());
    let since_ms = since.map_or(now_ms, u64::from_le_bytes);
    let password = Element::new(ns::CLIENTS, "password");
    let auth = Element::new(ns::CLIENTS, "auth").with_child(password);
    entry(id, true, (since_ms, now_ms), auth)
}

fn entry(id: &str, is_here: bool, (first_ms, last_ms): (u64, u64), auth: Element) -> Element {
    let time = |name, ms| Element::new(ns::CLIENTS, name).with_text(&xep::delay::date_time(ms));
    Element::new(ns::CLIENTS, "client")
        .with_attr("connected", if is_here { "true" } else { "false" })
        .with_attr("id", id)
        .with_attr("type", "session")
        .with_child(time("first-seen", first_ms))
        .with_child(time("last-seen", last_ms))
        .with_child(auth)
        .with_child(Element::new(ns::CLIENTS, "permission").with_attr("status", "unrestricted"))
}
