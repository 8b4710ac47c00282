//! A stream inside requests and answers of HTTP: BOSH (XEP-0124) for XMPP (XEP-0206).
//!
//! [`Request::read`] reads what a client posts; [`Session`] says in which order it counts and what each
//! request is answered. The caller has sockets and time, and carries messages between a session and
//! its [`crate::Stream`].

mod request;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use xml::{Element, escape_attr};
use xmpp::ns;

pub use self::request::Request;
use crate::Message;

/// How long a request may be held, in seconds.
const WAIT_SECONDS_MAX: u64 = 60;
/// How long a client may have no request here, in seconds.
const INACTIVITY_SECONDS: u64 = 60;
/// The same when it said that it needs a pause (XEP-0124 §10).
const PAUSE_SECONDS_MAX: u64 = 120;
/// Who has nothing to say and no reason to ask waits so long, in seconds (XEP-0124 §11, §12).
const POLLING_SECONDS: u64 = 2;
/// How often in a row it may do so all the same: a page that is loaded again asks before anybody knows
/// that the connection of its last request is gone.
const HASTE_MAX: u8 = 3;
/// Requests that are held.
const HOLD_MAX: usize = 1;
/// How often one request may be sent again while it is held.
const RETRIES_MAX: u8 = 8;
/// Answers that are kept. A client that asks again has had others in between, which came on other
/// connections.
const ANSWERS_MAX: usize = 4;
/// What one answer carries, in bytes, unless a single message is longer.
const ANSWER_BYTES: usize = 65_536;

/// One client's session. Times are in milliseconds, from any beginning.
pub struct Session {
    sid: String,
    domain: String,
    wait_ms: u64,
    hold: usize,
    next_rid: u64,
    held: VecDeque<Held>,
    /// Requests that came before the one in front of them, with their tickets, unless nobody waits for the
    /// answer any more, and how often they were sent again.
    ahead: BTreeMap<u64, (Request, Option<u64>, u8)>,
    /// Answers, for who did not get them.
    answered: VecDeque<(u64, String)>,
    unsent: VecDeque<Message>,
    /// What the first answer says of the session.
    greeting: Option<String>,
    asked_at: u64,
    /// Requests in a row that came too early.
    hasty: u8,
    /// Whether the last answer carried nothing and the last request neither.
    was_idle: bool,
    /// Since when no request is here.
    absent_since: Option<u64>,
    absence_ms: u64,
    /// Why it ended; nothing is taken any more.
    over: Option<Option<&'static str>>,
    events: VecDeque<Event>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who knows its name and number can speak in it.
        f.debug_struct("Session").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

/// A request that is not answered.
#[derive(Clone, Copy, Debug)]
struct Held {
    rid: u64,
    ticket: u64,
    until: u64,
    retries: u8,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Give this to the stream.
    Heard(String),
    /// Answer the request that came with this ticket.
    Answer {
        /// Of the request.
        ticket: u64,
        /// The body, as `text/xml`.
        body: String,
    },
    /// The client broke the rules of the session, which is over.
    Broken,
}

impl Session {
    /// Begins a session with the request that wants it. `sid` must be unpredictable.
    #[must_use]
    pub fn new(sid: String, domain: &str, request: Request, ticket: u64, now: u64) -> Self {
        let wait = request.wait.min(WAIT_SECONDS_MAX);
        let hold = if wait == 0 { 0 } else { request.hold.min(HOLD_MAX) };
        let mut greeting = format!(
            " wait='{wait}' hold='{hold}' requests='{}' inactivity='{INACTIVITY_SECONDS}' \
             polling='{POLLING_SECONDS}' maxpause='{PAUSE_SECONDS_MAX}' ver='1.11' sid='{sid}' \
             xmlns:xmpp='{}' xmpp:version='1.0' xmpp:restartlogic='true' from='",
            hold.saturating_add(1),
            ns::XBOSH,
        );
        escape_attr(domain, &mut greeting);
        greeting.push('\'');
        let mut session = Self {
            sid,
            domain: domain.to_owned(),
            wait_ms: wait.saturating_mul(1000),
            hold,
            next_rid: request.rid.saturating_add(1),
            held: VecDeque::new(),
            ahead: BTreeMap::new(),
            answered: VecDeque::new(),
            unsent: VecDeque::new(),
            greeting: Some(greeting),
            asked_at: now,
            hasty: 0,
            was_idle: false,
            absent_since: None,
            absence_ms: INACTIVITY_SECONDS * 1000,
            over: None,
            events: VecDeque::new(),
        };
        session.events.push_back(Event::Heard(request.opening(domain)));
        session.hold(request.rid, Some(ticket), now);
        session
    }

