//! Hostile input to a receiver, and the condition that each gets.

use stream::s2s::{DialbackOutcome, Offer, PeerEvent, Role};
use xmpp::StreamError;

use crate::duo::{End, THEIRS, offer, settings};

pub(crate) const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(crate) const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

pub(crate) fn header(attrs: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:x='jabber:server:dialback' \
         xmlns:stream='http://etherx.jabber.org/streams' {attrs}>"
    )
}

fn opening() -> String {
    header("from='a.example' to='b.example' version='1.0'")
}

fn auth(text: &str) -> String {
    format!("<auth xmlns='{SASL}' mechanism='EXTERNAL'>{text}</auth>")
}

/// A receiver that is sent text by a stranger.
struct Receiver {
    end: End,
    offer: Offer,
    good: bool,
    outcome: Option<DialbackOutcome>,
}

impl Receiver {
    fn new(is_tls: bool) -> Self {
        let end = End::new(settings(THEIRS, b"receiver"), Role::Receiver, is_tls);
        Self { end, offer: offer(), good: true, outcome: Some(DialbackOutcome::Valid) }
    }

    fn over_tls() -> Self {
        let mut receiver = Self::new(true);
        receiver.send(&opening());
        receiver
    }

    /// One that knows the peer as `a.example`.
    fn authenticated() -> Self {
        let mut receiver = Self::over_tls();
        receiver.send(&auth("="));
        receiver.send(&opening());
        assert_eq!(receiver.end.pairs().len(), 1, "{:?}", receiver.end.events);
        receiver
    }

    fn send(&mut self, text: &str) -> String {
        self.end.peering.feed(text.as_bytes());
        while let Some(event) = self.end.peering.poll() {
            match &event {
                PeerEvent::Opened { .. } => self.end.peering.answer_opened(self.offer.clone()),
                PeerEvent::External { .. } => self.end.peering.answer_external(self.good),
                PeerEvent::Dialback { local, remote, .. } => {
                    if let Some(outcome) = &self.outcome {
                        self.end.peering.answer_dialback(local, remote, outcome.clone());
                    }
                }
                PeerEvent::Extension(_) => {
                    let again = stream::s2s::Extended::Again;
                    self.end.peering.answer_extension(None, again);
                }
                _ => {}
            }
            self.end.events.push(event);
        }
        self.end.written()
    }

    /// Sends text that ends the stream with this condition.
    #[track_caller]
    fn ends(&mut self, text: &str, condition: StreamError) {
        let answer = self.send(text);
        assert_eq!(self.end.failed().map(|failed| failed.0), Some(condition), "{text}\n{answer}");
        let named = format!("<stream:error><{} xmlns=", condition.name());
        assert!(answer.contains(&named), "{text}\n{answer}");
        assert!(answer.ends_with("</stream:error></stream:stream>"), "{answer}");
        // Also an error before any header of theirs follows one of ours.
        assert_eq!(
            self.end.clear.matches("<stream:stream").count() > 0,
            !self.end.clear.is_empty()
        );
        assert!(self.end.peering.is_over());
    }
}

#[test]
fn headers() {
    use StreamError as E;
    for (attrs, condition) in [
        ("from='a.example' to='c.example' version='1.0'", E::HostUnknown),
        ("from='a.example' version='1.0'", E::HostUnknown),
        ("from='a.example' to='u@b.example' version='1.0'", E::ImproperAddressing),
        ("from='a.example' to='@' version='1.0'", E::ImproperAddressing),
        ("from='a b' to='b.example' version='1.0'", E::ImproperAddressing),
        ("from='' to='b.example' version='1.0'", E::ImproperAddressing),
        ("from='a.example/r' to='b.example' version='1.0'", E::ImproperAddressing),
        ("from='rooms.b.example' to='b.example' version='1.0'", E::InvalidFrom),
        ("from='a.example' to='b.example'", E::UnsupportedVersion),
        ("from='a.example' to='b.example' version='0.9'", E::UnsupportedVersion),
    ] {
        Receiver::new(true).ends(&header(attrs), condition);
        Receiver::new(false).ends(&header(attrs), condition);
    }
    for (text, condition) in [
        (opening().replace("='jabber:server'", "='jabber:client'"), E::InvalidNamespace),
        (opening().replace("etherx", "other"), E::InvalidNamespace),
        (opening().replace("stream:stream", "stream:flow"), E::BadFormat),
        ("<a/>".to_owned(), E::NotWellFormed),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), E::NotWellFormed),
        ("<!DOCTYPE a><a>".to_owned(), E::RestrictedXml),
        (format!("<a b='{}", "c".repeat(20_000)), E::PolicyViolation),
    ] {
        Receiver::new(true).ends(&text, condition);
    }
}

