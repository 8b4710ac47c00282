//! Logins by tokens (XEP-0484), also of those who have none.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::{Hash, Secret, hmac};
use stream::{
    Bound, Channel, Facts, Resumed, Settings, Stream, StreamEvent, Token, TokenProof, TokenRefusal,
};
use xmpp::{Jid, StreamError};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a.example' from='user@a.example' \
     version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const AGENT: &str = "<user-agent id='d4565fa7'><software>App</software></user-agent>";
const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>App</tag><enable xmlns='urn:xmpp:sm:3' \
     resume='true'/></bind>";
const FAST: &str = "<fast xmlns='urn:xmpp:fast:0' count='3'/>";
const TOKEN: &[u8] = b"secret-token";

struct Client {
    stream: Stream,
    events: Vec<StreamEvent>,
    refusal: Option<TokenRefusal>,
    /// Given with the next answer.
    fresh: Option<Token>,
}

fn facts() -> Facts {
    let (exporter, end_point) = (Some(vec![5; 32]), Some(vec![6; 32]));
    Facts { exporter, end_point, version: "TLSv1.3".into() }
}

impl Client {
    fn new(takes_tokens: bool, facts: Facts) -> (Self, String) {
        let settings = Settings {
            domain: "a.example".into(),
            stanza_bytes: 262_144,
            plain_allowed: true,
            iterations: 10,
            resume_seconds: 300,
            salt_secret: Secret::new(vec![1; 32]),
            more_features: Vec::new(),
            early_features: Vec::new(),
            inline_features: Vec::new(),
            takes_tokens,
        };
        let stream = Stream::new(Arc::new(settings), Channel::Tls(facts), [9; 32]);
        let mut client = Self { stream, events: Vec::new(), refusal: None, fresh: None };
        let offered = client.send(HEADER);
        (client, offered)
    }

    fn with_tokens() -> Self {
        Self::new(true, facts()).0
    }

    fn send(&mut self, text: &str) -> String {
        self.stream.feed(text.as_bytes());
        while let Some(event) = self.stream.poll() {
            self.answer(&event);
            self.events.push(event);
        }
        String::from_utf8(std::mem::take(self.stream.output())).unwrap()
    }

    fn answer(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Offer { .. } => self.stream.answer_offer(None),
            StreamEvent::Token { proof, .. } => {
                let word = |who: &[u8]| hmac(Hash::Sha256, TOKEN, &[who, &proof.channel].concat());
                let is_right = proof.proof == word(b"Initiator");
                let wrong = if is_right { None } else { Some(TokenRefusal::Wrong) };
                let refusal = self.refusal.or(wrong);
                self.stream.answer_token(refusal.map_or_else(|| Ok(word(b"Responder")), Err));
            }
            StreamEvent::Password { password, .. } => {
                let is_right = password.expose() == b"pencil";
                self.stream.answer_password(is_right.then(|| Secret::new(vec![1; 32])));
            }
            StreamEvent::Bind { enable, .. } => {
                let jid = Jid::parse("user@a.example/App/1").unwrap();
                let enabled = enable.map(|_| Some("name".to_owned()));
                let token = self.fresh.take();
                self.stream.answer_bind(Ok(jid), Bound { inline: Vec::new(), enabled, token });
            }
            StreamEvent::Resume { token, .. } => {
                let jid = Jid::parse("user@a.example/old").unwrap();
                let (token, fresh) = (token.clone(), self.fresh.take());
                let is_there = token == "name";
                let resumed = Resumed { jid, token, handled: 7, fresh };
                self.stream.answer_resume(is_there.then_some(resumed));
            }
            _ => {}
        }
    }

    fn proofs(&self) -> Vec<&TokenProof> {
        let mut proofs = Vec::new();
        for event in &self.events {
            if let StreamEvent::Token { proof, .. } = event {
                proofs.push(proof);
            }
        }
        proofs
    }

    /// Logs in by a token, as a client with this value of the channel.
    fn fast(&mut self, mechanism: &str, channel: &[u8], inside: &str) -> String {
        let word = hmac(Hash::Sha256, TOKEN, &[b"Initiator", channel].concat());
        let first = STANDARD.encode([b"user\0", &word[..]].concat());
        self.send(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'>\
             <initial-response>{first}</initial-response>{inside}</authenticate>"
        ))
    }

    fn raw(&mut self, first: &str) -> String {
        self.send(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'>\
             <initial-response>{first}</initial-response>{AGENT}{FAST}</authenticate>"
        ))
    }

    fn plain(&mut self, inside: &str) -> String {
        let first = STANDARD.encode("\0user\0pencil");
        self.send(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
             <initial-response>{first}</initial-response>{inside}</authenticate>"
        ))
    }
}

