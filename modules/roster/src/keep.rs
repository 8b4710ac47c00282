//! What is kept of a roster: the contacts, its version and its latest changes.
//!
//! A version is a count and a random tag, `12-k7p2maqz`. The count alone would lie when an account is
//! deleted and made again, or a backup is restored: both count anew, and a client that was there
//! before must not be told that it has seen everything. Each kept change remembers the tag of its
//! own version, so what a client brings is either known or answered with the whole roster.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::tables::{Contact, ROSTER};
use calypte::wire::Range;

use crate::{Config, item};

/// Where the roster stands. There is one record, under the empty key.
const STATE: Table<str, State> = Table::account("roster.state");

/// The latest changes, by the count of the version that they made.
const CHANGES: Table<u64, Change> = Table::account("roster.changes");

/// How many changes are kept.
const CHANGES_MAX: u64 = 200;
/// Letters of a tag, five bits each.
const TAG_LETTERS: u32 = 8;

/// The value of a session that asked for the roster and is told of changes (§2.2).
const INTERESTED: &str = "roster.interested";

/// Where a roster stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct State {
    /// How often it changed.
    pub(crate) count: u64,
    /// What the latest change is marked with.
    pub(crate) tag: String,
    /// How many contacts are listed.
    pub(crate) listed: u32,
    /// How many strangers wait for an answer.
    pub(crate) strangers: u32,
}

record!(State, 1);

/// A change of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Change {
    /// What the version that it made is marked with.
    pub(crate) tag: String,
    /// The contact's bare address.
    pub(crate) contact: String,
}

record!(Change, 1);

impl State {
    /// Reads where the owner's roster stands.
    pub(crate) fn load(cx: &mut Context<'_, '_>) -> Result<Self, StanzaError> {
        if let Some(state) = cx.get(&STATE, "")? {
            return Ok(state);
        }
        // Nothing was changed here yet, but contacts may have come with an import.
        let mut state = Self::default();
        for (_, contact) in cx.all(&ROSTER, u32::MAX)? {
            state.count_in(&contact);
        }
        Ok(state)
    }

    /// Returns the version as clients see it.
    pub(crate) fn version(&self) -> String {
        if self.count == 0 { "0".to_owned() } else { format!("{}-{}", self.count, self.tag) }
    }

    fn count_in(&mut self, contact: &Contact) {
        if contact.listed {
            self.listed = self.listed.saturating_add(1);
        } else if contact.pending_in.is_some() {
            self.strangers = self.strangers.saturating_add(1);
        }
    }

    fn count_out(&mut self, contact: &Contact) {
        if contact.listed {
            self.listed = self.listed.saturating_sub(1);
        } else if contact.pending_in.is_some() {
            self.strangers = self.strangers.saturating_sub(1);
        }
    }

    /// Returns the contacts that changed since `version`, or `None` when the whole roster has to be
    /// sent.
    pub(crate) fn changed_since(
        &self,
        version: &str,
        cx: &mut Context<'_, '_>,
    ) -> Result<Option<BTreeSet<String>>, StanzaError> {
        let Some((count, tag)) = version.split_once('-') else { return Ok(None) };
        let Ok(count) = count.parse::<u64>() else { return Ok(None) };
        if cx.get(&CHANGES, &count)?.is_none_or(|change| change.tag != tag) {
            return Ok(None);
        }
        let from = CHANGES.encode_key(&count.saturating_add(1));
        let range = Range { to: None, limit: u32::MAX, reverse: false };
        let later = cx.scan(&CHANGES, &from, &range)?;
        let changed: BTreeSet<_> = later.into_iter().map(|(_, change)| change.contact).collect();
        let is_few =
            u32::try_from(changed.len()).is_ok_and(|changed| changed <= self.listed.max(1));
        Ok(is_few.then_some(changed))
    }
}

