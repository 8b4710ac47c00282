//! Clients on the web that are away for a moment, and those that are slow or silent on purpose.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use calypte_tests::web::{self, Bosh, Frame, WebSocket};
use calypte_tests::{Client, wait};

use super::start;

/// How long the slowest may take until they are cut off.
const CUT_WITHIN: Duration = Duration::from_secs(45);
/// How much more memory they may take together.
const GROWTH: u64 = 32 << 20;

/// Sends a request that is held, over a connection that can break.
fn held(port: u16, bosh: &mut Bosh) -> TcpStream {
    let text = web::body(bosh.rid, &format!("sid='{}'", bosh.sid), "");
    bosh.rid += 1;
    let mut socket = connect(port);
    let length = text.len();
    let head = format!("POST /http-bind HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    socket.write_all(format!("{head}{text}").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    socket
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.set_read_timeout(Some(CUT_WITHIN)).unwrap();
    socket
}

/// Returns what of `words` stands in an answer, in its order.
fn told<'a>(answer: &str, words: &[&'a str]) -> Vec<&'a str> {
    let mut told: Vec<_> = words.iter().filter_map(|one| Some((answer.find(one)?, *one))).collect();
    told.sort_unstable();
    told.into_iter().map(|(_, one)| one).collect()
}

#[test]
fn what_comes_while_no_request_is_here_goes_to_the_next() {
    const WORDS: [&str; 6] = ["first", "second", "third", "broken", "unread", "after"];
    let (server, plain, _) = start(|setup| setup.set("limits.queue", "\"64 KiB\""));
    let mut ana = Client::login(&server, "ana");
    let (mut bosh, _) = Bosh::begin(plain, 60);
    // Without acknowledgements (XEP-0198).
    let address = bosh.login("ben");
    let mut say = |words: &str| {
        ana.send(&format!("<message to='{address}' type='chat'><body>{words}</body></message>"));
        ana.ping();
    };
    WORDS[..3].iter().for_each(|words| say(words));
    assert_eq!(told(&bosh.send("", ""), &WORDS), WORDS[..3]);
    // The connection breaks before there is something to say.
    drop(held(plain, &mut bosh));
    std::thread::sleep(Duration::from_millis(500));
    say("broken");
    assert_eq!(told(&bosh.send("", ""), &WORDS), ["broken"]);
    // And when the answer is on its way: the same request is sent again (XEP-0124 §14.3).
    let unread = held(plain, &mut bosh);
    say("unread");
    std::thread::sleep(Duration::from_millis(500));
    drop(unread);
    say("after");
    assert_eq!(told(&bosh.send_as(bosh.rid - 1, "", ""), &WORDS), ["unread"]);
    assert_eq!(told(&bosh.send("", ""), &WORDS), ["after"]);
    // What waits is bounded: one that does not ask for it is gone.
    (0..8).for_each(|_| say(&"x".repeat(60_000)));
    wait("its end", || server.metric("calypte_c2s_slow_readers_total") >= 1.0);
    wait("its end", || bosh.send_as(bosh.rid, "", "").contains("condition='item-not-found'"));
}

#[test]
fn who_is_slow_or_silent_is_cut_off_and_takes_little() {
    let (server, plain, https) = start(|setup| setup.set("limits.login_within", "\"5 seconds\""));
    let mut ana = Client::login(&server, "ana");
    ana.ping();
    let (memory, began) = (server.memory(), Instant::now());
    // Heads and bodies that drip, in the clear and where TLS is expected.
    let drip = |port: u16, start: &str, piece: &'static str| {
        let mut socket = connect(port);
        socket.write_all(start.as_bytes()).unwrap();
        std::thread::spawn(move || {
            let began = Instant::now();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            while began.elapsed() < CUT_WITHIN {
                let is_gone = match socket.read(&mut [0; 512]) {
                    Ok(count) => count == 0,
                    Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
                };
                if is_gone || socket.write_all(piece.as_bytes()).is_err() {
                    return true;
                }
            }
            false
        })
    };
    let bosh = "POST /http-bind HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n<body";
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(("a head", drip(plain, "GET /.well-known/host-meta HTTP/1.1\r\n", "a: b\r\n")));
        slow.push(("a request", drip(plain, bosh, " ")));
        slow.push(("a method", drip(plain, "G", "E")));
        slow.push(("a handshake", drip(https, "\x16\x03\x01\x02", "\0")));
    }
    // Those that say nothing at all.
    let silent: Vec<_> =
        [plain, https].iter().flat_map(|port| vec![*port; 20]).map(connect).collect();
    // WebSockets: silent, with a message that never ends, with pings that are not answered by anything else.
    let mut sockets: Vec<_> = (0..40).map(|_| WebSocket::open(plain, &[]).unwrap()).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        match number % 3 {
            0 => {}
            1 => (0..8).for_each(|piece| socket.frame(u8::from(piece == 0), &[b'<'; 1000])),
            _ => (0..100).for_each(|_| socket.frame(0x89, &[0; 125])),
        }
    }
    assert!(ana.ping() < Duration::from_secs(2));
    for (what, one) in slow {
        assert!(one.join().unwrap(), "{what} may drip for ever");
    }
    for mut one in silent {
        assert!(one.read(&mut [0; 8]).is_ok(), "silence is borne for ever");
    }
    for mut socket in sockets {
        socket.patience(CUT_WITHIN);
        while !matches!(socket.hear(), Frame::Gone) {}
    }
    assert!(began.elapsed() < CUT_WITHIN * 2, "{:?}", began.elapsed());
    let grown = server.memory_peak().saturating_sub(memory);
    assert!(grown < GROWTH, "{} MiB", grown >> 20);
    wait("that nothing is left", || server.metric("calypte_c2s_connections") <= 1.0);
    Client::login(&server, "ben").ping();
}

#[test]
fn pieces_are_bounded() {
    let (server, plain, _) = start(|setup| setup);
    let mut ana = WebSocket::open(plain, &[]).unwrap();
    ana.login("ana");
    let memory = server.memory();
    // One byte in each piece, or none: it is the pieces that are counted.
    for piece in [&b"a"[..], b""] {
        let mut ben = WebSocket::open(plain, &[]).unwrap();
        ben.login("ben");
        ben.frame(0x01, b"<message><body>");
        (0..1100).for_each(|_| ben.frame(0x00, piece));
        ben.expect(&["policy-violation"]);
    }
    // As long as a stanza may be, and not a byte more.
    let mut ben = WebSocket::open(plain, &[]).unwrap();
    ben.login("ben");
    ben.frame(0x01, b"<message><body>");
    (0..9).for_each(|_| ben.frame(0x00, &vec![b'a'; 30 << 10]));
    ben.expect(&["policy-violation"]);
    let grown = server.memory_peak().saturating_sub(memory);
    assert!(grown < GROWTH, "{} MiB", grown >> 20);
    ana.send("<iq xmlns='jabber:client' id='p' type='get' to='chat.example'><ping xmlns='urn:xmpp:ping'/></iq>");
    ana.expect(&["id=\"p\""]);
}
