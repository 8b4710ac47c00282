use rcgen::{CertificateParams, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const WITHIN: Duration = Duration::from_secs(5);

fn peer() -> PeerTls {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let own = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    PeerTls::new(&Arc::new(CertifiedKey::new(vec![own.der().clone()], key))).unwrap()
}

/// A server that says `lines`, each after something came, and then begins TLS as `peer`.
async fn serve(lines: &[&str], peer: Option<&PeerTls>, is_direct: bool) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
    let config = peer.map(|peer| match is_direct {
        true => Arc::clone(&peer.accept_direct),
        false => Arc::clone(&peer.accept_starttls),
    });
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for line in lines {
            let mut piece = [0; 1024];
            if stream.read(&mut piece).await.unwrap() == 0 {
                return;
            }
            stream.write_all(line.as_bytes()).await.unwrap();
        }
        if let Some(config) = config {
            drop(TlsAcceptor::from(config).accept(stream).await);
        }
    });
    Target {
        host: "host.example".to_owned(),
        port,
        is_direct,
        addresses: vec!["127.0.0.1".parse().unwrap()],
        tlsa: Vec::new(),
        srv_is_secure: false,
    }
}

const HEAD: &str = "<?xml version='1.0'?><stream:stream from='a.example' id='1' version='1.0' \
    xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>";
const TLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
    </stream:features>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

#[tokio::test]
async fn a_port_shows_its_certificate() {
    let (there, here) = (peer(), peer());
    let opening = format!("{HEAD}{TLS}");
    let starttls = serve(&[&opening, PROCEED], Some(&there), false).await;
    let direct = serve(&[], Some(&there), true).await;
    for target in [starttls, direct] {
        let seen = chain(&target, "a.example", Service::Server, &here, WITHIN).await.unwrap();
        assert_eq!(identity::spki(&seen.chain[0]).unwrap(), there.own_spki);
        assert_eq!(seen.version, "TLSv1.3");
    }
}

#[track_caller]
fn check(found: Result<Seen, String>, part: &str) {
    let why = found.unwrap_err();
    assert!(why.starts_with("host.example port ") && why.ends_with(part), "{why}");
}

#[tokio::test]
async fn the_step_that_fails_is_told() {
    let here = peer();
    let refused = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        </stream:error>";
    let injected = format!("{PROCEED}<message/>");
    let cases: &[(&[&str], &str)] = &[
        (&[&format!("{HEAD}<stream:features/>")], "no STARTTLS is offered to servers"),
        (&[&format!("{HEAD}{refused}")], "the stream was refused (host-unknown)"),
        (
            &[&format!("{HEAD}{TLS}"), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"],
            "STARTTLS is offered and then refused",
        ),
        (&[&format!("{HEAD}{TLS}"), &injected], "there is more in the clear after STARTTLS"),
        (&[&format!("{HEAD}</stream:stream>")], "the stream was closed"),
        (&[HEAD], "the connection was closed"),
    ];
    for (lines, part) in cases {
        let target = serve(lines, None, false).await;
        check(chain(&target, "a.example", Service::Server, &here, WITHIN).await, part);
    }
    let endless = format!("{HEAD}<a>{}", "x".repeat(20_000));
    let target = serve(&[&endless], None, false).await;
    let why = chain(&target, "a.example", Service::Server, &here, WITHIN).await.unwrap_err();
    assert!(why.contains("this is no XMPP"), "{why}");
}

#[tokio::test]
async fn who_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target =
        Target { port: listener.local_addr().unwrap().port(), ..serve(&[], None, false).await };
    let here = peer();
    let soon = Duration::from_millis(200);
    check(chain(&target, "a.example", Service::Server, &here, soon).await, "no answer in time");
}
