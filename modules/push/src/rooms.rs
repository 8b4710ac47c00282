//! What of what is said in rooms a person is woken for (XEP-0045).

use calypte::prelude::*;
use calypte::wire::SessionRow;
use serde::Deserialize;

/// The value of a session that holds whom it showed itself to, with NUL between them; module `presence`
/// writes it.
const DIRECTED: &str = "presence.directed";
/// The most references of a message that are looked at.
const REFERENCES_MAX: usize = 20;

/// Which messages of a room wake a client that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InRooms {
    /// Those that mention its user, or may do so.
    Mentions,
    /// Each.
    All,
}

impl InRooms {
    /// Tells whether the user of a session would want to know of a message at once. What is not said to
    /// a whole room is no matter of this.
    pub(crate) fn is_wanted(
        self,
        message: &Passing<'_>,
        session: &SessionRow,
        cx: &Context<'_, '_>,
    ) -> bool {
        let is_to_all =
            message.kind == Kind::Message && message.message_kind() == MessageKind::Groupchat;
        let Some(from) = message.from.filter(|_| is_to_all) else { return true };
        let nicks = nicks(session, from.bare_str());
        // The one before may be somebody else's: the room refused it, or it was given up.
        if nicks.last().is_some_and(|nick| from.resource() == Some(nick)) {
            // Another device of the account said it.
            return false;
        }
        let Some(body) = message.body() else { return !message.has(ns::CLIENT, "subject") };
        // Nobody can tell whom an encrypted one mentions.
        self == Self::All
            || is_encrypted(message.content.root())
            || nicks.iter().any(|nick| mentions(&body, nick))
            || refers_to(message, &nicks, from.bare_str(), cx.owner().as_str())
    }
}

/// Tells whether the text of a message says only that it is encrypted.
pub(crate) fn is_encrypted(message: Node<'_>) -> bool {
    message.children().any(|node| {
        node.name() == "encrypted" || matches!(node.ns(), ns::ENCRYPTION | ns::OPENPGP | ns::PGP)
    })
}

/// Returns the nicknames that a session asked for in a room; the last is the one that it has, unless the
/// room refused it.
fn nicks<'a>(session: &'a SessionRow, room: &str) -> Vec<&'a str> {
    let directed = session.values.iter().find(|(name, _)| name == DIRECTED);
    let directed = directed.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or("");
    let here = directed.split('\0').map(JidRef::trusted).filter(|jid| jid.bare_str() == room);
    here.filter_map(JidRef::resource).collect()
}

/// Tells whether a nickname stands in a text as a word of its own, in whatever case.
fn mentions(text: &str, nick: &str) -> bool {
    let (text, nick) = (text.to_lowercase(), nick.trim().to_lowercase());
    if nick.is_empty() {
        return false;
    }
    text.match_indices(&*nick).any(|(at, found)| {
        let (before, after) = (text.get(..at), text.get(at.saturating_add(found.len())..));
        let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !is_letter(before.and_then(|before| before.chars().next_back()))
            && !is_letter(after.and_then(|after| after.chars().next()))
    })
}

/// Tells whether a message refers (XEP-0372) to the account, or to one of its nicknames in the room.
fn refers_to(message: &Passing<'_>, nicks: &[&str], room: &str, own: &str) -> bool {
    let references = message.payloads().filter(|node| node.is(ns::REFERENCE, "reference"));
    references.take(REFERENCES_MAX).any(|reference| {
        let uri = reference.attr("uri").unwrap_or_default();
        let jid = uri.strip_prefix("xmpp:").and_then(|jid| Jid::parse(jid).ok());
        let is_own = |jid: Jid| {
            let nick = jid.resource().filter(|_| jid.bare().as_str() == room);
            jid.bare().as_str() == own || nick.is_some_and(|nick| nicks.contains(&nick))
        };
        reference.attr("type").as_deref() == Some("mention") && jid.is_some_and(is_own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_are_words() {
        assert!(mentions("@Romeo: wherefore?", "romeo"));
        assert!(mentions("art thou the old Nurse", "Old nurse"));
        assert!(mentions("romeos friend is Romeo", "romeo"));
        assert!(!mentions("romeos friend", "romeo"));
        assert!(!mentions("ho", ""));
        assert!(!mentions("o", "\u{130}"));
        assert!(mentions("\u{130}!", "\u{130}"));
    }
}
