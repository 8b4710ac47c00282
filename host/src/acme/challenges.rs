//! What proves to the authority that the name is ours, while it asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The name in ALPN by which an authority asks (RFC 8737 §6.2).
pub(crate) const ALPN: &[u8] = b"acme-tls/1";

/// The answers to challenges that are under way. There are none at other times.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    answers: Mutex<BTreeMap<String, String>>,
    certificates: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// Answers HTTP-01 for `token` (RFC 8555 §8.3).
    pub(super) fn add_answer(&self, token: &str, answer: &str) {
        lock(&self.answers).insert(token.to_owned(), answer.to_owned());
    }

    /// Answers TLS-ALPN-01 for `name` with a certificate that holds `digest` (RFC 8737 §3).
    ///
    /// # Errors
    ///
    /// A sentence when there can be no such certificate.
    pub(super) fn add_certificate(&self, name: &str, digest: &[u8]) -> Result<(), String> {
        let certified = certify(name, digest).map_err(|error| {
            format!("the certificate for the challenge cannot be made: {error}")
        })?;
        lock(&self.certificates).insert(name.to_ascii_lowercase(), Arc::new(certified));
        Ok(())
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) {
        lock(&self.answers).clear();
        lock(&self.certificates).clear();
    }

    /// Returns the answer for a token.
    pub(crate) fn answer(&self, token: &str) -> Option<String> {
        lock(&self.answers).get(token).cloned()
    }

    /// Returns the certificate for a name.
    pub(crate) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        lock(&self.certificates).get(&name.to_ascii_lowercase()).cloned()
    }
}

fn certify(name: &str, digest: &[u8]) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![certificate.der().clone()];
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
    // Not `from_der`: it refuses the extension, which only the authority has to understand.
    Ok(CertifiedKey::new(chain, key))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
