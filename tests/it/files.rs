//! Files that people send each other by HTTPS (XEP-0363): what goes there and back, and all that tries
//! to send, get or break what it should not.

#![allow(clippy::print_stderr, reason = "who skips a test says so")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use calypte_tests::{Chance, Client, DOMAIN, Disk, Server, Setup, attr, free_ports};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};

mod copies;
mod tricks;

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// A server with a port for HTTPS, and one of its users.
struct Scene {
    server: Server,
    port: u16,
    ana: Client,
}

/// An answer by HTTP.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("{name} is missing in {}", self.head)).1
    }
}

fn setup() -> (Setup, u16) {
    let [port] = free_ports();
    (Setup::new().set("listen.https", &format!("\"127.0.0.1:{port}\"")), port)
}

impl Scene {
    fn new() -> Self {
        let (setup, port) = setup();
        Self::of(setup, port)
    }

    fn of(setup: Setup, port: u16) -> Self {
        let server = setup.start();
        let ana = Client::login(&server, "ana");
        Self { server, port, ana }
    }

    /// Asks for a slot and returns the path of its address.
    #[track_caller]
    fn slot(&mut self, name: &str, bytes: usize, kind: &str) -> String {
        let port = self.port;
        slot(&mut self.ana, port, name, bytes, kind)
    }

    fn connect(&self) -> Connection {
        let config = self.server.authority().client(&[&TLS13], None);
        let name = ServerName::try_from(DOMAIN).unwrap();
        let mut tls = ClientConnection::new(config, name).unwrap();
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        tls.complete_io(&mut socket).unwrap();
        StreamOwned::new(tls, socket)
    }

    /// Sends a head and a body, and returns the answer.
    #[track_caller]
    fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        write!(stream, "{head}Host: {DOMAIN}\r\nConnection: close\r\n\r\n").unwrap();
        // Who refuses a body may close before it has all of it.
        drop(stream.write_all(body));
        drop(stream.flush());
        answer(&mut stream)
    }

    #[track_caller]
    fn put(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let head = format!("PUT {path} HTTP/1.1\r\nContent-Length: {length}\r\n{kind}");
        self.ask(&head, body)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\n"), b"")
    }

    /// Returns the names in the folder of files.
    fn files(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.server.file("data/files")).unwrap();
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[track_caller]
fn slot(client: &mut Client, port: u16, name: &str, bytes: usize, kind: &str) -> String {
    let kind = if kind.is_empty() { String::new() } else { format!(" content-type='{kind}'") };
    client.send(&format!(
        "<iq type='get' id='slot' to='{DOMAIN}'><request xmlns='urn:xmpp:http:upload:0' \
         filename='{name}' size='{bytes}'{kind}/></iq>"
    ));
    let xml = client.expect(&["slot"]);
    let put = xml.split("<put").nth(1).unwrap_or_else(|| panic!("{xml}"));
    let url = attr(put, "url").unwrap();
    let base = format!("https://{DOMAIN}:{port}");
    url.strip_prefix(&base).unwrap_or_else(|| panic!("{url}")).to_owned()
}

#[track_caller]
fn answer(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 << 10];
    while let Ok(read) = stream.read(&mut buffer)
        && read > 0
    {
        bytes.extend_from_slice(&buffer[..read]);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end + 2].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

fn content(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

/// Tells whether any file below `folder` holds `part`.
fn holds(folder: &Path, part: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, part);
        }
        std::fs::read(&path).unwrap().windows(part.len()).any(|window| window == part)
    })
}