#[test]
fn in_clear() {
    let start = format!("<starttls xmlns='{TLS}'/>");
    for text in [
        auth("="),
        "<x:result from='a.example' to='b.example'>key</x:result>".into(),
        "<x:verify from='a.example' to='b.example' id='1'>key</x:verify>".into(),
        "<message from='a.example' to='b.example'/>".into(),
        "<bidi xmlns='urn:xmpp:bidi'/>".into(),
        "<enable xmlns='urn:xmpp:sm:3'/>".into(),
        "<proof xmlns='urn:calypte:tls:0'/>".into(),
        format!("<proceed xmlns='{TLS}'/>"),
        format!("{start}<message from='a.example' to='b.example'/>"),
        format!("{start} "),
    ] {
        let mut receiver = Receiver::new(false);
        receiver.send(&opening());
        receiver.ends(&text, StreamError::PolicyViolation);
        assert!(!receiver.end.clear.contains("valid"), "{}", receiver.end.clear);
        assert!(!receiver.end.clear.contains("<proceed"), "{}", receiver.end.clear);
    }
}

#[test]
fn over_tls_before_anything_is_proved() {
    use StreamError as E;
    for (text, condition) in [
        ("<message from='u@a.example' to='v@b.example'/>", E::NotAuthorized),
        ("<iq from='a.example' to='b.example' type='get' id='1'/>", E::NotAuthorized),
        ("<enable xmlns='urn:xmpp:sm:3'/>", E::NotAuthorized),
        ("<a xmlns='urn:xmpp:sm:3' h='0'/>", E::NotAuthorized),
        ("<r xmlns='urn:xmpp:sm:3'/>", E::NotAuthorized),
        ("<resume xmlns='urn:xmpp:sm:3' previd='1' h='0'/>", E::NotAuthorized),
        ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", E::NotAuthorized),
        ("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</response>", E::NotAuthorized),
        ("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", E::NotAuthorized),
        ("<other xmlns='urn:other'/>", E::NotAuthorized),
        ("<stream:features/>", E::NotAuthorized),
        ("<x:result from='a.example'>key</x:result>", E::ImproperAddressing),
        ("<x:result to='b.example'>key</x:result>", E::ImproperAddressing),
        ("<x:result from='u@a.example' to='b.example'>k</x:result>", E::ImproperAddressing),
        ("<x:result from='a.example' to='b.example'/>", E::BadFormat),
        ("<x:result from='rooms.b.example' to='b.example'>k</x:result>", E::InvalidFrom),
        // Answers to what was never asked.
        ("<x:result from='a.example' to='b.example' type='valid'/>", E::InvalidFrom),
        ("<x:verify from='a.example' to='b.example' id='1' type='valid'/>", E::InvalidFrom),
        ("<x:verify from='a.example' to='b.example'>key</x:verify>", E::BadFormat),
        ("<x:other from='a.example' to='b.example'/>", E::UnsupportedStanzaType),
        ("<q:a/>", E::BadNamespacePrefix),
        ("<a></b>", E::NotWellFormed),
        ("<!-- -->", E::RestrictedXml),
        ("text", E::NotWellFormed),
    ] {
        Receiver::over_tls().ends(text, condition);
    }
    let long = format!("<x:result from='a.example' to='b.example'>{}</x:result>", "k".repeat(600));
    Receiver::over_tls().ends(&long, StreamError::BadFormat);
    let longer = format!("<other xmlns='urn:other'>{}", "x".repeat(11_000));
    Receiver::over_tls().ends(&longer, StreamError::PolicyViolation);
    let proofs = "<proof xmlns='urn:calypte:tls:0'/>".repeat(5);
    let mut receiver = Receiver::over_tls();
    receiver.ends(&proofs, StreamError::PolicyViolation);
    assert_eq!(receiver.end.told().iter().filter(|name| *name == "Extension").count(), 4);
}

