//! Who asked to be told of a node (XEP-0060 §6.1, §6.2, §5.6, §8.8). Contacts need not: they are told of
//! what their devices want.

use calypte::prelude::*;
use tables::{PEP_NODES, PepLast, ROSTER};

use crate::errors::{fault, unsupported};
use crate::rows::{self, SUBSCRIBERS, Subscriber};
use crate::{access, checked_name, events, node_name};

/// The most that ask to be told of a node.
const SUBSCRIBERS_MAX: usize = 1000;
/// The most addresses of one of them: itself, and devices.
const ADDRESSES_MAX: usize = 16;

/// Somebody asks to be told (§6.1).
pub(crate) fn subscribe(
    request: &Request<'_>,
    action: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> IqResult {
    let jid = subscriber(request, action, cx)
        .ok_or_else(|| fault(StanzaError::BAD_REQUEST, "invalid-jid"))?;
    if request.query()?.has_child(ns::PUBSUB, "options") {
        return Err(unsupported("subscription-options"));
    }
    let name = node_name(action)?;
    let node = rows::node(&name, cx)?;
    access::admit(&name, &node, Some(jid.as_ref()), cx)?;
    let key = (name.clone(), jid.as_str().to_owned());
    if cx.get(&SUBSCRIBERS, &key)?.is_none() {
        add(&key, cx)?;
        if node.send_last != PepLast::Never {
            let to =
                if jid.is_bare() { request.from.unwrap_or(jid.as_ref()) } else { jid.as_ref() };
            events::send_last(&name, &node, to.as_str(), cx)?;
        }
    }
    let subscription = entry(ns::PUBSUB, &jid).with_attr("node", &name);
    Ok(Reply::With(Element::new(ns::PUBSUB, "pubsub").with_child(subscription)))
}

/// Somebody has heard enough (§6.2).
pub(crate) fn unsubscribe(
    request: &Request<'_>,
    action: Node<'_>,
    cx: &mut Context<'_, '_>,
) -> IqResult {
    let jid = subscriber(request, action, cx).ok_or(StanzaError::FORBIDDEN)?;
    let name = node_name(action)?;
    rows::node(&name, cx)?;
    let key = (name, jid.as_str().to_owned());
    if cx.get(&SUBSCRIBERS, &key)?.is_none() {
        let error = StanzaError::new(ErrorKind::Cancel, Condition::UnexpectedRequest);
        return Err(fault(error, "not-subscribed"));
    }
    cx.delete(&SUBSCRIBERS, &key)?;
    Ok(Reply::Empty)
}

/// Says of what the asker is told because it asked (§5.6).
pub(crate) fn own(request: &Request<'_>, action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let asker = request.from.unwrap_or_else(|| cx.owner()).bare_str().to_owned();
    let wanted = action.attr("node");
    let mut list = Element::new(ns::PUBSUB, "subscriptions");
    if let Some(node) = &wanted {
        list.push_attr("node", node);
    }
    let names = match &wanted {
        Some(wanted) => vec![checked_name(wanted.to_string())?],
        None => cx.all(&PEP_NODES, u32::MAX)?.into_iter().map(|(name, _)| name).collect(),
    };
    for name in names {
        for jid in rows::addresses(&name, &asker, cx)? {
            let jid = Jid::parse(&jid).map_err(|_| StanzaError::INTERNAL)?;
            list.push_child(entry(ns::PUBSUB, &jid).with_attr("node", &name));
        }
    }
    Ok(Reply::With(Element::new(ns::PUBSUB, "pubsub").with_child(list)))
}

/// Tells the owner who asked to be told of a node (§8.8.1).
pub(crate) fn of_node(action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let name = node_name(action)?;
    rows::node(&name, cx)?;
    let mut list = Element::new(ns::PUBSUB_OWNER, "subscriptions").with_attr("node", &name);
    for (jid, _) in rows::of_node(&SUBSCRIBERS, &name, cx)? {
        let jid = Jid::parse(&jid).map_err(|_| StanzaError::INTERNAL)?;
        list.push_child(entry(ns::PUBSUB_OWNER, &jid));
    }
    Ok(Reply::With(Element::new(ns::PUBSUB_OWNER, "pubsub").with_child(list)))
}

/// The owner says who is told and who is not (§8.8.2). Nobody is told who did not ask for it, now or by
/// asking for the owner's presence.
pub(crate) fn set(action: Node<'_>, cx: &mut Context<'_, '_>) -> IqResult {
    let name = node_name(action)?;
    cx.get(&PEP_NODES, &name)?.ok_or(StanzaError::ITEM_NOT_FOUND)?;
    for entry in action.children().filter(|child| child.is(ns::PUBSUB_OWNER, "subscription")) {
        let jid = entry.attr("jid").ok_or(StanzaError::BAD_REQUEST)?;
        let jid = Jid::parse(&jid).map_err(|_| StanzaError::JID_MALFORMED)?;
        let key = (name.clone(), jid.as_str().to_owned());
        match entry.attr("subscription").as_deref() {
            Some("none") => cx.delete(&SUBSCRIBERS, &key)?,
            Some("subscribed") if cx.get(&SUBSCRIBERS, &key)?.is_some() => {}
            Some("subscribed") if agrees(&jid, cx)? => add(&key, cx)?,
            Some("subscribed") => {
                let why = "Only contacts that see your presence can be subscribed by you.";
                return Err(StanzaError::NOT_ACCEPTABLE.with_text(why));
            }
            _ => return Err(StanzaError::NOT_ACCEPTABLE),
        }
    }
    Ok(Reply::Empty)
}

/// Tells whether somebody wants to hear of the account anyway.
fn agrees(jid: &Jid, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let contact = cx.get(&ROSTER, jid.as_ref().bare_str())?;
    Ok(cx.is_own(Some(jid.as_ref())) || contact.is_some_and(|contact| contact.from))
}

/// Notes who is to be told, if there is room.
fn add(key: &(String, String), cx: &mut Context<'_, '_>) -> Done {
    let (name, jid) = key;
    let bare = JidRef::trusted(jid).bare_str();
    let known = rows::of_node(&SUBSCRIBERS, name, cx)?;
    let same = known.iter().filter(|(other, _)| JidRef::trusted(other).bare_str() == bare).count();
    if known.len() >= SUBSCRIBERS_MAX || same >= ADDRESSES_MAX {
        return Err(fault(StanzaError::POLICY_VIOLATION, "too-many-subscriptions"));
    }
    let since_ms = cx.now_ms();
    cx.put(&SUBSCRIBERS, key, &Subscriber { since_ms })
}

/// Returns the address that is to be told, if it is the asker's (§6.1.3.1).
fn subscriber(request: &Request<'_>, action: Node<'_>, cx: &Context<'_, '_>) -> Option<Jid> {
    let jid = Jid::parse(&action.attr("jid")?).ok()?;
    let asker = request.from.unwrap_or_else(|| cx.owner());
    let is_same = jid.as_str() == asker.as_str();
    (is_same || (jid.is_bare() && jid.as_str() == asker.bare_str())).then_some(jid)
}

fn entry(namespace: &str, jid: &Jid) -> Element {
    Element::new(namespace, "subscription")
        .with_attr("jid", jid.as_str())
        .with_attr("subscription", "subscribed")
}