#[test]
fn a_file_goes_there_and_back() {
    let mut scene = Scene::new();
    let body = content(200_000);
    let path = scene.slot("très cool.jpg", body.len(), "image/jpeg");
    assert!(path.starts_with("/upload/") && path.ends_with("/tr%C3%A8s%20cool.jpg"), "{path}");
    let answer = scene.put(&path, "Content-Type: image/jpeg\r\n", &body);
    assert_eq!(answer.status, 201, "{}", answer.head);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), "*");

    let answer = scene.get(&path);
    assert!(answer.status == 200 && answer.body == body, "{}", answer.head);
    for (name, value) in [
        ("Content-Type", "image/jpeg"),
        ("Content-Length", "200000"),
        ("Accept-Ranges", "bytes"),
        ("X-Content-Type-Options", "nosniff"),
        ("Access-Control-Allow-Origin", "*"),
        ("Cross-Origin-Resource-Policy", "cross-origin"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "private, max-age=86400, immutable"),
        (
            "Content-Disposition",
            "inline; filename=\"tr_s cool.jpg\"; filename*=UTF-8''tr%C3%A8s%20cool.jpg",
        ),
        (
            "Content-Security-Policy",
            "default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox",
        ),
    ] {
        assert_eq!(answer.header(name), value);
    }
    let tag = answer.header("ETag").to_owned();

    let answer = scene.ask(&format!("HEAD {path} HTTP/1.1\r\nRange: bytes=1-2\r\n"), b"");
    assert!(answer.status == 200 && answer.body.is_empty(), "{}", answer.head);
    assert_eq!(answer.header("Content-Length"), "200000");
    let known = scene.ask(&format!("GET {path} HTTP/1.1\r\nIf-None-Match: {tag}\r\n"), b"");
    assert!(known.status == 304 && known.body.is_empty(), "{}", known.head);

    for (range, first, last) in [
        ("0-0", 0, 0),
        ("65530-131080", 65_530, 131_080),
        ("199999-", 199_999, 199_999),
        ("-5", 199_995, 199_999),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nRange: bytes={range}\r\nIf-Range: {tag}\r\n");
        let part = scene.ask(&head, b"");
        assert!(part.status == 206 && part.body == body[first..=last], "{range}: {}", part.head);
        assert_eq!(part.header("Content-Range"), format!("bytes {first}-{last}/200000"));
        assert_eq!(part.header("Content-Length"), (last - first + 1).to_string());
    }
    let old =
        scene.ask(&format!("GET {path} HTTP/1.1\r\nRange: bytes=0-0\r\nIf-Range: \"x\"\r\n"), b"");
    assert!(old.status == 200 && old.body == body, "{}", old.head);
    let many = scene.ask(&format!("GET {path} HTTP/1.1\r\nRange: bytes=0-0,5-6\r\n"), b"");
    assert!(many.status == 200 && many.body == body, "{}", many.head);
    let outside = scene.ask(&format!("GET {path} HTTP/1.1\r\nRange: bytes=200000-\r\n"), b"");
    assert_eq!(outside.status, 416, "{}", outside.head);
    assert_eq!(outside.header("Content-Range"), "bytes */200000");

    // Scripts of other pages may do the same, and nothing with what the browser knows of its user.
    let head = format!(
        "OPTIONS {path} HTTP/1.1\r\nOrigin: https://web.example\r\n\
         Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type\r\n"
    );
    let options = scene.ask(&head, b"");
    assert_eq!(options.status, 204, "{}", options.head);
    assert_eq!(options.header("Access-Control-Allow-Methods"), "OPTIONS, HEAD, GET, PUT");
    assert!(options.header("Access-Control-Allow-Headers").contains("Content-Type"));
    assert!(!options.head.to_lowercase().contains("allow-credentials"), "{}", options.head);
    for method in ["POST", "DELETE", "PATCH", "TRACE"] {
        let other = scene.ask(&format!("{method} {path} HTTP/1.1\r\n"), b"");
        assert_eq!(other.status, 405, "{method}: {}", other.head);
    }
}

#[test]
fn the_disk_shows_neither_content_nor_names() {
    let mut scene = Scene::new();
    let body = b"wherefore art thou Romeo? ".repeat(8000);
    let path = scene.slot("balcony-scene.txt", body.len(), "");
    assert_eq!(scene.put(&path, "Content-Type: text/plain\r\n", &body).status, 201);
    let [name] = &scene.files()[..] else { panic!("{:?}", scene.files()) };
    assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    let token = path.split('/').nth(2).unwrap();
    assert!(!path.contains(name.as_str()));
    scene.server.stop();
    assert!(!holds(&scene.server.file("data"), b"wherefore art thou"));
    // Who has the store has no links.
    assert!(!holds(&scene.server.file("data"), token.as_bytes()));
    assert!(!scene.server.log().contains(token) && !scene.server.log().contains("balcony-scene"));
    let ran = scene.server.run(&["verify"], "");
    assert!(ran.code == 0 && ran.out.contains("1 files of 208000 bytes"), "{ran:?}");
}

#[test]
fn memory_does_not_grow_with_the_file() {
    const BYTES: usize = 48 << 20;
    // Half the file: on a busy machine more pieces wait for the disk and for who reads.
    const GROWTH: u64 = 24 << 20;
    let mut scene = Scene::new();
    let piece = content(1 << 20);
    scene.ana.ping();
    assert_eq!(scene.get("/upload/x/y").status, 404);
    let before = scene.server.memory();
    let path = scene.slot("large", BYTES, "");
    let mut stream = scene.connect();
    write!(stream, "PUT {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\nContent-Length: {BYTES}\r\n\r\n").unwrap();
    for _ in 0..BYTES / piece.len() {
        stream.write_all(&piece).unwrap();
    }
    stream.flush().unwrap();
    assert_eq!(answer(&mut stream).status, 201);
    // Somebody reads it, and somebody else begins to and stops.
    let mut lazy = scene.connect();
    write!(lazy, "GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n").unwrap();
    let mut stream = scene.connect();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n").unwrap();
    let (mut read, mut buffer) = (0, vec![0; 1 << 20]);
    while let Ok(more) = stream.read(&mut buffer)
        && more > 0
    {
        read += more;
    }
    assert!(read > BYTES, "{read}");
    let grown = scene.server.memory_peak().saturating_sub(before);
    assert!(grown < GROWTH, "{} MiB", grown >> 20);
    let fast = scene.ana.ping();
    assert!(fast < Duration::from_secs(1), "{fast:?}");
}