/// Writes what became of a contact, and tells the interested sessions and other modules.
///
/// # Errors
///
/// `resource-constraint` when the roster is full.
pub(crate) fn keep(
    cx: &mut Context<'_, '_>,
    config: &Config,
    jid: &str,
    before: &Contact,
    after: &Contact,
) -> Done {
    if before == after {
        return Ok(());
    }
    let mut state = State::load(cx)?;
    state.count_out(before);
    state.count_in(after);
    if after.listed && !before.listed && state.listed > config.contacts {
        return Err(StanzaError::RESOURCE_CONSTRAINT.with_text("the roster is full"));
    }
    if after.listed || after.pending_in.is_some() {
        cx.put(&ROSTER, jid, after)?;
    } else {
        cx.delete(&ROSTER, jid)?;
    }
    if !item::is_same(before, after) {
        count_up(cx, &mut state, jid)?;
        push(cx, &state, jid, after)?;
    }
    cx.put(&STATE, "", &state)?;
    crate::tell(cx, jid, before, after)
}

/// Makes a new version.
fn count_up(cx: &mut Context<'_, '_>, state: &mut State, jid: &str) -> Done {
    state.count = state.count.saturating_add(1);
    state.tag = cx.random_name(TAG_LETTERS)?;
    let change = Change { tag: state.tag.clone(), contact: jid.to_owned() };
    cx.put(&CHANGES, &state.count, &change)?;
    match state.count.checked_sub(CHANGES_MAX) {
        Some(old) => cx.delete(&CHANGES, &old),
        None => Ok(()),
    }
}

/// Notes that the session that asks is to be told of changes.
pub(crate) fn note_interest(cx: &mut Context<'_, '_>) -> Done {
    let session = cx.session()?;
    if session.values.iter().any(|(name, _)| name == INTERESTED) {
        return Ok(());
    }
    cx.set_value(INTERESTED, b"1")
}

/// Lists the resources that are to be told of changes.
pub(crate) fn interested(cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
    let mut sessions = cx.sessions()?;
    sessions.retain(|session| session.values.iter().any(|(name, _)| name == INTERESTED));
    Ok(sessions.into_iter().map(|session| session.resource).collect())
}

/// Tells all interested sessions of a contact (§2.1.6).
fn push(cx: &mut Context<'_, '_>, state: &State, jid: &str, contact: &Contact) -> Done {
    let iq = push_iq(state, jid, contact).to_xml(ns::CLIENT);
    for resource in interested(cx)? {
        cx.deliver_xml(&resource, &iq)?;
    }
    Ok(())
}

/// Returns a roster push: the id says which version it makes.
pub(crate) fn push_iq(state: &State, jid: &str, contact: &Contact) -> Element {
    let query = Element::new(ns::ROSTER, "query")
        .with_attr("ver", &state.version())
        .with_child(item::write(jid, contact));
    Element::new(ns::CLIENT, "iq")
        .with_attr("type", "set")
        .with_attr("id", &format!("push-{}", state.version()))
        .with_child(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_bytes() {
        let state = State { count: 300, tag: "ab".into(), listed: 2, strangers: 1 };
        assert_eq!(STATE.encode(&state), b"\x01\xfb\x2c\x01\x02ab\x02\x01");
        assert_eq!(STATE.decode(&STATE.encode(&state)).unwrap(), state);
        let change = Change { tag: "ab".into(), contact: "r@m".into() };
        assert_eq!(CHANGES.encode(&change), b"\x01\x02ab\x03r@m");
        assert_eq!(CHANGES.decode(&CHANGES.encode(&change)).unwrap(), change);
        assert!(CHANGES.decode(b"\x01\x02a").is_err());
    }

    #[test]
    fn the_contact_keeps_its_bytes() {
        let contact = Contact {
            name: Some("R".into()),
            groups: vec!["F".into()],
            to: true,
            from: false,
            asked: false,
            pending_in: Some("<a/>".into()),
            approved: false,
            listed: true,
        };
        let bytes = b"\x01\x01\x01R\x01\x01F\x01\x00\x00\x01\x04<a/>\x00\x01";
        assert_eq!(ROSTER.encode(&contact), bytes);
        assert_eq!(ROSTER.decode(bytes).unwrap(), contact);
    }

    #[test]
    fn the_first_version_is_none() {
        assert_eq!(State::default().version(), "0");
        assert_eq!(State { count: 7, tag: "ab".into(), ..State::default() }.version(), "7-ab");
    }
}
