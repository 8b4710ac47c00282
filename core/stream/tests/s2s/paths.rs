//! Every way to authenticate, and what passes then.

use stream::s2s::{Choice, DialbackOutcome, Extended, How, PeerEvent, PeerFailure, Refusal};
use xmpp::{Condition, ErrorKind, Stanza, StanzaError, StreamError};

use crate::duo::{Duo, message, proof};

const EXTERNAL: Choice = Choice::External { bidi: false };
const DIALBACK: Choice = Choice::Dialback { bidi: false };

fn pair(local: &str, remote: &str, how: How, is_bidi: bool) -> (String, String, How, bool) {
    (local.to_owned(), remote.to_owned(), how, is_bidi)
}

#[track_caller]
fn passes(duo: &mut Duo, from: &str, to: &str) {
    let before = duo.receiver.stanzas().len();
    assert!(duo.initiator.peering.send(&message(from, to)));
    duo.run();
    assert_eq!(duo.receiver.stanzas().len(), before + 1, "{:?}", duo.receiver.failed());
}

#[track_caller]
fn passes_back(duo: &mut Duo, from: &str, to: &str) {
    let before = duo.initiator.stanzas().len();
    assert!(duo.receiver.peering.send(&message(from, to)));
    duo.run();
    assert_eq!(duo.initiator.stanzas().len(), before + 1, "{:?}", duo.initiator.failed());
}

#[test]
fn external_after_starttls() {
    let mut duo = Duo::choosing(false, &[EXTERNAL]);
    let told = ["StartTls", "Offered", "AcksOn", "Authenticated"];
    assert_eq!(duo.initiator.told(), told);
    let told = ["StartTls", "Opened", "External", "Authenticated", "AcksOn"];
    assert_eq!(duo.receiver.told(), told);
    assert_eq!(duo.initiator.pairs(), [pair("a.example", "b.example", How::External, false)]);
    assert_eq!(duo.receiver.pairs(), [pair("b.example", "a.example", How::External, false)]);
    passes(&mut duo, "u@a.example/r", "v@b.example");
    // Not back, and not for anybody else.
    assert!(!duo.receiver.peering.send(&message("v@b.example", "u@a.example")));
    assert!(!duo.initiator.peering.send(&message("u@rooms.a.example", "v@b.example")));
    assert!(!duo.initiator.peering.send(&message("u@a.example", "v@rooms.b.example")));
}

#[test]
fn nothing_but_the_start_of_tls_is_said_in_clear() {
    let duo = Duo::choosing(false, &[EXTERNAL]);
    let start = "<starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>";
    let header = duo.initiator.clear.strip_suffix(start).unwrap();
    assert!(header.starts_with("<?xml version='1.0'?><stream:stream xmlns='jabber:server'"));
    assert_eq!(header.matches('<').count(), 2, "{header}");
    let (header, rest) = duo.receiver.clear.split_once("<stream:features>").unwrap();
    assert_eq!(header.matches('<').count(), 2, "{header}");
    assert_eq!(
        rest,
        "<starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"><required/></starttls>\
         </stream:features><proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>"
    );
}

#[test]
fn each_header_is_complete_and_has_an_id_of_its_own() {
    let duo = Duo::choosing(false, &[EXTERNAL]);
    let all = [duo.receiver.clear.as_str(), duo.receiver.secret.as_str()].concat();
    let mut ids: Vec<_> = all.split(" id='").skip(1).map(|rest| &rest[..24]).collect();
    assert_eq!(ids.len(), 3, "{all}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{all}");
    let said = [duo.initiator.clear.as_str(), duo.initiator.secret.as_str()].concat();
    let header = "<stream:stream xmlns='jabber:server' \
         xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
         version='1.0' xml:lang='en' from='a.example' to='b.example'>";
    assert_eq!(said.matches(header).count(), 3, "{said}");
    assert_eq!(all.matches(" from='b.example' to='a.example'>").count(), 3, "{all}");
}

#[test]
fn only_the_first_header_of_a_connection_has_a_declaration() {
    for is_tls in [false, true] {
        let duo = Duo::choosing(is_tls, &[EXTERNAL]);
        for side in [&duo.initiator, &duo.receiver] {
            let said = [side.clear.as_str(), side.secret.as_str()].concat();
            assert!(said.starts_with("<?xml version='1.0'?><stream:stream "), "{said}");
            assert_eq!(said.matches("<?xml").count(), 1, "{said}");
            assert_eq!(said.matches("<stream:stream ").count(), if is_tls { 2 } else { 3 });
        }
    }
}

