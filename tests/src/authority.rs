//! The authority that certificates of test servers come from.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// `id-on-xmppAddr` (RFC 6120 §13.7.1.4) and `id-on-dnsSRV` (RFC 4985), in DER.
const XMPP_ADDR: &[u8] = &[0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x05];
const DNS_SRV: &[u8] = &[0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x07];

/// An authority with its key, and one that it has certified.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    middle: Issuer<'static, KeyPair>,
    middle_pem: String,
}

/// What a certificate is to be like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The name as dNSName; for servers and clients.
    #[default]
    Both,
    /// As public authorities issue them today: for servers only.
    ServerOnly,
    /// For clients only.
    ClientOnly,
    /// It does not say for what.
    NoUsage,
    /// It ended in 2021.
    Expired,
    /// It begins in 2090.
    Early,
    /// The name of somebody else.
    WrongName,
    /// The right name as common name only.
    CommonName,
    /// Signed by its own key.
    SelfSigned,
    /// `*.` and what follows the first label.
    Wildcard,
    /// The name as xmppAddr only.
    XmppAddr,
    /// The name as SRVName only.
    SrvName,
    /// By the second authority, whose certificate is shown.
    Chain,
    /// By the second authority, whose certificate is not shown.
    BrokenChain,
    /// The name and that of its rooms; for servers and clients.
    WithRooms,
}

impl Kind {
    /// All that are about one name.
    pub const ALL: [Self; 14] = [
        Self::Both,
        Self::ServerOnly,
        Self::ClientOnly,
        Self::NoUsage,
        Self::Expired,
        Self::Early,
        Self::WrongName,
        Self::CommonName,
        Self::SelfSigned,
        Self::Wildcard,
        Self::XmppAddr,
        Self::SrvName,
        Self::Chain,
        Self::BrokenChain,
    ];
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificates that are shown, in PEM, the own one first.
    pub chain: String,
    /// The key, in PEM.
    pub key: String,
    /// The SHA-256 of the own key, as DANE names it (`3 1 1`).
    pub spki_sha256: Vec<u8>,
    shown: Vec<CertificateDer<'static>>,
    key_der: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        let (params, key) = authority("Calypte test authority", 1);
        let der = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let (params, key) = authority("Calypte second test authority", 0);
        let middle_pem = params.signed_by(&key, &issuer).unwrap().pem();
        Self { issuer, der, middle: Issuer::new(params, key), middle_pem }
    }
}

fn authority(name: &str, below: u8) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // OpenSSL takes a certificate for self-signed when it is called like its authority.
    params.distinguished_name.push(DnType::CommonName, name);
    (params, KeyPair::generate().unwrap())
}

impl Authority {
    /// Writes a new certificate for `domain` and its key to `cert.pem` and `key.pem` in `folder`.
    pub fn certify(&self, domain: &str, folder: &Path) {
        self.issue(Kind::Both, domain).write(folder);
    }

    /// Returns a new certificate for `domain`.
    #[must_use]
    pub fn issue(&self, kind: Kind, domain: &str) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let params = params(kind, domain);
        let own = match kind {
            Kind::SelfSigned => params.self_signed(&key),
            Kind::Chain | Kind::BrokenChain => params.signed_by(&key, &self.middle),
            _ => params.signed_by(&key, &self.issuer),
        };
        let own = own.unwrap();
        let mut chain = own.pem();
        if kind == Kind::Chain {
            chain.push_str(&self.middle_pem);
        }
        Certificate::new(chain, &key)
    }

    /// Signs what is requested, and returns the chain in PEM.
    pub(crate) fn sign(&self, request: &CertificateSigningRequestParams) -> String {
        request.signed_by(&self.issuer).unwrap().pem() + &self.pem()
    }

    /// Returns its certificate in PEM, for clients that read it from a file.
    #[must_use]
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
        format!("{begin}\n{}\n{end}\n", lines.collect::<Vec<_>>().join("\n"))
    }

    /// Returns the roots of somebody who trusts it and nobody else.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }

    /// Returns the first words of a client that names a protocol (ALPN).
    #[must_use]
    pub fn hello(&self, alpn: &str) -> Vec<u8> {
        let config = self.client(&[&rustls::version::TLS13], Some(alpn));
        let name = rustls::pki_types::ServerName::try_from(crate::DOMAIN).unwrap();
        let mut bytes = Vec::new();
        let mut client = rustls::ClientConnection::new(config, name).unwrap();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// Returns what a client of this authority does in TLS.
    #[must_use]
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: Option<&str>,
    ) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = alpn.map(|name| name.as_bytes().to_vec()).into_iter().collect();
        Arc::new(config)
    }
}

