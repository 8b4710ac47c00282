//! Members who are not in the room hear when they are mentioned (XEP-0452).

use calypte::prelude::*;
use calypte::wire::Range;

use crate::records::NICKS;
use crate::room::{Room, affiliation, fold, is_there, member};
use crate::rules::Affiliation;
use crate::settings;

/// How many words of a message are looked at.
const WORDS_MAX: usize = 100;
/// The most words of a nickname.
const NICK_WORDS_MAX: usize = 3;
/// How many addresses that a message refers to are looked at.
const REFERENCES_MAX: usize = 20;
/// The most people that one message is told.
const TOLD_MAX: usize = 20;

/// Tells members who are away that they are mentioned in what somebody said.
pub(crate) fn tell(
    room: &Room,
    message: &Passing<'_>,
    said: &Element,
    cx: &mut Context<'_, '_>,
) -> Done {
    if !room.flag(settings::FORWARD_MENTIONS) {
        return Ok(());
    }
    let mut told = 0_usize;
    for bare in mentioned(message, cx)? {
        let is_meant = affiliation(&bare, cx)? >= Affiliation::Member && !is_there(&bare, cx)?;
        if !is_meant || told >= TOLD_MAX {
            continue;
        }
        told = told.saturating_add(1);
        let stamp = xep::delay::date_time(cx.now_ms());
        let delay = Element::new(ns::DELAY, "delay").with_attr("stamp", &stamp);
        let forwarded =
            Element::new(ns::FORWARD, "forwarded").with_child(delay).with_child(said.clone());
        let mentions = Element::new(ns::MENTIONS, "mentions").with_child(forwarded);
        let note = Element::new(ns::CLIENT, "message").with_attr("to", &bare);
        cx.send(&note.with_child(mentions))?;
    }
    cx.count("mentions", u64::try_from(told).unwrap_or(0))
}

/// Lists those whom a message refers to (XEP-0372), and whose reserved nicknames stand in it.
fn mentioned(message: &Passing<'_>, cx: &mut Context<'_, '_>) -> Result<Vec<String>, StanzaError> {
    let mut found: Vec<String> = Vec::new();
    let references = message.payloads().filter(|node| node.is(ns::REFERENCE, "reference"));
    for reference in references.take(REFERENCES_MAX) {
        let uri = reference.attr("uri").unwrap_or_default();
        let jid = uri.strip_prefix("xmpp:").and_then(|jid| Jid::parse(jid).ok());
        if let Some(jid) = jid.filter(|_| reference.attr("type").as_deref() == Some("mention")) {
            found.push(jid.bare().as_str().to_owned());
        }
    }
    let Some(body) = message.body() else { return Ok(found) };
    if cx.scan(&NICKS, &[], &Range { to: None, limit: 1, reverse: false })?.is_empty() {
        return Ok(found);
    }
    for nick in names(&body) {
        if let Some(holder) = cx.get(&NICKS, &*nick)?
            && member(&holder.bare, cx)?.is_some()
        {
            found.push(holder.bare);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Returns what may be nicknames in a text, folded: up to three words in a row, without what stands
/// around them.
fn names(text: &str) -> Vec<String> {
    let trim = |word: &str| fold(word.trim_matches(|c: char| !c.is_alphanumeric()));
    let words: Vec<_> = text.split_whitespace().take(WORDS_MAX).map(trim).collect();
    let mut names = Vec::new();
    for length in 1..=NICK_WORDS_MAX {
        names.extend(words.windows(length).map(|words| words.join(" ")));
    }
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_stand_in_texts() {
        let names = names("@Romeo: tell the old Nurse!");
        for name in ["romeo", "the", "old nurse", "the old nurse", "nurse"] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        assert!(!names.iter().any(|name| name.contains('@') || name.contains('!')));
    }

    #[test]
    fn long_texts_are_looked_at_no_further() {
        assert!(names(&"a b c ".repeat(10_000)).len() < 300);
    }
}
