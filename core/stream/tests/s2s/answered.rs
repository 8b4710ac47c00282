//! Hostile answers to an initiator, and the condition that each gets.

use stream::s2s::{Choice, PeerEvent, PeerFailure, Role};
use xmpp::StreamError;

use crate::duo::{End, OURS, settings};
use crate::hostile::{SASL, TLS, header};

/// An initiator that is answered by a stranger.
fn initiator(is_tls: bool, choice: Choice, said: &[&str]) -> End {
    let role = Role::Initiator { local: "a.example".into(), remote: "b.example".into() };
    let mut end = End::new(settings(OURS, b"initiator"), role, is_tls);
    for text in said {
        end.written();
        end.peering.feed(text.as_bytes());
        while let Some(event) = end.peering.poll() {
            if let PeerEvent::Offered(_) = event {
                end.peering.answer_offered(choice.clone());
            }
            end.events.push(event);
        }
    }
    end.written();
    end
}

fn answer() -> String {
    header("from='b.example' to='a.example' id='i' version='1.0'")
}

#[test]
fn an_initiator_never_goes_on_in_clear() {
    use PeerFailure as F;
    let features = format!("<stream:features><starttls xmlns='{TLS}'/></stream:features>");
    let without = format!(
        "<stream:features><mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>\
         <dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"
    );
    let old = header("from='b.example' id='i'");
    let proceed = format!("<proceed xmlns='{TLS}'/>");
    let injected = format!("{proceed}<stream:features/>");
    for (said, failure) in [
        (vec![answer(), without], F::NoTls),
        (vec![answer(), "<stream:features/>".into()], F::NoTls),
        (
            vec![answer(), "<x:result from='b.example' to='a.example' type='valid'/>".into()],
            F::NoTls,
        ),
        (vec![answer(), "<message from='b.example' to='a.example'/>".into()], F::NoTls),
        (vec![old], F::NoTls),
        (vec![answer(), features.clone(), format!("<failure xmlns='{TLS}'/>")], F::NoTls),
        (vec![answer(), features.clone(), format!("<success xmlns='{SASL}'/>")], F::NoTls),
        (vec![answer(), features.clone(), "<stream:features/>".into()], F::NoTls),
        (vec![answer(), features.clone(), injected], F::Injected),
        (vec![answer(), features, format!("{proceed} ")], F::Injected),
        (vec![answer().replace("'b.", "'c.")], F::OtherDomain),
    ] {
        let texts: Vec<_> = said.iter().map(String::as_str).collect();
        let end = initiator(false, Choice::Dialback { bidi: true }, &texts);
        assert_eq!(end.failed().map(|failed| failed.1), Some(failure), "{said:?}");
        let start = format!("<starttls xmlns=\"{TLS}\"/>");
        let sent = end.clear.replacen(&start, "", 1);
        let (_, sent) = sent.split_once("<stream:stream ").unwrap();
        let (_, rest) = sent.split_once('>').unwrap();
        assert!(rest.starts_with("<stream:error>"), "{rest}");
        assert!(end.secret.is_empty() && end.peering.is_over());
    }
}

#[test]
fn answers_to_an_initiator() {
    use StreamError as E;
    let plain = "<stream:features/>";
    let offering = format!(
        "<stream:features><mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>\
         <bidi xmlns='urn:xmpp:features:bidi'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>"
    );
    let success = format!("<success xmlns='{SASL}'/>");
    let (dialback, external) = (Choice::Dialback { bidi: false }, Choice::External { bidi: false });
    let valid = "<x:result from='b.example' to='a.example' type='valid'/>";
    let message = "<message from='v@b.example' to='u@a.example'/>";
    for (choice, said, condition) in [
        (&dialback, vec![answer().replace("id='i'", "")], E::BadFormat),
        (&dialback, vec![answer().replace("from='b.", "from='c.")], E::InvalidFrom),
        (&dialback, vec![answer().replace("from='b.example'", "from='@'")], E::ImproperAddressing),
        (&dialback, vec![answer().replace("to='a.", "to='c.")], E::ImproperAddressing),
        (&dialback, vec![answer().replace("='jabber:server'", "='x'")], E::InvalidNamespace),
        (&dialback, vec![answer(), success.clone()], E::NotAuthorized),
        (&dialback, vec![answer(), plain.into(), plain.into()], E::NotAuthorized),
        (&dialback, vec![answer(), plain.into(), success.clone()], E::NotAuthorized),
        (&dialback, vec![answer(), plain.into(), message.into()], E::NotAuthorized),
        (&dialback, vec![answer(), plain.into(), valid.replace("'b.", "'c.")], E::InvalidFrom),
        (&dialback, vec![answer(), plain.into(), valid.replace("'a.", "'c.")], E::InvalidFrom),
        (&dialback, vec![answer(), plain.into(), valid.replace("'valid", "'good")], E::BadFormat),
        (&dialback, vec![answer(), plain.into(), valid.into(), valid.into()], E::InvalidFrom),
        // Nothing was said of both ways.
        (&dialback, vec![answer(), plain.into(), valid.into(), message.into()], E::NotAuthorized),
        (&external, vec![answer(), offering.clone(), message.into()], E::NotAuthorized),
        (&external, vec![answer(), offering.clone(), valid.into()], E::InvalidFrom),
        (
            &external,
            vec![answer(), offering.clone(), success.clone(), valid.into()],
            E::NotWellFormed,
        ),
        (
            &external,
            vec![answer(), offering, success, answer().replace("'b.", "'c.")],
            E::InvalidFrom,
        ),
    ] {
        let texts: Vec<_> = said.iter().map(String::as_str).collect();
        let end = initiator(true, choice.clone(), &texts);
        assert_eq!(end.failed().map(|failed| failed.0), Some(condition), "{said:?}");
        assert!(!end.secret.contains("<message"));
    }
}

#[test]
fn an_old_receiver_that_does_not_say_who_it_is() {
    let said = [&header("id='i' version='1.0'"), "<stream:features/>"];
    let end = initiator(true, Choice::Dialback { bidi: false }, &said);
    let PeerEvent::Offered(offered) = &end.events[0] else { panic!() };
    // It says by its prefix alone that it has dialback.
    assert!(offered.dialback && !offered.external && !offered.acks);
    assert!(end.secret.contains("<db:result from='a.example' to='b.example'>"), "{}", end.secret);
}

#[test]
fn a_challenge_to_external_is_answered_by_giving_up() {
    let features = format!(
        "<stream:features><mechanisms xmlns='{SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>\
         </stream:features>"
    );
    let challenge = format!("<challenge xmlns='{SASL}'/>");
    let said = [&answer(), features.as_str(), &challenge];
    let end = initiator(true, Choice::External { bidi: false }, &said);
    assert!(end.secret.ends_with("<abort xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/>"));
}
