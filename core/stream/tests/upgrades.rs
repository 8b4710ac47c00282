//! Passwords that are known in one form only, and learned in others (XEP-0480).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto::{Hash, Secret, digest, hmac, pbkdf2};
use stream::scram::Verifiers;
use stream::{Bound, Channel, Facts, Settings, Stream, StreamEvent};
use xmpp::Jid;

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a.example' from='user@a.example' \
     version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

struct Client {
    stream: Stream,
    known: Verifiers,
    logins: usize,
}

fn all() -> Verifiers {
    Verifiers::derive("pencil", &[[1; 16], [2; 16], [3; 16]], 10).unwrap()
}

impl Client {
    fn new(known: Verifiers) -> (Self, String) {
        let settings = Settings {
            domain: "a.example".into(),
            stanza_bytes: 262_144,
            plain_allowed: false,
            iterations: 10,
            resume_seconds: 300,
            salt_secret: Secret::new(vec![1; 32]),
            more_features: Vec::new(),
            inline_features: Vec::new(),
            takes_tokens: false,
            early_features: Vec::new(),
        };
        let channel = Channel::Tls(Facts::default());
        let stream = Stream::new(Arc::new(settings), channel, [9; 32]);
        let mut client = Self { stream, known, logins: 0 };
        let offered = client.send(HEADER);
        (client, offered)
    }

    fn send(&mut self, text: &str) -> String {
        self.stream.feed(text.as_bytes());
        while let Some(event) = self.stream.poll() {
            match event {
                StreamEvent::Offer { username } => {
                    let known = (username == "user").then_some(&self.known);
                    self.stream.answer_offer(known);
                }
                StreamEvent::Account { .. } => self.stream.answer_account(Some(&self.known)),
                StreamEvent::Upgrade { username, hash, verifier } => {
                    assert_eq!(username, "user");
                    match hash {
                        Hash::Sha1 => self.known.sha1 = Some(verifier),
                        Hash::Sha256 => self.known.sha256 = Some(verifier),
                        Hash::Sha512 => self.known.sha512 = Some(verifier),
                    }
                    self.stream.answer_upgrade();
                }
                StreamEvent::Authenticated { .. } => self.logins += 1,
                StreamEvent::Bind { .. } => {
                    let jid = Jid::parse("user@a.example/r").unwrap();
                    self.stream.answer_bind(Ok(jid), Bound::default());
                }
                _ => {}
            }
        }
        String::from_utf8(std::mem::take(self.stream.output())).unwrap()
    }

    /// Proves the password by SCRAM-SHA-1 and offers to do these tasks.
    fn prove(&mut self, tasks: &[&str]) -> String {
        let tasks = tasks
            .iter()
            .map(|task| format!("<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>{task}</upgrade>"));
        let first = STANDARD.encode("n,,n=user,r=abc");
        let said = self.send(&format!(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>{first}\
             </initial-response><bind xmlns='urn:xmpp:bind:0'/>{}</authenticate>",
            tasks.collect::<String>()
        ));
        let server_first = STANDARD.decode(text_of(&said, "challenge")).unwrap();
        let server_first = String::from_utf8(server_first).unwrap();
        let part = |name: &str| {
            let mut parts = server_first.split(',').filter_map(|part| part.strip_prefix(name));
            parts.next().unwrap().to_owned()
        };
        let salt = STANDARD.decode(part("s=")).unwrap();
        let salted = pbkdf2(Hash::Sha1, b"pencil", &salt, part("i=").parse().unwrap());
        let client_key = hmac(Hash::Sha1, &salted, b"Client Key");
        let last = format!("c=biws,r={}", part("r="));
        let signed = format!("n=user,r=abc,{server_first},{last}");
        let signature = hmac(Hash::Sha1, &digest(Hash::Sha1, &client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let last = STANDARD.encode(format!("{last},p={}", STANDARD.encode(proof)));
        self.send(&format!("<response xmlns='urn:xmpp:sasl:2'>{last}</response>"))
    }

    /// Does one task and returns what the server says then.
    fn upgrade(&mut self, task: &str, hash: Hash) -> String {
        let said = self.send(&format!("<next xmlns='urn:xmpp:sasl:2' task='{task}'/>"));
        assert!(said.contains("iterations=\"10\""), "{said}");
        let salt = STANDARD.decode(text_of(&said, "salt")).unwrap();
        self.salted(&pbkdf2(hash, b"pencil", &salt, 10))
    }

    fn salted(&mut self, salted: &[u8]) -> String {
        let text = STANDARD.encode(salted);
        self.send(&format!(
            "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>\n  {text}\n\
             </hash></task-data>"
        ))
    }
}

fn text_of<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, start) = xml.split_once(&format!("<{name}")).expect(xml);
    let (_, text) = if name.ends_with('>') { ("", start) } else { start.split_once('>').unwrap() };
    text.split('<').next().unwrap()
}