    /// Returns its name.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Takes a request of this session. `ticket` stands for it in [`Event::Answer`].
    pub fn take(&mut self, request: Request, ticket: u64, now: u64) {
        self.absent_since = None;
        if let Some(condition) = self.over {
            let body = last(condition, "");
            return self.events.push_back(Event::Answer { ticket, body });
        }
        let rid = request.rid;
        let held = self.held.iter_mut().find(|held| held.rid == rid);
        let held =
            held.map(|held| (Some(std::mem::replace(&mut held.ticket, ticket)), &mut held.retries));
        let ahead = self.ahead.get_mut(&rid);
        let ahead = ahead.map(|(_, waiting, retries)| (waiting.replace(ticket), retries));
        if let Some((old, retries)) = held.or(ahead) {
            // XEP-0124 §14.3. Its connection broke.
            *retries = retries.saturating_add(1);
            let is_mad = *retries > RETRIES_MAX;
            if let Some(ticket) = old {
                let body = format!("<body xmlns='{}' type='error'/>", ns::HTTP_BIND);
                self.events.push_back(Event::Answer { ticket, body });
            }
            if is_mad {
                self.fail("policy-violation", None);
            }
            return;
        }
        if let Some((_, body)) = self.answered.iter().find(|(answered, _)| *answered == rid) {
            let body = body.clone();
            self.events.push_back(Event::Answer { ticket, body });
            self.note_absence(now);
            return;
        }
        // One more may come to pause or to end it.
        let more = u64::from(request.pause.is_some() || request.is_end);
        let window = u64::try_from(self.hold).unwrap_or(0).saturating_add(1 + more);
        if rid < self.next_rid || rid >= self.next_rid.saturating_add(window) {
            return self.fail("item-not-found", Some(ticket));
        }
        self.ahead.insert(rid, (request, Some(ticket), 0));
        while let Some((request, ticket, _)) = self.ahead.remove(&self.next_rid) {
            self.hasty =
                if self.is_hasty(&request, now) { self.hasty.saturating_add(1) } else { 0 };
            if self.hasty > HASTE_MAX {
                return self.fail("policy-violation", ticket);
            }
            self.hear(request, ticket, now);
        }
    }

    /// XEP-0124 §11, §12: it asks though it need not.
    fn is_hasty(&self, request: &Request, now: u64) -> bool {
        let is_soon = now.saturating_sub(self.asked_at) < POLLING_SECONDS * 1000;
        let has_one_here = self.hold > 0 && self.held.len() >= self.hold;
        let has_nothing_new = self.hold == 0 && self.was_idle;
        request.is_empty() && is_soon && (has_one_here || has_nothing_new)
    }

    fn hear(&mut self, mut request: Request, ticket: Option<u64>, now: u64) {
        (self.next_rid, self.asked_at) = (request.rid.saturating_add(1), now);
        if request.is_restart {
            // What stands in it is not looked at (XEP-0206 §5).
            self.events.push_back(Event::Heard(request.opening(&self.domain)));
        } else {
            let content = std::mem::take(&mut request.content);
            self.was_idle = content.is_empty();
            self.events.extend(content.into_iter().map(Event::Heard));
        }
        if request.is_end {
            let close = Element::new(ns::FRAMING, "close").to_xml("");
            self.events.push_back(Event::Heard(close));
        }
        let pause = request.pause.map(|pause| pause.clamp(1, PAUSE_SECONDS_MAX));
        self.absence_ms = pause.unwrap_or(INACTIVITY_SECONDS).saturating_mul(1000);
        if pause.is_some() {
            // XEP-0124 §10, §14.3: nothing stands in the answer, since nobody can ask for it again.
            while !self.held.is_empty() {
                self.answer(now);
            }
            let answer = |ticket| Event::Answer { ticket, body: wrap("", "") };
            self.events.extend(ticket.map(answer));
            self.note_absence(now);
        } else {
            self.hold(request.rid, ticket, now);
        }
    }

    /// Holds a request, unless nobody waits for its answer.
    fn hold(&mut self, rid: u64, ticket: Option<u64>, now: u64) {
        let until = now.saturating_add(self.wait_ms);
        match ticket {
            Some(ticket) => self.held.push_back(Held { rid, ticket, until, retries: 0 }),
            None => self.remember(rid, wrap("", "")),
        }
    }

    /// Notes that nobody waits for the answer to a request any more: what there is to say is kept for the
    /// next.
    pub fn give_up(&mut self, ticket: u64, now: u64) {
        // One that others have to come before is heard all the same.
        let mut ahead = self.ahead.values_mut().map(|(_, waiting, _)| waiting);
        if let Some(waiting) = ahead.find(|waiting| **waiting == Some(ticket)) {
            *waiting = None;
        }
        let Some(at) = self.held.iter().position(|held| held.ticket == ticket) else { return };
        if let Some(held) = self.held.remove(at) {
            self.remember(held.rid, wrap("", ""));
            self.note_absence(now);
        }
    }

