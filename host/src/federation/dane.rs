//! Keys of servers in DNS (TLSA records; RFC 6698, RFC 7671). Only records that DNSSEC secures come
//! here.

use std::fmt;

use aws_lc_rs::digest::{self, SHA256, SHA512};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// An authority that we trust (PKIX-TA).
pub(super) const USAGE_AUTHORITY_TRUSTED: u8 = 0;
/// The server's own certificate, from an authority that we trust (PKIX-EE).
pub(super) const USAGE_OWN_WITH_AUTHORITY: u8 = 1;
/// An authority that is trusted for this server (DANE-TA).
pub(super) const USAGE_AUTHORITY: u8 = 2;
/// The server's own certificate, whoever signed it (DANE-EE).
pub(super) const USAGE_OWN: u8 = 3;

const SELECTS_CERTIFICATE: u8 = 0;
const SELECTS_KEY: u8 = 1;

const MATCHES_WHOLE: u8 = 0;
const MATCHES_SHA256: u8 = 1;
const MATCHES_SHA512: u8 = 2;

/// A TLSA record.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tlsa {
    /// What it names: an authority or the server's own certificate, with or without trust of ours.
    pub(crate) usage: u8,
    /// Whether it is about the certificate or its public key.
    pub(crate) selector: u8,
    /// In which form it has that.
    pub(crate) matching: u8,
    /// The certificate or key, or a hash of it.
    pub(crate) data: Vec<u8>,
}

impl fmt::Debug for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { usage, selector, matching, data } = self;
        write!(f, "TLSA {usage} {selector} {matching} ({} bytes)", data.len())
    }
}

impl Tlsa {
    /// Tells whether it names `certificate`.
    pub(super) fn names(&self, certificate: &[u8]) -> bool {
        let selected = match self.selector {
            SELECTS_CERTIFICATE => certificate,
            SELECTS_KEY => match X509Certificate::from_der(certificate) {
                Ok((_, read)) => read.tbs_certificate.subject_pki.raw,
                Err(_) => return false,
            },
            _ => return false,
        };
        match self.matching {
            MATCHES_WHOLE => selected == self.data,
            MATCHES_SHA256 => digest::digest(&SHA256, selected).as_ref() == self.data,
            MATCHES_SHA512 => digest::digest(&SHA512, selected).as_ref() == self.data,
            _ => false,
        }
    }

    /// Returns the certificate that stands in the record itself, if one does.
    pub(super) fn certificate(&self) -> Option<CertificateDer<'_>> {
        let is_whole = self.selector == SELECTS_CERTIFICATE && self.matching == MATCHES_WHOLE;
        is_whole.then(|| CertificateDer::from(self.data.as_slice()))
    }

    fn is_usable(&self) -> bool {
        let has_length = match self.matching {
            MATCHES_WHOLE => !self.data.is_empty(),
            MATCHES_SHA256 => self.data.len() == 32,
            MATCHES_SHA512 => self.data.len() == 64,
            _ => false,
        };
        has_length && self.usage <= USAGE_OWN && self.selector <= SELECTS_KEY
    }
}

/// Returns the records that mean something to us. None is as if the domain had none (RFC 6698 §4.1).
/// Of hashes of the same thing only those of the strongest kind count (RFC 7671 §9).
pub(super) fn usable(records: &[Tlsa]) -> Vec<&Tlsa> {
    let usable = || records.iter().filter(|record| record.is_usable());
    let has_stronger = |weak: &Tlsa| {
        weak.matching == MATCHES_SHA256
            && usable().any(|other| {
                let same = (other.usage, other.selector) == (weak.usage, weak.selector);
                same && other.matching == MATCHES_SHA512
            })
    };
    usable().filter(|record| !has_stronger(record)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(usage: u8, selector: u8, matching: u8, bytes: usize) -> Tlsa {
        Tlsa { usage, selector, matching, data: vec![7; bytes] }
    }

    #[test]
    fn records_that_mean_nothing_do_not_count() {
        let records = [
            record(4, 1, 1, 32),
            record(3, 2, 1, 32),
            record(3, 1, 3, 32),
            record(3, 1, 1, 31),
            record(3, 1, 2, 32),
            record(3, 0, 0, 0),
        ];
        assert_eq!(usable(&records), Vec::<&Tlsa>::new());
    }

    #[test]
    fn the_stronger_hash_of_the_same_thing_counts() {
        let records =
            [record(3, 1, 1, 32), record(3, 1, 2, 64), record(2, 1, 1, 32), record(3, 1, 0, 91)];
        assert_eq!(usable(&records), [&records[1], &records[2], &records[3]]);
    }
}
