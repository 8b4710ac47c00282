//! Presence that went to one address (RFC 6121 §4.6).
//!
//! A session keeps whom it showed itself to, so that they hear when it is gone: rooms and people
//! who are no contacts. Nobody else learns anything from it.

use calypte::prelude::*;
use calypte::wire::SessionRow;

use crate::shown::value;

/// The value of a session that holds the addresses, the latest last, with NUL between them. Modules
/// `blocklist`, `push` and `rooms` read it.
const DIRECTED: &str = "presence.directed";
/// The most addresses of a session.
const DIRECTED_MAX: usize = 500;

/// Returns whom a session showed itself to.
pub(crate) fn list(session: &SessionRow) -> Vec<String> {
    let text = value(session, DIRECTED).and_then(|value| std::str::from_utf8(value).ok());
    let all = text.unwrap_or("").split('\0').filter(|jid| !jid.is_empty());
    all.map(str::to_owned).collect()
}

/// Notes that somebody was shown the session.
///
/// # Errors
///
/// `resource-constraint` when the list is full: then it could not be kept that they hear of the end.
pub(crate) fn remember(to: JidRef<'_>, cx: &mut Context<'_, '_>) -> Done {
    let mut all = list(&cx.session()?);
    if all.last().is_some_and(|jid| jid == to.as_str()) {
        return Ok(());
    }
    all.retain(|jid| jid != to.as_str());
    if all.len() >= DIRECTED_MAX {
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text("too many directed presences"));
    }
    all.push(to.as_str().to_owned());
    cx.set_value(DIRECTED, all.join("\0").as_bytes())
}

/// Notes that somebody was told that the session is gone.
pub(crate) fn forget(to: JidRef<'_>, cx: &mut Context<'_, '_>) -> Done {
    let mut all = list(&cx.session()?);
    let before = all.len();
    all.retain(|jid| jid != to.as_str());
    if all.len() == before {
        return Ok(());
    }
    cx.set_value(DIRECTED, all.join("\0").as_bytes())
}

/// Notes that all were told.
pub(crate) fn forget_all(session: &SessionRow, cx: &mut Context<'_, '_>) -> Done {
    if value(session, DIRECTED).is_none() {
        return Ok(());
    }
    cx.set_value(DIRECTED, b"")
}
