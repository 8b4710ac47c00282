use rustls::HandshakeKind;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::DuplexStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::*;
use crate::federation::identity::kinds::{KINDS, Shown, World};

fn shown(kind: &str) -> Shown {
    let kind = KINDS.iter().find(|one| one.name == kind).unwrap();
    (kind.make)(&World::new(), "chat.capulet.example")
}

fn certified(shown: &Shown) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(shown.key.clone()));
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let chain = shown.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    Arc::new(CertifiedKey::new(chain, key))
}

fn peer(kind: &str) -> PeerTls {
    PeerTls::new(&certified(&shown(kind))).unwrap()
}

type Sides = (std::io::Result<TlsStream<DuplexStream>>, std::io::Result<TlsStream<DuplexStream>>);

async fn shake(connect: &Arc<ClientConfig>, accept: &Arc<ServerConfig>) -> Sides {
    let (here, there) = tokio::io::duplex(64 << 10);
    let name = server_name("chat.capulet.example").unwrap();
    let connect = TlsConnector::from(Arc::clone(connect)).connect(name, here);
    let accept = TlsAcceptor::from(Arc::clone(accept)).accept(there);
    let accept = async {
        let mut stream = accept.await?;
        // In TLS 1.3 the initiator learns of a refusal only after it believes to be done.
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"!").await?;
        Ok(TlsStream::from(stream))
    };
    let connect = async {
        let mut stream = connect.await?;
        tokio::io::AsyncReadExt::read_u8(&mut stream).await?;
        Ok(TlsStream::from(stream))
    };
    tokio::join!(connect, accept)
}

/// Connects, and returns both sides, which must work.
async fn agree(
    connect: &Arc<ClientConfig>,
    accept: &Arc<ServerConfig>,
) -> [TlsStream<DuplexStream>; 2] {
    let (connected, accepted) = shake(connect, accept).await;
    [connected.unwrap(), accepted.unwrap()]
}

#[tokio::test]
async fn both_sides_show_their_certificate_whatever_it_is() {
    for kind in ["dns", "expired", "self-signed", "eku-server", "eku-client", "eku-code"] {
        let (one, other) = (shown(kind), shown(kind));
        let initiator = PeerTls::new(&certified(&one)).unwrap();
        let receiver = PeerTls::new(&certified(&other)).unwrap();
        let ways = [
            (&initiator.connect_starttls, &receiver.accept_starttls),
            (&initiator.connect_direct, &receiver.accept_direct),
        ];
        for (connect, accept) in ways {
            let [connected, accepted] = agree(connect, accept).await;
            let (seen, seen_back) = (connected.get_ref().1, accepted.get_ref().1);
            assert_eq!(chain(seen)[0].as_ref(), other.chain[0].as_slice(), "{kind}");
            assert_eq!(chain(seen_back)[0].as_ref(), one.chain[0].as_slice(), "{kind}");
            assert_eq!(identity::spki(&chain(seen)[0]).unwrap(), receiver.own_spki);
            assert_eq!(identity::spki(&chain(seen_back)[0]).unwrap(), initiator.own_spki);
            assert_eq!((version(seen), version(seen_back)), ("TLSv1.3", "TLSv1.3"));
        }
    }
}

#[tokio::test]
async fn the_exporter_is_one_for_a_connection_and_a_pair() {
    let (one, other) = (peer("dns"), peer("dns"));
    let [connected, accepted] = agree(&one.connect_starttls, &other.accept_starttls).await;
    let value = exporter(&connected, "a.example", "b.example").unwrap();
    assert_eq!(exporter(&accepted, "a.example", "b.example"), Some(value));
    assert_ne!(exporter(&accepted, "b.example", "a.example"), Some(value));
    assert_ne!(exporter(&accepted, "a.example", "c.example"), Some(value));
    let [again, _there] = agree(&one.connect_starttls, &other.accept_starttls).await;
    assert_ne!(exporter(&again, "a.example", "b.example"), Some(value));
}

fn client(
    alpn: &[&[u8]],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new(&provider)))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

#[tokio::test]
async fn the_older_version_has_no_exporter_and_nobody_needs_a_certificate() {
    let receiver = peer("dns");
    let old = client(&[], &[&rustls::version::TLS12]);
    let [connected, accepted] = agree(&old, &receiver.accept_starttls).await;
    assert_eq!(version(accepted.get_ref().1), "TLSv1.2");
    assert!(chain(accepted.get_ref().1).is_empty());
    assert_eq!(exporter(&connected, "a.example", "b.example"), None);
    assert_eq!(exporter(&accepted, "a.example", "b.example"), None);
}

#[tokio::test]
async fn another_protocol_is_refused_and_none_is_not() {
    let peer = peer("dns");
    let asks = |name: &'static [u8]| client(&[name], rustls::ALL_VERSIONS);
    for (wanted, is_fine) in
        [(&b"http/1.1"[..], false), (b"xmpp-client", false), (b"xmpp-server", true)]
    {
        let (connected, accepted) = shake(&asks(wanted), &peer.accept_direct).await;
        assert_eq!((connected.is_ok(), accepted.is_ok()), (is_fine, is_fine));
    }
    let [_here, _there] = agree(&client(&[], rustls::ALL_VERSIONS), &peer.accept_direct).await;
    // A server that does not know ALPN.
    let [_here, _there] = agree(&peer.connect_direct, &peer.accept_starttls).await;
    let mut other = ServerConfig::clone(&peer.accept_direct);
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (connected, accepted) = shake(&peer.connect_direct, &Arc::new(other)).await;
    assert!(connected.is_err() && accepted.is_err());
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused() {
    let (mine, theirs) = (shown("dns"), shown("dns"));
    let thief = Shown { chain: theirs.chain, key: mine.key };
    let thief = PeerTls::new(&certified(&thief)).unwrap();
    let honest = peer("dns");
    let (_, accepted) = shake(&thief.connect_starttls, &honest.accept_starttls).await;
    assert!(accepted.is_err());
    let (connected, _) = shake(&honest.connect_starttls, &thief.accept_starttls).await;
    assert!(connected.is_err());
}

#[tokio::test]
async fn no_connection_goes_on_from_an_earlier_one() {
    let (one, other) = (peer("dns"), peer("dns"));
    for _ in 0..2 {
        let [connected, _there] = agree(&one.connect_starttls, &other.accept_starttls).await;
        assert_eq!(connected.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}
