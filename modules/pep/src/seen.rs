//! Which devices are there, and what each wants to hear of (XEP-0163 §4.2, §4.3).

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use calypte::notice::RosterChanged;
use calypte::prelude::*;
use calypte::wire::{Range, decode, encode};
use tables::ROSTER;

use crate::caps::{self, Shown};
use crate::{Pep, events};

/// The devices of the account and of its contacts that have shown what they are, by bare address.
const SEEN: Table<str, Devices> = Table::volatile_account("pep.seen");
/// What hashes stand for, for all accounts. A row is a function of its key, so it does not matter who
/// wrote it last.
const CAPS: Table<str, Known> = Table::domain("pep.caps");
/// How many rows of the table a shard has counted; one row.
const COUNTED: Table<str, Counted> = Table::volatile_domain("pep.counted");
/// The key of the row.
const COUNTED_KEY: &str = "counted";
/// The most devices of somebody.
const DEVICES_MAX: usize = 16;
/// The most hashes that are kept for all. What more there is, is kept for each device.
const CAPS_MAX: u32 = 10_000;
/// How long a hash is kept that nobody shows.
const CAPS_DAYS: u64 = 60;
/// After how many days it is noted again that somebody shows it.
const NOTED_DAYS: u64 = 7;
const DAY_MS: u64 = 86_400_000;
/// The timer that forgets.
const FORGET: &str = "forget";

/// The devices of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Devices(Vec<Device>);

record!(Devices, 1);

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Device {
    resource: String,
    /// The hash that it showed last.
    key: String,
    /// What it wants, where the hash does not say that for all.
    own: Option<Vec<String>>,
}

/// What a hash stands for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Known {
    /// The nodes that a device wants to hear of.
    nodes: Vec<String>,
    /// The day on which it was noted last that somebody shows it, counted from 1970.
    day: u64,
}

record!(Known, 1);

/// How many rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Counted(u32);

record!(Counted, 1);

/// What hashes stand for, read once in a call.
#[derive(Debug, Default)]
pub(crate) struct Wishes(BTreeMap<String, Option<Vec<String>>>);

