//! Logins by tokens (XEP-0484), and apps that are thrown out (XEP-0494).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte_tests::{Client, How, Server, Setup, attr, password};

const AGENT: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>App</software>\
     </user-agent>";
const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>App</tag><enable xmlns='urn:xmpp:sm:3' \
     resume='true'/></bind>";

fn word(token: &str, who: &str, channel: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    hmac::sign(&key, &[who.as_bytes(), channel].concat()).as_ref().to_vec()
}

/// Logs in with the password, and returns the token that comes with the session.
fn by_password(server: &Server, mechanism: &str) -> (Client, String) {
    let request = format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>");
    let mut client = How::default().open(server);
    let first = STANDARD.encode(format!("\0ana\0{}", password("ana")));
    client.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>{first}\
         </initial-response>{AGENT}{BIND}{request}</authenticate>"
    ));
    let said = client.element();
    let token = said.find("<token").and_then(|at| attr(&said[at..], "token")).expect("a token");
    client.expect(&["<stream:features"]);
    (client, token)
}

/// Logs in by a token and returns what the server says: one answer to one question.
fn by_token(client: &mut Client, token: &str, mechanism: &str, inside: &str) -> String {
    let channel = if mechanism.ends_with("-EXPR") { client.exporter() } else { Vec::new() };
    let first = STANDARD.encode([b"ana\0", &word(token, "Initiator", &channel)[..]].concat());
    client.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'><initial-response>{first}\
         </initial-response>{AGENT}{inside}<fast xmlns='urn:xmpp:fast:0'/></authenticate>"
    ));
    let said = client.element();
    if said.starts_with("<success") {
        let proof = STANDARD.encode(word(token, "Responder", &channel));
        assert!(said.contains(&proof), "the server does not prove itself: {said}");
        client.expect(&["<stream:features"]);
    }
    said
}

fn server() -> Server {
    // PLAIN proves no channel, so both kinds of tokens can be had.
    Setup::new().set("login.plain", "true").start()
}

#[test]
fn a_token_outlives_a_kill_and_resumes_in_one_round_trip() {
    let mut server = server();
    let (mut client, token) = by_password(&server, "HT-SHA-256-EXPR");
    client.ping();
    drop(client);
    server.kill();
    server.launch();
    let mut again = How::default().open(&server);
    let said = by_token(&mut again, &token, "HT-SHA-256-EXPR", BIND);
    assert!(said.contains("<bound") && said.contains("<enabled"), "{said}");
    again.ping();
    let previd = attr(&said[said.find("<enabled").unwrap()..], "id").unwrap();
    drop(again);
    let mut back = How::default().direct().open(&server);
    let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='0'/>");
    let channel = back.exporter();
    let first = STANDARD.encode([b"ana\0", &word(&token, "Initiator", &channel)[..]].concat());
    back.send(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-EXPR'><initial-response>{first}\
         </initial-response>{AGENT}{resume}<fast xmlns='urn:xmpp:fast:0'/></authenticate>"
    ));
    let said = back.element();
    assert!(said.starts_with("<success") && said.contains("<resumed"), "{said}");
    assert!(server.log().lines().all(|line| !line.contains(&token)));
}

#[test]
fn a_token_is_not_in_the_store() {
    let server = server();
    let (mut client, token) = by_password(&server, "HT-SHA-256-NONE");
    client.ping();
    for entry in std::fs::read_dir(server.file("data/store")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let has = |what: &[u8]| bytes.windows(what.len()).any(|some| some == what);
            assert!(!has(token.as_bytes()), "{}", path.display());
        }
    }
}

#[test]
fn a_new_password_ends_tokens() {
    let server = server();
    let (_client, token) = by_password(&server, "HT-SHA-256-NONE");
    let said = by_token(&mut How::default().open(&server), &token, "HT-SHA-256-EXPR", BIND);
    assert!(said.contains("<not-authorized"), "{said}");
    server.run(&["user", "passwd", "ana"], "pa55-of-today\n");
    let said = by_token(&mut How::default().open(&server), &token, "HT-SHA-256-NONE", BIND);
    assert!(said.contains("<credentials-expired"), "{said}");
}

#[test]
fn an_app_is_thrown_out() {
    let server = server();
    let (mut app, token) = by_password(&server, "HT-SHA-256-NONE");
    app.ping();
    let mut ana = How::default().login(&server, "ana");
    ana.send("<iq type='get' id='list'><list xmlns='urn:xmpp:cam:0'/></iq>");
    let list = ana.expect(&["id=\"list\""]);
    let at = list.find("<software>App").expect("the app is in the list");
    let start = list[..at].rfind("<client ").unwrap();
    let id = attr(&list[start..], "id").unwrap();
    // The list is asked for before the connection of the app can have ended.
    ana.send(&format!(
        "<iq type='set' id='out'><revoke xmlns='urn:xmpp:cam:0' id='{id}'/></iq>\
         <iq type='get' id='after'><list xmlns='urn:xmpp:cam:0'/></iq>"
    ));
    let said = ana.expect(&["id=\"out\""]);
    assert!(said.contains("<password-reset-required"), "{said}");
    let list = ana.expect(&["id=\"after\""]);
    assert_eq!(list.matches("connected=\"true\"").count(), 1, "{list}");
    app.expect(&["<not-authorized"]);
    let said = by_token(&mut How::default().open(&server), &token, "HT-SHA-256-NONE", BIND);
    assert!(said.contains("<not-authorized"), "{said}");
}
