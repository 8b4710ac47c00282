//! Handing out what waited: to one session at a time, page by page.

use bincode::{Decode, Encode};
use calypte::prelude::*;
use calypte::wire::SessionRow;

use crate::Offline;
use crate::keep::{self, Kept};

/// Whose turn it is; one row. Lost with the process, as are the connections.
const TURN: Table<str, Turn> = Table::volatile_account("offline.turn");
/// The key of the row.
const TURN_KEY: &str = "turn";
/// The most bytes of a page, where it is more than one message.
const PAGE_BYTES: usize = 32 << 10;
/// How often a client is asked whether it has a page.
const ASKED_MAX: u8 = 5;

/// A session that is being given what waited, and has not said that it has the last page.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Turn {
    resource: String,
    /// The number of the page, so that a late answer does not count for another.
    page: Vec<u8>,
    /// Messages of the page that are deleted when the client has it.
    places: Vec<keep::Place>,
    /// How often the client was asked.
    asked: u8,
}

record!(Turn, 1);

impl Offline {
    /// A client that can get messages is given what waited (RFC 6121 §8.5.2.2.1).
    pub(crate) fn presence(
        &self,
        presence: &mut Passing<'_>,
        cx: &mut Context<'_, '_>,
    ) -> HookResult {
        if presence.to.is_none() {
            let session = cx.session()?;
            if is_ready(&session) {
                self.begin(&session, cx)?;
            } else {
                self.end_turn_of(&session.resource, cx)?;
            }
        }
        Ok(Flow::Pass)
    }

    pub(crate) fn resumed(&self, cx: &mut Context<'_, '_>) -> Done {
        let session = cx.session()?;
        let turn = cx.get(&TURN, TURN_KEY)?;
        let is_its_turn = turn.is_none_or(|turn| turn.resource == session.resource);
        if is_ready(&session) && is_its_turn {
            // What it had and did not acknowledge comes from its session.
            self.give_page(&session, cx)?;
        }
        Ok(())
    }

    pub(crate) fn closed(&self, cx: &mut Context<'_, '_>) -> Done {
        let session = cx.session()?;
        self.end_turn_of(&session.resource, cx)
    }

    /// Starts with a session, unless it or another one is at it.
    fn begin(&self, session: &SessionRow, cx: &mut Context<'_, '_>) -> Done {
        if let Some(turn) = cx.get(&TURN, TURN_KEY)? {
            let others = cx.sessions()?;
            let is_at_it = |row: &SessionRow| row.resource == turn.resource && is_ready(row);
            if others.iter().any(is_at_it) {
                return Ok(());
            }
            cx.hold(&turn.resource, false)?;
            cx.delete(&TURN, TURN_KEY)?;
        }
        self.give_page(session, cx)
    }

    /// A session is over or wants no messages any more: the next one gets the rest.
    fn end_turn_of(&self, resource: &str, cx: &mut Context<'_, '_>) -> Done {
        let turn = cx.get(&TURN, TURN_KEY)?;
        if turn.is_none_or(|turn| turn.resource != resource) {
            return Ok(());
        }
        cx.hold(resource, false)?;
        cx.delete(&TURN, TURN_KEY)?;
        let sessions = cx.sessions()?;
        let next = sessions.iter().find(|row| row.resource != resource && is_ready(row));
        next.map_or(Ok(()), |next| self.give_page(next, cx))
    }

