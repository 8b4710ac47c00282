//! Which messages are written down, and their names on the way (XEP-0313 §3.4, XEP-0359 §4).

use calypte::prelude::*;

use crate::expire::{AGE, SIZE, look_ms};
use crate::id::Id;
use crate::rows::{self, Kept};
use crate::{Archive, id, prefs};

/// The largest message, as it came. The host takes no record above 1 MiB, and in the row addresses
/// are there twice, and may be longer than they were written.
const MESSAGE_BYTES_MAX: usize = (1 << 20) - (32 << 10);

impl Archive {
    /// No name of ours leaves with what a client says itself.
    pub(crate) fn forged_id(
        &self,
        stanza: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let (owner, domain) = (cx.owner_jid(), cx.domain().to_owned());
        stanza.remove_where(|node| is_our_id(node, owner.as_str(), &domain));
        Ok(Flow::Pass)
    }

    /// A client of the account sent a message.
    pub(crate) fn sent(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let Some(peer) = message.to.filter(|_| is_worth_keeping(message)) else {
            cx.delete(&tables::ARCHIVED, tables::ARCHIVED_KEY)?;
            return Ok(Flow::Pass);
        };
        if !prefs::allow(self.0.default, peer, cx)? || is_too_large(message, cx)? {
            cx.delete(&tables::ARCHIVED, tables::ARCHIVED_KEY)?;
            return Ok(Flow::Pass);
        }
        let id = id::new(rows::next_place(cx)?, cx)?;
        self.write(id, peer, message, cx)?;
        Ok(Flow::Pass)
    }

    /// The account received a message: forged names go, and it gets the name that it is going to
    /// have here.
    pub(crate) fn name(&self, message: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        if !is_of_account(cx) {
            return Ok(Flow::Pass);
        }
        let (owner, domain) = (cx.owner_jid(), cx.domain().to_owned());
        if message.has(ns::STANZA_ID, "stanza-id") {
            message.remove_where(|node| is_our_id(node, owner.as_str(), &domain));
        }
        let Some(peer) = message.from.filter(|_| is_worth_keeping(message)) else {
            return Ok(Flow::Pass);
        };
        let id = if cx.is_own(Some(peer)) {
            // It was written down when it was sent, in this step.
            let written = cx.get(&tables::ARCHIVED, tables::ARCHIVED_KEY)?;
            let Some(written) = written.filter(|row| row.at_ms == cx.now_ms()) else {
                return Ok(Flow::Pass);
            };
            written.id
        } else if prefs::allow(self.0.default, peer, cx)? && !is_too_large(message, cx)? {
            id::new(rows::next_place(cx)?, cx)?.write()
        } else {
            return Ok(Flow::Pass);
        };
        let name = Element::new(ns::STANZA_ID, "stanza-id").with_attr("by", owner.as_str());
        message.append(name.with_attr("id", &id));
        Ok(Flow::Pass)
    }

    /// A message is going to be delivered, or to be kept for somebody who is away.
    pub(crate) fn received(
        &self,
        message: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let owner = cx.owner_jid();
        let id = message.payloads().find(|node| is_id_by(*node, owner.as_str()));
        let id = id.and_then(|node| Id::read(&node.attr("id")?));
        let (Some(id), Some(peer)) = (id, message.from) else {
            cx.delete(&tables::ARCHIVED, tables::ARCHIVED_KEY)?;
            return Ok(Flow::Pass);
        };
        // One that waited in a session has been here, and one to oneself when it was sent.
        if cx.since_ms()?.is_none() && !cx.is_own(Some(peer)) {
            self.write(id, peer, message, cx)?;
        } else {
            note(id, cx)?;
        }
        Ok(Flow::Kept)
    }

    fn write(
        &self,
        id: Id,
        peer: JidRef<'_>,
        message: &Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let (Some(from), Some(to)) = (message.from, message.to) else { return Ok(()) };
        let mut xml = message.readdressed(from.as_str(), to.as_str());
        let owner = cx.owner_jid();
        for name in message.payloads().filter(|node| is_id_by(*node, owner.as_str())) {
            xml = xml.replacen(name.raw(), "", 1);
        }
        let stamp_ms = cx.now_ms();
        let kept = Kept { stamp_ms, tail: id.tail, peer: peer.as_str().to_owned(), xml };
        let state = rows::add(id, &kept, cx)?;
        if state.messages == 1 {
            cx.wake_at(look_ms(stamp_ms.saturating_add(self.0.keep.ms), stamp_ms), AGE)?;
        }
        if state.bytes > self.0.bytes.bytes {
            cx.wake_at(stamp_ms, SIZE)?;
        }
        cx.count("kept", 1)?;
        note(id, cx)
    }

    /// The last session of an account takes what is remembered of its last message with it.
    pub(crate) fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        cx.delete(&tables::ARCHIVED, tables::ARCHIVED_KEY)
    }
}

/// Tells whether a message is too large for a row: then it is handed on all the same.
fn is_too_large(message: &Passing<'_>, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let is_too_large = message.content.root().raw().len() > MESSAGE_BYTES_MAX;
    if is_too_large {
        cx.count("too_large", 1)?;
    }
    Ok(is_too_large)
}

/// Notes for the others what became of the message.
fn note(id: Id, cx: &mut Context<'_, '_>) -> Done {
    let row = tables::Archived { id: id.write(), at_ms: cx.now_ms() };
    if cx.put(&tables::ARCHIVED, tables::ARCHIVED_KEY, &row).is_err() {
        // There is no room. A copy goes without the name; the message is more than that.
        cx.delete(&tables::ARCHIVED, tables::ARCHIVED_KEY)?;
        cx.count("unnoted", 1)?;
    }
    Ok(())
}

fn is_of_account(cx: &Context<'_, '_>) -> bool {
    cx.owner().local().is_some() && cx.owner().domain() == cx.domain()
}

/// XEP-0313 §6.1.1, XEP-0334 §4. What says something is of use later, with or without a text: it may
/// be encrypted, a receipt, a correction. What somebody published is kept elsewhere.
fn is_worth_keeping(message: &Passing<'_>) -> bool {
    if !matches!(message.message_kind(), MessageKind::Normal | MessageKind::Chat)
        || message.has(ns::HINTS, "no-store")
        || message.has(ns::HINTS, "no-permanent-store")
    {
        return false;
    }
    let says_something = |node: Node<'_>| {
        let is_aside = matches!(
            node.ns(),
            ns::CHAT_STATES
                | ns::HINTS
                | ns::STANZA_ID
                | ns::DELAY
                | ns::NICK
                | ns::CARBONS
                | ns::ARCHIVE
                | ns::PUBSUB_EVENT
        );
        !is_aside && !node.is(ns::CLIENT, "thread")
    };
    message.has(ns::HINTS, "store") || message.payloads().any(says_something)
}

/// Tells whether it is a name that only we may give: by the account or by its server, however the
/// address is written, or by nobody.
fn is_our_id(node: Node<'_>, owner: &str, domain: &str) -> bool {
    if !node.is(ns::STANZA_ID, "stanza-id") {
        return false;
    }
    let Some(Ok(by)) = node.attr("by").map(|by| Jid::parse(by.trim())) else { return true };
    matches!(by.as_ref().bare_str(), bare if bare == owner || bare == domain)
}

fn is_id_by(node: Node<'_>, owner: &str) -> bool {
    node.is(ns::STANZA_ID, "stanza-id") && node.attr("by").as_deref() == Some(owner)
}
