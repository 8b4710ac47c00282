//! Whole logins, seen from the client.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::{Hash, Secret, digest, hmac, pbkdf2};
use stream::scram::Verifiers;
use stream::{Bound, Channel, Facts, Inline, Resumed, Settings, Stream, StreamEvent};
use xmpp::{Jid, Stanza, StreamError};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a.example' version='1.0' \
     xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

struct Client {
    stream: Stream,
    heard: String,
    events: Vec<StreamEvent>,
    is_known: bool,
    piece: usize,
}

fn settings() -> Settings {
    Settings {
        domain: "a.example".into(),
        stanza_bytes: 262_144,
        plain_allowed: true,
        iterations: 10,
        resume_seconds: 300,
        salt_secret: Secret::new(vec![1; 32]),
        more_features: vec!["<ver xmlns='urn:xmpp:features:rosterver'/>".into()],
        early_features: Vec::new(),
        inline_features: vec!["urn:xmpp:carbons:2".into()],
        takes_tokens: false,
    }
}

fn tls() -> Channel {
    let (exporter, end_point) = (Some(vec![5; 32]), Some(vec![6; 32]));
    Channel::Tls(Facts { exporter, end_point, version: "TLSv1.3".into() })
}

fn verifiers() -> Verifiers {
    Verifiers::derive("pencil", &[[1; 16], [2; 16], [3; 16]], 10).unwrap()
}

impl Client {
    fn new(channel: Channel) -> Self {
        let stream = Stream::new(Arc::new(settings()), channel, [9; 32]);
        Self { stream, heard: String::new(), events: Vec::new(), is_known: true, piece: 4096 }
    }

    fn over_tls() -> Self {
        let mut client = Self::new(tls());
        client.send(HEADER);
        client
    }

    /// Sends text and returns what came back.
    fn send(&mut self, text: &str) -> String {
        self.heard.clear();
        for piece in text.as_bytes().chunks(self.piece) {
            self.stream.feed(piece);
            while let Some(event) = self.stream.poll() {
                self.answer(&event);
                self.events.push(event);
            }
        }
        let bytes = std::mem::take(self.stream.output());
        self.heard = String::from_utf8(bytes).unwrap();
        self.heard.clone()
    }

    fn answer(&mut self, event: &StreamEvent) {
        let verifiers = verifiers();
        match event {
            StreamEvent::Account { username } => {
                let known = self.is_known && username == "user";
                self.stream.answer_account(known.then_some(&verifiers));
            }
            StreamEvent::Password { password, .. } => {
                self.stream.answer_password(verifiers.check(password));
            }
            StreamEvent::Bind { resource, tag, inline, enable, .. } => {
                let resource =
                    resource.clone().or_else(|| tag.clone()).unwrap_or_else(|| "r".into());
                let jid = Jid::parse(&format!("user@a.example/{resource}")).unwrap();
                let answer = |Inline(flat): &Inline| format!("<did xmlns='{}'/>", flat.root().ns());
                let inline = inline.iter().flatten().map(answer).collect();
                let enabled = enable.map(|resume| resume.then(|| "token".to_owned()));
                self.stream.answer_bind(Ok(jid), Bound { inline, enabled, token: None });
            }
            StreamEvent::Enable { resume } => {
                self.stream.answer_enable(resume.then_some("token"));
            }
            StreamEvent::Resume { token, .. } => {
                let jid = Jid::parse("user@a.example/old").unwrap();
                let resumed = Resumed { jid, token: token.clone(), handled: 7, fresh: None };
                self.stream.answer_resume((token == "token").then_some(resumed));
            }
            _ => {}
        }
    }

    fn inside(&self, start: &str, end: &str) -> String {
        let (_, rest) = self.heard.split_once(start).expect("it starts");
        rest.split_once(end).expect("it ends").0.to_owned()
    }

    /// Logs in by SCRAM and returns the server's last word.
    fn scram(&mut self, name: &str, hash: Hash, gs2: &str, bound: &[u8], password: &str) -> String {
        let first = format!("{gs2}n=user,r=abc");
        let auth = STANDARD.encode(&first);
        self.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{name}'>{auth}</auth>"
        ));
        let Some((_, rest)) = self.heard.split_once("<challenge") else {
            return self.heard.clone();
        };
        let text = rest.split_once('>').unwrap().1.split_once('<').unwrap().0;
        let server_first = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        let last = client_final(hash, gs2, bound, password, &server_first);
        let last = STANDARD.encode(last);
        self.send(&format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{last}</response>"))
    }

    fn failed_with(&self) -> Option<StreamError> {
        self.events.iter().find_map(|event| match event {
            StreamEvent::Failed(error) => Some(*error),
            _ => None,
        })
    }

    fn stanzas(&self) -> Vec<&Stanza> {
        fn stanza(event: &StreamEvent) -> Option<&Stanza> {
            if let StreamEvent::Stanza(stanza) = event { Some(stanza) } else { None }
        }
        self.events.iter().filter_map(stanza).collect()
    }
}