impl Wishes {
    /// Returns what a device wants; `None` when that is not known.
    fn of(
        &mut self,
        device: &Device,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<Vec<String>>, StanzaError> {
        if device.own.is_some() {
            return Ok(device.own.clone());
        }
        self.of_key(&device.key, cx).map(|nodes| nodes.map(<[_]>::to_vec))
    }

    fn of_key(
        &mut self,
        key: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<&[String]>, StanzaError> {
        if !self.0.contains_key(key) {
            let nodes = cx.get(&CAPS, key)?.map(|known| known.nodes);
            self.0.insert(key.to_owned(), nodes);
        }
        Ok(self.0.get(key).and_then(Option::as_deref))
    }

    fn wants(
        &mut self,
        device: &Device,
        node: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<bool, StanzaError> {
        let has = |nodes: &[String]| nodes.iter().any(|wanted| wanted == node);
        if let Some(own) = &device.own {
            return Ok(has(own));
        }
        Ok(self.of_key(&device.key, cx)?.is_some_and(has))
    }
}

impl Pep {
    /// A device of the account or of a contact comes, changes or goes.
    pub(crate) fn appeared(
        &self,
        presence: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        // Where there is no room to note it, the presence arrives all the same.
        if note(presence, cx).is_err() {
            cx.count("missed", 1)?;
        }
        Ok(Flow::Pass)
    }

    /// After a restart nothing is known of the devices that come back.
    pub(crate) fn resumed(&self, cx: &mut Context<'_, '_>) -> Done {
        let session = cx.session()?;
        let Some(presence) = session.presence.filter(|_| session.available) else { return Ok(()) };
        let read = Flat::parse_ours(&presence, ns::CLIENT).map_err(|_| StanzaError::INTERNAL)?;
        let Some(shown) = caps::shown(read.root()) else { return Ok(()) };
        let own = cx.owner_jid();
        if device(own.as_str(), &session.resource, cx)?.is_some() {
            return Ok(());
        }
        let is_known = cx.get(&CAPS, &shown.key)?.is_some();
        let device = Device { resource: session.resource, key: shown.key.clone(), own: None };
        let jid = own.with_resource(&device.resource).map_err(|_| StanzaError::INTERNAL)?;
        put(own.as_str(), device, cx)?;
        if is_known { Ok(()) } else { ask(jid.as_ref(), &shown, cx) }
    }

    /// A device says what its hash stands for, or nothing.
    pub(crate) fn told_caps(
        &self,
        cookie: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let Some((jid, shown)) = decode::<(String, Shown)>(cookie) else { return Ok(()) };
        let jid = JidRef::trusted(&jid);
        let Some(resource) = jid.resource() else { return Ok(()) };
        // It may have gone or changed meanwhile.
        let known = device(jid.bare_str(), resource, cx)?;
        let Some(mut device) = known.filter(|device| device.key == shown.key) else {
            return Ok(());
        };
        let query = answer.child(ns::DISCO_INFO, "query").filter(|_| !answer.is_error());
        let Some(query) = query else {
            device.own = Some(Vec::new());
            return put(jid.bare_str(), device, cx);
        };
        let learnt = caps::learn(&shown.key, query);
        if learnt.is_proved && keep(&shown.key, &learnt.nodes, cx)? {
            device.own = None;
        } else {
            device.own = Some(learnt.nodes.clone());
        }
        put(jid.bare_str(), device, cx)?;
        events::greet(jid, &learnt.nodes, cx)
    }

    /// A contact that may see the account now is told what it could not see before.
    pub(crate) fn contact_changed(
        &self,
        notified: &Notified<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let RosterChanged { contact, from, to } = notified.read()?;
        if !from.1 && !to.1 {
            return cx.delete(&SEEN, &contact);
        }
        if from != (false, true) {
            return Ok(());
        }
        let mut wishes = Wishes::default();
        for device in cx.get(&SEEN, &contact)?.unwrap_or_default().0 {
            let jid = format!("{contact}/{}", device.resource);
            if let Some(nodes) = wishes.of(&device, cx)? {
                events::greet(JidRef::trusted(&jid), &nodes, cx)?;
            }
        }
        Ok(())
    }

    /// The server runs: what nobody shows any more is forgotten now and each day.
    pub(crate) fn started(&self, cx: &mut Context<'_, '_>) -> Done {
        self.forget_caps(FORGET, cx)
    }

    /// Forgets hashes that nobody has shown for long.
    pub(crate) fn forget_caps(&self, _: &str, cx: &mut Context<'_, '_>) -> Done {
        let today = cx.now_ms() / DAY_MS;
        for (key, known) in cx.all(&CAPS, CAPS_MAX.saturating_mul(2))? {
            if known.day.saturating_add(CAPS_DAYS) < today {
                cx.delete(&CAPS, &key)?;
            }
        }
        cx.delete(&COUNTED, COUNTED_KEY)?;
        cx.wake_at(cx.now_ms().saturating_add(DAY_MS), FORGET)
    }
}

/// Addresses of devices, by the bare address of who they belong to.
pub(crate) type Contacts = BTreeMap<String, Vec<String>>;

/// Returns the devices that want to hear of a node: of the account, and of each contact.
pub(crate) fn interested(
    node: &str,
    cx: &mut Context<'_, '_>,
) -> Result<(Vec<String>, Contacts), StanzaError> {
    let mut wishes = Wishes::default();
    let mut contacts = Contacts::new();
    let own = cx.owner_jid();
    for (bare, devices) in cx.all(&SEEN, u32::MAX)? {
        let mut wanting = Vec::new();
        for device in devices.0 {
            if wishes.wants(&device, node, cx)? {
                wanting.push(format!("{bare}/{}", device.resource));
            }
        }
        contacts.insert(bare, wanting);
    }
    let mut own = contacts.remove(own.as_str()).unwrap_or_default();
    let sessions = cx.sessions()?;
    let is_there = |jid: &String| {
        let resource = JidRef::trusted(jid).resource();
        sessions.iter().any(|row| row.available && Some(row.resource.as_str()) == resource)
    };
    own.retain(is_there);
    Ok((own, contacts))
}

/// Notes what a presence says of a device.
fn note(presence: &Passing<'_>, cx: &mut Context<'_, '_>) -> Done {
    let Some(from) = presence.from.filter(|_| presence.to.is_some_and(JidRef::is_bare)) else {
        return Ok(());
    };
    match presence.presence_kind() {
        Some(PresenceKind::Available) if cx.is_own(Some(from)) || is_contact(from, cx)? => {
            match (caps::shown(presence.content.root()), from.resource()) {
                (Some(shown), Some(resource)) => see(from, resource, &shown, cx),
                _ => Ok(()),
            }
        }
        Some(PresenceKind::Unavailable) => forget(from, cx),
        _ => Ok(()),
    }
}

/// A device that may be told is there with a hash.
fn see(from: JidRef<'_>, resource: &str, shown: &Shown, cx: &mut Context<'_, '_>) -> Done {
    let before = device(from.bare_str(), resource, cx)?;
    if before.as_ref().is_some_and(|device| device.key == shown.key) {
        return Ok(());
    }
    let known = cx.get(&CAPS, &shown.key)?;
    let new = Device { resource: resource.to_owned(), key: shown.key.clone(), own: None };
    put(from.bare_str(), new, cx)?;
    let Some(mut known) = known else { return ask(from, shown, cx) };
    let today = cx.now_ms() / DAY_MS;
    if known.day.saturating_add(NOTED_DAYS) <= today {
        known.day = today;
        cx.put(&CAPS, &shown.key, &known)?;
    }
    if let Some(before) = before {
        let heard = Wishes::default().of(&before, cx)?.unwrap_or_default();
        known.nodes.retain(|node| !heard.contains(node));
    }
    events::greet(from, &known.nodes, cx)
}

/// A device is gone; with a bare address all of somebody are.
fn forget(from: JidRef<'_>, cx: &mut Context<'_, '_>) -> Done {
    let Some(mut devices) = cx.get(&SEEN, from.bare_str())? else { return Ok(()) };
    match from.resource() {
        Some(resource) => devices.0.retain(|device| device.resource != resource),
        None => devices.0.clear(),
    }
    if devices.0.is_empty() {
        return cx.delete(&SEEN, from.bare_str());
    }
    cx.put(&SEEN, from.bare_str(), &devices)
}

fn device(
    bare: &str,
    resource: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<Device>, StanzaError> {
    let devices = cx.get(&SEEN, bare)?.unwrap_or_default().0;
    Ok(devices.into_iter().find(|device| device.resource == resource))
}

/// Notes a device. Of more than somebody can have, the ones that came first are forgotten.
fn put(bare: &str, device: Device, cx: &mut Context<'_, '_>) -> Done {
    let mut devices = cx.get(&SEEN, bare)?.unwrap_or_default();
    devices.0.retain(|known| known.resource != device.resource);
    if devices.0.len() >= DEVICES_MAX {
        devices.0.remove(0);
    }
    devices.0.push(device);
    cx.put(&SEEN, bare, &devices)
}

/// Asks a device what its hash stands for.
fn ask(jid: JidRef<'_>, shown: &Shown, cx: &mut Context<'_, '_>) -> Done {
    let query = Element::new(ns::DISCO_INFO, "query").with_attr("node", &shown.node);
    let iq = Element::new(ns::CLIENT, "iq").with_attr("to", jid.as_str()).with_attr("type", "get");
    cx.count("asked", 1)?;
    cx.request(&iq.with_child(query), &encode(&(jid.as_str().to_owned(), shown.clone())))
}

/// Keeps what a hash stands for, if there is room for one more; says whether it is kept.
fn keep(key: &str, nodes: &[String], cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    if cx.get(&CAPS, key)?.is_some() {
        return Ok(true);
    }
    let count = match cx.get(&COUNTED, COUNTED_KEY)? {
        Some(Counted(count)) => count,
        None => {
            let all = Range { to: None, limit: CAPS_MAX, reverse: false };
            u32::try_from(cx.scan(&CAPS, &[], &all)?.len()).unwrap_or(CAPS_MAX)
        }
    };
    if count >= CAPS_MAX {
        return Ok(false);
    }
    cx.put(&COUNTED, COUNTED_KEY, &Counted(count.saturating_add(1)))?;
    let known = Known { nodes: nodes.to_vec(), day: cx.now_ms() / DAY_MS };
    cx.put(&CAPS, key, &known)?;
    Ok(true)
}

fn is_contact(jid: JidRef<'_>, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    Ok(cx.get(&ROSTER, jid.bare_str())?.is_some_and(|contact| contact.from || contact.to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_keep_their_bytes() {
        let known = Known { nodes: vec!["a".to_owned()], day: 300 };
        assert_eq!(CAPS.encode(&known), b"\x01\x01\x01a\xfb\x2c\x01");
        assert_eq!(CAPS.name, "pep.caps");
    }
}
