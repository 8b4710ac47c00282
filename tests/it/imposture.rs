//! Logging in as somebody else, before it is time, or in ways that confuse a server.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use calypte_tests::{
    Client, DOMAIN, Heard, How, Mechanism, PATIENCE, Scram, Server, Setup, password,
};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

fn header() -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

fn auth(mechanism: &str, message: &[u8]) -> String {
    let message = STANDARD.encode(message);
    format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{message}</auth>")
}

#[track_caller]
fn refuses(client: &mut Client, xml: &str, condition: &str) {
    client.send(xml);
    let said = client.element();
    assert!(said.contains(&format!("<{condition}")), "{said} to {xml}");
}

#[test]
fn what_is_pipelined_behind_starttls_is_never_used() {
    let server = Server::start();
    let plain = format!("\0ana\0{}", password("ana"));
    for injected in [
        header(),
        format!("{}{}", header(), auth("PLAIN", plain.as_bytes())),
        "<message to='ben@chat.example'/>".to_owned(),
        " ".to_owned(),
        "x".repeat(100),
    ] {
        let mut client = Client::connect(server.c2s());
        client.open_stream();
        client.send(&format!("<starttls xmlns='{TLS}'/>{injected}"));
        match client.hear(PATIENCE) {
            // It saw that there is more, and closes.
            Some(Heard::Element(xml)) if xml.contains("<stream:error") => continue,
            Some(Heard::Element(xml)) if xml.contains("<failure") => continue,
            Some(Heard::Element(xml)) => assert!(xml.starts_with("<proceed"), "{xml}"),
            Some(Heard::End | Heard::Gone) | None => continue,
        }
        let config = server.authority().client(&[&rustls::version::TLS13], None);
        let Ok(mut client) = client.secure(config) else { continue };
        // Inside TLS nothing is said before we say something.
        let said = client.hear(Duration::from_millis(300));
        assert!(matches!(said, None | Some(Heard::Gone | Heard::End)), "{said:?} to {injected}");
    }
    Client::login(&server, "ana").ping();
}

#[test]
fn nothing_goes_before_its_time() {
    let server = Setup::new().set("login.plain", "true").start();
    let message = "<message to='ben@chat.example'><body>early</body></message>";
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>";
    let plain = auth("PLAIN", format!("\0ana\0{}", password("ana")).as_bytes());
    let mut ben = Client::login(&server, "ben");
    for early in [message, bind, resume, &plain] {
        let mut client = Client::connect(server.c2s());
        client.open_stream();
        client.send(early);
        let error = client.ended().unwrap_or_default();
        let names = ["not-authorized", "policy-violation", "unsupported-stanza-type"];
        assert!(names.iter().any(|name| error.contains(name)), "{error} to {early}");
    }
    for early in [message, bind, resume] {
        let mut client = How::default().open(&server);
        client.send(early);
        let error = client.ended().unwrap_or_default();
        assert!(error.contains("<not-authorized"), "{error} to {early}");
    }
    let mut client = How::default().open(&server);
    How::default().prove(&mut client, "ana", &password("ana")).unwrap();
    client.open_stream();
    client.send(message);
    let error = client.ended().unwrap_or_default();
    assert!(error.contains("<not-authorized"), "{error}");
    assert!(ben.drain(Duration::from_millis(100)).is_empty());
}

#[test]
fn bytes_may_come_together_or_one_by_one() {
    let server = Setup::new().set("login.plain", "true").start();
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let ping = format!("<iq type='get' id='p' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>");
    let plain = auth("PLAIN", format!("\0ana\0{}", password("ana")).as_bytes());
    let all = format!("{}{plain}{}{bind}{ping}", header(), header());
    for size in [1, 7, all.len()] {
        let mut client = How::default().direct().secured(&server);
        for piece in all.as_bytes().chunks(size) {
            client.try_send(piece).unwrap();
        }
        client.expect(&["<success"]);
        client.expect(&["<iq", "p", "result"]);
    }
}

