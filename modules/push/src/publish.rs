//! Telling a service (XEP-0357 §7), and what becomes of that.

use std::fmt;

use bincode::{Decode, Encode};
use calypte::prelude::*;

use crate::services::{SERVICES, Service, ServiceKey, own, remove};
use crate::{Content, Push};

/// What was told of a client since it was here last, by its registration. Lost with the process.
const STATES: Table<(String, String), State> = Table::volatile_account("push.states");

/// The most characters of a message that a service is told.
pub(crate) const TEXT_CHARS_MAX: usize = 500;
/// How long a service that fails is left alone, at first and at most, in milliseconds.
const PAUSES_MS: (u64, u64) = (60_000, 6 * 3_600_000);
/// How long a service may fail before its registration is deleted, in milliseconds.
const FAILING_MS: u64 = 7 * 24 * 3_600_000;
/// A failure that is this long after the last pause has nothing to do with it, in milliseconds.
const QUIET_MS: u64 = 24 * 3_600_000;
/// The name of a timer begins with this, then comes the registration.
const LATE: &str = "late ";

/// Something that a client does not have.
#[derive(Clone)]
pub(crate) struct News {
    pub(crate) messages: u32,
    pub(crate) sender: Option<String>,
    pub(crate) text: Option<String>,
}

/// What was told of a client.
#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
struct State {
    /// Messages since it was here.
    messages: u32,
    sender: Option<String>,
    text: Option<String>,
    /// When its service was told last, in milliseconds since 1970.
    last_ms: u64,
    /// What has waited longest when its service was told that it does not acknowledge.
    waiting_ms: Option<u64>,
    /// Whether its service is to be told when the pause is over.
    is_late: bool,
}

record!(State, 1);

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("messages", &self.messages).finish_non_exhaustive()
    }
}

/// Tells a service of something, or does so when the pause is over.
pub(crate) fn tell(
    push: &Push,
    key: &ServiceKey,
    service: &Service,
    news: &News,
    cx: &mut Context<'_, '_>,
) -> Done {
    let mut state = cx.get(&STATES, key)?.unwrap_or_default();
    state.messages = state.messages.saturating_add(news.messages);
    if news.sender.is_some() {
        state.sender.clone_from(&news.sender);
        state.text.clone_from(&news.text);
    }
    let free_ms = state.last_ms.saturating_add(push.0.pause.ms).max(service.until_ms);
    let is_first = state.last_ms == 0 && service.until_ms == 0;
    if is_first || free_ms <= cx.now_ms() {
        return publish(push, key, service, state, cx);
    }
    let was_late = std::mem::replace(&mut state.is_late, true);
    put(key, &state, cx)?;
    if was_late { Ok(()) } else { cx.wake_at(free_ms, &late(key)) }
}

/// The pause is over.
pub(crate) fn tell_late(push: &Push, name: &str, cx: &mut Context<'_, '_>) -> Done {
    let key = name.strip_prefix(LATE).and_then(|key| key.split_once('\n'));
    let Some((jid, node)) = key else { return Ok(()) };
    let key = (jid.to_owned(), node.to_owned());
    let (Some(state), Some(service)) = (cx.get(&STATES, &key)?, cx.get(&SERVICES, &key)?) else {
        return Ok(());
    };
    if state.is_late { publish(push, &key, &service, state, cx) } else { Ok(()) }
}

fn late((jid, node): &ServiceKey) -> String {
    format!("{LATE}{jid}\n{node}")
}

/// Tells whether a service was not told yet that a client does not acknowledge what has waited since
/// then, and notes that it is.
pub(crate) fn is_new(
    key: &ServiceKey,
    waiting_ms: Option<u64>,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let mut state = cx.get(&STATES, key)?.unwrap_or_default();
    if state.waiting_ms == waiting_ms {
        return Ok(false);
    }
    state.waiting_ms = waiting_ms;
    put(key, &state, cx)?;
    Ok(true)
}

/// A client is here: what its service was told is over.
pub(crate) fn forget(key: &ServiceKey, cx: &mut Context<'_, '_>) -> Done {
    cx.delete(&STATES, key)
}

fn put(key: &ServiceKey, state: &State, cx: &mut Context<'_, '_>) -> Done {
    // Where there is no room, the next notification says less.
    if cx.put(&STATES, key, state).is_err() {
        cx.count("forgotten", 1)?;
    }
    Ok(())
}

fn publish(
    push: &Push,
    key: &ServiceKey,
    service: &Service,
    mut state: State,
    cx: &mut Context<'_, '_>,
) -> Done {
    state.is_late = false;
    state.last_ms = cx.now_ms();
    let (jid, node) = key;
    let mut notification = Element::new(ns::PUSH, "notification");
    if push.0.content != Content::None {
        notification.push_child(summary(push, &state));
    }
    let item = Element::new(ns::PUBSUB, "item").with_child(notification);
    let mut publish = Element::new(ns::PUBSUB, "publish").with_child(item);
    if !node.is_empty() {
        publish.push_attr("node", node);
    }
    let mut pubsub = Element::new(ns::PUBSUB, "pubsub").with_child(publish);
    if !service.options.is_empty() {
        let mut form = form(ns::PUBSUB_PUBLISH_OPTIONS);
        for (name, values) in &service.options {
            form.push_child(field(name, values.iter().map(String::as_str)));
        }
        pubsub.push_child(Element::new(ns::PUBSUB, "publish-options").with_child(form));
    }
    let iq = Element::new(ns::CLIENT, "iq")
        .with_attr("type", "set")
        .with_attr("to", jid)
        .with_child(pubsub);
    put(key, &state, cx)?;
    cx.request(&iq, &calypte::wire::encode(key))?;
    cx.count("sent", 1)
}

