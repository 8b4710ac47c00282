//! Last activity of an account (XEP-0012 §3, §4): when its last client left.

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::Basics;

/// When the account was last seen; one row.
const SEEN: Table<str, Seen> = Table::account("basics.seen");
/// The key of the row.
const KEY: &str = "last";
/// The longest status that is kept.
const STATUS_BYTES_MAX: usize = 1024;

/// The last time that an account came or went.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Seen {
    /// In milliseconds since 1970.
    at_ms: u64,
    /// What its last client said when it went.
    status: Option<String>,
}

record!(Seen, 1);

impl Basics {
    pub(crate) fn last(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        admit(request.from, cx)?;
        if cx.sessions()?.iter().any(|session| session.available) {
            return Ok(Reply::With(answer(0, None)));
        }
        let seen = cx.get(&SEEN, KEY)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
        let ago_ms = cx.now_ms().saturating_sub(seen.at_ms);
        Ok(Reply::With(answer(ago_ms, seen.status.as_deref())))
    }

    /// §4. How long a client is idle tells who is there; only those who see its presence may ask.
    pub(crate) fn guard_last(
        &self,
        stanza: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let is_request = matches!(stanza.iq_kind(), Some(IqKind::Get | IqKind::Set));
        let is_for_client = stanza.to.is_some_and(|to| to.local().is_some() && !to.is_bare());
        if stanza.kind == Kind::Iq && is_request && is_for_client {
            admit(stanza.from, cx)?;
        }
        Ok(Flow::Pass)
    }

    /// Runs before the engine notes the presence, so the sessions are as they were.
    pub(crate) fn note_presence(
        &self,
        stanza: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        if stanza.to.is_some() {
            return Ok(Flow::Pass);
        }
        let is_coming = match stanza.presence_kind() {
            Some(PresenceKind::Available) => true,
            Some(PresenceKind::Unavailable) => false,
            _ => return Ok(Flow::Pass),
        };
        let was_available = cx.session()?.available;
        if was_available == is_coming || others_available(cx)? {
            return Ok(Flow::Pass);
        }
        let status = stanza.child(ns::CLIENT, "status").filter(|_| !is_coming);
        let status = status.map(|status| status.text().into_owned());
        note(cx, status.filter(|status| status.len() <= STATUS_BYTES_MAX))?;
        Ok(Flow::Pass)
    }

    pub(crate) fn note_closed(&self, cx: &mut Context<'_, '_>) -> Done {
        if cx.session()?.available && !others_available(cx)? {
            note(cx, None)?;
        }
        Ok(())
    }
}

/// Writes the answer; times are whole seconds.
pub(crate) fn answer(ago_ms: u64, status: Option<&str>) -> Element {
    let seconds = (ago_ms / 1000).to_string();
    let answer = Element::new(ns::LAST, "query").with_attr("seconds", &seconds);
    match status {
        Some(status) if !status.is_empty() => answer.with_text(status),
        _ => answer,
    }
}

fn note(cx: &mut Context<'_, '_>, status: Option<String>) -> Done {
    let at_ms = cx.now_ms();
    cx.put(&SEEN, KEY, &Seen { at_ms, status })
}

/// Tells whether a session of the account is available besides the one that caused the call.
fn others_available(cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let own = cx.session()?.resource;
    Ok(cx.sessions()?.iter().any(|session| session.available && session.resource != own))
}

/// Lets the account's own clients ask, and contacts that see its presence. The others get what an
/// address without an account answers; `forbidden`, as the XEP has it, would tell them apart.
fn admit(from: Option<JidRef<'_>>, cx: &mut Context<'_, '_>) -> Result<(), StanzaError> {
    let Some(from) = from.filter(|from| !cx.is_own(Some(*from))) else { return Ok(()) };
    let contact = cx.get(&tables::ROSTER, from.bare_str())?;
    if contact.is_some_and(|contact| contact.from) {
        Ok(())
    } else {
        Err(StanzaError::SERVICE_UNAVAILABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_keeps_its_bytes() {
        let seen = Seen { at_ms: 300, status: Some("home".to_owned()) };
        let bytes = b"\x01\xfb\x2c\x01\x01\x04home";
        assert_eq!(SEEN.encode(&seen), bytes);
        assert_eq!(SEEN.decode(bytes), Ok(seen));
        assert_eq!((SEEN.name, KEY), ("basics.seen", "last"));
    }
}