#[test]
fn dialback_over_tls() {
    let mut duo = Duo::choosing(false, &[DIALBACK]);
    assert_eq!(duo.initiator.pairs(), [pair("a.example", "b.example", How::Dialback, false)]);
    assert_eq!(duo.receiver.pairs(), [pair("b.example", "a.example", How::Dialback, false)]);
    assert!(duo.initiator.peering.has_acks() && duo.receiver.peering.has_acks());
    passes(&mut duo, "u@a.example/r", "v@b.example");
}

#[test]
fn a_key_that_nobody_made_ends_the_first_stream() {
    let mut duo = Duo::new(true);
    duo.choices = vec![DIALBACK];
    duo.outcome = Some(DialbackOutcome::Invalid);
    duo.run();
    assert_eq!(duo.initiator.told(), ["Offered", "PairRefused", "Closed"]);
    assert_eq!(duo.receiver.told(), ["Opened", "Dialback", "PairRefused", "Closed"]);
    assert!(duo.initiator.peering.is_over() && duo.receiver.peering.is_over());
}

#[test]
fn a_key_that_could_not_be_checked_leaves_the_stream() {
    let mut duo = Duo::new(true);
    let error = StanzaError::new(ErrorKind::Wait, Condition::RemoteServerTimeout);
    duo.choices = vec![DIALBACK];
    duo.outcome = Some(DialbackOutcome::Error(error.clone()));
    duo.run();
    let Some(PeerEvent::PairRefused { local, remote, why }) = duo.initiator.events.last() else {
        panic!("{:?}", duo.initiator.events)
    };
    assert_eq!((local.as_str(), remote.as_str()), ("a.example", "b.example"));
    assert_eq!(why, &Refusal::Error(error));
    duo.outcome = None;
    assert!(duo.initiator.peering.add_pair("a.example", "b.example"));
    duo.run();
    passes(&mut duo, "u@a.example", "v@b.example");
}

#[test]
fn each_pair_is_proved_for_itself() {
    let mut duo = Duo::choosing(true, &[EXTERNAL]);
    assert!(duo.initiator.peering.add_pair("rooms.a.example", "b.example"));
    assert!(!duo.initiator.peering.add_pair("rooms.a.example", "b.example"), "under way");
    duo.run();
    assert!(duo.initiator.peering.add_pair("a.example", "rooms.b.example"));
    duo.run();
    passes(&mut duo, "r@rooms.a.example", "v@b.example");
    passes(&mut duo, "u@a.example", "r@rooms.b.example");
    assert!(!duo.initiator.peering.may_send("rooms.a.example", "rooms.b.example"));
    // A false key for one more pair takes nothing from the others.
    duo.outcome = Some(DialbackOutcome::Invalid);
    assert!(duo.initiator.peering.add_pair("rooms.a.example", "rooms.b.example"));
    duo.run();
    let why = Refusal::Error(StanzaError::FORBIDDEN);
    assert!(matches!(duo.initiator.events.last(),
        Some(PeerEvent::PairRefused { why: its, .. }) if *its == why));
    passes(&mut duo, "u@a.example", "v@b.example");
}

#[test]
fn pairs_wait_until_the_first_choice_is_made() {
    let mut duo = Duo::new(true);
    let header = duo.initiator.written();
    duo.receiver.peering.feed(header.as_bytes());
    assert!(matches!(duo.receiver.peering.poll(), Some(PeerEvent::Opened { .. })));
    duo.receiver.peering.answer_opened(duo.offer.clone());
    let features = duo.receiver.written();
    assert!(!duo.initiator.peering.add_pair("rooms.a.example", "b.example"), "no features");
    duo.initiator.peering.feed(features.as_bytes());
    assert!(matches!(duo.initiator.peering.poll(), Some(PeerEvent::Offered(_))));
    assert!(!duo.initiator.peering.add_pair("rooms.a.example", "b.example"), "a question is open");
    duo.initiator.peering.answer_offered(EXTERNAL);
    assert!(!duo.initiator.peering.add_pair("rooms.a.example", "b.example"), "SASL is under way");
    assert!(!duo.initiator.peering.verify("a.example", "b.example", "i", "k"));
    duo.run();
    assert!(duo.initiator.peering.add_pair("rooms.a.example", "b.example"));
    duo.run();
    passes(&mut duo, "r@rooms.a.example", "v@b.example");
}

#[test]
fn a_domain_that_is_not_theirs_is_not_found() {
    let mut duo = Duo::choosing(true, &[EXTERNAL]);
    assert!(duo.initiator.peering.add_pair("a.example", "c.example"));
    duo.run();
    let why = Refusal::Error(StanzaError::ITEM_NOT_FOUND);
    assert!(matches!(duo.initiator.events.last(),
        Some(PeerEvent::PairRefused { remote, why: its, .. }) if *its == why && remote == "c.example"));
    passes(&mut duo, "u@a.example", "v@b.example");
}