#[test]
fn bidi_only_before_and_only_where_offered() {
    let bidi = "<bidi xmlns='urn:xmpp:bidi'/>";
    let mut receiver = Receiver::new(true);
    receiver.offer.bidi = false;
    receiver.send(&opening());
    receiver.ends(bidi, StreamError::NotAuthorized);
    Receiver::authenticated().ends(bidi, StreamError::UnsupportedStanzaType);
}

#[test]
fn external_names() {
    // base64 of a.example, A.EXAMPLE., c.example, u@a.example, b.example, and of no UTF-8.
    for (text, answer) in [
        ("=", "<success"),
        ("YS5leGFtcGxl", "<success"),
        ("\n  YS5leGFtcGxl\n", "<success"),
        ("QS5FWEFNUExFLg==", "<success"),
        ("Yy5leGFtcGxl", "<invalid-authzid"),
        ("dUBhLmV4YW1wbGU=", "<invalid-authzid"),
        ("Yi5leGFtcGxl", "<invalid-authzid"),
        ("/////w==", "<invalid-authzid"),
        ("%%%", "<incorrect-encoding"),
        ("YS5leGFtcGxl=", "<incorrect-encoding"),
        ("", "<challenge"),
    ] {
        let mut receiver = Receiver::over_tls();
        let heard = receiver.send(&auth(text));
        assert!(heard.contains(answer), "{text}: {heard}");
    }
    // The name in the header and the one in SASL are one domain in two forms.
    let mut receiver = Receiver::new(true);
    receiver.send(&header("from='xn--bcher-kva.example' to='B.example' version='1.0'"));
    let heard = receiver.send(&auth("YsO8Y2hlci5leGFtcGxl"));
    assert!(heard.contains("<success"), "{heard}");
    // One that said no name has to say it now.
    let nameless = header("to='b.example' version='1.0'");
    let mut receiver = Receiver::new(true);
    receiver.send(&nameless);
    assert!(receiver.send(&auth("=")).contains("<invalid-authzid"));
    assert!(receiver.send(&auth("YS5leGFtcGxl")).contains("<success"));
    let PeerEvent::External { remote } = &receiver.end.events[1] else { panic!() };
    assert_eq!(remote, "a.example");
}

#[test]
fn external_is_tried_three_times() {
    let mut receiver = Receiver::over_tls();
    receiver.good = false;
    assert!(receiver.send(&auth("=")).contains("<not-authorized"));
    assert!(receiver.send(&auth("=")).contains("<not-authorized"));
    receiver.ends(&auth("="), StreamError::PolicyViolation);
    let mut receiver = Receiver::over_tls();
    let plain = auth("=").replace("EXTERNAL", "PLAIN");
    assert!(receiver.send(&plain).contains("<invalid-mechanism"));
    assert!(receiver.send(&auth("")).contains("<challenge"));
    let abort = format!("<abort xmlns='{SASL}'/>");
    assert!(receiver.send(&abort).contains("<aborted"));
    receiver.good = true;
    assert!(receiver.send(&auth("")).contains("<challenge"));
    let response = format!("<response xmlns='{SASL}'>=</response>");
    assert!(receiver.send(&response).contains("<success"));
    // Not offered: not possible, whatever the certificate says.
    let mut receiver = Receiver::new(true);
    receiver.offer.external = false;
    receiver.send(&opening());
    assert!(!receiver.end.secret.contains("EXTERNAL"));
    assert!(receiver.send(&auth("=")).contains("<invalid-mechanism"));
    Receiver::authenticated().ends(&auth("="), StreamError::NotAuthorized);
    // Known by dialback in the middle of SASL.
    let mut receiver = Receiver::over_tls();
    receiver.send(&auth(""));
    receiver.send("<x:result from='c.example' to='b.example'>key</x:result>");
    receiver.ends(&response, StreamError::NotAuthorized);
}

