//! Reading our own certificate, and making throwaway ones for `calypte dev`.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

use crate::tls::Files;

/// What the server needs to know of its own certificate.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The value of `tls-server-end-point`, where RFC 5929 defines one.
    pub(crate) end_point: Option<Vec<u8>>,
    /// When it starts being valid, in seconds since 1970.
    pub(crate) not_before: i64,
    /// When it stops being valid, in seconds since 1970.
    pub(crate) not_after: i64,
    /// The DNS names it is for.
    pub(crate) names: Vec<String>,
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// A part of a sentence when it is none.
    pub(crate) fn read(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        };
        Ok(Self {
            end_point: end_point(&certificate, der),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            names: names.iter().filter_map(dns).collect(),
        })
    }
}

/// RFC 5929 §4.1: the hash of the signature algorithm, and SHA-256 in place of MD5 and SHA-1. An
/// algorithm without one hash, such as Ed25519, has no end-point value.
fn end_point(certificate: &X509Certificate<'_>, der: &[u8]) -> Option<Vec<u8>> {
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    let algorithm = match oid.as_str() {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256; DSA with SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2"
        | "1.2.840.10040.4.3"
        | "2.16.840.1.101.3.4.3.2" => &digest::SHA256,
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => &digest::SHA224,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
        _ => pss_hash(certificate)?,
    };
    Some(digest::digest(algorithm, der).as_ref().to_vec())
}

/// RSASSA-PSS names its hash in the parameters (RFC 4055 §3.1).
fn pss_hash(certificate: &X509Certificate<'_>) -> Option<&'static digest::Algorithm> {
    let read = SignatureAlgorithm::try_from(&certificate.signature_algorithm).ok()?;
    let SignatureAlgorithm::RSASSA_PSS(parameters) = read else { return None };
    match parameters.hash_algorithm_oid().to_id_string().as_str() {
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        _ => None,
    }
}

/// The files of a throwaway authority.
#[derive(Debug)]
pub(crate) struct DevFiles {
    /// The authority, for clients to trust.
    pub(crate) authority: PathBuf,
    /// The server's certificate and key.
    pub(crate) server: Files,
}

/// Makes an authority and a certificate for `domain` in `folder`. The key of the authority is
/// forgotten at once, so it can never sign anything else.
///
/// # Errors
///
/// A sentence when a file cannot be written.
pub(crate) fn make_dev(folder: &Path, domain: &str) -> Result<DevFiles, String> {
    let (authority, chain, key) =
        make(domain).map_err(|error| format!("no certificate could be made: {error}"))?;
    let files = DevFiles {
        authority: folder.join("authority.pem"),
        server: Files { chain: folder.join("fullchain.pem"), key: folder.join("privkey.pem") },
    };
    write(&files.authority, &authority)?;
    write(&files.server.chain, &chain)?;
    write(&files.server.key, &key)?;
    Ok(files)
}

fn make(domain: &str) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = format!("calypte dev authority for {domain}, made to be thrown away");
    authority.distinguished_name.push(DnType::CommonName, name);
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(vec![domain.to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, domain);
    server.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    server.subject_alt_names.push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let chain = server.signed_by(&key, &issuer)?.pem();
    Ok((authority_pem.clone(), chain + &authority_pem, key.serialize_pem()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tls::Served;

    #[test]
    fn what_dev_makes_can_be_served() {
        let folder = tempfile::tempdir().unwrap();
        let files = make_dev(folder.path(), "localhost").unwrap();
        let served = Served::open(&files.server).unwrap();
        assert!(served.covers("localhost"));
        assert!(!served.covers("chat.example"));
        assert_eq!(served.end_point.as_ref().map(Vec::len), Some(32));
        assert!(served.days_left() > 30);
        let mode = std::fs::metadata(&files.server.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[track_caller]
    fn end_point_bytes(algorithm: &'static rcgen::SignatureAlgorithm, expected: Option<usize>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["chat.example".to_owned()]).unwrap();
        let leaf = Leaf::read(params.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!(leaf.end_point.map(|hash| hash.len()), expected);
    }

    #[test]
    fn the_end_point_hash_is_that_of_the_signature() {
        end_point_bytes(&rcgen::PKCS_ECDSA_P256_SHA256, Some(32));
        end_point_bytes(&rcgen::PKCS_ECDSA_P384_SHA384, Some(48));
        end_point_bytes(&rcgen::PKCS_ED25519, None);
    }

    #[test]
    fn swapped_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = make_dev(folder.path(), "localhost").unwrap().server;
        let swapped = Files { chain: files.key.clone(), key: files.chain.clone() };
        let why = Served::open(&swapped).unwrap_err();
        assert!(why.ends_with("are the two files swapped?"), "{why}");
        let other = tempfile::tempdir().unwrap();
        let others = make_dev(other.path(), "localhost").unwrap().server;
        let why = Served::open(&Files { key: others.key, ..files }).unwrap_err();
        assert!(why.contains("does not belong to the certificate"), "{why}");
    }
}