fn imported() -> Verifiers {
    Verifiers { sha256: None, sha512: None, ..all() }
}

#[test]
fn what_cannot_work_is_not_offered() {
    let (_, offered) = Client::new(imported());
    assert!(offered.contains(">SCRAM-SHA-1<"), "{offered}");
    assert!(!offered.contains(">SCRAM-SHA-256<") && !offered.contains(">SCRAM-SHA-512<"));
    assert!(offered.contains(">UPGR-SCRAM-SHA-256</upgrade>"), "{offered}");
    let (_, offered) = Client::new(all());
    assert!(offered.contains(">SCRAM-SHA-512<"), "{offered}");
    // Who does not exist looks like everybody else.
    let (mut client, _) = Client::new(imported());
    client.known = Verifiers::default();
    let (_, nobody) = Client::new(Verifiers::default());
    assert_eq!(nobody.contains(">SCRAM-SHA-512<"), offered.contains(">SCRAM-SHA-512<"));
}

#[test]
fn both_forms_are_learned_in_one_login() {
    let (mut client, _) = Client::new(imported());
    let said = client.prove(&["UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-512", "UPGR-BLOOP"]);
    assert!(said.starts_with("<continue") && said.contains("<additional-data>"), "{said}");
    assert_eq!(text_of(&said, "task>"), "UPGR-SCRAM-SHA-512");
    assert!(!client.stream.is_authenticated());
    let said = client.upgrade("UPGR-SCRAM-SHA-512", Hash::Sha512);
    assert!(said.starts_with("<continue") && !said.contains("<additional-data>"), "{said}");
    assert_eq!(text_of(&said, "task>"), "UPGR-SCRAM-SHA-256");
    let said = client.upgrade("UPGR-SCRAM-SHA-256", Hash::Sha256);
    assert!(said.starts_with("<success") && said.contains("<bound"), "{said}");
    assert_eq!(client.logins, 1);
    for form in [
        Verifiers { sha256: client.known.sha256.clone(), ..Verifiers::default() },
        Verifiers { sha512: client.known.sha512.clone(), ..Verifiers::default() },
    ] {
        assert!(form.check(&Secret::from("pencil".to_owned())).is_some());
        assert!(form.check(&Secret::from("pencils".to_owned())).is_none());
    }
    // And never again.
    let known = client.known;
    let said = Client::new(known).0.prove(&["UPGR-SCRAM-SHA-256"]);
    assert!(said.starts_with("<success"), "{said}");
}

#[test]
fn nobody_is_asked_who_did_not_offer_it() {
    let said = Client::new(imported()).0.prove(&[]);
    assert!(said.starts_with("<success"), "{said}");
}

#[test]
fn tasks_are_done_in_order_and_whole() {
    let next = "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>";
    let wrong: [&dyn Fn(&mut Client) -> String; 6] = [
        &|client| client.send("<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>"),
        &|client| client.salted(&[1; 32]),
        &|client| client.send(next) + &client.send(next),
        &|client| client.send(next) + &client.salted(&[1; 31]),
        &|client| client.send(next) + &client.send("<task-data xmlns='urn:xmpp:sasl:2'/>"),
        &|client| client.send("<abort xmlns='urn:xmpp:sasl:2'/>"),
    ];
    for (number, act) in wrong.iter().enumerate() {
        let (mut client, _) = Client::new(imported());
        client.prove(&["UPGR-SCRAM-SHA-256"]);
        let said = act(&mut client);
        assert!(said.contains("<failure"), "{number}: {said}");
        assert!(!client.stream.is_authenticated() && client.known.sha256.is_none(), "{number}");
    }
    // What else may come before the end of a login is nothing.
    let (mut client, _) = Client::new(imported());
    client.prove(&["UPGR-SCRAM-SHA-256"]);
    let said = client.send("<message><body>early</body></message>");
    assert!(said.contains("<not-authorized"), "{said}");
    let (mut client, _) = Client::new(imported());
    client.prove(&["UPGR-SCRAM-SHA-256"]);
    client.send("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'/>");
    assert_eq!(client.logins, 0);
}