fn fresh() -> Option<Token> {
    Some(Token { token: Secret::from("new".to_owned()), expires_ms: 1_767_225_600_000 })
}

#[test]
fn mechanisms_are_offered_as_the_channel_allows() {
    let fast = |facts| Client::new(true, facts).1;
    let all = fast(facts());
    for name in ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"] {
        assert!(all.contains(&format!("<mechanism>{name}</mechanism>")), "{all}");
    }
    // No early data, and nothing of it among the mechanisms for passwords.
    assert!(
        !all.contains("0rtt") && all.split("<inline").next().is_some_and(|s| !s.contains("HT-"))
    );
    let old = fast(Facts { exporter: None, ..facts() });
    assert!(!old.contains("EXPR") && old.contains("HT-SHA-256-ENDP"), "{old}");
    let (_, off) = Client::new(false, facts());
    assert!(!off.contains("urn:xmpp:fast:0"), "{off}");
}

#[test]
fn one_round_trip_logs_in_and_binds() {
    let mut client = Client::with_tokens();
    client.fresh = fresh();
    let told = client.fast("HT-SHA-256-EXPR", &[5; 32], &format!("{AGENT}{BIND}{FAST}"));
    let word = hmac(Hash::Sha256, TOKEN, &[b"Responder", &[5; 32][..]].concat());
    let data = format!("<additional-data>{}</additional-data>", STANDARD.encode(word));
    assert!(told.starts_with("<success") && told.contains(&data), "{told}");
    assert!(told.contains("user@a.example/App/1") && told.contains("<enabled"), "{told}");
    let token = r#"<token xmlns="urn:xmpp:fast:0" token="new" expiry="2026-01-01T00:00:00.000Z"/>"#;
    assert!(told.contains(token), "{told}");
    let [proof] = client.proofs()[..] else { panic!("one proof") };
    assert_eq!((proof.client.as_str(), proof.count), ("d4565fa7", Some(3)));
    assert!(client.events.iter().any(|event| matches!(
        event,
        StreamEvent::Authenticated { mechanism: "HT-SHA-256-EXPR", channel_bound: true, .. }
    )));
    assert!(client.stream.has_acks());
}

#[test]
fn one_round_trip_resumes() {
    let mut client = Client::with_tokens();
    client.fresh = fresh();
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='name' h='2'/>";
    let told = client.fast("HT-SHA-256-ENDP", &[6; 32], &format!("{AGENT}{resume}{BIND}{FAST}"));
    assert!(told.contains("<resumed") && told.contains("token=\"new\""), "{told}");
    assert!(!told.contains("<bound"), "{told}");
    let mut client = Client::with_tokens();
    let gone = resume.replace("name", "gone");
    let told = client.fast("HT-SHA-256-NONE", &[], &format!("{AGENT}{gone}{BIND}{FAST}"));
    assert!(told.contains("<failed") && told.contains("<bound"), "{told}");
}

#[test]
fn a_password_buys_a_token() {
    let mut client = Client::with_tokens();
    client.fresh = fresh();
    let request = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>";
    let told = client.plain(&format!("{AGENT}{BIND}{request}"));
    assert!(told.contains("token=\"new\""), "{told}");
    let wish = client.events.iter().find_map(|event| match event {
        StreamEvent::Bind { token, .. } => token.clone(),
        _ => None,
    });
    assert_eq!(wish.unwrap().wanted, Some("HT-SHA-256-EXPR"));
    // Not for what is not offered, nor for an app without an id, nor unasked.
    let other = request.replace("EXPR", "UNIQ");
    let no_wish =
        [format!("{AGENT}{BIND}{other}"), format!("{BIND}{request}"), AGENT.to_owned() + BIND];
    for inside in no_wish {
        let mut client = Client::with_tokens();
        client.plain(&inside);
        let asked = |event: &StreamEvent| matches!(event, StreamEvent::Bind { token: None, .. });
        assert!(client.events.iter().any(asked), "{inside}");
    }
}

