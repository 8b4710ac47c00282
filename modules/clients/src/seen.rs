//! Which apps there are: noted when they log in, forgotten when they stay away.

use calypte::prelude::*;

use crate::Clients;
use crate::rows::{
    CLIENTS, CLIENTS_MAX, Client, LOGIN, NAME, NOW, Name, SINCE, Slot, app_of, name_of, password,
};

/// The timer for apps that stay away.
const FORGET: &str = "forget";
/// An app that logs in again sooner is not written down again, in milliseconds.
const DAY_MS: u64 = 24 * 3_600_000;
/// A session that was shorter does not change when its app was there last, in milliseconds.
const MINUTE_MS: u64 = 60_000;

impl Clients {
    /// A client has logged in, perhaps a while after it showed what it knows.
    pub(crate) fn logged_in(&self, login: &Login<'_>, cx: &mut Context<'_, '_>) -> Done {
        let facts = login.facts();
        cx.delete(&LOGIN, NOW)?;
        let Some(id) = &facts.user_agent else { return Ok(()) };
        let app = name_of(id, cx);
        // Nobody is kept out because there is no room: it is a session of no known app.
        if cx.put(&LOGIN, NOW, &Name(app.clone())).is_err() {
            cx.count("forgotten", 1)?;
        }
        let known = cx.get(&CLIENTS, app.as_str())?;
        let now_ms = cx.now_ms();
        let mut client = known.clone().unwrap_or_else(|| Client::new(now_ms));
        if !facts.mechanism.starts_with("HT-") {
            client.password = password(cx)?;
        } else if client.current.is_none() {
            // Its token was right and has been taken since: who waits with that gains nothing.
            return Err(StanzaError::NOT_AUTHORIZED);
        }
        if facts.channel_bound {
            // It can prove its channel, and has to go on doing so.
            let is_bound = |slot: &Slot| !slot.is_unbound();
            client.current = client.current.filter(is_bound);
            client.next = client.next.filter(is_bound);
        }
        let names = self.0.names;
        let told = |said: &Option<String>, before| said.clone().or(before).filter(|_| names);
        client.software = told(&facts.software, client.software.take());
        client.device = told(&facts.device, client.device.take());
        let is_old = now_ms.saturating_sub(client.last_ms) >= DAY_MS;
        if known.is_none() {
            make_room(cx)?;
        }
        if is_old || known.is_none_or(|known| known != client) {
            client.last_ms = now_ms;
            cx.put(&CLIENTS, app.as_str(), &client)?;
            // The timer is one for all apps: it comes for the one that has to go first.
            self.forget(FORGET, cx)?;
        }
        Ok(())
    }

    /// A session begins, in the step in which its client logged in.
    pub(crate) fn opened(&self, cx: &mut Context<'_, '_>) -> Done {
        let now_ms = cx.now_ms();
        cx.set_value(SINCE, &now_ms.to_le_bytes())?;
        let Some(Name(app)) = cx.get(&LOGIN, NOW)? else { return Ok(()) };
        cx.delete(&LOGIN, NOW)?;
        cx.set_value(NAME, app.as_bytes())?;
        // XEP-0386 §4.2. The app is here, so it is not there any more.
        let own = cx.session()?.resource;
        for session in cx.sessions()? {
            if session.resource != own && app_of(&session) == Some(app.as_str()) {
                cx.close(&session.resource, StreamError::Conflict)?;
            }
        }
        Ok(())
    }

    /// A session is over.
    pub(crate) fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        let session = cx.session()?;
        let Some(app) = app_of(&session) else { return Ok(()) };
        let Some(mut client) = cx.get(&CLIENTS, app)? else { return Ok(()) };
        if cx.now_ms().saturating_sub(client.last_ms) < MINUTE_MS {
            return Ok(());
        }
        client.last_ms = cx.now_ms();
        cx.put(&CLIENTS, app, &client)
    }

    fn forget_at(&self, client: &Client) -> u64 {
        client.last_ms.saturating_add(self.0.keep.ms)
    }

    /// Forgets apps that stayed away too long. Their tokens are over by then.
    pub(crate) fn forget(&self, _: &str, cx: &mut Context<'_, '_>) -> Done {
        let (now_ms, sessions) = (cx.now_ms(), cx.sessions()?);
        let mut next = None;
        for (app, client) in cx.all(&CLIENTS, CLIENTS_MAX)? {
            let is_here = sessions.iter().any(|session| app_of(session) == Some(app.as_str()));
            let at = if is_here { now_ms.saturating_add(DAY_MS) } else { self.forget_at(&client) };
            if at <= now_ms {
                cx.delete(&CLIENTS, app.as_str())?;
            } else {
                next = Some(next.map_or(at, |next: u64| next.min(at)));
            }
        }
        next.map_or(Ok(()), |at| cx.wake_at(at, FORGET))
    }
}

/// Forgets the app that is away longest when there are too many.
fn make_room(cx: &mut Context<'_, '_>) -> Done {
    let all = cx.all(&CLIENTS, CLIENTS_MAX)?;
    if all.len() < usize::try_from(CLIENTS_MAX).unwrap_or(usize::MAX) {
        return Ok(());
    }
    let sessions = cx.sessions()?;
    let is_here = |app: &str| sessions.iter().any(|session| app_of(session) == Some(app));
    first_to_go(&all, is_here).map_or(Ok(()), |app| cx.delete(&CLIENTS, app))
}

/// Returns the app that was seen last the longest ago. Those that are here come after all others.
fn first_to_go(all: &[(String, Client)], is_here: impl Fn(&str) -> bool) -> Option<&str> {
    let first = all.iter().min_by_key(|(app, client)| (is_here(app), client.last_ms));
    first.map(|(app, _)| app.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_here_is_forgotten_last() {
        let apps = [("here", 1), ("away", 3), ("longer", 2)];
        let all: Vec<_> = apps.map(|(app, ms)| (app.to_owned(), Client::new(ms))).into();
        assert_eq!(first_to_go(&all, |app| app == "here"), Some("longer"));
        assert_eq!(first_to_go(&all, |_| true), Some("here"));
        assert_eq!(first_to_go(&[], |_| false), None);
    }
}