#[test]
fn sasl_has_a_name_for_each_abuse() {
    let server = Setup::new().set("login.plain", "true").start();
    let right = password("ana");
    let scram = |gs2: &str, name: &str| Scram::new(name, &right, gs2, b"").first();
    let cases: [(&str, String, &str); 14] = [
        ("SCRAM-SHA-256", "<raw>%%%".to_owned(), "incorrect-encoding"),
        ("SCRAM-SHA-256", "<raw>biws\0".replace('\0', "=A="), "incorrect-encoding"),
        ("SCRAM-SHA-256", "n,,n=ana".to_owned(), "malformed-request"),
        ("SCRAM-SHA-256", "\0\0\0\0".to_owned(), "malformed-request"),
        ("SCRAM-SHA-256", "n,,n=a\0na,r=abcdefgh".to_owned(), "malformed-request"),
        ("SCRAM-SHA-256", "n,,m=x,n=ana,r=abcdefgh".to_owned(), "malformed-request"),
        ("SCRAM-SHA-256", "n,,n=,r=abcdefgh".to_owned(), "malformed-request"),
        ("SCRAM-SHA-256", scram("n,a=ben@chat.example,", "ana"), "invalid-authzid"),
        ("SCRAM-SHA-256", scram("y,,", "ana"), "malformed-request"),
        ("SCRAM-SHA-256", scram("p=tls-exporter,,", "ana"), "malformed-request"),
        ("SCRAM-SHA-256-PLUS", scram("p=tls-unique,,", "ana"), "malformed-request"),
        ("SCRAM-SHA-256-PLUS", scram("n,,", "ana"), "malformed-request"),
        ("PLAIN", format!("ben@chat.example\0ana\0{right}"), "invalid-authzid"),
        ("X-NONE", String::new(), "invalid-mechanism"),
    ];
    let mut wrong = Vec::new();
    for (mechanism, message, condition) in cases {
        let mut client = How::default().open(&server);
        let xml = match message.strip_prefix("<raw>") {
            Some(raw) => format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{raw}</auth>"),
            None => auth(mechanism, message.as_bytes()),
        };
        client.send(&xml);
        let said = client.element();
        if !said.contains("<failure") || !said.contains(&format!("<{condition}")) {
            wrong.push(format!("{mechanism} {message:?}: {said} in place of {condition}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Client::login(&server, "ana").ping();
}

/// Answers the challenge to `scram` with what `spoil` makes of the right answer.
fn exchange(
    client: &mut Client,
    plus: bool,
    scram: &Scram,
    spoil: impl Fn(String) -> String,
) -> String {
    let mechanism = if plus { "SCRAM-SHA-256-PLUS" } else { "SCRAM-SHA-256" };
    client.send(&auth(mechanism, scram.first().as_bytes()));
    let said = client.element();
    let Some(text) = said.split("challenge").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1))
    else {
        return said;
    };
    let challenge = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
    let last = spoil(scram.last(&challenge).0);
    client.send(&format!("<response xmlns='{SASL}'>{}</response>", STANDARD.encode(last)));
    client.element()
}

#[test]
fn an_exchange_that_was_tampered_with_fails() {
    let server = Server::start();
    let right = password("ana");
    let mut client = How::default().open(&server);
    let binding = client.exporter();
    let gs2 = "p=tls-exporter,,";
    let good = Scram::new("ana", &right, gs2, &binding);
    let said = exchange(&mut client, true, &good, |last| last);
    assert!(said.starts_with("<success"), "{said}");
    // A second login on a stream that is proved.
    client.send(&auth("SCRAM-SHA-256", good.first().as_bytes()));
    assert!(client.ended().is_some());

    let mut other = binding.clone();
    other[0] ^= 1;
    let nonce = |last: String| last.replacen(",r=", ",r=x", 1);
    let proof = |last: String| last.replacen(",p=", ",p=AAAA", 1);
    type Spoil<'a> = &'a dyn Fn(String) -> String;
    let whole: Spoil<'_> = &|last| last;
    let cases: [(Scram, Spoil<'_>); 6] = [
        (Scram::new("ana", &right, gs2, &other), whole),
        (Scram::new("ana", &right, gs2, b""), whole),
        (Scram::new("ana", "wrong", gs2, &binding), whole),
        (good.clone(), &nonce),
        (good.clone(), &proof),
        (good.clone(), &|last| last.split(",p=").next().unwrap_or("").to_owned()),
    ];
    for (mut scram, spoil) in cases {
        let mut client = How::default().open(&server);
        if scram.binding == binding {
            // Every connection has its own.
            scram.binding = client.exporter();
        }
        let said = exchange(&mut client, true, &scram, spoil);
        assert!(said.contains("<failure"), "{said}");
        assert!(said.contains("<not-authorized") || said.contains("<malformed"), "{said}");
    }
    // Both ends can do channel binding, and somebody says that the server cannot.
    let said = exchange(
        &mut How::default().open(&server),
        false,
        &Scram::new("ana", &right, "y,,", b""),
        |last| last,
    );
    assert!(said.contains("<malformed-request"), "{said}");
}

#[test]
fn three_tries_and_no_more() {
    let server = Server::start();
    let how = How::default().by(Mechanism::Scram);
    let mut client = how.open(&server);
    for _ in 0..3 {
        let said = how.prove(&mut client, "ana", "wrong").unwrap_err();
        assert!(said.contains("<not-authorized"), "{said}");
    }
    assert!(client.ended().unwrap_or_default().contains("<policy-violation"));
    // What cannot work is no guess, but is not free for ever either.
    let mut client = how.open(&server);
    for _ in 0..12 {
        refuses(&mut client, &auth("X-NONE", b""), "invalid-mechanism");
    }
    assert!(client.ended().unwrap_or_default().contains("<policy-violation"));
    // The owner is not locked out.
    Client::login(&server, "ana").ping();
}

#[test]
fn nobody_learns_who_has_an_account() {
    let mut server = Server::start();
    let ask = |server: &Server, name: &str| {
        let mut client = How::default().open(server);
        let mut scram = Scram::new(name, "wrong", "n,,", b"");
        scram.nonce = "aaaaaaaaaaaaaaaaaaaaaaaa".to_owned();
        client.send(&auth("SCRAM-SHA-256", scram.first().as_bytes()));
        let said = client.element();
        let text = said.split(['>', '<']).nth(2).unwrap().to_owned();
        let challenge = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        let (_, rest) = challenge.split_once(",s=").unwrap();
        let (last, _) = scram.last(&challenge);
        client.send(&format!("<response xmlns='{SASL}'>{}</response>", STANDARD.encode(last)));
        (rest.to_owned(), client.element())
    };
    let (known, said_to_known) = ask(&server, "ana");
    let (nobody, said_to_nobody) = ask(&server, "nobody");
    assert_eq!(said_to_known, said_to_nobody);
    let shape = |rest: &str| {
        let (salt, iterations) = rest.split_once(",i=").unwrap();
        (salt.len(), iterations.to_owned())
    };
    assert_eq!(shape(&known), shape(&nobody));
    assert_ne!(ask(&server, "nobody2").0, nobody);
    server.kill();
    server.launch();
    assert_eq!(ask(&server, "nobody").0, nobody, "the salt of nobody changed at a restart");
    assert_eq!(ask(&server, "ana").0, known);
    server.run(&["user", "disable", "ana"], "");
    assert_eq!(ask(&server, "ana").1, said_to_nobody);
}

#[test]
fn a_session_is_resumed_only_by_its_account() {
    let server = Server::start();
    let mut ben = Client::login(&server, "ben");
    ben.enable();
    let to_ben = ben.jid().to_owned();
    let memory = ben.cut();
    let mut ana = How::default().open(&server);
    How::default().prove(&mut ana, "ana", &password("ana")).unwrap();
    ana.open_stream();
    let resume =
        |token: &str, h: u32| format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>");
    refuses(&mut ana, &resume(&memory.token, 0), "item-not-found");
    refuses(&mut ana, &resume(&memory.token.replace('a', "b"), 0), "item-not-found");
    How::default().bind(&mut ana).unwrap();
    ana.send(&format!("<message to='{to_ben}' type='chat'><body>still yours</body></message>"));
    ana.ping();
    let mut ben = How::default().resume(&server, &memory).unwrap();
    ben.expect(&["still yours"]);
}

#[test]
fn counts_from_the_future_end_the_stream() {
    let server = Server::start();
    let mut ana = Client::login(&server, "ana");
    ana.enable();
    ana.send("<a xmlns='urn:xmpp:sm:3' h='1000'/>");
    let error = ana.ended().unwrap_or_default();
    assert!(error.contains("<undefined-condition"), "{error}");
    assert!(error.contains("<handled-count-too-high"), "{error}");
    let mut ana = Client::login(&server, "ana");
    ana.enable();
    let mut memory = ana.cut();
    memory.received = 1000;
    let said = How::default().resume(&server, &memory).map(drop).unwrap_err();
    assert!(said.contains("error") || said.contains("<failed"), "{said}");
    Client::login(&server, "ana").ping();
}
