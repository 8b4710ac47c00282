//! Registrations: whom to wake, and how (XEP-0357 §5, §6, §8).

use std::fmt;

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::SessionRow;

use crate::Push;

/// The registrations, by the address of the service and the node there.
pub(crate) const SERVICES: Table<(String, String), Service> = Table::account("push.services");
/// The installation that logs in, between its login and its session; one row.
const LOGIN: Table<str, Agent> = Table::volatile_account("push.login");
/// The key of the row.
const LOGIN_KEY: &str = "login";
/// The value of a session with the keys of its registrations.
const OWN: &str = "push.own";
/// The value of a session with the name of its installation.
const AGENT: &str = "push.agent";

/// The most registrations that an account can have under any setting.
pub(crate) const SERVICES_MAX: u32 = 100;
/// The longest node.
const NODE_BYTES_MAX: usize = 1024;
/// The most bytes of what the service wants to be told with each notification.
const OPTIONS_BYTES_MAX: usize = 4096;
/// The most fields of that.
const OPTIONS_MAX: usize = 32;
/// What says what a form is (XEP-0068).
const FORM_TYPE: &str = "FORM_TYPE";

/// The address of a service and the node there.
pub(crate) type ServiceKey = (String, String);

/// A registration.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Service {
    /// What the service wants to be told with each notification: name and values. Secrets of the client.
    pub(crate) options: Vec<(String, Vec<String>)>,
    /// The installation of the client (XEP-0388); empty when it did not say.
    pub(crate) agent: String,
    /// When it was made or renewed, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// How often it failed since it last worked.
    pub(crate) failures: u32,
    /// Since when it fails.
    pub(crate) failing_since_ms: u64,
    /// Before this time it is not tried again.
    pub(crate) until_ms: u64,
}

record!(Service, 1);

/// The installation of a client.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Agent {
    resource: String,
    agent: String,
}

record!(Agent, 1);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options are secrets.
        f.debug_struct("Service").field("failures", &self.failures).finish_non_exhaustive()
    }
}

impl Push {
    /// A client names a service that can wake it (§5).
    pub(crate) fn enable(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (jid, node) = target(request)?;
        let (jid, node) = (jid.to_string(), node.unwrap_or_default());
        if jid == cx.owner().as_str() {
            return Err(StanzaError::NOT_ACCEPTABLE.with_text("An account wakes nobody itself."));
        }
        let session = cx.session()?;
        let service = Service {
            options: options(request)?,
            agent: text_of(&session, AGENT),
            since_ms: cx.now_ms(),
            failures: 0,
            failing_since_ms: 0,
            until_ms: 0,
        };
        let key = (jid, node);
        self.make_room(&key, &service, cx)?;
        cx.put(&SERVICES, &key, &service)?;
        crate::publish::forget(&key, cx)?;
        let mut own = own(&session);
        if !own.contains(&key) {
            own.push(key);
        }
        cx.set_value(OWN, &calypte::wire::encode(&own))?;
        Ok(Reply::Empty)
    }

    /// A client takes that back, of one node or of all (§6).
    pub(crate) fn disable(&self, request: &Request<'_>, cx: &mut Context<'_, '_>) -> IqResult {
        let (jid, node) = target(request)?;
        for (key, _) in cx.all(&SERVICES, SERVICES_MAX)? {
            if key.0 == jid.as_str() && node.as_ref().is_none_or(|node| *node == key.1) {
                remove(&key, cx)?;
            }
        }
        Ok(Reply::Empty)
    }

