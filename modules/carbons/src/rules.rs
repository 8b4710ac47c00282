//! Which messages are copied (XEP-0280 §6.1).

use calypte::prelude::*;

/// What the rules say of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is part of a conversation.
    Copy,
    /// It is not, or its sender does not want it copied.
    Leave,
    /// It is an error: as the message that it answers.
    AsAnswered,
}

/// Judges a message that the account sent or received.
pub(crate) fn judge(message: StanzaRef<'_>, is_sent: bool) -> Verdict {
    if message.has(ns::CARBONS, "private") || message.has(ns::HINTS, "no-copy") {
        return Verdict::Leave;
    }
    let kind = message.message_kind();
    if kind == MessageKind::Groupchat {
        return Verdict::Leave;
    }
    if message.has(ns::CONFERENCE, "x") {
        return Verdict::Copy;
    }
    if let Some(room) = message.child(ns::MUC_USER, "x") {
        // The room has told all devices that are in it. An invitation is for all.
        let is_whisper = !is_sent && message.from.is_some_and(|from| !from.is_bare());
        if is_whisper && !room.has_child(ns::MUC_USER, "invite") {
            return Verdict::Leave;
        }
        if room.has_child(ns::MUC_USER, "invite") {
            return Verdict::Copy;
        }
    }
    match kind {
        MessageKind::Error => Verdict::AsAnswered,
        MessageKind::Chat => Verdict::Copy,
        MessageKind::Normal if message.body().is_some() => Verdict::Copy,
        _ if message.payloads().any(|node| is_of_conversations(node.ns())) => Verdict::Copy,
        _ => Verdict::Leave,
    }
}

/// Receipts, typing notifications and markers.
fn is_of_conversations(namespace: &str) -> bool {
    matches!(namespace, ns::RECEIPTS | ns::CHAT_STATES | ns::MARKERS)
}
