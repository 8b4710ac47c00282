//! What is shown to everyone who is subscribed (RFC 6121 §4.2 to §4.5).

use std::collections::BTreeSet;

use calypte::prelude::*;
use calypte::wire::SessionRow;
use tables::{Contact, ROSTER};

use crate::directed;

/// The value of a session that has shown itself: the run of the server in which it last asked for
/// the presence of its contacts.
const SHOWN: &str = "presence.shown";

/// Returns a value of a session.
pub(crate) fn value<'a>(session: &'a SessionRow, name: &str) -> Option<&'a [u8]> {
    let found = session.values.iter().find(|(its_name, _)| its_name == name);
    found.map(|(_, value)| value.as_slice())
}

/// A client shows itself to everyone: for the first time, or anew.
pub(crate) fn show(presence: &Passing<'_>, cx: &mut Context<'_, '_>) -> Done {
    let session = cx.session()?;
    let contacts = cx.all(&ROSTER, u32::MAX)?;
    broadcast(&text(presence, cx), &contacts, &[], cx)?;
    if value(&session, SHOWN).is_some() {
        return Ok(());
    }
    greet(&session, &contacts, cx)?;
    note_run(cx)?;
    probe(&contacts, cx)
}

/// A client leaves, but stays connected.
pub(crate) fn leave(presence: &Passing<'_>, cx: &mut Context<'_, '_>) -> Done {
    let session = cx.session()?;
    let text = text(presence, cx);
    say_gone(&session, &text, cx)?;
    if value(&session, SHOWN).is_some() {
        // §4.5.2. It hears of itself like the account's other sessions.
        cx.deliver_xml(&session.resource, &text)?;
        cx.set_value(SHOWN, b"")?;
    }
    directed::forget_all(&session, cx)
}

/// A session ended: whoever saw it is told.
pub(crate) fn vanish(cx: &mut Context<'_, '_>) -> Done {
    let session = cx.session()?;
    let Some(from) = cx.session_jid() else { return Ok(()) };
    let gone = Element::new(ns::CLIENT, "presence")
        .with_attr("from", from.as_str())
        .with_attr("type", "unavailable");
    say_gone(&session, &gone.to_xml(ns::CLIENT), cx)
}

/// Asks again who is there, when the server was started since the session asked.
pub(crate) fn refresh_after_restart(cx: &mut Context<'_, '_>) -> Done {
    let session = cx.session()?;
    let (_, _, started_ms) = cx.software()?;
    match value(&session, SHOWN) {
        Some(run) if run != started_ms.to_le_bytes() => refresh(cx),
        _ => Ok(()),
    }
}

/// Asks again who is there, for a session that has shown itself.
pub(crate) fn refresh(cx: &mut Context<'_, '_>) -> Done {
    if value(&cx.session()?, SHOWN).is_none() {
        return Ok(());
    }
    note_run(cx)?;
    let contacts = cx.all(&ROSTER, u32::MAX)?;
    probe(&contacts, cx)
}

fn note_run(cx: &mut Context<'_, '_>) -> Done {
    let (_, _, started_ms) = cx.software()?;
    cx.set_value(SHOWN, &started_ms.to_le_bytes())
}

/// Returns a presence as it goes to everyone; each gets it under the own address.
fn text(presence: &Passing<'_>, cx: &Context<'_, '_>) -> String {
    let from = cx.session_jid().unwrap_or_else(|| cx.owner());
    presence.readdressed(from.as_str(), cx.owner().as_str())
}

/// Sends a presence to the contacts that may see it, to the account's available sessions, and to
/// `others`.
fn broadcast(
    text: &str,
    contacts: &[(String, Contact)],
    others: &[&str],
    cx: &mut Context<'_, '_>,
) -> Done {
    let owner = cx.owner_jid();
    let allowed = contacts.iter().filter(|(_, contact)| contact.from);
    let mut recipients: Vec<&str> = allowed.map(|(jid, _)| jid.as_str()).collect();
    recipients.push(owner.as_str());
    recipients.extend(others);
    let recipients = cx.without_blocked(recipients)?;
    cx.send_each(text, &recipients)
}

/// Tells everyone who saw a session that it is gone (§4.5.2, §4.6.3).
fn say_gone(session: &SessionRow, text: &str, cx: &mut Context<'_, '_>) -> Done {
    let directed = directed::list(session);
    if value(session, SHOWN).is_none() {
        let recipients = directed.iter().map(String::as_str).collect();
        let recipients = cx.without_blocked(recipients)?;
        return cx.send_each(text, &recipients);
    }
    let contacts = cx.all(&ROSTER, u32::MAX)?;
    let told: BTreeSet<&str> =
        contacts.iter().filter(|(_, contact)| contact.from).map(|(jid, _)| jid.as_str()).collect();
    let is_told = |jid: &str| told.contains(JidRef::trusted(jid).bare_str());
    let others: Vec<_> = directed.iter().map(String::as_str).filter(|jid| !is_told(jid)).collect();
    broadcast(text, &contacts, &others, cx)
}

/// Gives a session that appears what was there before it: the account's other sessions, and the
/// requests that nobody has answered (§3.1.3).
fn greet(session: &SessionRow, contacts: &[(String, Contact)], cx: &mut Context<'_, '_>) -> Done {
    for other in cx.sessions()? {
        if let Some(presence) = other.presence.filter(|_| other.resource != session.resource) {
            cx.deliver_xml(&session.resource, &presence)?;
        }
    }
    let asking = contacts.iter().filter(|(_, contact)| contact.pending_in.is_some());
    let asking = cx.without_blocked(asking.map(|(jid, _)| jid.as_str()).collect())?;
    let is_heard = |(jid, _): &&(String, Contact)| asking.contains(&jid.as_str());
    let heard = contacts.iter().filter(is_heard);
    for request in heard.filter_map(|(_, contact)| contact.pending_in.as_ref()) {
        // A stranger wrote it. One that cannot be handed over must not keep the account offline.
        if cx.deliver_xml(&session.resource, request).is_err() {
            cx.count("requests_unreadable", 1)?;
        }
    }
    Ok(())
}

/// Asks those whom the owner may see (§4.3.1), and again those who have not said so yet.
fn probe(contacts: &[(String, Contact)], cx: &mut Context<'_, '_>) -> Done {
    let those = |is_wanted: fn(&Contact) -> bool| {
        let wanted = contacts.iter().filter(move |(_, contact)| is_wanted(contact));
        wanted.map(|(jid, _)| jid.as_str()).collect::<Vec<_>>()
    };
    let seen = cx.without_blocked(those(|contact| contact.to))?;
    cx.send_each("<presence type='probe'/>", &seen)?;
    // The request may have been lost on its way; whoever has it does not look at another.
    let asked = cx.without_blocked(those(|contact| contact.asked))?;
    cx.send_each("<presence type='subscribe'/>", &asked)
}
