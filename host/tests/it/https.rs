//! What the world may fetch by HTTPS.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::place::Place;
use crate::questions::probe;
use crate::running::{Running, config, free_port};

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Starts a server with a port for HTTPS, and one for clients.
fn start(c2s_tls: &str) -> (Running, u16) {
    let place = Place::new();
    let (port, https) = (free_port(), free_port());
    let listen = format!("http = []\nhttps = \"127.0.0.1:{https}\"\nc2s_tls = {c2s_tls}\n");
    let text = config(port, "").replace("\nc2s_tls = []", "").replace("http = []", &listen);
    place.write("calypte.toml", &text);
    place.calypte(&["module", "add", probe().to_str().unwrap()], "").succeeds();
    (Running::start_in(place, port), https)
}

/// Connects and trusts the certificate that is on disk now.
fn connect(running: &Running, port: u16, alpn: &[&str]) -> Connection {
    try_to_connect(running, port, alpn).unwrap()
}

fn try_to_connect(running: &Running, port: u16, alpn: &[&str]) -> io::Result<Connection> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(running.place.file("cert.pem")).unwrap();
    roots.add(certificate).unwrap();
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("chat.example").unwrap();
    let mut connection = ClientConnection::new(Arc::new(tls), name).unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    connection.complete_io(&mut socket)?;
    Ok(StreamOwned::new(connection, socket))
}

/// Sends a request and returns the whole answer.
fn fetch(running: &Running, port: u16, head: &str, body: &[u8]) -> String {
    let mut stream = connect(running, port, &["http/1.1"]);
    let head = format!("{head} HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    // A server that refuses the body may close before it has all of it.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8(answer).unwrap().to_lowercase()
}

#[test]
fn the_world_sees_what_is_public_and_nothing_else() {
    let (running, port) = start("[]");
    for path in ["/.well-known/host-meta", "/.well-known/host-meta.json"] {
        let answer = fetch(&running, port, &format!("GET {path}"), b"");
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains("access-control-allow-origin: *\r\n"), "{answer}");
        assert!(!answer.contains("server:") && !answer.contains("calypte"), "{answer}");
        let answer = fetch(&running, port, &format!("HEAD {path}"), b"");
        assert!(answer.starts_with("http/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
        let answer = fetch(&running, port, &format!("POST {path}"), b"x");
        assert!(answer.starts_with("http/1.1 405"), "{answer}");
    }
    let answer = fetch(&running, port, "POST /probe/public/a?b=c", b"three");
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    assert!(!answer.contains("access-control"), "{answer}");
    assert!(answer.ends_with("post /probe/public/a b=c three chat.example"), "{answer}");
    for path in ["/metrics", "/healthz", "/readyz", "/probe", "/probe/deep", "/probe/publicly", "/"]
    {
        let answer = fetch(&running, port, &format!("GET {path}"), b"");
        assert!(answer.starts_with("http/1.1 404"), "{path}: {answer}");
    }
    let answer = fetch(&running, port, "POST /probe/public", &vec![b'x'; (64 << 10) + 1]);
    assert!(answer.starts_with("http/1.1 413"), "{answer}");
}

#[test]
fn host_meta_names_the_ports_that_there_are() {
    let direct = free_port();
    let (running, port) = start(&format!("\"0.0.0.0:{direct}\"\npublic = \"192.0.2.1\""));
    let answer = fetch(&running, port, "GET /.well-known/host-meta.json", b"");
    assert!(answer.contains("\"ips\":[\"192.0.2.1\"]"), "{answer}");
    assert!(answer.contains(&format!("\"port\":{direct}")), "{answer}");
    assert!(answer.contains("\"rel\":\"urn:xmpp:alt-connections:tls\""), "{answer}");
    assert!(answer.contains("\"sni\":\"chat.example\""), "{answer}");
}

#[test]
fn only_http_1_is_spoken() {
    let (running, port) = start("[]");
    for offered in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let stream = connect(&running, port, offered);
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    let refused = try_to_connect(&running, port, &["h2"]).unwrap_err();
    let no_protocol = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(refused.downcast::<rustls::Error>().unwrap(), no_protocol);
    // Nor to who begins with it without asking (RFC 9113 §3.3).
    let mut stream = connect(&running, port, &[]);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{answer:?}");
}

#[test]
fn who_says_nothing_is_sent_away() {
    let (running, port) = start("[]");
    let began = Instant::now();
    let mut silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut idle = connect(&running, port, &["http/1.1"]);
    idle.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let mut rest = Vec::new();
    drop(idle.read_to_end(&mut rest));
    silent.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    drop(silent.read_to_end(&mut rest));
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}
