//! Which devices are there, and what each wants to hear of (XEP-0163 §4.2, §4.3).

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use calypte::notice::RosterChanged;
use calypte::prelude::*;
use calypte::wire::{decode, encode};
use tables::ROSTER;

use crate::caps::{self, Shown};
use crate::{Pep, events, known, usage};

/// The devices of the account and of its contacts that have shown what they are, by bare address.
const SEEN: Table<str, Devices> = Table::volatile_account("pep.seen");
/// The most devices of somebody.
const DEVICES_MAX: usize = 16;
/// The most devices that are asked, or told of what is known by now, when no question waits any more.
const WAITING_MAX: usize = 64;
/// What a device or a row takes besides its texts, about.
const ROW_BYTES: usize = 24;

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
    question: Question,
}

/// How far we are in asking a device what its hash stands for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum Question {
    /// There is nothing to ask.
    Answered,
    /// It was asked what `key` stands for. It is asked for the node `next` once that is over.
    Open { key: String, next: Option<String> },
    /// It is asked for a node when fewer questions of the account wait for their answers.
    Waiting { node: String },
    /// It gave no answer, and is asked again when it sends presence again.
    Unanswered,
}

impl Devices {
    /// Returns how many bytes a row takes, about.
    fn bytes(&self, bare: &str) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let all = self.0.iter().map(Device::bytes).sum::<usize>();
        let all = all.saturating_add(bare.len()).saturating_add(ROW_BYTES);
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

impl Device {
    fn new(resource: &str, shown: &Shown) -> Self {
        let question = Question::Waiting { node: shown.node.clone() };
        Self { resource: resource.to_owned(), key: shown.key.clone(), own: None, question }
    }