impl Certificate {
    fn new(chain: String, key: &KeyPair) -> Self {
        let shown = ders(&chain);
        let spki = digest(&SHA256, &key.subject_public_key_info()).as_ref().to_vec();
        Self {
            chain,
            key: key.serialize_pem(),
            spki_sha256: spki,
            shown,
            key_der: key.serialize_der(),
        }
    }

    /// Writes it to `cert.pem` and its key to `key.pem` in `folder`.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), &self.chain).unwrap();
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
        let only_ours = Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.join("key.pem"), only_ours).unwrap();
    }

    /// Returns what is shown in TLS.
    #[must_use]
    pub fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.shown.clone()
    }

    /// Returns the key for rustls.
    #[must_use]
    pub fn private(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_der.clone()).into()
    }
}

/// Returns the certificates in a PEM text.
fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    let mut found = Vec::new();
    for part in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let text: String = part.split("-----END").next().unwrap().split_whitespace().collect();
        found.push(CertificateDer::from(STANDARD.decode(text).unwrap()));
    }
    found
}

fn params(kind: Kind, domain: &str) -> CertificateParams {
    let rest = domain.split_once('.').map_or(domain, |(_, rest)| rest);
    let names = match kind {
        Kind::WrongName => vec!["wrong.example".to_owned()],
        Kind::Wildcard => vec![format!("*.{rest}")],
        Kind::CommonName | Kind::XmppAddr | Kind::SrvName => Vec::new(),
        Kind::WithRooms => vec![domain.to_owned(), format!("rooms.{domain}")],
        _ => vec![domain.to_owned()],
    };
    let mut params = CertificateParams::new(names).unwrap();
    let common = if kind == Kind::CommonName { domain } else { "Calypte test server" };
    params.distinguished_name.push(DnType::CommonName, common);
    let (server, client) =
        (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
    params.extended_key_usages = match kind {
        Kind::ServerOnly => vec![server],
        Kind::ClientOnly => vec![client],
        Kind::NoUsage => Vec::new(),
        _ => vec![server, client],
    };
    // Today, some years before and after: no clock of a test machine is that wrong.
    (params.not_before, params.not_after) = match kind {
        Kind::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
        Kind::Early => (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1)),
        _ => (date_time_ymd(2024, 1, 1), date_time_ymd(2050, 1, 1)),
    };
    let other = match kind {
        Kind::XmppAddr => Some(other_name(XMPP_ADDR, 0x0C, domain)),
        Kind::SrvName => Some(other_name(DNS_SRV, 0x16, &format!("_xmpp-server.{domain}"))),
        _ => None,
    };
    if let Some(names) = other {
        let oid = [2, 5, 29, 17];
        params.custom_extensions.push(CustomExtension::from_oid_content(&oid, names));
    }
    params
}

/// Returns `SubjectAltName` with one `otherName`; `tag` is UTF8String or IA5String.
fn other_name(oid: &[u8], tag: u8, text: &str) -> Vec<u8> {
    let value = der(0xA0, &der(tag, text.as_bytes()));
    der(0x30, &der(0xA0, &[oid, &value].concat()))
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128, "names of tests are short");
    [&[tag, length], content].concat()
}
