//! Telling of changes (XEP-0060 §12, XEP-0163 §4.3). One text goes to all who are told the same.

use std::collections::{BTreeMap, BTreeSet};

use calypte::prelude::*;
use tables::{PEP_NODES, PepLast, PepNode, ROSTER};

use crate::rows::{self, SUBSCRIBERS};
use crate::{Config, access, fields, seen, usage};

/// The most bytes of last items that a device is sent when it appears.
const GREETING_BYTES_MAX: usize = 256 << 10;

/// The most bytes of contents that somebody is sent who does not see the account's presence. Of what is
/// larger it hears the ids, and can ask for it.
const FAR_BYTES_MAX: usize = 16 << 10;

/// Who is told.
#[derive(Debug, Default)]
struct Told {
    /// Those who see the account's presence: they may know from which device it comes.
    near: Vec<String>,
    /// Others.
    far: Vec<String>,
}

/// Tells of items that were published.
pub(crate) fn published(
    name: &str,
    node: &PepNode,
    items: &[(String, String)],
    cx: &mut Context<'_, '_>,
) -> Done {
    let (mut list, mut ids) = (items_of(name), items_of(name));
    for (id, payload) in items {
        list.push_child(item(node, id, payload));
        ids.push_child(item(node, id, ""));
    }
    let bytes: usize = items.iter().map(|(_, payload)| payload.len()).sum();
    let far = if bytes > FAR_BYTES_MAX { ids } else { list.clone() };
    tell_each(name, node, list, far, cx)
}

/// Tells of items that were taken back.
pub(crate) fn retracted(
    name: &str,
    node: &PepNode,
    ids: &[String],
    cx: &mut Context<'_, '_>,
) -> Done {
    let mut list = items_of(name);
    for id in ids {
        list.push_child(Element::new(ns::PUBSUB_EVENT, "retract").with_attr("id", id));
    }
    tell(name, node, list, cx)
}

/// Tells that all items are gone.
pub(crate) fn purged(name: &str, node: &PepNode, cx: &mut Context<'_, '_>) -> Done {
    if !node.notify_retract {
        return Ok(());
    }
    let purge = Element::new(ns::PUBSUB_EVENT, "purge").with_attr("node", name);
    tell(name, node, purge, cx)
}

/// Tells that a node is gone, and where to look instead.
pub(crate) fn deleted(
    name: &str,
    node: &PepNode,
    redirect: Option<Element>,
    cx: &mut Context<'_, '_>,
) -> Done {
    if !node.notify_delete {
        return Ok(());
    }
    let mut delete = Element::new(ns::PUBSUB_EVENT, "delete").with_attr("node", name);
    if let Some(redirect) = redirect {
        delete.push_child(redirect);
    }
    tell(name, node, delete, cx)
}

/// Tells how a node is configured now (§8.2.5).
pub(crate) fn configured(
    name: &str,
    node: &PepNode,
    config: &Config,
    cx: &mut Context<'_, '_>,
) -> Done {
    if !node.notify_config {
        return Ok(());
    }
    let mut configuration = Element::new(ns::PUBSUB_EVENT, "configuration").with_attr("node", name);
    if node.payloads {
        configuration.push_child(fields::form(node, config, "result"));
    }
    tell(name, node, configuration, cx)
}

/// Sends a device that appears the last item of each node that it wants to hear of and may see
/// (XEP-0163 §4.3.4).
pub(crate) fn greet(jid: JidRef<'_>, wanted: &[String], cx: &mut Context<'_, '_>) -> Done {
    if cx.without_blocked(vec![jid.as_str()])?.is_empty() {
        return Ok(());
    }
    let is_own = cx.is_own(Some(jid));
    let contact = cx.get(&ROSTER, jid.bare_str())?;
    if !is_own && !contact.as_ref().is_some_and(|contact| contact.from) {
        return Ok(());
    }
    if !is_own && !usage::may_greet(jid.bare_str(), cx)? {
        return cx.count("missed", 1);
    }
    let (mut items, mut bytes) = (0_usize, 0_usize);
    for name in wanted {
        let node = cx.get(&PEP_NODES, name)?;
        let Some(node) = node.filter(|node| node.send_last == PepLast::OnPresence) else {
            continue;
        };
        let bare = jid.bare_str();
        if !is_own && access::refusal(name, &node, bare, contact.as_ref(), cx)?.is_some() {
            continue;
        }
        let sent = send_last(name, &node, jid.as_str(), cx)?;
        (items, bytes) = (items.saturating_add(usize::from(sent > 0)), bytes.saturating_add(sent));
        if bytes > GREETING_BYTES_MAX {
            break;
        }
    }
    if is_own || items == 0 { Ok(()) } else { usage::greeted(jid.bare_str(), (items, bytes), cx) }
}

