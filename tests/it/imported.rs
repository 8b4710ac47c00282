//! Accounts from other servers, whose passwords are known in one form only (XEP-0480).

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte_tests::{Client, How, Mechanism, Server};

const PASSWORD: &str = "pencil";

fn sha1(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    hmac::sign(&key, data).as_ref().to_vec()
}

fn stored(client_key: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, client_key).as_ref().to_vec()
}

fn salted(algorithm: pbkdf2::Algorithm, bytes: usize, salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut out = vec![0; bytes];
    let iterations = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(algorithm, iterations, salt, PASSWORD.as_bytes(), &mut out);
    out
}

/// Returns what another server keeps, as RFC 5803 writes it.
fn record() -> String {
    let salted = salted(pbkdf2::PBKDF2_HMAC_SHA1, 20, b"salt", 4096);
    let keys = [stored(&sha1(&salted, b"Client Key")), sha1(&salted, b"Server Key")];
    let [stored, server] = keys.map(|key| STANDARD.encode(key));
    format!("SCRAM-SHA-1$4096:{}${stored}:{server}", STANDARD.encode("salt"))
}

fn text_of(xml: &str, name: &str) -> String {
    let start = &xml[xml.find(&format!("<{name}")).expect(xml)..];
    start[start.find('>').unwrap() + 1..].split('<').next().unwrap().to_owned()
}

/// Proves the password by SCRAM-SHA-1, and returns what comes then.
fn prove(client: &mut Client, inside: &str) -> String {
    let first = STANDARD.encode("n,,n=old,r=abc");
    client.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>{first}\
         </initial-response>{inside}</authenticate>"
    ));
    let challenge = STANDARD.decode(text_of(&client.element(), "challenge")).unwrap();
    let challenge = String::from_utf8(challenge).unwrap();
    let nonce = challenge.strip_prefix("r=").unwrap().split(',').next().unwrap();
    let client_key = sha1(&salted(pbkdf2::PBKDF2_HMAC_SHA1, 20, b"salt", 4096), b"Client Key");
    let last = format!("c=biws,r={nonce}");
    let signature =
        sha1(&stored(&client_key), format!("n=old,r=abc,{challenge},{last}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let last = STANDARD.encode(format!("{last},p={}", STANDARD.encode(proof)));
    client.send(&format!("<response xmlns='urn:xmpp:sasl:2'>{last}</response>"));
    client.element()
}

#[test]
fn an_imported_password_is_learned_in_another_form() {
    let server = Server::start();
    let ran = server.run(&["user", "import", "-"], &format!("old {}\n", record()));
    assert_eq!(ran.code, 0, "{ran:?}");
    let header = "<?xml version='1.0'?><stream:stream to='chat.example' from='old@chat.example' \
         version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    let mut client = How::default().secured(&server);
    let offered = client.open_with(header);
    assert!(offered.contains(">SCRAM-SHA-1<") && !offered.contains(">SCRAM-SHA-256<"), "{offered}");
    let by_sha256 = How::default().by(Mechanism::Scram);
    assert!(by_sha256.try_login(&server, "old", PASSWORD).is_err());

    let upgrade = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>";
    let said = prove(&mut client, upgrade);
    assert!(said.contains("<task>UPGR-SCRAM-SHA-256</task>"), "{said}");
    client.send("<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>");
    let said = client.element();
    let salt = STANDARD.decode(text_of(&said, "salt")).unwrap();
    let iterations = calypte_tests::attr(&said, "iterations").unwrap().parse().unwrap();
    let salted = salted(pbkdf2::PBKDF2_HMAC_SHA256, 32, &salt, iterations);
    client.send(&format!(
        "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>{}</hash>\
         </task-data>",
        STANDARD.encode(salted)
    ));
    let said = client.element();
    assert!(said.starts_with("<success"), "{said}");

    by_sha256.try_login(&server, "old", PASSWORD).unwrap().ping();
    assert!(by_sha256.try_login(&server, "old", "pencils").is_err());
    // And it works as before.
    let said = prove(&mut How::default().open(&server), "");
    assert!(said.starts_with("<success"), "{said}");
}
