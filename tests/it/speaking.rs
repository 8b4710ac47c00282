//! Speaking for others, and what may never be written down.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte_tests::{Client, DOMAIN, How, Mechanism, Server, Setup, attr, password};

#[test]
fn the_sender_is_who_logged_in() {
    let server = Setup::new().account("carol").start();
    let mut ana = Client::login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    let carol = Client::login(&server, "carol");
    let to = ben.jid().to_owned();
    for (number, from) in
        [carol.jid(), "carol@chat.example", DOMAIN, "", "not an@address@", "ana@chat.example/other"]
            .into_iter()
            .enumerate()
    {
        let xml = format!(
            "<message to='{to}' from='{from}' type='chat'><body>forged-{number}</body></message>"
        );
        let from_ana = format!("from=\"{}\"", ana.jid());
        // It is either stamped with the truth or refused; a stream may end over it.
        drop(ana.try_send(xml.as_bytes()));
        for got in ben.drain(Duration::from_millis(100)) {
            assert!(got.contains(&from_ana), "{got}");
        }
        if ana.try_send(b" ").is_err() || ana.hear(Duration::from_millis(50)).is_some() {
            ana = How::default().resource("again").login(&server, "ana");
        }
    }
}

#[test]
fn what_a_stranger_asks_comes_from_a_stranger() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    ben.send("<presence/>");
    let to = ben.jid().to_owned();
    let bare = "ben@chat.example";
    for (to, payload) in [
        (to.as_str(), "<query xmlns='jabber:iq:roster'><item jid='evil@x.example'/></query>"),
        (bare, "<query xmlns='jabber:iq:roster'><item jid='evil@x.example'/></query>"),
        (&to, "<block xmlns='urn:xmpp:blocking'><item jid='a@b.example'/></block>"),
    ] {
        ana.send(&format!("<iq type='set' id='push' to='{to}'>{payload}</iq>"));
    }
    ana.send(&format!("<iq type='result' id='push' to='{to}'/>"));
    for got in ben.drain(Duration::from_millis(200)) {
        if got.contains("evil") || got.contains("push") {
            assert_eq!(attr(&got, "from").as_deref(), Some(ana.jid()), "{got}");
        }
    }
    ben.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
    let roster = ben.expect(&["<iq", "roster"]);
    assert!(!roster.contains("evil"), "{roster}");
}

#[test]
fn strangers_do_not_learn_who_is_there() {
    let server = Server::start();
    let mut ben = How::default().resource("phone").login(&server, "ben");
    ben.send("<presence><status>secret place</status></presence>");
    ben.ping();
    let mut ana = Client::login(&server, "ana");
    let ask = |ana: &mut Client, to: &str| {
        ana.send(&format!("<presence type='probe' to='{to}'/>"));
        ana.send(&format!(
            "<iq type='get' id='last' to='{to}'><query xmlns='jabber:iq:last'/></iq>"
        ));
        let answer = ana.expect(&["<iq", "last"]);
        let rest = ana.drain(Duration::from_millis(100)).concat();
        assert!(!rest.contains("secret place"), "{rest}");
        (answer + &rest).replace(to, "WHO").replace(&to.replace("/phone", ""), "WHO")
    };
    // Somebody who is there, somebody who is not, and nobody give the same answer.
    let there = ask(&mut ana, "ben@chat.example");
    assert_eq!(ask(&mut ana, "nobody@chat.example"), there);
}

#[test]
fn a_log_line_is_one_line() {
    let server = Server::start();
    let odd = "ana\n{\"time\":\"forged\"}\r\u{1b}[31m\u{202e}";
    let escaped = odd.replace('"', "&quot;").replace('\n', "&#10;").replace('\r', "&#13;");
    for name in [odd, "ana\0x", "ana\u{2028}forged"] {
        let refused = How::default().by(Mechanism::Scram).try_login(&server, name, "wrong");
        assert!(refused.is_err());
    }
    let mut client = How::default().open(&server);
    drop(
        client.try_send(
            format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{escaped}'>=</auth>"
            )
            .as_bytes(),
        ),
    );
    drop(client.drain(Duration::from_millis(200)));
    let mut client = How::default().open(&server);
    How::default().prove(&mut client, "ana", &password("ana")).unwrap();
    client.open_stream();
    drop(How::default().resource("a&#10;forged line").bind(&mut client));
    let mut client = Client::connect(server.c2s());
    drop(client.try_send(format!("<stream:stream to='{escaped}'><{odd}").as_bytes()));
    client.ended();
    Client::login(&server, "ana").ping();
    let log = server.log();
    for line in log.lines() {
        assert!(line.starts_with("{\"time\":\"20") && line.ends_with('}'), "{line:?}");
        assert!(!line.contains(['\u{1b}', '\u{202e}', '\u{2028}', '\r']), "{line:?}");
    }
}

/// Looks for `needles` in all files below `folder`; returns what was found where.
fn find(folder: &Path, needles: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find(&path, needles));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let has = |needle: &Vec<u8>| bytes.windows(needle.len()).any(|part| part == needle);
            let hits = needles.iter().filter(|needle| has(needle));
            found.extend(hits.map(|hit| format!("{} {hit:?}", path.display())));
        }
    }
    found
}

#[test]
fn secrets_and_bodies_are_never_written_where_they_do_not_belong() {
    let setup = Setup::new().set("login.plain", "true").set("log.level", "\"trace\"");
    let mut server = setup.start();
    let secret = password("ana");
    for how in [How::default(), How::default().by(Mechanism::Plain), How::default().sasl2()] {
        how.login(&server, "ana").ping();
        drop(how.try_login(&server, "ana", &format!("{secret}x")));
    }
    // PLAIN where it is not expected, and with an error in it.
    let plain = STANDARD.encode(format!("\0ana\0{secret}"));
    for xml in [
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'>{plain}</auth>"),
        format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{plain}</response>"),
        format!("<message><auth mechanism='PLAIN'>{plain}</auth></message>"),
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}"),
    ] {
        for mut client in [Client::connect(server.c2s()), How::default().open(&server)] {
            client.try_send(b"<?xml version='1.0'?>").unwrap_or_default();
            drop(client.try_send(xml.as_bytes()));
            drop(client.drain(Duration::from_millis(50)));
        }
    }
    let mut ana = Client::login(&server, "ana");
    let to = ana.jid().to_owned();
    ana.send(&format!("<message to='{to}' type='chat'><body>a-private-body</body></message>"));
    ana.expect(&["a-private-body"]);
    assert!(server.stop().success());
    let mut needles: Vec<Vec<u8>> =
        [secret.clone(), format!("ana\0{secret}")].map(String::into_bytes).to_vec();
    let bytes = secret.as_bytes();
    // Base64 at each of its three alignments, without the ends that depend on neighbours.
    needles.extend((0..3).map(|skip| {
        let text = STANDARD.encode(&bytes[skip..skip + (bytes.len() - skip) / 3 * 3]);
        text.into_bytes()
    }));
    needles.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
    needles.push(bytes.iter().rev().copied().collect());
    assert_eq!(find(&server.file("data"), &needles), Vec::<String>::new());
    let log = server.log().into_bytes();
    needles.push(b"a-private-body".to_vec());
    needles.push(b"ana@".to_vec());
    for needle in &needles {
        let hit = log.windows(needle.len()).any(|part| part == needle);
        assert!(!hit, "{} in the log", String::from_utf8_lossy(needle));
    }
    // The search itself works: what has to be there is found.
    assert!(!find(&server.file("data"), &[b"ana".to_vec()]).is_empty());
}