#[test]
fn after_sasl_nobody_becomes_somebody_else() {
    for attrs in [
        "from='c.example' to='b.example' version='1.0'",
        "from='a.example' to='rooms.b.example' version='1.0'",
    ] {
        let mut receiver = Receiver::over_tls();
        receiver.send(&auth("="));
        receiver.ends(&header(attrs), StreamError::InvalidFrom);
        assert!(receiver.end.pairs().is_empty());
    }
    let mut receiver = Receiver::over_tls();
    receiver.send(&auth("="));
    receiver.send(&header("to='b.example' version='1.0'"));
    assert_eq!(receiver.end.pairs().len(), 1);
}

#[test]
fn stanzas_of_others() {
    use StreamError as E;
    for (text, condition) in [
        ("<message from='u@c.example' to='v@b.example'/>", E::InvalidFrom),
        ("<message from='u@b.example' to='v@b.example'/>", E::InvalidFrom),
        ("<message from='u@sub.a.example' to='v@b.example'/>", E::InvalidFrom),
        ("<message from='u@a.example' to='r@rooms.b.example'/>", E::InvalidFrom),
        ("<message from='u@a.example' to='v@c.example'/>", E::HostUnknown),
        ("<message from='u@a.example' to='v@a.example'/>", E::HostUnknown),
        ("<message from='u@a.example'/>", E::ImproperAddressing),
        ("<message to='v@b.example'/>", E::ImproperAddressing),
        ("<message from='' to='v@b.example'/>", E::ImproperAddressing),
        ("<message from='u@a.example' to=''/>", E::ImproperAddressing),
        ("<message from='u@a b' to='v@b.example'/>", E::ImproperAddressing),
        ("<note from='u@a.example' to='v@b.example'/>", E::UnsupportedStanzaType),
        ("<message xmlns='urn:x' from='a.example' to='b.example'/>", E::UnsupportedStanzaType),
        ("<proof xmlns='urn:calypte:tls:0'/>", E::UnsupportedStanzaType),
        ("<enabled xmlns='urn:xmpp:sm:3'/>", E::NotAuthorized),
        ("<a xmlns='urn:xmpp:sm:3' h='0'/>", E::NotAuthorized),
        ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", E::UnsupportedStanzaType),
    ] {
        Receiver::authenticated().ends(text, condition);
    }
    let mut receiver = Receiver::authenticated();
    receiver.send("<enable xmlns='urn:xmpp:sm:3'/>");
    receiver.ends("<a xmlns='urn:xmpp:sm:3' h='one'/>", E::BadFormat);
}

#[test]
fn what_one_user_writes_does_not_end_the_stream() {
    let mut receiver = Receiver::authenticated();
    for (from, to, its_from, its_to) in [
        ("u@a.example", "v v@b.example/r", Some("u@a.example"), "b.example"),
        ("u u@a.example", "v@b.example/r", None, "v@b.example/r"),
        ("u@a.example/\u{7}", "v@b.example", None, "v@b.example"),
    ] {
        let from = from.replace('\u{7}', "");
        receiver
            .send(&format!("<iq type='get' id='7' from='{from}' to='{to}'><q xmlns='u'/></iq>"));
        let Some(PeerEvent::Malformed(stanza, error)) = receiver.end.events.last() else {
            panic!("{:?}", receiver.end.events.last())
        };
        assert_eq!(error.condition.name(), "jid-malformed");
        assert_eq!(stanza.from.as_ref().map(xmpp::Jid::as_str), its_from);
        assert_eq!(stanza.to.as_ref().map(xmpp::Jid::as_str), Some(its_to));
        assert_eq!((stanza.id.as_deref(), stanza.ty.as_deref()), (Some("7"), Some("get")));
    }
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    receiver
        .send(&format!("<iq type='set' id='8' from='u@a.example' to='v@b.example'>{deep}</iq>"));
    let Some(PeerEvent::Malformed(stanza, error)) = receiver.end.events.last() else { panic!() };
    assert_eq!(error.condition.name(), "policy-violation");
    assert_eq!(
        stanza.to_xml(),
        "<iq from=\"u@a.example\" to=\"v@b.example\" id=\"8\" type=\"set\"/>"
    );
    receiver.send("<message from='u@a.example' to='v@b.example'/>");
    assert!(matches!(receiver.end.events.last(), Some(PeerEvent::Stanza(_))));
    let other = format!("<iq id='8' from='u@c.example' to='v@b.example'>{deep}</iq>");
    Receiver::authenticated().ends(&other, StreamError::InvalidFrom);
    let other = format!("<note from='u@a.example' to='v@b.example'>{deep}</note>");
    Receiver::authenticated().ends(&other, StreamError::PolicyViolation);
    let long = format!("<iq id='8' from='u@a.example'>{}</iq>", "x".repeat(400_000));
    Receiver::authenticated().ends(&long, StreamError::PolicyViolation);
    // Their domains are checked like those of any other.
    receiver.ends("<iq id='7' from='u u@c.example' to='v@b.example'/>", StreamError::InvalidFrom);
}

