//! TLS between servers. Both sides show their certificate, and both accept any here: the names are
//! not known yet. What the other side signed is checked, so that it has the key of the certificate
//! that it shows; `identity.rs` judges the certificate.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::identity;

/// The name of connections between servers in ALPN (XEP-0368).
const ALPN_SERVER: &[u8] = b"xmpp-server";

/// The label of the value that both sides of one connection can compute and nobody between them
/// can (`urn:calypte:tls:0`).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-calypte-s2s-v0";

/// What connections between servers use, in both directions. A connection keeps what it began with.
#[derive(Clone)]
pub(crate) struct PeerTls {
    /// To accept, after STARTTLS.
    pub(crate) accept_starttls: Arc<ServerConfig>,
    /// To accept, with TLS from the first byte. A peer that asks for another protocol is refused.
    pub(crate) accept_direct: Arc<ServerConfig>,
    /// To connect, after STARTTLS.
    pub(crate) connect_starttls: Arc<ClientConfig>,
    /// To connect, with TLS from the first byte. A peer that knows no ALPN is accepted.
    pub(crate) connect_direct: Arc<ClientConfig>,
    /// The BLAKE3 hash of our public key.
    pub(crate) own_spki: [u8; 32],
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").finish_non_exhaustive()
    }
}

impl PeerTls {
    /// Shows `certified` to other servers.
    ///
    /// # Errors
    ///
    /// A sentence when it cannot be used.
    pub(crate) fn new(certified: &Arc<CertifiedKey>) -> Result<Self, String> {
        let provider = &Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let own_spki = identity::spki(certified.cert.first().map_or(&[][..], |own| own.as_ref()))?;
        let accept = |alpn| accepting(provider, certified, alpn).map_err(refused);
        let connect = |alpn| connecting(provider, certified, alpn).map_err(refused);
        Ok(Self {
            accept_starttls: accept(&[])?,
            accept_direct: accept(&[ALPN_SERVER])?,
            connect_starttls: connect(&[])?,
            connect_direct: connect(&[ALPN_SERVER])?,
            own_spki,
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn refused(error: Error) -> String {
    format!("TLS cannot be set up: {error}")
}

fn accepting(
    provider: &Arc<CryptoProvider>,
    certified: &Arc<CertifiedKey>,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_client_cert_verifier(Arc::new(Anybody::new(provider)))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

fn connecting(
    provider: &Arc<CryptoProvider>,
    certified: &Arc<CertifiedKey>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new(provider)))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Returns what to ask for in the handshake (SNI): the domain, whatever host serves it
/// (RFC 6120 §5.4.3.1).
///
/// # Errors
///
/// A sentence when it is no name.
pub(crate) fn server_name(domain: &str) -> Result<ServerName<'static>, String> {
    let ascii = super::names::ascii(domain);
    let name = ascii.and_then(|name| ServerName::try_from(name).ok());
    name.ok_or_else(|| format!("{domain} cannot be named in TLS"))
}

/// Returns "TLSv1.3" or "TLSv1.2", after the handshake.
pub(crate) fn version(connection: &CommonState) -> &'static str {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    }
}

/// Returns the certificates that the peer showed, its own first; none when it showed none.
pub(crate) fn chain(connection: &CommonState) -> &[CertificateDer<'static>] {
    connection.peer_certificates().unwrap_or_default()
}

/// Returns the value that binds a proof to this connection, whichever side we are. There is none in
/// TLS 1.2, where it would not bind (RFC 7627).
pub(crate) fn exporter(
    connection: &tokio_rustls::TlsStream<impl Sized>,
    initiator: &str,
    receiver: &str,
) -> Option<[u8; 32]> {
    let context = [initiator.as_bytes(), b"\0", receiver.as_bytes()].concat();
    let (_, state) = connection.get_ref();
    if state.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let (out, label, context) = ([0; 32], EXPORTER_LABEL, Some(context.as_slice()));
    match connection {
        tokio_rustls::TlsStream::Client(stream) => {
            stream.get_ref().1.export_keying_material(out, label, context).ok()
        }
        tokio_rustls::TlsStream::Server(stream) => {
            stream.get_ref().1.export_keying_material(out, label, context).ok()
        }
    }
}

/// Accepts every certificate of which the other side has the key, and from a client also none.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
