use xml::Flat;

use super::request::RID_MAX;
use super::*;

struct Duo {
    session: Session,
    now: u64,
    tickets: u64,
}

fn request(rid: u64, inside: &str) -> Request {
    let text = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='{rid}' sid='s' {inside}</body>"
    );
    Request::read(&text, 10_000).unwrap()
}

impl Duo {
    fn new(hold: u8) -> Self {
        let wanted = request(100, &format!("to='a.example' wait='20' hold='{hold}'>"));
        let session = Session::new("s".into(), "a.example", wanted, 0, 0);
        let mut duo = Self { session, now: 0, tickets: 0 };
        duo.says("<stream:features/>");
        let heard = duo.events();
        let open = "<open xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" to=\"a.example\" version=\"1.0\"/>";
        assert_eq!(heard.first(), Some(&Event::Heard(open.into())));
        assert!(matches!(heard.get(1), Some(Event::Answer { ticket: 0, body })
            if body.contains(" sid='s' ") && body.contains("<stream:features/>")));
        duo
    }

    fn events(&mut self) -> Vec<Event> {
        self.session.flush(self.now);
        std::iter::from_fn(|| self.session.poll()).collect()
    }

    fn says(&mut self, text: &str) {
        self.session.send(Message::Element(text.into()));
    }

    /// Sends a request and returns its ticket.
    fn asks(&mut self, rid: u64, inside: &str) -> u64 {
        self.tickets += 1;
        self.session.take(request(rid, inside), self.tickets, self.now);
        self.tickets
    }

    /// Returns the answers that were given, shortened to what matters.
    fn answers(&mut self) -> Vec<(u64, String)> {
        let events = self.events();
        let answer = |event| match event {
            Event::Answer { ticket, body } => Some((ticket, short(&body))),
            Event::Heard(_) | Event::Broken => None,
        };
        events.into_iter().filter_map(answer).collect()
    }
}