    /// A service says that it takes no more notifications (§8).
    pub(crate) fn ended(&self, stanza: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let Some(pubsub) = stanza.child(ns::PUBSUB, "pubsub") else { return Ok(Flow::Pass) };
        let is_none = |node: Node<'_>| {
            node.is(ns::PUBSUB, "affiliation")
                && node.attr("affiliation").as_deref() == Some("none")
                && node.attr("jid").is_none_or(|jid| *jid == *cx.owner().as_str())
        };
        let is_ended = stanza.kind == Kind::Message && pubsub.children().any(is_none);
        let (true, Some(from), Some(node)) = (is_ended, stanza.from, pubsub.attr("node")) else {
            return Ok(Flow::Pass);
        };
        let key = (from.as_str().to_owned(), node.into_owned());
        if cx.get(&SERVICES, &key)?.is_none() {
            return Ok(Flow::Pass);
        }
        remove(&key, cx)?;
        cx.count("ended", 1)?;
        Ok(Flow::Handled)
    }

    /// Makes room for a registration: of what the same installation had at the service, one is enough.
    fn make_room(
        &self,
        key: &ServiceKey,
        service: &Service,
        cx: &mut Context<'_, '_>,
    ) -> Result<(), StanzaError> {
        let mut rows = cx.all(&SERVICES, SERVICES_MAX)?;
        let sessions = cx.sessions()?;
        let is_idle = |key: &ServiceKey| !sessions.iter().any(|row| own(row).contains(key));
        let is_older = |(other, row): &(ServiceKey, Service)| {
            let is_same = !row.agent.is_empty() && row.agent == service.agent;
            other != key && other.0 == key.0 && is_same && is_idle(other)
        };
        for (older, _) in rows.iter().filter(|row| is_older(row)) {
            remove(older, cx)?;
        }
        rows.retain(|row| row.0 != *key && !is_older(row));
        if rows.len() < usize::try_from(self.0.services).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let idle = rows.iter().filter(|(key, _)| is_idle(key));
        let Some((oldest, _)) = idle.min_by_key(|(_, row)| row.since_ms) else {
            return Err(StanzaError::RESOURCE_CONSTRAINT);
        };
        remove(oldest, cx)
    }

    /// Notes which installation logs in.
    pub(crate) fn authenticated(&self, login: &Login<'_>, cx: &mut Context<'_, '_>) -> Done {
        let resource = cx.session_jid().and_then(JidRef::resource).unwrap_or("").to_owned();
        cx.delete(&LOGIN, LOGIN_KEY)?;
        let agent = login.facts().user_agent.clone();
        let Some(agent) = agent.filter(|agent| agent.len() <= NODE_BYTES_MAX) else {
            return Ok(());
        };
        // Nobody is kept out because there is no room: it is a session of no known installation.
        if cx.put(&LOGIN, LOGIN_KEY, &Agent { resource, agent }).is_err() {
            cx.count("forgotten", 1)?;
        }
        Ok(())
    }

    /// An installation is there again: its registrations are those of its session, before it renews them.
    pub(crate) fn opened(&self, cx: &mut Context<'_, '_>) -> Done {
        let Some(Agent { resource, agent }) = cx.get(&LOGIN, LOGIN_KEY)? else { return Ok(()) };
        cx.delete(&LOGIN, LOGIN_KEY)?;
        if cx.session_jid().and_then(JidRef::resource) != Some(&*resource) {
            return Ok(());
        }
        cx.set_value(AGENT, agent.as_bytes())?;
        let mut own = cx.all(&SERVICES, SERVICES_MAX)?;
        own.retain(|(_, service)| service.agent == agent);
        let own: Vec<_> = own.into_iter().map(|(key, _)| key).collect();
        for key in &own {
            crate::publish::forget(key, cx)?;
        }
        if own.is_empty() { Ok(()) } else { cx.set_value(OWN, &calypte::wire::encode(&own)) }
    }
}

/// Deletes a registration and what is known of it.
pub(crate) fn remove(key: &ServiceKey, cx: &mut Context<'_, '_>) -> Done {
    cx.delete(&SERVICES, key)?;
    crate::publish::forget(key, cx)
}

/// Returns the keys of the registrations of a session.
pub(crate) fn own(session: &SessionRow) -> Vec<ServiceKey> {
    let value = session.values.iter().find(|(name, _)| name == OWN);
    value.and_then(|(_, value)| calypte::wire::decode(value)).unwrap_or_default()
}

fn text_of(session: &SessionRow, name: &str) -> String {
    let value = session.values.iter().find(|(other, _)| other == name);
    value.and_then(|(_, value)| String::from_utf8(value.clone()).ok()).unwrap_or_default()
}

/// Reads which service is meant, and which node of it.
fn target(request: &Request<'_>) -> Result<(Jid, Option<String>), StanzaError> {
    let payload = request.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let jid = payload.attr("jid").ok_or(StanzaError::BAD_REQUEST)?;
    let jid = Jid::parse(&jid).map_err(|_| StanzaError::JID_MALFORMED)?;
    let node = payload.attr("node").map(std::borrow::Cow::into_owned);
    if node.as_ref().is_some_and(|node| node.len() > NODE_BYTES_MAX) {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("The node is too long."));
    }
    Ok((jid, node))
}

/// Reads what the service wants to be told with each notification.
fn options(request: &Request<'_>) -> Result<Vec<(String, Vec<String>)>, StanzaError> {
    let payload = request.payload().ok_or(StanzaError::BAD_REQUEST)?;
    let Some(form) = payload.child(ns::DATA_FORMS, "x") else { return Ok(Vec::new()) };
    let mut options = Vec::new();
    let mut bytes = 0_usize;
    let mut is_meant = false;
    for field in form.children().filter(|node| node.is(ns::DATA_FORMS, "field")) {
        let name = field.attr("var").ok_or(StanzaError::BAD_REQUEST)?.into_owned();
        let values = field.children().filter(|node| node.is(ns::DATA_FORMS, "value"));
        let values: Vec<_> = values.map(|value| value.text().into_owned()).collect();
        if name == FORM_TYPE {
            is_meant = values == [ns::PUBSUB_PUBLISH_OPTIONS];
            continue;
        }
        let more = values.iter().map(String::len).sum::<usize>().saturating_add(name.len());
        bytes = bytes.saturating_add(more);
        options.push((name, values));
    }
    if !is_meant {
        return Err(StanzaError::BAD_REQUEST.with_text("The form is not of publish-options."));
    }
    if bytes > OPTIONS_BYTES_MAX || options.len() > OPTIONS_MAX {
        return Err(StanzaError::NOT_ACCEPTABLE.with_text("The form is too large."));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let service = Service {
            options: vec![("s".to_owned(), vec!["v".to_owned()])],
            agent: "a".to_owned(),
            since_ms: 300,
            failures: 1,
            failing_since_ms: 2,
            until_ms: 3,
        };
        let bytes = b"\x01\x01\x01s\x01\x01v\x01a\xfb\x2c\x01\x01\x02\x03";
        assert_eq!(SERVICES.encode(&service), bytes);
        assert_eq!(SERVICES.encode_key(&("a".to_owned(), "b".to_owned())), b"a\0b");
        assert_eq!(format!("{service:?}"), "Service { failures: 1, .. }");
    }
}
