//! When a service is told: what comes for a client without a connection, or is not acknowledged.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::SessionRow;

use crate::publish::{self, News};
use crate::rooms::is_encrypted;
use crate::services::{SERVICES, SERVICES_MAX, own};
use crate::{Content, Push};

/// That a timer looks after what connected clients do not acknowledge; one row.
const WATCHED: Table<str, Watched> = Table::volatile_account("push.watched");
/// The key of the row, and the name of the timer.
const WATCH: &str = "watch";

/// Until when nobody has to look again, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Watched {
    until_ms: u64,
}

record!(Watched, 1);

impl Push {
    /// Somebody asks to see the account's presence.
    pub(crate) fn asked(&self, presence: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        if presence.presence_kind() != Some(PresenceKind::Subscribe) || !cx.is_account()? {
            return Ok(Flow::Pass);
        }
        let from = presence.from.map(|from| from.bare_str().to_owned()).unwrap_or_default();
        let contact = cx.get(&tables::ROSTER, &*from)?.unwrap_or_default();
        // An answer needs nobody, and who asks again says nothing new.
        if !contact.from && !contact.approved && contact.pending_in.is_none() {
            self.tell_absent(presence, false, cx);
        }
        Ok(Flow::Pass)
    }

    /// A message came for the account.
    pub(crate) fn received(
        &self,
        message: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        let is_news = calypte::is_important(**message)
            && !message.is_error()
            && !message.has(ns::ARCHIVE, "result")
            && !cx.is_own(message.from);
        if is_news {
            self.tell_absent(message, is_for_one(message), cx);
        }
        Ok(Flow::Pass)
    }

    /// Somebody calls a device (XEP-0166).
    pub(crate) fn called(&self, iq: &mut Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let action = iq.child(ns::JINGLE, "jingle").and_then(|node| node.attr("action"));
        if iq.iq_kind() == Some(IqKind::Set) && action.as_deref() == Some("session-initiate") {
            self.tell_absent(iq, true, cx);
        }
        Ok(Flow::Pass)
    }

    /// Tells services of a stanza. It is kept and copied by then: whatever goes wrong here, its sender
    /// is not told that it failed.
    fn tell_absent(&self, stanza: &Passing<'_>, is_for_one: bool, cx: &mut Context<'_, '_>) {
        if self.try_to_tell(stanza, is_for_one, cx).is_err() {
            drop(cx.count("forgotten", 1));
        }
    }

    /// Tells the services of clients that have no connection; of one that has, looks later whether it
    /// really does.
    fn try_to_tell(
        &self,
        stanza: &Passing<'_>,
        is_for_one: bool,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let services = cx.all(&SERVICES, SERVICES_MAX)?;
        if services.is_empty() {
            return Ok(());
        }
        let (sessions, targets) = (cx.sessions()?, cx.targets()?);
        let news = self.news(stanza);
        let mut is_watched = false;
        for (key, service) in services {
            let mut sessions = sessions.iter().filter(|row| own(row).contains(&key)).peekable();
            let has_session = sessions.peek().is_some();
            let mut is_there = false;
            let mut is_meant = !is_for_one;
            for session in sessions {
                is_there |= !session.away;
                is_meant |= targets.contains(&session.resource)
                    && self.0.rooms.is_wanted(stanza, session, cx);
            }
            is_watched |= is_there && is_meant;
            if is_meant && !is_there && (has_session || !is_for_one) {
                publish::tell(self, &key, &service, &news, cx)?;
            }
        }
        if is_watched { self.watch(cx) } else { Ok(()) }
    }

    /// Says of a stanza what a service may know.
    fn news(&self, stanza: &Passing<'_>) -> News {
        let content = self.0.content;
        let is_message = stanza.kind == Kind::Message;
        let mention = mention(stanza);
        let inner_from = mention.and_then(|message| message.attr("from"));
        let from = inner_from.or_else(|| stanza.from.map(|from| from.as_str().into()));
        let sender = from.filter(|_| content >= Content::Sender && is_message);
        let said = mention.unwrap_or_else(|| stanza.content.root());
        let text = said.child_text(ns::CLIENT, "body");
        let text = text.filter(|_| content == Content::Text && !is_encrypted(said));
        News {
            messages: u32::from(is_message),
            sender: sender.map(std::borrow::Cow::into_owned),
            text: text.map(|text| text.chars().take(publish::TEXT_CHARS_MAX).collect()),
        }
    }

