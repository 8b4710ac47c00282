//! Whether a peer's certificate proves the domain that the peer claims to be.
//!
//! TLS itself accepts any certificate (see `tls.rs`); it is judged here once the names are known:
//! RFC 9525 and RFC 6120 §13.7.1 for authorities and names, `dane.rs` for keys in DNS. A
//! common name is never a domain, and an IP address never proves one.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::dane::{self, Tlsa};
use crate::config::settings;

mod alternative;
mod words;

/// What a certificate is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// An authority that we trust vouches for it, and it is for the domain.
    Valid,
    /// It has the key that the domain publishes in DNS, secured by DNSSEC.
    Dane,
    /// It proves nothing, for this reason.
    Invalid(String),
    /// The domain publishes its keys in DNS, secured by DNSSEC, and this is none of them: whoever it
    /// is, it is not the domain, and no other proof may be taken from it.
    Refused(String),
    /// There is no certificate.
    None,
}

/// Which side of the connection showed the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// We connected to it.
    Server,
    /// It connected to us. Keys in DNS are those of the servers that accept connections; another
    /// machine may make them, so a key that DNS does not know is no proof of anything then.
    Client,
}

/// What a certificate is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<'a> {
    /// The domain.
    pub(crate) name: &'a str,
    /// The host that a secure SRV record led to, if there was one.
    pub(crate) host: Option<&'a str>,
    /// Which side showed it.
    pub(crate) side: Side,
    /// The keys in DNS, of records that DNSSEC secures and no others.
    pub(crate) tlsa: &'a [Tlsa],
    /// The time, in seconds since 1970.
    pub(crate) now_seconds: i64,
}

/// Whom we trust to vouch for other servers.
#[derive(Clone, Default)]
pub(crate) struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    /// The certificates behind `anchors`, for keys in DNS that name an authority.
    authorities: Vec<CertificateDer<'static>>,
    /// Certificates of servers that are trusted as they are.
    pinned: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("authorities", &self.anchors.len()).finish_non_exhaustive()
    }
}

impl Roots {
    /// Reads the authorities of the system and the files of `federation.trust`.
    ///
    /// # Errors
    ///
    /// A sentence that names the file that cannot be used.
    pub(crate) fn load(federation: &settings::Federation) -> Result<Self, String> {
        let mut roots = Self::default();
        // What the system has and we cannot read is nothing that the operator could change.
        for certificate in rustls_native_certs::load_native_certs().certs {
            drop(roots.add(certificate));
        }
        for path in &federation.trust {
            let told = path.display();
            let bytes = crate::tls::read(path, "certificate")?;
            let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
            let list = list.map_err(|error| format!("{told} is damaged: {error}"))?;
            if list.is_empty() {
                return Err(format!("{told} holds no certificate in PEM form"));
            }
            for certificate in list {
                roots.add(certificate).map_err(|why| format!("{told}: {why}"))?;
            }
        }
        Ok(roots)
    }

    /// Trusts `certificate`: an authority for what it signs, any other for itself.
    pub(super) fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), String> {
        let unreadable = |error: &dyn fmt::Display| format!("a certificate is unreadable: {error}");
        let read = read(&certificate)?;
        if !read.is_ca() {
            self.pinned.push(certificate);
            return Ok(());
        }
        let anchor = webpki::anchor_from_trusted_cert(&certificate);
        self.anchors.push(anchor.map_err(|error| unreadable(&error))?.to_owned());
        self.authorities.push(certificate);
        Ok(())
    }

    /// Tells whether this very certificate is trusted; one that is marked as an authority may be
    /// that of a server nevertheless, as openssl makes them.
    fn has(&self, certificate: &[u8]) -> bool {
        let mut all = self.pinned.iter().chain(&self.authorities);
        all.any(|known| known.as_ref() == certificate)
    }

    /// Returns the authorities, for HTTPS.
    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Tells whether nobody is trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.anchors.is_empty() && self.pinned.is_empty()
    }
}

