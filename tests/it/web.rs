//! Clients in browsers: what the server takes over WebSocket and BOSH, and what it refuses.

use std::time::{Duration, Instant};

use calypte_tests::web::{self, Bosh, Frame, WebSocket};
use calypte_tests::{Client, How, Server, Setup, free_ports, wait};
use rustls::version::TLS13;

mod slow;

/// Starts a server with a port in the clear and one for HTTPS.
fn start(change: impl FnOnce(Setup) -> Setup) -> (Server, u16, u16) {
    let [plain, https] = free_ports();
    let setup = Setup::new()
        .set("listen.web", &format!("\"127.0.0.1:{plain}\""))
        .set("listen.https", &format!("\"127.0.0.1:{https}\""));
    (change(setup).start(), plain, https)
}

fn chat(to: &str, body: &str) -> String {
    format!("<message xmlns='jabber:client' to='{to}' type='chat'><body>{body}</body></message>")
}

#[test]
fn people_chat_over_all_transports() {
    let (server, plain, https) = start(|setup| setup);
    let mut ana = Client::login(&server, "ana");
    let tls = server.authority().client(&[&TLS13], Some("http/1.1"));
    let mut ben = WebSocket::secure(https, tls, &[]).unwrap();
    let features = ben.open_stream();
    // It is a program, and TLS ends here.
    assert!(features.contains("SCRAM-SHA-256-PLUS"), "{features}");
    ben.cut();
    let mut ben = WebSocket::open(plain, &[("Origin", "https://chat.example")]).unwrap();
    let features = ben.open_stream();
    assert!(features.contains("SCRAM-SHA-256") && !features.contains("-PLUS"), "{features}");
    ben.prove("ben");
    ben.send(
        "<iq xmlns='jabber:client' id='bind' type='set'>\
         <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    );
    ben.expect(&["<jid>ben@chat.example/"]);
    ben.send("<presence xmlns='jabber:client'/>");
    ana.send("<message to='ben@chat.example' type='chat'><body>over TCP</body></message>");
    let got = ben.expect(&["over TCP"]);
    assert!(got.starts_with("<message xmlns=\"jabber:client\" from=\"ana@"), "{got}");
    ben.send(&chat(ana.jid(), "over WebSocket"));
    ana.expect(&["over WebSocket"]);
    // In pieces, with a ping in between.
    let long = chat(ana.jid(), &"x".repeat(70_000));
    let (first, rest) = long.as_bytes().split_at(20);
    ben.frame(0x01, first);
    ben.frame(0x89, b"there?");
    ben.frame(0x80, rest);
    assert_eq!(ben.hear(), Frame::Pong(b"there?".to_vec()));
    ana.expect(&["xxxxx"]);
    let (mut bosh, _) = Bosh::begin(plain, 5);
    let address = bosh.login("ben");
    let held = bosh.hold();
    ana.send(&format!("<message to='{address}' type='chat'><body>over BOSH</body></message>"));
    let got = held.join().unwrap();
    assert!(got.contains("<message xmlns=\"jabber:client\"") && got.contains("over BOSH"), "{got}");
    bosh.send("", &chat(ana.jid(), "and back"));
    ana.expect(&["and back"]);
    let said =
        bosh.send("type='terminate'", "<presence xmlns='jabber:client' type='unavailable'/>");
    assert!(said.contains("type='terminate'"), "{said}");
    // In good order.
    ben.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    ben.expect(&["<close "]);
    assert_eq!(ben.hear(), Frame::Close(1000));
    assert_eq!(ben.hear(), Frame::Gone);
}

#[test]
fn a_session_goes_on_over_another_transport() {
    let (server, plain, _) = start(|setup| setup);
    let mut ana = Client::login(&server, "ana");
    // From TCP to WebSocket.
    let mut ben = Client::login(&server, "ben");
    ben.enable();
    let address = ben.jid().to_owned();
    let memory = ben.cut();
    let message = |body: &str| format!("<message to='{address}'><body>{body}</body></message>");
    ana.send(&message("while away"));
    let mut ben = WebSocket::open(plain, &[]).unwrap();
    ben.open_stream();
    ben.prove("ben");
    let resume =
        |token: &str, h: u32| format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>");
    ben.send(&resume(&memory.token, memory.received));
    ben.expect(&["<resumed"]);
    ben.expect(&["while away"]);
    // From WebSocket to WebSocket, after a page was closed as browsers do: without `<close/>`.
    ben.send("<r xmlns='urn:xmpp:sm:3'/>");
    ben.expect(&["<a xmlns=\"urn:xmpp:sm:3\""]);
    ben.frame(0x88, &1001_u16.to_be_bytes());
    assert_eq!(ben.hear(), Frame::Close(1000));
    ana.send(&message("again"));
    let mut ben = WebSocket::open(plain, &[]).unwrap();
    ben.open_stream();
    ben.prove("ben");
    ben.send(&resume(&memory.token, memory.received + 1));
    ben.expect(&["<resumed"]);
    ben.expect(&["again"]);
    // And back to TCP.
    ben.cut();
    ana.send(&message("at last"));
    let mut memory = memory;
    memory.received += 2;
    let mut ben = How::default().resume(&server, &memory).unwrap();
    assert!(ben.element().contains("at last"));
}

#[test]
fn only_known_pages_connect() {
    let (server, plain, https) = start(|setup| setup.set("web.origins", "\"https://app.example\""));
    let open = |origin: &str| WebSocket::open(plain, &[("Origin", origin)]).map(drop);
    for known in ["https://chat.example", "https://app.example"] {
        open(known).unwrap();
        let answer = web::request(plain, "OPTIONS", &[("Origin", known)], "");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let allowed = format!("access-control-allow-origin: {known}\r\n");
        assert!(answer.contains(&allowed) && !answer.contains("credentials"), "{answer}");
    }
    WebSocket::open(plain, &[]).unwrap();
    for strange in ["https://evil.example", "http://chat.example", "null"] {
        assert_eq!(open(strange), Err("HTTP/1.1 403 Forbidden".to_owned()), "{strange}");
        let begin = web::body(1, "to='chat.example'", "");
        let answer = web::post(plain, &[("Origin", strange)], &begin);
        assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("allow-origin"), "{answer}");
    }
    let ask = |path, protocol| WebSocket::ask(plain, path, protocol).map(drop).unwrap_err();
    assert!(ask("/xmpp-websocket", "chat").contains(" 400 "));
    assert!(ask("/metrics", "xmpp").contains(" 404 "));
    // By TLS the same.
    let tls = server.authority().client(&[&TLS13], Some("http/1.1"));
    let refused = WebSocket::secure(https, tls, &[("Origin", "https://evil.example")]);
    assert!(refused.map(drop).unwrap_err().contains(" 403 "));
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let (server, plain, _) = start(|setup| setup);
    let opened = || {
        let mut client = WebSocket::open(plain, &[]).unwrap();
        client.open_stream();
        client
    };
    let mut client = opened();
    client.frame(0x82, b"<a/>");
    assert_eq!(client.hear(), Frame::Close(1003));
    assert_eq!(client.hear(), Frame::Gone);
    // Without a mask; with a reserved bit; a piece of nothing.
    for bytes in [&[0x81, 1, b'<'][..], &[0xC1, 0x80, 0, 0, 0, 0], &[0x80, 0x80, 0, 0, 0, 0]] {
        let mut client = opened();
        client.bytes(bytes);
        assert_eq!(client.hear(), Frame::Close(1002));
    }
    // A head that promises too much is enough, and before login less is allowed.
    let mut client = opened();
    client.bytes(&[0x81, 0xFF, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 2, 3, 4]);
    client.expect(&["policy-violation"]);
    client.expect(&["<close "]);
    assert_eq!(client.hear(), Frame::Close(1009));
    let mut client = opened();
    for _ in 0..20 {
        client.frame(0x01, b"<");
        client.frame(0x00, &[b'a'; 1000]);
    }
    assert_eq!(client.hear(), Frame::Close(1002));
    let mut client = opened();
    client.frame(0x01, b"<a>");
    for _ in 0..20 {
        client.frame(0x00, &[b'a'; 1000]);
    }
    client.expect(&["policy-violation"]);
    // One element in each, and all of it.
    for wrong in ["<a/><b/>", "<a>", " ", "<stream:stream xmlns:stream='a'>", "text"] {
        let mut client = opened();
        client.send(wrong);
        client.expect(&["<stream:error", "not-well-formed"]);
    }
    // The others were not touched, and nothing is left of these.
    let mut ana = Client::login(&server, "ana");
    ana.ping();
    drop(ana);
    wait("the end of all connections", || server.metric("calypte_c2s_connections") == 0.0);
}

