//! What an account tells its domain and does for it: its sessions are seen in its own shard only.

use calypte::prelude::*;
use tables::ROSTER;

use crate::{Commands, FORM_TYPE, NS};

/// The most contacts that are counted.
const CONTACTS_MAX: u32 = 100_000;

/// Returns a message from the domain for all devices of somebody.
pub(crate) fn news(text: &str) -> Element {
    let body = Element::new(ns::CLIENT, "body").with_text(text);
    Element::new(ns::CLIENT, "message").with_attr("type", "headline").with_child(body)
}

impl Commands {
    /// Counts the owner's contacts and devices.
    pub(crate) fn tell_stats(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        check_asker(request, cx)?;
        let contacts = cx.all(&ROSTER, CONTACTS_MAX)?;
        let listed = contacts.iter().filter(|(_, contact)| contact.listed).count();
        let mut stats = Element::new(NS, "stats").with_attr("roster", &listed.to_string());
        for session in cx.sessions()?.into_iter().filter(|session| !session.away) {
            stats.push_child(Element::new(NS, "resource").with_text(&session.resource));
        }
        Ok(Reply::With(stats))
    }

    /// Ends the owner's sessions, or one of them.
    pub(crate) fn end_here(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        check_asker(request, cx)?;
        let wanted = request.query()?.attr("resource");
        let mut sessions = cx.sessions()?;
        sessions.retain(|session| wanted.as_ref().is_none_or(|one| *one == session.resource));
        if sessions.is_empty() {
            return Err(StanzaError::ITEM_NOT_FOUND);
        }
        for session in &sessions {
            cx.close(&session.resource, StreamError::NotAuthorized)?;
        }
        cx.count("sessions_ended", u64::try_from(sessions.len()).unwrap_or(0))?;
        Ok(Reply::Empty)
    }
}

/// Only the domain asks. Everybody else sees what an address without this looks like.
fn check_asker(request: &Request<'_>, cx: &Context<'_, '_>) -> Done {
    match request.from {
        Some(from) if from.as_str() == cx.domain() => Ok(()),
        _ => Err(StanzaError::SERVICE_UNAVAILABLE),
    }
}

/// Shows the operator what an account told.
pub(crate) fn stats(told: Node<'_>) -> Outcome {
    let roster = told.attr("roster").unwrap_or_default();
    let resources = told.children().filter(|child| child.is(NS, "resource"));
    let mut online = Field::new("onlineresources", "Devices online", FieldKind::Lines);
    online.values = resources.map(|resource| resource.text().into_owned()).collect();
    let contacts = Field::new("rostersize", "Contacts", FieldKind::Text).with_value(&roster);
    Outcome::default().of_type(FORM_TYPE).with(contacts).with(online)
}
