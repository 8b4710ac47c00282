//! Getting and changing the roster (RFC 6121 §2.1.3 to §2.6).

use calypte::prelude::*;
use calypte::tables::{Contact, ROSTER};

use crate::item::{self, Wish};
use crate::keep::{State, keep, note_interest, push_iq};
use crate::{Roster, subscriptions};

impl Roster {
    /// Answers with the roster, or with what changed since the version that the client has.
    pub(crate) fn show(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let query = request.query()?;
        note_interest(cx)?;
        let state = State::load(cx)?;
        let changed = match query.attr("ver") {
            Some(version) => state.changed_since(&version, cx)?,
            None => None,
        };
        if let Some(changed) = changed {
            return catch_up(request, cx, &state, changed);
        }
        let mut answer = Element::new(ns::ROSTER, "query").with_attr("ver", &state.version());
        for (jid, contact) in cx.all(&ROSTER, u32::MAX)? {
            if contact.listed {
                answer.push_child(item::write(&jid, &contact));
            }
        }
        Ok(Reply::With(answer))
    }

    /// Adds, changes or removes a contact.
    pub(crate) fn change(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (jid, wish) = item::read(request.query()?, &self.0)?;
        if jid == cx.owner().as_str() {
            return Err(StanzaError::NOT_ALLOWED.with_text("you are not your own contact"));
        }
        let before = cx.get(&ROSTER, &*jid)?.unwrap_or_default();
        let after = match wish {
            Wish::Keep { name, groups } => Contact { name, groups, listed: true, ..before.clone() },
            Wish::Remove if before.listed => {
                subscriptions::end_all(cx, &jid, &before)?;
                Contact::default()
            }
            Wish::Remove => return Err(StanzaError::ITEM_NOT_FOUND),
        };
        keep(cx, &self.0, &jid, &before, &after)?;
        Ok(Reply::Empty)
    }
}

/// Answers with nothing and then with a push for each contact that changed (§2.6.3).
fn catch_up(
    request: &Request<'_>,
    cx: &mut Context<'_, '_>,
    state: &State,
    changed: impl IntoIterator<Item = String>,
) -> IqResult {
    let Some(from) = cx.session_jid().map(JidRef::to_jid) else {
        return Err(StanzaError::NOT_AUTHORIZED);
    };
    let resource = from.resource().unwrap_or("");
    let result = Element::new(ns::CLIENT, "iq")
        .with_attr("from", cx.owner().as_str())
        .with_attr("id", request.id.unwrap_or(""))
        .with_attr("type", "result");
    // By hand, as the pushes must not overtake it.
    cx.deliver(resource, &result)?;
    for (index, jid) in changed.into_iter().enumerate() {
        let contact = cx.get(&ROSTER, &*jid)?.unwrap_or_default();
        let mut iq = push_iq(state, &jid, &contact);
        iq.push_attr("id", &format!("push-{}-{index}", state.version()));
        cx.deliver(resource, &iq)?;
    }
    Ok(Reply::Later)
}