    /// Gives the next messages to a session. New ones wait behind those that are left.
    fn give_page(&self, session: &SessionRow, cx: &mut Context<'_, '_>) -> Done {
        let rows = keep::oldest(self.0.page.saturating_add(1), cx)?;
        let (mut places, mut unheard, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for (place, kept) in rows.iter().take(usize::try_from(self.0.page).unwrap_or(1)) {
            if is_unheard(kept, cx)? {
                unheard.push(*place);
                continue;
            }
            bytes = bytes.saturating_add(kept.xml.len());
            if !places.is_empty() && bytes > PAGE_BYTES {
                break;
            }
            let xml = with_delay(kept, cx.domain());
            cx.hand_over(&session.resource, kept.since_ms, &xml)?;
            places.push(*place);
        }
        let has_more = rows.len() > places.len().saturating_add(unheard.len());
        if !unheard.is_empty() {
            keep::delete(&unheard, cx)?;
            cx.count("unheard", u64::try_from(unheard.len()).unwrap_or(0))?;
        }
        if session.resumable {
            keep::delete(&places, cx)?;
            places.clear();
        }
        cx.hold(&session.resource, has_more)?;
        if !has_more && places.is_empty() {
            return cx.delete(&TURN, TURN_KEY);
        }
        let page = cx.random(8)?;
        let turn = Turn { resource: session.resource.clone(), page, places, asked: 0 };
        ask(turn, cx)
    }

    /// A client answered the ping behind a page: whatever it says, it has the page.
    pub(crate) fn answered(
        &self,
        page: &[u8],
        answer: StanzaRef<'_>,
        cx: &mut Context<'_, '_>,
    ) -> Done {
        let Some(turn) = cx.get(&TURN, TURN_KEY)?.filter(|turn| turn.page == page) else {
            return Ok(());
        };
        let sessions = cx.sessions()?;
        let Some(session) = sessions.iter().find(|row| row.resource == turn.resource) else {
            return cx.delete(&TURN, TURN_KEY);
        };
        if is_timeout(answer) {
            if session.away {
                // It goes on when the client comes back.
                return Ok(());
            }
            if turn.asked < ASKED_MAX {
                return ask(turn, cx);
            }
            // It reads nothing, or answers nothing. What is left waits for its next presence.
            cx.hold(&turn.resource, false)?;
            return cx.delete(&TURN, TURN_KEY);
        }
        keep::delete(&turn.places, cx)?;
        if is_ready(session) {
            self.give_page(session, cx)
        } else {
            self.end_turn_of(&turn.resource, cx)
        }
    }

    /// Lets a message that is not kept through to a session for which others are kept.
    pub(crate) fn pass_by(&self, message: &Passing<'_>, cx: &mut Context<'_, '_>) -> HookResult {
        let Some(turn) = cx.get(&TURN, TURN_KEY)? else { return Ok(Flow::Pass) };
        let sessions = cx.sessions()?;
        let is_there = sessions.iter().any(|row| row.resource == turn.resource && is_ready(row));
        let (Some(from), Some(to), true) = (message.from, message.to, is_there) else {
            return Ok(Flow::Pass);
        };
        cx.deliver_xml(&turn.resource, &message.readdressed(from.as_str(), to.as_str()))?;
        Ok(Flow::Handled)
    }
}

/// Tells whether a session can get messages to the account.
fn is_ready(session: &SessionRow) -> bool {
    session.available && session.priority >= 0 && !session.away
}

/// Asks a client whether it has what was sent before.
fn ask(mut turn: Turn, cx: &mut Context<'_, '_>) -> Done {
    let to = cx.owner_jid().with_resource(&turn.resource).map_err(|_| StanzaError::INTERNAL)?;
    let ping = Element::new(ns::CLIENT, "iq")
        .with_attr("type", "get")
        .with_attr("to", to.as_str())
        .with_child(Element::new(ns::PING, "ping"));
    turn.asked = turn.asked.saturating_add(1);
    cx.request(&ping, &turn.page)?;
    cx.put(&TURN, TURN_KEY, &turn)
}

fn is_timeout(answer: StanzaRef<'_>) -> bool {
    let error = answer.child(ns::CLIENT, "error");
    error.is_some_and(|error| error.has_child(ns::STANZA_ERRORS, "remote-server-timeout"))
}

/// Tells whether the account does not hear the sender any more (XEP-0191 §3.3).
fn is_unheard(kept: &Kept, cx: &mut Context<'_, '_>) -> Result<bool, StanzaError> {
    let message = Flat::parse_ours(&kept.xml, ns::CLIENT).ok();
    let from = message.as_ref().and_then(|message| message.root().attr("from"));
    let Some(from) = from else { return Ok(false) };
    Ok(cx.without_blocked(vec![from.as_ref()])?.is_empty())
}

fn with_delay(kept: &Kept, domain: &str) -> String {
    let delay = xep::delay::delay(JidRef::trusted(domain), kept.since_ms).to_xml(ns::CLIENT);
    match kept.xml.strip_suffix("</message>") {
        Some(start) => format!("{start}{delay}</message>"),
        None => kept.xml.clone(),
    }
}
