//! Too much of everything. After each flood memory is inside its bound, and others were served.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use calypte_tests::{Client, DOMAIN, Heard, How, PATIENCE, Server, Setup, wait};

/// How much more memory a flood may take than there was before, for as long as it lasts.
const GROWTH: u64 = 64 << 20;

/// A server with somebody who behaves well and wants to be served meanwhile.
struct Scene {
    server: Server,
    bystander: Client,
    memory: u64,
}

impl Scene {
    fn new(setup: Setup) -> Self {
        let server = setup.start();
        let mut bystander = Client::login(&server, "ben");
        bystander.ping();
        let memory = server.memory();
        Self { server, bystander, memory }
    }

    /// Checks that memory is inside the bound and that everybody else is served within a second.
    #[track_caller]
    fn holds(&mut self) {
        let grown = self.server.memory_peak().saturating_sub(self.memory);
        assert!(grown < GROWTH, "{} MiB more", grown >> 20);
        // The machine of a test has more to do than the server; it has three tries.
        let best = (0..3).map(|_| self.bystander.ping()).min().unwrap();
        assert!(best < Duration::from_secs(1), "{best:?}");
        Client::login(&self.server, "ben").close();
    }
}

/// Sends `start`, then `piece` until the server has enough. Returns the stream error, and how much
/// it took before.
#[track_caller]
fn pour(mut client: Client, start: &str, piece: &str) -> (String, usize) {
    const GIGABYTE: usize = 1 << 30;
    let mut sent = start.len();
    client.try_send(start.as_bytes()).unwrap();
    let block = piece.repeat((16 << 10) / piece.len() + 1);
    while sent < GIGABYTE && client.try_send(block.as_bytes()).is_ok() {
        sent += block.len();
        match client.hear(Duration::from_micros(1)) {
            None => {}
            Some(Heard::Element(xml)) => return (xml, sent),
            Some(Heard::End | Heard::Gone) => break,
        }
    }
    (client.ended().unwrap_or_default(), sent)
}

/// Endless things of every kind, each as a start and what is repeated.
const ENDLESS: [(&str, &str); 9] = [
    ("<message a='", "aaaaaaaaaaaaaaaa"),
    ("<message ", "a"),
    ("<", "b"),
    ("<message", " a='b' "),
    ("<message xmlns='", "u:aaaaaaaaaaaa"),
    ("<message><body>", "text text text "),
    ("<message>", "<a>"),
    ("<message>", "<a/>"),
    ("<message><body>", "&lt;&amp;&#65;"),
];

#[test]
fn endless_input_is_cut_off() {
    let mut scene = Scene::new(Setup::new().set("limits.traffic", "\"512 MiB\""));
    for (start, piece) in ENDLESS {
        for is_in in [true, false] {
            let client = if is_in {
                Client::login(&scene.server, "ana")
            } else {
                How::default().direct().open(&scene.server)
            };
            let (error, sent) = pour(client, start, piece);
            // What is under way in the sockets counts for us, not for the server.
            assert!(sent < 16 << 20, "{start}: {sent} bytes");
            let names = ["policy-violation", "not-well-formed", "not-authorized"];
            let is_named = names.iter().any(|name| error.contains(name));
            assert!(is_named || error.is_empty(), "{start}: {error}");
        }
    }
    scene.holds();
}

#[test]
fn a_hundred_thousand_levels_are_too_deep() {
    let mut scene = Scene::new(Setup::new());
    let mut client = Client::login(&scene.server, "ana");
    let text = "<a>".repeat(100_000);
    drop(client.try_send(format!("<message to='ben@{DOMAIN}'>{text}").as_bytes()));
    let error = client.ended().unwrap_or_default();
    assert!(error.contains("policy-violation"), "{error}");
    scene.holds();
}

#[test]
fn headers_end() {
    let mut scene = Scene::new(Setup::new());
    for start in ["<stream:stream ", "<?xml version='1.0'?><stream:stream to='", "<?xml ", " \n"] {
        let (_, sent) = pour(Client::connect(scene.server.c2s()), start, "a='b' ");
        assert!(sent < 16 << 20, "{sent} bytes");
    }
    scene.holds();
}

#[test]
fn silent_connections_do_not_keep_others_out() {
    let mut scene = Scene::new(Setup::new());
    let server = &scene.server;
    let connect = |number: usize| {
        let port = if number.is_multiple_of(2) { server.c2s() } else { server.c2s_tls() };
        TcpStream::connect_timeout(&port, PATIENCE).unwrap()
    };
    let silent: Vec<_> = (0..5000).map(connect).collect();
    wait("5000 connections", || server.metric("calypte_c2s_connections_total") >= 5000.0);
    // The oldest of those who have not logged in make room for the newest.
    wait("the bound", || server.metric("calypte_c2s_connections_logging_in") <= 2000.0);
    assert!(server.metric("calypte_c2s_refused_total{reason=\"connections\"}") >= 3000.0);
    scene.holds();
    drop(silent);
    let logging_in = "calypte_c2s_connections_logging_in";
    wait("their end", || scene.server.metric(logging_in) == 0.0);
}