#[test]
fn a_proof_for_another_channel_fails() {
    for (mechanism, channel) in
        [("HT-SHA-256-EXPR", &[4; 32][..]), ("HT-SHA-256-EXPR", b""), ("HT-SHA-256-NONE", &[5; 32])]
    {
        let mut client = Client::with_tokens();
        let told = client.fast(mechanism, channel, &format!("{AGENT}{BIND}{FAST}"));
        assert!(told.contains("<failure") && told.contains("<not-authorized"), "{told}");
        assert!(!client.stream.is_authenticated());
    }
    let mut client = Client::new(true, Facts { exporter: None, ..facts() }).0;
    let told = client.fast("HT-SHA-256-EXPR", &[5; 32], &format!("{AGENT}{FAST}"));
    assert!(told.contains("<invalid-mechanism"), "{told}");
}

#[test]
fn what_is_over_is_said_to_be() {
    let mut client = Client::with_tokens();
    client.refusal = Some(TokenRefusal::Expired);
    let told = client.fast("HT-SHA-256-NONE", &[], &format!("{AGENT}{FAST}"));
    assert!(told.contains("<credentials-expired"), "{told}");
    // The password still works.
    let told = client.plain(&format!("{AGENT}{BIND}"));
    assert!(told.contains("<success"), "{told}");
}

#[test]
fn who_shows_a_token_says_so_and_who_it_is() {
    for (inside, why) in [
        (AGENT.to_owned(), "invalid-mechanism"),
        (FAST.to_owned(), "malformed-request"),
        (format!("{AGENT}<fast xmlns='urn:xmpp:fast:0' count='-1'/>"), "malformed-request"),
        (format!("{AGENT}<fast xmlns='urn:xmpp:fast:0' count='many'/>"), "malformed-request"),
    ] {
        let mut client = Client::with_tokens();
        let told = client.fast("HT-SHA-256-NONE", &[], &inside);
        assert!(told.contains(&format!("<{why}")), "{inside}: {told}");
        assert!(client.proofs().is_empty());
    }
    // Nor by the older way, which has no tokens.
    let mut client = Client::with_tokens();
    let told = client.send(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='HT-SHA-256-NONE'>dXNlcgA=</auth>",
    );
    assert!(told.contains("<invalid-mechanism"), "{told}");
}

#[test]
fn nonsense_is_refused() {
    let long = STANDARD.encode([b"user\0", &[1; 33][..]].concat());
    let short = STANDARD.encode([b"user\0", &[1; 31][..]].concat());
    let nobody = STANDARD.encode([b"\0", &[1; 32][..]].concat());
    let no_text = STANDARD.encode([b"\xff\xfe\0", &[1; 32][..]].concat());
    let cut = "dXNlcgABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";
    for (first, why) in [
        (long.as_str(), "malformed-request"),
        (&short, "malformed-request"),
        (&nobody, "malformed-request"),
        (&no_text, "malformed-request"),
        ("dXNlcg==", "malformed-request"),
        ("", "malformed-request"),
        (cut, "incorrect-encoding"),
        ("not base64!", "incorrect-encoding"),
    ] {
        let mut client = Client::with_tokens();
        let told = client.raw(first);
        assert!(told.contains(&format!("<{why}")), "{first}: {told}");
        assert!(client.proofs().is_empty(), "{first}");
    }
    // A name that nobody can have is as wrong as any.
    let strange = STANDARD.encode([b"a@b\0", &[1; 32][..]].concat());
    assert!(Client::with_tokens().raw(&strange).contains("<not-authorized"));
}

#[test]
fn guesses_are_counted() {
    let mut client = Client::with_tokens();
    for _ in 0..3 {
        client.fast("HT-SHA-256-EXPR", &[4; 32], &format!("{AGENT}{FAST}"));
    }
    let failed = |event: &&StreamEvent| matches!(event, StreamEvent::LoginFailed);
    assert_eq!(client.events.iter().filter(failed).count(), 3);
    let ended = StreamError::PolicyViolation;
    assert!(client.events.iter().any(|e| matches!(e, StreamEvent::Failed(why) if *why == ended)));
    assert!(client.stream.is_over());
}

#[test]
fn secrets_are_not_shown() {
    let mut client = Client::with_tokens();
    client.fast("HT-SHA-256-NONE", &[], &format!("{AGENT}{BIND}{FAST}"));
    let shown = format!("{:?} {:?}", client.events, fresh());
    assert!(!shown.contains("proof: ["), "{shown}");
    assert!(!shown.contains("new"), "{shown}");
}
