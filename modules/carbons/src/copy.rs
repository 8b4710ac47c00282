//! Making copies (XEP-0280 §7, §8) for sessions that want them.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::SessionRow;

use crate::rules::{self, Verdict};

/// The value of a session that wants copies.
pub(crate) const WANTED: &str = "carbons.wanted";

/// The last messages that were copied; one row. Lost with the process.
const COPIED: Table<str, Copied> = Table::volatile_account("carbons.copied");
/// The key of the row.
const COPIED_KEY: &str = "copied";
/// How many messages are remembered, for errors that answer them.
const COPIED_MAX: usize = 64;

/// Where a message goes, seen from the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A client of the account sent it.
    Sent,
    /// It is for the account.
    Received,
}

/// Messages that were copied, oldest first, each as one number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Copied {
    messages: Vec<u64>,
}

record!(Copied, 1);

/// Hands copies of a message to those sessions that have nothing of it otherwise and want them.
pub(crate) fn to_others(message: &Passing<'_>, way: Way, cx: &mut Context<'_, '_>) -> Done {
    let verdict = rules::judge(**message, way == Way::Sent);
    if verdict == Verdict::Leave {
        return Ok(());
    }
    let wishing = wishing(message, way, cx)?;
    if wishing.is_empty() {
        return Ok(());
    }
    if verdict == Verdict::AsAnswered {
        if !was_copied(message, way, cx)? {
            return Ok(());
        }
    } else {
        remember(message, way, cx)?;
    }
    let (Some(from), Some(to)) = (message.from, message.to) else { return Ok(()) };
    let mut original = message.readdressed(from.as_str(), to.as_str());
    if way == Way::Sent {
        name(&mut original, cx)?;
    }
    let copy = wrapped(&original, message.ty, way, cx.owner().as_str());
    for resource in wishing {
        // The copy of a message that is as large as one may be is not sent; the message is.
        if cx.deliver_xml(&resource, &copy).is_err() {
            cx.count("too_large", 1)?;
        }
    }
    cx.count("copied", 1)
}

/// Says on the copy of what was sent which name it has in the account's archive (XEP-0313 §3.4): the
/// message itself leaves without.
fn name(original: &mut String, cx: &mut Context<'_, '_>) -> Done {
    let archived = cx.get(&tables::ARCHIVED, tables::ARCHIVED_KEY)?;
    if let Some(archived) = archived.filter(|row| row.at_ms == cx.now_ms()) {
        let name = Element::new(ns::STANZA_ID, "stanza-id")
            .with_attr("by", cx.owner().as_str())
            .with_attr("id", &archived.id);
        let end = original.len().saturating_sub("</message>".len());
        original.insert_str(end, &name.to_xml(ns::CLIENT));
    }
    Ok(())
}

/// Returns the sessions that want a copy and do not get the message.
fn wishing(
    message: &Passing<'_>,
    way: Way,
    cx: &mut Context<'_, '_>,
) -> Result<Vec<String>, StanzaError> {
    let mut rows = cx.bystanders()?;
    if way == Way::Received {
        let sender = message.from.filter(|from| cx.is_own(Some(*from)));
        let sender = sender.and_then(JidRef::resource);
        rows.retain(|row| sender != Some(row.resource.as_str()));
        let is_waiting = message.ty != Some("error") && cx.targets()?.is_empty();
        if is_waiting {
            // It is kept for the first that can get messages: who is going to be that has none now.
            rows.retain(|row| row.available && row.priority < 0);
        }
    }
    let wants = |row: &SessionRow| row.values.iter().any(|(name, _)| name == WANTED);
    Ok(rows.into_iter().filter(wants).map(|row| row.resource).collect())
}

fn wrapped(original: &str, ty: Option<&str>, way: Way, owner: &str) -> String {
    let name = match way {
        Way::Sent => "sent",
        Way::Received => "received",
    };
    // Inside, the message says its namespace itself.
    let original = original.replacen("<message", "<message xmlns=\"jabber:client\"", 1);
    let forwarded = Element::new(ns::FORWARD, "forwarded").with_raw(original);
    let wrapper = Element::new(ns::CARBONS, name).with_child(forwarded);
    let mut message =
        Element::new(ns::CLIENT, "message").with_attr("from", owner).with_child(wrapper);
    if let Some(ty) = ty {
        message.push_attr("type", ty);
    }
    message.to_xml(ns::CLIENT)
}

/// Remembers that a message was copied.
fn remember(message: &Passing<'_>, way: Way, cx: &mut Context<'_, '_>) -> Done {
    let Some(number) = number(message, way) else { return Ok(()) };
    let mut copied = cx.get(&COPIED, COPIED_KEY)?.unwrap_or_default();
    copied.messages.push(number);
    let too_many = copied.messages.len().saturating_sub(COPIED_MAX);
    copied.messages.drain(..too_many);
    // Where there is no room, its error is not copied; the message is more than that.
    if cx.put(&COPIED, COPIED_KEY, &copied).is_err() {
        cx.count("forgotten", 1)?;
    }
    Ok(())
}

/// Forgets what was copied when the account's last session ends.
pub(crate) fn forget(cx: &mut Context<'_, '_>) -> Done {
    let own = cx.session_jid().and_then(JidRef::resource).unwrap_or("").to_owned();
    if cx.sessions()?.iter().any(|session| session.resource != own) {
        return Ok(());
    }
    cx.delete(&COPIED, COPIED_KEY)
}

/// Tells whether the message that an error answers was copied (§6.1).
fn was_copied(
    error: &Passing<'_>,
    way: Way,
    cx: &mut Context<'_, '_>,
) -> Result<bool, StanzaError> {
    let answered = match way {
        Way::Sent => Way::Received,
        Way::Received => Way::Sent,
    };
    let Some(number) = number(error, answered) else { return Ok(false) };
    let copied = cx.get(&COPIED, COPIED_KEY)?.unwrap_or_default();
    Ok(copied.messages.contains(&number))
}

/// Returns the number of a message with this id, which went this way, to or from the other side.
fn number(message: &Passing<'_>, way: Way) -> Option<u64> {
    // The error comes from whom the message went to, as the server of either writes it.
    let bare = |jid: Option<JidRef<'_>>| jid.map(|jid| jid.bare_str().to_owned());
    let other = match (way, message.is_error()) {
        (Way::Sent, false) | (Way::Received, true) => bare(message.to),
        (Way::Received, false) | (Way::Sent, true) => bare(message.from),
    }?;
    let way: &[u8] = if way == Way::Sent { b"sent\0" } else { b"received\0" };
    let bytes = way.iter().chain(other.as_bytes()).chain(b"\0").chain(message.id?.as_bytes());
    // FNV-1a: a collision copies an error too many, to who may see it all the same.
    Some(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}