#[test]
fn a_kill_leaves_the_whole_file_or_nothing() {
    let mut chance = Chance::new();
    let mut scene = Scene::new();
    let body = content(3 << 20);
    for round in 0..4 {
        let path = scene.slot("a", body.len(), "");
        let mut stream = scene.connect();
        write!(
            stream,
            "PUT {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        // In the first round certainly in the middle of it.
        let sent = if round == 0 { body.len() / 2 } else { body.len() };
        stream.write_all(&body[..sent]).unwrap();
        stream.flush().unwrap();
        stream.sock.set_read_timeout(Some(Duration::from_millis(1 + chance.up_to(400)))).unwrap();
        let mut status = [0; 12];
        let is_acknowledged = stream.read_exact(&mut status).is_ok() && &status[9..] == b"201";
        scene.server.kill();
        scene.server.launch();
        scene.ana = Client::login(&scene.server, "ana");
        assert!(scene.files().iter().all(|name| name.len() == 32), "{:?}", scene.files());
        let answer = scene.get(&path);
        assert!(
            answer.status == 200 || !is_acknowledged,
            "seed {}: {}",
            chance.seed(),
            answer.head
        );
        if answer.status == 200 {
            assert!(answer.body == body, "seed {}", chance.seed());
        } else {
            // The slot is still good.
            assert_eq!(scene.put(&path, "", &body).status, 201, "seed {}", chance.seed());
        }
        scene.server.stop();
        let ran = scene.server.run(&["verify"], "");
        assert_eq!(ran.code, 0, "{ran:?}");
        scene.server.launch();
        scene.ana = Client::login(&scene.server, "ana");
    }
    // The same content each time.
    assert_eq!(scene.files().len(), 1);
}

#[test]
fn what_is_missing_or_changed_is_named() {
    let mut scene = Scene::new();
    for name in ["a", "b"] {
        let path = scene.slot(name, 1, "");
        assert_eq!(scene.put(&path, "", name.as_bytes()).status, 201);
    }
    let text = scene.server.run(&["command", "file-space"], "");
    assert!(text.out.contains("2 files of 1 accounts take 2 bytes of 10 GiB."), "{text:?}");
    assert_eq!(scene.server.metric("calypte_files"), 2.0);
    assert_eq!(scene.server.metric("calypte_upload_files_total"), 2.0);
    scene.server.stop();
    let files = scene.files();
    let path = |name: &str| scene.server.file("data/files").join(name);
    std::fs::remove_file(path(&files[0])).unwrap();
    let mut sealed = std::fs::read(path(&files[1])).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    std::fs::write(path(&files[1]), sealed).unwrap();
    std::fs::write(path(&"0".repeat(32)), "stray").unwrap();
    let ran = scene.server.run(&["verify"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    for part in [&*files[0], "it is not there", &files[1], "was changed", "1 files stand in no row"]
    {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    // A start deletes what stands in no row, and serves the rest.
    scene.server.launch();
    assert_eq!(scene.files(), [files[1].clone()]);
}

#[test]
fn a_full_disk_is_told() {
    // A slim host keeps copies of its modules among the data.
    let is_slim = std::env::var("CALYPTE_FORM").is_ok_and(|form| form == "slim");
    let Some(disk) = Disk::new(if is_slim { 555 } else { 320 }) else {
        return eprintln!("skipped: mounting a small disk needs root");
    };
    let (setup, port) = setup();
    let mut scene = Scene::of(setup.data(&disk.path().join("data")), port);
    let body = content(16 << 20);
    let path = scene.slot("a", body.len(), "");
    assert_eq!(scene.put(&path, "", &body).status, 201);
    // What the store needs is left to it.
    let mut last = 201;
    for number in 0..8 {
        let path = scene.slot(&number.to_string(), body.len() - number, "");
        last = scene.put(&path, "", &body[number..]).status;
        if last != 201 {
            assert_eq!(scene.get(&path).status, 404);
            break;
        }
    }
    assert_eq!(last, 507);
    assert!(scene.server.log().contains("The disk is full: files that people send are refused."));
    assert!(scene.server.http("/readyz").contains("200 OK"));
    let names = std::fs::read_dir(disk.path().join("data/files")).unwrap();
    assert!(
        names
            .map(|name| name.unwrap().file_name().into_string().unwrap())
            .all(|name| name.len() == 32)
    );
    assert_eq!(scene.get(&path).status, 200);
}