/// Sends the last item of a node to one address; returns its bytes.
pub(crate) fn send_last(
    name: &str,
    node: &PepNode,
    to: &str,
    cx: &mut Context<'_, '_>,
) -> Result<usize, StanzaError> {
    if !node.notify {
        return Ok(0);
    }
    let Some((id, last)) = rows::last_item(name, cx)? else { return Ok(0) };
    let list = items_of(name).with_child(item(node, &id, &last.payload));
    let delay = Element::new(ns::DELAY, "delay");
    let delay = delay.with_attr("stamp", &xep::delay::date_time(last.stamp_ms));
    let message = message(list, cx)?.with_child(delay);
    cx.send_each(&message.to_xml(ns::CLIENT), &[to])?;
    Ok(last.payload.len())
}

fn items_of(name: &str) -> Element {
    Element::new(ns::PUBSUB_EVENT, "items").with_attr("node", name)
}

fn item(node: &PepNode, id: &str, payload: &str) -> Element {
    let item = Element::new(ns::PUBSUB_EVENT, "item").with_attr("id", id);
    if node.payloads && !payload.is_empty() { item.with_raw(payload.to_owned()) } else { item }
}

fn message(content: Element, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let event = Element::new(ns::PUBSUB_EVENT, "event").with_child(content);
    let id = cx.random_name(12)?;
    let message = Element::new(ns::CLIENT, "message").with_attr("type", "headline");
    Ok(message.with_attr("id", &id).with_child(event))
}

/// Sends an event to all who are to hear of it.
fn tell(name: &str, node: &PepNode, content: Element, cx: &mut Context<'_, '_>) -> Done {
    tell_each(name, node, content.clone(), content, cx)
}

/// Sends one event to who sees the account's presence, and one to others.
fn tell_each(
    name: &str,
    node: &PepNode,
    near: Element,
    far: Element,
    cx: &mut Context<'_, '_>,
) -> Done {
    if !node.notify {
        return Ok(());
    }
    let told = told(name, node, cx)?;
    let count = told.near.len().saturating_add(told.far.len());
    if count == 0 {
        return Ok(());
    }
    cx.count("told", u64::try_from(count).unwrap_or(0))?;
    if !told.far.is_empty() {
        send(&message(far, cx)?, &told.far, cx)?;
    }
    if told.near.is_empty() {
        return Ok(());
    }
    let message = message(near, cx)?;
    send(&with_device(message, cx)?, &told.near, cx)
}

fn send(message: &Element, to: &[String], cx: &mut Context<'_, '_>) -> Done {
    let to = cx.without_blocked(to.iter().map(String::as_str).collect())?;
    if to.is_empty() {
        return Ok(());
    }
    cx.send_each(&message.to_xml(ns::CLIENT), &to)
}

/// Names the device that publishes (XEP-0163 §4.3.1), if it is shown anyway.
fn with_device(message: Element, cx: &mut Context<'_, '_>) -> Result<Element, StanzaError> {
    let Some(device) = cx.session_jid().map(|jid| jid.as_str().to_owned()) else {
        return Ok(message);
    };
    if !cx.session().is_ok_and(|session| session.available) {
        return Ok(message);
    }
    let address = Element::new(ns::ADDRESSES, "address")
        .with_attr("type", "replyto")
        .with_attr("jid", &device);
    Ok(message.with_child(Element::new(ns::ADDRESSES, "addresses").with_child(address)))
}

/// Finds out who is to hear of a node.
fn told(name: &str, node: &PepNode, cx: &mut Context<'_, '_>) -> Result<Told, StanzaError> {
    let (own, mut interested) = seen::interested(name, cx)?;
    let mut told = Told { near: own, far: Vec::new() };
    let subscribers = rows::of_node(&SUBSCRIBERS, name, cx)?;
    let subscribers = subscribers.into_iter().map(|(jid, _)| jid);
    let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for jid in subscribers {
        let bare = JidRef::trusted(&jid).bare_str().to_owned();
        interested.entry(bare.clone()).or_default();
        asked.entry(bare).or_default().insert(jid);
    }
    for (bare, mut devices) in interested {
        let asked = asked.remove(&bare).unwrap_or_default();
        if devices.is_empty() && asked.is_empty() {
            continue;
        }
        let contact = cx.get(&ROSTER, bare.as_str())?;
        let is_near = contact.as_ref().is_some_and(|contact| contact.from);
        if access::refusal(name, node, &bare, contact.as_ref(), cx)?.is_some() {
            continue;
        }
        if !is_near {
            // Who does not see the account's presence has to ask to be told.
            devices.clear();
        }
        // Who asked by the bare address and has devices that want it hears it there (§4.3.2).
        let is_reached = !devices.is_empty();
        for jid in asked {
            let is_told = is_reached && JidRef::trusted(&jid).is_bare();
            if !is_told && !devices.contains(&jid) {
                devices.push(jid);
            }
        }
        if is_near { told.near.append(&mut devices) } else { told.far.append(&mut devices) }
    }
    Ok(told)
}