/// Sums up what waits (§7).
fn summary(push: &Push, state: &State) -> Element {
    let mut form = form(ns::PUSH_SUMMARY);
    if state.messages > 0 {
        form.push_child(field("message-count", [&*state.messages.to_string()]));
    }
    if let Some(sender) = &state.sender {
        form.push_child(field("last-message-sender", [&**sender]));
    }
    let placeholder = Some(&push.0.placeholder).filter(|text| !text.is_empty());
    if let Some(text) = state.text.as_ref().or(placeholder) {
        form.push_child(field("last-message-body", [&**text]));
    }
    form
}

fn form(ty: &str) -> Element {
    Element::new(ns::DATA_FORMS, "x")
        .with_attr("type", "submit")
        .with_child(field("FORM_TYPE", [ty]))
}

fn field<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Element {
    let mut field = Element::new(ns::DATA_FORMS, "field").with_attr("var", name);
    for value in values {
        field.push_child(Element::new(ns::DATA_FORMS, "value").with_text(value));
    }
    field
}

impl Push {
    /// A service answered, or did not in time.
    pub(crate) fn answered(
        &self,
        cookie: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let key: ServiceKey = calypte::wire::decode(cookie).ok_or(StanzaError::INTERNAL)?;
        let Some(mut service) = cx.get(&SERVICES, &key)? else { return Ok(()) };
        if !answer.is_error() {
            if service.failures > 0 {
                (service.failures, service.until_ms) = (0, 0);
                cx.put(&SERVICES, &key, &service)?;
            }
            return Ok(());
        }
        if !service.fails(is_temporary(answer), cx.now_ms()) {
            cx.count("given_up", 1)?;
            return remove(&key, cx);
        }
        cx.put(&SERVICES, &key, &service)?;
        cx.count("failed", 1)?;
        // What could not be told is told then, unless the client is here before.
        let is_there = cx.sessions()?.iter().any(|row| !row.away && own(row).contains(&key));
        if let Some(mut state) = cx.get(&STATES, &key)?.filter(|_| !is_there) {
            state.is_late = true;
            put(&key, &state, cx)?;
            cx.wake_at(service.until_ms, &late(&key))?;
        }
        Ok(())
    }
}

impl Service {
    /// Notes a failure; says whether it is tried again.
    fn fails(&mut self, is_temporary: bool, now_ms: u64) -> bool {
        if !is_temporary {
            return false;
        }
        if self.until_ms > now_ms {
            // It was sent before the pause began.
            return true;
        }
        if self.failures == 0 || now_ms.saturating_sub(self.until_ms) >= QUIET_MS {
            (self.failures, self.failing_since_ms) = (0, now_ms);
        }
        if now_ms.saturating_sub(self.failing_since_ms) >= FAILING_MS {
            return false;
        }
        let (first, most) = PAUSES_MS;
        let pause_ms = first.saturating_mul(1 << self.failures.min(16)).min(most);
        self.failures = self.failures.saturating_add(1);
        self.until_ms = now_ms.saturating_add(pause_ms);
        true
    }
}

/// Tells whether a service may work again without its client doing anything.
fn is_temporary(answer: StanzaRef<'_>) -> bool {
    let Some(error) = answer.child(ns::CLIENT, "error") else { return true };
    let of_network = [
        Condition::RemoteServerNotFound,
        Condition::RemoteServerTimeout,
        Condition::ServiceUnavailable,
        Condition::InternalServerError,
        Condition::ResourceConstraint,
    ];
    let is_of_network =
        |node: Node<'_>| of_network.iter().any(|one| node.is(ns::STANZA_ERRORS, one.name()));
    error.attr("type").as_deref() == Some("wait") || error.children().any(is_of_network)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;

    fn service() -> Service {
        Service {
            options: vec![],
            agent: String::new(),
            since_ms: 0,
            failures: 0,
            failing_since_ms: 0,
            until_ms: 0,
        }
    }

    #[test]
    fn what_was_sent_before_the_pause_is_one_failure() {
        let mut service = service();
        for more_ms in 0..15 {
            assert!(service.fails(true, DAY_MS + more_ms));
        }
        assert_eq!((service.failures, service.until_ms), (1, DAY_MS + 60_000));
        assert!(service.fails(true, service.until_ms));
        assert_eq!((service.failures, service.until_ms), (2, DAY_MS + 180_000));
        assert!(!service.fails(false, DAY_MS + 180_000));
    }

    #[test]
    fn a_failure_after_quiet_days_begins_anew() {
        let mut service = service();
        assert!(service.fails(true, DAY_MS));
        assert!(service.fails(true, 9 * DAY_MS));
        assert_eq!((service.failures, service.failing_since_ms), (1, 9 * DAY_MS));
        // One that is tried all the time and fails is forgotten.
        let mut tries = 0;
        let mut now_ms = service.until_ms;
        while service.fails(true, now_ms) {
            now_ms = service.until_ms;
            tries += 1;
        }
        assert_eq!((now_ms - 9 * DAY_MS) / DAY_MS, 7);
        assert!(tries > 30, "{tries}");
    }
}
