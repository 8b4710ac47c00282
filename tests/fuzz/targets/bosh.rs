//! Requests of BOSH: what is read of one is no longer than it may be, and a session in which requests come in
//! any order, twice, late or never hears each once and in order, and says each message once and in order.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use stream::Message;
use stream::bosh::{Event, Request, Session};
use xml::{Flat, Limits};

/// Bytes of the stanzas of one request.
const STANZA_BYTES: usize = 2_000;
/// What a client begins with.
const FIRST_RID: u64 = 100;

fn request(rid: u64, attrs: &str, inside: &str) -> Option<Request> {
    let text = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' sid='s' \
         rid='{rid}' {attrs}>{inside}</body>"
    );
    Request::read(&text, STANZA_BYTES)
}

/// A session, and what an honest witness wrote down about it.
struct Scene {
    session: Session,
    now: u64,
    tickets: u64,
    /// Which request came with which ticket.
    asked: BTreeMap<u64, u64>,
    answered: BTreeSet<u64>,
    /// Those whose connection is gone.
    gone: BTreeSet<u64>,
    /// The answers of each request.
    answers: BTreeMap<u64, String>,
    /// The numbers of the elements that were heard.
    heard: Vec<u64>,
    said: u64,
    is_broken: bool,
}

impl Scene {
    fn new(wait: u8, hold: u8) -> Self {
        let attrs = format!("to='a.example' wait='{wait}' hold='{hold}'");
        let first = request(FIRST_RID, &attrs, "").expect("a request");
        let session = Session::new("s".into(), "a.example", first, 0, 0);
        let mut scene = Self {
            session,
            now: 0,
            tickets: 0,
            asked: BTreeMap::from([(0, FIRST_RID)]),
            answered: BTreeSet::new(),
            gone: BTreeSet::new(),
            answers: BTreeMap::new(),
            heard: Vec::new(),
            said: 0,
            is_broken: false,
        };
        scene.look();
        scene
    }

    fn take(&mut self, rid: u64, request: Option<Request>) {
        let Some(request) = request else { return };
        self.tickets += 1;
        self.asked.insert(self.tickets, rid);
        self.session.take(request, self.tickets, self.now);
        self.look();
    }

    fn say(&mut self) {
        // As the host does: what nobody asks for waits at the stream.
        if !self.session.is_waiting() && !self.is_broken {
            self.session.send(Message::Element(format!("<m xmlns='u:m' n='{}'/>", self.said)));
            self.said += 1;
        }
        self.look();
    }

    fn look(&mut self) {
        self.session.flush(self.now);
        while let Some(event) = self.session.poll() {
            match event {
                Event::Heard(text) => {
                    let flat = Flat::parse(&text, "").expect("what is heard can be read");
                    let number = flat.root().attr("rid-of-test");
                    let number = number.and_then(|number| number.parse::<u64>().ok());
                    self.heard.extend(number);
                }
                Event::Answer { ticket, body } => {
                    assert!(self.answered.insert(ticket), "{ticket} is answered twice");
                    Flat::parse(&body, "").expect("an answer can be read");
                    let rid = self.asked[&ticket];
                    if body.contains("type='error'") || body.contains("type='terminate'") {
                        continue;
                    }
                    if let Some(before) = self.answers.insert(rid, body.clone()) {
                        assert_eq!(before, body, "who asks again gets the same");
                    }
                }
                Event::Broken => self.is_broken = true,
            }
        }
        if self.is_broken {
            let is_told = |ticket| self.answered.contains(ticket) || self.gone.contains(ticket);
            assert!(self.asked.keys().all(is_told), "all are told of the end");
        }
    }