    fn bytes(&self) -> usize {
        let question = match &self.question {
            Question::Open { key, next } => {
                key.len().saturating_add(next.as_ref().map_or(0, String::len))
            }
            Question::Waiting { node } => node.len(),
            Question::Answered | Question::Unanswered => 0,
        };
        let own = self.own.iter().flatten().map(|node| node.len().saturating_add(ROW_BYTES));
        let texts = [self.resource.len(), self.key.len(), question, ROW_BYTES];
        texts.into_iter().chain(own).fold(0, usize::saturating_add)
    }
}

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
            let nodes = known::nodes(key, cx)?;
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
        let mut device = Device::new(&session.resource, &shown);
        if known::shown(&shown.key, cx)?.is_none() {
            return ask(own.as_str(), device, cx);
        }
        device.question = Question::Answered;
        put(own.as_str(), device, cx).map(drop)
    }

    /// A device says what its hash stands for, or nothing.
    pub(crate) fn told_caps(
        &self,
        cookie: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let Some((jid, key)) = decode::<(String, String)>(cookie) else { return Ok(()) };
        let is_last = usage::answered(cx)?;
        take_answer(JidRef::trusted(&jid), &key, answer, cx)?;
        if is_last { go_on(cx) } else { Ok(()) }
    }

    /// A contact that may see the account now is told what it could not see before.
    pub(crate) fn contact_changed(
        &self,
        notified: &Notified<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let RosterChanged { contact, from, to } = notified.read()?;
        if !from.1 && !to.1 {
            usage::forget_greeted(&contact, cx)?;
            return write(&contact, &Devices::default(), cx).map(drop);
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
    let is_same = before.as_ref().is_some_and(|before| before.key == shown.key);
    let question = before.as_ref().map(|before| before.question.clone());
    if is_same && matches!(question, Some(Question::Answered | Question::Open { .. })) {
        return Ok(());
    }
    let nodes = known::shown(&shown.key, cx)?;
    let mut device = Device::new(resource, shown);
    match question {
        // One question at a time, however fast it changes.
        Some(Question::Open { key, .. }) => {
            let is_to_ask = nodes.is_none() && key != shown.key;
            let next = is_to_ask.then(|| shown.node.clone());
            device.question = Question::Open { key, next };
        }
        _ if nodes.is_some() => device.question = Question::Answered,
        _ => return ask(from.bare_str(), device, cx),
    }
    if !put(from.bare_str(), device, cx)? {
        return Ok(());
    }
    let Some(mut nodes) = nodes else { return Ok(()) };
    if let Some(before) = before.filter(|_| !is_same) {
        let heard = Wishes::default().of(&before, cx)?.unwrap_or_default();
        nodes.retain(|node| !heard.contains(node));
    }
    events::greet(from, &nodes, cx)
}

/// A device is gone; with a bare address all of somebody are.
fn forget(from: JidRef<'_>, cx: &mut Context<'_, '_>) -> Done {
    let Some(mut devices) = cx.get(&SEEN, from.bare_str())? else { return Ok(()) };
    match from.resource() {
        Some(resource) => devices.0.retain(|device| device.resource != resource),
        None => devices.0.clear(),
    }
    write(from.bare_str(), &devices, cx).map(drop)
}

fn device(
    bare: &str,
    resource: &str,
    cx: &mut Context<'_, '_>,
) -> Result<Option<Device>, StanzaError> {
    let devices = cx.get(&SEEN, bare)?.unwrap_or_default().0;
    Ok(devices.into_iter().find(|device| device.resource == resource))
}

/// Notes a device, and says whether there is room for it. Of more than somebody can have, the ones
/// that came first are forgotten.
fn put(bare: &str, device: Device, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let mut devices = cx.get(&SEEN, bare)?.unwrap_or_default();
    devices.0.retain(|known| known.resource != device.resource);
    if devices.0.len() >= DEVICES_MAX {
        devices.0.remove(0);
    }
    devices.0.push(device);
    if write(bare, &devices, cx)? {
        return Ok(true);
    }
    devices.0.pop();
    cx.count("missed", 1)?;
    write(bare, &devices, cx)?;
    Ok(false)
}

/// Writes what is known of somebody's devices, and says whether there is room for it.
fn write(bare: &str, devices: &Devices, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let before = cx.get(&SEEN, bare)?.map_or(0, |before| before.bytes(bare));
    if !usage::take(before, devices.bytes(bare), cx)? {
        return Ok(false);
    }
    if devices.0.is_empty() {
        cx.delete(&SEEN, bare)?;
    } else {
        cx.put(&SEEN, bare, devices)?;
    }
    Ok(true)
}

/// Notes a device and asks it what its hash stands for, now or when it is its turn.
fn ask(bare: &str, mut device: Device, cx: &mut Context<'_, '_>) -> Done {
    let Question::Waiting { node } = &device.question else { return Ok(()) };
    if !usage::ask(cx)? {
        return put(bare, device, cx).map(drop);
    }
    let query = Element::new(ns::DISCO_INFO, "query").with_attr("node", node);
    let (jid, key) = (format!("{bare}/{}", device.resource), device.key.clone());
    device.question = Question::Open { key: key.clone(), next: None };
    if !put(bare, device, cx)? {
        return usage::answered(cx).map(drop);
    }
    let iq = Element::new(ns::CLIENT, "iq").with_attr("to", &jid).with_attr("type", "get");
    cx.count("asked", 1)?;
    cx.request(&iq.with_child(query), &encode(&(jid, key)))
}

/// A question is over: learns what a hash stands for, or asks the next one.
fn take_answer(
    jid: JidRef<'_>,
    key: &str,
    answer: StanzaRef<'_>,
    cx: &mut Context<'_, '_>,
) -> Done {
    let (bare, Some(resource)) = (jid.bare_str(), jid.resource()) else { return Ok(()) };
    // It may have gone or come back meanwhile.
    let Some(mut device) = device(bare, resource, cx)? else { return Ok(()) };
    let next = match device.question {
        Question::Open { key: asked, next } if asked == key => next,
        _ => return Ok(()),
    };
    device.question = Question::Answered;
    if let Some(node) = next {
        device.question = Question::Waiting { node };
        return ask(bare, device, cx);
    }
    let query = answer.child(ns::DISCO_INFO, "query").filter(|_| !answer.is_error());
    let Some(query) = query.filter(|_| device.key == key) else {
        if device.key == key && is_for_now(answer) {
            device.question = Question::Unanswered;
        } else if device.key == key {
            device.own = Some(Vec::new());
        }
        return put(bare, device, cx).map(drop);
    };
    let mut learnt = caps::learn(key, query);
    if !learnt.is_proved || !known::keep(key, &learnt.nodes, cx)? {
        if caps::cut(&mut learnt.nodes) {
            cx.count("missed", 1)?;
        }
        device.own = Some(learnt.nodes.clone());
    }
    if put(bare, device, cx)? { events::greet(jid, &learnt.nodes, cx) } else { Ok(()) }
}

/// Tells whether an error says nothing of the device: it was too late, or something is in the way.
fn is_for_now(answer: StanzaRef<'_>) -> bool {
    answer.child(ns::CLIENT, "error").is_some_and(|error| {
        error.attr("type").as_deref() == Some("wait")
            || error.has_child(ns::STANZA_ERRORS, "remote-server-timeout")
    })
}

/// No question waits any more: it is the turn of devices that could not be asked.
fn go_on(cx: &mut Context<'_, '_>) -> Done {
    let mut waiting = Vec::new();
    for (bare, devices) in cx.all(&SEEN, u32::MAX)? {
        for device in devices.0 {
            if matches!(device.question, Question::Waiting { .. }) {
                waiting.push((bare.clone(), device));
            }
        }
    }
    for (bare, mut device) in waiting.into_iter().take(WAITING_MAX) {
        let Some(nodes) = known::nodes(&device.key, cx)? else {
            ask(&bare, device, cx)?;
            continue;
        };
        let jid = format!("{bare}/{}", device.resource);
        device.question = Question::Answered;
        if put(&bare, device, cx)? {
            events::greet(JidRef::trusted(&jid), &nodes, cx)?;
        }
    }
    Ok(())
}

fn is_contact(jid: JidRef<'_>, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    Ok(cx.get(&ROSTER, jid.bare_str())?.is_some_and(|contact| contact.from || contact.to))
}