#[test]
fn stanzas_pass_both_ways_when_both_said_so() {
    for choice in [
        Choice::External { bidi: true },
        Choice::Dialback { bidi: true },
        Choice::Extension { element: proof("i"), bidi: true },
    ] {
        let mut duo = Duo::new(true);
        duo.choices = vec![choice.clone()];
        duo.extended = vec![(Some(proof("r")), Extended::Proved), (None, Extended::Proved)];
        duo.run();
        assert!(duo.initiator.pairs()[0].3 && duo.receiver.pairs()[0].3);
        passes(&mut duo, "u@a.example", "v@b.example");
        passes_back(&mut duo, "v@b.example", "u@a.example");
        assert!(!duo.receiver.peering.may_send("rooms.b.example", "a.example"));
        assert_eq!(duo.receiver.peering.unacknowledged(), 1);
        // Where it is not offered it is not asked for.
        let mut duo = Duo::new(true);
        duo.offer.bidi = false;
        duo.choices = vec![choice];
        duo.extended = vec![(Some(proof("r")), Extended::Proved), (None, Extended::Proved)];
        duo.run();
        assert!(!duo.initiator.pairs()[0].3);
        assert!(!duo.receiver.peering.may_send("b.example", "a.example"));
    }
}

#[test]
fn an_element_of_ours_proves_both() {
    let mut duo = Duo::new(false);
    duo.offer.more = vec![xml::Element::new("urn:calypte:core:0", "calypte").with_text("policy")];
    duo.choices = vec![
        Choice::Extension { element: proof("1"), bidi: false },
        Choice::Extension { element: proof("2"), bidi: false },
    ];
    duo.extended = vec![
        (Some(proof("more")), Extended::Again),
        (None, Extended::Again),
        (Some(proof("r")), Extended::Proved),
        (None, Extended::Proved),
    ];
    duo.run();
    let PeerEvent::Offered(offered) = &duo.initiator.events[1] else { panic!() };
    assert!(offered.more[0].root().is("urn:calypte:core:0", "calypte"));
    assert_eq!(offered.limits, Some(262_144));
    assert_eq!(duo.initiator.pairs(), [pair("a.example", "b.example", How::Extension, false)]);
    assert_eq!(duo.receiver.pairs(), [pair("b.example", "a.example", How::Extension, false)]);
    passes(&mut duo, "u@a.example", "v@b.example");
}

#[test]
fn dialback_after_external_was_refused() {
    let mut duo = Duo::new(true);
    duo.certificate_is_good = false;
    duo.choices = vec![EXTERNAL, DIALBACK];
    duo.run();
    let PeerEvent::Offered(first) = &duo.initiator.events[0] else { panic!() };
    assert!(first.external && first.dialback && first.refused.is_none());
    let PeerEvent::Offered(again) = &duo.initiator.events[1] else { panic!() };
    assert!(!again.external && again.dialback);
    assert_eq!(again.refused.as_deref(), Some("not-authorized"));
    assert_eq!(duo.receiver.pairs(), [pair("b.example", "a.example", How::Dialback, false)]);
    passes(&mut duo, "u@a.example", "v@b.example");
}

#[test]
fn stanzas_are_counted_both_ways() {
    let mut duo = Duo::choosing(true, &[Choice::External { bidi: true }]);
    for _ in 0..3 {
        passes(&mut duo, "u@a.example", "v@b.example");
    }
    duo.initiator.peering.request_ack();
    duo.run();
    assert!(matches!(duo.receiver.events.last(), Some(PeerEvent::AckRequested)));
    assert_eq!(duo.initiator.peering.unacknowledged(), 3);
    duo.receiver.peering.ack(2);
    duo.run();
    assert!(matches!(duo.initiator.events.last(), Some(PeerEvent::Acked { h: 2 })));
    assert_eq!(duo.initiator.peering.unacknowledged(), 1);
    duo.receiver.peering.ack(4);
    duo.run();
    let failed = Some((StreamError::UndefinedCondition, PeerFailure::Protocol));
    assert_eq!(duo.initiator.failed(), failed);
    assert!(duo.initiator.secret.contains("handled-count-too-high"));
    assert!(matches!(duo.receiver.events.last(), Some(PeerEvent::Ended(_))));
}