    /// Takes what the stream says. Not to be asked for more while [`Session::is_waiting`].
    pub fn send(&mut self, message: Message) {
        match message {
            // The answer says it.
            Message::Open(_) => {}
            Message::Close(_) => {
                let is_error = |message: &Message| message.text().starts_with("<stream:error");
                let condition = self.unsent.back().filter(|last| is_error(last));
                self.over = Some(condition.map(|_| "remote-stream-error"));
            }
            Message::Element(_) if self.over.is_none() => self.unsent.push_back(message),
            Message::Element(_) => {}
        }
    }

    /// Tells whether there is something to say and no request to answer with it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.held.is_empty() && !self.unsent.is_empty()
    }

    /// Answers the requests that are to be answered now.
    pub fn flush(&mut self, now: u64) {
        while let Some(oldest) = self.held.front() {
            let is_full = self.held.len() > self.hold;
            let is_due = now >= oldest.until;
            if self.unsent.is_empty() && self.over.is_none() && !is_full && !is_due {
                break;
            }
            self.answer(now);
        }
        if let Some(condition) = self.over {
            // What they wait for does not come any more.
            let ahead = std::mem::take(&mut self.ahead).into_values();
            let answer = |ticket| Event::Answer { ticket, body: last(condition, "") };
            self.events.extend(ahead.filter_map(|(_, ticket, _)| ticket).map(answer));
        }
        self.note_absence(now);
    }

    /// Returns what has to be done next.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Session::flush`] or [`Session::is_lost`] has news.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        let lost = self.absent_since.map(|since| since.saturating_add(self.absence_ms));
        self.held.front().map(|held| held.until).or(lost)
    }

    /// Tells whether the client has not asked for too long.
    #[must_use]
    pub fn is_lost(&self, now: u64) -> bool {
        self.absent_since.is_some_and(|since| now >= since.saturating_add(self.absence_ms))
    }

    /// Tells whether the session ended and all was said.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.over.is_some() && self.unsent.is_empty() && self.held.is_empty()
    }

    fn note_absence(&mut self, now: u64) {
        if self.held.is_empty() && self.absent_since.is_none() {
            self.absent_since = Some(now);
        }
    }

    /// Answers the oldest request with what there is.
    fn answer(&mut self, now: u64) {
        let Some(Held { rid, ticket, .. }) = self.held.pop_front() else { return };
        let mut content = String::new();
        while let Some(message) = self.unsent.front() {
            let bytes = content.len().saturating_add(message.text().len());
            if !content.is_empty() && bytes > ANSWER_BYTES {
                break;
            }
            content.push_str(message.text());
            self.unsent.pop_front();
        }
        self.was_idle &= content.is_empty();
        let greeting = self.greeting.take().unwrap_or_default();
        let body = match self.over {
            Some(condition) if self.unsent.is_empty() => {
                // The others hear of it too, and not twice.
                self.over = Some(None);
                last(condition, &content)
            }
            _ => wrap(&greeting, &content),
        };
        self.remember(rid, body.clone());
        self.events.push_back(Event::Answer { ticket, body });
        self.note_absence(now);
    }

    fn remember(&mut self, rid: u64, body: String) {
        self.answered.push_back((rid, body));
        while self.answered.len() > ANSWERS_MAX {
            self.answered.pop_front();
        }
    }

    /// Ends the session for what the client did.
    fn fail(&mut self, condition: &'static str, ticket: Option<u64>) {
        self.over = Some(Some(condition));
        self.unsent.clear();
        let others = self.held.drain(..).map(|held| held.ticket);
        let ahead =
            std::mem::take(&mut self.ahead).into_values().filter_map(|(_, ticket, _)| ticket);
        for ticket in others.chain(ahead).chain(ticket) {
            let body = last(Some(condition), "");
            self.events.push_back(Event::Answer { ticket, body });
        }
        self.events.push_back(Event::Broken);
    }
}

/// Returns the answer that ends a session, such as one that nobody knows (`item-not-found`).
#[must_use]
pub fn refusal(condition: &'static str) -> String {
    last(Some(condition), "")
}

fn wrap(attrs: &str, content: &str) -> String {
    let (bind, streams) = (ns::HTTP_BIND, ns::STREAMS);
    format!("<body xmlns='{bind}' xmlns:stream='{streams}'{attrs}>{content}</body>")
}

fn last(condition: Option<&str>, content: &str) -> String {
    let condition = condition.map(|condition| format!(" condition='{condition}'"));
    format!(
        "<body xmlns='{}' xmlns:stream='{}' type='terminate'{}>{content}</body>",
        ns::HTTP_BIND,
        ns::STREAMS,
        condition.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests;
