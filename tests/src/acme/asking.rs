//! How the authority sees that a name is the asker's: it really connects.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

/// Where every name is, on loopback: the ports that stand for 80 and 443.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Asked for HTTP-01.
    pub http: u16,
    /// Asked for TLS-ALPN-01.
    pub https: u16,
}

/// A word of RFC 8555 §6.7 and more.
type Refused = (&'static str, String);

impl Ask {
    /// Looks whether `expected` is there.
    pub(super) fn see(
        self,
        kind: &str,
        name: &str,
        token: &str,
        expected: &str,
    ) -> Result<(), Refused> {
        match kind {
            "http-01" => self.see_http(name, token, expected),
            _ => self.see_tls(name, expected),
        }
    }

    /// RFC 8555 §8.3.
    fn see_http(self, name: &str, token: &str, expected: &str) -> Result<(), Refused> {
        let mut socket = connect(self.http)?;
        let request = format!(
            "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\n\
             Connection: close\r\n\r\n"
        );
        let lost = |error: std::io::Error| ("connection", error.to_string());
        socket.write_all(request.as_bytes()).map_err(lost)?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).map_err(lost)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        if answer.starts_with("HTTP/1.1 200 ") && body.trim_end() == expected {
            Ok(())
        } else {
            Err(("unauthorized", format!("got {:?}", answer.lines().next())))
        }
    }

    /// RFC 8737 §3: the name in ALPN, the name in the certificate, the hash in its extension.
    fn see_tls(self, name: &str, expected: &str) -> Result<(), Refused> {
        let mut socket = connect(self.https)?;
        let tls = ClientConfig::builder().dangerous();
        let mut tls = tls.with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
        tls.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let server = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(tls), server).unwrap();
        let lost = |error: std::io::Error| ("tls", error.to_string());
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(lost)?;
        }
        if connection.alpn_protocol() != Some(b"acme-tls/1") {
            return Err(("unauthorized", "it does not know acme-tls/1".to_owned()));
        }
        let certificate = connection.peer_certificates().unwrap()[0].to_vec();
        let contains = |part: &[u8]| certificate.windows(part.len()).any(|have| have == part);
        let length = u8::try_from(name.len()).unwrap();
        let dns_name = [&[0x82, length][..], name.as_bytes()].concat();
        let hash = digest(&SHA256, expected.as_bytes());
        // id-pe-acmeIdentifier, critical, an OCTET STRING in an OCTET STRING.
        let oid = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];
        let value = [0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20];
        let extension = [&oid[..], &value, hash.as_ref()].concat();
        if contains(&dns_name) && contains(&extension) {
            Ok(())
        } else {
            Err(("unauthorized", "the certificate proves nothing".to_owned()))
        }
    }
}

fn connect(port: u16) -> Result<TcpStream, Refused> {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    let socket = socket.map_err(|error| ("connection", error.to_string()))?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    Ok(socket)
}

/// Takes any certificate: it is looked at afterwards. Who has its key is not asked, for webpki reads no
/// certificate with an extension that it must understand and does not.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