#[test]
fn four_keys_at_once() {
    let mut receiver = Receiver::over_tls();
    receiver.outcome = None;
    let key = |n: u32| format!("<x:result from='a{n}.example' to='b.example'>key</x:result>");
    for n in 0..4 {
        assert_eq!(receiver.send(&key(n)), "");
    }
    assert!(receiver.send(&key(4)).contains("<resource-constraint"));
    assert!(receiver.send(&key(3)).contains("<resource-constraint"), "under way");
    receiver.end.peering.answer_dialback("b.example", "a0.example", DialbackOutcome::Valid);
    receiver.end.peering.answer_dialback("b.example", "a9.example", DialbackOutcome::Valid);
    let heard = receiver.send("");
    let valid = "<db:result from='b.example' to='a0.example' type='valid'></db:result>";
    assert_eq!(heard, valid);
    assert_eq!(receiver.send(&key(0)), valid, "again");
    assert_eq!(receiver.send(&key(4)), "");
    receiver.ends("<message from='a1.example' to='b.example'/>", StreamError::InvalidFrom);
}

#[test]
fn pairs_of_a_stream_are_bounded() {
    let mut receiver = Receiver::over_tls();
    let mut refused = 0;
    for n in 0..40 {
        let key = format!("<x:result from='a{n}.example' to='b.example'>key</x:result>");
        refused += usize::from(receiver.send(&key).contains("<resource-constraint"));
    }
    assert_eq!((receiver.end.pairs().len(), refused), (32, 8));
}

#[test]
fn a_stranger_asks_about_few_keys() {
    let verify = "<x:verify from='a.example' to='b.example' id='1'>key</x:verify>";
    let mut receiver = Receiver::over_tls();
    assert_eq!(
        receiver.send(verify),
        "<db:verify from='b.example' to='a.example' id='1' type='invalid'></db:verify>"
    );
    let other = verify.replace("to='b.", "to='c.");
    assert_eq!(
        receiver.send(&other),
        "<db:verify from='c.example' to='a.example' id='1' type='error'><error type=\"cancel\">\
         <item-not-found xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></error></db:verify>"
    );
    receiver.ends(&verify.repeat(40), StreamError::PolicyViolation);
    // Without dialback keys of others prove nothing, and ours are still known.
    let mut receiver = Receiver::new(true);
    receiver.offer.dialback = false;
    receiver.send(&opening());
    assert!(receiver.send(verify).contains("type='invalid'"));
    let key = "<x:result from='a.example' to='b.example'>key</x:result>";
    assert!(receiver.send(key).contains("<not-authorized"));
    assert!(receiver.end.pairs().is_empty());
}

#[test]
fn keys_are_forgotten_when_the_stream_gets_another_name() {
    let mut receiver = Receiver::over_tls();
    receiver.outcome = None;
    receiver.send("<x:result from='c.example' to='b.example'>key</x:result>");
    receiver.send(&auth("="));
    receiver.end.peering.answer_dialback("b.example", "c.example", DialbackOutcome::Valid);
    receiver.send(&opening());
    receiver.end.peering.answer_dialback("b.example", "c.example", DialbackOutcome::Valid);
    receiver.ends("<message from='c.example' to='b.example'/>", StreamError::InvalidFrom);
}