#[test]
fn nothing_is_counted_where_it_is_not_offered() {
    let mut duo = Duo::new(true);
    duo.offer.acks = false;
    duo.choices = vec![EXTERNAL];
    duo.run();
    assert!(!duo.initiator.peering.has_acks() && !duo.initiator.pairs().is_empty());
    passes(&mut duo, "u@a.example", "v@b.example");
    assert_eq!(duo.initiator.peering.unacknowledged(), 0);
    assert!(!duo.initiator.secret.contains("urn:xmpp:sm:3"));
}

#[test]
fn what_the_peer_takes_is_known_before_it_is_sent() {
    let long = |bytes: usize| {
        let body = "x".repeat(bytes);
        let xml =
            format!("<message from='u@a.example' to='v@b.example'><body>{body}</body></message>");
        Stanza::parse(&xml).unwrap()
    };
    let around = long(0).to_xml().len();
    let duo = Duo::choosing(true, &[EXTERNAL]);
    assert!(duo.initiator.peering.takes(&long(262_144 - around)));
    assert!(!duo.initiator.peering.takes(&long(262_145 - around)));
    // A receiver is told nothing.
    assert!(duo.receiver.peering.takes(&long(262_145 - around)));
}

#[test]
fn both_close() {
    let mut duo = Duo::choosing(true, &[EXTERNAL]);
    duo.initiator.peering.close(None);
    duo.run();
    assert!(matches!(duo.receiver.events.last(), Some(PeerEvent::Closed)));
    assert!(duo.receiver.secret.ends_with("</stream:stream>"));
    let mut duo = Duo::choosing(true, &[EXTERNAL]);
    duo.receiver.peering.close(Some(StreamError::SystemShutdown));
    duo.run();
    let Some(PeerEvent::Ended(received)) = duo.initiator.events.last() else { panic!() };
    assert_eq!(received.condition, Some(StreamError::SystemShutdown));
    assert!(!duo.initiator.peering.send(&message("u@a.example", "v@b.example")));
}

/// A message that crossed our close.
const LATE: &str = "<message from='v@b.example' to='u@a.example'><body>late</body></message>";

fn closing() -> Duo {
    let mut duo = Duo::choosing(true, &[Choice::External { bidi: true }]);
    duo.initiator.peering.close(None);
    assert!(duo.initiator.written().ends_with("</stream:stream>"));
    assert!(!duo.initiator.peering.is_over());
    duo
}

#[test]
fn what_crosses_a_close_is_heard_and_nothing_is_said() {
    let mut duo = closing();
    let peering = &mut duo.initiator.peering;
    assert!(!peering.send(&message("u@a.example", "v@b.example")));
    assert!(!peering.add_pair("rooms.a.example", "b.example"));
    assert!(!peering.verify("a.example", "b.example", "1", "key"));
    peering.request_ack();
    peering.ack(1);
    peering.close(None);
    peering.feed(LATE.as_bytes());
    assert!(matches!(peering.poll(), Some(PeerEvent::Stanza(_))));
    peering.feed(b"<r xmlns='urn:xmpp:sm:3'/><db:verify from='b.example' to='a.example' id='1'>k");
    peering.feed(b"</db:verify><strange xmlns='urn:strange'/><a xmlns='urn:xmpp:sm:3' h='0'/>");
    assert!(matches!(peering.poll(), Some(PeerEvent::Acked { h: 0 })));
    assert!(peering.poll().is_none() && !peering.is_over());
    peering.feed(b"</stream:stream>");
    assert!(matches!(peering.poll(), Some(PeerEvent::Closed)));
    assert!(peering.is_over() && peering.output().is_empty());
    peering.feed(LATE.as_bytes());
    assert!(peering.poll().is_none());
}

#[test]
fn who_breaks_the_protocol_after_our_close_is_not_heard_any_more() {
    let forged = LATE.replace("v@b.example", "v@c.example");
    let error = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    for bytes in
        [forged.as_str(), error, "<a xmlns='urn:xmpp:sm:3' h='7'/>", "<message></b>", "<!--"]
    {
        let mut duo = closing();
        let peering = &mut duo.initiator.peering;
        peering.feed(bytes.as_bytes());
        while let Some(event) = peering.poll() {
            assert!(matches!(event, PeerEvent::Failed(..)), "{event:?} for {bytes}");
        }
        assert!(peering.is_over() && peering.output().is_empty(), "{bytes}");
    }
    let mut duo = closing();
    duo.initiator.peering.close(Some(StreamError::SystemShutdown));
    assert!(duo.initiator.peering.is_over() && duo.initiator.peering.output().is_empty());
}

#[test]
fn a_close_that_nobody_proved_is_the_end() {
    let mut duo = Duo::new(true);
    duo.initiator.peering.close(None);
    assert!(duo.initiator.peering.is_over());
}
