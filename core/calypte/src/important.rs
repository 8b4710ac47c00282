//! What a phone is woken for.

use xml::Node;
use xmpp::{Kind, MessageKind, PresenceKind, StanzaRef, ns};

/// Tells whether a person would want to know of a stanza at once, without having asked for it: what is
/// said, encrypted or not, calls, invitations, errors, requests, contacts who ask. What only keeps a
/// screen up to date is not: who is there, who types, what somebody published, receipts and markers.
///
/// Copies of messages (XEP-0280) are as what they copy; that the person has read something elsewhere
/// counts too, as it ends a notification.
#[must_use]
pub fn is_important(stanza: StanzaRef<'_>) -> bool {
    match stanza.kind {
        Kind::Iq => true,
        Kind::Presence => is_important_presence(stanza),
        Kind::Message => is_important_message(stanza),
    }
}

fn is_important_presence(presence: StanzaRef<'_>) -> bool {
    let is_shown = matches!(
        presence.presence_kind(),
        Some(PresenceKind::Available | PresenceKind::Unavailable)
    );
    // XEP-0045: that the own place in a room changed.
    let is_own = |room: Node<'_>| {
        let mut codes = room.children().filter(|node| node.is(ns::MUC_USER, "status"));
        codes.any(|status| status.attr("code").as_deref() == Some("110"))
    };
    !is_shown || presence.child(ns::MUC_USER, "x").is_some_and(is_own)
}

fn is_important_message(message: StanzaRef<'_>) -> bool {
    match message.message_kind() {
        MessageKind::Error => return true,
        MessageKind::Headline => return false,
        MessageKind::Normal | MessageKind::Chat | MessageKind::Groupchat => {}
    }
    for node in message.payloads() {
        let is_copy = node.ns() == ns::CARBONS;
        if let Some(copied) = Some(node).filter(|_| is_copy).and_then(copied) {
            let is_read = |node: Node<'_>| node.is(ns::MARKERS, "displayed");
            let is_sent = node.name() == "sent";
            return copied.children().any(|node| says_something(node) || is_sent && is_read(node));
        }
    }
    message.payloads().any(says_something)
}

/// Returns the message inside a copy.
fn copied<'a>(copy: Node<'a>) -> Option<Node<'a>> {
    copy.child(ns::FORWARD, "forwarded")?.child(ns::CLIENT, "message")
}

fn says_something(node: Node<'_>) -> bool {
    match (node.ns(), node.name()) {
        (ns::CLIENT, "body" | "subject") | (_, "encrypted") | (ns::ENCRYPTION, _) => true,
        (ns::MUC_USER, "x") => node.has_child(ns::MUC_USER, "invite"),
        (ns::CONFERENCE | ns::DATA_FORMS, "x") | (ns::ARCHIVE, "result") => true,
        (ns::JINGLE_MESSAGE | ns::CALL_INVITES | ns::ATTENTION, _) => true,
        // What a room tells members who are away (XEP-0452).
        (ns::MENTIONS, "mentions") => true,
        (ns::OPENPGP, "openpgp") | (ns::PGP, "x") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use xmpp::Stanza;

    use super::is_important;

    #[track_caller]
    fn check(expected: bool, xml: &str) {
        assert_eq!(is_important(Stanza::parse(xml).unwrap().view()), expected, "{xml}");
    }

    fn copy(way: &str, inner: &str) -> String {
        format!(
            "<message type='chat'><{way} xmlns='urn:xmpp:carbons:2'><forwarded \
             xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>{inner}</message>\
             </forwarded></{way}></message>"
        )
    }

    #[test]
    fn what_is_said_is_important() {
        check(true, "<message type='chat'><body>a</body></message>");
        check(true, "<message type='groupchat'><body>a</body></message>");
        check(true, "<message type='groupchat'><subject/></message>");
        check(true, "<message><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>");
        check(true, "<message><encrypted xmlns='urn:xmpp:omemo:2'/></message>");
        check(true, "<message><propose xmlns='urn:xmpp:jingle-message:0' id='a'/></message>");
        check(true, "<message><x xmlns='jabber:x:conference' jid='a@b'/></message>");
        check(true, "<message><mentions xmlns='urn:xmpp:mmn:0'/></message>");
        check(true, "<message type='error'/>");
        check(true, "<iq type='result' id='a'/>");
        check(true, "<presence type='subscribe'/>");
        check(true, "<presence type='error'/>");
    }

    #[test]
    fn what_keeps_a_screen_up_to_date_is_not() {
        check(false, "<presence/>");
        check(false, "<presence type='unavailable'/>");
        check(false, "<message type='headline'><body>a</body></message>");
        check(
            false,
            "<message><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        );
        check(false, "<message><received xmlns='urn:xmpp:receipts' id='a'/></message>");
        check(false, "<message><displayed xmlns='urn:xmpp:chat-markers:0' id='a'/></message>");
        check(false, "<message><event xmlns='http://jabber.org/protocol/pubsub#event'/></message>");
    }

    #[test]
    fn rooms_tell_of_the_own_place() {
        let room = |code| {
            format!(
                "<presence><x xmlns='http://jabber.org/protocol/muc#user'><status code='{code}'/></x>\
                 </presence>"
            )
        };
        check(true, &room(110));
        check(false, &room(100));
        check(
            true,
            "<message><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>",
        );
        check(
            false,
            "<message><x xmlns='http://jabber.org/protocol/muc#user'><status/></x></message>",
        );
    }

    #[test]
    fn copies_are_as_what_they_copy() {
        check(true, &copy("received", "<body>a</body>"));
        check(true, &copy("sent", "<body>a</body>"));
        check(false, &copy("received", "<active xmlns='http://jabber.org/protocol/chatstates'/>"));
        let read = "<displayed xmlns='urn:xmpp:chat-markers:0' id='a'/>";
        check(true, &copy("sent", read));
        check(false, &copy("received", read));
    }
}
