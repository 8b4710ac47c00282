//! Components (XEP-0114): a bridge speaks for its domain, and for nothing else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use calypte_tests::{Client, Component, DOMAIN, How, Server, Setup, free_ports, wait};

const IRC: &str = "irc.chat.example";
const WEB: &str = "web.chat.example";

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn connect(port: u16, domain: &str) -> Component {
    Component::connect(at(port), domain, &format!("secret of {domain}"))
}

fn start() -> (Server, u16) {
    let [port] = free_ports();
    let tables: String = [IRC, WEB]
        .map(|domain| {
            format!("[[components]]\ndomain = \"{domain}\"\nsecret_file = \"{domain}.secret\"\n")
        })
        .concat();
    let setup = Setup::new().set("listen.components", &format!("[\"127.0.0.1:{port}\"]"));
    let mut server = setup.raw(&tables).prepare();
    for domain in [IRC, WEB] {
        let path = server.file(&format!("{domain}.secret"));
        std::fs::write(&path, format!("secret of {domain}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    server.launch();
    (server, port)
}

#[test]
fn a_bridge_talks_with_people() {
    let (server, port) = start();
    let mut ana = Client::login(&server, "ana");
    ana.send("<presence/>");
    ana.ping();

    // It is an item of the domain, and nobody is there yet.
    ana.send(&format!(
        "<iq type='get' id='items' to='{DOMAIN}'>\
         <query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
    ));
    let items = ana.expect(&["<iq", "items"]);
    assert!(items.contains(IRC) && items.contains(WEB), "{items}");
    ana.send(&format!("<message to='x@{IRC}' type='chat' id='away'><body>early</body></message>"));
    ana.expect(&["<message", "away", "service-unavailable"]);

    let mut irc = connect(port, IRC);
    irc.say(&format!(
        "<message from='x@{IRC}/phone' to='ana@{DOMAIN}' type='chat'><body>from irc</body></message>"
    ));
    let got = ana.expect(&["<message", "from irc"]);
    assert!(got.contains(&format!("x@{IRC}/phone")), "{got}");
    ana.send(&format!("<message to='x@{IRC}/phone' type='chat'><body>to irc</body></message>"));
    let got = irc.expect(&["to irc", "</message>"]);
    assert!(
        got.contains(&format!("from=\"{}\"", ana.jid())) && !got.contains("jabber:client"),
        "{got}"
    );

    // A question of the server, and one to somebody who is not there.
    irc.say(&format!(
        "<iq type='get' id='ping' from='{IRC}' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    irc.expect(&["ping", "result"]);
    irc.say(&format!(
        "<message from='{IRC}' to='nobody@{DOMAIN}' id='no'><body>x</body></message>"
    ));
    irc.expect(&["id=\"no\"", "service-unavailable"]);

    // Components reach each other.
    irc.say(&format!("<message from='x@{IRC}' to='y@{WEB}' id='web'><body>x</body></message>"));
    irc.expect(&["id=\"web\"", "service-unavailable"]);
    let mut web = connect(port, WEB);
    irc.say(&format!("<message from='x@{IRC}' to='y@{WEB}'><body>to web</body></message>"));
    web.expect(&["to web", "</message>"]);

    // A second one is refused, and the first one stays.
    let (mut second, id) = Component::open(at(port), IRC);
    second.shake(&id, &format!("secret of {IRC}"));
    assert!(second.ended().contains("<conflict"));
    ana.send(&format!("<message to='x@{IRC}' type='chat'><body>still</body></message>"));
    irc.expect(&["still"]);

    // It goes, and comes again.
    irc.say("</stream:stream>");
    irc.ended();
    wait("it is gone", || {
        ana.send(&format!(
            "<message to='x@{IRC}' type='chat' id='gone'><body>late</body></message>"
        ));
        let back = ana.drain(Duration::from_millis(200)).concat();
        back.contains("service-unavailable")
    });
    let mut irc = connect(port, IRC);
    ana.send(&format!("<message to='x@{IRC}' type='chat'><body>again</body></message>"));
    irc.expect(&["again"]);
    let log = server.log();
    assert!(!log.contains("secret of"), "{log}");
}

#[test]
fn what_a_component_has_not_read_comes_back_when_it_dies() {
    let (mut server, port) = start();
    let mut ana = Client::login(&server, "ana");
    let mut irc = connect(port, IRC);
    let say = |ana: &mut Client, word: &str| {
        let body = format!("<body>{word}</body>");
        ana.send(&format!("<message to='x@{IRC}' type='chat' id='{word}'>{body}</message>"));
        ana.ping();
    };
    // What it read it has.
    say(&mut ana, "read");
    irc.expect(&["read", "</message>"]);
    wait("it answers", || {
        irc.hear();
        irc.answered() == 1
    });
    // Its system took this, and it never saw it.
    say(&mut ana, "unread");
    std::thread::sleep(Duration::from_millis(200));
    drop(irc);
    ana.expect(&["<message", "unread", "error", "service-unavailable"]);
    let back = ana.drain(Duration::from_millis(300)).concat();
    assert!(!back.contains("<message"), "{back}");
    // Nor is it lost when the server dies.
    let _irc = connect(port, IRC);
    ana.enable();
    say(&mut ana, "late");
    let memory = ana.memory();
    server.kill();
    server.launch();
    let mut ana = How::default().resume(&server, &memory).unwrap();
    ana.expect(&["<message", "late", "error", "service-unavailable"]);
}

#[test]
fn a_component_that_answers_no_ping_gets_all() {
    // More than it may have without an answer.
    const COUNT: usize = 1200;
    let (server, port) = start();
    let mut ana = Client::login(&server, "ana");
    let mut irc = connect(port, IRC);
    for _ in 0..COUNT / 50 {
        for _ in 0..50 {
            ana.send(&format!("<message to='x@{IRC}' type='chat'><body>word</body></message>"));
        }
        ana.ping();
    }
    // As many XMPP libraries of bridges: it reads, and answers no question.
    let (mut got, mut bytes) = (Vec::new(), [0; 4096]);
    let until = Instant::now() + Duration::from_secs(60);
    while String::from_utf8_lossy(&got).matches("</message>").count() < COUNT {
        assert!(Instant::now() < until, "the rest does not come");
        let count = irc.socket().read(&mut bytes).unwrap_or(0);
        got.extend_from_slice(bytes.get(..count).unwrap());
    }
}

#[test]
fn a_component_speaks_for_its_domain_only() {
    let (server, port) = start();
    let mut ana = Client::login(&server, "ana");
    for (domain, secret, error) in [
        (IRC, "wrong", "<not-authorized"),
        (IRC, "", "<not-authorized"),
        (IRC, "secret of web.chat.example", "<not-authorized"),
    ] {
        let (mut component, id) = Component::open(at(port), domain);
        component.shake(&id, secret);
        component
            .say(&format!("<message from='x@{IRC}' to='ana@{DOMAIN}'><body>a</body></message>"));
        let said = component.ended();
        assert!(said.contains(error) && !said.contains("<handshake/>"), "{said}");
    }
    for domain in [DOMAIN, "other.example", "chat.example/x", "ana@chat.example"] {
        let (component, _) = Component::open(at(port), domain);
        assert!(component.ended().contains("<host-unknown"), "{domain}");
    }
    for (from, error) in [
        (format!("ben@{DOMAIN}"), "<invalid-from"),
        (DOMAIN.to_owned(), "<invalid-from"),
        (format!("y@{WEB}"), "<invalid-from"),
        (format!("x@evil.{IRC}"), "<invalid-from"),
        ("ben@other.example".to_owned(), "<invalid-from"),
    ] {
        let mut irc = connect(port, IRC);
        irc.say(&format!(
            "<message from='{from}' to='{}'><body>forged</body></message>",
            ana.jid()
        ));
        assert!(irc.ended().contains(error), "{from}");
        // The place is free for the next one.
        wait("it is gone", || server.log().matches("A component is gone").count() > 0);
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut irc = connect(port, IRC);
    irc.say(&format!("<message from='x@{IRC}'><body>to nobody</body></message>"));
    assert!(irc.ended().contains("<improper-addressing"));
    ana.ping();
    let got = ana.drain(Duration::from_millis(200)).concat();
    assert!(!got.contains("forged"), "{got}");
}

#[test]
fn a_component_that_does_not_read_or_stop_harms_nobody() {
    let (server, port) = start();
    let mut ana = Client::login(&server, "ana");
    let mut ben = Client::login(&server, "ben");
    ben.send("<presence/>");
    ben.ping();

    // Before it has proved anything, it may say little.
    let (mut stranger, _) = Component::open(at(port), IRC);
    drop(stranger.socket().write_all(format!("<handshake>{}", "0".repeat(1 << 20)).as_bytes()));
    assert!(stranger.ended().contains("<policy-violation"));

    // It floods somebody with requests that nobody answers, and reads none of the errors.
    let mut irc = connect(port, IRC);
    irc.socket().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let one = format!("<message from='x@{IRC}' to='nobody@{DOMAIN}'><body>flood</body></message>");
    let flood = one.repeat(20_000);
    drop(irc.socket().write_all(flood.as_bytes()));
    assert!(ana.ping() < Duration::from_secs(10));

    // What people write to one that does not read is bounded, and then refused.
    let body = "x".repeat(60_000);
    let mut is_refused = false;
    for _ in 0..400 {
        ana.send(&format!("<message to='x@{IRC}' type='chat'><body>{body}</body></message>"));
        let got = ana.drain(Duration::from_millis(1)).concat();
        is_refused |= got.contains("resource-constraint");
        if is_refused {
            break;
        }
    }
    assert!(is_refused, "nothing was refused");
    ana.send("<message to='ben@chat.example' type='chat'><body>hello</body></message>");
    ben.expect(&["hello"]);
    let figures = server.run(&["status"], "");
    assert_eq!(figures.code, 0, "{figures:?}");
}

#[test]
fn a_secret_that_everybody_can_read_is_refused() {
    let toml = format!("[[components]]\ndomain = \"{IRC}\"\nsecret_file = \"open.secret\"\n");
    let server = Setup::new().raw(&toml).prepare();
    let path = server.file("open.secret");
    std::fs::write(&path, "hush hush").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let ran = server.run(&["check"], "");
    assert!(ran.code != 0 && ran.err.contains("everybody can read"), "{ran:?}");
    assert!(!ran.err.contains("hush") && !ran.out.contains("hush"), "{ran:?}");
    let file = server.file("calypte.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (more, what) in [
        (toml.clone(), "is there twice"),
        (toml.replace(IRC, DOMAIN), "is the domain of the server itself"),
        ("[[components]]\ndomain = \"x.example\"\n".to_owned(), "has no `secret_file`"),
    ] {
        std::fs::write(&file, format!("{text}\n{more}")).unwrap();
        let ran = server.run(&["check"], "");
        assert!(ran.code != 0 && ran.err.contains(what), "{ran:?}");
    }
}
