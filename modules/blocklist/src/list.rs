//! The list, and what changes when it does (XEP-0191 §3).

use std::collections::BTreeSet;

use calypte::prelude::*;
use calypte::wire::SessionRow;
use tables::{BLOCKED, Blocked, Contact, ROSTER};

use crate::{Blocklist, report};

/// The value of a session that has asked for the list: it is told of changes.
const ASKED: &str = "blocklist.asked";
/// The value in which module `presence` keeps to whom else a session showed itself, with NUL between
/// the addresses.
const DIRECTED: &str = "presence.directed";

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
        let known: BTreeSet<_> = known.iter().map(|(jid, _)| jid.as_str()).collect();
        let new = items.iter().map(|(jid, _)| jid.as_ref());
        let new: Vec<_> = new.filter(|jid| !known.contains(jid.as_str())).collect();
        let count = known.len().saturating_add(new.len());
        if count > usize::try_from(self.0.items).unwrap_or(usize::MAX) {
            let why =
                "You have blocked as many addresses as you can. Block a whole domain instead.";
            return Err(StanzaError::RESOURCE_CONSTRAINT.with_text(why));
        }
        if items.iter().any(|(jid, _)| cx.is_own(Some(jid.as_ref()))) {
            return Err(StanzaError::NOT_ALLOWED.with_text("You cannot block yourself."));
        }
        let reports: Vec<_> =
            items.iter().filter_map(|(jid, report)| Some((jid, (*report)?))).collect();
        if reports.len() > report::REQUEST_MAX {
            let why = "Report fewer addresses at a time.";
            return Err(StanzaError::POLICY_VIOLATION.with_text(why));
        }
        // Before they are blocked, as afterwards nothing leaves for them.
        withdraw(&new, cx)?;
        let since_ms = cx.now_ms();
        for jid in &new {
            cx.put(&BLOCKED, jid.as_str(), &Blocked { since_ms })?;
        }
        report::keep(&reports, self.0.reports, cx)?;
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
                heard.push(JidRef::trusted(jid));
            }
        }
        show(&heard, cx)?;
        push("unblock", &told, cx)?;
        Ok(Reply::Empty)
    }
}

/// Reads the items of a request, each with what is reported of it. One that is there again says
/// nothing.
fn items<'a>(request: &Request<'a>) -> Result<Vec<(Jid, Option<Node<'a>>)>, StanzaError> {
    let (mut items, mut seen) = (Vec::new(), BTreeSet::new());
    for item in request.query()?.children().filter(|child| child.is(ns::BLOCKING, "item")) {
        let jid = item.attr("jid").ok_or(StanzaError::BAD_REQUEST)?;
        let jid = Jid::parse(&jid).map_err(|_| StanzaError::JID_MALFORMED)?;
        if seen.insert(jid.as_str().to_owned()) {
            items.push((jid, item.child(ns::REPORTING, "report")));
        }
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

/// Returns the contacts that the items mean, or the one device of a contact. Each is there once.
fn meant(
    items: &[JidRef<'_>],
    cx: &mut Context<'_, '_>,
) -> Result<Vec<(String, Contact)>, StanzaError> {
    let whole: BTreeSet<_> =
        items.iter().filter(|item| item.is_bare()).map(|item| item.as_str()).collect();
    let domains: BTreeSet<_> =
        whole.iter().copied().filter(|item| JidRef::trusted(item).local().is_none()).collect();
    let mut meant = Vec::new();
    if !domains.is_empty() {
        meant = cx.all(&ROSTER, u32::MAX)?;
        meant.retain(|(jid, _)| domains.contains(JidRef::trusted(jid).domain()));
    }
    for item in items.iter().filter(|item| !domains.contains(item.domain())) {
        let is_part = !item.is_bare() && whole.contains(item.bare_str());
        if !is_part && let Some(contact) = cx.get(&ROSTER, item.bare_str())? {
            meant.push((item.as_str().to_owned(), contact));
        }
    }
    Ok(meant)
}

/// Says that the owner is gone, to those who saw it and are going to be blocked (§3.3): contacts, and
/// who was shown a session by itself, as rooms are.
fn withdraw(items: &[JidRef<'_>], cx: &mut Context<'_, '_>) -> Done {
    let meant = meant(items, cx)?;
    let seers = meant.iter().filter(|(_, contact)| contact.from);
    let seers = cx.without_blocked(seers.map(|(jid, _)| jid.as_str()).collect())?;
    let seers: BTreeSet<_> = seers.into_iter().collect();
    let items: BTreeSet<_> = items.iter().map(|item| item.as_str()).collect();
    for session in cx.sessions()? {
        let directed = directed(&session).filter(|jid| is_among(*jid, &items, cx));
        let directed = cx.without_blocked(directed.map(|jid| jid.as_str()).collect())?;
        let mut told: BTreeSet<_> = directed.into_iter().collect();
        if session.available {
            told.retain(|jid| !seers.contains(JidRef::trusted(jid).bare_str()));
            told.extend(&seers);
        }
        let from = cx.owner_jid().with_resource(&session.resource);
        let from = from.map_err(|_| StanzaError::INTERNAL)?;
        let gone = Element::new(ns::CLIENT, "presence")
            .with_attr("from", from.as_str())
            .with_attr("type", "unavailable");
        let told: Vec<_> = told.into_iter().collect();
        cx.send_each(&gone.to_xml(ns::CLIENT), &told)?;
    }
    Ok(())
}

/// Returns to whom a session showed itself besides its contacts.
fn directed(session: &SessionRow) -> impl Iterator<Item = JidRef<'_>> {
    let value = session.values.iter().find(|(name, _)| name == DIRECTED);
    let text = value.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default();
    text.split('\0').filter(|jid| !jid.is_empty()).map(JidRef::trusted)
}

/// Tells whether the items mean somebody (§3.1).
fn is_among(jid: JidRef<'_>, items: &BTreeSet<&str>, cx: &Context<'_, '_>) -> bool {
    if cx.is_own(Some(jid)) || jid.as_str() == cx.domain() {
        return false;
    }
    let at_domain = jid.resource().map(|resource| format!("{}/{resource}", jid.domain()));
    let forms = [Some(jid.as_str()), Some(jid.bare_str()), at_domain.as_deref()];
    forms.into_iter().flatten().chain([jid.domain()]).any(|form| items.contains(form))
}

/// Shows the owner to those who may see it and are not blocked any more, and asks who of them is
/// there (§3.4).
fn show(items: &[JidRef<'_>], cx: &mut Context<'_, '_>) -> Done {
    let sessions: Vec<_> = cx.sessions()?.into_iter().filter(|session| session.available).collect();
    if sessions.is_empty() {
        return Ok(());
    }
    let meant = meant(items, cx)?;
    let seers = meant.iter().filter(|(_, contact)| contact.from);
    let seers = cx.without_blocked(seers.map(|(jid, _)| jid.as_str()).collect())?;
    for presence in sessions.iter().filter_map(|session| session.presence.as_ref()) {
        cx.send_each(presence, &seers)?;
    }
    let seen = meant.iter().filter(|(_, contact)| contact.to);
    let seen: BTreeSet<_> = seen.map(|(jid, _)| JidRef::trusted(jid).bare_str()).collect();
    let asked = cx.without_blocked(seen.into_iter().collect())?;
    cx.send_each("<presence type='probe'/>", &asked)
}