/// Judges `chain`, the peer's own certificate first.
pub(crate) fn identity(
    chain: &[CertificateDer<'_>],
    reference: &Reference<'_>,
    roots: &Roots,
) -> Identity {
    let Some((leaf, above)) = chain.split_first() else { return Identity::None };
    let judge = Judge { leaf, above, reference, roots };
    let usable = dane::usable(reference.tlsa);
    if !usable.is_empty() {
        match judge.by_dns(&usable) {
            Ok(()) => return Identity::Dane,
            Err(why) if reference.side == Side::Server => return Identity::Refused(why),
            Err(_) => {}
        }
    }
    match judge.by_authority() {
        Ok(_) => Identity::Valid,
        Err(why) => Identity::Invalid(why),
    }
}

/// Returns the BLAKE3 hash of the certificate's public key (its SubjectPublicKeyInfo).
///
/// # Errors
///
/// A sentence when it is no certificate.
pub(crate) fn spki(certificate: &[u8]) -> Result<[u8; 32], String> {
    read(certificate).map(|read| crypto::hash(read.public_key().raw))
}

fn read(certificate: &[u8]) -> Result<X509Certificate<'_>, String> {
    let read = X509Certificate::from_der(certificate);
    read.map(|(_, read)| read).map_err(|_| "the certificate cannot be read".to_owned())
}

/// A certificate under judgement.
struct Judge<'a> {
    leaf: &'a CertificateDer<'a>,
    above: &'a [CertificateDer<'a>],
    reference: &'a Reference<'a>,
    roots: &'a Roots,
}

/// The certificates that lead to an authority.
struct Path {
    /// Those between the server's own and the authority.
    between: Vec<CertificateDer<'static>>,
    /// The number of the authority among those that were given.
    authority: Option<usize>,
    /// Whether one of them may only vouch for some names.
    is_constrained: bool,
}