fn short(body: &str) -> String {
    let flat = Flat::parse(body, "").unwrap();
    let word = |name| flat.root().attr(name).map(|value| value.into_owned());
    let words = [word("type"), word("condition"), Some(flat.root().inner().to_owned())];
    words.into_iter().flatten().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn told(pairs: &[(u64, &str)]) -> Vec<(u64, String)> {
    pairs.iter().map(|(ticket, body)| (*ticket, (*body).to_owned())).collect()
}

#[test]
fn holds_one_until_there_is_something() {
    let mut duo = Duo::new(1);
    let first = duo.asks(101, ">");
    assert_eq!(duo.answers(), []);
    duo.says("<a/>");
    duo.says("<b/>");
    assert_eq!(duo.answers(), told(&[(first, "<a/><b/>")]));
    // A second one lets the first go.
    let second = duo.asks(102, ">");
    let third = duo.asks(103, "><message xmlns='jabber:client'/>");
    assert_eq!(duo.answers(), told(&[(second, "")]));
    duo.now = 20_000;
    assert_eq!(duo.answers(), told(&[(third, "")]));
}

#[test]
fn hears_in_the_order_of_their_numbers() {
    let mut duo = Duo::new(1);
    duo.asks(102, "><b xmlns='u:b'/>");
    assert_eq!(duo.events(), []);
    duo.asks(101, "><a/>");
    let heard: Vec<_> = duo.events().into_iter().filter(|e| matches!(e, Event::Heard(_))).collect();
    let one = |text: &str| Event::Heard(text.into());
    assert_eq!(heard, [one("<a xmlns=\"jabber:client\"/>"), one("<b xmlns=\"u:b\"/>")]);
}

#[test]
fn answers_again_what_was_not_received() {
    let mut duo = Duo::new(1);
    duo.asks(101, "><a/>");
    duo.says("<answer/>");
    let first = duo.answers();
    let again = duo.asks(101, "><a/>");
    let events = duo.events();
    assert_eq!(events.len(), 1, "it is not heard twice");
    assert!(matches!(&events[0], Event::Answer { ticket, body }
        if *ticket == again && short(body) == first[0].1));
    // While it is held, the last connection gets the answer.
    let lost = duo.asks(102, ">");
    let found = duo.asks(102, ">");
    assert_eq!(duo.answers(), told(&[(lost, "error")]));
    duo.says("<late/>");
    assert_eq!(duo.answers(), told(&[(found, "<late/>")]));
}

#[test]
fn what_waits_for_another_may_be_sent_again() {
    let mut duo = Duo::new(1);
    let lost = duo.asks(102, "><b/>");
    let found = duo.asks(102, "><b/>");
    assert_eq!(duo.answers(), told(&[(lost, "error")]));
    let first = duo.asks(101, "><a/>");
    let mut events = duo.events();
    events.retain(|event| matches!(event, Event::Heard(_)));
    let heard = ["<a xmlns=\"jabber:client\"/>", "<b xmlns=\"jabber:client\"/>"];
    assert_eq!(events, heard.map(|text| Event::Heard(text.into())), "each is heard once");
    assert!(duo.session.held.iter().all(|held| held.ticket == found && first != found));
    duo.says("<late/>");
    assert_eq!(duo.answers(), told(&[(found, "<late/>")]));
    // Not for ever.
    let mut duo = Duo::new(1);
    for _ in 0..=RETRIES_MAX {
        duo.asks(102, ">");
        assert!(!duo.events().contains(&Event::Broken), "a few are borne");
    }
    let last = duo.asks(102, ">");
    let before = (last - 1, "error".to_owned());
    assert_eq!(duo.answers(), [before, (last, "terminate policy-violation".to_owned())]);
}

#[test]
fn a_number_out_of_the_window_ends_it() {
    for rid in [99, 103, RID_MAX] {
        let mut duo = Duo::new(1);
        let held = duo.asks(101, ">");
        duo.now = 5_000;
        let wrong = duo.asks(if rid == 103 { 104 } else { rid }, ">");
        let why = "terminate item-not-found";
        assert_eq!(duo.answers(), told(&[(held, why), (wrong, why)]));
        let after = duo.asks(102, ">");
        assert_eq!(duo.answers(), told(&[(after, why)]));
    }
}

#[test]
fn who_asks_for_nothing_too_often_is_refused() {
    let mut duo = Duo::new(1);
    for rid in 101..105 {
        duo.asks(rid, ">");
        duo.now += 100;
        assert!(!duo.events().contains(&Event::Broken), "a few are borne");
    }
    duo.asks(105, ">");
    assert!(duo.events().contains(&Event::Broken));
    // With nothing held, one request a while.
    let mut duo = Duo::new(0);
    let rids = [(101, 3_000), (102, 6_000)];
    for (rid, now) in rids {
        duo.now = now;
        let ticket = duo.asks(rid, ">");
        assert_eq!(duo.answers(), told(&[(ticket, "")]));
    }
    for rid in 103..106 {
        duo.now += 100;
        duo.asks(rid, ">");
    }
    duo.events();
    let ticket = duo.asks(106, ">");
    assert_eq!(duo.answers(), told(&[(ticket, "terminate policy-violation")]));
    // The same request again and again.
    let mut duo = Duo::new(1);
    for _ in 0..=RETRIES_MAX + 1 {
        duo.asks(101, ">");
    }
    assert!(duo.events().contains(&Event::Broken));
}

#[test]
fn is_lost_after_silence_and_later_after_a_pause() {
    let mut duo = Duo::new(1);
    assert_eq!(duo.session.due(), Some(60_000));
    assert!(!duo.session.is_lost(59_999) && duo.session.is_lost(60_000));
    duo.asks(101, ">");
    duo.events();
    assert_eq!(duo.session.due(), Some(20_000));
    duo.now = 3_000;
    duo.asks(102, "pause='120'>");
    assert_eq!(duo.answers().len(), 2);
    assert!(!duo.session.is_lost(122_000) && duo.session.is_lost(123_000));
}

#[test]
fn a_pause_loses_nothing() {
    for hold in [0, 1] {
        let mut duo = Duo::new(hold);
        let before = duo.asks(101, ">");
        duo.events();
        if hold == 1 {
            duo.session.give_up(before, 0);
        }
        duo.now = 3_000;
        duo.says("<kept/>");
        let pause = duo.asks(102, "pause='60'>");
        assert_eq!(duo.answers(), told(&[(pause, "")]), "nothing stands in its answer");
        assert!(duo.session.is_waiting());
        let again = duo.asks(101, ">");
        assert_eq!(
            duo.answers(),
            told(&[(again, "")]),
            "what was answered before can be had again"
        );
        let next = duo.asks(103, ">");
        assert_eq!(duo.answers(), told(&[(next, "<kept/>")]));
        // But not the pause itself.
        let again = duo.asks(102, "pause='60'>");
        assert_eq!(duo.answers(), told(&[(again, "terminate item-not-found")]));
    }
}

#[test]
fn what_nobody_waits_for_is_kept() {
    let mut duo = Duo::new(1);
    let gone = duo.asks(101, ">");
    duo.events();
    duo.session.give_up(gone, 500);
    duo.says("<kept/>");
    assert_eq!(duo.answers(), []);
    assert!(duo.session.is_waiting());
    assert!(duo.session.is_lost(60_500) && !duo.session.is_lost(60_499));
    // A page that was loaded again goes on with the next number, another one sends the same again.
    let again = duo.asks(101, ">");
    let next = duo.asks(102, ">");
    assert_eq!(duo.answers(), told(&[(again, ""), (next, "<kept/>")]));
}

#[test]
fn what_nobody_waits_for_before_its_turn_is_heard_and_not_answered() {
    let mut duo = Duo::new(1);
    let gone = duo.asks(102, "><b/>");
    duo.session.give_up(gone, 0);
    let first = duo.asks(101, "><a/>");
    let mut heard = duo.events();
    heard.retain(|event| matches!(event, Event::Heard(_)));
    let both = ["<a xmlns=\"jabber:client\"/>", "<b xmlns=\"jabber:client\"/>"];
    assert_eq!(heard, both.map(|text| Event::Heard(text.into())));
    duo.says("<kept/>");
    assert_eq!(duo.answers(), told(&[(first, "<kept/>")]), "the other would not get it");
    // Who sends it again hears of it, whether it was its turn or not.
    let again = duo.asks(102, "><b/>");
    let early = duo.asks(104, ">");
    duo.session.give_up(early, 0);
    let later = duo.asks(104, ">");
    assert_eq!(duo.answers(), told(&[(again, "")]));
    let next = duo.asks(103, ">");
    assert_eq!(duo.answers(), told(&[(next, "")]));
    duo.says("<late/>");
    assert_eq!(duo.answers(), told(&[(later, "<late/>")]));
}

#[test]
fn who_came_before_its_turn_is_told_of_the_end() {
    let mut duo = Duo::new(1);
    let early = duo.asks(102, ">");
    duo.session.send(Message::Close(String::new()));
    assert_eq!(duo.answers(), told(&[(early, "terminate")]));
}

#[test]
fn ends() {
    let mut duo = Duo::new(1);
    let held = duo.asks(101, ">");
    duo.now = 5_000;
    let end =
        duo.asks(102, "type='terminate'><presence xmlns='jabber:client' type='unavailable'/>");
    let close = "<close xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\"/>";
    assert_eq!(duo.session.poll().map(|e| matches!(e, Event::Heard(_))), Some(true));
    assert_eq!(duo.session.poll(), Some(Event::Heard(close.into())));
    duo.session.send(Message::Close(String::new()));
    assert_eq!(duo.answers(), told(&[(held, "terminate"), (end, "terminate")]));
    assert!(duo.session.is_told());
    // An error of the stream is told as such.
    let mut duo = Duo::new(1);
    let held = duo.asks(101, ">");
    duo.says("<stream:error/>");
    duo.session.send(Message::Close(String::new()));
    let told_to = told(&[(held, "terminate remote-stream-error <stream:error/>")]);
    assert_eq!(duo.answers(), told_to);
}

#[test]
fn reads_only_requests() {
    let read = |text: &str| Request::read(text, 10_000).is_some();
    let ns = "xmlns='http://jabber.org/protocol/httpbind'";
    assert!(read(&format!("<?xml version='1.0'?>\n<body {ns} rid='1'/>\n")));
    for wrong in [
        "",
        "<body rid='1'/>",
        "<body xmlns='http://jabber.org/protocol/httpbind'/>",
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='0'/>",
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='9007199254740992'/>",
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' hold='many'/>",
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>",
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'/><body/>",
    ] {
        assert!(!read(wrong), "{wrong}");
    }
    let long = format!("<body {ns} rid='1'><a>{}</a></body>", "x".repeat(20_000));
    assert!(!read(&long));
}

#[test]
fn what_is_copied_is_bounded() {
    let bind = "http://jabber.org/protocol/httpbind";
    let long = "'".repeat(256);
    let read = |count, of: &str, (before, after): (&str, &str)| {
        let content = of.repeat(count);
        let text = format!(
            "<body xmlns='{bind}' xmlns:a=\"{long}\" rid='1'>{before}{content}{after}</body>"
        );
        Request::read(&text, 10_000).map(|request| request.content.concat().len())
    };
    // Each copy says the namespace, in which each mark takes six bytes.
    for (of, around) in [
        ("<a:b/>", ("", "")),
        ("<a:b/>", ("<c>", "</c>")),
        ("<c a:b=''/>", ("", "")),
        ("<c a:b=''/>", ("<c>", "</c>")),
    ] {
        assert!(read(2, of, around).is_some_and(|bytes| (3_000..4_000).contains(&bytes)));
        for count in [12, 40, 1_000] {
            assert_eq!(read(count, of, around), None, "{count} {of} {around:?}");
        }
    }
    // One that all are in is said once by each.
    assert!(read(1_000, "<a:b/>", ("<a:c>", "</a:c>")).is_some());
    assert!(read(200, "<presence xmlns='jabber:client'/>", ("", "")).is_some());
}
