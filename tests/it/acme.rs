//! Certificates from an authority that really looks whether the domain is ours.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use calypte_tests::{Acme, Ask, DOMAIN, Server, Setup, free_ports, wait};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

const DAY: Duration = Duration::from_secs(86_400);

/// Makes an authority, and a server that asks it in this way. Nothing runs yet.
fn prepare(challenge: &str) -> (Acme, Server) {
    let [http, https] = free_ports();
    let acme = Acme::start(Ask { http, https });
    let server = Setup::new()
        .set("acme.agree", "true")
        .set("acme.contact", "\"ana@example.org\"")
        .set("acme.challenge", &format!("\"{challenge}\""))
        .set("acme.directory", &format!("\"{}\"", acme.directory()))
        .set("acme.trust", "\"authority.pem\"")
        .set("listen.http_acme", &format!("\"127.0.0.1:{http}\""))
        .set("listen.https", &format!("\"127.0.0.1:{https}\""));
    // What the test authority of the server itself issues is not used.
    let server = server.prepare();
    std::fs::write(server.file("authority.pem"), acme.authority().pem()).unwrap();
    (acme, server)
}

/// Connects as a client that trusts the authority, and returns the certificate.
fn shown(acme: &Acme, server: &Server) -> Vec<u8> {
    let tls = acme.authority().client(&[&rustls::version::TLS13], Some("xmpp-client"));
    let name = ServerName::try_from(DOMAIN).unwrap();
    let mut connection = ClientConnection::new(tls, name).unwrap();
    let mut socket = TcpStream::connect(server.c2s_tls()).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).unwrap();
    }
    connection.peer_certificates().unwrap()[0].to_vec()
}

fn issues_and_keeps(challenge: &str) {
    let (acme, mut server) = prepare(challenge);
    let ran = server.run(&["check"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("certificate  none yet"), "{ran:?}");
    server.launch();
    let first = shown(&acme, &server);
    assert_eq!(acme.counts(), (1, 1));
    let log = server.log();
    assert!(log.contains("There is no certificate yet"), "{log}");

    let folder =
        std::fs::read_dir(server.file("data/acme")).unwrap().next().unwrap().unwrap().path();
    for name in ["account.json", "certificate.pem"] {
        let facts = std::fs::metadata(folder.join(name)).unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);

    // What is there is used again.
    assert!(server.stop().success());
    server.launch();
    assert_eq!(shown(&acme, &server), first);
    assert_eq!(acme.counts(), (1, 1));
}

#[test]
fn the_first_certificate_comes_by_http() {
    issues_and_keeps("http-01");
}

#[test]
fn the_first_certificate_comes_by_tls() {
    issues_and_keeps("tls-alpn-01");
}

fn renews(challenge: &str) {
    let (acme, mut server) = prepare(challenge);
    acme.set_life(60 * DAY, 20 * DAY);
    server.launch();
    let first = shown(&acme, &server);
    acme.set_life(Duration::ZERO, 90 * DAY);
    // It looks every 20 seconds.
    let until = Instant::now() + Duration::from_secs(90);
    while shown(&acme, &server) == first {
        assert!(Instant::now() < until, "it is not renewed: {}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(acme.counts(), (1, 2));
    assert!(server.metric("calypte_certificate_days") >= 89.0);
}

#[test]
fn it_is_renewed_by_http_while_the_server_runs() {
    renews("http-01");
}

#[test]
fn it_is_renewed_by_tls_while_the_server_runs() {
    renews("tls-alpn-01");
}

#[test]
fn what_goes_wrong_is_said_and_nobody_is_let_in() {
    let [http, nobody] = free_ports();
    let acme = Acme::start(Ask { http: nobody, https: nobody });
    let (_, mut server) = prepare("http-01");
    std::fs::write(server.file("authority.pem"), acme.authority().pem()).unwrap();
    server.change(|setup| {
        let directory = format!("\"{}\"", acme.directory());
        let listen = format!("\"127.0.0.1:{http}\"");
        setup.set("acme.directory", &directory).set("listen.http_acme", &listen)
    });
    server.begin();
    wait("the reason", || server.log().contains("cannot connect to chat.example at port 80"));
    let log = server.log();
    assert!(log.contains("There is still no certificate, and nobody can connect."), "{log}");
    assert!(log.contains("1 minute"), "{log}");
    assert!(TcpStream::connect(server.c2s()).is_err());
    // Only the port of the challenge is open, and answers nothing else.
    let answer = server.get(http, "/.well-known/acme-challenge/x");
    assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.0 404"), "{answer}");

    assert!(server.is_alive(), "{log}");
    server.kill();
    acme.refuse("rateLimited");
    server.begin();
    wait("the reason", || server.log().contains("asked too often"));
    assert!(server.log().contains("2 hours"), "{}", server.log());
    assert!(server.is_alive(), "{}", server.log());
    assert_eq!(acme.counts(), (1, 0));
}