    /// Looks later whether clients acknowledged what they were sent.
    fn watch(&self, cx: &mut Context<'_, '_>) -> Done {
        if self.0.unacked.ms == 0 || cx.get(&WATCHED, WATCH)?.is_some() {
            return Ok(());
        }
        self.watch_until(cx.now_ms().saturating_add(self.0.unacked.ms), cx)
    }

    fn watch_until(&self, until_ms: u64, cx: &mut Context<'_, '_>) -> Done {
        // Without the row each message would put the timer off.
        if cx.put(&WATCHED, WATCH, &Watched { until_ms }).is_err() {
            return cx.count("forgotten", 1);
        }
        cx.wake_at(until_ms, WATCH)
    }

    /// A timer came.
    pub(crate) fn wake(&self, name: &str, cx: &mut Context<'_, '_>) -> Done {
        if name != WATCH {
            return publish::tell_late(self, name, cx);
        }
        cx.delete(&WATCHED, WATCH)?;
        let mut next_ms = None;
        for session in cx.sessions()?.iter().filter(|session| !session.away) {
            let Some(waiting_ms) = session.waiting_ms else { continue };
            let due_ms = waiting_ms.saturating_add(self.0.unacked.ms);
            if due_ms <= cx.now_ms() {
                self.tell_missed(session, cx)?;
            } else if !own(session).is_empty() {
                next_ms = Some(next_ms.map_or(due_ms, |next: u64| next.min(due_ms)));
            }
        }
        next_ms.map_or(Ok(()), |next_ms| self.watch_until(next_ms, cx))
    }

    /// A connection is lost: what its client did not acknowledge is news again.
    pub(crate) fn lost(&self, cx: &mut Context<'_, '_>) -> Done {
        let session = cx.session()?;
        if session.waiting_ms.is_some() { self.tell_missed(&session, cx) } else { Ok(()) }
    }

    /// A client is back over a new connection.
    pub(crate) fn resumed(&self, cx: &mut Context<'_, '_>) -> Done {
        for key in own(&cx.session()?) {
            publish::forget(&key, cx)?;
        }
        Ok(())
    }

    /// Tells the services of a session that something waits for it, once for what has waited longest.
    fn tell_missed(&self, session: &SessionRow, cx: &mut Context<'_, '_>) -> Done {
        for key in own(session) {
            let Some(service) = cx.get(&SERVICES, &key)? else { continue };
            if publish::is_new(&key, session.waiting_ms, cx)? {
                let news = News { messages: 1, sender: None, text: None };
                publish::tell(self, &key, &service, &news, cx)?;
            }
        }
        Ok(())
    }
}

/// Returns what was said in a room that tells of it, as somebody is mentioned there (XEP-0452). Of anybody
/// else it is not what it says.
fn mention<'a>(stanza: &Passing<'a>) -> Option<Node<'a>> {
    let mentions = stanza.child(ns::MENTIONS, "mentions")?;
    let message = mentions.child(ns::FORWARD, "forwarded")?.child(ns::CLIENT, "message")?;
    let said = Jid::parse(&message.attr("from")?).ok()?;
    let is_its = stanza.from.is_some_and(|room| room.as_str() == said.bare().as_str());
    is_its.then_some(message)
}

/// Tells whether a message is for the device that it is addressed to only: what is said in rooms, and
/// what is not to be copied.
fn is_for_one(message: &Passing<'_>) -> bool {
    let room = message.child(ns::MUC_USER, "x");
    let is_whisper = room.is_some_and(|room| !room.has_child(ns::MUC_USER, "invite"));
    message.message_kind() == MessageKind::Groupchat
        || is_whisper
        || message.has(ns::CARBONS, "private")
        || message.has(ns::HINTS, "no-copy")
}