#[test]
fn requests_have_an_order_that_nobody_else_can_guess() {
    let (_server, plain, _) = start(|setup| setup);
    let (bosh, answer) = Bosh::begin(plain, 5);
    assert_eq!(bosh.sid.len(), 32, "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    let (other, _) = Bosh::begin(plain, 5);
    assert_ne!(bosh.sid, other.sid);
    // Another name, and a number that is none of ours.
    let mut stranger = bosh.clone();
    stranger.sid = bosh.sid.replace(|c: char| c.is_ascii_digit(), "f");
    let answer = stranger.send_as(1001, "", "");
    assert!(answer.contains("condition='item-not-found'"), "{answer}");
    let answer = other.send_as(5000, "", "");
    assert!(answer.contains("condition='item-not-found'"), "{answer}");
    // The session of who was not attacked lives. The same request gets the same answer.
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>\
                biwsbj1hbmEscj1hYmNkZWZnaGlqa2w=</auth>";
    let first = bosh.send_as(1001, "", auth);
    assert!(first.contains("<challenge"), "{first}");
    let inside = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    let again = bosh.send_as(1001, "", auth);
    assert_eq!(inside(&again), inside(&first));
    // It is not heard twice: the challenge still stands.
    let wrong = "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdz</response>";
    let answer = bosh.send_as(1002, "", wrong);
    assert!(answer.contains("<failure"), "{answer}");
}

#[test]
fn who_asks_too_much_or_too_slowly_is_refused() {
    let (server, plain, _) = start(|setup| setup);
    // Not a request; too long for a stranger; too long for anybody.
    // Nor may it become so long that each in it says what is declared once.
    let names = format!("xmlns:a=\"{}\"", "'".repeat(256));
    let swelling = web::body(1, &format!("{names} to='chat.example'"), &"<a:b/>".repeat(1_000));
    for wrong in ["", "<body/>", &web::body(1, "", &"<a/>".repeat(10_000)), &swelling] {
        let answer = web::post(plain, &[], wrong);
        assert!(answer.contains("condition='bad-request'"), "{answer}");
    }
    let (mut bosh, _) = Bosh::begin(plain, 30);
    bosh.login("ana");
    let answer = bosh.send("", &chat("ben@chat.example", &"x".repeat(200_000)));
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("terminate"), "{answer}");
    let answer = bosh.send("", &chat("ben@chat.example", &"x".repeat(300_000)));
    assert!(answer.contains("condition='bad-request'"), "{answer}");
    bosh.rid -= 1;
    // Empty requests while one is held: a few are borne, as after a page was loaded again.
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(bosh.hold());
        std::thread::sleep(Duration::from_millis(100));
    }
    let answers: Vec<_> = held.into_iter().map(|held| held.join().unwrap()).collect();
    let refused = |answer: &&String| answer.contains("condition='policy-violation'");
    assert_eq!(answers.iter().filter(refused).count(), 2, "{answers:?}");
    // One that does not come to its end.
    let begun = Instant::now();
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", plain)).unwrap();
    let head = "POST /http-bind HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n<body";
    std::io::Write::write_all(&mut slow, head.as_bytes()).unwrap();
    let mut answer = String::new();
    drop(std::io::Read::read_to_string(&mut slow, &mut answer));
    assert!(answer.contains("bad-request"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(40));
    assert!(server.metric("calypte_c2s_connections") <= 1.0);
}