#[test]
fn one_address_has_a_bound() {
    let server = Setup::new().set("limits.connections_per_address", "10").start();
    let mut clients: Vec<_> = (0..10).map(|_| Client::connect(server.c2s())).collect();
    for client in &mut clients {
        client.open_stream();
    }
    assert_eq!(Client::connect(server.c2s()).hear(PATIENCE), Some(Heard::Gone));
    drop(clients.pop());
    wait("room", || server.metric("calypte_c2s_connections") < 10.0);
    Client::login(&server, "ana").ping();
}

#[test]
fn a_slow_drip_runs_out_of_time() {
    let mut scene = Scene::new(Setup::new().set("limits.login_within", "\"2 seconds\""));
    let start = Instant::now();
    let mut client = Client::connect(scene.server.c2s());
    let text = format!("<?xml version='1.0'?><stream:stream to='{DOMAIN}' ");
    for byte in text.bytes().cycle() {
        if client.try_send(&[byte]).is_err() {
            break;
        }
        match client.hear(Duration::from_millis(100)) {
            Some(Heard::End | Heard::Gone) => break,
            Some(Heard::Element(xml)) => assert!(xml.contains("<connection-timeout"), "{xml}"),
            None => assert!(start.elapsed() < PATIENCE, "it may drip for ever"),
        }
    }
    // So do a handshake that never ends, and a login that never begins.
    let mut silent = How::default().open(&scene.server);
    let mut half = TcpStream::connect(scene.server.c2s_tls()).unwrap();
    half.write_all(&[22, 3, 1, 2, 0]).unwrap();
    assert!(silent.ended().unwrap_or_default().contains("<connection-timeout"));
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(std::io::Read::read(&mut half, &mut [0; 8]), Ok(0) | Err(_)));
    assert!(start.elapsed() < PATIENCE);
    scene.holds();
}

#[test]
fn garbage_is_no_handshake() {
    let mut scene = Scene::new(Setup::new());
    let mut chance = calypte_tests::Chance::new();
    for round in 0..40 {
        let mut client = Client::connect(scene.server.c2s_tls());
        if round % 2 == 1 {
            client = Client::connect(scene.server.c2s());
            client.open_stream();
            client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            client.expect(&["<proceed"]);
        }
        let count = 1 + chance.below(2000);
        drop(client.try_send(&chance.bytes(count)));
        drop(client.socket().shutdown(Shutdown::Write));
        while client.hear(PATIENCE).expect("it is closed") != Heard::Gone {}
    }
    scene.holds();
}

#[test]
fn a_slow_reader_is_not_waited_for() {
    let setup = Setup::new().set("limits.traffic", "\"512 MiB\"").set("limits.burst", "\"1 GiB\"");
    let mut scene =
        Scene::new(setup.account("slow").set("modules.disable", "[\"archive\", \"offline\"]"));
    let mut slow = Client::login(&scene.server, "slow");
    let mut ana = Client::login(&scene.server, "ana");
    let body = "x".repeat(8 << 10);
    let flood = format!("<message to='{}' type='chat'><body>{body}</body></message>", slow.jid());
    let mut refused = 0;
    let mut worst = Duration::ZERO;
    for number in 0..4000 {
        ana.send(&flood);
        if number % 200 == 0 {
            worst = worst.max(scene.bystander.ping());
        }
        // Once the slow one is gone, the sender hears so.
        while let Some(Heard::Element(xml)) = ana.hear(Duration::from_micros(1)) {
            refused += usize::from(xml.contains("<service-unavailable"));
        }
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    assert!(refused > 0, "32 MiB were kept for somebody who does not read");
    assert_eq!(scene.server.metric("calypte_c2s_slow_readers_total"), 1.0);
    ana.ping();
    slow.drain(Duration::from_millis(100));
    scene.holds();
}

#[test]
fn who_reads_no_answers_is_not_read() {
    let mut scene = Scene::new(Setup::new().set("limits.traffic", "\"512 MiB\""));
    let mut ana = Client::login(&scene.server, "ana");
    ana.socket().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let ping = format!(
        "<iq type='get' to='{DOMAIN}' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
        "i".repeat(1000)
    );
    let mut sent = 0_usize;
    while sent < 64 << 20 && ana.try_send(ping.repeat(64).as_bytes()).is_ok() {
        sent += ping.len() * 64;
    }
    assert!(sent < 64 << 20, "nothing stopped it");
    scene.holds();
}
