//! The list, and what changes when it does (XEP-0191 §3).

use calypte::prelude::*;
use tables::{BLOCKED, Blocked, ROSTER};

use crate::{Blocklist, report};

/// The value of a session that has asked for the list: it is told of changes.
const ASKED: &str = "blocklist.asked";

impl Blocklist {
    /// Tells the list (§3.2).
    pub(crate) fn list(&self, _: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let items = cx.all(&BLOCKED, u32::MAX)?;
        cx.set_value(ASKED, &[1])?;
        let jids: Vec<_> = items.into_iter().map(|(jid, _)| jid).collect();
        Ok(Reply::With(payload("blocklist", &jids)))
    }

    /// Blocks addresses (§3.3), and keeps what is said of them for the operator.
    pub(crate) fn block(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let items = items(request)?;
        if items.is_empty() {
            return Err(StanzaError::BAD_REQUEST);
        }
        let known = cx.all(&BLOCKED, u32::MAX)?;
        let is_new = |jid: &&Jid| known.iter().all(|(other, _)| other != jid.as_str());
        let new: Vec<_> = items.iter().map(|(jid, _)| jid).filter(is_new).collect();
        let count = known.len().saturating_add(new.len());
        if count > usize::try_from(self.0.items).unwrap_or(usize::MAX) {
            let why =
                "You have blocked as many addresses as you can. Block a whole domain instead.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
        if items.iter().any(|(jid, _)| cx.is_own(Some(jid.as_ref()))) {
            return Err(StanzaError::NOT_ALLOWED.with_text("You cannot block yourself."));
        }
        // Before they are blocked, as afterwards nothing leaves for them.
        for jid in &new {
            withdraw(jid, cx)?;
        }
        let since_ms = cx.now_ms();
        for jid in &new {
            cx.put(&BLOCKED, jid.as_str(), &Blocked { since_ms })?;
        }
        for (jid, report) in &items {
            if let Some(report) = report {
                report::keep(jid, *report, self.0.reports, cx)?;
            }
        }
        let jids: Vec<_> = items.iter().map(|(jid, _)| jid.as_str().to_owned()).collect();
        push("block", &jids, cx)?;
        Ok(Reply::Empty)
    }

    /// Hears addresses again (§3.4), or all (§3.5).
    pub(crate) fn unblock(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let items = items(request)?;
        let mut jids: Vec<_> = items.iter().map(|(jid, _)| jid.as_str().to_owned()).collect();
        let told = jids.clone();
        if jids.is_empty() {
            jids = cx.all(&BLOCKED, u32::MAX)?.into_iter().map(|(jid, _)| jid).collect();
        }
        let mut heard = Vec::new();
        for jid in &jids {
            if cx.get(&BLOCKED, jid.as_str())?.is_some() {
                cx.delete(&BLOCKED, jid.as_str())?;
                heard.push(jid);
            }
        }
        for jid in heard {
            show(JidRef::trusted(jid), cx)?;
        }
        push("unblock", &told, cx)?;
        Ok(Reply::Empty)
    }
}

/// Reads the items of a request, each with what is reported of it.
fn items<'a>(request: &Request<'a>) -> Result<Vec<(Jid, Option<Node<'a>>)>, StanzaError> {
    let mut items = Vec::new();
    for item in request.query()?.children().filter(|child| child.is(ns::BLOCKING, "item")) {
        let jid = item.attr("jid").ok_or(StanzaError::BAD_REQUEST)?;
        let jid = Jid::parse(&jid).map_err(|_| StanzaError::JID_MALFORMED)?;
        items.push((jid, item.child(ns::REPORTING, "report")));
    }
    Ok(items)
}

fn payload(name: &str, jids: &[String]) -> Element {
    let mut payload = Element::new(ns::BLOCKING, name);
    for jid in jids {
        payload.push_child(Element::new(ns::BLOCKING, "item").with_attr("jid", jid));
    }
    payload
}

/// Tells the sessions that have asked for the list what changed.
fn push(name: &str, jids: &[String], cx: &mut Context<'_, '_>) -> Done {
    let owner = cx.owner_jid();
    for session in cx.sessions()? {
        if session.values.iter().all(|(value, _)| value != ASKED) {
            continue;
        }
        let iq = Element::new(ns::CLIENT, "iq")
            .with_attr("from", owner.as_str())
            .with_attr("type", "set")
            .with_attr("id", &cx.random_name(12)?)
            .with_child(payload(name, jids));
        cx.deliver(&session.resource, &iq)?;
    }
    Ok(())
}

/// Returns the addresses that an item means, among those who may see the owner: contacts, or the one
/// device of a contact.
fn seers(item: JidRef<'_>, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
    if item.local().is_some() {
        let contact = cx.get(&ROSTER, item.bare_str())?;
        let sees = contact.is_some_and(|contact| contact.from);
        return Ok(if sees { vec![item.as_str().to_owned()] } else { Vec::new() });
    }
    let contacts = cx.all(&ROSTER, u32::MAX)?;
    let is_meant = |jid: &str| {
        let jid = JidRef::trusted(jid);
        // A device of a domain is none of its people.
        if item.is_bare() { jid.domain() == item.as_str() } else { jid.as_str() == item.bare_str() }
    };
    let seers = contacts.into_iter().filter(|(jid, contact)| contact.from && is_meant(jid));
    Ok(seers.map(|(jid, _)| jid).collect())
}

/// Says that the owner is gone, to those who saw it and are going to be blocked (§3.3).
fn withdraw(item: &Jid, cx: &mut Context<'_, '_>) -> Done {
    let seers = seers(item.as_ref(), cx)?;
    let seers = cx.without_blocked(seers.iter().map(String::as_str).collect())?;
    for session in cx.sessions()?.into_iter().filter(|session| session.available) {
        let from = cx.owner_jid().with_resource(&session.resource);
        let from = from.map_err(|_| StanzaError::INTERNAL)?;
        let gone = Element::new(ns::CLIENT, "presence")
            .with_attr("from", from.as_str())
            .with_attr("type", "unavailable");
        cx.send_each(&gone.to_xml(ns::CLIENT), &seers)?;
    }
    Ok(())
}

/// Shows the owner to those who may see it and are not blocked any more, and asks who of them is
/// there (§3.4).
fn show(item: JidRef<'_>, cx: &mut Context<'_, '_>) -> Done {
    let seers = seers(item, cx)?;
    let seers = cx.without_blocked(seers.iter().map(String::as_str).collect())?;
    let sessions: Vec<_> = cx.sessions()?.into_iter().filter(|session| session.available).collect();
    for presence in sessions.iter().filter_map(|session| session.presence.as_ref()) {
        cx.send_each(presence, &seers)?;
    }
    let contact = cx.get(&ROSTER, item.bare_str())?;
    if !sessions.is_empty() && contact.is_some_and(|contact| contact.to) {
        let bare = item.bare_str();
        let asked = cx.without_blocked(vec![bare])?;
        cx.send_each("<presence type='probe'/>", &asked)?;
    }
    Ok(())
}
