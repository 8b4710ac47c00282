//! A login in the stream machine: header, SCRAM, header, bind, from the server's side.
//!
//! Run: `cargo bench -p calypte-benches --bench login`. TLS and the store are not in it, and neither
//! is the client: with the chance fixed, what it says is known beforehand.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may panic")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use criterion::{Criterion, criterion_group, criterion_main};
use crypto::{Hash, Secret, digest, hmac, pbkdf2};
use stream::scram::Verifiers;
use stream::{Bound, Channel, Facts, Settings, Stream, StreamEvent};
use xmpp::Jid;

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a.example' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>phone</resource></bind></iq>";
const ITERATIONS: u32 = 4096;

struct Server {
    settings: Arc<Settings>,
    verifiers: Verifiers,
}

impl Server {
    fn stream(&self) -> Stream {
        let facts =
            Facts { exporter: Some(vec![5; 32]), end_point: None, version: "TLSv1.3".to_owned() };
        Stream::new(Arc::clone(&self.settings), Channel::Tls(facts), [9; 32])
    }

    fn say(&self, stream: &mut Stream, text: &str) -> String {
        stream.feed(text.as_bytes());
        while let Some(event) = stream.poll() {
            match event {
                StreamEvent::Account { .. } => stream.answer_account(Some(&self.verifiers)),
                StreamEvent::Bind { .. } => {
                    let jid = Jid::parse("ana@a.example/phone").unwrap();
                    stream.answer_bind(Ok(jid), Bound::default());
                }
                _ => {}
            }
        }
        String::from_utf8(std::mem::take(stream.output())).unwrap()
    }
}

fn element(name: &str, mechanism: &str, text: &str) -> String {
    let text = BASE64.encode(text);
    format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'{mechanism}>{text}</{name}>")
}

/// Returns what the client says, in order.
fn transcript(server: &Server, name: &str, hash: Hash) -> Vec<String> {
    let mut stream = server.stream();
    let bare = "n=ana,r=fyko+d2lbbFgONRv9qkxdawL";
    let auth = element("auth", &format!(" mechanism='{name}'"), &format!("n,,{bare}"));
    server.say(&mut stream, HEADER);
    let heard = server.say(&mut stream, &auth);
    let challenge = heard.split(['<', '>']).nth(2).unwrap();
    let challenge = String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap();
    let part = |key| challenge.split(',').find_map(|part| part.strip_prefix(key)).unwrap();
    let salt = BASE64.decode(part("s=")).unwrap();
    let salted = pbkdf2(hash, b"secret", &salt, ITERATIONS);
    let client = hmac(hash, &salted, b"Client Key");
    let stored = digest(hash, &client);
    let without_proof = format!("c=biws,r={}", part("r="));
    let message = format!("{bare},{challenge},{without_proof}");
    let signature = hmac(hash, &stored, message.as_bytes());
    let proof: Vec<u8> = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let last = format!("{without_proof},p={}", BASE64.encode(proof));
    let all = [
        HEADER.to_owned(),
        auth,
        element("response", "", &last),
        HEADER.to_owned(),
        BIND.to_owned(),
    ];
    all.to_vec()
}

fn login(criterion: &mut Criterion) {
    let settings = Settings {
        domain: "a.example".to_owned(),
        stanza_bytes: 262_144,
        plain_allowed: false,
        iterations: ITERATIONS,
        resume_seconds: 300,
        salt_secret: Secret::new(vec![1; 32]),
        more_features: Vec::new(),
        takes_tokens: false,
        early_features: Vec::new(),
        inline_features: Vec::new(),
    };
    let salts = [[1; 16], [2; 16], [3; 16]];
    let verifiers = Verifiers::derive("secret", &salts, ITERATIONS).unwrap();
    let server = Server { settings: Arc::new(settings), verifiers };
    let mut group = criterion.benchmark_group("login");
    for (name, hash) in [("SCRAM-SHA-1", Hash::Sha1), ("SCRAM-SHA-256", Hash::Sha256)] {
        let said = transcript(&server, name, hash);
        let go = || {
            let mut stream = server.stream();
            let heard: usize = said.iter().map(|text| server.say(&mut stream, text).len()).sum();
            assert!(stream.session().is_some(), "not logged in");
            heard
        };
        group.bench_function(name, |bencher| bencher.iter(go));
    }
    group.finish();
}

criterion_group!(benches, login);
criterion_main!(benches);
