//! Lies about sizes and types, paths that lead elsewhere, slots that are used twice, and who is slow.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use calypte_tests::{Client, DOMAIN, wait};

use super::{Scene, answer, content, slot};

#[test]
fn nothing_executes() {
    let mut scene = Scene::new();
    let body = b"<script>alert(1)</script>";
    for (name, kind) in [
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.xhtml", "application/xhtml+xml"),
        ("a.xml", "text/xml"),
        ("a.js", "text/javascript"),
        ("a.pdf", "application/pdf"),
        ("a.html", ""),
    ] {
        let path = scene.slot(name, body.len(), kind);
        let said = if kind.is_empty() { "text/html" } else { kind };
        let answer = scene.put(&path, &format!("Content-Type: {said}\r\n"), body);
        assert_eq!(answer.status, 201, "{}", answer.head);
        let answer = scene.get(&path);
        assert_eq!(answer.header("Content-Type"), "application/octet-stream", "{kind}");
        assert!(answer.header("Content-Disposition").starts_with("attachment; "), "{kind}");
        assert!(answer.header("Content-Security-Policy").contains("sandbox"));
        assert_eq!(answer.body, body);
    }
    // What is sent as another type than it was to be, or as none.
    for kind in ["text/html", "image/png, text/html", "image/png\0", "text/html;image/png"] {
        let path = scene.slot("a.png", body.len(), "image/png");
        let answer = scene.put(&path, &format!("Content-Type: {kind}\r\n"), body);
        assert!(matches!(answer.status, 400 | 415), "{kind:?}: {}", answer.head);
        assert_eq!(scene.get(&path).status, 404);
    }
}

#[test]
fn sizes_are_no_lies() {
    let mut scene = Scene::new();
    let body = content(100_000);
    let path = scene.slot("a", body.len(), "");
    let kept = |scene: &Scene| scene.files().len();
    assert_eq!(scene.put(&path, "", &body[..99_999]).status, 400);
    assert_eq!(scene.put(&path, "", &[&*body, b"x"].concat()).status, 413);
    // The length is said beforehand.
    let head = format!("PUT {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n");
    let chunked = [b"186A0\r\n", &*body, b"\r\n0\r\n\r\n"].concat();
    assert_eq!(scene.ask(&head, &chunked).status, 411);
    let head =
        format!("PUT {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 100000\r\n");
    assert!(matches!(scene.ask(&head, &chunked).status, 400 | 411));
    assert_eq!(scene.ask(&format!("PUT {path} HTTP/1.1\r\n"), b"").status, 411);
    for length in ["-1", "+100000", "1e5", "100000, 100000", "99999999999999999999"] {
        let head = format!("PUT {path} HTTP/1.1\r\nContent-Length: {length}\r\n");
        let status = scene.ask(&head, &body).status;
        assert!(matches!(status, 400 | 411 | 413), "{length}: {status}");
    }
    let head = format!(
        "PUT {path} HTTP/1.1\r\nContent-Length: 100000\r\nContent-Range: bytes 0-99999/200000\r\n"
    );
    assert_eq!(scene.ask(&head, &body).status, 400);
    // It says the right length and sends less.
    let mut stream = scene.connect();
    write!(stream, "PUT {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 100000\r\n\r\n")
        .unwrap();
    stream.write_all(&body[..50_000]).unwrap();
    stream.flush().unwrap();
    wait("that it comes", || kept(&scene) == 1);
    drop(stream);
    wait("that nothing is left", || kept(&scene) == 0);
    assert_eq!(scene.get(&path).status, 404);
    // It says the right length and sends more: what follows is another request, and none that can be
    // read, so the connection ends. The file is there as it should be, or not at all.
    let mut stream = scene.connect();
    write!(stream, "PUT {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 100000\r\n\r\n")
        .unwrap();
    stream.write_all(&body).unwrap();
    stream.write_all(b"and more and more\r\n\r\n").unwrap();
    stream.flush().unwrap();
    // How it ends is read away.
    drop(stream.read_to_end(&mut Vec::new()));
    wait("that it is whole or gone", || match scene.get(&path).status {
        200 => scene.get(&path).body == body && kept(&scene) == 1,
        status => status == 404 && kept(&scene) == 0,
    });
}