fn client_final(hash: Hash, gs2: &str, bound: &[u8], password: &str, server_first: &str) -> String {
    let attribute =
        |name: &str| server_first.split(',').find_map(|a| a.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(attribute("s=")).unwrap();
    let iterations = attribute("i=").parse().unwrap();
    let binding = STANDARD.encode([gs2.as_bytes(), bound].concat());
    let without = format!("c={binding},r={}", attribute("r="));
    let signed = format!("n=user,r=abc,{server_first},{without}");
    let salted = pbkdf2(hash, password.as_bytes(), &salt, iterations);
    let client_key = hmac(hash, &salted, b"Client Key");
    let signature = hmac(hash, &digest(hash, &client_key), signed.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    format!("{without},p={}", STANDARD.encode(proof))
}

#[test]
fn every_mechanism_logs_in() {
    let exporter = [5; 32];
    for (name, hash) in [
        ("SCRAM-SHA-1", Hash::Sha1),
        ("SCRAM-SHA-256", Hash::Sha256),
        ("SCRAM-SHA-512", Hash::Sha512),
    ] {
        let mut client = Client::over_tls();
        assert!(client.scram(name, hash, "n,,", &[], "pencil").contains("<success"), "{name}");
        let mut client = Client::over_tls();
        let name = format!("{name}-PLUS");
        let heard = client.scram(&name, hash, "p=tls-exporter,,", &exporter, "pencil");
        assert!(heard.contains("<success"), "{name}");
        let bound = client
            .events
            .iter()
            .any(|event| matches!(event, StreamEvent::Authenticated { channel_bound: true, .. }));
        assert!(bound);
    }
    let mut client = Client::over_tls();
    let auth = STANDARD.encode("\0user\0pencil");
    let heard = client.send(&format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{auth}</auth>"
    ));
    assert!(heard.contains("<success"));
}

fn bound_client(piece: usize) -> Client {
    let mut client = Client::over_tls();
    client.piece = piece;
    client.scram("SCRAM-SHA-256", Hash::Sha256, "n,,", &[], "pencil");
    let features = client.send(HEADER);
    assert!(features.contains("<bind ") && features.contains("rosterver"), "{features}");
    let bound = client.send(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <resource>phone</resource></bind></iq>",
    );
    assert!(bound.contains("<jid>user@a.example/phone</jid>"), "{bound}");
    client
}

#[test]
fn stanzas_are_stamped() {
    for piece in [1, 7, 4096] {
        let mut client = bound_client(piece);
        client.send("<message to='b@a.example'><body>hi</body></message>");
        let stanza = client.stanzas()[0];
        assert_eq!(stanza.from.as_ref().unwrap().as_str(), "user@a.example/phone");
        client.send("<message from='other@a.example' to='b@a.example'/>");
        assert_eq!(client.failed_with(), Some(StreamError::InvalidFrom));
    }
}

#[test]
fn addresses_that_are_none_are_answered() {
    let mut client = bound_client(4096);
    client.send("<iq type='get' id='1' to='@'><a xmlns='u:x'/></iq>");
    let is_malformed = |event: &StreamEvent| matches!(event, StreamEvent::Malformed(..));
    assert!(client.events.iter().any(is_malformed));
}

#[test]
fn acknowledgements_count() {
    let mut client = bound_client(4096);
    let enabled = client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    assert!(enabled.contains("id=\"token\"") && enabled.contains("max=\"300\""), "{enabled}");
    client.stream.send(&Stanza::parse("<message><body>1</body></message>").unwrap());
    assert_eq!(client.stream.unacknowledged(), 1);
    client.send("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(client.stream.unacknowledged(), 0);
    let heard = client.send("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    assert!(heard.contains("handled-count-too-high") && heard.contains("undefined-condition"));
}

#[test]
fn sasl2_does_all_at_once() {
    let first = STANDARD.encode("n,,n=user,r=abc");
    let login = |inline: &str| {
        let mut client = Client::over_tls();
        client.send(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'>\
             <initial-response>{first}</initial-response>\
             <user-agent id='x'><software>Test</software></user-agent>{inline}</authenticate>"
        ));
        let text = client.inside("<challenge xmlns=\"urn:xmpp:sasl:2\">", "<");
        let server_first = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        let last = client_final(Hash::Sha256, "n,,", &[], "pencil", &server_first);
        let last = STANDARD.encode(last);
        client.send(&format!("<response xmlns='urn:xmpp:sasl:2'>{last}</response>"));
        client
    };
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag>\
                <enable xmlns='urn:xmpp:carbons:2'/>\
                <enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
    let client = login(bind);
    assert!(!client.heard.contains("<resumed"));
    for part in [
        "<success",
        "additional-data",
        "user@a.example/Test",
        // What the caller says of what else was asked for, then acknowledgements.
        "<bound xmlns=\"urn:xmpp:bind:0\"><did xmlns='urn:xmpp:carbons:2'/><enabled ",
        "<stream:features>",
    ] {
        assert!(client.heard.contains(part), "{part} in {}", client.heard);
    }
    let (_, features) = client.heard.split_once("<stream:features>").unwrap();
    assert!(features.contains("<limits ") && !features.contains("<sm "), "{features}");
    assert!(!features.contains("<bind "), "{features}");
    let client = login("<bind xmlns='urn:xmpp:bind:0'/>");
    assert!(client.heard.contains("<bound xmlns=\"urn:xmpp:bind:0\"/>"), "{}", client.heard);
    let (_, features) = client.heard.split_once("<stream:features>").unwrap();
    assert!(features.contains("<sm ") && !features.contains("<bind "), "{features}");
    let client = login("<resume xmlns='urn:xmpp:sm:3' previd='token' h='3'/>");
    assert!(client.heard.contains("<resumed") && client.heard.contains("h=\"7\""));
    // XEP-0198 §9.2. The session is there again, with the features it had.
    assert!(!client.heard.contains("features"), "{}", client.heard);
    assert_eq!(client.stream.session().unwrap().as_str(), "user@a.example/old");
    let client = login(&format!("<resume xmlns='urn:xmpp:sm:3' previd='gone' h='3'/>{bind}"));
    assert!(client.heard.contains("<failed") && client.heard.contains("<bound"));
}

#[test]
fn unknown_users_and_wrong_passwords_look_alike() {
    let wrong = |is_known| {
        let mut client = Client::over_tls();
        client.is_known = is_known;
        client.scram("SCRAM-SHA-256", Hash::Sha256, "n,,", &[], "guess")
    };
    assert_eq!(wrong(true), wrong(false));
    assert!(wrong(true).contains("<not-authorized"));
    let mut client = Client::over_tls();
    for _ in 0..3 {
        assert_eq!(client.failed_with(), None);
        client.scram("SCRAM-SHA-256", Hash::Sha256, "n,,", &[], "guess");
    }
    let failures = client.events.iter().filter(|event| matches!(event, StreamEvent::LoginFailed));
    assert_eq!(failures.count(), 3);
    assert_eq!(client.failed_with(), Some(StreamError::PolicyViolation));
}

#[test]
fn a_name_has_one_salt_however_it_is_written() {
    let salt = |name: &str| {
        let mut client = Client::over_tls();
        let auth = STANDARD.encode(format!("n,,n={name},r=abc"));
        client.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{auth}</auth>"
        ));
        let text = client.inside("<challenge xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">", "<");
        let first = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        first.split(',').find(|part| part.starts_with("s=")).unwrap().to_owned()
    };
    // Users who exist have one salt. Who does not exist must not be told by two.
    assert_eq!(salt("user"), salt("USER"));
    assert_eq!(salt("nobody"), salt("Nobody"));
    assert_ne!(salt("nobody"), salt("somebody"));
}

#[test]
fn a_session_request_counts_like_any_other_stanza() {
    let session =
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    let mut client = bound_client(4096);
    assert!(client.send(session).contains("type=\"result\""));
    assert_eq!(client.stanzas().len(), 0);
    client.send("<enable xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(client.send(session), "");
    assert_eq!(client.stanzas().len(), 1);
}

#[test]
fn debug_shows_no_secret() {
    let mut client = Client::over_tls();
    let auth = STANDARD.encode("\0user\0pencil");
    let text = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{auth}");
    client.stream.feed(text.as_bytes());
    let debug = format!("{:?} {:?}", client.stream, tls());
    // The password as text and as bytes, the seed, the exporter value.
    for secret in [auth.as_str(), "65, 72, 86, 122", "[9, 9", "[5, 5"] {
        assert!(!debug.contains(secret), "{secret} in {debug}");
    }
}

#[test]
fn downgrades_are_noticed() {
    let login = |name, gs2, bound: &[u8]| {
        Client::over_tls().scram(name, Hash::Sha256, gs2, bound, "pencil")
    };
    let mut client = Client::over_tls();
    assert!(client.scram("SCRAM-SHA-256", Hash::Sha256, "y,,", &[], "pencil").contains("<failure"));
    let is_told = client.events.iter().any(|event| matches!(event, StreamEvent::BindingHidden));
    assert!(is_told, "{:?}", client.events);
    assert!(login("SCRAM-SHA-256", "p=tls-exporter,,", &[5; 32]).contains("<failure"));
    assert!(login("SCRAM-SHA-256-PLUS", "n,,", &[]).contains("<failure"));
    assert!(login("SCRAM-SHA-256-PLUS", "p=tls-unique,,", &[5; 32]).contains("<failure"));
    assert!(login("SCRAM-SHA-256-PLUS", "p=tls-exporter,,", &[4; 32]).contains("<not-auth"));
    assert!(login("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", &[6; 32]).contains("<success"));
}

#[test]
fn one_may_not_act_for_another() {
    let mut client = Client::over_tls();
    let auth = STANDARD.encode("other@a.example\0user\0pencil");
    let heard = client.send(&format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{auth}</auth>"
    ));
    assert!(heard.contains("<invalid-authzid"), "{heard}");
}

#[test]
fn nothing_passes_before_tls_and_login() {
    let mut client = Client::new(Channel::Plain);
    let heard = client.send(HEADER);
    assert!(heard.contains("<required/>") && !heard.contains("mechanism"), "{heard}");
    client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AA==</auth>");
    assert_eq!(client.failed_with(), Some(StreamError::PolicyViolation));
    let mut client = Client::over_tls();
    client.send("<message to='b@a.example'/>");
    assert_eq!(client.failed_with(), Some(StreamError::NotAuthorized));
}

#[test]
fn what_comes_behind_starttls_ends_the_stream() {
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let mut client = Client::new(Channel::Plain);
    client.send(HEADER);
    let heard = client.send(&format!("{starttls}<iq type='get' id='evil'/>"));
    assert!(!heard.contains("proceed") && client.failed_with().is_some(), "{heard}");
    let mut client = Client::new(Channel::Plain);
    client.send(HEADER);
    assert!(client.send(starttls).contains("<proceed"));
    client.send("ignored");
    client.stream.secured(Facts::default());
    assert!(client.send(HEADER).contains("SCRAM-SHA-256"));
}

#[test]
fn wrong_headers_are_named() {
    for later in ["1.1", "2.0"] {
        let heard =
            Client::new(tls()).send(&HEADER.replace("1.0' xmlns", &format!("{later}' xmlns")));
        assert!(heard.contains("version='1.0'") && heard.contains("features"), "{heard}");
    }
    for (header, error) in [
        (HEADER.replace("to='a.example'", ""), StreamError::HostUnknown),
        (HEADER.replace("a.example", "b.example"), StreamError::HostUnknown),
        (HEADER.replace("a.example", "@"), StreamError::ImproperAddressing),
        (HEADER.replace("version='1.0' xmlns", "xmlns"), StreamError::UnsupportedVersion),
        (HEADER.replace("jabber:client", "jabber:x"), StreamError::InvalidNamespace),
        ("<!DOCTYPE a>".into(), StreamError::RestrictedXml),
        ("\u{feff}x".into(), StreamError::NotWellFormed),
    ] {
        let mut client = Client::new(tls());
        let heard = client.send(&header);
        assert_eq!(client.failed_with(), Some(error), "{header}");
        assert!(heard.contains("<stream:stream ") && heard.ends_with("</stream:stream>"));
    }
}

#[test]
fn noise_never_panics() {
    let text = format!(
        "{HEADER}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biws</auth>\
         <enable xmlns='urn:xmpp:sm:3'/><r xmlns='urn:xmpp:sm:3'/></stream:stream>"
    );
    let mut seed = 1_u64;
    let mut dice = move |sides: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % sides
    };
    for _ in 0..3000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=dice(4) {
            let at = dice(bytes.len());
            match dice(3) {
                0 => bytes[at] = u8::try_from(dice(256)).unwrap(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"<>&'/\0"[dice(6)]),
            }
        }
        let mut client = Client::new(tls());
        for piece in bytes.chunks(1 + dice(60)) {
            client.stream.feed(piece);
            while let Some(event) = client.stream.poll() {
                client.answer(&event);
            }
        }
    }
}