#[test]
fn host_meta_says_what_is_on() {
    let (server, plain, https) = start(|setup| setup.set("web.bosh", "false"));
    let page = server.get(plain, "/.well-known/host-meta");
    let href = format!("href='wss://chat.example:{https}/xmpp-websocket'");
    assert!(page.contains(&href) && !page.contains("xbosh"), "{page}");
    let page = server.get(plain, "/.well-known/host-meta.json");
    assert!(page.contains("urn:xmpp:alt-connections:websocket"), "{page}");
    // What is off does nothing, whoever asks.
    let begin = web::body(1, "to='chat.example' wait='1' hold='1'", "");
    for origin in ["https://chat.example", "https://evil.example"] {
        for (method, text) in [("POST", &*begin), ("POST", ""), ("OPTIONS", "")] {
            let answer = web::request(plain, method, &[("Origin", origin)], text);
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
            let is_plain = !answer.contains("<body") && !answer.contains("allow-");
            assert!(is_plain, "{answer}");
        }
    }
    assert!(server.metric("calypte_c2s_connections") == 0.0);
}

#[test]
fn one_port_has_all_that_begins_with_tls() {
    let [alpn] = free_ports();
    let setup = Setup::new().set("listen.alpn", &format!("\"127.0.0.1:{alpn}\""));
    let server = setup.set("federation.with", "\"everyone\"").start();
    let secured = |name| {
        let tls = server.authority().client(&[&TLS13], name);
        Client::connect(([127, 0, 0, 1], alpn).into()).secure(tls).unwrap()
    };
    let features = secured(Some("xmpp-client")).open_stream();
    assert!(features.contains("-PLUS"), "{features}");
    let mut peer = secured(Some("xmpp-server"));
    let header = "<stream:stream xmlns='jabber:server' to='chat.example' from='b.example' \
                  xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    assert!(peer.open_with(header).contains("<stream:features"));
    let tls = server.authority().client(&[&TLS13], Some("http/1.1"));
    let mut ana = WebSocket::secure(alpn, tls, &[]).unwrap();
    ana.login("ana");
    // Who names nothing gets HTTP.
    let tls = server.authority().client(&[&TLS13], None);
    WebSocket::secure(alpn, tls, &[]).unwrap();
    // In pieces, with pauses.
    let mut slow = std::net::TcpStream::connect(("127.0.0.1", alpn)).unwrap();
    let hello = server.authority().hello("xmpp-client");
    for piece in hello.chunks(100) {
        std::io::Write::write_all(&mut slow, piece).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut first = [0];
    std::io::Read::read_exact(&mut slow, &mut first).unwrap();
    assert_eq!(first[0], 0x16, "a handshake record");
    // No TLS, and nothing at all.
    for words in ["<?xml version='1.0'?>", ""] {
        let mut other = std::net::TcpStream::connect(("127.0.0.1", alpn)).unwrap();
        std::io::Write::write_all(&mut other, words.as_bytes()).unwrap();
        let mut rest = Vec::new();
        drop(std::io::Read::read_to_end(&mut other, &mut rest));
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
}

#[test]
fn a_folder_is_served_and_nothing_beside_it() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("chat");
    std::fs::create_dir_all(folder.join("dist")).unwrap();
    std::fs::create_dir(folder.join(".git")).unwrap();
    for (name, text) in [
        ("chat/index.html", "<title>Chat</title>"),
        ("chat/dist/app.js", "let a;"),
        ("chat/.git/config", "secret"),
        ("chat/.env", "secret"),
        ("secret", "secret"),
    ] {
        std::fs::write(outside.path().join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("../secret", folder.join("link.txt")).unwrap();
    let (server, plain, _) =
        start(|setup| setup.set("web.folder", &format!("{:?}", folder.display().to_string())));
    let page = server.get(plain, "/");
    assert!(page.contains(" 200 ") && page.ends_with("<title>Chat</title>"), "{page}");
    for header in [
        "content-type: text/html; charset=utf-8\r\n",
        "content-security-policy: default-src 'self'; ",
        "x-content-type-options: nosniff\r\n",
        "x-frame-options: DENY\r\n",
        "referrer-policy: no-referrer\r\n",
        "cache-control: no-cache\r\n",
    ] {
        assert!(page.contains(header), "{header} is not in {page}");
    }
    assert!(server.get(plain, "/dist/app.js?v=1").contains("text/javascript"));
    assert!(server.get(plain, "/dist").contains("location: /dist/\r\n"));
    for wrong in [
        "/dist/",
        "/link.txt",
        "/.env",
        "/.git/config",
        "/%2egit/config",
        "/../secret",
        "/%2e%2e/secret",
        "/dist/..%2f..%2fsecret",
        "/dist/%2e%2e/%2e%2e/secret",
        "/dist/../.env",
        "/dist%5c..%5c.env",
        "//etc/passwd",
        "/index.html%00",
        "/index.html/",
        "/none",
    ] {
        let page = server.get(plain, wrong);
        assert!(page.contains(" 404 ") && !page.contains("secret"), "{wrong}: {page}");
    }
    // Modules and the server's own paths are not hidden by it, nor figures shown.
    assert!(server.get(plain, "/.well-known/host-meta").contains("<XRD"));
    assert!(server.get(plain, "/metrics").contains(" 404 "));
}