#[test]
fn paths_lead_nowhere_else() {
    let mut scene = Scene::new();
    let path = scene.slot("a.txt", 4, "");
    assert_eq!(scene.put(&path, "", b"text").status, 201);
    let token = path.split('/').nth(2).unwrap().to_owned();
    let secret = std::fs::read(scene.server.file("data/secret.key")).unwrap();
    let long = "a".repeat(8000);
    for tail in [
        "../../../../etc/passwd",
        "TOKEN/../../../etc/passwd",
        "TOKEN/..%2f..%2fsecret.key",
        "TOKEN/%2e%2e/%2e%2e/secret.key",
        "%2e%2e/secret.key",
        "..%2fsecret.key",
        "TOKEN/a.txt%00",
        "TOKEN/a.txt%00.html",
        "TOKEN/a.txt/",
        "TOKEN/a.txt/b",
        "TOKEN/A.TXT",
        "TOKEN//a.txt",
        "TOKEN/",
        "TOKEN",
        "",
        "/TOKEN/a.txt",
        "token/a.txt",
        "TOKEN/a.txt%ff%fe",
        "TOKEN/%c0%ae%c0%ae",
        "TOKEN/%",
        "TOKEN/a%2Etxt%20",
        "*/a.txt",
    ] {
        let path = format!("/upload/{}", tail.replace("TOKEN", &token));
        for method in ["GET", "HEAD", "PUT"] {
            let head = format!("{method} {path} HTTP/1.1\r\nContent-Length: 0\r\n");
            let answer = scene.ask(&head, b"");
            assert!(matches!(answer.status, 400 | 404 | 405), "{method} {path}: {}", answer.head);
            assert!(!answer.body.windows(secret.len()).any(|part| part == secret), "{path}");
        }
    }
    let answer = scene.get(&format!("/upload/{token}/{long}"));
    assert!(matches!(answer.status, 404 | 414), "{}", answer.head);
    // The same name in other words is the same name.
    let answer = scene.get(&format!("/upload/{token}/%61.txt?x=y"));
    assert!(answer.status == 200 && answer.body == b"text", "{}", answer.head);
    // Names of all kinds stay what they are, and go nowhere.
    for (wanted, name) in [
        ("../../evil", "evil"),
        ("..", "file"),
        ("写真.png", "写真.png"),
        ("a&#10;b&quot;;c", "a_b\";c"),
    ] {
        let path = scene.slot(wanted, 4, "");
        assert_eq!(scene.put(&path, "", b"name").status, 201, "{path}");
        let answer = scene.get(&path);
        let mut full = String::new();
        for byte in name.bytes() {
            match char::from(byte) {
                c if c.is_ascii_alphanumeric() || c == '.' || c == '_' => full.push(c),
                _ => write!(full, "%{byte:02X}").unwrap(),
            }
        }
        let disposition = answer.header("Content-Disposition");
        assert!(disposition.ends_with(&format!("filename*=UTF-8''{full}")), "{disposition}");
    }
    assert!(scene.files().iter().all(|name| name.len() == 32), "{:?}", scene.files());
}

#[test]
fn a_slot_is_good_once_and_for_one_at_a_time() {
    let mut scene = Scene::new();
    let body = content(100_000);
    let path = scene.slot("a", body.len(), "");
    let mut first = scene.connect();
    write!(first, "PUT {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n").unwrap();
    first.write_all(&body[..60_000]).unwrap();
    first.flush().unwrap();
    wait("that it comes", || scene.files().len() == 1);
    let other = vec![7; body.len()];
    assert_eq!(scene.put(&path, "", &other).status, 409);
    first.write_all(&body[60_000..]).unwrap();
    first.flush().unwrap();
    assert_eq!(answer(&mut first).status, 201);
    assert_eq!(scene.put(&path, "", &other).status, 409);
    assert_eq!(scene.get(&path).body, body);
    // A slot of somebody else is as good as its owner keeps it secret, and no address leads to another.
    let mut ben = Client::login(&scene.server, "ben");
    let bens = slot(&mut ben, scene.port, "a", body.len(), "");
    let token = |path: &str| path.split('/').nth(2).unwrap().to_owned();
    assert_ne!(token(&path), token(&bens));
    assert_eq!(scene.get(&bens).status, 404);
    assert_eq!(scene.put(&bens, "", &body).status, 201);
    // The same content of two accounts is two files.
    assert_eq!(scene.files().len(), 2);
    // What belongs to an account goes with it.
    ben.close();
    assert_eq!(scene.server.run(&["user", "delete", "ben", "--yes"], "").code, 0);
    wait("that it is gone", || scene.files().len() == 1);
    assert_eq!(scene.get(&bens).status, 404);
    assert_eq!(scene.get(&path).status, 200);
}

#[test]
fn who_is_slow_is_sent_away() {
    let mut scene = Scene::new();
    let path = scene.slot("a", 1000, "");
    let mut stream = scene.connect();
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 1000\r\n\r\nand then nothing"
    )
    .unwrap();
    stream.flush().unwrap();
    // A byte now and then is too little as well, and what came fast before is no credit.
    let body = content(20 << 20);
    let trickle = scene.slot("trickle", body.len(), "");
    let mut slow = scene.connect();
    write!(
        slow,
        "PUT {trickle} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: {}\r\n\r\n",
        20 << 20
    )
    .unwrap();
    slow.write_all(&body[..10 << 20]).unwrap();
    let trickling = std::thread::spawn(move || {
        let began = Instant::now();
        slow.sock.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut told = [0; 12];
        while slow.read_exact(&mut told).is_err() && began.elapsed() < Duration::from_secs(90) {
            drop(slow.write_all(b"x").and_then(|()| slow.flush()));
        }
        (told, began.elapsed())
    });
    let large = scene.slot("large", body.len(), "");
    assert_eq!(scene.put(&large, "", &body).status, 201);
    let mut lazy = scene.connect();
    write!(lazy, "GET {large} HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n").unwrap();
    lazy.flush().unwrap();
    let began = Instant::now();
    let answer = answer(&mut stream);
    assert_eq!(answer.status, 408, "{}", answer.head);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let (told, took) = trickling.join().unwrap();
    assert_eq!(&told, b"HTTP/1.1 408");
    assert!((50..85).contains(&took.as_secs()), "{took:?}");
    assert_eq!(scene.files().len(), 1);
    // It never reads. When the system has given up on it, what was in flight is all that there is.
    std::thread::sleep(Duration::from_secs(95).saturating_sub(began.elapsed()));
    let (mut read, mut buffer) = (0, vec![0; 1 << 20]);
    while let Ok(more) = lazy.read(&mut buffer)
        && more > 0
    {
        read += more;
    }
    assert!(read < body.len(), "{read}");
}