impl Judge<'_> {
    /// Judges by the authorities that we trust and the domain.
    fn by_authority(&self) -> Result<Path, String> {
        let read = read(self.leaf)?;
        let path = if self.roots.has(self.leaf) {
            words::validity(&read, self.reference.now_seconds)?;
            Path { between: Vec::new(), authority: None, is_constrained: false }
        } else {
            self.path(&self.roots.anchors).map_err(|error| self.told(&error, &read))?
        };
        self.names(&read, &path, &[self.reference.name])?;
        Ok(path)
    }

    /// Judges by keys in DNS (RFC 7671): one record that fits is enough.
    fn by_dns(&self, records: &[&Tlsa]) -> Result<(), String> {
        let mut why = None;
        for record in records {
            match self.by_record(record) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(found) => why = Some(found),
            }
        }
        Err(why.map_or_else(
            || "the certificate is none of those that DNS has for the server (TLSA)".to_owned(),
            |why| format!("DNS names this certificate for the server (TLSA), but {why}"),
        ))
    }

    /// Tells whether `record` names this certificate; an error when it does and yet something is
    /// wrong with the certificate.
    fn by_record(&self, record: &Tlsa) -> Result<bool, String> {
        match record.usage {
            // RFC 7671 §5.1: names, dates and authorities do not matter.
            dane::USAGE_OWN => Ok(record.names(self.leaf)),
            dane::USAGE_AUTHORITY => self.by_own_authority(record),
            dane::USAGE_OWN_WITH_AUTHORITY if record.names(self.leaf) => {
                self.by_authority_or_host().map(|_| true)
            }
            dane::USAGE_AUTHORITY_TRUSTED => {
                let Ok(path) = self.by_authority_or_host() else { return Ok(false) };
                let root = path.authority.and_then(|number| self.roots.authorities.get(number));
                Ok(path.between.iter().chain(root).any(|authority| record.names(authority)))
            }
            _ => Ok(false),
        }
    }

    /// RFC 7671 §5.2: an authority that is trusted for this server alone. It is among the
    /// certificates that came, or in the record itself.
    fn by_own_authority(&self, record: &Tlsa) -> Result<bool, String> {
        let read = read(self.leaf)?;
        let named = self.above.iter().filter(|above| record.names(above));
        let in_record = record.certificate();
        for (authority, came) in
            named.map(|above| (above, true)).chain(in_record.iter().map(|own| (own, false)))
        {
            let Ok(anchor) = webpki::anchor_from_trusted_cert(authority) else { continue };
            let path = match self.path(&[anchor]) {
                Err(webpki::Error::UnknownIssuer) if !came => continue,
                path => path.map_err(|error| self.told(&error, &read))?,
            };
            return self.names(&read, &path, &self.all_names()).map(|()| true);
        }
        Ok(false)
    }

    /// As [`Self::by_authority`]; the name of the host will do as well, because DNSSEC vouches for
    /// the way to it (RFC 7673 §4).
    fn by_authority_or_host(&self) -> Result<Path, String> {
        let host = self.reference.host.unwrap_or(self.reference.name);
        let reference = Reference { name: host, ..*self.reference };
        let by_host = || Judge { reference: &reference, ..*self }.by_authority();
        self.by_authority().or_else(|why| by_host().map_err(|_| why))
    }

    fn told(&self, error: &webpki::Error, read: &X509Certificate<'_>) -> String {
        words::chain(error, read, self.above.len(), self.reference.now_seconds)
    }

    fn all_names(&self) -> Vec<&str> {
        [self.reference.name].into_iter().chain(self.reference.host).collect()
    }

    /// Finds the way to one of `anchors`, with all dates and rights on it.
    fn path(&self, anchors: &[TrustAnchor<'_>]) -> Result<Path, webpki::Error> {
        // Far more than any server sends.
        const ABOVE_MAX: usize = 16;
        let above = self.above.get(..ABOVE_MAX).unwrap_or(self.above);
        let end = EndEntityCert::try_from(self.leaf)?;
        let seconds = u64::try_from(self.reference.now_seconds).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let path =
            end.verify_for_usage(algorithms, anchors, above, now, EitherUsage, None, None)?;
        let between: Vec<_> =
            path.intermediate_certificates().map(|cert| cert.der().into_owned()).collect();
        let limits = |der: &CertificateDer<'_>| {
            read(der).is_ok_and(|read| read.name_constraints().is_ok_and(|limits| limits.is_some()))
        };
        let is_constrained = path.anchor().name_constraints.is_some() || between.iter().any(limits);
        let authority = anchors.iter().position(|anchor| anchor == path.anchor());
        Ok(Path { between, authority, is_constrained })
    }

    /// Checks that the certificate is for one of `names`.
    fn names(&self, read: &X509Certificate<'_>, path: &Path, names: &[&str]) -> Result<(), String> {
        let end = EndEntityCert::try_from(self.leaf).map_err(|error| error.to_string())?;
        for name in names {
            let Some(ascii) = super::names::ascii(name) else { continue };
            let Ok(wanted) = ServerName::try_from(ascii.as_str()) else { continue };
            if end.verify_is_valid_for_subject_name(&wanted).is_ok() {
                return Ok(());
            }
            // An authority that may only vouch for some names is bound by its limits in dNSName
            // alone; it could put any domain into the other forms.
            if !path.is_constrained && alternative::is_for(read, &ascii) {
                return Ok(());
            }
        }
        Err(words::names(read, self.reference.name, path.is_constrained))
    }
}

/// Accepts certificates for servers and those for clients, in both directions (XEP-0178): public
/// authorities issue none for clients any more. One that names no use is for every use.
struct EitherUsage;

impl ExtendedKeyUsageValidator for EitherUsage {
    fn validate(&self, uses: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        const FITTING: [&[usize]; 3] = [
            webpki::KeyUsage::SERVER_AUTH_REPR,
            webpki::KeyUsage::CLIENT_AUTH_REPR,
            // anyExtendedKeyUsage
            &[2, 5, 29, 37, 0],
        ];
        let mut present = Vec::new();
        for one in uses {
            present.push(one?.to_decoded_oid());
        }
        let fits = |one: &Vec<usize>| FITTING.contains(&one.as_slice());
        if present.is_empty() || present.iter().any(fits) {
            return Ok(());
        }
        Err(webpki::Error::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext {
            required: webpki::KeyUsage::server_auth(),
            present,
        }))
    }
}

#[cfg(test)]
pub(crate) mod kinds;
#[cfg(test)]
mod tests;