    fn check(&self) {
        // Who asks again is answered in place of the connection before, which is told so.
        let asked = self.asked.iter();
        for (ticket, rid) in asked.filter(|(ticket, _)| !self.answered.contains(ticket)) {
            let is_last = self.asked.range(ticket + 1..).all(|(_, later)| later != rid);
            assert!(is_last || self.gone.contains(ticket), "{ticket} waits for ever");
        }
        // What was heard is what came, in the order of the numbers, each once.
        assert!(self.heard.is_sorted_by(|a, b| a < b), "{:?}", self.heard);
        let mut numbers = Vec::new();
        for body in self.answers.values() {
            let flat = Flat::parse(body, "").expect("an answer can be read");
            let root = flat.root();
            let messages = root.children().filter_map(|child| child.attr("n"));
            numbers.extend(messages.filter_map(|n| n.parse::<u64>().ok()));
        }
        let all: Vec<u64> = (0..u64::try_from(numbers.len()).expect("few")).collect();
        assert_eq!(numbers, all, "each message once and in order");
    }
}

/// Reads a request as it came, and sees to its bounds.
fn read(text: &str, session: &mut Session) {
    let Some(request) = Request::read(text, STANZA_BYTES) else { return };
    assert!(text.len() <= Request::bytes_max(STANZA_BYTES));
    session.take(request, 1, 0);
    session.flush(0);
    let mut bytes = 0;
    while let Some(event) = session.poll() {
        match event {
            Event::Heard(text) => {
                Flat::parse(&text, "").expect("what is heard can be read");
                bytes += text.len();
            }
            Event::Answer { body, .. } => {
                Flat::parse_message(&body, "", &Limits::ours()).expect("an answer can be read");
            }
            Event::Broken => {}
        }
    }
    // What stands in attributes may need escapes as the header of a stream.
    assert!(bytes <= 8 * Request::bytes_max(STANZA_BYTES), "{bytes}");
}

fuzz_target!(|bytes: &[u8]| {
    let [how, wait, rest @ ..] = bytes else { return };
    if how & 1 == 1 {
        let Ok(text) = std::str::from_utf8(rest) else { return };
        let Some(first) = Request::read(text, STANZA_BYTES) else { return };
        read(text, &mut Session::new("s".into(), "a.example", first, 0, 0));
        let first = request(*wait as u64 | 1, "to='a.example'", "").expect("a request");
        return read(text, &mut Session::new("s".into(), "a.example", first, 0, 0));
    }
    let mut scene = Scene::new(*wait, how >> 1 & 3);
    let mut next = FIRST_RID + 1;
    for pair in rest.chunks_exact(2) {
        let [op, value] = [pair[0], pair[1]];
        let rid = (next + u64::from(value >> 4)).saturating_sub(3);
        let content = format!("<a xmlns='u:a' rid-of-test='{rid}'/>");
        match op % 9 {
            0 => scene.take(next, request(next, "", "")),
            1 => {
                let content = format!("<a xmlns='u:a' rid-of-test='{next}'/>");
                scene.take(next, request(next, "", &content));
            }
            2 | 3 => scene.take(rid, request(rid, "", &content)),
            4 => scene.say(),
            5 => {
                scene.now += u64::from(value) * 100;
                scene.look();
            }
            6 => {
                // Its connection is gone.
                let ticket = scene.tickets.saturating_sub(u64::from(value & 3));
                scene.session.give_up(ticket, scene.now);
                scene.gone.insert(ticket);
                scene.look();
            }
            7 => scene.take(next, request(next, &format!("pause='{value}'"), "")),
            _ if value < 8 => {
                scene.session.send(Message::Close("<close/>".into()));
                scene.look();
            }
            _ if value < 16 => scene.take(next, request(next, "type='terminate'", "")),
            _ => scene.take(next, request(next, "to='a.example' xmpp:restart='true'", "")),
        }
        if matches!(op % 9, 0 | 1 | 7 | 8) {
            next += 1;
        }
        let _ = (scene.session.due(), scene.session.is_lost(scene.now), scene.session.is_told());
        if scene.is_broken {
            break;
        }
    }
    scene.check();
});
